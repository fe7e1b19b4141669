"""Who made what a run holds, all the way back: whether a payload that could run code may be loaded.

Whom the user trusts is `trust`'s business; a run is trusted as a whole. But a run that resumes another takes
over its tasks with all they stored, so a run made here may hold a stranger's pickles, and the stranger wrote
the records that tell where they come from. What is believed:

1. A task that the run itself executed, as its record says: nobody can name a run before it is born.
2. Of any other task: the chain of origins, written by each run into its own INFO. From the run that holds
   the task back to the one that executed it, every run must be trusted.
3. An artifact that a task inherited was loaded by nobody yet: the task that made it must pass, and the one
   that lists it, too, or a stranger's list could name one of ours as the maker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound

if TYPE_CHECKING:
    from gitflowrun.store.records import ArtifactRef, RunIdentity, TaskRecord
    from gitflowrun.store.runs import RunStore
    from gitflowrun.store.stored import StoredRun, StoredTask
    from gitflowrun.store.trust import Trust

__all__ = ["Custody"]

_LONGEST_CHAIN = 10_000


class Custody:
    """Judges payloads by where they come from.

    Args:
        runs: The runs of the repository.
        trust: Whom the user trusts.
    """

    def __init__(self, runs: RunStore, trust: Trust) -> None:
        self._runs = runs
        self._trust = trust

    def trusts_run(self, run: StoredRun) -> bool:
        """Whether the user trusts a run as it was read."""
        return self._trust.is_trusted(run.identity, commit=run.commit)

    def trusts_task(self, task: StoredTask) -> bool:
        """Whether the user trusts all runs that had a task in their hands."""
        return self._passes(task.run, task.record)

    def trusts_artifact(self, task: StoredTask, ref: ArtifactRef) -> bool:
        """Whether an artifact, as a task lists it, may be loaded if loading it could run code."""
        if not self.trusts_task(task):
            return False
        if ref.producer == task.name:
            return True
        try:
            return self.trusts_task(task.run.task(ref.producer))
        except NotFound:
            return False

    def find(self, run: RunIdentity) -> StoredRun | None:
        """A run that another one names, under whatever number it has here; None when it is not here."""
        try:
            return self._runs.find(str(run.uid), run.flow)
        except GitflowrunError:
            return None

    def _passes(self, run: StoredRun, record: TaskRecord) -> bool:
        holder: StoredRun | None = run
        for _ in range(_LONGEST_CHAIN):
            if holder is None or not self.trusts_run(holder):
                return False
            if record.run.uid == holder.identity.uid:
                return True
            origin = holder.info.origin
            holder = None if origin is None else self.find(origin.run)
        return False
