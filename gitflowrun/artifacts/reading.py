"""What reading a value leaves in it: results that its properties keep, and what libraries note down when asked.

A cache is not told from a change by its looks: attributes are set either way. What a property may have kept is taken
out of the changed value, and must then be what the stored one makes when it is read in the same way.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import lru_cache
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any

from gitflowrun.limits import PARTS_COMPARED
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Attributes = dict[str, Any]
_ABSENT = object()
_CACHE = "_cache"
"""In a dict of this name, properties of pandas and statsmodels keep what they compute."""

# What methods of a library note down in its objects. All of it is computed anew where it isn't there.
_NOTES = {
    "statsmodels": frozenset({
        "predict_start", "predict_end", "predict_dates",
        "diagn", "het_scale", "_nobs_int", "_summary_cache", "_summary_statistics_cache",
    }),
    "sklearn": frozenset({"_cached_dict"}),
    "sqlalchemy": frozenset({"_memoized_keys"}),
}  # fmt: skip
_NONE: frozenset[str] = frozenset()
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})
_CONTAINERS = frozenset({dict, list, tuple, deque})
_SHARED = (type, ModuleType, FunctionType)  # objects that many values have in common


@frozen
class _Kept:
    """What a property may have kept in an object.

    Attributes:
        name: The property's.
        key: Under which its result is kept.
        in_cache: Whether that is in `_cache`, and not an attribute or slot.
        owner: The object, as it was stored.
        changed: The object as it is now.
        result: What is kept.
    """

    name: str
    key: str
    in_cache: bool
    owner: Any
    changed: Any
    result: Any

    def keep_again(self) -> None:
        """Read the stored object, and give the changed one its result back."""
        getattr(self.owner, self.name)
        if not self.in_cache:
            _set(self.changed, self.key, self.result)
            return
        if _CACHE not in _state(self.changed):
            _set(self.changed, _CACHE, {})
        _state(self.changed)[_CACHE][self.key] = self.result


def is_read(before: Any, after: Any, payload: Callable[[Any], bytes]) -> bool:
    """Whether a value is another one that has been read. Both are changed.

    Args:
        before: The value as it was stored.
        after: The value as it is now.
        payload: Encodes a value as it is once it has been stored and loaded.
    """
    kept: list[_Kept] = []
    has_notes = False
    for one, other in _objects(before, after):
        kept += _take_out(one, other)
        has_notes = any([_forget_notes(one), _forget_notes(other), has_notes])
    if not kept and not has_notes:
        return False
    if payload(before) != payload(after):
        return False
    for result in kept:
        result.keep_again()
    for one, other in _objects(before, after):  # properties ask libraries, too
        _forget_notes(one)
        _forget_notes(other)
    return not kept or payload(before) == payload(after)


def _objects(before: Any, after: Any) -> Iterator[tuple[Any, Any]]:
    """The objects that have attributes or slots at the same places of both values."""
    waiting = deque([(before, after)])
    seen: set[int] = set()
    while waiting and len(seen) < PARTS_COMPARED:
        one, other = waiting.popleft()
        if type(one) is not type(other) or id(other) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(other))
        cls = _class(one)
        if cls not in _CONTAINERS and (_slots(cls) or _attributes(one) is not None):
            yield one, other
        waiting.extend(pair for pair in _parts(one, other) if type(pair[0]) not in _ATOMS)


def _parts(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(one, dict):
        yield from ((part, other[key]) for key, part in one.items() if key in other)
    elif isinstance(one, list | tuple | deque):
        yield from zip(one, other, strict=False)
    if type(one) in _CONTAINERS:
        return
    mine, others = _state(one), _state(other)
    yield from ((part, others[name]) for name, part in mine.items() if name in others)


def _attributes(value: Any) -> _Attributes | None:
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return attributes if type(attributes) is dict else None


def _class(value: object) -> Any:
    return type(value)  # to mypy, `lru_cache` takes no `type`


@lru_cache(maxsize=256)
def _slots(cls: Any) -> dict[str, MemberDescriptorType]:
    members = [item for base in reversed(cls.__mro__) for item in vars(base).items()]
    return {name: it for name, it in members if isinstance(it, MemberDescriptorType)}


def _state(value: Any) -> _Attributes:
    """What an object has in its attributes and slots."""
    found = dict(_attributes(value) or {})
    for name, slot in _slots(_class(value)).items():
        with suppress(AttributeError):  # it is empty
            found[name] = slot.__get__(value)
    return found


def _set(value: Any, name: str, part: Any) -> None:
    """Set an attribute or slot; `_ABSENT` deletes it."""
    slot, attributes = _slots(_class(value)).get(name), _attributes(value)
    if slot is not None:
        slot.__delete__(value) if part is _ABSENT else slot.__set__(value, part)
    elif attributes is not None and part is not _ABSENT:
        attributes[name] = part
    elif attributes is not None:
        del attributes[name]


def _take_out(one: Any, other: Any) -> Iterator[_Kept]:
    """Put back what properties may have kept in an object since it was stored."""
    before, after, cls = _state(one), _state(other), type(one)
    for name in [name for name, value in after.items() if before.get(name, _ABSENT) is not value]:
        if name == _CACHE and type(after[name]) is dict:
            yield from _take_out_of_cache(one, other, before.get(name))
            if name not in before:
                _set(other, name, _ABSENT)
        elif before.get(name) is None and (reader := _property(cls, name)):
            yield _Kept(reader, name, False, one, other, after[name])  # noqa: FBT003
            _set(other, name, before.get(name, _ABSENT))


def _take_out_of_cache(one: Any, other: Any, before: Any) -> Iterator[_Kept]:
    known = before if type(before) is dict else {}
    cache = _state(other)[_CACHE]
    for name in [name for name in cache if name not in known]:
        if isinstance(name, str) and _is_property(type(one), name):
            yield _Kept(name, name, True, one, other, cache.pop(name))  # noqa: FBT003


def _forget_notes(value: Any) -> bool:
    """Whether there may have been any: what methods of its library note down in an object."""
    library = type(value).__module__.partition(".")[0]
    if library == "scipy" and hasattr(value, "sum_duplicates"):
        value.sum_duplicates()  # many methods of sparse matrices begin by doing so
        return True
    attributes = _attributes(value) or {}
    noted = _NOTES.get(library, _NONE) & attributes.keys()
    for name in noted:
        del attributes[name]
    return bool(noted)


def _property(cls: Any, attribute: str) -> str | None:
    """The property that may keep its result in an attribute: of the same name, or without underscores before it."""
    bare = attribute.removeprefix(f"_{cls.__name__.lstrip('_')}__").lstrip("_")
    own = attribute if attribute in _slots(cls) else None  # a class may fill it when it is missed
    return next((name for name in (attribute, bare) if _is_property(cls, name)), own)


def _is_property(cls: type, name: str) -> bool:
    for base in cls.__mro__:
        if name in vars(base):
            member = vars(base)[name]
            is_slot = isinstance(member, MemberDescriptorType)
            return hasattr(member, "__get__") and not is_slot and not callable(member)
    return False
