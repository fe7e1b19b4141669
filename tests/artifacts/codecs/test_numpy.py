"""numpy arrays and scalars: dtype, shape, order and every bit come back; the payload is an npy file."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from gitflowrun.artifacts.codecs import decode, encode, registry
from gitflowrun.artifacts.codecs.numpy import read_rows
from gitflowrun.errors import CorruptRecord, NotFound, UntrustedArtifact

np = pytest.importorskip("numpy")

FIELDS = [("a", "<i4"), ("b", ">f8", (2,)), ("c", "U3"), ("d", [("e", "M8[ms]")])]
GAPS = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 16], "itemsize": 32})


def through(value: Any, *, writable: bool = True) -> Any:
    """Encode and decode, untrusted."""
    made = encode(value)
    payload = memoryview(bytearray(made.payload()))
    return decode(made.codec, payload, trusted=False, writable=writable)


ARRAYS: dict[str, Any] = {
    "ints": np.arange(10),
    "empty": np.zeros((0, 3), "f4"),
    "empty fields": np.zeros(0, FIELDS),
    "no dimension": np.array(5.5),
    "nan bits": np.array([0x7FF8000000000001, 0x8000000000000000], "u8").view("f8"),
    "big endian": np.arange(5, dtype=">i4"),
    "bool": np.array([[True, False]]),
    "complex": np.array([1 + 2j, complex(-0.0, np.inf)]),
    "half": np.array([1.5, np.nan], "f2"),
    "text": np.array(["a", "bcd", "\U0001f600"]),
    "bytes": np.array([b"a", b"bc\0d"]),
    "nothing wide": np.array(["", ""]),
    "void": np.array([b"ab", b"cd"], "V2"),
    "datetimes": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "odd units": np.array([1, 2], "M8[25us]"),
    "no unit": np.array([1]).view("m8"),
    "timedeltas": np.array([1, -5], "m8[D]"),
    "fields": np.zeros(3, FIELDS),
    "gaps": np.zeros(3, GAPS),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "view": np.arange(24).reshape(4, 6)[::2, 1::2],
    "backwards": np.arange(5)[::-1],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "large": np.arange(100_000.0).reshape(100, 1000),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("nested", [False, True])
def test_arrays_come_back(name: str, writable: bool, nested: bool) -> None:
    """Alone or within a value: bits, dtype, shape and Fortran order."""
    array = ARRAYS[name]
    value = {"x": [array]} if nested else array
    assert encode(value).codec == ("plain/1" if nested else "npy/1")
    found = through(value, writable=writable)
    found = found["x"][0] if nested else found
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.fnc == array.flags.fnc
    assert found.flags.aligned
    if array.size:
        assert found.flags.writeable == writable


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, FIELDS)[["c", "a"]],
        np.zeros(2, np.dtype({"names": ["a", "b"], "formats": ["i4", "u1"], "offsets": [0, 0]})),
        np.zeros(3, [("a", "S0")])["a"],
    ],
    ids=["another order", "a union", "no width"],
)
def test_dtypes_without_a_description_go_to_pickle(array: Any) -> None:
    """Alone, within a value, as a scalar and bare: a step must not fail of them."""
    for value in (array, {"x": [array]}, array[0], array.dtype):
        made = encode(value)
        assert made.codec == "pickle/5"
        found = decode("pickle/5", made.payload(), trusted=True)
        found = found["x"][0] if isinstance(found, dict) else found
        assert getattr(found, "dtype", found) == array.dtype


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f8'", (0,) * 100),
        ("'<f8'", (0, 1 << 61, 1 << 61)),
        ("'|S0'", (10**9,)),
        ("'|V0'", (10**15,)),
        ("[]", (10**15,)),
    ],
)
def test_impossible_shapes(descr: str, shape: tuple[int, ...]) -> None:
    """They are refused, and no memory is set aside for them."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    payload = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head
    with pytest.raises((CorruptRecord, UntrustedArtifact)):
        decode("npy/1", payload, trusted=False)
    with pytest.raises(CorruptRecord):
        read_rows(io.BytesIO(payload), slice(0, 1))


@pytest.mark.parametrize("name", [name for name in ARRAYS if name not in {"void", "gaps"}])
def test_numpy_reads_the_payload(name: str) -> None:
    """`git show` and `np.load` are all it takes to read an artifact."""
    array = ARRAYS[name]
    found = np.load(io.BytesIO(encode(array).payload()))
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_layout_in_memory_makes_no_difference() -> None:
    """A view and a copy of it are equal, so their payloads are."""
    array = np.arange(24).reshape(4, 6)[::2, 1::2]
    assert encode(array).payload() == encode(array.copy()).payload()


def test_padding_makes_no_difference() -> None:
    """Bytes that belong to no field are not stored as they happen to be."""
    one, two = np.full(64, 1, "u1").view(GAPS), np.full(64, 2, "u1").view(GAPS)
    for array in (one, two):
        array["a"], array["b"] = 7, 1.5
    assert one.tobytes() != two.tobytes()
    assert encode(one).payload() == encode(two).payload()


def test_arrays_are_not_copied() -> None:
    """The part that holds the data is the array's memory; loaded, the payload's."""
    array = np.arange(10_000.0)
    part = encode(array).parts[1]
    assert np.shares_memory(np.frombuffer(part), array)
    payload = bytearray(encode(array).payload())
    found = decode("npy/1", payload, trusted=False)
    assert np.shares_memory(found, np.frombuffer(payload, "u1"))


def test_read_only_payloads_are_copied_for_writers() -> None:
    """A step may write to what it loaded, wherever the bytes came from."""
    payload = encode(np.arange(10)).payload()
    found = decode("npy/1", payload, trusted=False)
    found += 1
    assert payload == encode(np.arange(10)).payload()


SCALARS = [
    np.float32(1.5), np.int64(-3), np.bool_(1), np.str_("é"), np.bytes_(b"a"), np.complex64(1j),
    np.datetime64("NaT", "s"), np.timedelta64(5, "ms"), np.float64("nan"), np.dtype("f4"),
    np.dtype(FIELDS), np.zeros(1, FIELDS)[0],
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(SCALARS)))
def test_scalars_come_back(place: int) -> None:
    """A numpy scalar stays one; it never becomes Python's number."""
    scalar = SCALARS[place]
    found = through([scalar])[0]
    assert type(found) is type(scalar)
    assert repr(found) == repr(scalar)


@pytest.mark.parametrize(
    "value",
    [
        np.array([object(), None], dtype=object),
        np.ma.array([1, 2], mask=[0, 1]),
        np.array([1.5], np.longdouble),
        np.zeros(2, np.dtype([("a", "u1"), ("b", "f8")], align=True)),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.str_("a\0"),
    ],
    ids=["objects", "masked", "long double", "aligned", "records", "trailing zero"],
)
def test_what_has_no_exact_form_goes_to_pickle(value: Any) -> None:
    """Better a pickle than something similar."""
    made = encode(value)
    assert made.codec == "pickle/5"
    found = decode(made.codec, made.payload(), trusted=True)
    assert type(found) is type(value)


def test_one_array_in_two_places_is_one_array() -> None:
    """Sharing is part of the value."""
    array = np.arange(3)
    found = through({"a": array, "b": (array,)})
    assert found["a"] is found["b"][0]


@pytest.mark.parametrize(
    "rows", [0, -1, slice(2, 5), slice(None), slice(None, None, 3), slice(8, None, -2), slice(5, 5)]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_read_alone(rows: Any, order: Any) -> None:
    """Rows equal those of the loaded array, whatever its order."""
    array = np.asarray(np.arange(60).reshape(10, 3, 2), order=order)
    found = read_rows(io.BufferedReader(io.BytesIO(encode(array).payload())), rows)
    assert np.array_equal(found, array[rows])


def test_rows_that_are_not_there() -> None:
    """As with an array, a row that is not there is an IndexError."""
    stream = io.BytesIO(encode(np.arange(3)).payload())
    with pytest.raises(IndexError):
        read_rows(stream, 3)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 70,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1180591620717411303424), }",
        b"{'descr': '<f8', 'fortran_order': 0, 'shape': (1,), }",
        b"{'descr': 'numpy.float64', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }",
        b"__import__('os').system('touch executed')",
        b"(" * 5000,
        b"",
    ],
)
def test_malformed_headers_are_corrupt(header: bytes) -> None:
    """Whatever the header says, nothing is executed and no object is made."""
    payload = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    with pytest.raises(CorruptRecord):
        decode("npy/1", payload, trusted=False)


def test_pandas_arrays_need_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload whose library is missing says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "gitflowrun.artifacts.codecs.arrow", raising=False)
    monkeypatch.setattr(registry, "_function", registry._function.__wrapped__)
    with pytest.raises(NotFound, match="pyarrow") as refused:
        decode("arrow/1", b"", trusted=True)
    assert refused.value.hint == "pip install 'gitflowrun[pandas]'"


@pytest.mark.parametrize("fortran", [False, True])
def test_rows_that_a_header_only_claims_cost_no_memory(fortran: bool) -> None:
    """A stranger's header that claims an exabyte is told a liar before memory is set aside."""
    order = str(fortran).encode()
    payload = encode(np.zeros((4, 4))).payload()
    claim = b"{'descr': '<f8', 'fortran_order': " + order + b", 'shape': (1152921504606, 4), }"
    lie = payload[:10] + claim.ljust(len(payload) - 16 * 8 - 11) + b"\n" + bytes(16 * 8)
    with pytest.raises(CorruptRecord, match="cut short"):
        read_rows(io.BufferedReader(io.BytesIO(lie)), slice(None))


def test_what_numpy_itself_pickles_wrongly_comes_back() -> None:
    """The limits of a dtype are loaded as that dtype's."""
    for name in ("f2", "f4", "f8"):
        made = encode(np.finfo(name))
        assert decode(made.codec, made.payload(), trusted=True).eps == np.finfo(name).eps
