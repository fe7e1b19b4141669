"""The items of a foreach: finding one, showing one as text, and the artifact that keeps them. Pure functions.

An item is what iteration yields. A task of a foreach finds its item by index in the attribute that the foreach
names, as it was stored with the task that split. Where that can't work, the items are stored once more, as a
list, in the private artifact `_foreach_items_<depth>`: for what has no order or may come back in another one
(sets, dictionaries, data frames), and where a step within the foreach has assigned the attribute anew.
An iterator can be used only once, so a list replaces it as the attribute itself.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

MAX_VALUE_CHARS = 30
"""The length of an item's text, as in Metaflow."""
_DOTS: dict[type, str] = {
    list: "[...]",
    tuple: "(...)",
    dict: "{...}",
    set: "set(...)",
    frozenset: "frozenset(...)",
}

_ITEMS = "_foreach_items_"


def items_artifact(depth: int) -> str:
    """The name of the private artifact for the items of the foreach level `depth`; 0 is the outermost."""
    return f"{_ITEMS}{depth}"


def is_items_artifact(name: str) -> bool:
    """Whether an artifact's name is one that `items_artifact` gives."""
    return name.startswith(_ITEMS)


def is_single_use(value: object) -> bool:
    """Whether a value can't be stored as it is: an iterator, or a view of a dictionary."""
    return isinstance(value, (Iterator, KeysView, ValuesView, ItemsView))


def needs_list(value: object) -> bool:
    """Whether iteration and indexing of a value disagree, or its order may change in storage."""
    if isinstance(value, (Mapping, AbstractSet)) or hasattr(value, "iloc"):
        return True
    return not hasattr(value, "__getitem__")


def item_at(items: Any, index: int) -> Any:
    """The item at a position, counted from 0."""
    if (
        type(items) is list
        or isinstance(items, Sequence)
        or (hasattr(items, "__getitem__") and not needs_list(items))
    ):
        return items[index]
    return next(islice(iter(items), index, None))


def brief(value: object, most: int = MAX_VALUE_CHARS) -> str:
    """A value as text of at most so many characters; of a large one no more than that is rendered."""
    try:
        text = str(_shortened(value, [most + 1], frozenset(), most + 1))
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything, and this is only a label)
        text = f"<{type(value).__name__}>"
    return text[:most]


class _Rest:
    """Stands for a container that is not rendered: it is beyond the text, or within itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _shortened(value: Any, left: list[int], above: frozenset[int], most: int) -> Any:
    """A value whose text begins like that of `value`.

    Args:
        value: The value.
        left: How many values may still be looked at: each takes at least one character, so a text of so many is whole.
        above: The ids of the containers around it, in which Python shows itself as dots.
        most: How many characters of a string, and items of a container, are taken.
    """
    left[0] -= 1
    if type(value) in {str, bytes, bytearray}:
        return value[:most]
    dots = _DOTS.get(type(value))
    if dots is None:
        return value
    if left[0] <= 0 or id(value) in above:
        return _Rest(dots)
    above |= {id(value)}
    head: Iterable[Any] = islice(value, most)
    if isinstance(value, dict):
        pairs = ((key, value[key]) for key in head)
        return {
            _shortened(key, left, above, most): _shortened(item, left, above, most)
            for key, item in pairs
        }
    return type(value)([_shortened(item, left, above, most) for item in head])
