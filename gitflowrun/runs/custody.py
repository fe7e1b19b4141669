"""Who made what a run holds, all the way back: whether a payload that could run code may be loaded.

Whom the user trusts is `trust`'s business; a run is trusted as a whole. But a run that resumes another takes
over its tasks with all they stored, so a run made here may hold a stranger's pickles, and the stranger wrote
the records that tell where they come from. What is believed instead is the *line*: the run that holds a task,
the run it was made from, and so on, each named by the run before it in its own INFO.

1. All runs of the line are trusted: no stranger had anything in hand.
2. Otherwise a task counts only if one of the runs before the first stranger's executed it.
3. And an artifact only if the task that lists it counts, and so does the one that made it; and the maker did
   make it: a stranger's list that names a later task of ours as the maker is handed on by that very task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError

if TYPE_CHECKING:
    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import ArtifactRef, RunIdentity
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Trust

__all__ = ["Custody"]


@dataclass(frozen=True, slots=True)
class _Line:
    """The runs from a holder back to the first stranger's: their uids, and whether there is no stranger."""

    trusted: frozenset[Oid]
    complete: bool


class Custody:
    """Judges payloads by where they come from. Remembers what it found: make another one to ask anew.

    Args:
        runs: The runs of the repository.
        trust: Whom the user trusts.
    """

    def __init__(self, runs: RunStore, trust: Trust) -> None:
        self._runs = runs
        self._trust = trust
        self._lines: dict[Oid, _Line] = {}

    def trusts_run(self, run: StoredRun) -> bool:
        """Whether the user trusts a run as it was read."""
        return self._trust.is_trusted(run.identity, commit=run.commit)

    def trusts_task(self, task: StoredTask) -> bool:
        """Whether nobody but runs that the user trusts had a task in hand."""
        line = self._line(task.run)
        return line.complete or task.record.run.uid in line.trusted

    def trusts_artifact(self, task: StoredTask, ref: ArtifactRef) -> bool:
        """Whether an artifact that a task lists may be loaded if loading it could run code."""
        if self._line(task.run).complete:
            return True
        try:
            maker = task.run.task(ref.producer)
            return self.trusts_task(task) and self.trusts_task(maker) and not _is_framed(maker)
        except GitflowrunError:  # the maker or a parent of it is not there
            return False

    def find(self, run: RunIdentity) -> StoredRun | None:
        """A run that another one names, under whatever number it has here; None when it is not here."""
        try:
            return self._runs.find(str(run.uid), run.flow)
        except GitflowrunError:
            return None

    def _line(self, run: StoredRun) -> _Line:
        if run.commit not in self._lines:
            self._lines[run.commit] = self._follow(run)
        return self._lines[run.commit]

    def _follow(self, run: StoredRun) -> _Line:
        trusted: set[Oid] = set()
        holder: StoredRun | None = run
        while holder is not None and holder.identity.uid not in trusted and self.trusts_run(holder):
            trusted.add(holder.identity.uid)
            origin = holder.info.origin
            if origin is None:
                return _Line(frozenset(trusted), complete=True)
            holder = self.find(origin.run)
        return _Line(frozenset(trusted), complete=False)


def _is_framed(maker: StoredTask) -> bool:
    """Whether something that a task is said to have made was said so before it ran."""
    parents = (maker.run.task(name).record for name in maker.record.parents)
    return any(ref.producer == maker.name for it in parents for ref in it.artifacts.values())
