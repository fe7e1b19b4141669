"""Where an object lies, and what is read there: `Packed`, an entry of a pack, or `Loose`, a file of its own.

Objects may be anybody's: a megabyte of a pack can hold a gigabyte of zeros, and twenty bytes of a delta as much. So
each read names the size up to which it is one. Sizes that headers announce are compared with that before anything is
inflated, no more than was announced ever comes out, and chains of deltas are bounded in length and work.
"""

from __future__ import annotations

import mmap
import resource
import zlib
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias
from weakref import ref

from gitflowrun.errors import CorruptRecord, TooLarge
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.pack.format import apply_delta, delta_sizes, varint
from gitflowrun.git.pack.index import PackIndex
from gitflowrun.git.pack.stream import (
    TooManyOpenFiles,
    inflate,
    inflate_head,
    inflate_into,
    inflate_pieces,
    open_source,
)
from gitflowrun.limits import (
    BASE_RATIO,
    DELTA_BASES,
    DELTA_DEPTH,
    DELTA_SHARE,
    DELTA_WORK,
    INSTRUCTION_COST,
    NEIGHBOURS,
    OPEN_PACKS,
    READ_INDEX_UP_TO,
    SMALL_BASE,
    SMALL_ENTRY,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gitflowrun.git.pack.stream import Source

# Forms of packs and loose objects. Heads are bytes that are read, at least as many as the longest has.
_OFS_DELTA, _REF_DELTA = 6, 7
_MORE = 0x80
_PACK_HEADER = 12
_DELTA_HEAD = 32
_ENTRY_HEAD = 64
_LOOSE_HEAD = 32  # type, space, up to 20 digits, NUL
_WORDS = frozenset(kind.word for kind in ObjectType)
_KINDS = {int(kind): kind for kind in ObjectType}

_open_packs: deque[ref[Pack]] = deque()
"""The packs that are open in this process; the one that was opened first comes first."""


def _index_data(path: Path) -> bytes | memoryview:
    """An index: read, or mapped if it is large."""
    source = open_source(path)
    if source.size <= READ_INDEX_UP_TO:
        return source.read(0, source.size)
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@frozen
class EntryHeader:
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
    """A pack file and its index, each opened at its first use.

    Args:
        index_path: Its `.idx` file.
    """

    def __init__(self, index_path: Path) -> None:
        self.path = index_path.with_suffix(".pack")
        self.index_path = index_path
        self._opened: Source | None = None
        self._bases: dict[int, tuple[ObjectType, bytes]] = {}

    @cached_property
    def index(self) -> PackIndex:
        """The pack's index."""
        return PackIndex(_index_data(self.index_path), str(self.index_path))

    def has(self, oid: Oid) -> bool:
        """Whether it holds an object. An index that can't be read holds none."""
        try:
            return self.index.find(oid) is not None
        except (CorruptRecord, FileNotFoundError):
            return False

    @property
    def _source(self) -> Source:
        source = self._opened
        if source is None:
            source = self._opened = self._open()
        return source

    def close(self) -> None:
        """Close the file; the next read opens it again, if it is still there."""
        self._opened = None
        self._bases.clear()

    def _open(self) -> Source:
        try:
            source = open_source(self.path)
        except TooManyOpenFiles:
            _close_packs(0)
            source = open_source(self.path)
        _open_packs.append(ref(self))
        _close_packs(_max_open())
        if source.read(0, 4) != b"PACK" or source.size < _PACK_HEADER + Oid.SIZE:
            raise CorruptRecord(f"{self.path} is not a pack")
        if source.read(source.size - Oid.SIZE, Oid.SIZE) != self.index.pack_trailer:
            raise CorruptRecord(f"{self.path} is cut short or does not belong to its index")
        return source

    def entry(self, offset: int) -> EntryHeader:
        """The entry at `offset`.

        Raises:
            CorruptRecord: there is no well-formed header.
        """
        try:
            return self._parse(offset, self._source.read(offset, _ENTRY_HEAD))
        except (IndexError, ValueError) as error:
            raise self._damaged(offset, "its header is malformed") from error

    def _parse(self, offset: int, head: bytes) -> EntryHeader:
        code, size, length = (head[0] >> 4) & 7, head[0] & 15, 1
        if head[0] & _MORE:
            rest, length = varint(head, 1)
            size |= rest << 4
        if code == _OFS_DELTA:
            back, length = _distance(head, length)
            if not 0 < back < offset:
                raise self._damaged(offset, "its delta base lies outside the pack")
            return EntryHeader(None, size, offset + length, offset - back)
        if code == _REF_DELTA:
            base = Oid(head[length : length + Oid.SIZE])
            return EntryHeader(None, size, offset + length + Oid.SIZE, base)
        return EntryHeader(ObjectType(code), size, offset + length)

    def small(self, offset: int) -> tuple[ObjectType, bytes] | None:
        """Type and content of a small object, by one read of the file for each link of its chain of deltas.

        Bases are kept: the records and trees that lie beside one another have the same. None for whatever is not
        simply that.
        """
        source = self._source
        deltas: list[tuple[int, bytes]] = []
        at = offset
        while (found := self._bases.get(at)) is None:
            entry = _small_entry(source.read(at, SMALL_ENTRY), 0)
            if entry is None:
                return None
            kind, back, data = entry
            if kind is not None:
                found = kind, data
                break
            if not 0 < back < at or len(deltas) >= DELTA_DEPTH:
                return None
            deltas.append((at, data))
            at -= back
        return self._applied(at, found, deltas) if deltas else found

    def small_ones(
        self, offsets: Iterable[int]
    ) -> Iterator[tuple[int, tuple[ObjectType, bytes] | None]]:
        """`small` of each, for ascending offsets: of those that lie beside one another the file is read once.

        What is damaged is None, too.
        """
        start, window = 0, b""
        for offset in offsets:
            if offset - start + SMALL_ENTRY > len(window):
                start, window = offset, self._source.read(offset, NEIGHBOURS)
            found = None
            try:
                entry = _small_entry(window, offset - start)
                if entry is not None:
                    kind, _, data = entry
                    found = self.small(offset) if kind is None else (kind, data)
            except (CorruptRecord, LookupError, ValueError, zlib.error):
                pass  # which a read of this object alone looks into
            yield offset, found

    def _applied(
        self, at: int, found: tuple[ObjectType, bytes], deltas: list[tuple[int, bytes]]
    ) -> tuple[ObjectType, bytes] | None:
        """The object that small deltas make of the one at `at`, the last delta first; None for a large one."""
        kind, data = found
        for place, delta in reversed(deltas):
            if len(self._bases) >= DELTA_BASES:
                self._bases.clear()
            self._bases[at] = kind, data
            if delta_sizes(delta)[1] >= SMALL_ENTRY:
                return None
            at, data = place, apply_delta(data, delta)[0]
        self._bases[at] = kind, data
        return kind, data

    def content(self, entry: EntryHeader) -> bytes:
        """What the entry's zlib stream holds."""
        return inflate(self._source, entry.data, entry.size)

    def content_pieces(self, entry: EntryHeader) -> Iterator[bytes]:
        """As `content`, piece by piece."""
        return inflate_pieces(self._source, entry.data, entry.size)

    def content_into(self, entry: EntryHeader, target: memoryview) -> None:
        """As `content`, into `target`, which has the entry's size."""
        inflate_into(self._source, entry.data, target)

    def result_size(self, entry: EntryHeader) -> int:
        """The size of the object that a delta makes."""
        return delta_sizes(inflate_head(self._source, entry.data, _DELTA_HEAD))[1]

    def _damaged(self, offset: int, why: str) -> CorruptRecord:
        return CorruptRecord(f"the entry at {offset} of {self.path} is damaged: {why}")


def _max_open() -> int:
    """How many packs may be open: file descriptors are few, and most are for others."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return OPEN_PACKS if allowed == resource.RLIM_INFINITY else min(OPEN_PACKS, allowed // 4)


def _close_packs(keep: int) -> None:
    """Close packs, those that were opened first; one that is being read stays open until that has ended."""
    while len(_open_packs) > keep:
        try:
            pack = _open_packs.popleft()()
        except IndexError:
            return  # another thread took the last one
        if pack is not None:
            pack.close()


def _small_entry(data: bytes, at: int) -> tuple[ObjectType | None, int, bytes] | None:
    """The small entry that begins at `at`; None for what is not simply that.

    Returns:
        The type, or None and how far back its base begins for a delta; and the content, of the object or the delta.
    """
    head, start = data[at], at + 1
    kind, size, back = _KINDS.get((head >> 4) & 7), head & 15, 0
    if head & _MORE:
        rest = data[start]
        start += 1
        if rest & _MORE:  # as few small ones have
            rest, start = varint(data, start - 1)
        size |= rest << 4
    if kind is None:
        if (head >> 4) & 7 != _OFS_DELTA:
            return None
        back, start = _distance(data, start)
    if size >= SMALL_ENTRY:
        return None
    stream = zlib.decompressobj()
    content = stream.decompress(data[start : at + SMALL_ENTRY], size + 1)
    return (kind, back, content) if stream.eof and len(content) == size else None


def _distance(head: bytes, position: int) -> tuple[int, int]:
    """How far back the base of an offset delta begins, and where its header ends."""
    byte = head[position]
    back = byte & ~_MORE
    while byte & _MORE:
        position += 1
        byte = head[position]
        back = ((back + 1) << 7) | (byte & ~_MORE)
    return back, position + 1


@frozen
class Packed:
    """An object in a pack: the pack, and where its entry begins."""

    pack: Pack
    offset: int

    @property
    def path(self) -> Path:
        """The file that holds it."""
        return self.pack.path

    def size(self) -> int:
        """Bytes of the content, found without reading it all."""
        entry = self.pack.entry(self.offset)
        return entry.size if entry.base is None else self.pack.result_size(entry)

    def read(self, limit: int) -> tuple[ObjectType, bytes]:
        """Type and content: down a chain of deltas to its base, and the deltas applied on the way back."""
        pack, entry = self.pack, self.pack.entry(self.offset)
        _check_limit(self.size(), limit)
        deltas: list[EntryHeader] = []
        seen = set()
        while entry.base is not None:
            if entry.data in seen:
                raise CorruptRecord("its deltas go round in a circle")
            if len(deltas) == DELTA_DEPTH:
                raise TooLarge(
                    f"it is the end of more than {DELTA_DEPTH:,} deltas, git's own limit"
                )
            seen.add(entry.data)
            deltas.append(entry)
            at = entry.base if isinstance(entry.base, int) else pack.index.find(entry.base)
            if at is None:
                raise CorruptRecord(f"its delta base {entry.base} is not in {pack.path}")
            entry = pack.entry(at)
        assert entry.kind is not None  # only deltas have none
        # Git makes deltas of what is similar, so a base is not many times as large as what is made of it.
        roof = max(BASE_RATIO * limit, SMALL_BASE)
        _check_limit(entry.size, roof)
        data = pack.content(entry)
        work = DELTA_WORK + DELTA_SHARE * limit
        for step in reversed(deltas):
            # Inflated one at a time: thousands may lie on the way.
            size = pack.result_size(step)
            _check_limit(max(step.size, size), roof)
            data, instructions = apply_delta(data, pack.content(step))
            work -= size + instructions * INSTRUCTION_COST
            if work < 0:
                raise TooLarge("its deltas take longer to be applied than any that git makes")
        return entry.kind, data

    def pieces(self, limit: int) -> Iterator[bytes]:
        """A blob in pieces. One that is made from deltas is read whole, up to `limit`."""
        entry = self.pack.entry(self.offset)
        if entry.base is not None:
            kind, data = self.read(limit)
            _check_blob(kind)
            return iter([data])
        _check_blob(entry.kind)
        return self.pack.content_pieces(entry)

    def read_into(self, target: memoryview) -> int:
        """Fill `target` with the content, which has its size. Returns that."""
        entry = self.pack.entry(self.offset)
        if entry.base is None:
            _check_size(entry.size, target)
            self.pack.content_into(entry, target)
        else:
            data = self.read(len(target))[1]
            _check_size(len(data), target)
            target[:] = data
        return len(target)


@frozen
class Loose:
    """A loose object: its file holds a zlib stream of type, size and content."""

    path: Path

    def size(self) -> int:
        """As `Packed.size`."""
        return self._open()[1]

    def read(self, limit: int) -> tuple[ObjectType, bytes]:
        """As `Packed.read`."""
        kind, size, start, source = self._open()
        _check_limit(size, limit)
        return kind, inflate(source, 0, size, skip=start)

    def pieces(self, limit: int) -> Iterator[bytes]:  # noqa: ARG002  (only deltas are read whole)
        """As `Packed.pieces`."""
        kind, size, start, source = self._open()
        _check_blob(kind)
        return inflate_pieces(source, 0, size, skip=start)

    def read_into(self, target: memoryview) -> int:
        """As `Packed.read_into`."""
        _, size, start, source = self._open()
        _check_size(size, target)
        inflate_into(source, 0, target, skip=start)
        return size

    def _open(self) -> tuple[ObjectType, int, int, Source]:
        """Type, size, where in the stream the content begins, and the file."""
        source = open_source(self.path)
        head, zero, _ = inflate_head(source, 0, _LOOSE_HEAD).partition(b"\0")
        word, _, digits = head.partition(b" ")
        if not (zero and digits.isdigit() and word in _WORDS):
            raise CorruptRecord(f"{self.path} is not a loose object")
        return ObjectType.from_word(word), int(digits), len(head) + 1, source


Place: TypeAlias = Packed | Loose


def _check_limit(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"it has {size:,} bytes, and no more than {limit:,} are read")


def _check_blob(kind: ObjectType | None) -> None:
    if kind is not ObjectType.BLOB:
        raise CorruptRecord("it is no blob")


def _check_size(size: int, target: memoryview) -> None:
    if size != len(target):
        raise CorruptRecord(f"it has {size} bytes where {len(target)} were expected")
