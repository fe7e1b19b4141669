"""The index of what is stored already: from BLAKE3 digests, across all runs, to blobs and to runs that hold them.

It is a cache in every respect (`cache_file`) and never decides what is kept. A hit is believed without reading what it
names.

An answer is only given for objects that exist at this moment, and the pack they lie in is freshened, as git
does before it relies on an object (git keeps recent ones). Objects in a cruft pack count as gone, for there
git looks at other times; and while a gc runs nothing is found at all. That is no promise: a repack that is under
way may take whatever no ref reached when it began. So each row names the task that stored the blob last, its holder,
and who publishes a hit asks whether that one is still there (`runs.found`). Each row carries a checksum: a power
cut may tear pages, and a wrong id would cost an artifact.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from gitflowrun.artifacts.cache_file import CacheFile, DamagedFile
from gitflowrun.artifacts.reference import chunk_rows, read_chunk_rows
from gitflowrun.failpoints import reached
from gitflowrun.git.owner import gc_is_running
from gitflowrun.limits import DIGESTS_AT_A_TIME
from gitflowrun.names import Digest, TaskName
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.reader import PackReader

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
        self._file = CacheFile(state_dir, "dedup")
        self._objects = objects

    def lookup(self, digests: Iterable[Digest]) -> dict[Digest, tuple[Chunk, ...]]:
        """The chunks of those payloads, or pieces of payloads, that are stored completely."""
        wanted = list(digests)
        if not wanted or not self.exists or gc_is_running(self._objects.objects_dir.parent):
            return {}
        found: dict[Digest, tuple[Chunk, ...]] = {}
        self._file.use(lambda database: found.update(_chunks(database, wanted)))
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
            self._file.use(select)
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
        self._file.remove()

    @property
    def exists(self) -> bool:
        """Whether there is an index of this user's; where there is none, `rebuild` is worth its time."""
        return self._file.exists

    def _forget(self, digests: set[Digest]) -> None:
        if digests and self.exists:
            self._write("DELETE FROM stored WHERE digest = ?", ((digest,) for digest in digests))

    def _write(self, statement: str, rows: Iterable[tuple[bytes, ...]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.executemany(statement, rows)
            reached("dedup.written")
            database.execute("COMMIT")

        self._file.use(write, makes=True)


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
        raise DamagedFile
    if (
        len(digest) != Digest.SIZE
        or row[:_CHECKSUM] != _with_checksum(Digest(digest), row[_CHECKSUM:])[:_CHECKSUM]
    ):
        raise DamagedFile
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
