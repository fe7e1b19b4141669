"""pandas, polars and pyarrow values come back exactly, without trust, as Arrow files."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import zoneinfo
from typing import Any

import pytest
import pytz

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.errors import CorruptRecord, NotFound

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
np = pytest.importorskip("numpy")

DAYS = pd.date_range("2020-01-01", periods=5)


def _inferred(values: list[Any]) -> Any:
    """Strings as pandas 3 infers them, with NaN for missing ones; pandas 2 can, too."""
    if pd.__version__ >= "3":
        return pd.Series(values)
    with pd.option_context("future.infer_string", True):  # noqa: FBT003
        return pd.Series(values)


def _columns() -> dict[str, Any]:
    return {
        "ints": np.arange(5),
        "bytes": np.arange(5, dtype="u1"),
        "floats": [1, np.nan, 3, 4, 5.5],
        "halves": np.arange(5, dtype="f2"),
        "bools": [True, False, True, True, False],
        "text": ["a", None, "c", "d", "é"],
        "objects": pd.Series(["a", None, "b", "c", "d"], dtype=object),
        "text and nan": pd.Series(["a", np.nan, "b", np.nan, "d"], dtype=object),
        "mixed": pd.Series([1, "a", None, decimal.Decimal("1.0"), (1, [2])], dtype=object),
        "days": DAYS,
        "not a time": pd.to_datetime(["2020-01-01", None, "2021-01-01", None, None]),
        "seconds": DAYS.as_unit("s"),
        "berlin": DAYS.tz_localize(zoneinfo.ZoneInfo("Europe/Berlin")),
        "utc": DAYS.tz_localize(dt.timezone.utc),
        "offset": DAYS.tz_localize(dt.timezone(dt.timedelta(hours=2))),
        "deltas": pd.timedelta_range("1s", periods=5),
        "Int64": pd.array([1, None, 3, 4, 5], dtype="Int64"),
        "boolean": pd.array([True, None, True, False, True], dtype="boolean"),
        "Float32": pd.array([1, None, 3, 4, 5], dtype="Float32"),
        "string": pd.array(["a", None, "c", "d", "e"], dtype="string"),
        "python string": pd.array(["a", None, "c", "d", "e"], dtype=pd.StringDtype("python")),
        "inferred": _inferred(["a", None, "c", "d", "e"]),
        "arrow": pd.array([1, None, 3, 4, 5], dtype="int32[pyarrow]"),
        "category": pd.Categorical(
            ["a", "b", None, "a", "b"], categories=["z", "b", "a"], ordered=True
        ),
        "numbers": pd.Categorical([3, 1, 2, 1, 3]),
        "categories of days": pd.Categorical(DAYS.to_list()),
    }


def _frame() -> Any:
    return pd.DataFrame(_columns())


def _frames() -> dict[str, Any]:
    small = pd.DataFrame({"a": [1, 2], "b": [1.5, np.nan]})
    noted = small.copy()
    noted.attrs["source"] = {"sensor": (1, 2)}
    return {
        "everything": _frame(),
        "empty": pd.DataFrame(),
        "no rows": _frame().iloc[:0],
        "no columns": pd.DataFrame(index=range(3)),
        "slice": _frame().iloc[1:4, ::2],
        "attrs": noted,
        "repeated labels": small.set_axis(["x", "x"], axis=1),
        "labels of all kinds": small.set_axis([0, "z"], axis=1),
        "numbered": small.set_axis([0, 1], axis=1),
        "levels of labels": small.set_axis(
            pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["p", None]), axis=1
        ),
        "named labels": small.set_axis(pd.RangeIndex(2, name=("t", 1)), axis=1),
        "index": _frame().set_axis(pd.Index(list("abcde"), name="key")),
        "days": _frame().set_axis(pd.date_range("2020-01-01", periods=5, freq="D", name=3)),
        "months": _frame().set_axis(pd.date_range("2020-01-01", periods=5, freq="MS")),
        "range": _frame().set_axis(pd.RangeIndex(10, 0, -2, name="r")),
        "repeated index": small.set_axis([7, 7]),
        "categories": small.set_axis(pd.CategoricalIndex(["u", "v"])),
        "levels": _frame().set_axis(
            pd.MultiIndex.from_arrays([list("aabbb"), DAYS], names=["k", 3])
        ),
        "levels with gaps": small.set_axis(pd.MultiIndex.from_tuples([("a", 1), (None, 2)])),
    }


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("name", list(_frames()))
@pytest.mark.sample(10)
def test_frames_come_back(name: str, writable: bool) -> None:
    """Values, dtypes, labels, index and attributes; and the same bytes again."""
    frame = _frames()[name]
    made = encode(frame)
    assert made.codec == "arrow/1"
    payload = bytearray(made.payload())
    found = decode("arrow/1", payload, trusted=True, writable=writable)
    pd.testing.assert_frame_equal(found, frame, check_freq=True)
    assert list(found.dtypes) == list(frame.dtypes)
    assert type(found.index) is type(frame.index)
    assert found.index.names == frame.index.names
    assert found.attrs == frame.attrs
    assert encode(found).payload() == made.payload()


@pytest.mark.parametrize("name", list(_columns()))
def test_series_come_back(name: str) -> None:
    """A column alone, its name included."""
    series = pd.Series(_columns()[name], name=("tuple", 1))
    made = encode(series)
    assert made.codec == "arrow/1"
    found = decode("arrow/1", made.payload(), trusted=True)
    pd.testing.assert_series_equal(found, series)
    assert [type(item) for item in found] == [type(item) for item in series]


INDEXES = [
    pd.Index([1, 2], name="n"),
    pd.Index(["a", "b"]),
    pd.Index(["a", None], dtype=object),
    pd.Index([1, "a"]),
    pd.Index([1.5, np.nan]),
    pd.RangeIndex(5, 9, 2),
    pd.date_range("2020-01-01", periods=3, freq="MS", tz="UTC"),
    pd.timedelta_range("1h", periods=3),
    pd.CategoricalIndex(["a", "b"], ordered=True),
    pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]),
]


@pytest.mark.parametrize("place", range(len(INDEXES)))
def test_indexes_come_back(place: int) -> None:
    """An index alone."""
    made = encode(INDEXES[place])
    assert made.codec == "arrow/1"
    found = decode("arrow/1", made.payload(), trusted=True)
    pd.testing.assert_index_equal(found, INDEXES[place], exact=True)


@pytest.mark.parametrize(
    "freq",
    [
        pd.offsets.CustomBusinessDay(holidays=["2020-01-02"]),
        pd.DateOffset(months=1, days=2),
        pd.offsets.BusinessHour(start="10:00"),
    ],
    ids=str,
)
def test_frequencies_that_are_more_than_a_name(freq: Any) -> None:
    """They come back whole, by way of pickle."""
    index = pd.date_range("2020-01-01 11:00", periods=3, freq=freq)
    for value in (pd.DataFrame({"v": [1, 2, 3]}, index=index), index):
        made = encode(value)
        found = decode(made.codec, made.payload(), trusted=True)
        again = found if value is index else found.index
        assert again.freq == freq
        assert list(again.shift(5)) == list(index.shift(5))


def test_nan_is_not_missing() -> None:
    """A masked float may be NaN without being missing."""
    values = pd.arrays.FloatingArray(np.array([np.nan, 1.0, 2.0]), np.array([False, True, False]))
    made = encode(pd.Series(values))
    assert made.codec == "arrow/1"
    found = decode("arrow/1", bytearray(made.payload()), trusted=True).array
    assert found.dtype == values.dtype
    assert list(found._mask) == [False, True, False]
    assert np.isnan(found._data[0])
    found[0] = 5
    assert found[0] == 5


def test_frames_may_be_written_to() -> None:
    """A step changes what it loaded, in place, whatever the dtype."""
    frame = _frame()
    found = decode("arrow/1", bytearray(encode(frame).payload()), trusted=True)
    for position, label in enumerate(found.columns):
        found.iloc[0, position] = found.iloc[3, position]
        pd.testing.assert_series_equal(found[label][1:], frame[label][1:])
    assert found["ints"].tolist() == [3, 1, 2, 3, 4]


def test_columns_are_parts_of_their_own() -> None:
    """A changed column leaves the other columns' chunks alone; numbers are not copied."""
    values = np.arange(100_000.0)
    made = encode(pd.DataFrame({"a": values, "b": values + 1}, copy=False))
    large = [part for part in made.parts if part.nbytes >= values.nbytes]
    assert len(large) == 2
    assert np.shares_memory(np.frombuffer(large[0]), values)


def test_stock_readers_read_frames() -> None:
    """The payload is an Arrow file with pandas' column names."""
    payload = encode(_frame()).payload()
    table = pa.ipc.open_file(io.BytesIO(payload)).read_all()
    assert table.column_names[:3] == ["ints", "bytes", "floats"]
    assert table["ints"].to_pylist() == list(range(5))


@pytest.mark.parametrize(
    "value",
    [
        pd.period_range("2020-01-01", periods=2, freq="D"),
        pd.DataFrame({"a": pd.interval_range(0, 2)}),
        pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        pd.Series([1 + 2j]),
        pd.Series([object]),
    ],
    ids=["periods", "intervals", "sparse", "complex", "classes"],
)
def test_what_arrow_cannot_hold_goes_to_pickle(value: Any) -> None:
    """Exactly, or as a pickle."""
    made = encode(value)
    assert made.codec == "pickle/5"
    assert type(decode(made.codec, made.payload(), trusted=True)) is type(value)


def test_frames_within_values_are_embedded() -> None:
    """A dict of frames shares what it shared."""
    frame = _frame()
    made = encode({"one": frame, "two": [frame]})
    assert made.codec == "plain/1"
    found = decode("plain/1", made.payload(), trusted=True)
    assert found["one"] is found["two"][0]
    pd.testing.assert_frame_equal(found["one"], frame)


@pytest.mark.parametrize(
    "scalar",
    [
        pd.Timestamp("2020-01-01 12:00:00.123456789"),
        pd.Timestamp("2020-10-25 02:30").tz_localize("Europe/Berlin", ambiguous=False),
        pd.Timestamp(1, unit="s").as_unit("s"),
        pd.Timedelta(5, unit="ns"),
        pd.NaT,
        pd.NA,
    ],
    ids=str,
)
def test_pandas_scalars_are_plain(scalar: Any) -> None:
    """A Timestamp stays one, with its unit and zone; NaT and NA are themselves."""
    made = encode([scalar])
    assert made.codec == "plain/1"
    (found,) = decode("plain/1", made.payload(), trusted=True)
    assert type(found) is type(scalar)
    assert found is scalar or (found == scalar and found.unit == scalar.unit)
    assert getattr(found, "tz", None) == getattr(scalar, "tz", None)


@pytest.mark.parametrize(
    "zone",
    [pytz.utc, pytz.timezone("Europe/Berlin"), pytz.timezone("EST"), pytz.FixedOffset(90)],
    ids=str,
)
def test_zones_of_pytz_come_back(zone: Any) -> None:
    """They are what pandas 2 makes of a zone's name: in times, in columns, in plain datetimes."""
    summer, winter = dt.datetime(2020, 7, 1, 12), dt.datetime(2020, 12, 1, 12)  # noqa: DTZ001
    times = [zone.localize(summer), zone.localize(winter), pd.Timestamp(summer, tz=zone)]
    frame = pd.DataFrame({"t": pd.date_range(summer, periods=3, tz=zone)})
    made = encode([*times, zone, frame])
    assert made.codec == "plain/1"
    *found, again, table = decode("plain/1", made.payload(), trusted=True)
    assert found == times
    assert [each.tzinfo for each in found] == [each.tzinfo for each in times]
    assert [each.utcoffset() for each in found] == [each.utcoffset() for each in times]
    assert again is zone
    assert table["t"].dtype.tz is frame["t"].dtype.tz
    pd.testing.assert_frame_equal(table, frame)


def test_unknown_zones_of_pytz() -> None:
    """One that pytz read from a file goes to pickle; one that is not known here is named."""
    with pytz.open_resource("Europe/Berlin") as file:
        odd = pytz.tzfile.build_tzinfo("Here/There", file)
    assert encode([dt.datetime(2020, 1, 1, tzinfo=odd)]).codec != "plain/1"
    payload = encode(pytz.timezone("Europe/Berlin")).payload()
    with pytest.raises(NotFound, match="Europe/Bonnnn"):
        decode("plain/1", payload.replace(b"Europe/Berlin", b"Europe/Bonnnn"), trusted=True)


ARROW = {
    "table": pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"k": "v"}),
    "empty table": pa.table({}),
    "no rows": pa.table({"a": pa.array([], pa.int8())}),
    "batch": pa.RecordBatch.from_pydict({"a": [1, 2]}),
    "ints": pa.array([1, None, 3]),
    "nested": pa.array([{"a": [1]}, None]),
    "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
    "empty dictionary": pa.array([], pa.dictionary(pa.int8(), pa.string())),
    "chunked": pa.chunked_array([[1], [2, 3]]),
    "slice": pa.array(range(100))[10:20],
}


@pytest.mark.parametrize("name", ARROW)
def test_arrow_values_come_back(name: str) -> None:
    """Tables, batches and arrays, schema metadata included."""
    value = ARROW[name]
    made = encode(value)
    assert made.codec == "arrow/1"
    found = decode("arrow/1", made.payload(), trusted=True)
    assert type(found) is type(value)
    assert found.equals(value)
    if name == "table":
        assert found.schema.equals(value.schema, check_metadata=True)


def test_damaged_files_are_corrupt() -> None:
    """Whatever the bytes, the error is CorruptRecord."""
    good = encode(_frame()).payload()
    for bad in (b"", b"ARROW1", good[:-1], good[:100] + good[-100:], bytes(len(good))):
        with pytest.raises(CorruptRecord):
            decode("arrow/1", bad, trusted=True)


def test_polars_frames_come_back() -> None:
    """DataFrame and Series with their types; categories and lazy plans go to pickle."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {
            "a": [1, None],
            "b": ["x", "é"],
            "c": [1.5, float("nan")],
            "d": [dt.date(2020, 1, 1), None],
            "l": [[1], [2, 3]],
            "s": [{"x": 1}, {"x": 2}],
            "u": [dt.timedelta(1), None],
        }
    )
    for value in (frame, frame.head(0), frame["b"], frame["l"]):
        made = encode(value)
        assert made.codec == "arrow/1"
        found = decode("arrow/1", made.payload(), trusted=True)
        assert found.equals(value, null_equal=True)
        assert encode(found).payload() == made.payload()
    assert encode(frame["b"].cast(pl.Categorical)).codec == "pickle/5"
    assert encode(frame.lazy()).codec == "pickle/5"


@pytest.mark.parametrize("columns", [3, 70, 200])
def test_columns_of_one_dtype_come_back_as_one_block(columns: int) -> None:
    """Work on a loaded frame is as fast as on the stored one: it is not in pieces, wide or narrow."""
    rng = np.random.default_rng(columns)
    frame = pd.DataFrame(rng.normal(size=(5, columns)), columns=[f"g{n}" for n in range(columns)])
    frame.insert(1, "count", np.arange(5))
    frame.insert(columns, "small", np.arange(5, dtype="u1"))
    frame["note"], frame["day"], frame["also"] = pd.Series(list("abcde"), dtype=object), DAYS, 1.5
    frame.index = pd.Index(list("vwxyz"), name="row")
    made = encode(frame)
    assert made.codec == "arrow/1"
    loaded = decode(made.codec, made.payload(), trusted=True)
    pd.testing.assert_frame_equal(loaded, frame)
    if pd.__version__ >= "3":
        assert loaded._mgr.nblocks == len(set(frame.dtypes))
    loaded["more"] = 1.0
    loaded.iloc[0, 0] = 7.0
    assert encode(frame).payload() == made.payload()


def test_wide_columns_are_lists_to_arrow() -> None:
    """Any reader finds them, in few columns; the order of rows and columns is theirs."""
    frame = pd.DataFrame(np.arange(700, dtype="i4").reshape(7, 100))
    made = encode(frame)
    table = pa.ipc.open_file(made.payload()).read_all()
    assert table.column_names == ["0 ... 99"]
    assert table.column(0)[1].as_py() == list(range(100, 200))
    pd.testing.assert_frame_equal(decode(made.codec, made.payload(), trusted=True), frame)


def test_short_columns_of_many_kinds_are_stored_together() -> None:
    """Columns of mixed dtypes in turns: each dtype's are one Arrow column, and every value comes back."""
    days = np.array(["2020-01-01T00", "NaT", "1960-05-05T07"], "M8[ns]")
    kinds = {
        "i": np.array([1, -2, 3], "i2"), "f": np.array([0.5, np.nan, -0.0]), "t": days,
        "d": days - days[0], "b": np.frombuffer(bytearray(b"\0\1\7"), bool),
    }  # fmt: skip
    frame = pd.DataFrame({f"{kind}{n}": kinds[kind] for n in range(16) for kind in kinds})
    frame.insert(3, "name", ["x", None, "z"])
    clean = frame.assign(**{f"b{n}": [False, True, True] for n in range(16)})
    made = encode(frame)
    assert made.codec == "arrow/1"
    assert made.payload() == encode(clean).payload()
    assert pa.ipc.open_file(made.payload()).read_all().num_columns == len(kinds) + 1
    loaded = decode(made.codec, bytearray(made.payload()), trusted=True)
    pd.testing.assert_frame_equal(loaded, clean)
    loaded.iloc[0, 0] = 9  # its memory is its own


@pytest.mark.parametrize(
    "empty", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[1])]
)
def test_frames_without_cells_come_back(empty: Any) -> None:
    """No rows, no columns, or neither."""
    made = encode(empty)
    loaded = decode(made.codec, made.payload(), trusted=True)
    pd.testing.assert_frame_equal(loaded, empty)
