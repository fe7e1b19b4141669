"""The index of what is stored already: from BLAKE3 digests, across all runs, to blobs.

It is a SQLite file in the state directory, and a cache in every respect: it may be deleted at any time, it is
deleted by us when it is damaged, and when it is busy or not writable nothing is found in it. It never decides
what is kept. Any process may read and write it, and none keeps it open: connections do not survive a fork.

An answer is only given for objects that exist at this moment, and the pack they lie in is freshened, as git
does before it relies on an object (git keeps recent ones). Objects in a cruft pack count as gone, for there
git looks at other times; and while a gc runs nothing is found at all. Each row carries a checksum: a power
cut may tear pages, and a wrong id would cost an artifact.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import TYPE_CHECKING

from gitflowrun.artifacts.reference import chunk_rows, read_chunk_rows
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import gc_is_running
from gitflowrun.limits import DIGESTS_AT_A_TIME, PATIENCE
from gitflowrun.names import Digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.pack.reader import PackReader

_FILE = "dedup.sqlite"
_SCHEMA = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS blob (digest BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS payload (digest BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID",
)
_CHECKSUM = 4  # bytes


class DedupIndex:
    """BLAKE3 digests of chunks and payloads -> the blobs that hold them.

    Args:
        path: The file; made when something is added.
        objects: Tells which objects exist.
    """

    def __init__(self, path: Path, objects: PackReader) -> None:
        self._path = path
        self._objects = objects

    @classmethod
    def of(cls, state_dir: Path, objects: PackReader) -> DedupIndex:
        """The index of the repository with that state directory."""
        return cls(state_dir / _FILE, objects)

    def lookup(self, digests: Iterable[Digest]) -> dict[Digest, Oid]:
        """The blobs of those chunks, or payloads of one chunk, that are stored."""
        wanted = list(digests)
        if not wanted or self._gc_is_running():
            return {}
        rows = self._rows("blob", wanted)
        found = {digest: Oid(row) for digest, row in rows.items() if len(row) == Oid.SIZE}
        alive = self._alive(found.values())
        self._forget("blob", (digest for digest, oid in found.items() if oid not in alive))
        return {digest: oid for digest, oid in found.items() if oid in alive}

    def payloads(self, digests: Iterable[Digest]) -> dict[Digest, tuple[Chunk, ...]]:
        """The chunks of those payloads of several chunks that are stored completely."""
        wanted = list(digests)
        if not wanted or self._gc_is_running():
            return {}
        rows = self._rows("payload", wanted)
        found = {digest: read_chunk_rows(row) for digest, row in rows.items()}
        alive = self._alive(chunk.oid for chunks in found.values() for chunk in chunks)
        whole = {
            digest: chunks
            for digest, chunks in found.items()
            if all(chunk.oid in alive for chunk in chunks)
        }
        self._forget("payload", found.keys() - whole.keys())
        return whole

    def add(self, refs: Iterable[ArtifactRef]) -> None:
        """Take up artifacts whose objects a published ref reaches."""
        self._write(lambda database: _insert(database, refs))

    def forget(self, ref: ArtifactRef) -> None:
        """Take an artifact for not stored: it can't be read, and storing it again may mend that."""
        self._forget("payload", [ref.digest])
        self._forget("blob", [chunk.digest for chunk in ref.chunks])

    def rebuild(self, refs: Iterable[ArtifactRef]) -> None:
        """Begin anew, with the artifacts of every run: after a clone, a fetch, or when the file was lost."""
        self.remove()
        self.add(refs)

    def remove(self) -> None:
        """Forget everything."""
        # The journal first: left behind, it would be rolled back into the next file.
        for suffix in ("-journal", "-wal", "-shm", ""):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @property
    def exists(self) -> bool:
        """Whether there is an index; where there is none, `rebuild` is worth its time."""
        return self._path.exists()

    def _alive(self, oids: Iterable[Oid]) -> set[Oid]:
        """Those that exist and whose files could be marked as in use."""
        files = self._objects.homes(oids)
        fresh = {file for file in set(files.values()) if _freshen(file)}
        return {oid for oid, file in files.items() if file in fresh}

    def _gc_is_running(self) -> bool:
        return gc_is_running(self._objects.objects_dir.parent)

    def _forget(self, table: str, digests: Iterable[Digest]) -> None:
        gone = [(digest,) for digest in digests]
        if gone:
            statement = f"DELETE FROM {table} WHERE digest = ?"  # noqa: S608  (one of two constants)
            self._write(lambda database: database.executemany(statement, gone))

    def _rows(self, table: str, digests: list[Digest]) -> dict[Digest, bytes]:
        rows: dict[Digest, bytes] = {}
        if self.exists:
            self._use(lambda database: rows.update(_select(database, table, digests)), write=False)
        return rows

    def _write(self, use: Callable[[sqlite3.Connection], object]) -> None:
        self._use(use, write=True)

    def _use(self, use: Callable[[sqlite3.Connection], object], *, write: bool) -> None:
        import sqlite3

        try:
            with _opened(self._path, write=write) as database:
                use(database)
        except (sqlite3.OperationalError, OSError):
            return  # busy, not writable, or no space left
        except (sqlite3.DatabaseError, _Damaged):
            self.remove()


class _Damaged(Exception):
    """The file holds what we did not write."""


@contextlib.contextmanager
def _opened(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    import sqlite3

    if write:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = "rwc" if write else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
    try:
        # Rows check themselves, so the file need not survive a power cut.
        database.execute("PRAGMA synchronous = OFF")
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        if schema not in {0, _SCHEMA}:
            raise _Damaged
        if write:
            database.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                database.execute(table)
            database.execute(f"PRAGMA user_version = {_SCHEMA}")
            yield database
            database.execute("COMMIT")
        elif schema:
            yield database
        else:
            raise sqlite3.OperationalError
    finally:
        database.close()


def _select(database: sqlite3.Connection, table: str, digests: list[Digest]) -> dict[Digest, bytes]:
    found = {}
    for start in range(0, len(digests), DIGESTS_AT_A_TIME):
        batch = digests[start : start + DIGESTS_AT_A_TIME]
        marks = ",".join("?" * len(batch))
        query = f"SELECT digest, row FROM {table} WHERE digest IN ({marks})"  # noqa: S608
        for digest, row in database.execute(query, batch):
            checked = _checked(digest, row)
            found[Digest(digest)] = checked
    return found


def _insert(database: sqlite3.Connection, refs: Iterable[ArtifactRef]) -> None:
    for ref in refs:
        blobs = [(chunk.digest, _with_checksum(chunk.digest, chunk.oid)) for chunk in ref.chunks]
        database.executemany("INSERT OR REPLACE INTO blob VALUES (?, ?)", blobs)
        if len(ref.chunks) > 1:
            row = (ref.digest, _with_checksum(ref.digest, chunk_rows(ref.chunks)))
            database.execute("INSERT OR REPLACE INTO payload VALUES (?, ?)", row)


def _with_checksum(digest: Digest, row: bytes) -> bytes:
    return zlib.crc32(digest + row).to_bytes(_CHECKSUM, "big") + row


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
