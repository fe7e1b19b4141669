"""From objects to the bytes of one pack in an open file. Where the file goes is the business of `packs`.

A pack's header holds the number of objects and its trailer hashes everything, header included. So equal
objects are found before anything is written: ids the caller knows are trusted, and where two objects have the
same type and size their ids are computed first. All other ids are computed on the way.

Small packs are made in one thread. In large ones, three things go on at once:

    pool of threads:   sample and deflate, or: id + framing + CRC into a region of the conveyor
    hashing thread:    SHA-1 of the whole pack
    writing threads:   the file
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.git.framing import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    ZLIB_HEADER,
    entry_header,
    fill_blocks,
    fill_end,
    fill_stored,
    frame_small,
    is_compressible,
    is_worth_keeping,
    stored_size,
    tools,
)
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.packindex import IndexEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from gitflowrun.git.conveyor import Conveyor
    from gitflowrun.git.directio import Output

__all__ = ["PackContents", "PackObject", "expected_size", "write_pack"]

_HEADER = struct.Struct(">4sII")
_ONE_THREAD = 1 << 20
_FEW_BYTES = 32 << 10
_SMALL = 64 << 10
_LARGE = 4 << 20
_PIECE = 64 * BLOCK
_AHEAD = 16 << 20
_JOIN = 1 << 20
_MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class PackObject:
    """An object to be written.

    Attributes:
        kind: Commit, tree, blob or tag.
        data: Its content; a view of any size, which must not change while it is being written.
        oid: Its id if the caller has computed it already; it is trusted.
    """

    kind: ObjectType
    data: bytes | memoryview
    oid: Oid | None = None


@dataclass(frozen=True, slots=True)
class PackContents:
    """A written pack.

    Attributes:
        oids: The id of each object given, in that order, equal ones included.
        entries: What the pack holds, in the order written.
        trailer: The SHA-1 that ends it.
        size: Its bytes.
    """

    oids: tuple[Oid, ...]
    entries: tuple[IndexEntry, ...]
    trailer: bytes
    size: int


class _Item:
    """An object on its way: what becomes known about it is filled in."""

    __slots__ = ("crc", "data", "kind", "offset", "oid")

    def __init__(self, given: PackObject) -> None:
        self.kind = given.kind
        view = memoryview(given.data)
        self.data = view if view.format == "B" and view.ndim == 1 else view.cast("B")
        self.oid = given.oid
        self.offset = self.crc = 0

    @property
    def header(self) -> bytes:
        return entry_header(self.kind, len(self.data))

    def identify(self) -> Oid:
        """The id, computed if it is not known yet."""
        self.oid = self.oid or hash_object(self.kind, self.data)
        return self.oid

    def small_entry(self) -> bytes:
        """The whole entry of a small object."""
        entry = self.header + frame_small(self.data)
        self.crc = tools().crc32(entry)
        return entry

    def deflated(self) -> bytes | None:
        """The deflated form, if it is worth having; the id is computed along with it."""
        if not is_compressible(self.data):
            return None
        packed = tools().deflate(self.data)
        if not is_worth_keeping(len(packed), len(self.data)):
            return None
        self.identify()
        return packed

    def fill(self, region: memoryview) -> None:
        """Write the entry as stored blocks into `region`, which has its size, and compute the id."""
        header = self.header
        region[: len(header)] = header
        fill_stored(self.data, region[len(header) :])
        self.crc = tools().crc32(region)
        self.identify()


def expected_size(objects: Sequence[PackObject]) -> int:
    """About the size of a pack of `objects` if nothing in it shrinks."""
    return sum(stored_size(memoryview(item.data).nbytes) for item in objects)


def write_pack(objects: Sequence[PackObject], output: Output) -> PackContents:
    """Write a pack of `objects` to `output` and close it; on errors it is left to the caller.

    Raises:
        OSError: the file could not be written.
    """
    given = [_Item(item) for item in objects]
    total = sum(len(item.data) for item in given)
    if total < _ONE_THREAD or total < _FEW_BYTES * len(given):
        chosen = _without_equals(given, given)
        trailer, size = _write_small(_each_once(chosen), output)
    else:
        # Task processes import this file, and few of them need threads, which make every fork dearer.
        from concurrent.futures import ThreadPoolExecutor

        from gitflowrun.git.conveyor import Conveyor

        with ThreadPoolExecutor(_threads(), "pack-prepare") as pool, Conveyor(output) as conveyor:
            chosen = _without_equals(given, _alike(given), pool)
            trailer, size = _Assembly(pool, conveyor).write(_each_once(chosen))
    output.close(size)
    entries = tuple(
        IndexEntry(item.identify(), item.crc, item.offset) for item in _each_once(chosen)
    )
    return PackContents(tuple(item.identify() for item in chosen), entries, trailer, size)


def _without_equals(
    given: list[_Item], doubtful: list[_Item], pool: ThreadPoolExecutor | None = None
) -> list[_Item]:
    """For each item the one that is written in its place: itself, or an equal one before it."""
    deque((pool.map if pool else map)(_Item.identify, doubtful), maxlen=0)
    first: dict[Oid, _Item] = {}
    return [first.setdefault(item.oid, item) if item.oid else item for item in given]


def _alike(given: list[_Item]) -> list[_Item]:
    """The items whose ids must be known first: they may be equal to another, or are too large to wait for."""
    count = Counter((item.kind, len(item.data)) for item in given)
    return [
        item for item in given if len(item.data) > _LARGE or count[item.kind, len(item.data)] > 1
    ]


def _each_once(items: list[_Item]) -> list[_Item]:
    return list(dict.fromkeys(items))


def _threads() -> int:
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:
        usable = os.cpu_count() or 1
    return min(usable, _MAX_THREADS)


def _write_small(items: list[_Item], output: Output) -> tuple[bytes, int]:
    """The whole pack in this thread, its writes joined."""
    sha = hashlib.sha1(usedforsecurity=False)
    waiting = [_HEADER.pack(b"PACK", 2, len(items))]
    position = held = len(waiting[0])
    for item in items:
        entry = item.small_entry()
        item.offset = position
        waiting.append(entry)
        position += len(entry)
        held += len(entry)
        if held >= _JOIN:
            _append(waiting, sha, output)
            held = 0
    _append(waiting, sha, output)
    trailer = sha.digest()
    output.append(trailer)
    return trailer, output.size


def _append(waiting: list[bytes], sha: hashlib._Hash, output: Output) -> None:
    joined = b"".join(waiting)
    waiting.clear()
    sha.update(joined)
    output.append(joined)


class _Assembly:
    """Puts items onto the conveyor in order, with the pool working some of them ahead."""

    def __init__(self, pool: ThreadPoolExecutor, conveyor: Conveyor) -> None:
        self._pool = pool
        self._conveyor = conveyor

    def write(self, items: list[_Item]) -> tuple[bytes, int]:
        """All of the pack. Returns its trailer and size."""
        self._conveyor.put(_HEADER.pack(b"PACK", 2, len(items)))
        ahead: deque[tuple[_Item, Future[bytes | None] | None]] = deque()
        held = 0
        for item in items:
            ahead.append((item, self._prepare(item)))
            held += len(item.data)
            while ahead and held > _AHEAD:
                held -= len(ahead[0][0].data)
                self._emit(*ahead.popleft())
        for item, prepared in ahead:
            self._emit(item, prepared)
        return self._conveyor.finish()

    def _prepare(self, item: _Item) -> Future[bytes | None] | None:
        if _SMALL < len(item.data) <= _LARGE:
            return self._pool.submit(item.deflated)
        return None

    def _emit(self, item: _Item, prepared: Future[bytes | None] | None) -> None:
        item.offset = self._conveyor.position
        if prepared is not None:
            self._emit_medium(item, prepared.result())
        elif len(item.data) <= _SMALL:
            self._conveyor.put(item.small_entry())
            item.identify()
        elif is_compressible(item.data):
            self._stream_deflated(item)
        else:
            self._stream_stored(item)

    def _emit_medium(self, item: _Item, deflated: bytes | None) -> None:
        if deflated is not None:
            self._put(item, item.header)
            self._put(item, deflated)
        else:
            region = self._conveyor.reserve(len(item.header) + stored_size(len(item.data)))
            self._conveyor.expect(self._pool.submit(item.fill, region))

    def _stream_deflated(self, item: _Item) -> None:
        compressor = tools().compressor()
        self._put(item, item.header)
        for start in range(0, len(item.data), _PIECE):
            self._put(item, compressor.compress(item.data[start : start + _PIECE]))
        self._put(item, compressor.flush())

    def _stream_stored(self, item: _Item) -> None:
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

    def _put(self, item: _Item, data: bytes) -> None:
        item.crc = tools().crc32(data, item.crc)
        from gitflowrun.git.conveyor import MAX_REGION

        for start in range(0, len(data), MAX_REGION):
            self._conveyor.put(data[start : start + MAX_REGION])
