"""The spun tasks of a repository as a `RunStore` lists runs, and which of them have expired."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import Oid
from gitflowrun.names import SpinId
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.lookup.listing import FIELDS, started_in, summary_of
from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.spins.numbers import SpinIds
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.runs.read import StoredRun

    _Row = tuple[str, Oid, RunSummary | DamagedRun]


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
    """Spun tasks that are to go: they are old enough, or their run is purged.

    Attributes:
        refs: Their refs, and what they hold.
        uids: Their uids; the commits of those that can't be read.
        ids: Their ids, in the same order.
    """

    refs: dict[str, Oid]
    uids: tuple[Oid, ...]
    ids: tuple[SpinId, ...]

    def and_also(self, others: ExpiredSpins) -> ExpiredSpins:
        """These and others, each once."""
        rows = zip(others.refs.items(), others.uids, others.ids, strict=True)
        new = [row for row in rows if row[0][0] not in self.refs]
        return ExpiredSpins(
            {**self.refs, **dict(ref for ref, _, _ in new)},
            (*self.uids, *(uid for _, uid, _ in new)),
            (*self.ids, *(spin for _, _, spin in new)),
        )


NO_SPINS = ExpiredSpins({}, (), ())


def expired_spins(repo: Repository, seconds: float) -> ExpiredSpins:
    """What was spun so long ago, but for the newest of all, which keeps its number from coming again, and what runs.

    An age of no seconds takes all of these, by whatever clock they were made. Otherwise a clock that was behind takes
    none: what seems to be older than its run, or than what was spun before it, is as old as that.
    """
    spun = sorted(_spun(repo), key=lambda row: row[2].id.number)
    newest = SpinIds(
        repo
    ).highest()  # looked for last, so that what is spun meanwhile is none of these
    now, before, found = time.time(), 0.0, []
    for row in spun:
        run = row[2]
        started = started_in(run)
        before = max(before, started if started <= now else 0.0)
        made = max(started, before)
        is_old = seconds <= 0 or (made <= now - seconds >= _origin_made(repo, run, now))
        if run.id.number != newest and is_old and not _is_running(repo, run):
            found.append(row)
    return _going(found)


def _origin_made(repo: Repository, run: RunSummary | DamagedRun, now: float) -> float:
    """When the run was made of which a task was spun; 1970 where nobody knows, or by a clock that was ahead."""
    if not isinstance(run, RunSummary):
        return 0.0
    made = 0.0
    with contextlib.suppress(GitflowrunError, ValueError):  # without it, its own time counts
        uid = Oid.from_hex(run.state.origin.rpartition(" ")[2])
        made = float(repo.objects.commit(uid).committer.seconds)
    return made if made <= now else 0.0


def spins_of(repo: Repository, uids: Collection[Oid]) -> ExpiredSpins:
    """All tasks of some runs that were spun: each has the run's parameters, and what it has made of them."""
    wanted, found = {*map(str, uids)}, []
    for row in _spun(repo) if wanted else ():
        run = row[2]
        if isinstance(run, RunSummary) and run.state.origin.rpartition(" ")[2] in wanted:
            found.append(row)
    return _going(found)


def _spun(repo: Repository) -> Iterator[_Row]:
    for row in repo.refs.rows(layout.SPINS, fields=FIELDS):
        if name := layout.parse_spin_ref(row[0]):
            yield row[0], Oid.from_hex(row[1]), summary_of(repo, name, row)


def _is_running(repo: Repository, run: RunSummary | DamagedRun) -> bool:
    return Locks(repo.state_dir).run(run.id).state() is LockState.HELD


def _going(rows: Sequence[_Row]) -> ExpiredSpins:
    return ExpiredSpins(
        {ref: commit for ref, commit, _ in rows},
        tuple(run.uid if isinstance(run, RunSummary) else commit for _, commit, run in rows),
        tuple(SpinId(str(run.id)) for _, _, run in rows),
    )
