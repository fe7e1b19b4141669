"""What a repository needs now and then because runs are written into it. Never fails: it can all wait.

Before a run, git is told once that payloads are no good for deltas. During a run, each group commit is a pack,
and an hour has room for 18,000 of them: git folds them beside the run, whenever enough have gathered. After a
run, what crashed processes have left behind is swept up, and packs are folded if many are left. When nothing
is due, which is nearly always, all this costs a look at two directories.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.maintenance import FOLD_BEYOND, exempt_from_deltas, fold, start_fold
from gitflowrun.runs import layout

if TYPE_CHECKING:
    from gitflowrun.git.maintenance import Folding
    from gitflowrun.git.repository import Repository

__all__ = ["Upkeep", "tidy"]

_LOCKS_EVERY = 86_400.0
"""Seconds between two searches for old locks of refs: they look at the file of every run."""


class Upkeep:
    """Looks after a repository while a run is written into it.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._folding: Folding | None = None
        self._packs = 0
        with contextlib.suppress(GitflowrunError, OSError):
            exempt_from_deltas(repo, layout.PAYLOAD_PATTERN)

    def released(self, packs: int) -> None:
        """Hear that so many packs were left to git; let it fold them if they are many. Does not wait."""
        self._packs += packs
        if self._folding and self._folding.is_over:
            folding, self._folding = self._folding, None
            with contextlib.suppress(GitflowrunError, OSError):
                folding.finish()
        if self._folding or self._packs <= FOLD_BEYOND:
            return
        self._packs = 0
        with contextlib.suppress(GitflowrunError, OSError):
            self._folding = start_fold(self._repo, beyond=FOLD_BEYOND)

    def stop(self) -> None:
        """Give up what was begun: nobody waits for it at the end of a run. `tidy` takes it up again."""
        folding, self._folding = self._folding, None
        if folding:
            with contextlib.suppress(GitflowrunError, OSError):
                folding.stop()


def tidy(repo: Repository) -> None:
    """What is due between runs: sweep up after crashed processes, fold packs if many have gathered."""
    for chore in (_sweep_packs, _sweep_locks, _fold):
        with contextlib.suppress(GitflowrunError, OSError):
            chore(repo)


def _sweep_packs(repo: Repository) -> None:
    repo.packs.sweep()


def _sweep_locks(repo: Repository) -> None:
    mark = repo.state_dir / "swept-locks"
    if mark.exists() and 0 <= time.time() - mark.stat().st_mtime < _LOCKS_EVERY:
        return
    repo.state()
    mark.touch()
    repo.refs.sweep_locks(layout.RUNS, layout.TAG_MIRROR, layout.REMOTES)


def _fold(repo: Repository) -> None:
    fold(repo, beyond=FOLD_BEYOND)
