"""Reads objects from the packs and loose objects of an object directory and its alternates.

No pygit2 and no child processes, so that task processes can read; what is found nowhere (promisor objects,
say) is left to a fallback, which runs git. Small reads (`read`, `blob`) check the object's id; `read_into` fills a
buffer at memcpy speed and leaves checking to the caller, who has the content's BLAKE3.

Objects may be anybody's, so each read names the size up to which it is one (`places` says why); `pieces` reads blobs
of any size without holding them.

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
import os
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    RepositoryError,
    TooLarge,
)
from gitflowrun.git.objects import ObjectType, Oid, checked_pieces, hash_object
from gitflowrun.git.pack.places import Loose, Pack, Packed, Place
from gitflowrun.limits import (
    ALTERNATES_DEPTH,
    INFLATE_STEP,
    MAX_ALTERNATES,
    MAX_ALTERNATES_FILE,
    MAX_DELTA_BLOB,
    RACY,
    READ_ATTEMPTS,
    RECORD_SIZE,
    SMALL_ENTRY,
)
from gitflowrun.values import frozen

Fallback = Callable[[Oid, int], tuple[ObjectType, bytes]]
T = TypeVar("T")

# A name as C writes it, which git takes as it stands if it is not written so.
_QUOTED = re.compile(rb'"(?:[^"\\]|\\[abfnrtv"\\]|\\[0-3][0-7]{2})*"')
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-3][0-7]{2})')
_ESCAPED = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}

_FSCK = "`git fsck --full` lists what is damaged; `git fetch --refetch REMOTE REF` brings all of a ref anew"


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
    if directory in found or depth > ALTERNATES_DEPTH or len(found) > MAX_ALTERNATES:
        return
    found[directory] = None
    try:
        with (directory / "info" / "alternates").open("rb") as file:
            lines = file.read(MAX_ALTERNATES_FILE).split(b"\n")
    except OSError:
        return
    for line in lines:
        path = directory / os.fsdecode(_unquote(line))
        # As git does it, which passes over what is no directory, whatever is written there.
        if line and not line.startswith(b"#") and os.path.isdir(path):  # noqa: PTH112  (which takes any name)
            _collect(path, depth + 1, found)


def _unquote(line: bytes) -> bytes:
    if not _QUOTED.fullmatch(line):
        return line
    return _ESCAPE.sub(lambda found: _unescaped(found[1]), line[1:-1])


def _unescaped(word: bytes) -> bytes:
    return bytes([int(word, 8)]) if word.isdigit() else _ESCAPED.get(word, word)


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
        except CorruptRecord:
            other = self._by_git(oid, limit)
            if other is None:
                raise
            return other
        if found is not None:
            return found
        if self._fallback is None:
            raise MissingObject(f"object {oid} is not in {self.objects_dir}", hint=_FSCK)
        kind, data = self._fallback(oid, limit)
        if hash_object(kind, data) != oid:  # which git does not compare
            raise CorruptRecord(
                f"object {oid} can't be read: what git reads has another id", hint=_FSCK
            )
        return kind, data

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

    def small_ones(self, oids: Collection[bytes]) -> Iterator[tuple[bytes, ObjectType, bytes]]:
        """The small objects among very many, in the order of packs: at a fraction of what `read` takes.

        Any of them may be left out; what is wrong with it `read` says.

        Yields:
            Id, type and content; these are not compared.
        """
        self.refresh()
        left = set(oids)
        for pack in [pack for listing in self._listings for pack in listing.packs]:
            with contextlib.suppress(CorruptRecord, FileNotFoundError):
                places = {offset: oid for oid, offset in pack.index.offsets(left).items()}
                left.difference_update(places.values())
                for offset, found in pack.small_ones(sorted(places)):
                    if found is not None:
                        yield places[offset], *found
            if not left:
                break

    def _by_git(self, oid: Oid, limit: int) -> tuple[ObjectType, bytes] | None:
        """What git reads of an object that looks damaged: it also reads older forms of packs. None: it can't either."""
        if self._fallback is None:
            return None
        try:
            kind, data = self._fallback(oid, limit)
        except (RepositoryError, TooLarge):
            return None
        return (kind, data) if hash_object(kind, data) == oid else None

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
        found = None
        with contextlib.suppress(CorruptRecord):  # which `read` looks into
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
            found = self.stored_size(oid)
        return found if found is not None else len(self.read(oid, MAX_DELTA_BLOB)[1])

    def stored_size(self, oid: Oid) -> int | None:
        """The size of an object's content as the first undamaged copy here says it; None where there is none.

        The copy's pack must belong to its index and end where it must. Nothing is asked of git, nothing is fetched.

        Raises:
            CorruptRecord: no copy is undamaged, as far as that shows in its header.
        """
        return self._first(oid, lambda place: place.size())

    def pack_faults(self) -> Iterator[tuple[Path, str]]:
        """The packs and indexes that are here and whose bytes are not what their checksums say, and why."""
        self.refresh()
        for listing in self._listings:
            for pack in listing.packs:
                for path in (pack.path, pack.index_path):
                    if why := _checksum_fault(path):
                        yield path, why

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
        for _ in range(READ_ATTEMPTS):
            vanished, damage = False, None
            for source in self._sources():
                try:
                    place = _locate(source, oid)
                    result = None if place is None else use(place)
                except FileNotFoundError:
                    vanished = vanished or isinstance(source, Pack)
                except CorruptRecord as error:
                    # Its traceback leads to this frame, which leads to it, and to the buffer that was to be filled.
                    damage = damage or _named(oid, error.with_traceback(None))
                else:
                    if result is not None:
                        self._recent = source if isinstance(source, Pack) else self._recent
                        return result
            # A pack that vanished under a repack, or one that was not there yet: look around once more.
            if not self.refresh() and not vanished:
                break
        if damage:
            try:
                raise damage
            finally:
                damage = None  # as above
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


def _checksum_fault(path: Path) -> str:
    """What is wrong with a pack or an index as a whole; empty where it ends in the SHA-1 of all that it holds."""
    import hashlib

    found = hashlib.sha1(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - Oid.SIZE
            while left > 0 and (piece := file.read(min(left, INFLATE_STEP))):
                found.update(piece)
                left -= len(piece)
            return "" if file.read(Oid.SIZE + 1) == found.digest() else "its checksum does not fit"
    except FileNotFoundError:
        # A repack takes the index first.
        return "it is missing" if path.with_suffix(".idx").exists() else ""
    except OSError as error:
        return f"it can't be read: {error.strerror}"


def _named(oid: Oid, error: CorruptRecord) -> CorruptRecord:
    hint = None if isinstance(error, TooLarge) else _FSCK
    named = type(error)(f"object {oid} can't be read: {error.message}", hint=hint)
    named.__cause__ = error
    return named


def _locate(source: Pack | Path, oid: Oid) -> Place | None:
    if isinstance(source, Path):
        path = source / (name := oid.hex())[:2] / name[2:]
        return Loose(path) if path.exists() else None
    offset = source.index.find(oid)
    return None if offset is None else Packed(source, offset)


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
            found = {file.name: file for file in files if file.name.startswith("pack-")}
        packs = [
            (_mtime(file), name)
            for name, file in found.items()
            # As git does: what an index alone speaks of is not here.
            if name.endswith(".idx") and f"{name[:-4]}.pack" in found
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
