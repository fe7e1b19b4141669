"""Large packs: objects of any size onto the conveyor, in order, with several threads at work.

Three things go on at once:

    pool of threads:   sample and deflate, or: id + framing + CRC into a region of the conveyor
    hashing thread:    SHA-1 of the whole pack
    writing threads:   the file

Ids that the caller knows are trusted. The number of objects must be known first, so where two have the same
type and size their ids are computed before anything is written; all other ids are computed on the way.
"""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gitflowrun.git.cpus import usable_cpus
from gitflowrun.git.pack.entry import Item, each_once, first_of_equals
from gitflowrun.git.pack.format import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    ZLIB_HEADER,
    fill_blocks,
    fill_end,
    is_compressible,
    stored_size,
    tools,
)
from gitflowrun.git.pack.parallel import MAX_REGION, Conveyor
from gitflowrun.git.pack.writer import pack_header

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gitflowrun.git.pack.output import Output

__all__ = ["write_large"]

_SMALL = 64 << 10
_LARGE = 4 << 20
_PIECE = 64 * BLOCK
_AHEAD = 16 << 20


def write_large(given: list[Item], output: Output) -> tuple[list[Item], bytes, int]:
    """Write a pack to `output`, which is not closed.

    Returns:
        For each item the one that was written in its place; the pack's trailer; its size.

    Raises:
        OSError: the file could not be written.
    """
    with ThreadPoolExecutor(usable_cpus(), "pack-prepare") as pool, Conveyor(output) as conveyor:
        deque(pool.map(Item.identify, _alike(given)), maxlen=0)
        written = first_of_equals(given)
        return (written, *_Assembly(pool, conveyor).write(each_once(written)))


def _alike(given: list[Item]) -> list[Item]:
    """The items whose ids must be known first: they may be equal to another, or are too large to wait for."""
    count = Counter((item.kind, item.size) for item in given)
    return [
        item
        for item in given
        if item.is_settled and (item.size > _LARGE or count[item.kind, item.size] > 1)
    ]


class _Assembly:
    """Puts items onto the conveyor in order, with the pool working some of them ahead."""

    def __init__(self, pool: ThreadPoolExecutor, conveyor: Conveyor) -> None:
        self._pool = pool
        self._conveyor = conveyor

    def write(self, items: list[Item]) -> tuple[bytes, int]:
        """All of the pack. Returns its trailer and size."""
        self._conveyor.put(pack_header(len(items)))
        ahead: deque[tuple[Item, Future[bytes | None] | None]] = deque()
        held = 0
        for item in items:
            ahead.append((item, self._prepare(item)))
            held += item.size
            while ahead and held > _AHEAD:
                held -= ahead[0][0].size
                self._emit(*ahead.popleft())
        for item, prepared in ahead:
            self._emit(item, prepared)
        return self._conveyor.finish()

    def _prepare(self, item: Item) -> Future[bytes | None] | None:
        if _SMALL < item.size <= _LARGE:
            return self._pool.submit(item.deflated)
        return None

    def _emit(self, item: Item, prepared: Future[bytes | None] | None) -> None:
        item.offset = self._conveyor.position
        if prepared is not None:
            self._emit_medium(item, prepared.result())
            return
        item.settle()
        item.identify()
        if item.size <= _SMALL:
            self._conveyor.put(item.small_entry())
        elif is_compressible(item.data):
            self._stream_deflated(item)
        else:
            self._stream_stored(item)
        item.let_go()

    def _emit_medium(self, item: Item, deflated: bytes | None) -> None:
        if deflated is not None:
            self._put(item, item.header)
            self._put(item, deflated)
            item.let_go()
        else:
            region = self._conveyor.reserve(len(item.header) + stored_size(item.size))
            self._conveyor.expect(self._pool.submit(item.fill, region))

    def _stream_deflated(self, item: Item) -> None:
        compressor = tools().compressor()
        self._put(item, item.header)
        for start in range(0, len(item.data), _PIECE):
            self._put(item, compressor.compress(item.data[start : start + _PIECE]))
        self._put(item, compressor.flush())

    def _stream_stored(self, item: Item) -> None:
        data, adler = item.data, 1
        self._put(item, item.header + ZLIB_HEADER)
        last = (len(data) - 1) // BLOCK * BLOCK
        for start in range(0, last, _PIECE):
            piece = data[start : min(start + _PIECE, last)]
            region = self._conveyor.reserve(len(piece) // BLOCK * BLOCK_FRAME)
            fill_blocks(piece, region)
            item.crc = tools().crc32(region, item.crc)
            adler = tools().adler32(piece, adler)
        rest = data[last:]
        region = self._conveyor.reserve(BLOCK_HEADER + len(rest) + CHECKSUM)
        fill_end(rest, tools().adler32(rest, adler), region)
        item.crc = tools().crc32(region, item.crc)

    def _put(self, item: Item, data: bytes) -> None:
        item.crc = tools().crc32(data, item.crc)
        for start in range(0, len(data), MAX_REGION):
            self._conveyor.put(data[start : start + MAX_REGION])
