"""Writes objects as one pack into a new file.

A pack's header holds the number of its objects, and its trailer is the SHA-1 of everything before, header
included. So equal objects are found first. Then, unless the pack is small, four things go on at once:

1. a pool of threads computes ids and makes entries, some MiB ahead;
2. the calling thread puts entries into a buffer and computes their CRC-32;
3. one thread computes the SHA-1 of full buffers, which are those of the file, in order;
4. one thread writes them.

Buffers are page-aligned, are full, and begin in the file where a page does: so they suit direct I/O. There are
a few, used over and over, and memory does not grow with the pack.

A `PackObject` is an object as it is given, a `PackedObject` has the bytes of its entry: making an entry takes
nothing but the object, so several threads can do it at once.

An `Output` is the new file of a pack or an index, made durable at its end. Large ones bypass the page cache
(`O_DIRECT`) where the file system takes it. Measured on a pack of 1 GiB, that takes two thirds of the CPU and
three quarters of the time, or less while others write, and it does not push out what others have cached.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import sys
import zlib
from collections import Counter, deque
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.owner import usable_cpus
from gitflowrun.git.pack.format import crc32, entry_header, pack_header, small_entry, zlib_stream
from gitflowrun.git.pack.index import IndexEntry
from gitflowrun.limits import (
    DEFLATE_FROM,
    DIRECT_FROM,
    LARGE_PACK_BUFFER,
    OBJECTS_BY_THREADS,
    PACK_AHEAD,
    PACK_BUFFER,
    PACK_BUFFERS,
    PACK_BY_THREADS,
    SMALL_TREE,
    SNAPSHOT_RELEASED,
    SYNCFS_TELLS,
    WRITE_BACK,
)
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future
    from pathlib import Path
    from typing import IO

    from gitflowrun.git.objects import Buffer

T = TypeVar("T")

ALIGNMENT = 4096
"""Offsets, lengths and addresses of direct writes are multiples of this."""
_NOT_DIRECT = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems without direct I/O answer."""


@frozen
class PackObject:
    """An object to be written.

    Attributes:
        kind: Commit, tree, blob or tag.
        data: Its content; a view of any shape, which must not change while it is being written.
        oid: Its id if the caller has computed it already; it is trusted.
        stable_copy: Copies `data` where it may change meanwhile. Called once, in any thread; what it
            raises ends the writing. Such an object is never taken for equal to another.
        release: Told how many bytes have been taken of `data` where that is a mapped file, whose pages count as our
            memory until they are given back.
    """

    kind: ObjectType
    data: bytes | memoryview
    oid: Oid | None = None
    stable_copy: Callable[[memoryview], memoryview] | None = None
    release: Callable[[int], None] | None = None

    @property
    def view(self) -> memoryview:
        """The content as bytes."""
        view = memoryview(self.data)
        return view if view.format == "B" and view.ndim == 1 else view.cast("B")

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return memoryview(self.data).nbytes

    def identify(self) -> Oid:
        """Its id, computed unless it was given."""
        return self.oid or hash_object(self.kind, self.view)


def total_size(objects: Sequence[PackObject]) -> int:
    """Bytes of the contents of objects."""
    return sum([len(it.data) if type(it.data) is bytes else it.size for it in objects])


def _small_entry(given: PackObject) -> bytes | None:
    """The entry of an object that is stored as it is, in one piece, for no compression would gain anything; or None."""
    data = given.data
    if type(data) is not bytes or given.stable_copy or given.release:
        return None
    size = len(data)
    if size >= (SMALL_TREE if given.kind == ObjectType.TREE else DEFLATE_FROM):
        return None
    return small_entry(given.kind, data)


@frozen
class PackedObject:
    """An object whose entry is ready to be written.

    Attributes:
        oid: Its id.
        pieces: The bytes of its entry, to be taken once. Of data that was not deflated they are views.
    """

    oid: Oid
    pieces: Iterable[Buffer]

    @classmethod
    def of(cls, given: PackObject) -> PackedObject:
        """Make the entry of an object."""
        data = given.view if given.stable_copy is None else given.stable_copy(given.view)
        # Before the id: see `format` on SHA-1 after isal.
        stream = zlib_stream(data, given.release)
        oid = given.oid or hash_object(given.kind, data)
        pieces = chain((entry_header(given.kind, len(data)),), stream)
        return cls(oid, _released(pieces, given.release, len(data)) if given.release else pieces)


def _released(
    pieces: Iterable[Buffer], release: Callable[[int], None], size: int
) -> Iterator[Buffer]:
    yield from pieces
    release(size)


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


class MappedFile:
    """A file of objects' contents, mapped; of its pages only those just used stay in memory.

    It may have lost its name: it is there for as long as somebody has a view of it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.view = memoryview(self._mapping)
        self._used = 0

    def release(self, count: int) -> None:
        """Give memory back when `count` more bytes and those before them are too many."""
        self._used += count
        if self._used >= SNAPSHOT_RELEASED:
            self._used = 0
            self._mapping.madvise(mmap.MADV_DONTNEED)


def write_pack(objects: Sequence[PackObject], output: Output) -> PackContents:
    """Write a pack of `objects` to `output` and close it; on errors it is left to the caller.

    Raises:
        OSError: the file could not be written.
    """
    total = total_size(objects)
    if total < PACK_BY_THREADS or total < OBJECTS_BY_THREADS * len(objects):
        return _write(objects, map, _PackFile(output))
    # Imported only here: threads are dear in a forked task.
    from gitflowrun.utilities.threads import Workers

    with Workers(usable_cpus()) as pool, Workers(1) as hasher, Workers(1) as writer:
        return _write(objects, partial(_map_ahead, pool), _ThreadedPackFile(output, hasher, writer))


class _Map(Protocol):
    """`map`, with threads or without."""

    def __call__(
        self, function: Callable[[PackObject], T], objects: Sequence[PackObject], /
    ) -> Iterator[T]: ...


def _write(objects: Sequence[PackObject], map_: _Map, file: _PackFile) -> PackContents:
    places, different = _without_repetitions(_identified(objects, map_))
    file.append((pack_header(len(different)),))
    small = [_small_entry(given) for given in different]  # of these a commit has thousands
    large = map_(
        PackedObject.of,
        [given for given, entry in zip(different, small, strict=True) if entry is None],
    )
    entries = []
    for given, entry in zip(different, small, strict=True):
        offset = file.size
        if entry is None:
            packed = next(large)
            oid, crc = packed.oid, file.append(packed.pieces)
        else:
            oid, crc = given.oid or given.identify(), file.append_small(entry)
        entries.append(IndexEntry(oid, crc, offset))
    trailer = file.finish()
    oids = tuple([entries[place].oid for place in places])
    return PackContents(oids, tuple(entries), trailer, file.size)


def _identified(objects: Sequence[PackObject], map_: _Map) -> list[PackObject]:
    """The objects, those of one type and size with their ids, for they may be equal.

    All other ids are computed along with the entries. Where data may change meanwhile there is no id yet.
    """
    if all(given.oid for given in objects):
        return list(objects)
    count = Counter((given.kind, given.size) for given in objects)
    alike = [
        number
        for number, given in enumerate(objects)
        if given.oid is None and count[given.kind, given.size] > 1 and given.stable_copy is None
    ]
    found = list(objects)
    oids = map_(PackObject.identify, [objects[number] for number in alike])
    for number, oid in zip(alike, oids, strict=True):
        found[number] = replace(found[number], oid=oid)
    return found


def _without_repetitions(objects: list[PackObject]) -> tuple[Sequence[int], list[PackObject]]:
    """For each object its place among the different ones, and these. Without an id one equals no other."""
    oids = {given.oid for given in objects}
    if len(oids) == len(objects) and None not in oids:
        return range(len(objects)), objects
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
    """As `map`, but by a pool that goes ahead by some objects: `PACK_AHEAD` bytes of them."""
    waiting: deque[tuple[int, Future[T]]] = deque()
    held = 0
    for given in objects:
        waiting.append((given.size, pool.submit(function, given)))
        held += given.size
        while held > PACK_AHEAD:
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

    def __init__(self, output: Output, capacity: int = PACK_BUFFER) -> None:
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
            end = self._filled + len(piece)
            if end <= self._capacity:
                self._buffer[self._filled : end] = piece
                self._filled = end
                self.size += len(piece)
            else:
                self._copy(memoryview(piece))
        self._sum()
        return self._crc

    def append_small(self, entry: bytes) -> int:
        """Append a small entry. Returns its CRC-32."""
        end = self._filled + len(entry)
        if end > self._capacity:
            return self.append((entry,))
        self._buffer[self._filled : end] = entry
        self._filled = end
        self.size += len(entry)
        return zlib.crc32(entry)

    def finish(self) -> bytes:
        """Append the SHA-1 of everything, and close the file. Returns the SHA-1."""
        self._sha.update(self._buffer[: self._filled])
        trailer = self._sha.digest()
        end = self._filled + len(trailer)
        self._buffer[self._filled : end] = trailer
        # A direct write takes whole pages; what is too much is cut off.
        self._output.append(self._buffer[: -(-end // ALIGNMENT) * ALIGNMENT])
        self.size += len(trailer)
        self._output.finish(self.size)
        return trailer

    def _new_buffer(self) -> memoryview:
        # Anonymous memory begins with a page. There is a page more than is filled, for the trailer.
        return memoryview(mmap.mmap(-1, self._capacity + ALIGNMENT))

    def _copy(self, piece: memoryview) -> None:
        self.size += len(piece)
        while len(piece) > (space := self._capacity - self._filled):
            self._buffer[self._filled : self._capacity] = piece[:space]
            self._filled = self._capacity
            self._sum()
            self._flush()
            self._filled = self._summed = 0
            piece = piece[space:]
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
        super().__init__(output, LARGE_PACK_BUFFER)
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
        self._buffer = self._wait() if len(self._busy) == PACK_BUFFERS else self._new_buffer()

    def _wait(self) -> memoryview:
        """The buffer that was flushed first, once it is free. Raises what went wrong with it."""
        buffer, hashing, writing = self._busy.popleft()
        hashing.result()
        writing.result()
        return buffer


class Output:
    """A new file, written once and then read-only.

    Args:
        path: Where; nothing may be there. It becomes as readable as its directory.
        sync: Whether `finish` waits until the bytes are on the disk.
        expected: About how many bytes will come; decides about direct I/O.
        readable_as: The directory whose permissions say who may read the file.
    """

    def __init__(self, path: Path, *, sync: bool, expected: int, readable_as: Path) -> None:
        self.is_direct = False
        self._sync = sync
        self._size = 0
        self._written_back = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if sync and expected >= DIRECT_FROM:
            self._set_direct(os.O_DIRECT)
        with contextlib.suppress(OSError):
            os.fchmod(self._fd, 0o444 & readable_as.stat().st_mode)

    def append(self, data: bytes | memoryview) -> None:
        """Write `data` behind what is there: for a direct file, whole pages of aligned memory."""
        view = memoryview(data)
        done = 0
        while done < len(view):
            try:
                done += os.write(self._fd, view[done:])
            except OSError as error:
                # Some file systems refuse only the first write.
                if not (self.is_direct and error.errno in _NOT_DIRECT):
                    raise
                self._set_direct(0)
        self._size += done
        if self._sync and not self.is_direct:
            self._begin_write_back()

    def finish(self, size: int | None = None) -> None:
        """Cut the file to `size` (None: leave it as long as it is) and make it durable."""
        try:
            if size is not None and size != self._size:
                os.ftruncate(self._fd, size)
            if self._sync:
                os.fsync(self._fd)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file as it is."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _set_direct(self, flag: int) -> None:
        others = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT
        with contextlib.suppress(OSError):  # a file system without direct I/O
            fcntl.fcntl(self._fd, fcntl.F_SETFL, others | flag)
        self.is_direct = bool(fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_DIRECT)

    def _begin_write_back(self) -> None:
        # Linux begins to write back what it is told to drop; dirty pages it never drops.
        length = self._size - self._written_back
        if length >= WRITE_BACK:
            os.posix_fadvise(self._fd, self._written_back, length, os.POSIX_FADV_DONTNEED)
            self._written_back = self._size


def sync_directory(path: Path) -> None:
    """Make renames within a directory durable."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the content and the times of a file durable that another program has written."""
    _sync(path, 0)


def sync_file_system(directory: Path) -> bool:
    """Make durable all that was written on the file system of a directory.

    Returns:
        Whether that was done: the system must be able to.
    """
    import ctypes  # who moves few refs does not wait for it
    import re

    libc = ctypes.CDLL(None, use_errno=True)
    version = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if sys.platform != "linux" or version < SYNCFS_TELLS or not hasattr(libc, "syncfs"):
        return False
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        if libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(fd)
    return True


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
