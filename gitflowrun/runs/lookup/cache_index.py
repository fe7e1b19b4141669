"""The index of the step cache: from the key of a task to the runs that have such a task.

It is a cache in every respect (`cache_file`): what it says is looked up in git before it is believed, and what it does
not know is executed. The scheduler enters the tasks of its run when they are published. Runs that a fetch has brought
wait in it until a run looks for tasks of their flow; where there is no index, the newest runs are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.artifacts.cache_file import CacheFile, DamagedFile
from gitflowrun.errors import GitflowrunError
from gitflowrun.failpoints import reached
from gitflowrun.names import TaskName
from gitflowrun.runs.lookup.cache_limits import CANDIDATES, INDEXED_TASKS
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

_TABLES = (
    (
        "CREATE TABLE IF NOT EXISTS tasks"
        " (number INTEGER PRIMARY KEY, key BLOB NOT NULL, place BLOB NOT NULL, parts BLOB NOT NULL, ref TEXT NOT NULL,"
        " task TEXT NOT NULL)"
    ),
    "CREATE INDEX IF NOT EXISTS by_key ON tasks (key)",
    "CREATE INDEX IF NOT EXISTS by_place ON tasks (place)",
    "CREATE TABLE IF NOT EXISTS waiting (ref TEXT PRIMARY KEY) WITHOUT ROWID",
)

_SELECT = "SELECT key, place, parts, ref, task FROM tasks"


@frozen
class CachedTask:
    """A task that may serve: its key, its place in the flow, the parts of the key, its run's ref, its name there."""

    key: bytes
    place: bytes
    parts: bytes
    ref: str
    task: TaskName


class CacheIndex:
    """The tasks that the step cache knows.

    Args:
        state_dir: Where the file is; both are made when something is added.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = CacheFile(state_dir, "step-cache")

    @property
    def exists(self) -> bool:
        """Whether there is an index of this user's."""
        return self._file.exists

    def find(self, key: bytes, place: bytes) -> tuple[list[CachedTask], list[CachedTask]]:
        """The tasks of a key, the newest first; where there are none, those of a place."""
        found: list[list[CachedTask]] = [[], []]

        def select(database: sqlite3.Connection) -> None:
            for number, (column, value) in enumerate((("key", key), ("place", place))):
                if not any(found):
                    query = f"{_SELECT} WHERE {column} = ? ORDER BY number DESC LIMIT ?"
                    rows = database.execute(query, (value, CANDIDATES))
                    found[number] = [*map(_checked, rows)]

        self._file.use(select)
        return found[0], found[1]

    def add(self, tasks: Iterable[CachedTask]) -> None:
        """Enter tasks; the oldest of very many are dropped."""
        rows = [(it.key, it.place, it.parts, it.ref, str(it.task)) for it in tasks]

        def write(database: sqlite3.Connection) -> None:
            _begin(database)
            database.executemany(
                "INSERT INTO tasks (key, place, parts, ref, task) VALUES (?, ?, ?, ?, ?)", rows
            )
            oldest = "SELECT max(number) - ? FROM tasks"
            database.execute(f"DELETE FROM tasks WHERE number <= ({oldest})", (INDEXED_TASKS,))  # noqa: S608
            reached("step_cache.written")
            database.execute("COMMIT")

        self._file.use(write, makes=True)

    def forget(self, task: CachedTask) -> None:
        """Take a task for one that is not there."""

        def delete(database: sqlite3.Connection) -> None:
            database.execute(
                "DELETE FROM tasks WHERE key = ? AND ref = ? AND task = ?",
                (task.key, task.ref, str(task.task)),
            )

        self._file.use(delete)

    def note_fetched(self, refs: Iterable[str]) -> None:
        """Let the runs of these refs be read when their tasks are looked for, if the cache is in use here."""
        rows = [(ref,) for ref in refs]

        def write(database: sqlite3.Connection) -> None:
            _begin(database)
            database.executemany("INSERT OR IGNORE INTO waiting VALUES (?)", rows)
            database.execute("COMMIT")

        if rows and self.exists:
            self._file.use(write)

    def take_fetched(self, below: str) -> list[str]:
        """The refs that begin so and whose runs wait to be read. They wait no longer."""
        found: list[str] = []

        def take(database: sqlite3.Connection) -> None:
            _begin(database)
            rows = database.execute("SELECT ref FROM waiting").fetchall()
            found.extend(ref for (ref,) in rows if isinstance(ref, str) and ref.startswith(below))
            database.executemany("DELETE FROM waiting WHERE ref = ?", [(ref,) for ref in found])
            database.execute("COMMIT")

        if self.exists:
            self._file.use(take)
        return found


def _begin(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        database.execute(statement)


def _checked(row: tuple[object, ...]) -> CachedTask:
    # SQLite returns numbers and text as well, if that is what it finds.
    match row:
        case (bytes(key), bytes(place), bytes(parts), str(ref), str(task)):
            try:
                return CachedTask(key, place, parts, ref, TaskName.parse(task))
            except GitflowrunError as error:
                raise DamagedFile from error
    raise DamagedFile
