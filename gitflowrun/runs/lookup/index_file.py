"""The file of an index of runs: blocks of runs by column, and a header that says what they are and for which refs.

    gfrindex <length of the header, its checksum>    16 bytes
    header                                           msgpack: `IndexHeader`
    blocks                                           msgpack each: shapes, and the columns, packed one by one

It is a cache in every respect: each user has one of their own, which nobody else may have written; it may be deleted at
any time, and one that is damaged, or of another version, is as none. A new one takes its place as a whole, so whoever
has opened it reads on. Blocks are found by their place, so that the first runs cost no more where there are 100,000.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun._version import __version__
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.runs.lookup.own_file import open_own
from gitflowrun.runs.lookup.run_columns import KINDS, Block, check_column
from gitflowrun.values import field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.runs.lookup.own_file import NewFile
    from gitflowrun.runs.lookup.run_columns import Shape

_HEAD = struct.Struct(">8sII")
RUN_INDEX = 1 << 30
"""Bytes of an index: half a kilobyte a run."""
_MAGIC = b"gfrindex"
_FORM = f"1 {__version__} {' '.join(KINDS)}"
_BLOCK_PLACE = (int, int, int, int, list, list)

Key = list[Any]
"""By what a run has its place in the order; see `listing.order_key`."""


@frozen
class IndexHeader:
    """What an index says of itself.

    Attributes:
        stamp: What refs and their directories were like when they were read; empty where that can't be known.
        newest: When the youngest of these had changed, in nanoseconds, and what the file system may round away.
        looked: When they were read, by the clock of the file system, in nanoseconds.
        by_time: Whether the runs are in the order of their times.
        remotes: Whether tracking copies of a remote's runs were among the packed refs.
        highest: The highest number of a run.
        latest: When the last of the runs started whose time has come.
        soonest: When the first of those started whose time was yet to come.
        count: How many runs there are in it.
    """

    stamp: str
    newest: int
    looked: int
    by_time: bool
    remotes: bool
    highest: int
    latest: float
    soonest: float
    count: int


@frozen
class PackedBlock:
    """A block as it lies in the file.

    Attributes:
        data: Its bytes.
        count: How many runs are in it.
        first: The key of the first of them.
        last: That of the last.
    """

    data: bytes
    count: int
    first: Key
    last: Key

    def open(self) -> Block:
        """The block. Raises RepositoryError: it is none of ours."""
        return _open(self.data, self.count)


def pack_block(block: Block, first: Key, last: Key) -> PackedBlock:
    """A block as it goes into the file, between two keys. Raises UnserializableArtifact: a value is too large."""
    columns = {name: msgpack.pack_message(block.short(name)) for name in block.names}
    return PackedBlock(msgpack.pack_message([block.shapes, columns]), block.count, first, last)


class _LazyBlock(Block):
    """A block of which each column is unpacked when it is first asked for."""

    __slots__ = ("_packed",)

    def __init__(self, count: int, shapes: Sequence[Shape], packed: dict[str, bytes]) -> None:
        super().__init__(count, shapes, {})
        self._packed = packed
        self.names: Collection[str] = packed.keys()

    def short(self, name: str) -> list[Any]:
        """A column as it is kept."""
        found = self._columns.get(name)
        if found is None:
            try:
                column = msgpack.unpack_message(self._packed[name])
            except CorruptRecord as error:
                raise RepositoryError("the index of runs is damaged") from error
            found = check_column(name, column, self.count)
            if name == "shape" and not all(0 <= it < len(self.shapes) for it in found):
                raise RepositoryError("the index of runs is damaged")
            self._columns[name] = found
        return found


def _open(data: bytes, count: int) -> Block:
    try:
        shapes, packed = msgpack.unpack_message(data)
        shapes = [(tuple(parameters), tuple(metrics)) for parameters, metrics in shapes]
        texts = {*map(type, (name for shape in shapes for names in shape for name in names))}
        is_fit = KINDS.keys() <= packed.keys() and {*map(type, packed.values())} == {bytes}
        names = {f"p:{name}" for shape in shapes for name in shape[0]}
        names |= {f"m:{name}" for shape in shapes for name in shape[1]}
        if not (is_fit and texts <= {str} and names <= packed.keys()):
            raise RepositoryError("the index of runs is damaged")
    except (CorruptRecord, TypeError, ValueError, AttributeError) as error:
        raise RepositoryError("the index of runs is damaged") from error
    return _LazyBlock(count, shapes, packed)


class OpenIndex:
    """An index that is read: a file that stays the same for as long as it is open.

    Args:
        path: The file.

    Attributes:
        header: What it says of itself.

    Raises:
        RepositoryError: there is none, or none of ours; it is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_own(path, RUN_INDEX)
        try:
            self._read_header()
        except BaseException:
            os.close(self._file)
            raise

    def _read_header(self) -> None:
        start = os.pread(self._file, _HEAD.size, 0)
        if len(start) < _HEAD.size:
            raise RepositoryError("the index of runs is cut short")
        magic, length, checksum = _HEAD.unpack(start)
        if magic != _MAGIC or length > RUN_INDEX:
            raise RepositoryError("the index of runs is damaged")
        data = os.pread(self._file, length, _HEAD.size)
        self._start = _HEAD.size + length
        if zlib.crc32(data) != checksum:
            raise RepositoryError("the index of runs is damaged")
        try:
            form, values, self._places = msgpack.unpack_message(data)
            is_fit = form == _FORM and all(
                tuple(map(type, place)) == _BLOCK_PLACE and place[3] > 0 for place in self._places
            )
            header = IndexHeader(*values)
        except (CorruptRecord, TypeError, ValueError) as error:
            raise RepositoryError("the index of runs is damaged") from error
        kinds = (str, int, int, bool, bool, int, float, float, int)
        if not is_fit or tuple(type(getattr(header, it)) for it in field_names(header)) != kinds:
            raise RepositoryError("the index of runs is of another version")
        self.header = header

    def blocks(self) -> Iterator[PackedBlock]:
        """The blocks, in order. Raises RepositoryError: one is damaged."""
        for place, length, checksum, count, first, last in self._places:
            data = os.pread(self._file, length, self._start + place)
            if len(data) != length or zlib.crc32(data) != checksum:
                raise RepositoryError("the index of runs is damaged")
            yield PackedBlock(data, count, first, last)

    def __enter__(self) -> OpenIndex:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._file)


def publish_index(new: NewFile, header: IndexHeader, blocks: Sequence[PackedBlock]) -> None:
    """Let an index take the place of the one that is there. Raises OSError: it can't be written."""
    places, place = [], 0
    for block in blocks:
        size, checksum = len(block.data), zlib.crc32(block.data)
        places.append([place, size, checksum, block.count, block.first, block.last])
        place += size
    values = [getattr(header, name) for name in field_names(header)]
    head = msgpack.pack_message([_FORM, values, places])
    if place + len(head) > RUN_INDEX:
        return
    start = _HEAD.pack(_MAGIC, len(head), zlib.crc32(head))
    new.publish([start, head, *(block.data for block in blocks)])
