"""A bounded conveyor of buffers: regions are reserved in order, filled by anyone, then hashed and written.

Whoever makes a large pack reserves its bytes here in the order of the file. Reserved regions lie in a few
page-aligned slabs that are used over and over, so memory does not grow with the pack. A full slab, once every
region in it is filled, goes to the hashing thread (a pack ends with the SHA-1 of all its bytes, which nobody
can compute in parallel) and at the same time to the writing threads.

A file offset is a multiple of the page size at the start of each slab: the few bytes by which a slab overshot
are written again at the head of the next. So the same slabs suit direct I/O.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gitflowrun.git.pack.output import ALIGNMENT

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gitflowrun.git.pack.output import Output

__all__ = ["MAX_REGION", "Conveyor"]

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
