"""Fetching runs: first into tracking copies, then create-only into our own. The rules of names are in `sync`.

1. List the remote's refs below refs/runs.
2. Fetch what is new into refs/runs-remotes/<remote>/, in batches. Where git refuses a batch (a malformed
   object, a ref that was deleted meanwhile), halve it until the culprits are alone.
3. Look at every run that is not here in this state: it must be one (INFO, flow, number, one first commit from
   which its state descends). Nothing of it is executed or believed.
4. Under the lock of run ids, choose a free id for each new run and create its ref; move a known one forward.
5. Merge tags (`synctags`), then drop the tracking copies of runs that the remote no longer has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, GitflowrunError, RefConflict, RepositoryError
from gitflowrun.git.odb import History
from gitflowrun.git.transport import BATCH
from gitflowrun.porcelain.remote_runs import RemoteView, Tracking, free_id
from gitflowrun.porcelain.remote_tags import fetch_tags
from gitflowrun.porcelain.sync_report import Outcome, SyncedRun, SyncReport
from gitflowrun.runs import layout
from gitflowrun.runs.listing import list_runs
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.tags import Tags
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.transport import Remote
    from gitflowrun.names import RunId
    from gitflowrun.porcelain.remote_runs import RemoteRun

__all__ = ["Receiver"]

_MAX_NOTICES = 20


@frozen
class _Here:
    """A run of this repository and its newest state."""

    identity: RunIdentity
    tip: Oid


class Receiver:
    """One fetch from one remote."""

    def __init__(self, repo: Repository, remote: Remote) -> None:
        self._repo = repo
        self._remote = remote
        self._tracking = Tracking(repo.refs, remote)
        self._locks = Locks(repo.state_dir)
        self._here: dict[Oid, _Here] = {}
        self._ids: set[RunId] = set()
        self._done: list[SyncedRun] = []

    def receive(self) -> SyncReport:
        """Fetch all runs and tags."""
        view = RemoteView.of(self._remote)  # 1
        for mine in list_runs(self._repo):
            self._note(_Here(RunIdentity(mine.flow, mine.id, mine.uid), mine.commit))
        tips = {here.tip: here for here in self._here.values()}
        news = []
        for run in view.runs:
            same = tips.get(run.tip)
            if same and same.identity.flow == run.flow:
                self._report(run, same.identity, Outcome.CURRENT)
            else:
                news.append(run)
        fetched = self._fetch_all(view, news)  # 2
        history = self._history(fetched)
        for run in fetched:
            self._take(run, history)  # 3, 4
        tags = fetch_tags(  # 5
            self._repo,
            self._tracking,
            view.refs,
            {uid: here.identity for uid, here in self._here.items()},
        )
        Tags(self._repo).mirror()  # which a plain `git fetch` with fetch.pruneTags has deleted
        self._forget(view)
        self._done.sort(key=lambda run: (*run.source.sort_key, run.flow))
        notices = [*self._foreign(view), *tags.notices]
        return SyncReport(
            self._remote.name, tuple(self._done), tags.added, tags.removed, tuple(notices)
        )

    def _fetch_all(self, view: RemoteView, news: Sequence[RemoteRun]) -> list[RemoteRun]:
        """Bring the tracking copies up to date; returns the runs of `news` that are here now."""
        wanted = [run for run in view.runs if self._tracking.known.get(run.ref) != run.tip]
        lost: set[str] = set()
        for start in range(0, len(wanted), BATCH):
            lost |= self._fetch(wanted[start : start + BATCH])
        return [run for run in news if run.ref not in lost]

    def _fetch(self, runs: Sequence[RemoteRun]) -> set[str]:
        """Fetch runs; returns the refs of those that can't be had."""
        try:
            self._remote.fetch([self._tracking.refspec(run.ref) for run in runs])
        except RepositoryError as error:
            if len(runs) == 1:
                self._refuse(runs[0], error.message)
                return {runs[0].ref}
            self._remote.refs(runs[0].ref)  # raises when it is the network, not the runs
            middle = len(runs) // 2
            return self._fetch(runs[:middle]) | self._fetch(runs[middle:])
        self._tracking.known.update({run.ref: run.tip for run in runs})
        return set()

    def _history(self, runs: Sequence[RemoteRun]) -> History:
        numbers = {run.id.number for run in runs}
        ours = [here.tip for here in self._here.values() if here.identity.id.number in numbers]
        return History(self._repo.git, {*ours, *(run.tip for run in runs)})

    def _take(self, run: RemoteRun, history: History) -> None:
        try:
            uid = self._examine(run, history)
            here = self._here.get(uid)
            if here is None:
                self._create(run, uid)
            else:
                self._forward(run, here, history)
        except GitflowrunError as error:
            self._refuse(run, error.message)

    def _examine(self, run: RemoteRun, history: History) -> Oid:
        """The run's uid. Raises CorruptRecord: what the remote has is no run, or not the one it says."""
        uid = history.root(run.tip)
        if uid is None:
            raise CorruptRecord(f"{run.ref} is no commit")
        stored = StoredRun(self._repo, run.flow, run.id, run.tip)
        info, claimed = stored.info, stored.state.uid
        if (info.flow, info.id.number) != (run.flow, run.id.number):
            raise CorruptRecord(f"{run.ref} holds run {info.flow}/{info.id}")
        if not str(uid).startswith(run.id.partition("-")[2]) or (claimed or run.tip) != uid:
            raise CorruptRecord(f"{run.ref} holds a run with another uid, {uid.short}")
        if StoredRun(self._repo, run.flow, run.id, uid).info_blob != stored.info_blob:
            raise CorruptRecord(f"{run.ref}: its INFO changed after its birth")
        return uid

    def _create(self, run: RemoteRun, uid: Oid) -> None:
        with self._locks.ids():
            taken = {*self._ids, *self._reserved(run.id)}
            identity = RunIdentity(run.flow, free_id(run.id, uid, taken), uid)
            self._repo.refs.create(layout.run_ref(run.flow, identity.id), run.tip)
        self._note(_Here(identity, run.tip))
        self._report(run, identity, Outcome.NEW)

    def _reserved(self, run: RunId) -> list[RunId]:
        """`run`, if a process here has just been given that number, or once was and died."""
        return [] if self._locks.run(run).state() is LockState.ABSENT else [run]

    def _forward(self, run: RemoteRun, here: _Here, history: History) -> None:
        if history.leads_to(here.tip, run.tip):
            self._report(run, here.identity, Outcome.AHEAD)
        elif history.leads_to(run.tip, here.tip):
            identity = here.identity
            self._repo.refs.update(layout.run_ref(identity.flow, identity.id), run.tip, here.tip)
            self._note(_Here(identity, run.tip))
            self._report(run, identity, Outcome.UPDATED)
        else:
            raise RefConflict(f"{here.identity.pathspec} went on differently here")

    def _note(self, here: _Here) -> None:
        self._here[here.identity.uid] = here
        self._ids.add(here.identity.id)

    def _report(self, run: RemoteRun, identity: RunIdentity, outcome: Outcome) -> None:
        self._done.append(SyncedRun(run.flow, run.id, identity.id, identity.uid, outcome))

    def _refuse(self, run: RemoteRun, reason: str) -> None:
        self._done.append(SyncedRun(run.flow, run.id, None, None, Outcome.REFUSED, reason))

    def _forget(self, view: RemoteView) -> None:
        gone = [
            name
            for name in self._tracking.known
            if layout.parse_run_ref(name) and name not in view.refs
        ]
        self._tracking.note(dict.fromkeys(gone))

    def _foreign(self, view: RemoteView) -> list[str]:
        named = [f"{name} is not the ref of a run" for name in sorted(view.foreign)[:_MAX_NOTICES]]
        more = len(view.foreign) - len(named)
        return [*named, f"{more} more refs are not of runs"] if more else named
