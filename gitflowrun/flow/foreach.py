"""The items of a foreach: counting them, showing them, finding one again. Pure functions of values.

An item is what iteration yields. What can be iterated only once, or may come back from storage in another
order, is stored as a list: in place of the attribute itself when it is an iterator, as the private artifact
`_foreach_items_<depth>` otherwise.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

__all__ = [
    "MAX_VALUE_CHARS",
    "brief",
    "hidden_name",
    "is_hidden_name",
    "item_at",
    "needs_list",
    "single_use",
]

MAX_VALUE_CHARS = 30
_MAX_NESTING = 3


def hidden_name(depth: int) -> str:
    """The private artifact that holds the items of the foreach at `depth` where its attribute can't."""
    return f"_foreach_items_{depth}"


def is_hidden_name(name: str) -> bool:
    """Whether an artifact's name is one that `hidden_name` gives."""
    return name.startswith("_foreach_items_")


def single_use(value: object) -> bool:
    """Whether a value can't be stored as it is: an iterator, or a view of a dictionary."""
    return isinstance(value, (Iterator, KeysView, ValuesView, ItemsView))


def needs_list(value: object) -> bool:
    """Whether iteration and indexing of a value disagree, or its order may change in storage."""
    if isinstance(value, (Mapping, AbstractSet)) or hasattr(value, "iloc"):
        return True
    return not hasattr(value, "__getitem__")


def item_at(items: Any, index: int) -> Any:
    """The item at a position."""
    if isinstance(items, Sequence) or (hasattr(items, "__getitem__") and not needs_list(items)):
        return items[index]
    return next(islice(iter(items), index, None))


def brief(value: object) -> str:
    """A value as text of at most 30 characters, without rendering more of a large one than that."""
    try:
        text = str(_shortened(value, 0))
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything, and this is only a label)
        text = f"<{type(value).__name__}>"
    return text[:MAX_VALUE_CHARS]


def _shortened(value: Any, depth: int) -> Any:
    """A value whose text begins like that of `value`: containers and texts are cut, one item a character."""
    if type(value) in {str, bytes, bytearray}:
        return value[: MAX_VALUE_CHARS + 1]
    if type(value) not in {list, tuple, set, frozenset, dict} or depth > _MAX_NESTING:
        return value
    head: Iterable[Any] = islice(value, MAX_VALUE_CHARS + 1)
    if isinstance(value, dict):
        return {key: _shortened(value[key], depth + 1) for key in head}
    if isinstance(value, (list, tuple)):
        return type(value)([_shortened(item, depth + 1) for item in head])
    return type(value)(head)
