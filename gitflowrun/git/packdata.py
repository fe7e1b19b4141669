"""One pack with its index, mapped on first use: entries and their contents. Which pack to ask is `packfile`'s.

A mapping stays valid when somebody's repack removes the file; opening a removed one raises FileNotFoundError,
which tells the reader to look around again.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.delta import delta_sizes
from gitflowrun.git.inflate import inflate, inflate_head, inflate_into
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.packindex import PackIndex

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Entry", "Pack", "map_file"]

_OFS_DELTA, _REF_DELTA = 6, 7
_MORE = 0x80
_SMALL_FILE = 64 << 10
_PACK_HEADER = 12
_DELTA_HEAD = 32


def map_file(path: Path) -> bytes | memoryview:
    """The content of a file that never changes: read if it is small, else mapped."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size <= _SMALL_FILE:
            # A mapping would hold a file descriptor, and there may be a hundred small packs.
            return os.read(fd, size)
        mapping = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    if hasattr(mmap, "MADV_SEQUENTIAL"):
        # Large packs were written past the page cache: reading one cold is then two to six times faster.
        mapping.madvise(mmap.MADV_SEQUENTIAL)
    return memoryview(mapping)


@dataclass(frozen=True, slots=True)
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

    @cached_property
    def index(self) -> PackIndex:
        """The pack's index."""
        return PackIndex(map_file(self.index_path), str(self.index_path))

    @cached_property
    def _data(self) -> bytes | memoryview:
        data = map_file(self.path)
        if bytes(data[:4]) != b"PACK" or len(data) < _PACK_HEADER + Oid.SIZE:
            raise CorruptRecord(f"{self.path} is not a pack")
        if bytes(data[-Oid.SIZE :]) != self.index.pack_trailer:
            raise CorruptRecord(f"{self.path} is cut short or does not belong to its index")
        return data

    def find(self, oid: Oid) -> int | None:
        """The offset of an object's entry; None when the pack does not have it."""
        return self.index.find(oid)

    def entry(self, offset: int) -> Entry:
        """The entry at `offset`.

        Raises:
            CorruptRecord: there is no well-formed header.
        """
        try:
            return self._entry(offset)
        except (IndexError, ValueError) as error:
            raise self._damaged(offset, "its header is malformed") from error

    def _entry(self, offset: int) -> Entry:
        data = self._data
        byte, position = data[offset], offset + 1
        code, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & _MORE:
            byte = data[position]
            size |= (byte & ~_MORE) << shift
            shift += 7
            position += 1
        if code == _OFS_DELTA:
            return self._offset_delta(offset, size, position)
        if code == _REF_DELTA:
            base = Oid(bytes(data[position : position + Oid.SIZE]))
            return Entry(None, size, position + Oid.SIZE, base)
        return Entry(ObjectType(code), size, position)

    def _offset_delta(self, offset: int, size: int, position: int) -> Entry:
        byte = self._data[position]
        back = byte & ~_MORE
        while byte & _MORE:
            position += 1
            byte = self._data[position]
            back = ((back + 1) << 7) | (byte & ~_MORE)
        if not 0 < back < offset:
            raise self._damaged(offset, "its delta base lies outside the pack")
        return Entry(None, size, position + 1, offset - back)

    def content(self, entry: Entry) -> bytes:
        """What the entry's zlib stream holds."""
        return inflate(self._body, entry.data, entry.size)

    def content_into(self, entry: Entry, target: memoryview) -> None:
        """The same, into `target`, which has the entry's size."""
        inflate_into(self._body, entry.data, target)

    def release_pages(self) -> None:
        """Leave what is mapped to the page cache; the next read maps it again."""
        mapping = getattr(self._data, "obj", None)
        if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def result_size(self, entry: Entry) -> int:
        """The size of the object that a delta makes."""
        return delta_sizes(inflate_head(self._body, entry.data, _DELTA_HEAD))[1]

    @cached_property
    def _body(self) -> memoryview:
        return memoryview(self._data)[: -Oid.SIZE]

    def _damaged(self, offset: int, why: str) -> CorruptRecord:
        return CorruptRecord(f"the entry at {offset} of {self.path} is damaged: {why}")
