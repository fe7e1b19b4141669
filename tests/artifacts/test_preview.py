"""Previews: what a task notes down of values, so that nobody has to load them."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.preview import Preview, pack_preview, read_preview
from gitflowrun.artifacts.summary import preview_of
from gitflowrun.limits import PREVIEW_SIZE
from gitflowrun.printing import bounded_repr


class Kind(enum.Enum):
    """An enum of a flow."""

    A = 1


@dataclass
class Conf:
    """A dataclass of a flow, with something that nobody is to see."""

    rate: float
    secret: str = field(default="hidden", repr=False)


Point = namedtuple("Point", "x y")  # noqa: PYI024


class Plain:
    """A class that says nothing of itself."""

    def __init__(self) -> None:
        self.depth = 3


class Broken:
    """A class that can't be shown."""

    def __repr__(self) -> str:
        msg = "no"
        raise ValueError(msg)


class Cyclic:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.me = self


def _noted(value: Any) -> Preview | None:
    return read_preview(preview_of(value, encode(value)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Conf(0.1), "Conf(rate=0.1)"),
        (Kind.A, "<Kind.A: 1>"),
        (Point(1, "z"), "Point(x=1, y='z')"),
        ({"k": [Conf(1.0), Point(2, (3,))]}, "{'k': [Conf(rate=1.0), Point(x=2, y=(3,))]}"),
    ],
)
def test_classes_are_shown_with_their_fields(value: Any, text: str) -> None:
    """Dataclasses, enums and named tuples are noted whole, with their fields, wherever they are."""
    assert _noted(value) == Preview(text, whole=True)


def test_an_object_is_shown_with_its_attributes() -> None:
    """An object whose class has no `__repr__` is shown with its attributes, also one that refers to itself."""
    noted = _noted(Plain())
    assert noted is not None
    assert noted.text.endswith("Plain(depth=3)>")
    cyclic = _noted(Cyclic())
    assert cyclic is not None
    assert "me=…" in cyclic.text


@pytest.mark.parametrize("value", [1, "text", None, [1, 2], {"a": {"b": 1.5}}, (), {3}])
def test_what_everybody_can_show_has_none(value: Any) -> None:
    """A small value of Python's own types costs the manifest nothing."""
    assert preview_of(value, encode(value)) == b""


def test_a_class_that_fails_costs_no_task() -> None:
    """A `__repr__` that raises is noted as such; so is one within a container, and numbers of too many digits."""
    noted = _noted([Broken(), 2**20000])
    assert noted is not None
    assert "Broken: ValueError: no>" in noted.text
    assert bounded_repr(2**20000).startswith("0x1")


@pytest.mark.parametrize(
    "value",
    [
        "x" * 100_000,
        b"\xff" * 100_000,
        [Conf(float(number)) for number in range(5000)],
        {f"key {number}" * 50: "ä" * 300 for number in range(500)},
    ],
    ids=["text", "bytes", "objects", "wide"],
)
def test_a_long_value_is_cut(value: Any) -> None:
    """A preview has 4 KiB at most, and says that something was left out."""
    raw = preview_of(value, encode(value))
    noted = read_preview(raw)
    assert noted is not None
    assert not noted.whole
    assert noted.text.startswith(repr(value)[:20])
    assert len(raw) <= PREVIEW_SIZE


def test_arrays_have_shape_and_statistics() -> None:
    """Of an array shape, dtype, least, greatest and mean value are noted, whatever is no number left out."""
    np = pytest.importorskip("numpy")
    noted = _noted(np.array([[1.0, 2.0], [float("nan"), 6.0]]))
    assert noted is not None
    assert noted.facts == {
        "shape": "(2, 2)", "dtype": "float64", "nan": "1", "min": "1.0", "max": "6.0", "mean": "3",
    }  # fmt: skip
    large = _noted(np.zeros((500, 20), dtype="i4"))
    assert large is not None
    assert large.line.startswith("shape (500, 20), dtype int32, min 0, max 0, mean 0: array([0, 0,")


def test_frames_have_columns_and_statistics() -> None:
    """Of a frame columns with their types, the first rows, and statistics of numbers are noted."""
    pd = pytest.importorskip("pandas")
    noted = _noted(pd.DataFrame({"a": range(20), "b": [0.5] * 20}))
    assert noted is not None
    assert noted.facts["shape"] == "(20, 2)"
    assert noted.facts["columns"] == "a int64, b float64"
    assert noted.facts["a"] == "min 0, max 19, mean 9.5"
    assert noted.text.split("\n")[1].split() == ["0", "0.5"]


@given(
    st.builds(
        Preview, st.text(max_size=5000), st.booleans(), st.dictionaries(st.text(), st.text(), max_size=40)
    )
)  # fmt: skip
def test_any_preview_fits(preview: Preview) -> None:
    """Whatever was noted is read again, in at most 4 KiB, cut where it is longer."""
    raw = pack_preview(preview)
    found = read_preview(raw)
    assert found is not None
    assert len(raw) <= PREVIEW_SIZE
    assert found.text == preview.text or found.text.endswith("…")


def test_lone_surrogates_are_escaped() -> None:
    """Text that UTF-8 does not have is noted as escapes."""
    found = read_preview(pack_preview(Preview("a\udcffb", facts={"f": "\ud800"})))
    assert found == Preview("a\\udcffb", facts={"f": "\\ud800"})


@given(st.binary(max_size=300))
def test_other_bytes_are_no_preview(raw: bytes) -> None:
    """Whatever a manifest has in place of a preview, the value is shown without one."""
    read_preview(raw)
