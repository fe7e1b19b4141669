"""How one object's bytes lie in a pack: entry header, zlib framing, checksums. No files, no indexes.

What deflate can't shrink (random floats, images, archives) is framed as stored blocks of 65,535 bytes, which
costs a copy instead of a compression and is read back with a copy. The rest takes the fastest deflate there
is: igzip level 1 (`isal`), else zlib level 1; zlib level 6 would be 10 to 25 times slower for a few percent.
Formats: gitformat-pack(5), RFC 1950, RFC 1951.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from gitflowrun.git.objects import ObjectType

__all__ = [
    "BLOCK",
    "BLOCK_FRAME",
    "Tools",
    "block_header",
    "entry_header",
    "frame_small",
    "frame_stored",
    "is_compressible",
    "stored_size",
    "tools",
]

Buffer = bytes | bytearray | memoryview

BLOCK = 65_535
"""Bytes in a stored block: the most that deflate's 16-bit length allows."""
BLOCK_HEADER = 5
BLOCK_FRAME = BLOCK_HEADER + BLOCK
ZLIB_HEADER = b"\x78\x01"
FULL_BLOCK = b"\x00\xff\xff\x00\x00"
CHECKSUM = 4

_WORTH_TRYING = 128  # below, deflate rarely beats the 11 bytes of a stored frame
_SAMPLES, _SAMPLE = 8, 4 << 10
_SAMPLE_RATIO, _KEEP_RATIO = 0.90, 0.95


@dataclass(frozen=True, slots=True)
class Tools:
    """The fastest functions installed for each job; all of them release the GIL on large buffers."""

    crc32: Callable[..., int]
    adler32: Callable[..., int]
    deflate: Callable[[Buffer], bytes]
    compressor: Callable[[], zlib._Compress]
    decompressor: Callable[[], zlib._Decompress]
    errors: tuple[type[Exception], ...]


@cache
def tools() -> Tools:
    """Look for isal and zlib-ng once; the standard library stands in for what is missing."""
    checks, codec = zlib, zlib
    try:
        from isal import isal_zlib as codec

        checks = codec
    except ImportError:
        pass
    try:
        from zlib_ng import zlib_ng as checks
    except ImportError:
        pass
    return Tools(
        crc32=checks.crc32,
        adler32=checks.adler32,
        deflate=lambda data: codec.compress(data, 1),
        compressor=lambda: codec.compressobj(1),
        decompressor=codec.decompressobj,
        errors=(zlib.error, codec.error),
    )


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


def block_header(length: int, *, last: bool) -> bytes:
    """The five bytes in front of a stored block."""
    return bytes((last,)) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")


def stored_size(size: int) -> int:
    """Bytes of the zlib stream that frames `size` bytes as stored blocks."""
    blocks = max(1, -(-size // BLOCK))
    return len(ZLIB_HEADER) + blocks * BLOCK_HEADER + size + CHECKSUM


def frame_stored(data: Buffer) -> bytes:
    """A zlib stream of stored blocks that holds `data`."""
    view = memoryview(data)
    parts: list[Buffer] = [ZLIB_HEADER]
    last = max(0, (len(view) - 1) // BLOCK * BLOCK)
    for start in range(0, last, BLOCK):
        parts += (FULL_BLOCK, view[start : start + BLOCK])
    parts += (
        block_header(len(view) - last, last=True),
        view[last:],
        tools().adler32(view).to_bytes(CHECKSUM, "big"),
    )
    return b"".join(parts)


def frame_small(data: Buffer) -> bytes:
    """A zlib stream that holds `data`: deflated if that makes it smaller, else stored."""
    if len(data) >= _WORTH_TRYING:
        packed = tools().deflate(data)
        if len(packed) < stored_size(len(data)):
            return packed
    return frame_stored(data)


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
