"""Damaged runs in a fetch: a ref that leads to what is lost stays as it is, and what comes may mend it.

No ref is taken away, moved or given up for a run that comes: it keeps from git's gc whatever else it leads to, and a
backup may bring what is lost. git fetches beside such refs (`git.transport.beside`).

- Where the remote has the state that a ref holds, that comes, and with it the run and its tags, also one in the trash.
- Where a ref holds nothing it gets what it had, once that has come, see `empty_refs`; only of a run that was made here,
  by the key of this clone, or whose uid its tags tell: numbers of several clones meet.
- Where the remote has the run in another state, as the uid says that its tags or a copy tell, the run stays damaged
  under its id. The state is here as a copy, and the command that takes it is told.
"""

from __future__ import annotations

import contextlib
import shlex
from itertools import chain
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.limits import LISTED_COMMIT
from gitflowrun.porcelain.deletion.trash import RemovedRun
from gitflowrun.porcelain.transfer.sync import RunTip, some
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.porcelain.transfer.sync import RemoteView, Tracking

_OURS = (layout.RUNS, layout.TRASH, layout.SPINS)


class DamagedRuns:
    """The damaged runs of a repository during a fetch.

    Args:
        repo: The repository.
        tracking: Our copies of the remote's refs.
        made: Whether a commit was made here, by the key of this clone.
    """

    def __init__(self, repo: Repository, tracking: Tracking, made: Callable[[Oid], bool]) -> None:
        self._repo = repo
        self._tracking = tracking
        self._made = made
        self._held: dict[str, Oid | None] = {}
        self._tag_uids: dict[str, set[Oid]] = {}
        self._own: dict[tuple[str, Oid], RunId] = {}
        self._others: dict[str, Oid] = {}

    def look(
        self, view: RemoteView, here: Mapping[Oid, RunTip], removed: Collection[str]
    ) -> list[RunTip]:
        """See what is damaged, and drop the copies of runs whose commits are gone.

        Args:
            view: The remote.
            here: Our runs whose newest commits are here, by their uids.
            removed: The uids of those that were removed here.

        Returns:
            What has to be fetched for runs in the trash.
        """
        refs, copies = self._repo.refs, dict(self._tracking.seen)
        refs.rows(layout.SPINS, fields=("refname", "contents"))
        tags = {name: Oid.from_hex(oid) for name, oid in refs.rows(layout.TAGS)}
        lost = {*self._repo.objects.missing({*tags.values()})}
        refs.damaged |= {name for name, oid in tags.items() if oid in lost}
        damaged = self._damaged()
        self._held = {name: self._get(name) for name in damaged}
        if damaged:
            self._tag_uids = self._uids_by_run(self._held)
            self._own = self._known(view, copies, here, removed)
        runs = {name: Oid.from_hex(oid) for name, oid in copies.items() if layout.is_run_ref(name)}
        whole = {run.tip for run in here.values()}
        gone = {*self._repo.objects.missing({*runs.values()} - whole)}
        self._tracking.note({name: None for name, oid in runs.items() if oid in gone})
        states = {run.tip: run for run in view.runs(())} if damaged else {}
        trashed = [oid for name, oid in self._held.items() if oid and name.startswith(layout.TRASH)]
        return [states[oid] for oid in trashed if oid in states]

    def _damaged(self) -> set[str]:
        return {name for name in self._repo.refs.damaged if name.startswith(_OURS)}

    def _get(self, name: str) -> Oid | None:
        """The id in a damaged ref; None when it holds none."""
        try:
            return self._repo.refs.get(name)
        except RepositoryError:
            return None

    def _uids_by_run(self, damaged: Mapping[str, Oid | None]) -> dict[str, set[Oid]]:
        """What tags say of the uids of their runs, here and in the trash, by the refs of these."""
        rows = self._repo.refs.rows(layout.TAGS, layout.TRASH)
        held = {name: Oid.from_hex(oid) for name, oid in rows}
        held |= {name: oid for name, oid in damaged.items() if oid}
        found: dict[str, set[Oid]] = {}
        for name, oid in held.items():
            if not _is_run(name) and (run := _run_of(name)):
                found.setdefault(run, set()).add(oid)
        return found

    def _known(
        self,
        view: RemoteView,
        copies: Mapping[str, str],
        here: Mapping[Oid, RunTip],
        removed: Collection[str],
    ) -> dict[tuple[str, Oid], RunId]:
        """The ids of damaged runs whose uids are known, and not those of runs that are here under other names."""
        found = {}
        for name in self._held:
            if run := layout.parse_run_ref(name):
                uids = self._tag_uids.get(name, set())
                known = [*uids] if len(uids) == 1 else []
                known = known or self._uid_there(view, copies, run, removed)
                found.update({(run[0], uid): run[1] for uid in known if uid not in here})
        return found

    def _uid_there(
        self,
        view: RemoteView,
        copies: Mapping[str, str],
        run: tuple[str, RunId],
        removed: Collection[str],
    ) -> list[Oid]:
        """The uid of a damaged run that was given its number here, where a copy tells that the remote has it."""
        for there, oid in copies.items() if run[1].isdecimal() else ():
            other = layout.parse_run_ref(there)
            if (
                other
                and there in view.refs
                and (other[0], other[1].number) == (run[0], run[1].number)
            ):
                tip = Oid.from_hex(oid)
                uid = self._uid_at(tip)
                if uid and str(uid) not in removed and self._made(tip):
                    return [uid]
        return []

    def _uid_at(self, tip: Oid) -> Oid | None:
        """The uid of the run that a commit is of; None where it is gone, or none of a run."""
        with contextlib.suppress(GitflowrunError):
            message = self._repo.objects.commit(tip, LISTED_COMMIT).message
            state = parse_message(message.decode(errors="replace"))
            return (state.uid or tip) if state else None
        return None

    def mend(self) -> None:
        """Give refs that hold nothing what they had, where that is here now. Runs come before tags, which need them."""
        empty = [name for name, oid in self._held.items() if oid is None]
        if not empty:
            return
        from gitflowrun.porcelain.transfer.empty_refs import lost_tip  # few fetches meet any

        for name in sorted(empty, key=lambda it: not _is_run(it)):
            tip = lost_tip(self._repo, name)
            if tip and self._repo.objects.exists(tip) and self._is_its(name, tip):
                with contextlib.suppress(GitflowrunError):  # it stays as it is, which is told
                    self._repo.refs.drop_damaged(name, tip)

    def _is_its(self, name: str, tip: Oid) -> bool:
        """Whether a commit is of the run that had a ref; a tag's was found by its run."""
        uids = self._tag_uids.get(name, set())
        return not _is_run(name) or self._made(tip) or self._uid_at(tip) in uids

    def uids(self) -> set[Oid]:
        """The uids of damaged runs, as far as they are known: they are not lost, as long as they may come back."""
        return {*chain.from_iterable(self._tag_uids.values()), *(uid for _, uid in self._own)}

    def may_be(self, flow: str, run: RunId, uid: Oid) -> bool:
        """Whether a run may be one of those that were damaged when the fetch began, or is, as far as is known."""
        runs = (layout.parse_run_ref(name) for name in self._held)
        numbers = {(it[0], it[1].number) for it in runs if it}
        return uid in self.uids() or (flow, run.number) in numbers

    def ids(self) -> set[RunId]:
        """The ids of damaged runs: they stay taken."""
        return {run[1] for it in self._repo.refs.damaged if (run := layout.parse_run_ref(it))}

    def is_one(self, word: str) -> bool:
        """Whether a word names a run that was damaged when the fetch began: `Flow/id` or id."""
        names = [name for name in self._held if layout.is_run_ref(name)]
        return any(word in (it.removeprefix(layout.RUNS), it.rpartition("/")[2]) for it in names)

    def id_of(self, run: RunTip, uid: Oid) -> RunId | None:
        """The id that a run of the remote has here, where it is damaged and in another state; that is told."""
        own = self._own.get((run.flow, uid))
        if own:
            self._others[layout.run_ref(run.flow, own)] = run.tip
        return own

    def trashed(self) -> list[RemovedRun]:
        """The runs in the trash whose commits are gone; they stay away as the others there do."""
        names = [it for it in self._repo.refs.damaged if it.startswith(layout.TRASH)]
        runs = [name for name in names if _is_run(name)]
        held = {name: self._get(name) for name in names}
        uids = self._uids_by_run(held) if runs else {}
        found = []
        for name in runs:
            uid = next(iter(uids.get(name, ())), "")
            place = layout.parse_trash_ref(name)[1].removeprefix(layout.RUNS)
            found.append(RemovedRun(str(uid), str(held[name] or ""), place))
        return found

    # ---- what is said of them ----

    def told(self) -> list[str]:
        """What became of damaged runs, and what can be done about those that are still damaged."""
        if not self._held:
            return []
        self._repo.refs.rows(*_OURS, fields=("refname", "contents"))
        left = self._damaged()
        told = [
            f"{_place(name)} was damaged here (its ref held {_told_held(oid)}), and was fetched anew"
            for name, oid in sorted(self._held.items())
            if name not in left and layout.is_run_ref(name)
        ]
        rootless = {_run_of(name): self._get(name) for name in left if not _is_run(name)}
        for run, uid in sorted(rootless.items()):
            if run and uid and run not in left:
                told.append(
                    f"{_place(run)} has lost its first commit here, {uid}, and can be read otherwise; a backup of "
                    ".git may have it"
                )
        # Its tags come back with a run, and are nobody's to be given up.
        theirs = left | rootless.keys()
        lost = [it for it in sorted(left) if _is_run(it) or _run_of(it) not in theirs]
        told += [self._told_left(name, self._get(name)) for name in lost]
        return some(told, "runs are or were damaged here")

    def _told_left(self, name: str, oid: Oid | None) -> str:
        words = (
            f"{_place(name)} is damaged here (its ref holds {_told_held(oid)}), and your own `git fetch` and `git gc` "
            "may fail beside it; "
        )
        words += "" if oid else "`git runs doctor --fix` mends it where it can; "
        words += "a backup of .git may have what is lost; "
        if name in self._others:
            there = f"git update-ref {shlex.quote(name)} {self._others[name]}"
            return f"{words}the remote has another state of it, which `{there}` takes for good"
        up = giving_up(self._repo, name, is_id=oid is not None)
        return f"{words}where nothing has it any more, `{up}` gives it up for good"


def giving_up(repo: Repository, ref: str, *, is_id: bool) -> str:
    """The command that removes a ref, which holds an id or no id."""
    if is_id:
        return f"git update-ref -d {shlex.quote(ref)}"
    return f"rm {shlex.quote(str(repo.common_dir / ref))}"


def _place(ref: str) -> str:
    """What people call the run, spun task or tag of a ref."""
    if ref.startswith(layout.TRASH):
        return f"{layout.parse_trash_ref(ref)[1].removeprefix(layout.RUNS)} in the trash"
    spin = layout.parse_spin_ref(ref)
    return "/".join(spin) if spin else ref.removeprefix(layout.RUNS)


def _told_held(oid: Oid | None) -> str:
    return f"commit {oid}" if oid else "nothing"


def _is_run(ref: str) -> bool:
    """Whether a ref is that of a run, here or in the trash, or of a spun task."""
    name = layout.parse_trash_ref(ref)[1] if ref.startswith(layout.TRASH) else ref
    return layout.parse_run_ref(name) is not None or layout.parse_spin_ref(name) is not None


def _run_of(ref: str) -> str:
    """The ref of the run that a tag's ref speaks of, in the same place; nothing for another one."""
    removed, name = layout.parse_trash_ref(ref) if ref.startswith(layout.TRASH) else ("", ref)
    tag = layout.parse_tag_ref(name)
    run = layout.run_ref(tag[0], tag[2]) if tag and tag[0].isidentifier() else ""
    return layout.trash_ref(removed, run) if run and removed else run
