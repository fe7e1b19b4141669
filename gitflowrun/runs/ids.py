"""The ids of new runs: one sequence of numbers for all flows of the repository, none of which comes twice.

Choosing a number:

1. Take the lock `ids`, which linked worktrees share.
2. Read the mark: the highest number given so far, and the stamp of the packed refs when that was known to be
   true.
3. List the loose refs of runs, of tracking copies and of the trash. Where the packed refs are no longer those
   of the mark's stamp, or there is no mark, ask git for the names of all these refs instead (100,000 runs:
   0.2 s, once per `git pack-refs`). Take the stamp before asking: refs packed meanwhile make the next look a
   full one.
4. The number is one more than all of these. Take its run's lock; if somebody holds it, the mark was lost
   between its step 5 and its first commits: take the next number.
5. Write the mark.
6. Give the lock back. The number is reserved: should its owner die now, it is never used. If the lock's file
   was deleted meanwhile (`.git/gitflowrun` may be, at any time), somebody else may hold another: start again.
7. The owner publishes the run under a ref that must not exist. If it does (somebody writes our refs without
   asking for a number), start again.

The mark alone knows of runs that were deleted and have left the trash, or that git deleted. So it lies beside the
disposable state, where deleting that does not reach it.
"""

from __future__ import annotations

import re
from itertools import chain, count
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import hint_of, read_file, share_file
from gitflowrun.git.refs import loose_names, packed_stamp
from gitflowrun.limits import MAX_MARK
from gitflowrun.names import RunId
from gitflowrun.runs import layout
from gitflowrun.runs.locks import FileLock, Locks, made_here
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.git.repository import Repository

_MARK = re.compile(r"([0-9]{1,18}) (\S+)\n\Z")
_LAST_RUN = re.compile(r"^Last-Run: ([0-9]{1,18})$", re.MULTILINE)
_PREFIXES = (layout.RUNS, layout.REMOTES, layout.TRASH)
# Numbers above this come from no sequence: somebody's made-up ref must not use up everybody's numbers.
_CEILING = 10**12
_FEW = 20


@frozen
class Reservation:
    """A number that no other process gets, and the lock of its run, which is held."""

    id: RunId
    lock: FileLock


@frozen
class _Mark:
    number: int
    stamp: str


class RunIds:
    """The sequence of run ids of a repository."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._locks = Locks(repo.state_dir)
        self.path = repo.common_dir / "gitflowrun-mark"

    def reserve(self, *, thorough: bool = False) -> Reservation:
        """Choose the next number and take its run's lock.

        Args:
            thorough: Don't trust the mark: all refs are looked at.

        Raises:
            RepositoryError: the repository can't be written to, or the lock is held for too long.
        """
        while True:
            with self._locks.ids() as ids:  # 1
                reached("ids.locked")
                reserved = self._next(self._look(thorough=thorough))  # 2 to 5
                if ids.is_current:
                    return reserved  # 6
            reserved.lock.release(remove=True)

    def trouble(self) -> str:
        """What is wrong with the mark; empty if nothing is."""
        mark, highest = self._read(), self._scan()
        if mark is not None:
            # Numbers of fetched runs may be higher: they are looked at as well.
            return (
                ""
                if mark.number >= self._highest_made()
                else "a run that was made here has a higher one"
            )
        if highest == 0 and not self.path.exists():
            return ""
        return "it can't be read" if self.path.exists() else "it is not there"

    def mend(self) -> None:
        """Write the mark again.

        Raises:
            RepositoryError: it can't be written.
        """
        with self._locks.ids():
            self._write(self._look(thorough=True))

    def _highest_made(self) -> int:
        """The highest number among the runs that were made here, as far as a look at the newest few tells."""
        names = (
            layout.parse_run_ref(name)
            for (name,) in self._repo.refs.rows(layout.RUNS, fields=("refname",))
        )
        own = sorted((it[1].number, it) for it in names if it and it[1] == str(it[1].number))
        for number, (flow, run) in own[: -_FEW - 1 : -1]:
            commit = self._repo.refs.get(layout.run_ref(flow, run))
            if commit is not None and made_here(self._repo, commit):
                return number
        return 0

    def _next(self, mark: _Mark) -> Reservation:
        for number in count(mark.number + 1):  # 4
            run = RunId(str(number))
            lock = self._locks.run(run)
            if lock.try_acquire():
                break
        reached("ids.chosen")
        try:
            self._write(_Mark(number, mark.stamp))  # 5
        except RepositoryError:
            lock.release(remove=True)
            raise
        return Reservation(run, lock)

    def _look(self, *, thorough: bool) -> _Mark:
        mark = self._read()
        if not thorough and mark is not None:
            directory = self._repo.common_dir
            loose = chain.from_iterable(loose_names(directory, prefix) for prefix in _PREFIXES)
            highest = _highest(map(layout.run_number, loose))
            # In this order: a ref that is packed meanwhile is seen, or its packing is.
            if packed_stamp(directory) == mark.stamp:
                return _Mark(max(mark.number, highest), mark.stamp)
        stamp = packed_stamp(self._repo.common_dir)
        return _Mark(max(mark.number if mark else 0, self._scan()), stamp)

    def _scan(self) -> int:
        names = [row[0] for row in self._repo.refs.rows(*_PREFIXES, fields=("refname",))]
        archives = [name for name in names if f"/{layout.ARCHIVE}/" in name]
        rows = self._repo.refs.rows(*archives, fields=("contents",)) if archives else []
        archived = (int(text) for (message,) in rows for text in _LAST_RUN.findall(message))
        return _highest(chain(map(layout.run_number, names), archived))

    def _read(self) -> _Mark | None:
        what = "the last number that was given to a run"
        found = read_file(self.path, what, limit=MAX_MARK) or b""
        match = _MARK.match(found.decode("ascii", errors="replace"))
        return _Mark(int(match[1]), match[2]) if match else None

    def _write(self, mark: _Mark) -> None:
        # Without fsync: after a power cut the file is empty or old, and refs tell what was used.
        temporary = self.path.with_suffix(".new")
        try:
            temporary.unlink(missing_ok=True)  # a killed process of somebody else's left it
            temporary.write_text(f"{mark.number} {mark.stamp}\n", encoding="ascii")
            share_file(temporary, self._repo.shared_mode)
            reached("ids.written")
            temporary.replace(self.path)
            reached("ids.marked")
        except OSError as error:
            raise RepositoryError(
                f"cannot write {self.path}: {error.strerror}",
                hint=hint_of(error, "recording runs needs a repository that you may write to"),
            ) from error


def _highest(numbers: Iterable[int]) -> int:
    return max((number for number in numbers if number < _CEILING), default=0)
