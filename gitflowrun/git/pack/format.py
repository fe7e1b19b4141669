"""How objects lie in a pack file: headers, zlib streams, deltas (gitformat-pack(5), RFC 1950, RFC 1951).

Pure functions from bytes to bytes; `reader` has those that read entry headers from files. Data that deflate can't
shrink (random floats, images, archives) is framed as stored blocks: no compression when written, one copy when read.
The rest takes the fastest deflate there is, igzip level 1 of `isal`: zlib level 6 would be 10 to 25 times slower for
a few percent.

Both libraries are imported inside functions (3 ms): small objects are read without them and written without
zlib-ng.

isal leaves the upper halves of vector registers in use, and then hashlib's SHA-1 is a third slower in the same
thread, until a function of zlib-ng has cleared them. So checksums are zlib-ng's, though isal has them too and is
as fast, and that of a stream is computed before its object's id.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import (
    CHECKSUM_BY_VECTORS,
    DEFLATE_BY_STEPS,
    DEFLATE_FROM,
    DEFLATE_STEP,
    ESTIMATE_UP_TO,
    SAMPLE,
    SAMPLES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitflowrun.git.objects import Buffer, ObjectType

BLOCK = 65_535
"""Bytes in a stored block: the most that deflate's 16-bit length allows."""
BLOCK_HEADER = 5
BLOCK_FRAME = BLOCK_HEADER + BLOCK
FULL_BLOCK = b"\x00\xff\xff\x00\x00"
"""The header of a full stored block that is not the last one."""
ZLIB_HEADER = b"\x78\x01"
CHECKSUM = 4
"""Bytes of the Adler-32 that ends a zlib stream."""

# What decides, beside sizes, whether data is deflated.
_UNIFORM = 1.25  # by which fixed codes inflate data whose bytes are all equally frequent, and more
_SAMPLE_RATIO = 0.90  # to which a sample must shrink for the whole to be tried
_KEEP_RATIO = 0.95  # to which the whole must shrink to pay for inflating it at every read

PACK_HEADER = struct.Struct(">4sII")
"""Word, version and number of objects."""
_MORE = 0x80  # the bit of a byte of a size that says that another one follows
_COPY = 0x80  # the bit of a delta's instruction that says it copies from the base
_LONGEST_SIZE = 10  # bytes of a size of 64 bits
_DEFAULT_COPY = 0x10000  # bytes that are copied where an instruction does not say how many

_BLOCKS_A_STEP = DEFLATE_STEP // BLOCK


def pack_header(count: int) -> bytes:
    """The twelve bytes in front of a pack of `count` objects."""
    return PACK_HEADER.pack(b"PACK", 2, count)


@lru_cache(4096)
def entry_header(kind: ObjectType, size: int) -> bytes:
    """The type and size in front of every entry of a pack."""
    byte = (kind << 4) | (size & 15)
    size >>= 4
    out = bytearray()
    while size:
        out.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    out.append(byte)
    return bytes(out)


@lru_cache(4096)
def block_header(length: int, *, last: bool) -> bytes:
    """The five bytes in front of a stored block."""
    return bytes((last,)) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")


def zlib_stream(data: memoryview, release: Callable[[int], None] | None = None) -> Iterable[Buffer]:
    """A zlib stream that holds `data`, in pieces: deflated where that makes it smaller, else stored.

    Args:
        data: Bytes, which must not change before the pieces are used: stored pieces are views of them.
        release: Told, where they are many, how many of them are not looked at again.
    """
    if _is_compressible(data):
        if len(data) > DEFLATE_BY_STEPS:
            return _deflated_in_steps(data, release)
        packed = _deflate(data)
        most = len(data) * _KEEP_RATIO if len(data) > SAMPLES * SAMPLE else len(data)
        if len(packed) < most:
            return (packed,)
    return stored_stream(data) if len(data) <= DEFLATE_BY_STEPS else _stored_in_steps(data, release)


def stored_stream(data: memoryview) -> list[Buffer]:
    """A zlib stream of stored blocks that hold `data`, in pieces, which are views of it."""
    last = max(0, (len(data) - 1) // BLOCK * BLOCK)
    pieces: list[Buffer] = [ZLIB_HEADER]
    for start in range(0, last, BLOCK):
        pieces += (FULL_BLOCK, data[start : start + BLOCK])
    checksum = adler32(data).to_bytes(CHECKSUM, "big")
    pieces += (block_header(len(data) - last, last=True), data[last:], checksum)
    return pieces


def small_entry(kind: ObjectType, data: bytes) -> bytes:
    """The entry of an object of a few bytes, in one piece: its header, and a zlib stream of one stored block."""
    return b"%s%s%s" % (
        _small_header(kind, len(data)), data, zlib.adler32(data).to_bytes(CHECKSUM, "big")
    )  # fmt: skip


@lru_cache(4096)
def _small_header(kind: ObjectType, size: int) -> bytes:
    return entry_header(kind, size) + ZLIB_HEADER + block_header(size, last=True)


def _stored_in_steps(data: memoryview, release: Callable[[int], None] | None) -> Iterator[Buffer]:
    """The same pieces, where nothing is looked at long before it is used: `data` may be a file that is mapped."""
    adler32 = _checksums(data).adler32
    last, checksum = (len(data) - 1) // BLOCK * BLOCK, 1
    yield ZLIB_HEADER
    for start in range(0, last, _BLOCKS_A_STEP * BLOCK):
        step = data[start : min(start + _BLOCKS_A_STEP * BLOCK, last)]
        checksum = adler32(step, checksum)
        for block in range(0, len(step), BLOCK):
            yield FULL_BLOCK
            yield step[block : block + BLOCK]
        if release:
            release(len(step))
    yield block_header(len(data) - last, last=True)
    yield data[last:]
    yield int(adler32(data[last:], checksum)).to_bytes(CHECKSUM, "big")


def crc32(data: Buffer, value: int = 0) -> int:
    """The CRC-32 of `data`, going on from `value`, that of what is before it."""
    return int(_checksums(data).crc32(data, value))


def adler32(data: Buffer) -> int:
    """The Adler-32 of `data`."""
    return int(_checksums(data).adler32(data))


def _is_compressible(data: memoryview) -> bool:
    """Whether deflate is likely to make `data` smaller."""
    if len(data) <= SAMPLES * SAMPLE:
        return len(data) >= DEFLATE_FROM and not (
            len(data) <= ESTIMATE_UP_TO and len(_deflate(data, 0)) > _UNIFORM * len(data)
        )
    step = (len(data) - SAMPLE) // (SAMPLES - 1)
    sample = b"".join(data[i * step : i * step + SAMPLE] for i in range(SAMPLES))
    return len(_deflate(sample)) < _SAMPLE_RATIO * len(sample)


def _deflate(data: Buffer, level: int = 1) -> bytes:
    from isal import isal_zlib

    return isal_zlib.compress(data, level)


def _deflated_in_steps(data: memoryview, release: Callable[[int], None] | None) -> Iterator[bytes]:
    from isal import isal_zlib

    compressor = isal_zlib.compressobj(1)
    for start in range(0, len(data), DEFLATE_STEP):
        yield compressor.compress(data[start : start + DEFLATE_STEP])
        if release:
            release(DEFLATE_STEP)
    yield compressor.flush()


def _checksums(data: Buffer) -> Any:
    """The module whose checksums of `data` take less time, its import included."""
    if len(data) < CHECKSUM_BY_VECTORS:
        return zlib
    from zlib_ng import zlib_ng

    return zlib_ng


def delta_sizes(delta: bytes) -> tuple[int, int, int]:
    """Size of the base, size of the result, and where the instructions begin.

    Raises:
        CorruptRecord: the delta ends within its header.
    """
    try:
        base, position = varint(delta, 0)
        result, position = varint(delta, position)
    except ValueError as error:
        raise CorruptRecord("a delta has a malformed size") from error
    return base, result, position


def apply_delta(base: bytes, delta: bytes) -> tuple[bytes, int]:
    """The object that `delta` describes in terms of `base`, and in how many instructions.

    Raises:
        CorruptRecord: the delta is malformed, or made for another base.
    """
    base_size, size, position = delta_sizes(delta)
    if base_size != len(base):
        raise CorruptRecord(f"a delta is for a base of {base_size} bytes, not {len(base)}")
    view = memoryview(base)
    out = io.BytesIO()  # a list of the parts would take a hundred times the bytes of short ones
    made = count = 0
    while position < len(delta) and made <= size:
        code = delta[position]
        position += 1
        if code & _COPY:
            start, length, position = _copy_instruction(delta, code, position)
            part = view[start : start + length]
        else:
            length = code
            part = memoryview(delta)[position : position + length]
            position += length
        if len(part) != length or not length:
            raise CorruptRecord("a delta has an instruction that points beyond its data")
        out.write(part)
        made += length
        count += 1
    if made != size:
        raise CorruptRecord(f"a delta makes {made} bytes, not the {size} announced")
    return out.getvalue(), count


def _copy_instruction(delta: bytes, code: int, position: int) -> tuple[int, int, int]:
    given = 0  # four bytes of the start and three of the length, each left out where it is 0
    try:
        for bit in range(7):
            if code & (1 << bit):
                given |= delta[position] << (8 * bit)
                position += 1
    except IndexError as error:
        raise CorruptRecord("a delta ends within an instruction") from error
    return given & 0xFFFF_FFFF, given >> 32 or _DEFAULT_COPY, position


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A size in groups of seven bits, the lowest first, and where it ends. Raises ValueError where it does not."""
    if position < len(data) and data[position] < _MORE:  # as most are
        return data[position], position + 1
    value = shift = 0
    for end, byte in enumerate(data[position : position + _LONGEST_SIZE], position + 1):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & _MORE:
            return value, end
    msg = "a size does not end"
    raise ValueError(msg)
