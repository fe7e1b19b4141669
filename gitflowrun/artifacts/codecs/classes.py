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

from gitflowrun.artifacts.codecs.payload import Unencodable
from gitflowrun.errors import CorruptRecord, NotFound, UntrustedArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAIN = "__main__"


def main_name() -> str:
    """The name under which the main script could be imported; `__main__` in an interactive session."""
    main = sys.modules.get(_MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
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
        raise _missing(module, qualname) from error
    if found is None:
        raise _missing(module, qualname)
    return found


def _candidates(module: str) -> tuple[str, ...]:
    """Modules to look into, the main script first if it is the module under its other name."""
    return (_MAIN, module) if module in {_MAIN, main_name()} else (module,)


def _look_up(module: object, qualname: str) -> Any:
    """What is there already: asking for an attribute could run a module's `__getattr__`."""
    found = module
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _missing(module: str, qualname: str) -> NotFound:
    if module == _MAIN:
        hint = "it was defined in an interactive session; define it here again before loading"
    else:
        hint = f"make module {module} importable here; a flow's file lies in the run's code/"
    return NotFound(f"the value needs {module}.{qualname}, which does not exist here", hint=hint)


def is_enum(cls: type) -> bool:
    """Whether values of this class are enum members."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def is_dataclass(cls: type) -> bool:
    """Whether values of this class are dataclass instances."""
    return hasattr(cls, "__dataclass_fields__")


def is_frozen(cls: type) -> bool:
    """Whether a dataclass promises that its instances don't change, and that equal ones are as good as one."""
    params = getattr(cls, "__dataclass_params__", None)
    is_compared = vars(object)["__eq__"] is not cls.__eq__
    return params is not None and bool(params.frozen) and is_compared


def is_namedtuple(cls: type) -> bool:
    """Whether values of this class are named tuples."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def explode_enum(value: Any) -> list[Any]:
    """Module, class and name of a member; for a combination of flags, its value."""
    cls = type(value)
    if cls.__members__.get(value.name) is value:
        return [*name_of(cls), value.name]
    from enum import Flag

    if isinstance(value, Flag):
        return [*name_of(cls), None, value.value]
    raise Unencodable("an enum value that is no member")


def build_enum(parts: list[Any], *, trusted: bool) -> Any:
    """The member that `explode_enum` took apart."""
    module, qualname, name, *value = parts
    cls = find(module, qualname, trusted=trusted)
    if not isinstance(cls, type) or not is_enum(cls):
        raise CorruptRecord(f"{module}.{qualname} is no enum")
    return cls[name] if name is not None else cls(*value)  # type: ignore[index]


def explode_dataclass(value: Any) -> list[Any]:
    """Module and class of an instance, then names and values of its attributes, fields first."""
    cls: type = type(value)
    if not _rebuildable(cls):
        raise Unencodable(f"{cls.__qualname__} defines how it is to be pickled")
    return [*name_of(cls), *(part for pair in _attributes(value, cls) for part in pair)]


def _attributes(value: Any, cls: type) -> Iterator[tuple[str, Any]]:
    attributes = getattr(value, "__dict__", {})
    slots = _slots(cls)
    names = dict.fromkeys((*cls.__dataclass_fields__, *slots, *attributes))  # type: ignore[attr-defined]
    for name in names:
        if name in attributes:
            yield name, attributes[name]
        elif name in slots and hasattr(value, name):
            yield name, getattr(value, name)


def build_dataclass(parts: list[Any], *, trusted: bool) -> Any:
    """The instance that `explode_dataclass` took apart."""
    module, qualname, *pairs = parts
    cls = find(module, qualname, trusted=trusted)
    if not isinstance(cls, type) or not is_dataclass(cls) or not _rebuildable(cls):
        raise CorruptRecord(f"{module}.{qualname} is no dataclass")
    instance: Any = object.__new__(cls)
    slots = _slots(cls)
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        if name in slots:
            object.__setattr__(instance, name, value)
        else:
            instance.__dict__[name] = value
    return instance


@functools.lru_cache(maxsize=1024)
def _slots(cls: type) -> tuple[str, ...]:
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


def explode_namedtuple(value: Any) -> list[Any]:
    """Module and class of a named tuple, then its items."""
    cls = type(value)
    if (
        getattr(value, "__dict__", None)
        or getattr(cls, "__reduce_ex__", None) != object.__reduce_ex__
    ):
        raise Unencodable("a named tuple that is more than its items")
    return [*name_of(cls), *value]


def build_namedtuple(parts: list[Any], *, trusted: bool) -> Any:
    """The named tuple that `explode_namedtuple` took apart."""
    module, qualname, *items = parts
    cls = find(module, qualname, trusted=trusted)
    if not isinstance(cls, type) or not is_namedtuple(cls):
        raise CorruptRecord(f"{module}.{qualname} is no named tuple")
    if len(items) != len(cls._fields):  # type: ignore[attr-defined]
        raise CorruptRecord(f"{module}.{qualname} has other fields than were stored")
    return tuple.__new__(cls, items)
