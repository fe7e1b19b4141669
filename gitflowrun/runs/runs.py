"""The runs of a repository: found by id or address, and listed.

What only some callers need (`read`, `resolve`) is imported when it is asked for: whoever lists runs pays for
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec, NotFound
from gitflowrun.git.refs import loose_names
from gitflowrun.names import RunId, SpinId, any_id
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.listing import list_all, list_runs, no_runs_of, run_names
from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.resolve import Address
    from gitflowrun.runs.read import StoredRun

__all__ = ["RunStore", "RunSummary", "Status"]


class RunStore:
    """The runs of a repository. Cheap to make; nothing is read before it is asked for."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo

    def get(self, flow: str, run: RunId | str) -> StoredRun:
        """The run of a flow and an id.

        Raises:
            NotFound: there is none.
            InvalidPathspec: `run` is no id.
        """
        from gitflowrun.runs.read import StoredRun

        run = run if isinstance(run, RunId) else any_id(run)
        ref = layout.run_ref(flow, run)
        commit = self.repo.refs.get(ref) if layout.is_run(ref) else None
        if commit is None and isinstance(run, SpinId):
            from gitflowrun.runs.spins.find import find_spin

            return find_spin(self.repo, run, flow)
        if commit is None:
            raise self._not_found(flow, run)
        return StoredRun(self.repo, flow, run, commit)

    def of_uid(self, flow: str, uid: Oid) -> StoredRun | None:
        """The run of a flow and a uid, whatever number it has here; never one that is only tagged so."""
        for row in self.summaries(flow):
            if row.uid == uid:  # which its message claims
                found = self.get(flow, row.id)
                if found.identity.uid == uid:
                    return found
        return None

    def find(self, address: str, flow: str | None = None, *, spins: bool = False) -> StoredRun:
        """The run that an address names (`address`).

        Args:
            address: The address.
            flow: Look at the runs of this flow only.
            spins: Whether it may be that of a spun task, which can be read, and is none of the history's runs.

        Raises:
            NotFound: there is none.
            InvalidPathspec: it is no address, an ambiguous one, or that of a part of a run.
        """
        found = self.resolve(address, flow, spins=spins)
        if found.step is not None:
            raise InvalidPathspec(
                f"{address!r} names a part of a run, not a run",
                hint=f"the run is {found.run.pathspec}",
            )
        return found.run

    def find_all(self, words: Iterable[str]) -> list[StoredRun]:
        """The runs that words name, each once: addresses, and ranges such as `10..20`. Raises as `find`."""
        runs = (self.find(word) for word in self.expand(words))
        return list({run.pathspec: run for run in runs}.values())

    def expand(self, words: Iterable[str]) -> list[str]:
        """Words, with the runs of a range in its place (`lookup.ranges`). Raises as `find`."""
        words = list(words)
        if not any(".." in word for word in words):
            return words
        from gitflowrun.runs.lookup.ranges import expand

        return expand(self.repo, words)

    def resolve(self, address: str, flow: str | None = None, *, spins: bool = False) -> Address:
        """The run, or the part of a run, that an address names. Arguments and errors as of `find`."""
        from gitflowrun.runs.lookup.resolve import resolve
        from gitflowrun.runs.spins.find import resolve_spin

        spun = resolve_spin(self.repo, address, flow)
        if spun is None:
            return resolve(self.repo, address, flow)
        if not spins:
            raise InvalidPathspec(
                f"{spun.run.pathspec} is a spun task, no run of the history",
                hint="`git runs show`, `logs` and `cat`, `logs` and `dump` of the flow and the client read it",
            )
        return spun

    def latest(self, flow: str | None = None) -> StoredRun | None:
        """The newest run of a flow, or of all; None when there is none."""
        names = run_names(self.repo, flow, limit=1)
        return self.get(*names[0]) if names else None

    def summaries(self, flow: str | None = None, limit: int | None = None) -> list[RunSummary]:
        """The runs of a flow, or of all, that can be read, newest first; at most `limit`. Reads no trees."""
        return list_runs(self.repo, flow, limit)

    def listed(
        self, flow: str | None = None, limit: int | None = None
    ) -> list[RunSummary | DamagedRun]:
        """As `summaries`, with those that can't be read in their places."""
        return list_all(self.repo, flow, limit)

    def names(self, flow: str | None = None) -> list[tuple[str, RunId]]:
        """Flow and id of every run, newest first. Reads no objects."""
        return run_names(self.repo, flow)

    def has_flow(self, flow: str) -> bool:
        """Whether a flow has runs, damaged ones included. No process is started where refs are as usual."""
        below = layout.below(layout.RUNS, flow)
        loose = loose_names(self.repo.common_dir, below)
        return any(map(layout.is_run_ref, loose)) or any(
            map(layout.is_run_ref, self.repo.refs.below(below))
        )

    def flows(self) -> list[str]:
        """The flows that have runs, sorted."""
        return sorted({flow for flow, _ in self.names()})

    def _not_found(self, flow: str, run: RunId) -> NotFound:
        names = self.names()
        flows = {name for name, _ in names}
        if flow not in flows:
            return no_runs_of(flow, flows)
        newest = next(number for name, number in names if name == flow)
        elsewhere = [name for name, number in names if number == run]
        hint = f"run {run} is one of {elsewhere[0]}" if elsewhere else f"its newest run is {newest}"
        return NotFound(f"flow {flow} has no run {run}", hint=hint)
