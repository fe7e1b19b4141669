"""Where in a value that can't be stored the part is that can't, as a path: `['lock'][1].handle`.

Found by storing parts by themselves, level by level. That is slow, and done for an error message alone.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import TOO_DEEP
from gitflowrun.artifacts.codecs.registry import encode
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.limits import MAX_DEPTH, PARTS_TRIED, PATH_KEY
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Iterator


def innermost(value: Any, error: UnserializableArtifact) -> tuple[str, UnserializableArtifact]:
    """The path to the innermost part that can't be stored, and the error for that part.

    Args:
        value: A value that can't be stored.
        error: Why not; the result where no part of it is to blame.
    """
    is_ours = type(value).__module__.startswith(
        "gitflowrun."
    )  # which says itself what to do instead
    if TOO_DEEP in error.message or is_ours:
        return "", error
    path, seen = "", {id(value)}
    for _ in range(MAX_DEPTH):
        found = _part_to_blame(value, seen)
        if found is None:
            break
        step, value, error = found
        path += step
        seen.add(id(value))
    return path, error


def _part_to_blame(value: Any, seen: set[int]) -> tuple[str, Any, UnserializableArtifact] | None:
    for step, part in islice(_parts(value), PARTS_TRIED):
        error = None if id(part) in seen else _error(part)
        if error is not None:
            return step, part, error
    return None


def _error(part: Any) -> UnserializableArtifact | None:
    try:
        encode(part)
    except UnserializableArtifact as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value is made of, as far as can be seen from outside, each with how one gets there."""
    if isinstance(value, dict):
        for key, part in list(value.items()):
            yield f"[{_short(key)}]", part
    elif isinstance(value, list | tuple | deque):
        for index, part in enumerate(list(value)):
            yield f"[{index}]", part
    elif isinstance(value, set | frozenset):
        for part in list(value):
            yield f"{{{_short(part)}}}", part
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, type):
        for name, part in list(attributes.items()):
            yield f".{name}", part
    code, cells = getattr(value, "__code__", None), getattr(value, "__closure__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), cells or (), strict=False):
        yield f"({name})", cell.cell_contents


def _short(value: Any) -> str:
    return bounded_repr(value, PATH_KEY)
