"""The functions that schemas are compiled to do what the tables say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.runs.records import TASK, TaskRecord
from gitflowrun.schema import (
    COUNT,
    REAL,
    TEXT,
    TIME,
    USES,
    ArraySchema,
    Kind,
    MapSchema,
    many,
    optional,
    prepare_for_forks,
)
from gitflowrun.values import field, frozen

ENOUGH = 200  # uses, after which a schema is compiled


@frozen
class Sheet:
    """Fields that are always there, some that need not be, and others."""

    title: str
    size: int | None = None
    weight: float = 0.0
    when: float = 0.0
    rows: tuple[int, ...] = ()
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@frozen
class Point:
    """An array."""

    x: int
    name: str | None


def _sheet(*, is_used: bool) -> MapSchema[Sheet]:
    schema = MapSchema(
        Sheet,
        "sheet",
        {
            "title": TEXT, "size": optional(COUNT), "weight": REAL, "when": TIME, "rows": many(COUNT), "note": TEXT,
        },
        keys={"size": "n"},
        version=2,
        sparse=("rows", "note"),
        added=("when",),
    )  # fmt: skip
    for _ in range(ENOUGH * is_used):
        schema.load(schema.dump(Sheet("a")))
    return schema


def _point(*, is_used: bool) -> ArraySchema[Point]:
    schema = ArraySchema(Point, "point", COUNT, optional(TEXT))
    for _ in range(ENOUGH * is_used):
        schema.load(schema.dump(Point(1, None)))
    return schema


SHEETS = [_sheet(is_used=used) for used in (False, True)]
POINTS = [_point(is_used=used) for used in (False, True)]
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=2) | st.binary(max_size=2)
)  # fmt: skip
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
MAPS = st.dictionaries(
    st.sampled_from(["schema", "title", "n", "weight", "when", "rows", "note", "new"]), VALUES
)


def _outcome(schema: Kind[Any], data: Any) -> object:
    try:
        return schema.load(data)
    except CorruptRecord as error:
        return type(error)


@given(
    st.builds(
        Sheet, st.text(max_size=2), st.none() | st.integers(0, 9), st.floats(-9, 9), st.floats(-9, 9),
        st.lists(st.integers(0, 9), max_size=2).map(tuple), st.text(max_size=1),
        st.dictionaries(st.sampled_from(["new", "title"]), st.integers(), max_size=2),
    )
)  # fmt: skip
def test_values_are_written_alike(sheet: Sheet) -> None:
    """Keys, their order, what is left out, and what comes from a newer release."""
    first, second = (schema.dump(sheet) for schema in SHEETS)
    assert [*first.items()] == [*second.items()]


@given(MAPS, VALUES, st.sampled_from(["", "title", "n", "weight", "when", "rows", "note", "new"]))
def test_maps_are_read_alike(data: dict[str, Any], value: Any, changed: str) -> None:
    """Whatever they hold: the same value, or the same error; also those in which one field is wrong."""
    whole = {"schema": 2, "title": "a", "n": None, "weight": 1.0, "when": 2.0}
    near = {**whole, changed: value} if changed else whole
    for it in (data, near, {**whole, **data, "schema": 2}):
        assert _outcome(SHEETS[0], it) == _outcome(SHEETS[1], it)


@given(VALUES)
def test_arrays_are_read_alike(data: Any) -> None:
    """Of any length, and what is none."""
    assert _outcome(POINTS[0], data) == _outcome(POINTS[1], data)


@pytest.mark.parametrize("schema", SHEETS)
def test_numbers_that_are_none_are_refused(schema: MapSchema[Sheet]) -> None:
    """Infinite weights, times before 1970, flags for counts."""
    good = schema.dump(Sheet("a", 1))
    for wrong in ({"weight": float("inf")}, {"weight": float("nan")}, {"when": -1.0}, {"n": True}):
        with pytest.raises(CorruptRecord, match="malformed sheet record"):
            schema.load({**good, **wrong})


def test_the_record_of_tasks_is_read_alike() -> None:
    """From the first one to the thousandth."""
    name = "start/1"
    data = {
        "schema": 2, "name": name, "run": {"flow": "F", "id": "1", "uid": bytes(20)}, "parents": [],
        "attempts": [], "foreach": [], "transition": None, "artifacts": {}, "metadata": [], "new": 1,
    }  # fmt: skip
    found = {repr(TASK.load(data)) for _ in range(ENOUGH)}
    assert len(found) == 1
    record: TaskRecord = TASK.load(data)
    assert (str(record.name), record.extra) == (name, {"new": 1})
    assert {repr(TASK.dump(record)) for _ in range(ENOUGH)} == {repr(TASK.dump(record))}


@frozen
class Note:
    """Nothing that is always there."""

    text: str = ""


@frozen
class Nothing:
    """No fields."""


def test_tables_without_fields_that_are_always_there() -> None:
    """A map of which all may be left out, and an array of nothing."""
    notes = MapSchema(Note, "note", {"text": TEXT}, sparse=("text",))
    nothing = ArraySchema(Nothing, "nothing")
    for _ in range(ENOUGH):
        assert [notes.load(notes.dump(it)) for it in (Note(), Note("a"))] == [Note(), Note("a")]
        assert nothing.load(nothing.dump(Nothing())) == Nothing()
    with pytest.raises(CorruptRecord):
        nothing.load([1])


def test_forks_compile_nothing_that_others_have_nearly_used_enough() -> None:
    """What was used often before the fork is compiled there, and of the rest each fork counts its own uses."""
    often, seldom = (MapSchema(Note, "note", {"text": TEXT}) for _ in range(2))
    for _ in range(USES - 1):
        often.dump(Note())
    seldom.dump(Note())
    prepare_for_forks(USES - 1)
    assert (often._writer is not None, seldom._writer) == (True, None)
    for _ in range(USES - 1):
        seldom.dump(Note())
    assert seldom._writer is None
