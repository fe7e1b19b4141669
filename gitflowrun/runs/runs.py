"""The door to the runs of a repository: start one, find one, list them. The work is done in the rooms behind it.

`ids` numbers runs, `birth` starts them, `writer` writes them, `stored` reads them, `listing` lists them,
`address` finds them, `tags` tags them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec, NotFound
from gitflowrun.names import RunId, nearest
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.listing import RunSummary, list_flows, list_runs, run_names

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.runs.create import RunDraft
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.resolve import Address
    from gitflowrun.runs.write import FinishedTask, RunWriter

__all__ = [
    "FinishedTask",
    "RunDraft",
    "RunStore",
    "RunSummary",
    "RunWriter",
    "Status",
    "StoredRun",
    "StoredTask",
]

# Whoever only lists does not load what reads and writes.
_LAZY = {
    "FinishedTask": "write",
    "RunDraft": "create",
    "RunWriter": "write",
    "StoredRun": "read",
    "StoredTask": "read",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(f"gitflowrun.runs.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class RunStore:
    """The runs of a repository. Cheap to make; nothing is read before it is asked for."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo

    def start(self, draft: RunDraft, snapshot: Snapshot) -> RunWriter:
        """Give birth to a run; once this returns, git has it under its number, and it is locked.

        Raises:
            UsageError: its flow can't name a ref.
            TaggingError: one of its tags can't be.
            RepositoryError: the repository can't be written to.
        """
        from gitflowrun.runs.create import give_birth
        from gitflowrun.runs.write import RunWriter

        return RunWriter(self.repo, give_birth(self.repo, draft, snapshot))

    def get(self, flow: str, run: RunId | str) -> StoredRun:
        """The run of a flow and an id.

        Raises:
            NotFound: there is none.
            InvalidPathspec: `run` is no id.
        """
        from gitflowrun.runs.read import StoredRun

        run = RunId(run)
        commit = self.repo.refs.get(layout.run_ref(flow, run))
        if commit is None:
            raise self._not_found(flow, run)
        return StoredRun(self.repo, flow, run, commit)

    def find(self, address: str, flow: str | None = None) -> StoredRun:
        """The run that an address names (`address`).

        Raises:
            NotFound: there is none.
            InvalidPathspec: it is no address, an ambiguous one, or that of a part of a run.
        """
        found = self.resolve(address, flow)
        if found.step is not None:
            raise InvalidPathspec(f"{address!r} names a part of a run, not a run")
        return found.run

    def resolve(self, address: str, flow: str | None = None) -> Address:
        """The run, or the part of a run, that an address names. Raises as `find`."""
        from gitflowrun.runs.resolve import resolve

        return resolve(self.repo, address, flow)

    def latest(self, flow: str | None = None) -> StoredRun | None:
        """The newest run of a flow, or of all; None when there is none."""
        names = run_names(self.repo, flow, limit=1)
        return self.get(*names[0]) if names else None

    def summaries(self, flow: str | None = None, limit: int | None = None) -> list[RunSummary]:
        """The runs of a flow, or of all, newest first; at most `limit`. Reads no trees."""
        return list_runs(self.repo, flow, limit)

    def names(self, flow: str | None = None) -> list[tuple[str, RunId]]:
        """Flow and id of every run, newest first. Reads no objects."""
        return run_names(self.repo, flow)

    def flows(self) -> list[str]:
        """The flows that have runs, sorted."""
        return list_flows(self.repo)

    def _not_found(self, flow: str, run: RunId) -> NotFound:
        names = self.names()
        flows = {name for name, _ in names}
        if flow not in flows:
            close = nearest(flow, sorted(flows))
            hint = f"did you mean {' or '.join(close)}?" if close else "`git runs` lists all runs"
            return NotFound(f"there are no runs of flow {flow!r} in this repository", hint=hint)
        newest = next(number for name, number in names if name == flow)
        elsewhere = [name for name, number in names if number == run]
        hint = f"run {run} is one of {elsewhere[0]}" if elsewhere else f"its newest run is {newest}"
        return NotFound(f"flow {flow} has no run {run}", hint=hint)
