"""Enum members, dataclass instances and named tuples in plain/1: the name of their class, and what they hold.

A class of the flow's own file is a class of `__main__` while the flow runs, and of `myflow` for whoever
imports the file; it is written as `myflow`, and looked for in `__main__` and in `myflow`. Without trust
only modules that are imported already are looked into: naming a module must not execute it.

Rebuilding sets attributes; no `__init__`, `__post_init__` or `__setattr__` of the class runs. A class that says
how it wants to be pickled is left to pickle.
"""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable, needs_trust
from gitflowrun.errors import ClassChanged, CorruptRecord, NotFound, UntrustedArtifact
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

_MAIN = "__main__"


def main_name() -> str:
    """The name under which the main script could be imported; `__main__` in an interactive session."""
    main = sys.modules.get(_MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != _MAIN:  # as a profiler calls each file that it executes
        return str(spec.name).removesuffix("." + _MAIN)
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else _MAIN


def name_of(cls: type) -> tuple[str, str]:
    """Module and qualified name under which `find` will meet exactly this class.

    Raises:
        Unencodable: there is none (a local or a replaced class).
    """
    module, qualname = cls.__module__, cls.__qualname__
    if _look_up(sys.modules.get(module), qualname) is not cls:
        raise Unencodable(f"class {module}.{qualname} can't be found by its name")
    return (main_name() if module == _MAIN else module), qualname


def is_of_main(cls: type) -> bool:
    """Whether a class is one of the flow's file, by the name of which others can import it."""
    found = cls.__module__ == _MAIN and _look_up(sys.modules.get(_MAIN), cls.__qualname__) is cls
    return found and main_name() != _MAIN


def find(module: str, qualname: str, *, trusted: bool) -> Any:
    """The object that `qualname` names in `module`.

    Raises:
        UntrustedArtifact: the module would have to be imported for a value that isn't trusted.
        NotFound: the module or the name doesn't exist here.
    """
    for candidate in _candidates(module):
        found = _look_up(sys.modules.get(candidate), qualname)
        if found is not None:
            return found
    if not trusted and module not in sys.modules:
        raise UntrustedArtifact(
            f"the value needs {module}.{qualname}, and importing {module} would run its code",
            hint=f"`import {module}` yourself if you trust it, or trust the run: git runs trust <run>",
        )
    try:
        found = _look_up(importlib.import_module(module), qualname)
    except ImportError as error:
        found = _look_up(sys.modules[_MAIN], qualname) if _may_be_main(module) else None
        if found is None:
            raise _missing(module, qualname) from error
    if found is None:
        raise _missing(module, qualname)
    return found


def _candidates(module: str) -> tuple[str, ...]:
    """Modules to look into, the main script first if it is the module under its other name."""
    return (_MAIN, module) if module in {_MAIN, main_name()} else (module,)


def _may_be_main(module: str) -> bool:
    """Whether the main script's file is the module, seen from another directory: `-m pkg.flow`, `pkg/flow.py`."""
    file = getattr(sys.modules.get(_MAIN), "__file__", None)
    parts = PurePath(file).with_suffix("").parts if file else ()
    return parts[-module.count(".") - 1 :] == tuple(module.split("."))


def _look_up(module: object, qualname: str) -> Any:
    """What is there already: asking for an attribute could run a module's `__getattr__`."""
    found = module
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found.__func__ if isinstance(found, staticmethod) else found


def _missing(module: str, qualname: str) -> NotFound:
    if module == _MAIN:
        hint = "it was defined in an interactive session; define it here again before loading"
    else:
        hint = f"make module {module} importable here; a flow's file lies in the run's code/"
    return NotFound(f"the value needs {module}.{qualname}, which does not exist here", hint=hint)


@frozen
class ClassKind:
    """A kind of classes whose values are written as the name of the class, and what the value holds.

    Attributes:
        name: What messages call such a class.
        includes: Whether a class is of this kind.
        content: What a value holds.
        rebuild: The value of that class that holds what `content` gave.
    """

    name: str
    includes: Callable[[type], bool]
    content: Callable[[Any], list[Any]]
    rebuild: Callable[[Any, list[Any]], Any]

    def explode(self, value: Any) -> list[Any]:
        """Module and name of the value's class, then what it holds."""
        return [*name_of(type(value)), *self.content(value)]

    def build(self, parts: list[Any], *, trusted: bool) -> Any:
        """The value that `explode` took apart."""
        module, qualname, *content = parts
        cls = find(module, qualname, trusted=trusted)
        if not isinstance(cls, type) or not self.includes(cls):
            raise ClassChanged(f"{module}.{qualname} is no {self.name} any more")
        if not trusted and hasattr(cls, "__del__"):
            raise needs_trust(
                f"the value needs {module}.{qualname}, which runs code when it is freed"
            )
        return self.rebuild(cls, content)


def _changed(cls: type, what: str) -> ClassChanged:
    name = f"{cls.__module__}.{cls.__qualname__}"
    return ClassChanged(f"{name} is not what it was when the value was stored: {what}")


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def _enum_content(value: Any) -> list[Any]:
    """The name of a member; for a combination of flags, None and its value."""
    if type(value).__members__.get(value.name) is value:
        return [value.name]
    from enum import Flag

    if isinstance(value, Flag):
        return [None, value.value]
    raise Unencodable("an enum value that is no member")


def _enum_member(cls: Any, content: list[Any]) -> Any:
    name, *value = content
    if name in cls.__members__:
        return cls[name]
    from enum import Flag

    if name is not None:
        raise _changed(cls, f"it has no member {name!r}")
    # With more than a number, or of another class, a call would make a class, or run code of it.
    if not issubclass(cls, Flag) or [type(part) for part in value] != [int]:
        raise _changed(cls, "it is no combination of flags")
    try:
        return cls(*value)
    except ValueError as error:
        raise _changed(cls, str(error)) from error


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _namedtuple_content(value: Any) -> list[Any]:
    cls: Any = type(value)
    if getattr(value, "__dict__", None) or cls.__reduce_ex__ is not object.__reduce_ex__:
        raise Unencodable("a named tuple that is more than its items")
    return list(value)


def _namedtuple(cls: Any, items: list[Any]) -> Any:
    if len(items) != len(cls._fields):
        what = f"its fields are {', '.join(cls._fields)}, and {len(items)} values were stored"
        raise _changed(cls, what)
    return tuple.__new__(cls, items)


def _is_dataclass(cls: type) -> bool:
    return hasattr(cls, "__dataclass_fields__") and _rebuildable(cls)


def is_frozen(cls: type) -> bool:
    """Whether a dataclass promises that its instances don't change, and that equal ones are as good as one."""
    params = getattr(cls, "__dataclass_params__", None)
    is_compared = vars(object)["__eq__"] is not cls.__eq__
    return params is not None and bool(params.frozen) and is_compared


def _dataclass_content(value: Any) -> list[Any]:
    """Names and values of an instance's attributes, fields first."""
    cls: Any = type(value)
    attributes = getattr(value, "__dict__", {})
    slots = slots_of(cls)
    content = []
    for name in dict.fromkeys((*cls.__dataclass_fields__, *slots, *attributes)):
        if name in attributes:
            content += [name, attributes[name]]
        elif name in slots and hasattr(value, name):
            content += [name, getattr(value, name)]
    return content


def _instance(cls: Any, content: list[Any]) -> Any:
    instance: Any = object.__new__(cls)
    slots = slots_of(cls)
    attributes = getattr(instance, "__dict__", None)
    for name, value in zip(content[::2], content[1::2], strict=True):
        if type(name) is not str:
            raise CorruptRecord(f"an attribute of {cls.__qualname__} without a name")
        if name in slots:
            object.__setattr__(instance, name, value)
        elif attributes is not None:
            attributes[name] = value
        else:
            raise _changed(cls, f"it has no place for {name!r}")
    return instance


@functools.lru_cache(maxsize=1024)
def slots_of(cls: type) -> tuple[str, ...]:
    """The names under which the class's slots are reached; private ones are mangled."""
    found: list[str] = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{base.__name__.lstrip('_')}{slot}" if private else slot
            if slot not in {"__dict__", "__weakref__"} and name not in found:
                found.append(name)
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def _rebuildable(cls: type) -> bool:
    """Whether attributes are all there is to an instance, as far as the class says."""
    plain = all(
        getattr(cls, name, None) is getattr(object, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__")
    )
    states = [getattr(cls, name, None) for name in ("__getstate__", "__setstate__")]
    generated = all(getattr(state, "__module__", None) == "dataclasses" for state in states)
    default = states == [getattr(object, "__getstate__", None), None]
    try:
        object.__new__(cls)
    except TypeError:  # it has a built-in base whose state is no attribute
        return False
    return plain and (default or generated)


DATACLASS = 41
KINDS = {
    40: ClassKind("enum", _is_enum, _enum_content, _enum_member),
    42: ClassKind("named tuple", _is_namedtuple, _namedtuple_content, _namedtuple),
    DATACLASS: ClassKind("dataclass", _is_dataclass, _dataclass_content, _instance),
}
"""The kinds by their extension code; the first that includes a class is its."""
