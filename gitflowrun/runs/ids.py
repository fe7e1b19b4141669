"""The ids of new runs: one sequence of numbers for all flows of the repository, none of which comes twice.

Choosing a number:

1. Take the lock `ids`, which linked worktrees share.
2. Read the mark: the highest number given so far, and the stamp of the packed refs when that was known to be
   true.
3. List the loose refs of runs and of the trash. Where the packed refs are no longer those of the mark's stamp,
   or there is no mark, ask git for the names of all these refs instead (100,000 runs: 0.2 s, once per
   `git pack-refs`). Take the stamp before asking: refs packed meanwhile make the next look a full one.
4. The number is one more than the mark and the numbers that count. Take its run's lock; if somebody holds it, the
   mark was lost between its step 5 and its first commits: take the next number.
5. Write the mark.
6. Give the lock back. The number is reserved: should its owner die now, it is never used. If the lock's file
   was deleted meanwhile (`.git/gitflowrun` may be, at any time), somebody else may hold another: start again.
7. The owner publishes the run under a ref that must not exist. If it does (somebody writes our refs without
   asking for a number), start again.

The mark alone knows of runs that were deleted and have left the trash, or that git deleted. So it lies beside the
disposable state, where deleting that does not reach it.

Which numbers count: refs can be anybody's, and one made-up number must not use up everybody's. In ascending order, a
number counts that is at most `NUMBERS_AHEAD` above the mark or the one that counted before it. So no number beyond
can be met, and whoever wants ours to be high has to send as many runs. A fetched run that is further above
arrives as `<number>-<uid7>`, and names with a uid do not count: their number was taken here, or too high. Where the
mark is lost, the runs that were made here count wherever they are, and once what tracking copies and names with a
uid say.
"""

from __future__ import annotations

import contextlib
import re
from heapq import nlargest
from itertools import chain, count
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.writer import sync_directory, sync_file
from gitflowrun.git.permissions import hint_of, read_file, share_file
from gitflowrun.git.refs import loose_names, packed_stamp
from gitflowrun.limits import MAX_MARK, NUMBERS_AHEAD, RUNS_ASKED_FOR_THEIR_MAKER
from gitflowrun.names import RunId
from gitflowrun.runs import layout
from gitflowrun.runs.locks import FileLock, Locks, made_here
from gitflowrun.settings import Durability
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.git.repository import Repository

_MARK = re.compile(r"([0-9]{1,18}) (\S+)\n\Z")
_LAST_RUN = re.compile(r"^Last-Run: ([0-9]{1,18})$", re.MULTILINE)
_PREFIXES = (layout.RUNS, layout.TRASH)
_CEILING = 10**12
"""No mark is so high, however often somebody sent runs with high numbers: it is a damaged one."""


@frozen
class Reservation:
    """A number that no other process gets, and the lock of its run, which is held."""

    id: RunId
    lock: FileLock


@frozen
class _Mark:
    number: int
    stamp: str


@frozen
class _Numbers:
    """The numbers in names of refs: of those that end in a number, and of those with a uid behind it."""

    plain: set[int]
    suffixed: set[int]

    @classmethod
    def of(cls, names: Iterable[str]) -> _Numbers:
        found = cls(set(), set())
        for name in names:
            (found.suffixed if "-" in name.rpartition("/")[2] else found.plain).add(
                layout.run_number(name)
            )
        return found

    @property
    def all(self) -> set[int]:
        return self.plain | self.suffixed


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

    def last_given(self) -> int:
        """The last number given; 0 where none is known to be."""
        with contextlib.suppress(GitflowrunError):
            mark = self._read()
            return mark.number if mark else 0
        return 0

    def highest_fetched(self, here: Iterable[RunId]) -> int:
        """The highest number that a fetched run may have as its id here. To be asked under the lock of ids.

        Args:
            here: The ids of the runs that are here.
        """
        mark = self._read()
        plain = {run.number for run in here if run.isdecimal()}
        return self._reach(mark.number if mark else 0, plain, seek=mark is None) + NUMBERS_AHEAD

    def trouble(self) -> str:
        """What is wrong with the mark; empty if nothing is, also where no run was made here yet."""
        mark = self._read()
        if mark is None and self.path.exists():
            return "it can't be read"
        # Numbers of fetched runs may be higher: they are looked at as well.
        last = mark.number if mark else 0
        if not self._made_here(number for number in self._names_of_runs().plain if number > last):
            return ""
        return "a run that was made here has a higher one" if mark else "it is not there"

    def mend(self) -> None:
        """Write the mark again, on the disk: refs that tell numbers may be about to go.

        Raises:
            RepositoryError: it can't be written.
        """
        with self._locks.ids():
            self._write(self._look(thorough=True))
            if self._repo.settings.durability is Durability.SAFE:
                # Whoever removes runs for good asks for this first: no ref will tell their numbers.
                try:
                    sync_file(self.path)
                    sync_directory(self.path.parent)
                except OSError as error:
                    raise self._unwritable(error) from error

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
            highest = self._reach(mark.number, _Numbers.of(loose).plain)
            # In this order: a ref that is packed meanwhile is seen, or its packing is.
            if packed_stamp(directory) == mark.stamp:
                return _Mark(highest, mark.stamp)
        stamp = packed_stamp(self._repo.common_dir)
        if mark is None:
            return _Mark(self._lost(), stamp)
        # Also the runs made here that are far above it: it may be an old one, that a backup had.
        plain = self._names_of_runs().plain
        return _Mark(self._reach(mark.number, plain, seek=thorough), stamp)

    def _lost(self) -> int:
        """The highest number that counts where there is no mark."""
        numbers = self._names_of_runs()
        highest = self._reach(0, numbers.plain, seek=True)
        other = numbers.suffixed | self._names(layout.REMOTES).all
        near = [number for number in other if number <= highest + NUMBERS_AHEAD]
        return max([highest, *near])

    def _reach(self, highest: int, numbers: Iterable[int], *, seek: bool = False) -> int:
        """How far a sequence goes that has reached `highest`, by the numbers of runs.

        Args:
            highest: Where it begins.
            numbers: The numbers of runs.
            seek: Whether a run beyond a gap counts if it was made here.
        """
        above = sorted({number for number in numbers if number > highest})
        for position, number in enumerate(above):
            if number > highest + NUMBERS_AHEAD:
                made = self._made_here(above[position:]) if seek else 0
                return self._reach(made, above[position:]) if made else highest
            highest = number
        return highest

    def _made_here(self, numbers: Iterable[int]) -> int:
        """The highest of these that a run made here has, as far as a look at the highest of them tells; or 0."""
        wanted = set(nlargest(RUNS_ASKED_FOR_THEIR_MAKER, numbers))
        rows = self._repo.refs.rows(layout.RUNS) if wanted else []
        runs = sorted(
            (name[1].number, oid)
            for ref, oid in rows
            if (name := layout.parse_run_ref(ref)) and name[1].isdecimal()
        )
        for number, oid in reversed(runs):
            if number in wanted and made_here(self._repo, Oid.from_hex(oid)):
                return number
        return 0

    def _names_of_runs(self) -> _Numbers:
        return self._names(*_PREFIXES)

    def _names(self, *prefixes: str) -> _Numbers:
        names = [row[0] for row in self._repo.refs.rows(*prefixes, fields=("refname",))]
        archives = [name for name in names if f"/{layout.ARCHIVE}/" in name]
        rows = self._repo.refs.rows(*archives, fields=("contents",)) if archives else []
        archived = {int(text) for (message,) in rows for text in _LAST_RUN.findall(message)}
        found = _Numbers.of(names)
        return _Numbers(found.plain | archived, found.suffixed)

    def _read(self) -> _Mark | None:
        what = "the last number that was given to a run"
        found = read_file(self.path, what, limit=MAX_MARK) or b""
        match = _MARK.match(found.decode("ascii", errors="replace"))
        return _Mark(int(match[1]), match[2]) if match and int(match[1]) < _CEILING else None

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
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RepositoryError:
        return RepositoryError(
            f"cannot write {self.path}: {error.strerror}",
            hint=hint_of(error, "recording runs needs a repository that you may write to"),
        )
