"""Writes objects as one pack into an open file.

A pack's header holds the number of its objects, and its trailer is the SHA-1 of everything before, header
included. So equal objects are found first. Then, unless the pack is small, four things go on at once:

1. a pool of threads computes ids and makes entries, some MiB ahead;
2. the calling thread puts entries into a buffer and computes their CRC-32;
3. one thread computes the SHA-1 of full buffers, which are those of the file, in order;
4. one thread writes them.

Buffers are page-aligned, are full, and begin in the file where a page does: so they suit direct I/O. There are
a few, used over and over, and memory does not grow with the pack.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from gitflowrun.git.owner import usable_cpus
from gitflowrun.git.pack.entry import PackedObject, PackObject
from gitflowrun.git.pack.format import crc32, pack_header
from gitflowrun.git.pack.index import IndexEntry
from gitflowrun.git.pack.output import ALIGNMENT
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from gitflowrun.git.objects import Buffer, Oid
    from gitflowrun.git.pack.output import Output

__all__ = ["PackContents", "write_pack"]

T = TypeVar("T")

# Limits, in bytes.
_ONE_THREAD = (
    1 << 20
)  # smaller packs, and those of objects smaller than the next on average, need no threads
_FEW_BYTES = 32 << 10
_AHEAD = 16 << 20  # of objects whose entries are made before there is room for them
_BUFFER = (
    1 << 20
)  # below the size of a huge page, which a forked task would fill with zeros for a few bytes
_LARGE_BUFFER = 8 << 20  # half of it takes 10 % longer, for direct writes have their price each
_BUFFERS = 3  # not bytes: one is filled while others are hashed and written


@frozen
class PackContents:
    """What a pack that was written holds.

    Attributes:
        oids: The id of each object given, in that order, equal ones included.
        entries: The entries in the order of the file.
        trailer: The SHA-1 that ends it.
        size: Bytes of the file.
    """

    oids: tuple[Oid, ...]
    entries: tuple[IndexEntry, ...]
    trailer: bytes
    size: int


def write_pack(objects: Sequence[PackObject], output: Output) -> PackContents:
    """Write a pack of `objects` to `output` and close it; on errors it is left to the caller.

    Raises:
        OSError: the file could not be written.
    """
    total = sum(given.size for given in objects)
    if total < _ONE_THREAD or total < _FEW_BYTES * len(objects):
        return _write(objects, map, _PackFile(output))
    # Imported only here: threads are dear in a forked task.
    from concurrent.futures import ThreadPoolExecutor

    with (
        ThreadPoolExecutor(usable_cpus(), "pack-entries") as pool,
        ThreadPoolExecutor(1, "pack-hash") as hasher,
        ThreadPoolExecutor(1, "pack-write") as writer,
    ):
        return _write(objects, partial(_map_ahead, pool), _ThreadedPackFile(output, hasher, writer))


class _Map(Protocol):
    """`map`, with threads or without."""

    def __call__(
        self, function: Callable[[PackObject], T], objects: Sequence[PackObject], /
    ) -> Iterator[T]: ...


def _write(objects: Sequence[PackObject], map_: _Map, file: _PackFile) -> PackContents:
    places, different = _without_repetitions(_identified(objects, map_))
    file.append((pack_header(len(different)),))
    entries = []
    for packed in map_(PackedObject.of, different):
        offset = file.size
        crc = file.append(packed.pieces)
        entries.append(IndexEntry(packed.oid, crc, offset))
    trailer = file.finish()
    oids = tuple(entries[place].oid for place in places)
    return PackContents(oids, tuple(entries), trailer, file.size)


def _identified(objects: Sequence[PackObject], map_: _Map) -> list[PackObject]:
    """The objects, those of one type and size with their ids, for they may be equal.

    All other ids are computed along with the entries. Where data may change meanwhile there is no id yet.
    """
    count = Counter((given.kind, given.size) for given in objects)
    alike = [
        number
        for number, given in enumerate(objects)
        if count[given.kind, given.size] > 1 and given.stable_copy is None
    ]
    found = list(objects)
    oids = map_(PackObject.identify, [objects[number] for number in alike])
    for number, oid in zip(alike, oids, strict=True):
        found[number] = replace(found[number], oid=oid)
    return found


def _without_repetitions(objects: list[PackObject]) -> tuple[list[int], list[PackObject]]:
    """For each object its place among the different ones, and these. Without an id one equals no other."""
    numbers: dict[Oid | int, int] = {}
    different: list[PackObject] = []
    places = []
    for number, given in enumerate(objects):
        place = numbers.setdefault(given.oid or number, len(different))
        if place == len(different):
            different.append(given)
        places.append(place)
    return places, different


def _map_ahead(
    pool: Executor, function: Callable[[PackObject], T], objects: Sequence[PackObject]
) -> Iterator[T]:
    """As `map`, but by a pool that goes ahead by some objects: `_AHEAD` bytes of them."""
    waiting: deque[tuple[int, Future[T]]] = deque()
    held = 0
    for given in objects:
        waiting.append((given.size, pool.submit(function, given)))
        held += given.size
        while held > _AHEAD:
            size, future = waiting.popleft()
            held -= size
            yield future.result()
    for _, future in waiting:
        yield future.result()


class _PackFile:
    """The bytes of a pack on their way: into a buffer, and when it is full into the SHA-1 and the file.

    Args:
        output: The file.
        capacity: Bytes of a buffer.
    """

    def __init__(self, output: Output, capacity: int = _BUFFER) -> None:
        self.size = 0
        self._capacity = capacity
        self._output = output
        self._sha = hashlib.sha1(usedforsecurity=False)
        self._buffer = self._new_buffer()
        self._filled = 0
        self._crc = self._summed = 0  # of the entry that is being appended, and up to where

    def append(self, pieces: Iterable[Buffer]) -> int:
        """Append pieces. Returns the CRC-32 of them all."""
        self._crc, self._summed = 0, self._filled
        for piece in pieces:
            self._copy(memoryview(piece))
        self._sum()
        return self._crc

    def finish(self) -> bytes:
        """Append the SHA-1 of everything, and close the file. Returns the SHA-1."""
        self._sha.update(self._buffer[: self._filled])
        trailer = self._sha.digest()
        end = self._filled + len(trailer)
        self._buffer[self._filled : end] = trailer
        # A direct write takes whole pages; what is too much is cut off.
        self._output.append(self._buffer[: -(-end // ALIGNMENT) * ALIGNMENT])
        self.size += len(trailer)
        self._output.close(self.size)
        return trailer

    def _new_buffer(self) -> memoryview:
        # Anonymous memory begins with a page. There is a page more than is filled, for the trailer.
        return memoryview(mmap.mmap(-1, self._capacity + ALIGNMENT))

    def _copy(self, piece: memoryview) -> None:
        self.size += len(piece)
        while len(piece) > (room := self._capacity - self._filled):
            self._buffer[self._filled : self._capacity] = piece[:room]
            self._filled = self._capacity
            self._sum()
            self._flush()
            self._filled = self._summed = 0
            piece = piece[room:]
        end = self._filled + len(piece)
        self._buffer[self._filled : end] = piece
        self._filled = end

    def _sum(self) -> None:
        # Not piece by piece: each call gives up the interpreter, and getting it back among threads takes time.
        self._crc = crc32(self._buffer[self._summed : self._filled], self._crc)

    def _flush(self) -> None:
        full = self._buffer[: self._capacity]
        self._sha.update(full)
        self._output.append(full)


class _ThreadedPackFile(_PackFile):
    """The same, where threads hash and write full buffers while the next one is filled.

    Args:
        output: The file.
        hasher: An executor of one thread, so that buffers are hashed in order.
        writer: Another one.
    """

    def __init__(self, output: Output, hasher: Executor, writer: Executor) -> None:
        super().__init__(output, _LARGE_BUFFER)
        self._hasher = hasher
        self._writer = writer
        self._busy: deque[tuple[memoryview, Future[None], Future[None]]] = deque()

    def finish(self) -> bytes:
        """As there."""
        while self._busy:
            self._wait()
        return super().finish()

    def _flush(self) -> None:
        full = self._buffer[: self._capacity]
        hashing = self._hasher.submit(self._sha.update, full)
        writing = self._writer.submit(self._output.append, full)
        self._busy.append((self._buffer, hashing, writing))
        self._buffer = self._wait() if len(self._busy) == _BUFFERS else self._new_buffer()

    def _wait(self) -> memoryview:
        """The buffer that was flushed first, once it is free. Raises what went wrong with it."""
        buffer, hashing, writing = self._busy.popleft()
        hashing.result()
        writing.result()
        return buffer
