"""The numbers of spun tasks: a sequence of their own, which uses up none of the runs' numbers.

One more than the highest number that a ref has or a process has locked. Expired ones are deleted but for the newest of
all (`store`), so a number comes again only where somebody purges its run, or deletes refs by hand.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from gitflowrun.limits import NUMBERS_AHEAD
from gitflowrun.names import SpinId
from gitflowrun.runs import layout
from gitflowrun.runs.ids import Reservation
from gitflowrun.runs.locks import Locks

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository


class SpinIds:
    """The sequence of the ids of spun tasks of a repository."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._locks = Locks(repo.state_dir)

    def reserve(self, *, thorough: bool = False) -> Reservation:  # noqa: ARG002  (as of `RunIds`)
        """Choose the next number and take its lock, under the lock of ids: no space is freed from now on.

        Raises:
            RepositoryError: the repository can't be written to, or the lock is held for too long.
        """
        while True:
            with self._locks.ids() as ids:
                reserved = self._next()
                if ids.is_current:
                    return reserved
            reserved.lock.release(remove=True)

    def _next(self) -> Reservation:
        for number in count(self.highest() + 1):
            spin = SpinId.of(number)
            lock = self._locks.run(spin)
            if lock.try_acquire():
                return Reservation(spin, lock)
        raise AssertionError  # pragma: no cover  (numbers do not end)

    def highest(self) -> int:
        """The highest number that a spun task has; 0 without any."""
        names = map(layout.parse_spin_ref, self._repo.refs.below(layout.SPINS))
        highest = 0
        # Anybody's `git fetch` may have brought refs: one made-up number must not use up all.
        for number in sorted(name[1].number for name in names if name):
            if number > highest + NUMBERS_AHEAD:
                break
            highest = number
        return highest
