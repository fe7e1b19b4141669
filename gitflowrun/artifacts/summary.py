"""A value in a few words: what Python shows of it, within limits of length and time, and what else says much of it.

The task that made the value does this, where the value's classes and libraries are at hand. Dataclasses, named
tuples and enums are shown with their fields, objects that say nothing of themselves with their attributes, arrays,
frames, tensors and figures by shape, columns and statistics. A library is never imported for it: what is of a
library's class has it imported already.
"""

from __future__ import annotations

import enum
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.preview import ADDRESS, Preview, pack_preview
from gitflowrun.limits import (
    MAX_PREVIEW,
    PREVIEW_DEPTH,
    PREVIEW_HEAD,
    PREVIEW_ITEMS,
    PREVIEW_STRING,
    PREVIEW_TEXT,
    REPR_UP_TO,
    STATISTICS_UP_TO,
)
from gitflowrun.printing import bounded_repr, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.artifacts.reference import ArtifactRef

_SIMPLE = frozenset({int, float, complex, bool, str, bytes, type(None)})
_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_STANDARD = frozenset(
    {
        "builtins", "collections", "datetime", "decimal", "fractions", "pathlib", "types", "uuid",
        "zoneinfo",
    }
)  # fmt: skip


def preview_of(value: Any, made: Encoded | ArtifactRef) -> bytes:
    """The preview of a value that was encoded, or stored; empty for one that can be shown by whoever reads it.

    Nothing that goes wrong here, in a user's `__repr__` for example, may cost a task: such a value has none.
    """
    small = made.size <= MAX_PREVIEW
    if small and _is_simple(value):
        return b""
    summary = _Summary(may_call=made.size <= REPR_UP_TO)
    try:
        text = summary.of(value)
        facts = _facts(value)
    except Exception:  # noqa: BLE001  (a property, a length, an iterator of any class)
        return pack_preview(Preview(f"<{made.type}>"))
    if small and not summary.is_foreign and made.codec in {"plain/1", "str/1", "bytes/1"}:
        return b""
    return pack_preview(Preview(text, summary.is_whole, facts))


def _is_simple(value: Any) -> bool:
    """Whether a value consists of what everybody can show, as far as one look tells."""
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if kind is dict:
        return _SIMPLE.issuperset(map(type, value)) and _SIMPLE.issuperset(
            map(type, value.values())
        )
    return kind in _BRACKETS and _SIMPLE.issuperset(map(type, value))


class _Summary:
    """One value's text as it is put together.

    Attributes:
        is_whole: Whether nothing was left out so far.
        is_foreign: Whether something was met that Python alone does not know.
    """

    def __init__(self, *, may_call: bool) -> None:
        self.is_whole = True
        self.is_foreign = False
        self._may_call = may_call
        self._left = PREVIEW_TEXT
        self._inside: set[int] = set()

    def of(self, value: Any) -> str:
        """The text of a value, or of a part of one."""
        if self._left <= 0 or len(self._inside) >= PREVIEW_DEPTH or id(value) in self._inside:
            return self._left_out()
        self._inside.add(id(value))
        try:
            return self._shown(value)
        finally:
            self._inside.discard(id(value))

    def _left_out(self) -> str:
        self.is_whole = False
        return "…"

    def _shown(self, value: Any) -> str:
        kind = type(value)
        if kind in _SIMPLE:
            return self._spend(self._atom(value))
        if kind is dict:
            return self._items("{}", value.items(), self._pair)
        if kind in _BRACKETS and (value or kind in {list, tuple}):
            return self._sequence(value, kind)
        if kind.__module__ not in _STANDARD:
            self.is_foreign = True
            return self._foreign(value, kind)
        return self._spend(self._repr(value))

    def _sequence(self, value: Any, kind: type) -> str:
        brackets = "(,)" if kind is tuple and len(value) == 1 else _BRACKETS[kind]
        text = self._items(brackets, value, self.of)
        return f"frozenset({text})" if kind is frozenset else text

    def _foreign(self, value: Any, kind: Any) -> str:
        name: str = kind.__qualname__
        if isinstance(value, enum.Enum):
            return self._spend(_member(value))
        if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
            return name + self._items("()", zip(kind._fields, value, strict=False), self._field)
        fields = getattr(kind, "__dataclass_fields__", None)
        if fields is not None and hasattr(kind.__repr__, "__wrapped__"):  # dataclass's own
            attributes = [
                (name, getattr(value, name)) for name, it in fields.items()
                if it.repr and hasattr(value, name)
            ]  # fmt: skip
            return name + self._items("()", attributes, self._field)
        if described := _by_library(value, kind):
            self.is_whole = False
            return self._spend(described)
        if kind.__repr__ is object.__repr__:
            attributes = list(getattr(value, "__dict__", {}).items())
            text = self._items("()", attributes, self._field)
            return f"<{kind.__module__}.{name}{text if attributes else ''}>"
        return self._spend(self._repr(value))

    def _field(self, item: tuple[str, Any]) -> str:
        return f"{item[0]}={self.of(item[1])}"

    def _pair(self, item: tuple[Any, Any]) -> str:
        return f"{self.of(item[0])}: {self.of(item[1])}"

    def _items(self, brackets: str, items: Iterable[Any], show: Callable[[Any], str]) -> str:
        """Items between brackets, as many as fit."""
        shown = []
        for number, item in enumerate(items):
            if self._left <= 0 or number >= PREVIEW_ITEMS:
                shown.append(self._left_out())
                break
            shown.append(show(item))
            self._left -= 2
        return brackets[0] + ", ".join(shown) + brackets[1:]

    def _atom(self, value: Any) -> str:
        """A number or text; of a long text the beginning."""
        size = min(self._left, PREVIEW_STRING)
        if isinstance(value, str | bytes) and len(value) > size:
            self.is_whole = False
            return repr(value[:size]) + "…"
        text, is_whole = shown(
            value, PREVIEW_TEXT
        )  # however large what it is in: no class is asked
        self.is_whole = self.is_whole and is_whole
        return text

    def _repr(self, value: Any) -> str:
        """What a value says of itself, unless it is too large to be asked, or fails."""
        kind = type(value)
        if not self._may_call:
            self.is_whole = False
            return f"<{kind.__module__}.{kind.__qualname__}>"
        # Equal values have equal previews: where they lay in memory means nothing.
        text, is_whole = shown(value, PREVIEW_TEXT)
        self.is_whole = self.is_whole and is_whole
        return ADDRESS.sub("", text)

    def _spend(self, text: str) -> str:
        if len(text) > self._left:
            self.is_whole = False
            text = text[: max(self._left, 1)] + "…"
        self._left -= len(text)
        return text


def _member(value: enum.Enum) -> str:
    return f"<{type(value).__qualname__}.{value.name}: {bounded_repr(value.value)}>"


def _by_library(value: Any, kind: type) -> str:
    """The text of a value of a library whose own may be long or slow; empty for others."""
    library = kind.__module__.partition(".")[0]
    if library == "numpy" and kind.__name__ == "ndarray":
        return _array_text(value)
    if library == "pandas" and kind.__name__ in {"DataFrame", "Series"}:
        return _frame_text(value)
    if library == "pyarrow" and hasattr(value, "slice"):
        return f"<{library}.{kind.__name__} of {len(value)}>"
    if library == "torch" and hasattr(value, "dtype"):
        return f"tensor(shape={tuple(value.shape)}, dtype={value.dtype})"
    if size := _picture_size(value, kind):
        return f"<{library} {kind.__name__} of {size}>"
    return ""


def _array_text(value: Any) -> str:
    if value.size <= PREVIEW_ITEMS:
        return bounded_repr(value)
    head = ", ".join(str(item) for item in itertools.islice(value.flat, PREVIEW_HEAD))
    return f"array([{head}, …], shape={value.shape}, dtype={value.dtype})"


def _frame_text(value: Any) -> str:
    """The first rows of the first columns; pandas' own takes milliseconds, and seconds of a wide frame."""
    head = value.iloc[:PREVIEW_HEAD]
    if value.ndim == 1:
        return ", ".join(str(item) for item in head) + (", …" if len(value) > PREVIEW_HEAD else "")
    columns = range(min(PREVIEW_HEAD, value.shape[1]))
    lines = [[str(value.columns[at]), *(str(item) for item in head.iloc[:, at])] for at in columns]
    widths = [max(map(len, cells)) for cells in lines]
    return "\n".join(
        "  ".join(cells[row].rjust(size) for cells, size in zip(lines, widths, strict=True))
        for row in range(len(head) + 1)
    )


def _picture_size(value: Any, kind: type) -> str:
    """`640 x 480 pixels` for figures and pictures; empty for everything else."""
    library = kind.__module__.partition(".")[0]
    if library == "matplotlib" and hasattr(value, "get_size_inches"):
        width, height = (round(side * value.dpi) for side in value.get_size_inches())
        return f"{width} x {height} pixels"
    if library == "PIL" and hasattr(value, "size"):
        return f"{value.size[0]} x {value.size[1]} pixels, {value.mode}"
    if library == "plotly" and hasattr(value, "layout"):
        width, height = (value.layout.width or "?"), (value.layout.height or "?")
        return f"{width} x {height} pixels, {len(value.data)} traces"
    return ""


def _facts(value: Any) -> dict[str, str]:
    """Shape, types and statistics of arrays, frames and tensors; sizes of texts and containers."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if kind in _BRACKETS or kind is dict:
        return {"items": str(len(value))} if len(value) > PREVIEW_ITEMS else {}
    if kind in {str, bytes}:
        return {"length": str(len(value))}
    facts: dict[str, str] = {}
    if size := _picture_size(value, kind):
        facts["size"] = size
    if library not in {"numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "jax", "jaxlib"}:
        return facts
    with suppress(Exception):  # a class that calls something else `shape`
        if getattr(value, "shape", None) is not None:
            facts["shape"] = str(tuple(map(int, value.shape)))
        if library == "pyarrow" and hasattr(value, "schema"):
            facts["columns"] = ", ".join(f"{it.name} {it.type}" for it in value.schema)
        elif hasattr(value, "columns"):
            facts["columns"] = _columns(value)
        elif hasattr(value, "dtype"):
            facts["dtype"] = str(value.dtype)
        facts |= _statistics(value, library)
    return facts


def _columns(frame: Any) -> str:
    most = itertools.islice(zip(frame.columns, frame.dtypes, strict=True), PREVIEW_ITEMS)
    return ", ".join(f"{name} {dtype}" for name, dtype in most)


def _statistics(value: Any, library: str) -> dict[str, str]:
    """Least, greatest and mean of numbers; of a frame, of its numeric columns."""
    if library == "numpy" and hasattr(value, "nbytes"):
        return _numbers(value) if 0 < value.nbytes <= STATISTICS_UP_TO else {}
    if library != "pandas" or not hasattr(value, "iloc"):
        return {}
    if value.ndim == 1:
        return _numbers(value.to_numpy()) if value.dtype.kind in "iuf" and len(value) else {}
    if not len(value) or value.size * 8 > STATISTICS_UP_TO:
        return {}
    found = {}
    for at in range(min(value.shape[1], PREVIEW_HEAD * 2)):
        column = value.iloc[:, at]
        if getattr(column.dtype, "kind", "") in "iuf":
            numbers = _numbers(column.to_numpy())
            found[str(value.columns[at])] = ", ".join(f"{k} {v}" for k, v in numbers.items())
    return found


def _numbers(array: Any) -> dict[str, str]:
    if array.dtype.kind not in "biuf" or not array.size:
        return {}
    least, greatest, mean = array.min(), array.max(), array.mean()
    if array.dtype.kind == "f" and least != least:  # noqa: PLR0124  (not a number)
        finite = array[array == array]  # noqa: PLR0124
        missing = array.size - finite.size
        return {"nan": str(missing), **(_numbers(finite) if finite.size else {})}
    return {"min": str(least), "max": str(greatest), "mean": f"{float(mean):.6g}"}
