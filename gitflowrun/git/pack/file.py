"""One pack with its index, opened on first use: entries and their contents. Which pack to ask is `packfile`'s.

What is open stays readable when somebody's repack removes the file; opening a removed one raises
FileNotFoundError, which tells the reader to look around again.
"""

from __future__ import annotations

import mmap
import resource
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import ref

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.pack.format import delta_sizes
from gitflowrun.git.pack.index import PackIndex
from gitflowrun.git.pack.stream import (
    TooManyOpenFiles,
    inflate,
    inflate_head,
    inflate_into,
    open_source,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.pack.stream import Source

__all__ = ["Entry", "Pack"]

_MAX_OPEN = 100
"""Packs of this process that are kept open, at most: packs may be thousands."""
_others: deque[ref[Pack]] = deque()

_OFS_DELTA, _REF_DELTA = 6, 7
_MORE = 0x80
_SMALL_INDEX = 1 << 20
_PACK_HEADER = 12
_DELTA_HEAD = 32
_ENTRY_HEAD = 64  # longer than the longest header


def _index_data(path: Path) -> bytes | memoryview:
    """An index: read, or mapped if it is large."""
    source = open_source(path)
    if source.size <= _SMALL_INDEX:
        return source.read(0, source.size)
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@frozen
class Entry:
    """The header of a pack's entry.

    Attributes:
        kind: The object's type; None for a delta, whose base says.
        size: Bytes of the content: of the object, or of the delta.
        data: Where the zlib stream begins.
        base: Of a delta: the offset of its base in the same pack, or its id.
    """

    kind: ObjectType | None
    size: int
    data: int
    base: int | Oid | None = None


class Pack:
    """A pack file.

    Args:
        index_path: Its `.idx` file.
    """

    def __init__(self, index_path: Path) -> None:
        self.path = index_path.with_suffix(".pack")
        self.index_path = index_path
        self._opened: Source | None = None

    @cached_property
    def index(self) -> PackIndex:
        """The pack's index."""
        return PackIndex(_index_data(self.index_path), str(self.index_path))

    @property
    def _source(self) -> Source:
        source = self._opened
        if source is None:
            source = self._opened = self._open()
        return source

    def close(self) -> None:
        """Let go of the file; the next who needs it opens it again, if it is still there."""
        self._opened = None

    def _open(self) -> Source:
        try:
            source = open_source(self.path)
        except TooManyOpenFiles:
            _close_others(0)
            source = open_source(self.path)
        _others.append(ref(self))
        _close_others(_max_open())
        if source.read(0, 4) != b"PACK" or source.size < _PACK_HEADER + Oid.SIZE:
            raise CorruptRecord(f"{self.path} is not a pack")
        if source.read(source.size - Oid.SIZE, Oid.SIZE) != self.index.pack_trailer:
            raise CorruptRecord(f"{self.path} is cut short or does not belong to its index")
        return source

    def find(self, oid: Oid) -> int | None:
        """The offset of an object's entry; None when the pack does not have it."""
        return self.index.find(oid)

    def entry(self, offset: int) -> Entry:
        """The entry at `offset`.

        Raises:
            CorruptRecord: there is no well-formed header.
        """
        try:
            return self._parse(offset, self._source.read(offset, _ENTRY_HEAD))
        except (IndexError, ValueError) as error:
            raise self._damaged(offset, "its header is malformed") from error

    def _parse(self, offset: int, head: bytes) -> Entry:
        byte, length = head[0], 1
        code, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & _MORE:
            byte = head[length]
            size |= (byte & ~_MORE) << shift
            shift += 7
            length += 1
        if code == _OFS_DELTA:
            back, length = _distance(head, length)
            if not 0 < back < offset:
                raise self._damaged(offset, "its delta base lies outside the pack")
            return Entry(None, size, offset + length, offset - back)
        if code == _REF_DELTA:
            base = Oid(head[length : length + Oid.SIZE])
            return Entry(None, size, offset + length + Oid.SIZE, base)
        return Entry(ObjectType(code), size, offset + length)

    def content(self, entry: Entry) -> bytes:
        """What the entry's zlib stream holds."""
        return inflate(self._source, entry.data, entry.size)

    def content_into(self, entry: Entry, target: memoryview) -> None:
        """The same, into `target`, which has the entry's size."""
        inflate_into(self._source, entry.data, target)

    def result_size(self, entry: Entry) -> int:
        """The size of the object that a delta makes."""
        return delta_sizes(inflate_head(self._source, entry.data, _DELTA_HEAD))[1]

    def _damaged(self, offset: int, why: str) -> CorruptRecord:
        return CorruptRecord(f"the entry at {offset} of {self.path} is damaged: {why}")


def _max_open() -> int:
    """How many packs may be open: file descriptors are few, and most are for others."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MAX_OPEN if allowed == resource.RLIM_INFINITY else min(_MAX_OPEN, allowed // 4)


def _close_others(keep: int) -> None:
    """Close the packs that were opened first. Whoever is reading one has it open until he is done."""
    while len(_others) > keep:
        try:
            pack = _others.popleft()()
        except IndexError:
            return  # another thread took the last one
        if pack is not None:
            pack.close()


def _distance(head: bytes, position: int) -> tuple[int, int]:
    """How far back the base of an offset delta begins, and where its header ends."""
    byte = head[position]
    back = byte & ~_MORE
    while byte & _MORE:
        position += 1
        byte = head[position]
        back = ((back + 1) << 7) | (byte & ~_MORE)
    return back, position + 1
