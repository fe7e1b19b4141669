"""A bounded conveyor of buffers: regions are reserved in order, filled by anyone, then hashed and written.

Whoever makes a large pack reserves its bytes here in the order of the file. Reserved regions lie in a few
page-aligned slabs that are used over and over, so memory does not grow with the pack. A full slab, once every
region in it is filled, goes to the hashing thread (a pack ends with the SHA-1 of all its bytes, which nobody
can compute in parallel) and at the same time to the writing threads.

A file offset is a multiple of the page size at the start of each slab: the few bytes by which a slab overshot
are written again at the head of the next. So the same slabs suit direct I/O.

Large packs: objects of any size onto the conveyor, in order, with several threads at work.

Three things go on at once:

    pool of threads:   sample and deflate, or: id + framing + CRC into a region of the conveyor
    hashing thread:    SHA-1 of the whole pack
    writing threads:   the file

Ids that the caller knows are trusted. The number of objects must be known first, so where two have the same
type and size their ids are computed before anything is written; all other ids are computed on the way.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gitflowrun.git.owner import usable_cpus
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
    pack_header,
    stored_size,
    tools,
)
from gitflowrun.git.pack.output import ALIGNMENT

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gitflowrun.git.pack.output import Output

__all__ = ["MAX_REGION", "Conveyor", "write_large"]


_SLAB = (8 << 20) + (64 << 10)  # two objects of 4 MiB with their frames
_SLABS = 5
_WRITERS = 2
_MARGIN = 2 * ALIGNMENT  # room for the trailer and for padding
MAX_REGION = _SLAB - _MARGIN - ALIGNMENT
"""The largest region that can be reserved."""


class _Slab:
    """A buffer: `view[begin:end]` is new in this slab, `view[:begin]` repeats the end of the one before."""

    __slots__ = ("begin", "end", "fills", "is_last", "start", "users", "view")

    def __init__(self) -> None:
        memory = mmap.mmap(-1, _SLAB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        self.view = memoryview(memory)
        self.fills: list[Future[None]] = []
        self.start = self.begin = self.end = self.users = 0
        self.is_last = False


class Conveyor:
    """Carries a pack's bytes to its file. To be used as a context manager: leaving it ends the threads."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._sha = hashlib.sha1(usedforsecurity=False)
        self._free: SimpleQueue[_Slab | None] = SimpleQueue()
        for _ in range(_SLABS):
            self._free.put(None)  # made when first needed
        self._full: SimpleQueue[_Slab | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._overshoot = b""
        self._slab = self._next_slab(0, 0)
        self._writers = ThreadPoolExecutor(_WRITERS, "pack-write")
        self._hasher = threading.Thread(target=self._hash_slabs, name="pack-hash", daemon=True)
        self._hasher.start()

    def __enter__(self) -> Conveyor:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._full.put(None)
        self._hasher.join()
        self._writers.shutdown()

    @property
    def position(self) -> int:
        """The offset in the file of the next region."""
        return self._slab.start + self._slab.end

    def reserve(self, size: int) -> memoryview:
        """The next `size` bytes of the file, to be filled before the conveyor is finished.

        Raises:
            OSError: the file could not be written.
        """
        if self._slab.end + size > _SLAB - _MARGIN:
            self._turn()
        start = self._slab.end
        self._slab.end = start + size
        return self._slab.view[start : start + size]

    def put(self, data: bytes) -> None:
        """Reserve and fill a region at once."""
        self.reserve(len(data))[:] = data

    def expect(self, fill: Future[None]) -> None:
        """The region reserved last is filled once `fill` is done."""
        self._slab.fills.append(fill)

    def finish(self) -> tuple[bytes, int]:
        """Append the SHA-1 of everything; return it, and the size of the file.

        Raises:
            OSError: the file could not be written.
        """
        last = self._slab
        last.is_last = True
        self._full.put(last)
        self._full.put(None)
        self._hasher.join()
        digest = self._sha.digest()
        size = last.start + last.end + len(digest)
        if not self._error:
            last.view[last.end : last.end + len(digest)] = digest
            self._write(last, _round_up(last.end + len(digest)))
        self._writers.shutdown()
        if self._error:
            raise self._error
        return digest, size

    def _turn(self) -> None:
        full = self._slab
        overshoot = full.end % ALIGNMENT
        self._full.put(full)
        self._slab = self._next_slab(full.start + full.end - overshoot, overshoot)

    def _next_slab(self, start: int, begin: int) -> _Slab:
        slab = self._free.get() or _Slab()
        if self._error:
            raise self._error
        slab.start, slab.begin, slab.end, slab.users = start, begin, begin, 2
        slab.fills.clear()
        return slab

    def _hash_slabs(self) -> None:
        while (slab := self._full.get()) is not None:
            try:
                if not self._error:
                    self._hash(slab)
                    continue
            except BaseException as error:  # noqa: BLE001  (raised again in the owner's thread)
                self._error = self._error or error
            self._free.put(slab)

    def _hash(self, slab: _Slab) -> None:
        for fill in slab.fills:
            fill.result()
        slab.view[: slab.begin] = self._overshoot
        whole = slab.end - slab.end % ALIGNMENT
        self._overshoot = bytes(slab.view[whole : slab.end])
        if not slab.is_last:
            self._writers.submit(self._write, slab, whole)
        self._sha.update(slab.view[slab.begin : slab.end])
        if not slab.is_last:
            self._done_with(slab)

    def _write(self, slab: _Slab, length: int) -> None:
        try:
            self._output.place(slab.view[:length], slab.start)
        except BaseException as error:  # noqa: BLE001  (raised again in the owner's thread)
            self._error = self._error or error
        self._done_with(slab)

    def _done_with(self, slab: _Slab) -> None:
        with self._lock:
            slab.users -= 1
            unused = slab.users == 0
        if unused:
            self._free.put(slab)


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


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
