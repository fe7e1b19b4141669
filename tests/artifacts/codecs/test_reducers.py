"""Pickles hold what belongs to values and nothing else that lies in their memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, ClassVar

import pytest

from gitflowrun.artifacts.codecs import decode, encode

np: Any = pytest.importorskip("numpy")

_ALIGNED = np.dtype(
    [("id", "u1"), ("price", "f8"), ("place", [("x", "u1"), ("y", "i4")], 2)], align=True
)
_SECRET = b"PASSWORD"


class Holder:
    """An object that has a value: it is pickled."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Noted(np.ma.MaskedArray):  # type: ignore[misc]
    """A masked array with an attribute that it pickles itself."""

    note: str

    def __reduce__(self) -> Any:
        return _noted, (self.tolist(), self.note)


def _noted(values: Any, note: str) -> Any:
    made = np.ma.masked_invalid([np.nan if value is None else value for value in values]).view(
        Noted
    )
    made.note = note
    return made


def _dirty(shape: Any, dtype: Any) -> Any:
    """An array whose every byte was something else before its fields were set to 7."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(bytearray(_SECRET * count)[:count], dtype).reshape(shape)
    _set(array)
    return array


def _set(array: Any) -> None:
    if array.dtype.names is None:
        array[...] = 7
        return
    for name in array.dtype.names:
        _set(array[name])


def _masked(dtype: Any = "i8") -> Any:
    values = np.frombuffer(bytearray(_SECRET * 8), "i8").astype(dtype)
    values[::2] = 1
    return values, np.arange(8) % 2 == 1


def _payload(value: Any) -> bytes:
    return encode(Holder(value)).payload()


@pytest.mark.parametrize(
    "array",
    [
        _dirty((3, 4), _ALIGNED),
        _dirty(3, _ALIGNED).view(np.recarray),
        _dirty((4, 3), _ALIGNED).T,
        _dirty(3, _ALIGNED)[1],
        _dirty(3, np.longdouble),
        _dirty(3, np.clongdouble)[0],
        _dirty(3, [("a", "u1"), ("b", np.longdouble)]),
    ],
    ids=["records", "recarray", "transposed", "record", "longdouble", "scalar", "packed"],
)
def test_padding_is_zero(array: Any) -> None:
    """The bytes that no field uses are zero, and the value is the same."""
    assert b"ASSWOR" not in encode(array).payload()
    payload = _payload(array)
    assert b"SSWO" not in payload
    loaded = decode("pickle/5", payload, trusted=True).value
    assert type(loaded) is type(array)
    assert loaded.dtype == array.dtype
    assert np.array_equal(loaded, array)


@pytest.mark.parametrize("kind", ["plain", "records", "record"])
def test_what_a_numpy_mask_hides_is_not_stored(kind: str) -> None:
    """Two masked arrays that differ under the mask have the same bytes."""
    values, mask = _masked()
    array = np.ma.array(values, mask=mask)
    if kind != "plain":
        raw = _dirty(8, np.dtype([("id", "u1"), ("price", "f8")], align=True))
        raw["price"] = np.frombuffer(_SECRET)
        records = np.ma.array(raw, mask=[(False, True)] * 8)
        array = records if kind == "records" else records[0]
    payload = encode(array).payload()
    assert b"SSWO" not in payload
    loaded = decode("pickle/5", payload, trusted=True)
    assert type(loaded) is type(array)
    assert repr(loaded) == repr(array)
    assert np.array_equal(np.ma.getmaskarray(loaded), np.ma.getmaskarray(array))
    assert encode(np.ma.masked).payload() == encode(np.ma.masked).payload()
    assert decode("pickle/5", encode(np.ma.masked).payload(), trusted=True) is np.ma.masked


def test_what_pandas_masks_hide_is_not_stored() -> None:
    """Extension arrays within a frame that is pickled hold zeros under their masks."""
    pd: Any = pytest.importorskip("pandas")
    values, mask = _masked()
    frame = pd.DataFrame(
        {
            "count": pd.arrays.IntegerArray(values, mask),
            "float": pd.arrays.FloatingArray(values.astype("f8"), mask),
            "flag": pd.arrays.BooleanArray(values % 2 == 0, mask),
        },
        index=pd.period_range("2020", periods=8, freq="M"),
    )
    made = encode(frame)
    assert made.codec == "pickle/5"
    assert _SECRET not in made.payload()
    assert np.float64(int.from_bytes(_SECRET, "little")).tobytes() not in made.payload()
    loaded = decode(made.codec, made.payload(), trusted=True)
    pd.testing.assert_frame_equal(loaded, frame)
    assert _SECRET in values.tobytes()  # the user's own array is as it was


def test_what_is_under_arrows_nulls_is_not_stored() -> None:
    """Nor does an Arrow array within an object hold more than its values."""
    pa: Any = pytest.importorskip("pyarrow")
    values, mask = _masked()
    array = pa.array(values, mask=mask)[2:]
    payload = _payload([array, pa.chunked_array([array]), pa.table({"a": array})])
    assert _SECRET not in payload
    loaded = decode("pickle/5", payload, trusted=True).value
    assert loaded[0] == array
    assert loaded[2] == pa.table({"a": array})


def test_what_is_under_nulls_of_polars_is_not_stored() -> None:
    """Nor does a frame of polars' within an object."""
    pl: Any = pytest.importorskip("polars")
    pa: Any = pytest.importorskip("pyarrow")
    values, mask = _masked()
    frame = pl.DataFrame({"a": pa.array(values, mask=mask), "b": range(8)})
    payload = _payload([frame, frame["a"]])
    assert _SECRET not in payload
    loaded = decode("pickle/5", payload, trusted=True).value
    assert loaded[0].equals(frame)
    assert loaded[1].equals(frame["a"])


def test_what_is_under_nulls_of_polars_is_not_stored_without_pyarrow_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library polars works without pyarrow, and hides no more then."""
    pl: Any = pytest.importorskip("polars")
    numbers = pl.Series("n", [1, int.from_bytes(_SECRET, "little"), 3])
    hidden = pl.select(pl.when(pl.Series([True, False, True])).then(numbers)).to_series()
    monkeypatch.setitem(sys.modules, "gitflowrun.artifacts.codecs.polars", None)
    payload = _payload([hidden, hidden.to_frame()])
    assert _SECRET not in payload
    assert decode("pickle/5", payload, trusted=True).value[0].equals(hidden)


def test_a_masked_array_that_pickles_itself_otherwise_does() -> None:
    """A subclass of another state is stored by its own means, not refused."""
    noted = np.ma.array([1, 2], mask=[0, 1]).view(Noted)
    noted.note = "hello"
    loaded = decode("pickle/5", encode(noted).payload(), trusted=True)
    assert (type(loaded), loaded.note, loaded.tolist()) == (Noted, "hello", [1, None])


class Point(ctypes.Structure):
    """A structure with padding, fields of bits, and more in its base."""

    _fields_: ClassVar[Any] = (
        ("kind", ctypes.c_uint8),
        ("low", ctypes.c_uint32, 3),
        ("at", ctypes.c_double),
    )


class Line(Point):
    """A structure with arrays and a long double."""

    _fields_: ClassVar[Any] = (
        ("ends", Point * 2),
        ("length", ctypes.c_longdouble),
        ("last", ctypes.c_uint8),
    )


def _set_fields(value: Any) -> None:
    for cls in reversed(type(value).__mro__):
        for name, kind, *_ in vars(cls).get("_fields_", ()):
            if kind is Point * 2:
                for item in getattr(value, name):
                    _set_fields(item)
            else:
                setattr(value, name, 5)


def test_holes_of_structures_are_zero() -> None:
    """What C compilers leave between fields, and bits of no field, are not stored; the fields are."""
    made = [Line.from_buffer(bytearray(fill * 200)) for fill in (b"S", b"\xff")]
    for line in made:
        _set_fields(line)
    first, second = map(_payload, made)
    assert first == second
    assert b"SS" not in first
    loaded = decode("pickle/5", first, trusted=True).value
    assert (loaded.at, loaded.low, loaded.length, loaded.ends[1].at) == (5, 5, 5, 5)
    full = ctypes.c_uint64.from_buffer(bytearray(_SECRET))
    assert _SECRET in encode(full).payload()  # it is all value


def test_arrays_of_ctypes_come_back_however_long_they_are() -> None:
    """Their classes have no name that they could be found by; a megabyte takes no longer than other values."""
    values = (
        (Point * 2)(Point(at=1.5)),
        (ctypes.c_char * 1_000_000)(b"a"),
        ((ctypes.c_int * 2) * 2)(),
    )
    for value in values:
        stored = encode(value)
        loaded = decode(stored.codec, stored.payload(), trusted=True)
        assert type(loaded) is type(value)
        assert bytes(loaded) == bytes(value)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "bsr_matrix", "dia_matrix"])
def test_what_sparse_arrays_have_beside_their_elements_is_not_stored(kind: str) -> None:
    """Elements behind the last one, and parts of diagonals outside of the matrix."""
    sparse: Any = pytest.importorskip("scipy.sparse")
    matrix = getattr(sparse, kind)(np.diag([1.0, 2.0, 3.0], k=1))
    dirty = matrix.copy()
    if kind == "dia_matrix":
        dirty.data[0, 0] = np.frombuffer(_SECRET)[0]
    else:
        secret = np.frombuffer(_SECRET * matrix.data[:1].size).reshape(1, *matrix.data.shape[1:])
        dirty.data = np.concatenate([matrix.data, secret])
        dirty.indices = np.concatenate([matrix.indices, np.array([9], matrix.indices.dtype)])
    payload = encode(dirty).payload()
    assert _SECRET not in payload
    assert payload == encode(matrix.copy()).payload()
    loaded = decode("pickle/5", payload, trusted=True)
    assert (loaded.toarray() == matrix.toarray()).all()


@pytest.mark.parametrize("is_within", [False, True])
def test_truth_is_one_bit(*, is_within: bool) -> None:
    """A byte that is neither 0 nor 1 is True to numpy, and stored as 1."""
    array = np.frombuffer(bytearray(_SECRET + b"\0"), bool)
    payload = (_payload if is_within else lambda value: encode(value).payload())(array)
    assert _SECRET not in payload
    clean = np.array([True] * 8 + [False])
    assert payload == (_payload(clean) if is_within else encode(clean).payload())
    assert array.view("u1")[0] == _SECRET[0]  # the user's own array is as it was


def _hidden_in_arrow(pa: Any, kind: str) -> Any:
    words = ["PASSWORD PASSWORD", "short", None, "long enough to be outside"]
    if kind == "string_view":
        return pa.array(words, pa.string_view())[1:]
    if kind == "list_view":
        return pa.array([[word] for word in words], pa.list_view(pa.string()))[1:]
    numbers, codes = pa.array([1, 2, 3, 4]), pa.array([1, 0, 1, 0], pa.int8())
    if kind == "sparse_union":
        return pa.UnionArray.from_sparse(codes, [pa.array(words), numbers])[1:]
    if kind == "dense_union":
        places = pa.array([0, 1, 1, 3], pa.int32())
        return pa.UnionArray.from_dense(codes, places, [pa.array(words), numbers])[1:]
    return pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([_SECRET * 2, b"0" * 16], pa.binary(16))
    )[1:]


@pytest.mark.parametrize(
    "kind", ["string_view", "list_view", "sparse_union", "dense_union", "extension"]
)
def test_what_arrow_arrays_refer_to_beside_their_values_is_not_stored(kind: str) -> None:
    """Views may lie in anybody's memory, the children of unions hold what no element is."""
    pa: Any = pytest.importorskip("pyarrow")
    array = _hidden_in_arrow(pa, kind)
    made = encode(array)
    assert _SECRET not in made.payload()
    assert decode(made.codec, made.payload(), trusted=True).to_pylist() == array.to_pylist()
    payload = _payload(array)
    assert _SECRET not in payload
    loaded = decode("pickle/5", payload, trusted=True).value
    loaded.validate(full=True)
    assert (loaded.type, loaded.to_pylist()) == (array.type, array.to_pylist())


def test_what_polars_cut_off_is_not_stored() -> None:
    """Nor text before a slice, nor fields of records under a null, nor items of lists."""
    pl: Any = pytest.importorskip("polars")
    pa: Any = pytest.importorskip("pyarrow")
    fields = pa.array(["PASSWORD PASSWORD", "b", "PASSWORD PASSWORD"])
    valid = pa.py_buffer(b"\x02")
    records = pa.Array.from_buffers(pa.struct({"x": pa.string()}), 3, [valid], children=[fields])
    frame = pl.DataFrame(
        {"a": ["PASSWORD" * 2, "b", "c"], "s": records, "l": [["PASSWORD" * 2], ["b"], None]}
    )[1:]
    category = frame.with_columns(pl.Series("c", ["u", "v"], dtype=pl.Categorical))
    for value in (frame, frame["a"], frame["s"], frame["l"], category):
        made = encode(value)
        assert _SECRET not in made.payload()
        assert decode(made.codec, made.payload(), trusted=True).equals(value)
        payload = _payload(value)
        assert _SECRET not in payload
        assert decode("pickle/5", payload, trusted=True).value.equals(value)


@pytest.mark.parametrize("view", [memoryview(b"abc"), [memoryview(np.arange(4.0))]])
def test_a_memoryview_is_refused(view: Any) -> None:
    """It would come back as bytes: the error says what to store in its place."""
    from gitflowrun.errors import UnserializableArtifact

    with pytest.raises(UnserializableArtifact, match=r"memoryview.*store bytes"):
        encode(view)


class Plain(np.ndarray):  # type: ignore[misc]
    """An array of a class that adds no state."""


@pytest.mark.parametrize("dtype", [">f8", ">i2", ">M8[s]"])
@pytest.mark.parametrize("cls", [Plain, np.matrix, np.memmap])
def test_arrays_of_subclasses_keep_their_byte_order(cls: Any, dtype: str) -> None:
    """Numpy's own pickles of them come back in the machine's byte order."""
    array = np.arange(6).reshape(2, 3).astype(dtype).view(cls)
    made = encode([array])
    (back,) = decode(made.codec, made.payload(), trusted=True)
    assert (type(back), back.dtype, back.tobytes()) == (cls, array.dtype, array.tobytes())


def test_masked_arrays_keep_their_byte_order() -> None:
    """With the mask, the value for what is hidden, and no memory below it."""
    array = np.ma.MaskedArray(np.arange(3, dtype=">i4"), mask=[0, 1, 0], fill_value=7)
    made = encode(array)
    back = decode(made.codec, made.payload(), trusted=True)
    assert (back.dtype, back.tolist(), back.fill_value) == (array.dtype, [0, None, 2], 7)
    assert back.data[1] == 0
