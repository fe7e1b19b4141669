"""Equal Arrow arrays have equal payloads, whatever lies in memory beside their values."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.limits import ARROW_ROWS

pa = pytest.importorskip("pyarrow")

WORDS = ["x", "yy", "a secret", ""]
HIDDEN = {"string": "hidden", "binary": b"\xee\xee\xee", "bool": True}
FLAT = {
    "string": st.text("abé", max_size=3),
    "fixed_size_binary": st.binary(min_size=3, max_size=3),
    "binary": st.binary(max_size=3),
    "bool": st.booleans(),
}
Values = list[Any]


def _hidden(kind: Any) -> Any:
    """A value that stands under a null: zero in no byte, empty in no length."""
    if pa.types.is_map(kind):
        return [("hidden", _hidden(kind.item_type))]
    if pa.types.is_struct(kind):
        return {field.name: _hidden(field.type) for field in kind}
    if "list" in str(kind).partition("<")[0]:
        return [_hidden(kind.value_type)] * 2
    if pa.types.is_dictionary(kind):
        return WORDS[2]
    return next((it for name, it in HIDDEN.items() if name in str(kind)), 1)


def _bitmap(values: Values) -> Any:
    """Which values are there; the bits behind them are set."""
    there = "".join("01"[value is not None] for value in reversed(values))
    bits = int("1" * 9 + there, 2)
    return pa.py_buffer(bits.to_bytes(len(values) // 8 + 3, "little")), values.count(None)


def _untidy(values: Values, kind: Any) -> Any:
    """The array of the values, with something under every null."""
    if pa.types.is_dictionary(kind):
        words = [None if value is None else WORDS.index(value) for value in values]
        return pa.DictionaryArray.from_arrays(_untidy(words, kind.index_type), pa.array(WORDS))
    shown = [_hidden(kind) if value is None else value for value in values]
    bitmap, nulls = _bitmap(values)
    if pa.types.is_struct(kind):
        columns = [_untidy([it[field.name] for it in shown], field.type) for field in kind]
        return pa.Array.from_buffers(kind, len(values), [bitmap], nulls, children=columns)
    if pa.types.is_fixed_size_list(kind):
        child = _untidy(list(itertools.chain(*shown)), kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [bitmap], nulls, children=[child])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        child = _untidy(list(itertools.chain(*shown)), kind.value_type)
        width = pa.int64() if pa.types.is_large_list(kind) else pa.int32()
        offsets = pa.array([0, *itertools.accumulate(map(len, shown))], width).buffers()[1]
        return pa.Array.from_buffers(kind, len(values), [bitmap, offsets], nulls, children=[child])
    array = pa.array(shown, kind)
    buffers, children = array.buffers()[1:], []
    if pa.types.is_map(kind):
        buffers, children = buffers[:1], [_entries(array)]
    return pa.Array.from_buffers(kind, len(values), [bitmap, *buffers], nulls, children=children)


def _entries(array: Any) -> Any:
    columns = [array.keys, array.items]
    return pa.StructArray.from_arrays(columns, fields=[array.type.key_field, array.type.item_field])


def _kinds() -> st.SearchStrategy[Any]:
    flat = st.sampled_from(
        [
            pa.int8(), pa.uint16(), pa.int32(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC"),
            pa.date32(), pa.string(), pa.large_string(), pa.binary(), pa.binary(3),
            pa.decimal128(9, 2), pa.decimal256(40, 2), pa.dictionary(pa.int8(), pa.string()),
        ]
    )  # fmt: skip
    return st.recursive(flat, _nested, max_leaves=3)


def _nested(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        kinds.map(pa.list_),
        kinds.map(pa.large_list),
        kinds.map(lambda kind: pa.list_(kind, 2)),
        st.tuples(kinds, kinds).map(lambda two: pa.struct([("a", two[0]), ("b", two[1])])),
    )


def _values(kind: Any) -> st.SearchStrategy[Any]:
    return st.none() | _there(kind)


def _there(kind: Any) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: _values(field.type) for field in kind})
    if pa.types.is_fixed_size_list(kind):
        return st.lists(_values(kind.value_type), min_size=2, max_size=2)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return st.lists(_values(kind.value_type), max_size=3)
    if pa.types.is_dictionary(kind):
        return st.sampled_from(WORDS)
    return next((it for name, it in FLAT.items() if name in str(kind)), st.integers(0, 100))


@st.composite
def _arrays(draw: st.DrawFn) -> tuple[Any, Values, int]:
    kind = draw(_kinds())
    return kind, draw(st.lists(_values(kind), max_size=20)), draw(st.integers(0, 9))


def _tidy(values: Values, kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        words = [None if value is None else WORDS.index(value) for value in values]
        return pa.DictionaryArray.from_arrays(pa.array(words, pa.int8()), pa.array(WORDS))
    return pa.array(values, kind)


def _has_dictionary(kind: Any) -> bool:
    return "dictionary" in str(kind)


@given(_arrays())
def test_equal_arrays_have_equal_payloads(drawn: tuple[Any, Values, int]) -> None:
    """Of every type, nested as it may be, whole or a slice."""
    kind, values, rest = drawn
    around = [None, *values, *[None, *values][:1] * rest]
    untidy = _untidy(around, kind)[1 : 1 + len(values)]
    untidy.validate(full=True)
    assert untidy.to_pylist() == _untidy(values, kind).to_pylist()
    made = encode(untidy)
    assert made.codec == "arrow/1"
    assert made.payload() == encode(_untidy([*values, None], kind)[: len(values)]).payload()
    if not _has_dictionary(kind) or pa.types.is_dictionary(
        kind
    ):  # of nested ones, the words differ
        assert made.payload() == encode(_tidy(values, kind)).payload()
    found = decode("arrow/1", made.payload(), trusted=True)
    found.validate(full=True)
    assert found.type == kind
    assert found.to_pylist() == untidy.to_pylist()


def test_items_under_a_null_of_fixed_size_have_one_form() -> None:
    """Whether they are zeros, nulls or something else, with nulls among the other items or without."""
    kind = pa.list_(pa.list_(pa.int8(), 2), 2)
    values: Values = [[None, [0, 0]], None, [[1, None], None]]
    made = {encode(make(values, kind)).payload() for make in (_tidy, _untidy)}
    cut = _untidy([[[7, 7], [7, 7]], *values, None], kind)[1:4]
    assert {encode(cut).payload()} == made
    (payload,) = made
    assert decode("arrow/1", payload, trusted=True).to_pylist() == values


@pytest.mark.parametrize("length", [100, ARROW_ROWS + 100])
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_binary(), pa.int64(), pa.decimal128(9), pa.list_(pa.string()),
        pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.int32()),
        pa.dictionary(pa.int8(), pa.string()),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.sample(4)
def test_what_lies_under_nulls_is_not_stored(kind: Any, length: int) -> None:
    """Neither of arrays, nor of tables and frames that hold them."""
    values = [None] * length
    values[-20] = _hidden(kind)
    untidy, tidy = _untidy(values, kind), _tidy(values, kind)
    assert untidy.equals(tidy)
    assert untidy.buffers()[1:] != tidy.buffers()[1:]
    wraps: tuple[Callable[[Any], Any], ...] = (
        lambda it: it,
        lambda it: it[1:90],
        lambda it: pa.table({"a": it}),
        lambda it: pa.chunked_array([it, it]),
        lambda it: pa.RecordBatch.from_arrays([it], ["a"]),
    )
    for wrap in wraps:
        one, two = encode(wrap(tidy)), encode(wrap(untidy))
        assert two.codec == "arrow/1"
        assert one.payload() == two.payload()
        assert one.payload().count(b"hidden") <= 6
        found = decode("arrow/1", two.payload(), trusted=True)
        assert type(found) is type(wrap(tidy))
        assert found.equals(wrap(tidy))


def test_frames_of_arrow_columns_have_nothing_under_nulls() -> None:
    """Columns of pandas that are Arrow's already go the same way."""
    pd = pytest.importorskip("pandas")
    values = ["a", None, "b"] * 5
    for kind in (pa.string(), pa.large_string()):
        frames = [
            pd.DataFrame({"c": pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))})
            for array in (_tidy(values, kind), _untidy(values, kind))
        ]
        one, two = (encode(frame).payload() for frame in frames)
        assert one == two
        assert b"hidden" not in two


def test_dictionaries_stay_as_they_are() -> None:
    """Words nothing uses, nulls among the words and the order are part of the value."""
    for words, ordered in ((["b", "a", "unused"], True), (["b", None, "a"], False)):
        indices = _untidy([0, None, 2, 0], pa.int8())
        array = pa.DictionaryArray.from_arrays(indices, pa.array(words), ordered=ordered)
        found = decode("arrow/1", encode(array).payload(), trusted=True)
        assert found.type == array.type
        assert found.dictionary.equals(array.dictionary)
        assert found.indices.equals(array.indices)


def test_tidy_columns_are_not_copied() -> None:
    """Looking for what lies under nulls takes no second copy of the column."""
    values = pa.array([1.5, None, 2.5, 3.5] * 1_000_000)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    made = encode(pa.table({"a": values}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert pa.total_allocated_bytes() - before < 8 << 20
    assert sum(part.nbytes for part in made.parts) > 32_000_000


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (lambda row: row, pa.uint8()),
        (float, pa.float64()),
        (lambda row: row % 3 == 0, pa.bool_()),
        (lambda row: f"word {row}", pa.string()),
        (lambda row: [row, row], pa.list_(pa.int16())),
        (lambda row: [row, row], pa.list_(pa.int16(), 2)),
        (lambda row: {"a": row, "b": None}, pa.struct([("a", pa.int16()), ("b", pa.int8())])),
        (lambda row: "ab"[row % 2], pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=lambda it: str(it) if isinstance(it, pa.DataType) else "",
)
@pytest.mark.parametrize("nulls", [False, True])
def test_slices_have_nothing_of_what_they_are_cut_from(
    value: Callable[[int], Any], kind: Any, nulls: bool
) -> None:
    """The payload of a slice is that of an array of its own."""
    values = [None if nulls and row % 5 == 0 else value(row) for row in range(200)]
    whole = pa.array(values, kind)
    for start, end in ((0, 3), (0, 8), (1, 4), (8, 19), (13, 64), (100, 200), (7, 7)):
        alone = pa.array(values[start:end], kind)
        if pa.types.is_dictionary(kind):
            indices = pa.array(whole.indices.to_pylist()[start:end], kind.index_type)
            alone = pa.DictionaryArray.from_arrays(indices, whole.dictionary)
        assert encode(whole[start:end]).payload() == encode(alone).payload()


def test_fields_that_may_not_be_null() -> None:
    """A struct may be null where its field may not."""
    kind = pa.struct([pa.field("a", pa.int32(), nullable=False)])
    array = pa.array([{"a": 1}, None, {"a": 3}], kind)
    found = decode("arrow/1", encode(array).payload(), trusted=True)
    assert found.type == kind
    assert found.to_pylist() == array.to_pylist()
