"""How two artifacts differ, in words: lines of texts, places within a value, elements of arrays, numbers.

Values of codecs that run no code are loaded for this, up to a size; of all others what their tasks noted is
compared, and where that is the same, the values, in a process of their own (`value_comparison`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any
from zlib import crc32

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.codecs.classes import slots_of
from gitflowrun.artifacts.codecs.registry import ARRAY, PLAIN, TEXT
from gitflowrun.artifacts.preview import ADDRESS, Preview
from gitflowrun.artifacts.same_value import are_equal
from gitflowrun.errors import GitflowrunError
from gitflowrun.limits import (
    CHANGE_LINES,
    CHANGE_PARTS,
    CHANGE_WIDTH,
    CHANGE_WORK,
    CHANGES_SHOWN,
    COMPARE_UP_TO,
    COMPARED_TEXT,
    MAX_DEPTH,
)
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.porcelain.overview import ArtifactRow

EQUAL_PARTS = "equal part by part: what is one object, the order of keys, or a NaN's bits differ"
_LOADED = frozenset({TEXT, PLAIN, ARRAY})
_EXACT = frozenset({int, str, bytes, bool})


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
            found = tuple(value_changes(before, after))
            if not found and old.type == new.type and are_equal(before, after):
                found = (EQUAL_PARTS,)
        except GitflowrunError:  # damaged, or of a class that is not here
            found = ()
        if found:
            return found
    found = tuple(_fact_changes(rows[0].facts, rows[1].facts))
    if not found and old.picture is not None and old.picture == new.picture:
        return ("drawn alike: both have the same picture",)
    one, two = (Preview(row.preview or "").line for row in rows)
    are_listed = not any(row.facts for row in rows) and max(len(one), len(two)) <= CHANGE_WIDTH
    if not found and one != two and not are_listed:
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


def value_changes(old: Any, new: Any) -> Iterator[str]:
    """In what two values differ, a line for each place within them, as many as are worth showing.

    None where that is how both are shown as a whole.
    """
    parts = _Parts()
    found = list(itertools.islice(parts.of(old, new, ""), CHANGES_SHOWN + 1))
    yield from (line for line in found[:CHANGES_SHOWN] if line)
    if len(found) > CHANGES_SHOWN:
        yield "…"
    elif parts.left < 0:
        yield f"more than {CHANGE_PARTS:,} parts: the others are not compared"


def _lines(old: str, new: str) -> Iterator[str]:
    """A text's lines that differ, as `git diff` writes them, without those around them."""
    if "\n" not in old.rstrip("\n") and "\n" not in new.rstrip("\n"):
        if max(len(old), len(new)) > CHANGE_WIDTH:
            one, two = map(repr, _apart(old, new))
            yield f"at character {_first_difference(old, new):,}: {one} -> {two}"
        return
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > CHANGE_LINES or _line_work(before, after) > CHANGE_WORK:
        return
    import difflib  # most values that differ are no texts of several lines

    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    found = list(itertools.islice(itertools.islice(lines, 2, None), 4 * CHANGES_SHOWN + 1))
    yield from found[: 4 * CHANGES_SHOWN]
    if len(found) > 4 * CHANGES_SHOWN:
        yield "…"


def _alike(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines two texts have in common before the first that differs."""
    pairs = zip(before, after, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _line_work(before: Sequence[str], after: Sequence[str]) -> int:
    """How many steps `difflib` takes at most: it looks at all pairs of equal lines for each block that it finds."""
    begin = _alike(before, after)
    inner = before[begin:], after[begin:]
    end = _alike(inner[0][::-1], inner[1][::-1])
    there = Counter(after)
    often = len(after) // 100 + 1 if len(after) >= 200 else len(after)  # noqa: PLR2004  (its own numbers)
    equal = sum(count for line in before if (count := there[line]) <= often)
    one, two = (Counter(lines[: len(lines) - end]) for lines in inner)
    blocks = one & two
    return (len(before) + equal) * (blocks.total() + 2)


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
        if old.tobytes("A") != new.tobytes("A") or old.strides != new.strides:
            yield "equal numbers: what differs is their order in memory, a zero's sign or a NaN's bits"
        return
    most = ""
    if old.dtype.kind in "iuf":
        gap = abs(old[differ].astype("f8") - new[differ].astype("f8")).max()
        most = f", by up to {gap:.6g}"
    yield f"{count:,} of {old.size:,} elements differ{most}"


class _Parts:
    """The places at which two values differ, each as a line that says what is there.

    A line is empty where the values differ as a whole: both are shown anyway.

    Attributes:
        left: How many parts may still be looked at; negative once something was left out.
    """

    def __init__(self) -> None:
        self.left = CHANGE_PARTS
        self._compared: dict[tuple[int, int], Any] = {}
        self._depth = 0

    def of(self, old: Any, new: Any, place: str) -> Iterator[str]:
        """The differences of two values, or of what is at a place within them."""
        self.left -= 1
        if self.left < 0:
            return
        parts = self._inside(old, new, place) if type(old) is type(new) else None
        if parts is None or self._depth >= MAX_DEPTH:
            yield from _whole(old, new, place)
            return
        pair = (id(old), id(new))
        if pair in self._compared:  # also what is within itself
            return
        self._compared[pair] = old, new  # nothing else gets these ids meanwhile
        self._depth += 1
        yield from parts
        self._depth -= 1

    def _inside(self, old: Any, new: Any, place: str) -> Iterator[str] | None:
        """The differences of the parts of two values of one type; None for a type without."""
        if isinstance(old, str) and not place:
            return _lines(old, new)
        if isinstance(old, dict):
            return self._items(old, new, place)
        if isinstance(old, list | tuple):
            return self._elements(old, new, place)
        if isinstance(old, set | frozenset):
            return (
                _line(f"{place} items", *_there(item in old, item in new, item, item))
                for item in (*(old - new), *(new - old))
            )
        return self._of_object(old, new, place)

    def _of_object(self, old: Any, new: Any, place: str) -> Iterator[str] | None:
        """The same for arrays, frames, and whatever has attributes."""
        if type(old).__name__ == "ndarray":
            return (f"{place}: {line}" if place else line for line in _elements(old, new))
        if (columns := _columns(old)) is not None:
            return self._frames(columns, _columns(new) or {}, place)
        parts = _attributes(old), _attributes(new)
        return self._attributes(*parts, place) if parts[0] is not None else None

    def _elements(self, old: Sequence[Any], new: Sequence[Any], place: str) -> Iterator[str]:
        if len(old) != len(new):
            yield _line(f"{place} length", str(len(old)), str(len(new)))
        for index, (one, two) in enumerate(zip(old, new, strict=False)):
            if one is two or (_is_exact(one, type(two)) and one == two):
                continue
            if self.left < 0:
                return
            yield from self.of(one, two, f"{place}[{index}]")

    def _items(self, old: dict[Any, Any], new: dict[Any, Any], place: str) -> Iterator[str]:
        for key in [*new, *(key for key in old if key not in new)]:
            if self.left < 0:
                return
            where = f"{place}[{_short(key)}]"
            if key in old and key in new:
                yield from self.of(old[key], new[key], where)
            else:
                yield _line(where, *_there(key in old, key in new, old.get(key), new.get(key)))

    def _attributes(
        self, old: dict[str, Any] | None, new: dict[str, Any] | None, place: str
    ) -> Iterator[str]:
        old, new = old or {}, new or {}
        for name in dict.fromkeys([*new, *old]):
            if name in old and name in new:
                yield from self.of(old[name], new[name], f"{place}.{name}")
            else:
                there = _there(name in old, name in new, old.get(name), new.get(name))
                yield _line(f"{place}.{name}", *there)

    def _frames(self, old: _Columns, new: _Columns, place: str) -> Iterator[str]:
        """The columns of frames that differ: how many rows of each, and the first of them."""
        for name in dict.fromkeys([*new, *old]):
            where = (
                f"{place} column {_short(name)}".strip() if name is not None else place or "values"
            )
            if name not in old or name not in new:
                one, two = (
                    columns[name][0] if name in columns else "(none)" for columns in (old, new)
                )
                yield _line(where, one, two)
                continue
            (kind, before), (other_kind, after) = old[name], new[name]
            if kind != other_kind:
                yield _line(f"{where} dtype", kind, other_kind)
            if len(before) != len(after):
                yield _line(f"{where} rows", str(len(before)), str(len(after)))
            pairs = enumerate(zip(map(_text, before), map(_text, after), strict=False))
            differ = [row for row, (one, two) in pairs if one != two]
            if differ:
                first = differ[0]
                change = _line(f"row {first}", *_apart(_text(before[first]), _text(after[first])))
                yield f"{where}: {len(differ):,} of {len(before):,} rows differ, {change}"


def _is_exact(value: Any, other: type) -> bool:
    """Whether a value is the same as any of the other type that equals it, as no zero is: it may have a sign."""
    kind = type(value)
    return kind is other and (kind in _EXACT or (kind is float and value != 0))


def _attributes(value: Any) -> dict[str, Any] | None:
    """What an object, a function or a class consists of, by name; None for what has no parts."""
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closure = {name: cell.cell_contents for name, cell in cells}
        return {"code": _code(value.__code__), "defaults": value.__defaults__, "closure": closure}
    if isinstance(value, CodeType):
        return None
    if isinstance(value, type):
        return {name: part for name, part in vars(value).items() if not name.startswith("__")}
    if isinstance(value, Enum | ModuleType):
        return None
    cls: Any = type(value)
    parts = {name: getattr(value, name) for name in slots_of(cls) if hasattr(value, name)}
    return parts | vars(value) if hasattr(value, "__dict__") else parts or None


def _code(code: CodeType) -> str:
    """What the code of a function is, without names of files and numbers of lines."""
    constants = [_code(it) if isinstance(it, CodeType) else _text(it) for it in code.co_consts]
    names = ", ".join([*constants, *code.co_names])
    return f"<{crc32(code.co_code):08x}: {names}>"


_Columns = dict[Any, tuple[str, list[Any]]]


def _columns(frame: Any) -> _Columns | None:
    """The columns of a frame by name, each with its dtype, and the index of one of pandas; None for other values."""
    kind = type(frame)
    library, name = kind.__module__.partition(".")[0], kind.__name__
    if library == "pandas" and name in {"DataFrame", "Series"}:
        columns = [frame.iloc[:, at] for at in range(frame.shape[1])] if frame.ndim > 1 else [frame]
        named = {column.name: (str(column.dtype), column.tolist()) for column in columns}
        return {**named, "(index)": (str(frame.index.dtype), frame.index.tolist())}
    if library == "polars" and name == "DataFrame":
        return {
            column.name: (str(column.dtype), column.to_list()) for column in frame.get_columns()
        }
    if library == "pyarrow" and name == "Table":
        fields = zip(frame.schema, frame.columns, strict=True)
        return {field.name: (str(field.type), column.to_pylist()) for field, column in fields}
    return None


def _whole(old: Any, new: Any, place: str) -> Iterator[str]:
    """The difference of two values that have no parts, or none that can be compared."""
    one, two = _text(old), _text(new)
    if one != two:
        yield _line(place, *_apart(one, two)) if place else ""
    elif type(old).__module__ != "builtins" and not are_equal(old, new):
        yield f"{place}: not equal, though shown alike".removeprefix(": ")


def _text(value: Any) -> str:
    """What Python shows of a value but for where it lies in memory."""
    return ADDRESS.sub("", bounded_repr(value, COMPARED_TEXT))


def _line(place: str, old: str, new: str) -> str:
    return f"{place.strip()}: {old} -> {new}{delta(old, new)}"


def _there(before: bool, after: bool, old: Any, new: Any) -> tuple[str, str]:
    return _short(old) if before else "(none)", _short(new) if after else "(none)"


def _short(value: Any) -> str:
    text = _text(value)
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
