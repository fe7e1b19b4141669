"""The spun tasks of a repository as a `RunStore` lists runs, and which of them have expired."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitflowrun.git.objects import Oid
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.lookup.listing import FIELDS, summary_of
from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId, SpinId
    from gitflowrun.runs.read import StoredRun


class SpinStore(RunStore):
    """Finds whatever `RunStore` finds, and lists spun tasks, where that lists runs."""

    def latest(self, flow: str | None = None) -> StoredRun | None:
        """The newest spun task of a flow, or of all; None when there is none."""
        names = self.names(flow)
        return self.get(*names[0]) if names else None

    def summaries(self, flow: str | None = None, limit: int | None = None) -> list[RunSummary]:
        """Those of a flow, or of all, that can be read, newest first; at most `limit`."""
        return [it for it in self.listed(flow) if isinstance(it, RunSummary)][:limit]

    def listed(
        self, flow: str | None = None, limit: int | None = None
    ) -> list[RunSummary | DamagedRun]:
        """As `summaries`, with those that can't be read in their places."""
        below = layout.below(layout.SPINS, flow)
        rows = self.repo.refs.rows(below, fields=FIELDS)
        found = {
            name: summary_of(self.repo, name, row)
            for row in rows
            if (name := layout.parse_spin_ref(row[0]))
        }
        for name in filter(None, map(layout.parse_spin_ref, self.repo.refs.damaged)):
            if flow in {None, name[0]}:
                found.setdefault(name, DamagedRun(*name, None, ()))
        return sorted(found.values(), key=lambda it: it.id.number, reverse=True)[:limit]

    def names(self, flow: str | None = None) -> list[tuple[str, RunId]]:
        """Flow and id of each, newest first. Reads no objects."""
        below = self.repo.refs.below(layout.below(layout.SPINS, flow))
        names: list[tuple[str, RunId]] = list(filter(None, map(layout.parse_spin_ref, below)))
        return sorted(names, key=lambda name: name[1].number, reverse=True)

    def has_flow(self, flow: str) -> bool:
        """Whether a task of a flow was spun."""
        return bool(self.names(flow))


@frozen
class ExpiredSpins:
    """Spun tasks that are old enough to go.

    Attributes:
        refs: Their refs, and what they hold.
        uids: Their uids; the commits of those that can't be read.
        ids: Their ids, in the same order.
    """

    refs: dict[str, Oid]
    uids: tuple[Oid, ...]
    ids: tuple[SpinId, ...]


NO_SPINS = ExpiredSpins({}, (), ())


def expired_spins(repo: Repository, seconds: float) -> ExpiredSpins:
    """What was spun so long ago, but for the newest of all, which keeps its number from coming again, and what runs."""
    rows = repo.refs.rows(layout.SPINS, fields=FIELDS)
    named = [(name, row) for row in rows if (name := layout.parse_spin_ref(row[0]))]
    newest = max((name[1].number for name, _ in named), default=0)
    locks, oldest = Locks(repo.state_dir), time.time() - seconds
    refs, uids, ids = {}, [], []
    for name, row in named:
        run = summary_of(repo, name, row)
        started = run.state.started if isinstance(run, RunSummary) else 0.0
        if name[1].number == newest or started > oldest:
            continue
        if locks.run(name[1]).state() is LockState.HELD:
            continue
        refs[row[0]] = Oid.from_hex(row[1])
        ids.append(name[1])
        uids.append(run.uid if isinstance(run, RunSummary) else refs[row[0]])
    return ExpiredSpins(refs, tuple(uids), tuple(ids))
