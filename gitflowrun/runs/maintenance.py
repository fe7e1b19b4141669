"""Maintenance that runs cause: packs folded, locks and temporary files of dead processes removed, a lost index rebuilt.

None of it can fail a run: it can all wait. When a run starts, git is told once that payloads are no good for deltas,
and the dedup index is rebuilt where there is none. During a run each group commit is a pack, of which an hour has space
for 18,000: git folds them beside the run whenever enough have gathered. After a run, what crashed processes have left
is removed, and packs are folded if many are left. When nothing is due, all this costs a look at two directories, and
what only a lost index needs is not imported: fetches are tidied up after, too.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.maintenance import exempt_from_deltas, fold, start_fold, sweep_locks
from gitflowrun.git.permissions import share_file
from gitflowrun.limits import FOLD_BEYOND, INLINE_LIMIT, KEEP_GRACE, LOCK_ABANDONED, LOCK_STALE
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.maintenance import Folding
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import TaskRecord

_LOCKS_EVERY = 86_400.0
"""Seconds between two searches for old locks of refs: they look at the file of every run."""
_LOOK_BACK = 1.0
"""Seconds that a run's start spends on reading older runs, newest first, when the dedup index was lost."""


class RunMaintenance:
    """The maintenance of a repository while a run is written into it: folds the packs of its commits.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._folding: Folding | None = None
        self._packs = 0
        with contextlib.suppress(GitflowrunError, OSError):
            exempt_from_deltas(repo, *layout.PAYLOAD_PATTERNS)

    def packs_released(self, packs: int) -> None:
        """Count packs that were left to git, and let it fold them if they are many. Does not wait."""
        self._packs += packs
        with contextlib.suppress(GitflowrunError, OSError):
            if self._folding and self._folding.is_over:
                folding, self._folding = self._folding, None
                folding.finish()
            if not self._folding and self._packs > FOLD_BEYOND:
                self._packs = 0
                self._folding = start_fold(self._repo, beyond=FOLD_BEYOND)

    def stop(self) -> None:
        """Stop a fold that was begun: the end of a run does not wait for it, and `tidy` begins another."""
        folding, self._folding = self._folding, None
        if folding:
            with contextlib.suppress(GitflowrunError, OSError):
                folding.stop()


def tidy(repo: Repository) -> None:
    """Do what is due between runs: remove what crashed processes left, fold packs if many have gathered."""
    for chore in (_sweep_packs, sweep_stale_locks, partial(fold, beyond=FOLD_BEYOND)):
        with contextlib.suppress(GitflowrunError, OSError):
            chore(repo)


def pack_grace(repo: Repository) -> float:
    """Seconds for which packs of dead owners are left alone: while a run goes on, its scheduler may take them over."""
    return KEEP_GRACE if Locks(repo.state_dir).any_run() else 0.0


def _sweep_packs(repo: Repository) -> None:
    repo.packs.sweep(pack_grace(repo))


def sweep_stale_locks(repo: Repository) -> None:
    """Move locks away that nobody can hold any more: once after each boot, and from time to time."""
    mark = repo.state_dir / "swept-locks"
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    # A power cut leaves locks whose owners nobody can ask for: after a boot whatever is older is nobody's.
    if mark.exists() and 0 <= time.time() - mark.stat().st_mtime < min(_LOCKS_EVERY, uptime):
        return
    repo.state()
    if mark.is_symlink():
        mark.unlink()
    mark.touch()
    share_file(mark)
    age = max(LOCK_STALE, min(LOCK_ABANDONED, uptime))
    places = (*layout.OURS, layout.NOTES.rpartition("/")[0])
    sweep_locks(repo.common_dir, repo.state_dir / "stale-locks", *places, age=age)


def shared_payloads(records: Iterable[TaskRecord]) -> Iterator[ArtifactRef]:
    """The artifacts that tasks have made and that the dedup index is for.

    Small payloads travel with the group commit, where looking them up would cost more than storing them.
    """
    for record in records:
        for ref in record.artifacts.values():
            if ref.size > INLINE_LIMIT and ref.producer == record.name and not ref.untrusted:
                yield ref


def ensure_dedup_index(repo: Repository) -> None:
    """Make the index of payloads again where there is none: after a clone, or when local state was deleted.

    What a limited time of reading does not reach is merely stored once more.
    """
    from gitflowrun.artifacts.dedup import DedupIndex

    index = DedupIndex(repo.state_dir, repo.objects)
    if not index.exists:
        index.rebuild(_trusted_payloads(repo, time.monotonic() + _LOOK_BACK))


def _trusted_payloads(repo: Repository, deadline: float) -> Iterator[tuple[ArtifactRef, str]]:
    """The artifacts of trusted tasks and their runs' refs, those of the newest runs first, until the deadline.

    A stranger's record could name the digest of a payload that we are yet to make, with another blob.
    """
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Trust

    runs, trust = RunStore(repo), Trust(repo)
    for flow, run in runs.names():
        with contextlib.suppress(GitflowrunError):  # a damaged run has nothing to share
            for task in runs.get(flow, run).all_tasks():
                if time.monotonic() > deadline:
                    return
                if trust.trusts_task(task):
                    for ref in shared_payloads([task.record]):
                        yield ref, layout.run_ref(flow, run)
