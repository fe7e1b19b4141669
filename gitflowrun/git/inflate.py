"""From a zlib stream in memory to bytes whose number is known beforehand. Where streams lie is no matter here.

A stream of our stored blocks is copied, not inflated. Anything else is inflated in steps: never more than the
announced size comes out, whatever the stream holds, and no second copy of a large object is made.
"""

from __future__ import annotations

import zlib
from typing import Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.framing import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    FULL_BLOCK,
    ZLIB_HEADER,
    block_header,
    tools,
    use_numpy,
)

__all__ = ["inflate", "inflate_head", "inflate_into"]

Source = bytes | memoryview

_FEED = 256 << 10
_STEP = 1 << 20
_SMALL = 64 << 10
_COMPRESSED = 0b110  # the bits of a block's first byte that say how it is compressed
_BEST_RATIO = 1040  # deflate shrinks 1,032 times at best
_STRIDED = 1 << 20  # from here on a vectorised copy pays


def inflate(source: Source, start: int, size: int, *, skip: int = 0) -> bytes:
    """The `size` bytes in the zlib stream at `start` of `source`, after `skip` others.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    if size > (len(source) - start) * _BEST_RATIO:
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
    if not skip and _copy_stored(source, start, target):
        return
    done, size = -skip, len(target)
    stream = _decompressor(size)
    while not stream.eof:
        # Not more than can be needed: zlib copies what it is given too much of.
        feed = source[start : start + min(_FEED, _bound(size - done))]
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
    return _decompress(_decompressor(size), source[start : start + 4096], size)


def _inflate_small(source: Source, start: int, size: int) -> bytes:
    stream = _decompressor(size)
    out = _decompress(stream, source[start : start + _bound(size)], size + 1)
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


def _decompress(stream: Any, data: Source, limit: int) -> bytes:
    try:
        out: bytes = stream.decompress(data, limit)
    except tools().errors as error:
        raise CorruptRecord(f"a zlib stream is damaged: {error}") from error
    return out


def _copy_stored(source: Source, start: int, target: memoryview) -> bool:
    """Copy a stream of full stored blocks and a last one; False, perhaps half done, if it is something else."""
    # From front to back: going to and fro would spoil the system's read-ahead in a pack that is not cached.
    blocks = max(0, (len(target) - 1) // BLOCK)
    first = start + len(ZLIB_HEADER)
    last = first + blocks * BLOCK_FRAME
    rest = len(target) - blocks * BLOCK
    end = last + BLOCK_HEADER + rest
    if end + CHECKSUM > len(source) or source[first] & _COMPRESSED:
        return False
    if not _copy_blocks(memoryview(source)[first:last], target[: blocks * BLOCK]):
        return False
    if source[last : last + BLOCK_HEADER] != block_header(rest, last=True):
        return False
    target[blocks * BLOCK :] = source[last + BLOCK_HEADER : end]
    return True


def _copy_blocks(source: memoryview, target: memoryview) -> bool:
    if len(target) >= _STRIDED and use_numpy():
        import numpy as np

        rows = np.frombuffer(source, np.uint8).reshape(-1, BLOCK_FRAME)
        np.copyto(np.frombuffer(target, np.uint8).reshape(-1, BLOCK), rows[:, BLOCK_HEADER:])
        return bool((rows[:, :BLOCK_HEADER] == np.frombuffer(FULL_BLOCK, np.uint8)).all())
    position = 0
    for start in range(0, len(target), BLOCK):
        if source[position : position + BLOCK_HEADER] != FULL_BLOCK:
            return False
        target[start : start + BLOCK] = source[position + BLOCK_HEADER : position + BLOCK_FRAME]
        position += BLOCK_FRAME
    return True
