"""npy/1, numpy's own file format, and numpy arrays, scalars and dtypes in plain/1 as a layout and a buffer.

Arrays of objects, subclasses of ndarray and dtypes that their description does not bring back are declined.
Equal arrays give equal bytes: views are written in C order unless they are contiguous in Fortran order, and
bytes that belong to no field (padding) are zero.
"""

from __future__ import annotations

import io
import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from gitflowrun.artifacts.codecs.npy_header import SIMPLE, parse_descr, parse_header
from gitflowrun.artifacts.codecs.payload import (
    Buffer,
    Loading,
    Unencodable,
    flat,
    needs_trust,
)
from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import (
    MAX_DIMENSIONS,
    MAX_NPY_HEADER,
    MAX_STRANGERS_DTYPE,
    MAX_STRANGERS_ELEMENT,
    MAX_STRANGERS_ROWS,
)
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAGIC = b"\x93NUMPY"
_ALIGNMENT = 64
_PREFIX = 12
_X87_BYTES = 10  # of an extended number; the rest of its 12 or 16 is chance


@frozen
class Layout:
    """How an array lies in its buffer.

    Attributes:
        descr: The dtype as text: `<f8`, or the list of fields that npy files use.
        fortran: Whether the first index varies fastest.
        shape: Its dimensions.
    """

    descr: str
    fortran: bool
    shape: tuple[int, ...]

    def to_list(self) -> list[Any]:
        """The layout as a list of msgpack's types."""
        return [self.descr, self.fortran, list(self.shape)]

    @classmethod
    def from_list(cls, parts: list[Any]) -> Layout:
        """The layout in a decoded list."""
        descr, fortran, shape = parts
        is_shape = type(shape) in {list, tuple} and len(shape) <= MAX_DIMENSIONS
        if type(descr) is not str or type(fortran) is not bool or not is_shape:
            raise CorruptRecord("malformed layout of an array")
        if not all(type(size) is int and 0 <= size < sys.maxsize for size in shape):
            raise CorruptRecord("an array can't have its shape")
        return cls(descr, fortran, tuple(shape))


def form_of(cls: type) -> str | None:
    """`array`, `scalar` or `dtype`: what of numpy's values of exactly this type are; None for all others."""
    np = sys.modules.get("numpy")
    if np is None:
        return None
    if cls is np.ndarray:
        return "array"
    if issubclass(cls, np.generic):
        return "scalar" if cls.__module__ == "numpy" else None
    return "dtype" if issubclass(cls, np.dtype) else None


def describe(dtype: Any) -> str:
    """The dtype as text that `parse_dtype` turns back into it.

    Raises:
        Unencodable: there is no such text (objects, metadata, dtypes of other packages).
    """
    known = dtype.kind in "biufcSUVmM" and not dtype.hasobject and not dtype.metadata
    # Without a width, numpy gives itself one.
    if not known or _is_extended(dtype) or not dtype.itemsize:
        raise Unencodable(f"dtype {dtype}")
    try:
        if dtype.names is None and dtype.subdtype is None:
            text = str(dtype.str)
        else:
            text = repr(_npy_format().dtype_to_descr(dtype))
        again = parse_dtype(text)
    except (CorruptRecord, ValueError) as error:  # fields that overlap, or lie in another order
        raise Unencodable(f"dtype {dtype}") from error
    # `long` and `long long` are one dtype under two types; a record dtype equals its plain namesake.
    same_type = again.type is dtype.type or dtype.kind in "iu"
    if again != dtype or again.isalignedstruct != dtype.isalignedstruct or not same_type:
        raise Unencodable(f"dtype {dtype}")
    return text


def parse_dtype(text: str) -> Any:
    """The dtype that `describe` wrote.

    Raises:
        CorruptRecord: the text describes none.
    """
    import numpy as np

    descr = parse_descr(text)
    try:
        dtype = _npy_format().descr_to_dtype(descr)
    except Exception as error:
        raise CorruptRecord(f"malformed dtype {text[:60]!r}: {error}") from error
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not dtype.itemsize:
        raise CorruptRecord(f"dtype {text[:60]!r} holds objects, or nothing")
    return dtype


def _npy_format() -> Any:
    """The reader and writer of npy headers; `Any`, as numpy before 2.3 leaves it untyped."""
    from numpy.lib import format as npy

    return npy


def explode(array: Any) -> tuple[Layout, Buffer]:
    """Layout and buffer of an array; the buffer is the array's own memory where it is contiguous.

    Raises:
        Unencodable: its dtype has no exact description.
    """
    import numpy as np

    descr = describe(array.dtype)
    flags = array.flags
    fortran = bool(flags.f_contiguous and not flags.c_contiguous)
    clean = without_padding(array)
    if clean is not array:
        array, fortran = clean, False
    layout = Layout(descr, fortran, tuple(map(int, array.shape)))
    if not array.nbytes:
        return layout, b""
    ordered = array.T if fortran else np.ascontiguousarray(array)
    return layout, flat(ordered.reshape(-1).view(np.uint8).data)


def explode_scalar(scalar: Any) -> tuple[Layout, Buffer]:
    """Layout and buffer of a numpy scalar."""
    import numpy as np

    array = np.asarray(scalar)
    if type(array[()]) is not type(scalar) or array.dtype != scalar.dtype:
        raise Unencodable("a scalar that is none of its array's")
    if array.dtype.kind in "SU" and array[()] != scalar:
        raise Unencodable("text with trailing zeros, which arrays drop")
    layout, data = explode(array)
    return layout, bytes(data)


def _within(dtype: Any) -> Iterator[Any]:
    """A dtype and those it is made of."""
    yield dtype
    if dtype.subdtype is not None:
        yield from _within(dtype.base)
    for name in dtype.names or ():
        yield from _within(dtype.fields[name][0])


def padding(dtype: Any) -> tuple[tuple[int, int], ...]:
    """Where in an element of a dtype lie bytes that no value uses, as pairs of start and end."""
    if dtype.kind != "V" and not _is_extended(dtype):
        return ()
    return _gaps(dtype)


@lru_cache(maxsize=256)
def _gaps(dtype: Any) -> tuple[tuple[int, int], ...]:
    used = [False, *_used(dtype), False]
    edges = [place - 1 for place in range(1, len(used)) if used[place] != used[place - 1]]
    edges = [0, *edges, dtype.itemsize]
    return tuple(pair for pair in zip(edges[::2], edges[1::2], strict=True) if pair[0] < pair[1])


def _used(dtype: Any) -> list[bool]:
    """Which bytes of an element belong to its value."""
    if dtype.subdtype is not None:
        return _used(dtype.base) * int(math.prod(dtype.shape))
    if dtype.names is None:
        number = [True] * _X87_BYTES + [False] * 16
        count = {"g": 1, "G": 2}.get(dtype.char, 0)
        return number[: dtype.itemsize // count] * count if count else [True] * dtype.itemsize
    used = [False] * dtype.itemsize
    for field, offset, *_ in dtype.fields.values():
        for place, is_used in enumerate(_used(field), offset):
            used[place] |= is_used
    return used


def without_padding(array: Any) -> Any:
    """The array itself, or a copy in C order whose padding is zero."""
    import numpy as np

    if array.dtype.kind == "b":
        return _with_clean_bits(array)
    gaps = padding(array.dtype)
    if not gaps or array.dtype.hasobject:
        return array
    clean = array.copy()
    elements = clean.view(np.ndarray).reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize)
    for start, end in gaps:
        elements[:, start:end] = 0
    return clean


def _with_clean_bits(array: Any) -> Any:
    """The array itself, or a copy whose bytes are 0 and 1: numpy takes all others, whatever they hold, for True."""
    import numpy as np

    raw = array.view(np.ndarray).view(np.uint8)
    if not array.size or raw.max() <= 1:
        return array
    clean = array.copy()
    np.not_equal(raw, 0, out=clean.view(np.ndarray))
    return clean


def with_gaps_of_zeros(element: bytes, gaps: Iterable[tuple[int, int]]) -> bytes:
    """The bytes of an element whose padding, which lies in `gaps`, is zero."""
    clean = bytearray(element)
    for start, end in gaps:
        clean[start:end] = bytes(end - start)
    return bytes(clean)


def _is_extended(dtype: Any) -> bool:
    """Whether it is or holds x87 extended precision."""
    return any(part.char in "gG" for part in _within(dtype))


def build(layout: Layout, buffer: Buffer, *, writable: bool) -> Any:
    """The array that `explode` took apart, a view of `buffer` where that is possible.

    Raises:
        CorruptRecord: the buffer has another size than the layout says.
    """
    import numpy as np

    dtype = parse_dtype(layout.descr)
    view = flat(buffer)
    if math.prod(layout.shape) * dtype.itemsize != view.nbytes:
        raise CorruptRecord("an array's buffer does not have the size of its shape")
    order: Any = "F" if layout.fortran else "C"
    try:
        if not view.nbytes:
            return np.zeros(layout.shape, dtype, order)
        array: Any = np.ndarray(layout.shape, dtype, view, 0, None, order)
    except (ValueError, OverflowError, MemoryError) as error:
        raise CorruptRecord(f"an array can't have its shape: {error}") from error
    if (writable and not array.flags.writeable) or not array.flags.aligned:
        array = array.copy(order)
    array.flags.writeable = writable
    return array


def encode_npy(array: Any) -> tuple[memoryview, ...]:
    """The parts of an npy file: its header, and the array's memory."""
    layout, data = explode(array)
    header = _npy_header(layout)
    return (memoryview(header), memoryview(data)) if data else (memoryview(header),)


def _npy_header(layout: Layout) -> bytes:
    descr = repr(layout.descr) if SIMPLE.match(layout.descr) else layout.descr
    text = f"{{'descr': {descr}, 'fortran_order': {layout.fortran}, 'shape': {layout.shape}, }}"
    version, width = (1, 2) if len(text) < 65000 and text.isascii() else (3, 4)  # noqa: PLR2004
    content = text.encode()
    start = len(_MAGIC) + 2 + width
    content += b" " * (-(start + len(content) + 1) % _ALIGNMENT) + b"\n"
    return _MAGIC + bytes([version, 0]) + len(content).to_bytes(width, "little") + content


def read_npy_header(payload: memoryview) -> tuple[Layout, int]:
    """Layout of the array in an npy payload, and where its buffer begins.

    Args:
        payload: The payload, or as much of it as holds the header.

    Raises:
        CorruptRecord: there is no such header.
    """
    version = payload[6] if payload.nbytes > 12 and payload[:6] == _MAGIC else 0  # noqa: PLR2004
    if version not in {1, 2, 3}:
        raise CorruptRecord("the payload is no npy file")
    start = 10 if version == 1 else 12
    end = start + int.from_bytes(payload[8:start], "little")
    if end > min(payload.nbytes, MAX_NPY_HEADER):
        raise CorruptRecord("an npy header is cut short")
    try:
        text = str(payload[start:end], "latin-1" if version < 3 else "utf-8")  # noqa: PLR2004
    except UnicodeDecodeError as error:
        raise CorruptRecord(f"malformed npy header: {error}") from error
    descr, fortran, shape = parse_header(text)
    return Layout.from_list([descr if type(descr) is str else repr(descr), fortran, shape]), end


def decode_npy(payload: memoryview, loading: Loading) -> Any:
    """The array in an npy payload."""
    layout, start = read_npy_header(payload)
    if not loading.trusted:
        check_strangers(layout)
    return build(layout, payload[start:], writable=loading.writable)


def check_strangers(layout: Layout) -> None:
    """Refuse an array that is none of anybody's data: what it says of itself takes more than what it holds.

    Raises:
        UntrustedArtifact: it is one.
        CorruptRecord: its dtype is none.
    """
    rows = math.prod(filter(None, layout.shape)) if 0 in layout.shape else 0
    if rows > MAX_STRANGERS_ROWS:
        raise needs_trust("an array of millions of rows without a byte could fill the memory")
    check_strangers_dtype(layout.descr)


def check_strangers_dtype(text: str) -> None:
    """Refuse a dtype with more to it than a stranger's data needs. Raises as `check_strangers`."""
    if len(text) > MAX_STRANGERS_DTYPE:
        raise needs_trust("a dtype of thousands of fields could fill the memory")
    dtype = parse_dtype(text)
    if dtype.itemsize > MAX_STRANGERS_ELEMENT:
        raise needs_trust(f"an array with elements of {dtype.itemsize} bytes could fill the memory")
    if _is_extended(dtype):
        raise CorruptRecord(f"dtype {text[:60]!r}, which is not stored as an array")


def read_rows(stream: BinaryIO, rows: int | slice) -> Any:
    """`array[rows]` of the array in an npy file, of which only these rows are read.

    The rows of an array in Fortran order lie scattered: it is read as a whole.

    Raises:
        IndexError: there is no such row.
        CorruptRecord: the file is malformed.
    """
    head = stream.read(_PREFIX)
    head += stream.read(int.from_bytes(head[8:_PREFIX], "little") if head[6:7] > b"\1" else 1 << 16)
    layout, start = read_npy_header(memoryview(head))
    size = parse_dtype(layout.descr).itemsize * math.prod(layout.shape[1:])
    total = size * math.prod(layout.shape[:1])
    if total > stream.seek(0, io.SEEK_END) - start:  # before memory is set aside for what it claims
        raise CorruptRecord("an npy file is cut short")
    if layout.fortran or not layout.shape or not size:
        stream.seek(start)
        return build(layout, _read(stream, total), writable=True)[rows]
    count = layout.shape[0]
    if isinstance(rows, int) and not -count <= rows < count:
        msg = f"there is no row {rows}: the array has {count:,}"
        raise IndexError(msg)
    wanted = range(count)[rows]
    span = range(wanted, wanted + 1) if isinstance(wanted, int) else wanted
    low, high = (min(span), max(span) + 1) if span else (0, 0)
    stream.seek(start + low * size)
    part_layout = replace(layout, shape=(high - low, *layout.shape[1:]))
    part = build(part_layout, _read(stream, (high - low) * size), writable=True)
    return part[0] if isinstance(wanted, int) else part[:: span.step]


def _read(stream: BinaryIO, size: int) -> bytearray:
    """So many bytes of a file."""
    buffer = bytearray(size)
    if stream.readinto(buffer) != size:  # type: ignore[attr-defined]
        raise CorruptRecord("an npy file is cut short")
    return buffer
