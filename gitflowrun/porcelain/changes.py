"""How two artifacts differ, in words: lines of texts, places within a value, elements of arrays, numbers.

Values of codecs that run no code are loaded for this, up to a size; of all others what their tasks noted is
compared.
"""

from __future__ import annotations

import difflib
import itertools
import math
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.codecs.registry import ARRAY, PLAIN, TEXT
from gitflowrun.artifacts.preview import safe_repr
from gitflowrun.errors import GitflowrunError
from gitflowrun.limits import CHANGE_LINES, CHANGE_WIDTH, CHANGES_SHOWN, COMPARE_UP_TO, MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.porcelain.overview import ArtifactRow

_LOADED = frozenset({TEXT, PLAIN, ARRAY})


def changes(
    objects: ObjectStore, old: ArtifactRef, new: ArtifactRef, rows: tuple[ArtifactRow, ArtifactRow]
) -> tuple[str, ...]:
    """In what two artifacts differ, a line for each difference that is worth one.

    Args:
        objects: Where their payloads are.
        old: The artifact before.
        new: The artifact after.
        rows: Both as lists show them.

    Returns:
        A few lines; none where values look different anyway, or nothing but their bytes is known.
    """
    if old.codec == new.codec and old.codec in _LOADED and max(old.size, new.size) <= COMPARE_UP_TO:
        reader = ArtifactReader(objects)
        try:
            before, after = (reader.load(ref, trusted=False, writable=False) for ref in (old, new))
            found = tuple(_changes(before, after))
        except GitflowrunError:  # damaged, or of a class that is not here
            found = ()
        if found:
            return found
    found = tuple(_fact_changes(rows[0].facts, rows[1].facts))
    one, two = rows[0].preview or "", rows[1].preview or ""
    if not found and one != two and max(len(one), len(two)) > CHANGE_WIDTH:
        return ("shown as: " + " -> ".join(_apart(one, two)),)
    return found


def delta(old: str | None, new: str | None) -> str:
    """` (+0.5)` for the texts of two numbers; nothing for others."""
    for number in (int, float):
        try:
            change = number(new or "") - number(old or "")
        except ValueError:
            continue
        if change == 0 or not math.isfinite(change):
            return ""
        return f" ({change:+d})" if number is int else f" ({change:+.6g})"
    return ""


def _fact_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """The facts that tasks noted of two values and that differ."""
    for name in dict.fromkeys([*new, *old]):
        one, two = old.get(name), new.get(name)
        if one != two:
            yield f"{name}: {one or '(none)'} -> {two or '(none)'}{delta(one, two)}"


def _changes(old: Any, new: Any) -> Iterable[str]:
    if isinstance(old, str) and isinstance(new, str):
        return _lines(old, new)
    if type(old).__name__ == "ndarray":
        return _elements(old, new)
    found = list(itertools.islice(_parts(old, new, "", 0), CHANGES_SHOWN + 1))
    shown = [f"{place}: {one} -> {two}{delta(one, two)}" for place, one, two in found if place]
    return [*shown[:CHANGES_SHOWN], "…"] if len(shown) > CHANGES_SHOWN else shown


def _lines(old: str, new: str) -> Iterator[str]:
    """A text's lines that differ, as `git diff` writes them, without those around them."""
    if "\n" not in old.rstrip("\n") and "\n" not in new.rstrip("\n"):
        if max(len(old), len(new)) > CHANGE_WIDTH:
            one, two = map(repr, _apart(old, new))
            yield f"at character {_first_difference(old, new):,}: {one} -> {two}"
        return
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > CHANGE_LINES:  # the comparison is quadratic
        return
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    found = list(itertools.islice(itertools.islice(lines, 2, None), 4 * CHANGES_SHOWN + 1))
    yield from found[: 4 * CHANGES_SHOWN]
    if len(found) > 4 * CHANGES_SHOWN:
        yield "…"


def _elements(old: Any, new: Any) -> Iterator[str]:
    """How many elements of an array differ and by how much at most, or what else does."""
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        for name in ("shape", "dtype"):
            one, two = str(getattr(old, name)), str(getattr(new, name))
            if one != two:
                yield f"{name}: {one} -> {two}"
        return
    differ = old != new
    if old.dtype.kind in "fc":
        differ &= ~((old != old) & (new != new))  # noqa: PLR0124  (what is no number stays none)
    count = int(differ.sum())
    if not count:
        return
    most = ""
    if old.dtype.kind in "iuf":
        gap = abs(old[differ].astype("f8") - new[differ].astype("f8")).max()
        most = f", by up to {gap:.6g}"
    yield f"{count:,} of {old.size:,} elements differ{most}"


_Part = tuple[str, str, str]


def _parts(old: Any, new: Any, place: str, depth: int) -> Iterator[_Part]:
    """The places at which two values of Python's own containers differ, with what is there."""
    same = type(old) is type(new) and depth < MAX_DEPTH
    if same and isinstance(old, dict):
        yield from _items(old, new, place, depth)
    elif same and isinstance(old, list | tuple):
        if len(old) != len(new):
            yield f"{place} length".strip(), str(len(old)), str(len(new))
        for index, (one, two) in enumerate(zip(old, new, strict=False)):
            yield from _parts(one, two, f"{place}[{index}]", depth + 1)
    elif same and isinstance(old, set | frozenset):
        for item in (*(old - new), *(new - old)):
            yield f"{place} items".strip(), *_there(item in old, item in new, item, item)
    elif (one := safe_repr(old)) != (two := safe_repr(new)):
        yield place, *_apart(one, two)


def _items(old: dict[Any, Any], new: dict[Any, Any], place: str, depth: int) -> Iterator[_Part]:
    for key in [*new, *(key for key in old if key not in new)]:
        where = f"{place}[{_short(key)}]"
        if key in old and key in new:
            yield from _parts(old[key], new[key], where, depth + 1)
        else:
            yield where, *_there(key in old, key in new, old.get(key), new.get(key))


def _there(before: bool, after: bool, old: Any, new: Any) -> tuple[str, str]:
    return _short(old) if before else "(none)", _short(new) if after else "(none)"


def _short(value: Any) -> str:
    text = safe_repr(value)
    return text if len(text) <= CHANGE_WIDTH else text[:CHANGE_WIDTH] + "…"


def _apart(old: str, new: str) -> tuple[str, str]:
    """Two texts from a little before where they begin to differ, cut to a length."""
    if max(len(old), len(new)) <= CHANGE_WIDTH:
        return old, new
    start = max(_first_difference(old, new) - CHANGE_WIDTH // 6, 0)
    return _window(old, start), _window(new, start)


def _first_difference(old: str, new: str) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(old), len(new)))


def _window(text: str, start: int) -> str:
    end = start + CHANGE_WIDTH
    return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")
