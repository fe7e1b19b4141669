"""Decorators that make classes of values: typed fields, compared by content, frozen, in slots.

`frozen` makes what `dataclasses.dataclass(frozen=True, slots=True)` makes, and type checkers treat it so, at a
fraction of the cost: the standard library generates and compiles five functions for each class when it is
defined, which was 27 % of the CPU of a three-step run. Here a class costs one `type()` call; equality and hash
are closures, and an `__init__` is compiled only for classes that are used more than a few times. Sixty
classes took 49 ms as dataclasses, 9 as named tuples (which are also equal to other tuples) and 1.5 here
(`tests/benchmarks/values.py` compares them again, with attrs and msgspec where these are installed).

The words are those of attrs: `frozen` and `mutable` classes, `field` for a default that is made anew for each
instance. Subclassing adds fields; `__post_init__` is called if there is one; pickling and copying call
`__init__`. As with all classes that get slots after they were made, methods can't call `super()` without
arguments.
"""

from __future__ import annotations

import operator
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Any:
        """Do nothing: what type checkers read, and Python 3.10 does not have."""
        return lambda decorator: decorator


T = TypeVar("T")
C = TypeVar("C")
_MISSING: Any = object()
# Instances for which a class is not worth an `__init__` of its own: compiling one takes as long as setting the
# fields of 20 without it. Most classes of a short run have two or three.
_FEW = 8


class _Factory:
    """A default that is made anew for each instance."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is made by calling `default_factory` for each instance."""
    return _Factory(default_factory)  # type: ignore[return-value]


class lazy(Generic[C, T]):  # noqa: N801  (a decorator)
    """A property that is computed when it is first asked for, and kept in its instance.

    `functools.cached_property` without the lock that it takes in Python 3.10 and 3.11: a run that is read has seven.
    Threads that ask at once may each compute it.

    Args:
        compute: The method.
    """

    def __init__(self, compute: Callable[[C], T]) -> None:
        self.__doc__ = compute.__doc__
        self._compute = compute

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[C, T]: ...
    @overload
    def __get__(self, instance: C, owner: type) -> T: ...
    def __get__(self, instance: C | None, owner: type) -> lazy[C, T] | T:
        """Compute it; afterwards the instance's own attribute is found before this."""
        if instance is None:
            return self
        found = vars(instance)[self._name] = self._compute(instance)
        return found


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, eq: bool = True, slots: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, eq: bool = True, slots: bool = True) -> Any:
    """Make of a class with annotated fields one of immutable values.

    Args:
        cls: The class.
        eq: Whether instances with equal fields are equal; otherwise each equals itself alone.
        slots: Whether instances hold nothing but their fields; a `cached_property` needs more.

    Raises:
        ValueError: the default of a field is mutable.
    """
    if cls is None:
        return lambda cls: _made(cls, _FROZEN, eq=eq, slots=slots)
    return _made(cls, _FROZEN, eq=eq, slots=slots)


@dataclass_transform(eq_default=False, field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make of a class with annotated fields one whose instances' fields may be assigned; each equals itself alone.

    Raises:
        ValueError: the default of a field is mutable.
    """
    return _made(cls, {}, eq=False, slots=True)


def field_names(value: object) -> tuple[str, ...]:
    """The names of the fields of a value or of its class, in order; none where it is no such class."""
    names: tuple[str, ...] = getattr(value, "__match_args__", ())
    return names if hasattr(value, "__value_defaults__") else ()


def replace(value: T, /, **changes: Any) -> T:
    """A copy of a value with other contents in some fields. Raises TypeError: there is no such field."""
    kept = {name: getattr(value, name) for name in field_names(value) if name not in changes}
    return type(value)(**kept, **changes)


def _made(cls: type, more: dict[str, Any], *, eq: bool, slots: bool) -> type:
    """The class made again, with the methods of a value; slots can be added in no other way."""
    body = {key: item for key, item in vars(cls).items() if key not in {"__dict__", "__weakref__"}}
    own = [
        name
        for name, kind in body.get("__annotations__", {}).items()
        if not str(kind).startswith(("ClassVar", "typing.ClassVar"))
    ]
    inherited = [name for base in cls.__bases__ for name in field_names(base)]
    names = tuple(dict.fromkeys((*inherited, *own)))
    made = {
        "__match_args__": names,
        "__value_defaults__": _defaults(
            cls, {name: body.pop(name) for name in own if name in body}
        ),
        "__value_uses__": 0,
        "__init__": _first_init,
        "__repr__": _repr,
        "__reduce__": _reduce,
    }
    content: Callable[[Any], Any] = operator.attrgetter(*names) if names else lambda _: ()
    if eq:
        made |= {"__eq__": _equality(content), "__hash__": lambda self: hash(content(self))}
    made |= more
    if slots:
        made["__slots__"] = tuple(name for name in own if name not in inherited)
    # What the class defines itself counts, but not the `__hash__ = None` that an `__eq__` of its own brings.
    made |= {key: item for key, item in body.items() if key != "__hash__" or item is not None}
    new = type(cls)(cls.__name__, cls.__bases__, made)
    new.__qualname__ = cls.__qualname__
    return new


def _defaults(cls: type, own: dict[str, Any]) -> dict[str, Any]:
    """The defaults of a class and of those it is derived from, by field."""
    for name, default in own.items():
        if type(default).__hash__ is None:
            msg = f"the default of {cls.__qualname__}.{name} is mutable: use field(default_factory=...)"
            raise ValueError(msg)
    defaults: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        defaults |= vars(base).get("__value_defaults__", {})
    return defaults | own


def _first_init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Set the fields of a class's first few instances; afterwards an `__init__` of its own takes this one's place.

    That one also tells wrong arguments, as Python does.
    """
    made_first = (base for base in type(self).__mro__ if vars(base).get("__init__") is _first_init)
    owner: Any = next(made_first, None)
    if owner is None:  # another thread has just put the other one in its place
        type(self).__init__(self, *args, **kwargs)
        return
    names = owner.__match_args__
    given = dict(zip(names, args, strict=False)) | kwargs
    contents = owner.__value_defaults__ | given
    owner.__value_uses__ += 1
    is_whole = contents.keys() == set(names) and len(given) == len(args) + len(kwargs)
    if not is_whole or owner.__value_uses__ > _FEW:
        owner.__init__ = _compiled_init(owner)
        owner.__init__(self, *args, **kwargs)
        return
    for name in names:
        item = contents[name]
        object.__setattr__(self, name, item.make() if type(item) is _Factory else item)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _compiled_init(cls: Any) -> Any:
    """An `__init__` that takes the fields in order and writes each, through its slot where it has one."""
    space: dict[str, Any] = {"_MISSING": _MISSING}
    arguments, lines = ["self"], []
    for name in cls.__match_args__:
        space[f"_set_{name}"] = _setter(cls, name)
        default = cls.__value_defaults__.get(name, _MISSING)
        argument, given = name, name
        if isinstance(default, _Factory):
            space[f"_make_{name}"] = default.make
            argument = f"{name}=_MISSING"
            given = f"_make_{name}() if {name} is _MISSING else {name}"
        elif default is not _MISSING:
            space[f"_default_{name}"] = default
            argument = f"{name}=_default_{name}"
        arguments.append(argument)
        lines.append(f"    _set_{name}(self, {given})")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    source = f"def __init__({', '.join(arguments)}):\n" + ("\n".join(lines) or "    pass")
    exec(source, space)  # noqa: S102  (names of fields are identifiers that Python has accepted)
    init = space["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _setter(cls: type, name: str) -> Callable[[Any, Any], None]:
    slot = getattr(cls, name, None)
    if isinstance(slot, MemberDescriptorType):
        return slot.__set__
    return lambda self, value: object.__setattr__(self, name, value)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), tuple(getattr(self, name) for name in self.__match_args__)


def _equality(content: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def equals(self: Any, other: Any) -> Any:
        if self is other:
            return True
        if other.__class__ is not self.__class__:
            return NotImplemented
        return content(self) == content(other)

    return equals


def _refuse_set(self: Any, name: str, value: object) -> None:  # noqa: ARG001  (Python's signature)
    raise AttributeError(f"{type(self).__qualname__} is immutable: can't assign {name!r}")


def _refuse_delete(self: Any, name: str) -> None:
    raise AttributeError(f"{type(self).__qualname__} is immutable: can't delete {name!r}")


_FROZEN: dict[str, Any] = {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
