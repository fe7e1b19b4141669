"""Classes whose instances are values: typed fields, compared by content, frozen, in slots.

They are what `dataclasses.dataclass(frozen=True, slots=True)` makes, and type checkers treat them so, at a
fraction of the start-up cost: the standard library generates and compiles five functions for each class when
it is defined, which was 27 % of the CPU of a three-step run. Here a class costs one `type()` call, equality,
hash, order and text are shared functions, and `__init__` is compiled when some instances have been made.
Sixty classes took 107 ms as dataclasses, 25 as named tuples (which are also equal to other tuples), 115 with
attrs and 35 with msgspec (`tests/benchmarks/values.py` compares them again).

The words are those of attrs: `frozen` and `mutable` classes, `field` for a default that is made anew for each
instance. Subclassing adds fields; `__post_init__` is called if there is one.
"""

from __future__ import annotations

from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Any:
        """Do nothing: what type checkers read, and Python 3.10 does not have."""
        return lambda decorator: decorator


__all__ = ["field", "field_names", "frozen", "mutable", "replace"]

T = TypeVar("T")
_MISSING: Any = object()
_FEW = 10
"""Instances of a class that are made before its `__init__` is compiled."""
_write = object.__setattr__


class _Factory:
    """A default that is made anew for each instance."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is made by calling `default_factory` for each instance."""
    return _Factory(default_factory)  # type: ignore[return-value]


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(
    *, eq: bool = True, order: bool = False, slots: bool = True
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, eq: bool = True, order: bool = False, slots: bool = True) -> Any:
    """Make of a class with annotated fields one of immutable values.

    Args:
        cls: The class.
        eq: Whether instances with equal fields are equal; otherwise each equals itself alone.
        order: Whether instances are ordered by their fields.
        slots: Whether instances hold nothing but their fields; a `cached_property` needs more.
    """
    more = _FROZEN | (_EQUAL if eq else {}) | (_ORDERED if order else {})
    if cls is None:
        return lambda cls: _made(cls, more, slots=slots)
    return _made(cls, more, slots=slots)


@overload
def mutable(cls: type[T], /) -> type[T]: ...
@overload
def mutable(*, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def mutable(cls: Any = None, /, *, eq: bool = True) -> Any:
    """Make of a class with annotated fields one whose instances' fields may be assigned.

    Args:
        cls: The class.
        eq: Whether instances with equal fields are equal, and then have no hash.
    """
    more = _EQUAL | {"__hash__": None} if eq else {}
    if cls is None:
        return lambda cls: _made(cls, more, slots=True)
    return _made(cls, more, slots=True)


def field_names(value: object) -> tuple[str, ...]:
    """The names of the fields of a value or of its class, in order; none where it is no such class."""
    names: tuple[str, ...] = getattr(value, "__match_args__", ())
    return names if hasattr(value, "__value_key__") else ()


def replace(value: T, /, **changes: Any) -> T:
    """A copy of a value with other contents in some fields. Raises TypeError: there is no such field."""
    kept = {name: getattr(value, name) for name in field_names(value) if name not in changes}
    return type(value)(**kept, **changes)


def _made(cls: type, more: dict[str, Any], *, slots: bool) -> type:
    """The class made again, with the methods of a value; slots can be added in no other way."""
    body = {key: item for key, item in vars(cls).items() if key not in {"__dict__", "__weakref__"}}
    own = [
        name
        for name, kind in body.get("__annotations__", {}).items()
        if not str(kind).startswith(("ClassVar", "typing.ClassVar"))
    ]
    inherited = [name for base in cls.__bases__ for name in field_names(base)]
    names = tuple(dict.fromkeys((*inherited, *own)))
    defaults = {
        key: item
        for base in reversed(cls.__mro__[1:])
        for key, item in vars(base).get("__value_defaults__", {}).items()
    }
    defaults |= {name: body.pop(name) for name in own if name in body}
    made = {
        "__match_args__": names,
        "__value_defaults__": defaults,
        "__value_key__": staticmethod(attrgetter(*names)) if names else staticmethod(_no_key),
        "__value_uses__": 0,
        "__init__": _first_init,
        "__repr__": _repr,
        "__reduce__": _reduce,
        **more,
    }
    if slots:
        made["__slots__"] = tuple(name for name in own if name not in inherited)
    # What the class defines itself counts, but not the `__hash__ = None` that an `__eq__` of its own brings.
    body = {key: item for key, item in body.items() if key != "__hash__" or item is not None}
    new = type(cls)(cls.__name__, cls.__bases__, made | body)
    new.__qualname__ = cls.__qualname__
    return new


def _no_key(_value: object) -> tuple[()]:
    return ()


def _first_init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Write the fields of one of a class' first instances; then put a compiled `__init__` into this one's place.

    To compile one costs as much as 40 calls of this, and most classes have few instances in a short process.
    """
    mro = type(self).__mro__
    owner: Any = next(base for base in mro if vars(base).get("__init__") is _first_init)
    names = owner.__match_args__
    given = {**owner.__value_defaults__, **dict(zip(names, args)), **kwargs}  # noqa: B905  (too many: see below)
    owner.__value_uses__ = uses = owner.__value_uses__ + 1
    is_sound = len(names) == len(given) and len(args) <= len(names)
    if uses > _FEW or not is_sound or not kwargs.keys().isdisjoint(names[: len(args)]):
        owner.__init__ = _compiled_init(owner)
        owner.__init__(self, *args, **kwargs)  # which says what is wrong if anything is
        return
    for name in names:
        value = given[name]
        _write(self, name, value.make() if isinstance(value, _Factory) else value)
    if hasattr(owner, "__post_init__"):
        self.__post_init__()


def _compiled_init(cls: Any) -> Any:
    """An `__init__` that takes the fields in order and writes each, through its slot where it has one."""
    names, defaults = cls.__match_args__, cls.__value_defaults__
    space: dict[str, Any] = {"_MISSING": _MISSING}
    arguments, lines = ["self"], []
    for name in names:
        space[f"_set_{name}"] = _setter(cls, name)
        given = name
        if name in defaults:
            default = defaults[name]
            space[f"_default_{name}"] = default.make if isinstance(default, _Factory) else default
            if isinstance(default, _Factory):
                given = f"_default_{name}() if {name} is _MISSING else {name}"
            made = "_MISSING" if isinstance(default, _Factory) else f"_default_{name}"
            arguments.append(f"{name}={made}")
        else:
            arguments.append(name)
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


def _eq(self: Any, other: Any) -> Any:
    if self is other:
        return True
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__value_key__(self) == self.__value_key__(other)


def _hash(self: Any) -> int:
    return hash(self.__value_key__(self))


def _refuse_set(self: Any, name: str, value: object) -> None:  # noqa: ARG001  (Python's signature)
    raise AttributeError(f"{type(self).__qualname__} is immutable: can't assign {name!r}")


def _refuse_delete(self: Any, name: str) -> None:
    raise AttributeError(f"{type(self).__qualname__} is immutable: can't delete {name!r}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(self.__value_key__(self), self.__value_key__(other))

    return method


_FROZEN = {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
_EQUAL = {"__eq__": _eq, "__hash__": _hash}
_ORDERED = {
    "__lt__": _ordered(lambda one, two: one < two),
    "__le__": _ordered(lambda one, two: one <= two),
    "__gt__": _ordered(lambda one, two: one > two),
    "__ge__": _ordered(lambda one, two: one >= two),
}
