"""Values that msgpack holds exactly as they are, told apart many at a time and without looking at each.

Such a tree consists of dicts and lists that nobody else refers to, so that no sharing is lost, and of
None, bool, int, float and str. Records as JSON has them are of this kind, and there may be millions.
"""

from __future__ import annotations

import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["KINDS", "WORTH", "batches", "is_tree"]

KINDS = frozenset({type(None), bool, int, float, str, dict, list})
"""The types that a tree consists of."""
WORTH = 8
"""Values from which it pays to look at all at once."""

_KEYS = KINDS - {dict, list}
_BATCH = 4096
_count_references: Callable[[Any], int] | None = getattr(sys, "getrefcount", None)


def batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values, some at a time."""
    waiting = iter(values)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def is_tree(values: list[Any], levels: int) -> bool:
    """Whether all of `values` are trees.

    Args:
        values: A list that refers to each of them, besides the container that they are from. That one must
            be mutable: a tuple may be met twice, and each of its parts with it.
        levels: How deep they may nest.
    """
    level = values
    for _ in range(levels):
        if not set(map(type, level)) <= KINDS:
            return False
        containers = [value for value in level if type(value) is dict or type(value) is list]
        if not containers:
            return True
        if not _are_unshared(containers):
            return False
        dicts = [value for value in containers if type(value) is dict]
        if not set(map(type, chain.from_iterable(dicts))) <= _KEYS:
            return False
        lists = [value for value in containers if type(value) is list]
        level = list(chain(chain.from_iterable(map(dict.values, dicts)), *lists))
    return False


def _are_unshared(containers: list[Any]) -> bool:
    """Whether nobody refers to any of them but its own container and the two lists of `is_tree`."""
    if _count_references is None:
        return False
    return set(map(_count_references, containers)) == {_UNSHARED}


def _probe() -> int:
    """The references counted for a container of which `_are_unshared` is to be true."""
    if _count_references is None:
        return 0
    parent = [[]]  # type: list[list[Any]]
    level = list(parent)
    containers = [value for value in level if type(value) is list]
    (count,) = map(_count_references, containers)
    return count


_UNSHARED = _probe()
