"""What was read of runs for lists, kept by commit: a commit never changes, so no row is ever wrong.

A cache (`artifacts.cache_file`): whoever finds nothing in it reads the runs. A row is JSON with a checksum over it and
its commit, for a power cut may tear pages. Rows of commits that no ref leads to any more stay until there are as many
of them again as of others.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.cache_file import CacheFile, DamagedFile
from gitflowrun.git.objects import Oid
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.git.repository import Repository

_TABLE = "CREATE TABLE IF NOT EXISTS facts (oid BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID"
_AT_A_TIME = 500
"""Commits that are asked for in one statement; SQLite takes 999 values with every version."""
_MANY = 2_000
"""Of more, the whole table is read instead."""
_FORM = zlib.crc32(b"parameters, metrics, branch")
_CHECKSUM = 4  # bytes


@frozen
class RunFacts:
    """What lists know of a run.

    Attributes:
        parameters: Its parameters as texts, by the names of their options.
        metrics: The scalars among the artifacts of its end task.
        branch: Where it was started; empty where that is not known.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    branch: str = ""


class FactsCache:
    """Commits of runs -> what lists know of the runs.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._file = CacheFile(repo.state_dir, "facts")

    def find(self, commits: Sequence[Oid]) -> dict[Oid, RunFacts]:
        """What is known of some runs."""
        found: dict[Oid, RunFacts] = {}

        def select(database: sqlite3.Connection) -> None:
            wanted = set(commits)
            for oid, row in _rows(database, commits):
                facts = _checked(oid, row)
                if oid in wanted:
                    found[Oid(oid)] = facts

        if commits and self._file.exists:
            self._file.use(select)
        return found

    def add(self, facts: Mapping[Oid, RunFacts]) -> None:
        """Keep what was read of runs."""
        rows = [(bytes(oid), _packed(oid, it)) for oid, it in facts.items()]

        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)
            database.execute("COMMIT")

        if rows:
            self._file.use(write, makes=True)


def _rows(database: sqlite3.Connection, commits: Sequence[Oid]) -> Iterator[tuple[Any, Any]]:
    if len(commits) > _MANY:
        yield from database.execute("SELECT oid, row FROM facts")
        return
    for start in range(0, len(commits), _AT_A_TIME):
        batch = [bytes(oid) for oid in commits[start : start + _AT_A_TIME]]
        marks = ",".join("?" * len(batch))
        yield from database.execute(f"SELECT oid, row FROM facts WHERE oid IN ({marks})", batch)  # noqa: S608


def _packed(oid: Oid, facts: RunFacts) -> bytes:
    row = json.dumps([dict(facts.parameters), dict(facts.metrics), facts.branch]).encode()
    return _checksum(oid, row) + row


def _checksum(oid: bytes, row: bytes) -> bytes:
    return zlib.crc32(oid + row, _FORM).to_bytes(_CHECKSUM, "big")


def _checked(oid: Any, row: Any) -> RunFacts:
    # SQLite returns numbers and text as well, if that is what it finds.
    if not isinstance(oid, bytes) or not isinstance(row, bytes) or len(oid) != Oid.SIZE:
        raise DamagedFile
    data = row[_CHECKSUM:]
    if row[:_CHECKSUM] != _checksum(oid, data):
        raise DamagedFile
    return RunFacts(*json.loads(data))
