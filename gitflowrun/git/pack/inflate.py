"""From a zlib stream to bytes whose number is known beforehand. Where streams lie is the business of `readat`.

A stream of our stored blocks is read straight to its place, not inflated: the five bytes in front of each
block go elsewhere. Anything else is inflated in steps: never more than the
announced size comes out, whatever the stream holds, and no second copy of a large object is made.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.pack.format import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    FULL_BLOCK,
    ZLIB_HEADER,
    block_header,
    tools,
)

if TYPE_CHECKING:
    from gitflowrun.git.pack.stream import Source

__all__ = ["inflate", "inflate_head", "inflate_into"]

_FEED = 256 << 10
_STEP = 1 << 20
_SMALL = 64 << 10
_COMPRESSED = 0b110  # the bits of a block's first byte that say how it is compressed
_BEST_RATIO = 1040  # deflate shrinks 1,032 times at best
_HEAD = 4096


def inflate(source: Source, start: int, size: int, *, skip: int = 0) -> bytes:
    """The `size` bytes in the zlib stream at `start` of `source`, after `skip` others.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    if size > (source.size - start) * _BEST_RATIO:
        # Nothing is allocated for a lie.
        raise CorruptRecord(f"a zlib stream can't hold the {size} bytes announced")
    if size + skip <= _SMALL:
        return _inflate_small(source, start, size + skip)[skip:]
    out = bytearray(size)
    inflate_into(source, start, memoryview(out), skip=skip)
    return bytes(out)


def inflate_into(source: Source, start: int, target: memoryview, *, skip: int = 0) -> None:
    """Fill `target` exactly with what the zlib stream at `start` of `source` holds after `skip` bytes.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    if not skip and _read_stored(source, start, target):
        return
    done, size = -skip, len(target)
    stream = _decompressor(size)
    while not stream.eof:
        # Not more than can be needed: zlib copies what it is given too much of.
        feed = source.read(start, min(_FEED, _bound(size - done)))
        # The first step ends where the bytes to be skipped end.
        piece = _decompress(stream, feed, min(_STEP, size - done + 1) if done >= 0 else -done)
        if done >= 0:
            if done + len(piece) > size:
                raise CorruptRecord(f"a zlib stream holds more than the {size} bytes announced")
            target[done : done + len(piece)] = piece
        done += len(piece)
        taken = len(feed) - len(stream.unconsumed_tail)
        if not (taken or piece or stream.eof):
            raise CorruptRecord(f"a zlib stream ends after {done} of {size} bytes")
        start += taken
    if done != size:
        raise CorruptRecord(f"a zlib stream holds {done} bytes, not the {size} announced")


def inflate_head(source: Source, start: int, size: int) -> bytes:
    """At most the first `size` bytes in the zlib stream at `start` of `source`."""
    return _decompress(_decompressor(size), source.read(start, _HEAD), size)


def _inflate_small(source: Source, start: int, size: int) -> bytes:
    stream = _decompressor(size)
    out = _decompress(stream, source.read(start, _bound(size)), size + 1)
    if len(out) == size and stream.eof:
        return out
    # An unusual framing, such as many empty blocks: take the long way.
    target = bytearray(size)
    inflate_into(source, start, memoryview(target))
    return bytes(target)


def _bound(size: int) -> int:
    """How long a zlib stream of `size` bytes may be, unless its framing is unusual."""
    return size + size // 512 + 64


def _decompressor(size: int) -> Any:
    """The fast one where it pays: its state takes 300 KB, which a task would fill for a few bytes."""
    return zlib.decompressobj() if size <= _SMALL else tools().decompressor()


def _decompress(stream: Any, data: bytes, limit: int) -> bytes:
    try:
        out: bytes = stream.decompress(data, limit)
    except tools().errors as error:
        raise CorruptRecord(f"a zlib stream is damaged: {error}") from error
    return out


def _read_stored(source: Source, start: int, target: memoryview) -> bool:
    """Read a stream of full stored blocks and a last one; False, perhaps half done, if it is something else."""
    full = max(0, (len(target) - 1) // BLOCK)
    rest = len(target) - full * BLOCK
    start += len(ZLIB_HEADER)
    if start + full * BLOCK_FRAME + BLOCK_HEADER + rest + CHECKSUM > source.size:
        return False
    if source.read(start, 1)[0] & _COMPRESSED:
        return False
    headers = memoryview(bytearray((full + 1) * BLOCK_HEADER))
    views = []
    for block in range(full + 1):
        views.append(headers[block * BLOCK_HEADER : (block + 1) * BLOCK_HEADER])
        views.append(target[block * BLOCK : (block + 1) * BLOCK])
    expected = FULL_BLOCK * full + block_header(rest, last=True)
    return source.scatter(start, views) and headers == expected
