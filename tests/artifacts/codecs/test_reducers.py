"""Pickles hold what belongs to values and nothing else that lies in their memory."""

from __future__ import annotations

from typing import Any

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


def test_a_masked_array_that_pickles_itself_otherwise_does() -> None:
    """A subclass of another state is stored by its own means, not refused."""
    noted = np.ma.array([1, 2], mask=[0, 1]).view(Noted)
    noted.note = "hello"
    loaded = decode("pickle/5", encode(noted).payload(), trusted=True)
    assert (type(loaded), loaded.note, loaded.tolist()) == (Noted, "hello", [1, None])


@pytest.mark.parametrize("view", [memoryview(b"abc"), [memoryview(np.arange(4.0))]])
def test_a_memoryview_is_refused(view: Any) -> None:
    """It would come back as bytes: the error says what to store in its place."""
    from gitflowrun.errors import UnserializableArtifact

    with pytest.raises(UnserializableArtifact, match=r"memoryview.*store bytes"):
        encode(view)
