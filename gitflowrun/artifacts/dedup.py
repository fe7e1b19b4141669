"""The index of what is stored already: from BLAKE3 digests, across all runs, to blobs and to runs that hold them.

It is a SQLite file in the state directory, and a cache in every respect: it may be deleted at any time, it is
deleted by us when it is damaged, and when it is busy or not writable nothing is found in it. It never decides
what is kept. Any process of its user may read and write it, and none keeps it open: connections do not survive a fork.

A hit is believed without reading what it names. So each user of a shared repository has an index of their own, and
what another user may have put in its place, or beside it for SQLite to take up, is not used.

An answer is only given for objects that exist at this moment, and the pack they lie in is freshened, as git
does before it relies on an object (git keeps recent ones). Objects in a cruft pack count as gone, for there
git looks at other times; and while a gc runs nothing is found at all. That is no promise: a repack that is under
way may take whatever no ref reached when it began. So each row names the task that stored the blob last, its holder,
and who publishes a hit asks whether that one is still there (`runs.found`). Each row carries a checksum: a power
cut may tear pages, and a wrong id would cost an artifact.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from typing import TYPE_CHECKING

from gitflowrun.artifacts.reference import chunk_rows, read_chunk_rows
from gitflowrun.failpoints import reached
from gitflowrun.git.owner import gc_is_running
from gitflowrun.git.permissions import make_directory, open_to_write
from gitflowrun.limits import DIGESTS_AT_A_TIME, PATIENCE
from gitflowrun.names import Digest, TaskName
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.reader import PackReader

_FILE = "dedup-{}.sqlite"  # with the user's id; one of another form needs another name
_PARTS = ("-journal", "-wal", "-shm", "")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS stored (digest BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID"
)
_CHECKSUM = 4  # bytes
_FORM = zlib.crc32(b"ref, 0, task, 0, chunks")
"""Goes into each checksum: rows of another form are damaged ones."""


@frozen
class Holder:
    """The task whose tree holds objects, and the ref of its run."""

    ref: str
    task: TaskName


class DedupIndex:
    """BLAKE3 digests of payloads and of their chunks -> the blobs that hold them.

    A chunk is listed as a payload of one chunk: whoever stores such a one finds it under the same digest.

    Args:
        state_dir: Where the file is; both are made when something is added.
        objects: Tells which objects exist.
    """

    def __init__(self, state_dir: Path, objects: PackReader) -> None:
        self._path = state_dir / _FILE.format(os.geteuid())
        self._objects = objects

    def lookup(self, digests: Iterable[Digest]) -> dict[Digest, tuple[Chunk, ...]]:
        """The chunks of those payloads, or pieces of payloads, that are stored completely."""
        wanted = list(digests)
        if not wanted or not self.exists or gc_is_running(self._objects.objects_dir.parent):
            return {}
        found: dict[Digest, tuple[Chunk, ...]] = {}
        self._use(lambda database: found.update(_chunks(database, wanted)), makes=False)
        files = self._objects.homes(chunk.oid for chunks in found.values() for chunk in chunks)
        fresh = {file for file in set(files.values()) if _freshen(file)}
        whole = {
            digest: chunks
            for digest, chunks in found.items()
            if all(files.get(chunk.oid) in fresh for chunk in chunks)
        }
        self._forget(found.keys() - whole.keys())
        return whole

    def holders(self, chunks: Iterable[Chunk]) -> dict[Oid, Holder]:
        """The tasks that have stored the blobs of these chunks last; they may be gone by now."""
        wanted = {chunk.digest: chunk.oid for chunk in chunks}
        found: dict[Oid, Holder] = {}

        def select(database: sqlite3.Connection) -> None:
            for digest, holder, stored in _select(database, list(wanted)):
                # A payload may have been stored again meanwhile, cut otherwise.
                found.update({it.oid: holder for it in stored if it.oid == wanted[digest]})

        if wanted and self.exists:
            self._use(select, makes=False)
        return found

    def add(self, refs: Iterable[ArtifactRef], run: str) -> None:
        """Take up artifacts that the ref of a run reaches, in the trees of their producers."""
        self._add((ref, run) for ref in refs)

    def _add(self, stored: Iterable[tuple[ArtifactRef, str]]) -> None:
        rows = (row for ref, run in stored for row in _rows(ref, run))
        self._write("INSERT OR REPLACE INTO stored VALUES (?, ?)", rows)

    def forget(self, ref: ArtifactRef) -> None:
        """Take an artifact for not stored: it can't be read, and storing it again may mend that."""
        self._forget({ref.digest, *(chunk.digest for chunk in ref.chunks)})

    def rebuild(self, stored: Iterable[tuple[ArtifactRef, str]]) -> None:
        """Begin anew, with the artifacts of every run and its ref: after a clone, or when the file was lost."""
        self.remove()
        self._add(stored)

    def remove(self) -> None:
        """Forget everything."""
        # The journal first: left behind, it would be rolled back into the next file.
        for suffix in _PARTS:
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @property
    def exists(self) -> bool:
        """Whether there is an index of this user's; where there is none, `rebuild` is worth its time."""
        return self._path.exists() and self._is_ours()

    def _is_ours(self) -> bool:
        """Whether nothing lies there, as the file or a part of it, that is not a file of this user's."""
        for suffix in _PARTS:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(f"{self._path}{suffix}")
                is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
                if not is_file or found.st_uid != os.geteuid():
                    return False
        return True

    def _forget(self, digests: set[Digest]) -> None:
        if digests:
            self._write("DELETE FROM stored WHERE digest = ?", ((digest,) for digest in digests))

    def _write(self, statement: str, rows: Iterable[tuple[bytes, ...]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.executemany(statement, rows)
            reached("dedup.written")
            database.execute("COMMIT")

        self._use(write, makes=True)

    def _use(self, use: Callable[[sqlite3.Connection], object], *, makes: bool) -> None:
        try:
            import sqlite3
        except ImportError:  # a Python without it, or no memory left to load it
            return
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        try:
            if makes:
                make_directory(self._path.parent)
                os.close(open_to_write(self._path, os.O_RDWR | os.O_CREAT))
            if not self._is_ours():
                return
            reached("dedup.opened")
            database = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
            with contextlib.closing(database):
                # Rows check themselves, so the file need not survive a power cut.
                database.execute("PRAGMA synchronous = OFF")
                use(database)
        except (sqlite3.OperationalError, OSError):
            return  # busy, not writable, no space left, or nothing was ever added
        except (sqlite3.DatabaseError, _Damaged):
            self.remove()


class _Damaged(Exception):
    """The file holds what we did not write."""


def _chunks(database: sqlite3.Connection, digests: list[Digest]) -> dict[Digest, tuple[Chunk, ...]]:
    return {digest: chunks for digest, _, chunks in _select(database, digests)}


def _select(
    database: sqlite3.Connection, digests: list[Digest]
) -> Iterator[tuple[Digest, Holder, tuple[Chunk, ...]]]:
    for start in range(0, len(digests), DIGESTS_AT_A_TIME):
        batch = digests[start : start + DIGESTS_AT_A_TIME]
        marks = ",".join("?" * len(batch))
        query = f"SELECT digest, row FROM stored WHERE digest IN ({marks})"  # noqa: S608
        for digest, row in database.execute(query, batch):
            run, task, chunks = _checked(digest, row).split(b"\0", 2)
            holder = Holder(run.decode(), TaskName.parse(task.decode()))
            yield Digest(digest), holder, read_chunk_rows(chunks)


def _rows(ref: ArtifactRef, run: str) -> Iterator[tuple[bytes, bytes]]:
    head = f"{run}\0{ref.producer}\0".encode()
    yield ref.digest, _with_checksum(ref.digest, head + chunk_rows(ref.chunks))
    pictures = (ref.picture.chunk,) if ref.picture else ()
    for chunk in (*ref.chunks, *pictures):
        yield chunk.digest, _with_checksum(chunk.digest, head + chunk_rows([chunk]))


def _with_checksum(digest: Digest, row: bytes) -> bytes:
    return zlib.crc32(digest + row, _FORM).to_bytes(_CHECKSUM, "big") + row


def _checked(digest: bytes, row: bytes) -> bytes:
    # SQLite returns numbers and text as well, if that is what it finds.
    if not isinstance(digest, bytes) or not isinstance(row, bytes):
        raise _Damaged
    if (
        len(digest) != Digest.SIZE
        or row[:_CHECKSUM] != _with_checksum(Digest(digest), row[_CHECKSUM:])[:_CHECKSUM]
    ):
        raise _Damaged
    return row[_CHECKSUM:]


def _freshen(file: Path) -> bool:
    """Mark a pack or loose object as in use; False where git would not heed it."""
    if file.suffix == ".pack" and file.with_suffix(".mtimes").exists():
        return False
    try:
        os.utime(file)
    except OSError:
        return False
    return True
