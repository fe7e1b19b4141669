"""Whether a task's values may be loaded where loading could run code. Whom the user trusts, the store knows.

A run that resumes another takes over its tasks with all they stored, so a run made here may hold a stranger's
pickles. A task's record says which run executed it, but a stranger wrote that record. What is believed is the
chain of origins, written by each resuming run itself: from the run that holds the task back to the one that
executed it, all must be trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError

if TYPE_CHECKING:
    from gitflowrun.client.source import Source
    from gitflowrun.store.records import TaskRecord
    from gitflowrun.store.stored import StoredRun

__all__ = ["may_load"]

_LONGEST_CHAIN = 10_000


def may_load(source: Source, run: StoredRun, record: TaskRecord | None = None) -> bool:
    """Whether the user trusts a run, and whoever executed one of its tasks.

    Args:
        source: The repository.
        run: The run that holds the task.
        record: The task; the run itself is meant when None.
    """
    holder: StoredRun | None = run
    for _ in range(_LONGEST_CHAIN):
        if holder is None or not source.trust.is_trusted(holder.identity):
            return False
        if record is None or record.run.uid == holder.identity.uid:
            return True
        holder = _origin(source, holder)
    return False


def _origin(source: Source, run: StoredRun) -> StoredRun | None:
    """The run that `run` was made from; None when it was not, or that run is not here any more."""
    origin = run.info.origin
    if origin is None:
        return None
    try:
        return source.runs.find(str(origin.run.uid), flow=origin.run.flow)
    except GitflowrunError:
        return None
