"""Pushing runs: finds each run on the remote, or a name for it there. The rules of names are in `sync`.

1. List the remote's refs below refs/runs.
2. Find every run there. Only runs of the same flow and number can be it; those whose newest state is not here
   are fetched into their tracking copies, for only their history tells.
3. It is there: up to date, or to be moved forward, or ahead of us. It is not: it gets a free name.
4. Push, expecting every ref to be as seen. Where somebody was faster, begin again at 1.
5. Note in the tracking copies what the remote now has.
6. Merge the tags of these runs (`synctags`).

Sharing runs with a remote: the doors `push` and `fetch`, and what they return. Rules of names below.

Numbers are given out in each clone, so two clones can both have a run 12. Nothing is renumbered and nothing
overwritten; a run is known by its uid, and the remote decides who was first:

- A run goes to the remote under its own id. If another run has that id there, of whatever flow, it is
  published as `<number>-<first 7 digits of its uid>`; at home it stays 12 for ever.
- A fetched run keeps the id it has on the remote, unless that is taken here: then it arrives as
  `<number>-<uid7>`.
- A run that is already here, or there, is recognised by its uid under any of these names, and is only ever
  moved forward to a later state of itself.

So all names of a run, anywhere, begin with the number it was born with. `sending` and `receiving` do the work,
`synctags` merges tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.odb import History
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport import BATCH, Remote, default_remote
from gitflowrun.porcelain.remote_runs import RemoteView, Tracking, free_id
from gitflowrun.porcelain.remote_tags import push_tags
from gitflowrun.porcelain.sync_report import Outcome, SyncedRun, SyncReport
from gitflowrun.runs import layout
from gitflowrun.runs.listing import list_runs
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.porcelain.remote_runs import RemoteRun
    from gitflowrun.runs.read import StoredRun

__all__ = ["Outcome", "Run", "Sender", "SyncReport", "SyncedRun", "fetch", "push"]


_ROUNDS = 5


@frozen
class Run:
    """A run of this repository."""

    flow: str
    id: RunId
    tip: Oid


@frozen
class _Plan:
    """What is to become of a run on the remote."""

    run: Run
    uid: Oid | None
    target: RunId | None
    outcome: Outcome
    change: RefUpdate | None = None
    reason: str = ""

    def result(self) -> SyncedRun:
        run = self.run
        return SyncedRun(run.flow, run.id, self.target, self.uid, self.outcome, self.reason)

    def refused(self, reason: str) -> _Plan:
        return _Plan(self.run, self.uid, None, Outcome.REFUSED, reason=reason)


class Sender:
    """One push to one remote."""

    def __init__(self, repo: Repository, remote: Remote, *, verify: bool) -> None:
        self._repo = repo
        self._remote = remote
        self._verify = verify
        self._tracking = Tracking(repo.refs, remote)
        self._done: list[SyncedRun] = []

    def send(self, runs: Sequence[Run]) -> SyncReport:
        """Push `runs`, in this order, and their tags."""
        view = RemoteView.of(self._remote)  # 1
        pending = self._round(view, runs)
        for _ in range(_ROUNDS):
            if pending:
                view = RemoteView.of(self._remote)
                pending = self._round(view, [plan.run for plan in pending])
        self._done += [plan.result() for plan in pending]
        there = {run.uid: run.target for run in self._done if run.uid and run.target}
        tags = push_tags(
            self._repo, self._remote, self._tracking, view.refs, there, verify=self._verify
        )
        self._done.sort(key=lambda run: (*run.source.sort_key, run.flow))
        return SyncReport(
            self._remote.name, tuple(self._done), tags.added, tags.removed, tuple(tags.notices)
        )

    def _round(self, view: RemoteView, runs: Sequence[Run]) -> list[_Plan]:
        """Push once; returns the runs with which somebody else was faster, as refused."""
        known = self._learn(view, runs)  # 2
        plans = [self._plan(run, view, known) for run in runs]  # 3
        changes = [plan.change for plan in plans if plan.change]
        results = self._remote.push(changes, verify=self._verify)  # 4
        fates = {result.name: result for result in results}
        self._tracking.note(  # 5
            {change.name: change.new for change in changes if fates[change.name].ok}
        )
        pending = []
        for plan in plans:
            fate = fates[plan.change.name] if plan.change else None
            if fate and fate.stale:
                pending.append(plan.refused(fate.reason))
            elif fate and not fate.ok:
                self._done.append(plan.refused(fate.reason).result())
            else:
                self._done.append(plan.result())
        return pending

    def _learn(self, view: RemoteView, runs: Sequence[Run]) -> History:
        """The history of every run of the remote that may be one of `runs`, and of these."""
        ours = {run.tip for run in runs}
        theirs = [mate for run in runs for mate in view.namesakes(run.flow, run.id.number)]
        known = ours | set(self._tracking.known.values())
        unknown = [
            mate
            for mate in theirs
            if mate.tip not in known and not self._repo.objects.exists(mate.tip)
        ]
        missing = {mate.tip for mate in self._fetch(unknown)}
        return History(self._repo.git, {*ours, *(mate.tip for mate in theirs)} - missing)

    def _fetch(self, unknown: Sequence[RemoteRun]) -> list[RemoteRun]:
        """Fetch runs into their tracking copies; returns those that can't be had."""
        missing = []
        for start in range(0, len(unknown), BATCH):
            batch = unknown[start : start + BATCH]
            try:
                self._remote.fetch([self._tracking.refspec(mate.ref) for mate in batch])
            except RepositoryError:
                # Malformed, or just deleted. What can't be read is not ours: its name is taken, that is all.
                missing += [m for m in batch if not self._repo.objects.exists(m.tip)]
        return missing

    def _plan(self, run: Run, view: RemoteView, known: History) -> _Plan:
        uid = known.root(run.tip)
        for mate in view.namesakes(run.flow, run.id.number):
            if known.root(mate.tip) != uid:
                continue
            if known.leads_to(mate.tip, run.tip):
                outcome = Outcome.CURRENT if mate.tip == run.tip else Outcome.AHEAD
                return _Plan(run, uid, mate.id, outcome)
            if known.leads_to(run.tip, mate.tip):
                change = RefUpdate(mate.ref, run.tip, mate.tip)
                return _Plan(run, uid, mate.id, Outcome.UPDATED, change)
            reason = f"the remote has another continuation of it ({mate.tip.short})"
            return _Plan(run, uid, None, Outcome.REFUSED, reason=reason)
        target = free_id(run.id, uid or run.tip, view.taken)
        view.taken.add(target)
        change = RefUpdate(layout.run_ref(run.flow, target), run.tip, None)
        return _Plan(run, uid, target, Outcome.NEW, change)


def push(
    repo: Repository,
    remote: str | None = None,
    runs: Sequence[StoredRun] | None = None,
    *,
    verify: bool = True,
) -> SyncReport:
    """Send runs and their tags to a remote.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would push to when None.
        runs: Which runs; all when None.
        verify: Whether the user's pre-push hook is asked.

    Raises:
        RepositoryError: the remote can't be reached. What was sent before stays, and is not sent again.
    """
    if runs is None:
        wanted = [Run(run.flow, run.id, run.commit) for run in list_runs(repo)]
    else:
        wanted = [Run(run.flow, run.id, run.commit) for run in runs]
    place = Remote(repo, remote or default_remote(repo, push=True)).for_push()
    return Sender(repo, place, verify=verify).send(sorted(wanted, key=lambda run: run.id.sort_key))


def fetch(repo: Repository, remote: str | None = None) -> SyncReport:
    """Get the runs and tags of a remote.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would fetch from when None.

    Raises:
        RepositoryError: the remote can't be reached. What was fetched before stays.
    """
    from gitflowrun.porcelain.fetch import Receiver
    from gitflowrun.runs.maintenance import tidy

    report = Receiver(repo, Remote(repo, remote or default_remote(repo))).receive()
    tidy(repo)  # each batch came as a pack
    return report
