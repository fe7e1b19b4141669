"""How one object's bytes lie in a pack: entry header, zlib framing, checksums. No files, no indexes.

What deflate can't shrink (random floats, images, archives) is framed as stored blocks of 65,535 bytes, which
costs a copy instead of a compression and is read back with a copy. The rest takes the fastest deflate there
is: igzip level 1 (`isal`), else zlib level 1; zlib level 6 would be 10 to 25 times slower for a few percent.
Formats: gitformat-pack(5), RFC 1950, RFC 1951.

Applying git's deltas: copy and insert instructions against a base object. Pure bytes; see gitformat-pack(5).
"""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.objects import Buffer, ObjectType

__all__ = [
    "BLOCK",
    "BLOCK_FRAME",
    "BLOCK_HEADER",
    "FULL_BLOCK",
    "ZLIB_HEADER",
    "Tools",
    "apply_delta",
    "block_header",
    "delta_sizes",
    "entry_header",
    "fill_blocks",
    "fill_stored",
    "frame_small",
    "is_compressible",
    "is_worth_keeping",
    "pack_header",
    "stored_size",
    "tools",
    "use_numpy",
]


BLOCK = 65_535
"""Bytes in a stored block: the most that deflate's 16-bit length allows."""
BLOCK_HEADER = 5
BLOCK_FRAME = BLOCK_HEADER + BLOCK
FULL_BLOCK = b"\x00\xff\xff\x00\x00"
ZLIB_HEADER = b"\x78\x01"
CHECKSUM = 4

_PACK_HEADER = struct.Struct(">4sII")

_WORTH_TRYING = 128  # below, deflate rarely beats the 11 bytes of a stored frame
_SAMPLES, _SAMPLE = 8, 4 << 10
_SAMPLE_RATIO, _KEEP_RATIO = 0.90, 0.95
_UNIFORM = 1.25  # of its size is the estimate of what won't shrink
_STRIDED = 512 << 10  # from here on a vectorised copy pays


@frozen
class Tools:
    """The fastest functions installed for each job; all of them release the GIL on large buffers.

    `estimate`, if there is one, deflates with fixed codes: a fifth of the time, and uniform bytes grow by a third.
    """

    crc32: Callable[..., int]
    adler32: Callable[..., int]
    deflate: Callable[[Buffer], bytes]
    estimate: Callable[[Buffer], bytes] | None
    compressor: Callable[[], Any]
    decompressor: Callable[[], Any]
    errors: tuple[type[Exception], ...]


@cache
def tools() -> Tools:
    """Look for isal and zlib-ng once; the standard library stands in for what is missing."""
    codec: Any = zlib
    with contextlib.suppress(ImportError):
        from isal import isal_zlib

        codec = isal_zlib
    checks: Any = codec
    with contextlib.suppress(ImportError):
        from zlib_ng import zlib_ng

        checks = zlib_ng
    return Tools(
        crc32=checks.crc32,
        adler32=checks.adler32,
        deflate=partial(codec.compress, level=1),
        estimate=partial(codec.compress, level=0) if codec is not zlib else None,
        compressor=lambda: codec.compressobj(1),
        decompressor=codec.decompressobj,
        errors=(zlib.error, codec.error),
    )


def pack_header(count: int) -> bytes:
    """The twelve bytes in front of a pack of `count` objects."""
    return _PACK_HEADER.pack(b"PACK", 2, count)


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


def stored_size(size: int) -> int:
    """Bytes of the zlib stream that frames `size` bytes as stored blocks."""
    blocks = max(1, -(-size // BLOCK))
    return len(ZLIB_HEADER) + blocks * BLOCK_HEADER + size + CHECKSUM


def fill_stored(data: memoryview, out: memoryview) -> None:
    """Write a zlib stream of stored blocks that holds `data` into `out`, which has its `stored_size`."""
    rest = data[max(0, (len(data) - 1) // BLOCK * BLOCK) :]
    out[: len(ZLIB_HEADER)] = ZLIB_HEADER
    position = len(ZLIB_HEADER) + fill_blocks(
        data[: len(data) - len(rest)], out[len(ZLIB_HEADER) :]
    )
    fill_end(rest, tools().adler32(data), out[position:])


def fill_blocks(data: memoryview, out: memoryview) -> int:
    """Write `data`, a multiple of `BLOCK` bytes, as full blocks to the start of `out`; how many bytes."""
    count = len(data) // BLOCK
    if len(data) >= _STRIDED and use_numpy():
        import numpy as np

        rows = np.frombuffer(out, np.uint8, count * BLOCK_FRAME).reshape(count, BLOCK_FRAME)
        rows[:, :BLOCK_HEADER] = np.frombuffer(FULL_BLOCK, np.uint8)
        np.copyto(rows[:, BLOCK_HEADER:], np.frombuffer(data, np.uint8).reshape(count, BLOCK))
    else:
        for row in range(count):
            start = row * BLOCK_FRAME
            out[start : start + BLOCK_HEADER] = FULL_BLOCK
            out[start + BLOCK_HEADER : start + BLOCK_FRAME] = data[row * BLOCK : (row + 1) * BLOCK]
    return count * BLOCK_FRAME


def fill_end(rest: memoryview, adler: int, out: memoryview) -> None:
    """Write the last block of a stream, which holds `rest`, and the stream's checksum into `out`."""
    out[:BLOCK_HEADER] = block_header(len(rest), last=True)
    out[BLOCK_HEADER : BLOCK_HEADER + len(rest)] = rest
    out[BLOCK_HEADER + len(rest) :] = adler.to_bytes(CHECKSUM, "big")


def frame_small(data: Buffer) -> bytes:
    """A zlib stream that holds `data`: deflated if that makes it smaller, else stored."""
    if len(data) >= _WORTH_TRYING and not _looks_uniform(data):
        packed = tools().deflate(data)
        if len(packed) < stored_size(len(data)):
            return packed
    if len(data) <= BLOCK:
        checksum = tools().adler32(data).to_bytes(CHECKSUM, "big")
        return b"".join((ZLIB_HEADER, block_header(len(data), last=True), data, checksum))
    out = bytearray(stored_size(len(data)))
    fill_stored(memoryview(data), memoryview(out))
    return bytes(out)


def _looks_uniform(data: Buffer) -> bool:
    estimate = tools().estimate
    return estimate is not None and len(estimate(data)) > _UNIFORM * len(data)


def is_compressible(data: memoryview) -> bool:
    """Whether a sample of `data` shrinks by a tenth or more under deflate."""
    sample: Buffer = data
    if len(data) > _SAMPLES * _SAMPLE:
        step = (len(data) - _SAMPLE) // (_SAMPLES - 1)
        sample = b"".join(data[i * step : i * step + _SAMPLE] for i in range(_SAMPLES))
    return len(tools().deflate(sample)) < _SAMPLE_RATIO * len(sample)


def is_worth_keeping(packed: int, size: int) -> bool:
    """Whether a deflated form is enough smaller than the data to pay for inflating it at every read."""
    return packed < _KEEP_RATIO * size


def use_numpy() -> bool:
    """Whether numpy may be used: only where the process has it already, for its import is dear."""
    return "numpy" in sys.modules


_COPY = 0x80
_DEFAULT_COPY = 0x10000


def delta_sizes(delta: bytes) -> tuple[int, int, int]:
    """Size of the base, size of the result, and where the instructions begin.

    Raises:
        CorruptRecord: the delta ends within its header.
    """
    base, position = _varint(delta, 0)
    result, position = _varint(delta, position)
    return base, result, position


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The object that `delta` describes in terms of `base`.

    Raises:
        CorruptRecord: the delta is malformed, or made for another base.
    """
    base_size, size, position = delta_sizes(delta)
    if base_size != len(base):
        raise CorruptRecord(f"a delta is for a base of {base_size} bytes, not {len(base)}")
    view = memoryview(base)
    parts: list[bytes | memoryview] = []
    made = 0
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
        parts.append(part)
        made += length
    if made != size:
        raise CorruptRecord(f"a delta makes {made} bytes, not the {size} announced")
    return b"".join(parts)


def _copy_instruction(delta: bytes, code: int, position: int) -> tuple[int, int, int]:
    start = length = 0
    try:
        for bit in range(4):
            if code & (1 << bit):
                start |= delta[position] << (8 * bit)
                position += 1
        for bit in range(3):
            if code & (0x10 << bit):
                length |= delta[position] << (8 * bit)
                position += 1
    except IndexError as error:
        raise CorruptRecord("a delta ends within an instruction") from error
    return start, length or _DEFAULT_COPY, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:  # noqa: PLR2004  (64-bit sizes)
            raise CorruptRecord("a delta has a malformed size")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
