"""Reads objects from the packs and loose objects of an object directory and its alternates.

No pygit2 and no child processes, so that task processes can read; what is found nowhere (promisor objects,
say) is left to a fallback, which runs git. Small reads (`read`, `blob`) check the object's id; `read_into` fills a
buffer at memcpy speed and leaves checking to the caller, who has the content's BLAKE3.

Objects may be anybody's: a megabyte of a pack can hold a gigabyte of zeros, and twenty bytes of a delta as much. So
each read names the size up to which it is one, which is compared with what headers announce before anything is
inflated, and no more than that ever comes out. `pieces` reads blobs of any size without holding them.

A directory is listed again when an object is missed and the directory has changed, so packs that appear while
we read are seen, and objects that a repack of the user's moved are found again. Listings are replaced, never
changed: threads need no lock, and a forked child inherits none.

Object directories are the repository's own, then its alternates, recursively. Loose objects are one zlib file
each below `objects/xx/`: git wrote them, we never write any. A `Pack` and its index are opened on first use. What
is open stays readable when a repack removes the file; opening a removed one raises FileNotFoundError,
which makes the reader list the directory again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import ref

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    RepositoryError,
    TooLarge,
)
from gitflowrun.git.objects import ObjectType, Oid, checked_pieces, hash_object
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
    ALTERNATES_DEPTH,
    BASE_RATIO,
    DELTA_BASES,
    DELTA_DEPTH,
    DELTA_SHARE,
    DELTA_WORK,
    INSTRUCTION_COST,
    MAX_DELTA_BLOB,
    OPEN_PACKS,
    RACY,
    READ_ATTEMPTS,
    READ_INDEX_UP_TO,
    RECORD_SIZE,
    SMALL_BASE,
    SMALL_ENTRY,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.git.pack.stream import Source

Fallback = Callable[[Oid, int], tuple[ObjectType, bytes]]
T = TypeVar("T")

_FSCK = "`git fsck --full` lists what is damaged; a healthy copy may be fetched from another clone"

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
        deltas: list[tuple[int, bytes]] = []
        at = offset
        while (found := self._bases.get(at)) is None:
            head = self._source.read(at, SMALL_ENTRY)
            if len(head) < 2:  # noqa: PLR2004
                return None
            kind = _KINDS.get((head[0] >> 4) & 7)
            size, start = head[0] & 15, 1
            if head[0] & _MORE:
                rest, start = varint(head, 1)
                size |= rest << 4
            back = 0
            if kind is None:
                if (head[0] >> 4) & 7 != _OFS_DELTA:
                    return None
                back, start = _distance(head, start)
            if size >= SMALL_ENTRY or not (kind or 0 < back < at) or len(deltas) >= DELTA_DEPTH:
                return None
            stream = zlib.decompressobj()
            data = stream.decompress(head[start:], size + 1)
            if not stream.eof or len(data) != size:
                return None
            if kind is not None:
                found = kind, data
                break
            deltas.append((at, data))
            at -= back
        return self._applied(at, found, deltas) if deltas else found

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


def _distance(head: bytes, position: int) -> tuple[int, int]:
    """How far back the base of an offset delta begins, and where its header ends."""
    byte = head[position]
    back = byte & ~_MORE
    while byte & _MORE:
        position += 1
        byte = head[position]
        back = ((back + 1) << 7) | (byte & ~_MORE)
    return back, position + 1


def object_directories(objects_dir: Path) -> list[Path]:
    """`objects_dir` and the directories in its `info/alternates`, and in theirs; each once."""
    found: dict[Path, None] = {}
    _collect(objects_dir, 0, found)
    return list(found)


def quarantine(place: Path, objects_dir: Path) -> dict[str, str]:
    """The variables by which git writes new objects to `place`, and sees those of the repository beside them."""
    # Colons separate, and C quotes protect.
    text = str(objects_dir).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return {
        "GIT_OBJECT_DIRECTORY": str(place),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{text}"',
    }


def _collect(directory: Path, depth: int, found: dict[Path, None]) -> None:
    if directory in found or depth > ALTERNATES_DEPTH:
        return
    found[directory] = None
    with contextlib.suppress(OSError):
        for line in (directory / "info" / "alternates").read_bytes().splitlines():
            if line and not line.startswith(b"#"):
                _collect(directory / os.fsdecode(_unquote(line)), depth + 1, found)


def _unquote(line: bytes) -> bytes:
    if not line.startswith(b'"'):
        return line
    inner = line.strip(b'"').decode("latin-1")
    return inner.encode("latin-1").decode("unicode_escape").encode("latin-1")


@frozen
class _Packed:
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
class _Loose:
    """A loose object: its file holds a zlib stream of type, size and content."""

    path: Path

    def size(self) -> int:
        """As `_Packed.size`."""
        return self._open()[1]

    def read(self, limit: int) -> tuple[ObjectType, bytes]:
        """As `_Packed.read`."""
        kind, size, start, source = self._open()
        _check_limit(size, limit)
        return kind, inflate(source, 0, size, skip=start)

    def pieces(self, limit: int) -> Iterator[bytes]:  # noqa: ARG002  (only deltas are read whole)
        """As `_Packed.pieces`."""
        kind, size, start, source = self._open()
        _check_blob(kind)
        return inflate_pieces(source, 0, size, skip=start)

    def read_into(self, target: memoryview) -> int:
        """As `_Packed.read_into`."""
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


Place = _Packed | _Loose


@frozen
class _Listing:
    """The packs of one object directory as they were at one time, newest first."""

    objects_dir: Path
    stamp: int | None
    packs: tuple[Pack, ...]

    def is_current(self) -> bool:
        return self.stamp is not None and self.stamp == _mtime(self.objects_dir / "pack")


class PackReader:
    """Reads objects. Threads may share it, and forked children may go on using it.

    Args:
        objects_dir: The object directory.
        fallback: Asked for objects that are found nowhere; raises MissingObject for what it can't find either.
    """

    def __init__(self, objects_dir: Path, fallback: Fallback | None = None) -> None:
        self.objects_dir = objects_dir
        self._fallback = fallback
        self._listings: tuple[_Listing, ...] = ()
        self._recent: Pack | None = None

    def read(self, oid: Oid, limit: int = RECORD_SIZE) -> tuple[ObjectType, bytes]:
        """An object's type and content.

        Args:
            oid: Its id.
            limit: Bytes that it may have; not more are inflated.

        Raises:
            MissingObject: there is no such object (a KeyError).
            TooLarge: it is larger (a CorruptRecord).
            CorruptRecord: what is stored is not what the id says.
        """
        small = self._small(oid)
        if small is not None and len(small[1]) <= limit and hash_object(*small) == oid:
            return small
        try:
            found = self._first(oid, lambda place: _checked(oid, place, limit))
        except TooLarge:
            raise
        except CorruptRecord as damage:
            return self._by_git(oid, damage, limit)
        if found is not None:
            return found
        if self._fallback is None:
            raise MissingObject(f"object {oid} is not in {self.objects_dir}", hint=_FSCK)
        return self._fallback(oid, limit)

    def _small(self, oid: Oid) -> tuple[ObjectType, bytes] | None:
        """What most reads are of, at the least cost: a small object of the pack that was read last.

        Nothing is checked. None for anything else, and where something is wrong, which the long way says.
        """
        pack = self._recent
        if pack is None:
            return None
        try:
            offset = pack.index.find(oid)
            return None if offset is None else pack.small(offset)
        except (GitflowrunError, FileNotFoundError, LookupError, ValueError, zlib.error):
            return None

    def _by_git(self, oid: Oid, damage: CorruptRecord, limit: int) -> tuple[ObjectType, bytes]:
        """What git reads of an object that looks damaged: it also reads older forms of packs."""
        if self._fallback is None:
            raise damage
        try:
            kind, data = self._fallback(oid, limit)
        except (RepositoryError, TooLarge):
            raise damage from None
        if hash_object(kind, data) != oid:
            raise damage
        return kind, data

    def blob(self, oid: Oid, limit: int = RECORD_SIZE) -> bytes:
        """The content of a blob of up to `limit` bytes. Raises as `read`, and CorruptRecord when it is no blob."""
        return self._typed(oid, ObjectType.BLOB, limit)

    def pieces(self, oid: Oid, limit: int = MAX_DELTA_BLOB) -> Iterator[bytes]:
        """The content of a blob of any size in pieces of up to 1 MiB, which are not held.

        Args:
            oid: Its id. It is compared with the content once the last piece is out.
            limit: Bytes that it may have where it can only be read whole: it is made from deltas, or git reads it.

        Raises:
            MissingObject: there is no such object (a KeyError).
            CorruptRecord: it is no blob, is damaged, or too large to be read whole (TooLarge).
        """
        size = self.size(oid)
        found = self._first(oid, lambda place: place.pieces(limit))
        if found is None:
            yield self.blob(oid, limit)
            return
        yield from checked_pieces(oid, size, found)

    def _typed(self, oid: Oid, kind: ObjectType, limit: int) -> bytes:
        found, data = self.read(oid, limit)
        if found is not kind:
            raise CorruptRecord(
                f"object {oid} is a {found.name.lower()}, not a {kind.name.lower()}"
            )
        return data

    def size(self, oid: Oid) -> int:
        """The size of an object's content, found without reading it. Raises as `read`."""
        found = None
        with contextlib.suppress(CorruptRecord):  # which `read` looks into
            found = self._first(oid, lambda place: place.size())
        return found if found is not None else len(self.read(oid, MAX_DELTA_BLOB)[1])

    def read_into(self, oid: Oid, target: memoryview) -> None:
        """Fill `target`, a buffer of the object's exact size. The content's id is not checked.

        Raises:
            MissingObject: there is no such object (a KeyError).
            CorruptRecord: its stored form is damaged, or it has another size.
        """
        view = target.cast("B") if target.format != "B" or target.ndim != 1 else target
        if len(view) < SMALL_ENTRY:
            small = self._small(oid)
            if small is not None and len(small[1]) == len(view):
                view[:] = small[1]
                return
        found = None
        with contextlib.suppress(CorruptRecord):  # which `read` looks into
            found = self._first(oid, lambda place: place.read_into(view))
        if found is None:
            try:
                data = self.read(oid, len(view))[1]
            except TooLarge as error:
                raise CorruptRecord(
                    f"object {oid} has more bytes where {len(view)} were expected"
                ) from error
            if len(data) != len(view):
                raise CorruptRecord(
                    f"object {oid} has {len(data)} bytes where {len(view)} were expected"
                )
            view[:] = data

    def home(self, oid: Oid) -> Path | None:
        """The pack or loose file that holds an object at this moment; None when there is none."""
        return self.homes([oid]).get(oid)

    def homes(self, oids: Iterable[Oid]) -> dict[Oid, Path]:
        """The pack or loose file of each object that exists at this moment."""
        self.refresh()
        found = {oid: self._home(oid) for oid in oids}
        return {oid: home for oid, home in found.items() if home is not None}

    def _home(self, oid: Oid) -> Path | None:
        recent = self._recent
        if recent is not None and recent.has(oid):
            return recent.path
        with contextlib.suppress(CorruptRecord):  # an index that we can't read; git may
            return self._first(oid, lambda place: place.path)
        return None

    def __contains__(self, oid: Oid) -> bool:
        return self.home(oid) is not None

    def refresh(self) -> bool:
        """List the pack directories again where they have changed; whether any had."""
        if self._listings and all(listing.is_current() for listing in self._listings):
            return False
        old = {listing.objects_dir: listing for listing in self._listings}
        self._listings = tuple(
            _list(path, old.get(path)) for path in object_directories(self.objects_dir)
        )
        recent = self._recent
        if not any(recent in listing.packs for listing in self._listings):
            self._recent = None
        return True

    def _first(self, oid: Oid, use: Callable[[Place], T]) -> T | None:
        """What `use` makes of the first undamaged copy of an object; None when there is no copy."""
        if not self._listings:
            self.refresh()
        for _ in range(READ_ATTEMPTS):
            vanished, damage = False, None
            for source in self._sources():
                try:
                    place = _locate(source, oid)
                    result = None if place is None else use(place)
                except FileNotFoundError:
                    vanished = vanished or isinstance(source, Pack)
                except CorruptRecord as error:
                    damage = damage or _named(oid, error)
                else:
                    if result is not None:
                        self._recent = source if isinstance(source, Pack) else self._recent
                        return result
            # A pack that vanished under a repack, or one that was not there yet: look around once more.
            if not self.refresh() and not vanished:
                break
        if damage:
            raise damage
        return None

    def _sources(self) -> Iterator[Pack | Path]:
        recent, listings = self._recent, self._listings
        if recent:
            yield recent
        for listing in listings:
            for pack in listing.packs:
                if pack is not recent:
                    yield pack
        for listing in listings:
            yield listing.objects_dir


def _checked(oid: Oid, place: Place, limit: int) -> tuple[ObjectType, bytes]:
    kind, data = place.read(limit)
    if hash_object(kind, data) != oid:
        raise CorruptRecord("its content has another id")
    return kind, data


def _check_limit(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"it has {size:,} bytes, and no more than {limit:,} are read")


def _check_blob(kind: ObjectType | None) -> None:
    if kind is not ObjectType.BLOB:
        raise CorruptRecord("it is no blob")


def _check_size(size: int, target: memoryview) -> None:
    if size != len(target):
        raise CorruptRecord(f"it has {size} bytes where {len(target)} were expected")


def _named(oid: Oid, error: CorruptRecord) -> CorruptRecord:
    hint = None if isinstance(error, TooLarge) else _FSCK
    named = type(error)(f"object {oid} can't be read: {error.message}", hint=hint)
    named.__cause__ = error
    return named


def _locate(source: Pack | Path, oid: Oid) -> Place | None:
    if isinstance(source, Path):
        path = source / (name := oid.hex())[:2] / name[2:]
        return _Loose(path) if path.exists() else None
    offset = source.index.find(oid)
    return None if offset is None else _Packed(source, offset)


def _list(objects_dir: Path, old: _Listing | None) -> _Listing:
    if old and old.is_current():
        return old
    stamp: int | None = _mtime(objects_dir / "pack")
    if stamp and time.time_ns() - stamp < RACY:
        stamp = None
    known = {pack.index_path.name: pack for pack in old.packs} if old else {}
    packs = []
    try:
        with os.scandir(objects_dir / "pack") as files:
            packs = [
                (_mtime(file), file.name)
                for file in files
                if file.name.startswith("pack-") and file.name.endswith(".idx")
            ]
    except FileNotFoundError:
        pass
    except OSError as error:
        raise RepositoryError(f"can't list {objects_dir / 'pack'}: {error.strerror}") from error
    packs.sort(reverse=True)
    return _Listing(
        objects_dir,
        stamp,
        tuple(known.get(name) or Pack(objects_dir / "pack" / name) for _, name in packs),
    )


def _mtime(path: os.PathLike[str]) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  (an entry of a directory has no other name in common)
    except OSError:
        return 0
