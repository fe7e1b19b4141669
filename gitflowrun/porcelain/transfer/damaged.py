"""Damaged runs that make way for what a remote has of them: git fetches nothing beside refs whose commits are gone.

1. A run makes way only where the remote is known to have this run: in the state that our ref holds, or under a name of
   which a copy is a commit of the run, by the uid that our tags say; where no tag says one, by the key of this clone,
   since a number is given here once. A name alone says nothing: numbers of several clones meet. One in the trash makes
   way where the remote has the state that it was removed in, which is fetched to be there, not to be a run again.
   One whose first commit alone is gone stays: its ref keeps from git's gc all else of it, which can be read.
2. What its ref held, and all its tags, are written to `.git/gitflowrun-aside` (lines of id, ref and, of a run, its
   uid), then these refs go in one transaction. Its id stays taken, and is the run's when that comes.
3. The run and its tags come back in one transaction. Where it did not come, all is put back as it was: a backup may
   bring the commit. After a kill the next fetch does either.

The damaged run of a spun task makes way for every fetch, since no remote has it, and is put back in the end. Its number
is locked meanwhile, so that no other gets it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.git.odb import History
from gitflowrun.git.pack.writer import sync_directory
from gitflowrun.git.permissions import not_writable, read_file, replace_file
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import ANSWER, LISTED_COMMIT, MAX_SENDING
from gitflowrun.porcelain.deletion.trash import RemovedRun
from gitflowrun.porcelain.transfer.sync import RunTip, some
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.locks import Locks, RunLock
from gitflowrun.runs.maintenance import sweep_stale_locks
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.tags import tag_updates, transact
from gitflowrun.settings import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.porcelain.deletion.trash import TrashedRun
    from gitflowrun.porcelain.transfer.sync import RemoteView, Tracking

_OURS = (layout.RUNS, layout.TRASH)


class _Held(NamedTuple):
    """What a ref held that has made way, None for no id; and the uid of its run, where that is known."""

    oid: Oid | None
    uid: Oid | None


class DamagedRuns:
    """The damaged runs of a repository during a fetch.

    Args:
        repo: The repository.
        tracking: Our copies of the remote's refs; who only puts runs back needs none.
        made: Whether a commit was made here, by the key of this clone.
    """

    def __init__(
        self, repo: Repository, tracking: Tracking | None, made: Callable[[Oid], bool]
    ) -> None:
        self._repo = repo
        self._copies = tracking
        self._made = made
        self._locks = Locks(repo.state_dir)
        self._path = repo.common_dir / "gitflowrun-aside"
        self._away: dict[str, _Held] = {}
        self._came: dict[str, tuple[_Held, Oid]] = {}
        self._spins: dict[RunId, RunLock] = {}
        self._rootless: dict[str, _Held] = {}

    # ---- 1 ----

    def make_way(
        self,
        view: RemoteView,
        here: Mapping[Oid, RunTip],
        removed: Collection[str],
        trash: Iterable[TrashedRun] = (),
    ) -> list[RunTip]:
        """Take the refs away of damaged runs that the remote has, of spun tasks, and the copies whose commits are gone.

        Args:
            view: The remote.
            here: Our runs whose newest commits are here, by their uids.
            removed: The uids of those that were removed here.
            trash: Those of them in the trash whose newest commits are here.

        Returns:
            What has to be fetched for runs in the trash.
        """
        refs, copies, spins = self._repo.refs, self._tracking.seen, self._lost_spins()
        damaged = {name: self._held(name) for name in refs.damaged if name.startswith(_OURS)}
        whole = {str(run.tip) for run in here.values()}
        known = {Oid.from_hex(oid) for oid in {*copies.values()} - whole}
        gone = {None, *self._repo.objects.missing(known | {*filter(None, damaged.values())})}
        self._tracking.note(
            {name: None for name, oid in copies.items() if Oid.from_hex(oid) in gone}
        )
        lost = {name: oid for name, oid in damaged.items() if oid in gone}
        away = {name: _Held(oid, None) for name, oid in spins.items() if self._may_go(name, oid)}
        self._rootless = self._find_rootless(here, trash)
        if not lost and not away:
            return []
        tags = self._tags_by_run(damaged)
        states = {run.tip: run for run in view.runs(())}
        trashed: list[RunTip] = []
        for name, oid in lost.items():
            if _is_run(name):
                own = tags.get(_run_of(name), {})
                uids = {*own.values()}
                uid = uids.pop() if len(uids) == 1 else None
                if oid in states and name.startswith(layout.TRASH):
                    trashed.append(states[oid])
                elif name.startswith(layout.TRASH) or uid in here:
                    continue
                elif oid not in states:
                    there = self._uid_there(view, copies, name, _Held(oid, uid), here, removed)
                    if there is None and not self._was_there(view, copies, oid):
                        continue
                    uid = uid or there
                away[name] = _Held(oid, uid)
                away |= {tag: _Held(at, None) for tag, at in own.items()}
        away |= self._mirrors(away)
        self._take_away(away)
        return trashed

    def _find_rootless(
        self, here: Mapping[Oid, RunTip], trash: Iterable[TrashedRun]
    ) -> dict[str, _Held]:
        """The refs of runs whose first commit alone is gone, and these runs."""
        runs = {run.ref: _Held(run.tip, uid) for uid, run in here.items()}
        for it in trash:
            runs[layout.trash_ref(it.removed, layout.run_ref(it.flow, it.id))] = _Held(
                it.tip, it.uid
            )
        uids = "".join(f"{uid}\n" for uid in {held.uid for held in runs.values()})
        is_shallow = (self._repo.common_dir / "shallow").exists()  # they may never have come
        if not uids or is_shallow:
            return {}
        # By git, which has seen 10,000 before we have seen 500.
        done = self._repo.git.attempt("cat-file", "--batch-check=.", stdin=uids.encode())
        gone = {
            line.partition(b" ")[0].decode()
            for line in done.out.splitlines()
            if b" missing" in line
        }
        return {name: held for name, held in runs.items() if str(held.uid) in gone}

    def _lost_spins(self) -> dict[str, Oid | None]:
        """The refs of spun tasks that hold no id, or that of a commit from which git can't walk, and these."""
        refs = self._repo.refs
        below = [(name, Oid.from_hex(oid)) for name, oid in refs.below(layout.SPINS).items()]
        empty = {it: self._held(it) for it in refs.damaged if it.startswith(layout.SPINS)}
        return {**empty, **dict(self._not_walked(below))}

    def _not_walked(self, refs: list[tuple[str, Oid]]) -> list[tuple[str, Oid]]:
        """Those of some refs beside which git fetches nothing, as it can't walk from their commits."""
        tips = "".join(f"{oid}\n" for _, oid in refs).encode()
        options = ("--quiet", "--exclude-promisor-objects", "--stdin")
        if not refs or not self._repo.git.read("rev-list", *options, stdin=tips, most=ANSWER).code:
            return []
        middle = len(refs) // 2
        halves = (refs[:middle], refs[middle:]) if middle else ()
        return [it for half in halves for it in self._not_walked(half)] if halves else refs

    def _may_go(self, ref: str, oid: Oid | None) -> bool:
        """Lock the number of a spun task; whether nobody executes it, and its ref is still there."""
        spin = layout.parse_spin_ref(ref)
        if spin is None:
            return False
        if spin[1] not in self._spins:
            lock = self._locks.run(spin[1])
            if not lock.try_acquire():
                return False
            self._spins[spin[1]] = lock
        return not self._is_absent(ref) and self._held(ref) == oid

    def _held(self, name: str) -> Oid | None:
        """The id in a damaged ref; None when it holds none."""
        try:
            return self._repo.refs.get(name)
        except RepositoryError:
            return None

    def _tags_by_run(self, damaged: Mapping[str, Oid | None]) -> dict[str, dict[str, Oid]]:
        """The refs of tags that hold an id, and these, by the refs of their runs, here and in the trash."""
        rows = self._repo.refs.rows(layout.TAGS, layout.TRASH)
        held = {name: Oid.from_hex(oid) for name, oid in rows}
        held |= {name: oid for name, oid in damaged.items() if oid}
        found: dict[str, dict[str, Oid]] = {}
        for name, oid in held.items():
            if not _is_run(name) and (run := _run_of(name)):
                found.setdefault(run, {})[name] = oid
        return found

    def _uid_there(
        self,
        view: RemoteView,
        copies: Mapping[str, str],
        name: str,
        held: _Held,
        here: Mapping[Oid, RunTip],
        removed: Collection[str],
    ) -> Oid | None:
        """The uid of a damaged run where a copy tells that the remote has that run."""
        run = layout.parse_run_ref(name)
        for there, oid in copies.items():
            other = layout.parse_run_ref(there)
            if not run or not other or there not in view.refs:
                continue
            if (other[0], other[1].number) != (run[0], run[1].number):
                continue
            tip = Oid.from_hex(oid)
            uid = self._uid_at(tip)
            if uid is None or uid in here:
                continue
            ours = held.uid is None and run[1].isdecimal() and str(uid) not in removed
            if uid == held.uid or (ours and self._made(tip)):
                return uid
        return None

    @staticmethod
    def _was_there(view: RemoteView, copies: Mapping[str, str], oid: Oid | None) -> bool:
        """Whether a ref there had the very state that is lost here, when we last looked."""
        return any(held == str(oid) and name in view.refs for name, held in copies.items())

    def _uid_at(self, tip: Oid | None) -> Oid | None:
        """The uid of the run that a commit is of; None where it is gone, or none of a run."""
        if tip is None:
            return None
        with contextlib.suppress(GitflowrunError):
            message = self._repo.objects.commit(tip, LISTED_COMMIT).message
            state = parse_message(message.decode(errors="replace"))
            return (state.uid or tip) if state else None
        return None

    def _mirrors(self, away: Mapping[str, _Held]) -> dict[str, _Held]:
        """The git tags of tags that make way, whose commits are gone: git fetches nothing beside them either."""
        uids = {held.oid for name, held in away.items() if layout.parse_tag_ref(name)}
        rows = self._repo.refs.rows(layout.TAG_MIRROR) if uids else []
        shown = {name: Oid.from_hex(oid) for name, oid in rows}
        return {name: _Held(oid, None) for name, oid in shown.items() if oid in uids}

    # ---- 2 ----

    def _take_away(self, away: Mapping[str, _Held]) -> None:
        if not away:
            return
        refs, found = self._repo.refs, dict(away)
        with self._locks.tags():
            before = self._read()
            self._write(before | found)  # or they would be lost with us
            for name, held in away.items():
                if held.oid is None:
                    refs.drop_damaged(name)
                    # What git had packed is below the file that held nothing, maybe an older state.
                    found[name] = _Held(self._held(name), held.uid)
            self._write(before | found)
            refs.transaction(
                [RefUpdate(name, None, held.oid) for name, held in found.items() if held.oid]
            )
        refs.damaged -= away.keys()
        self._away = found

    def ids(self) -> set[RunId]:
        """The ids of damaged runs, also of those that have made way, in other fetches as well: they stay taken."""
        names = [*self._repo.refs.damaged, *self._read()]
        return {run[1] for name in names if (run := layout.parse_run_ref(name))}

    def is_away(self, word: str) -> bool:
        """Whether a word names a run that has made way: `Flow/id` or id."""
        names = [name for name in self._away if layout.is_run_ref(name)]
        return any(word in (it.removeprefix(layout.RUNS), it.rpartition("/")[2]) for it in names)

    def own_ids(self) -> dict[tuple[str, Oid], RunId]:
        """The ids of runs that have made way, by flow and uid, where these are known: all whose state has come."""
        found = {}
        for name, held in self._away.items():
            run, uid = layout.parse_run_ref(name), held.uid or self._uid_at(held.oid)
            if run and uid:
                found[run[0], uid] = run[1]
        return found

    # ---- 3 ----

    def transact(self, updates: Sequence[RefUpdate], runs: Iterable[tuple[RunTip, Oid]]) -> None:
        """Create or move refs of runs, and give those that have made way their tags."""
        uids = {held.oid for name, held in self._away.items() if layout.parse_tag_ref(name)}
        tagged = [(run, uid) for run, uid in runs if uid in uids]
        if not tagged:
            self._repo.refs.transaction(updates)
            return
        with self._locks.tags():  # nobody sees the run without them
            added = [it for run, uid in tagged for it in self._tag_updates(self._away, run, uid)]
            transact(self._repo.refs, [*updates, *added])

    def _tag_updates(self, away: Mapping[str, _Held], run: RunTip, uid: Oid) -> list[RefUpdate]:
        tags = [
            tag[1]
            for name, held in away.items()
            if held.oid == uid and (tag := layout.parse_tag_ref(name)) and tag[0] == run.flow
        ]
        return tag_updates(self._repo, RunIdentity(run.flow, run.id, uid), add=tags)

    def settle(self, here: Mapping[Oid, RunTip]) -> None:
        """Give runs that came their tags, and put back what did not come, also of a fetch that was killed."""
        if self._read():
            # A power cut in the middle may have left locks of these refs.
            with contextlib.suppress(GitflowrunError, OSError):
                sweep_stale_locks(self._repo)
            self._settle(here)
        while self._spins:
            self._spins.popitem()[1].release(remove=True)

    def _settle(self, here: Mapping[Oid, RunTip]) -> None:
        with self._locks.tags():
            left = self._read()
            for name, held in [*left.items()]:
                if not _is_run(name) and not layout.parse_spin_ref(name):
                    continue
                uid = held.uid or self._uid_at(held.oid)
                run = here.get(uid) if uid else None
                if run and run.ref == name:
                    self._came[name] = held, run.tip
                elif self._is_absent(name):
                    self._put_back(left, name)
                del left[name]
            for name, held in [*left.items()]:
                tag, run = layout.parse_tag_ref(name), here.get(held.oid) if held.oid else None
                if tag and run and held.oid:
                    transact(self._repo.refs, self._tag_updates({name: held}, run, held.oid))
                if run or tag is None:
                    del left[name]
            self._write(left)

    def _put_back(self, left: dict[str, _Held], run: str) -> None:
        """Put a run back as it was, with its tags."""
        own = [name for name in left if not _is_run(name) and _run_of(name) == run]
        uids = {left[name].oid for name in own}
        own += [it for it in left if it.startswith(layout.TAG_MIRROR) and left[it].oid in uids]
        refs = self._repo.refs
        for name in [*own, run]:
            refs.put_damaged(name, left[name].oid)
        oid = left[run].oid
        if oid and self._repo.objects.exists(oid):  # it came all the same
            refs.damaged.difference_update([*own, run])
        for name in own:
            del left[name]

    def _is_absent(self, ref: str) -> bool:
        with contextlib.suppress(RepositoryError):  # it is there, and damaged
            return self._repo.refs.get(ref) is None
        return False

    def _read(self) -> dict[str, _Held]:
        """What the refs held that have made way, and are not there again."""
        data = read_file(self._path, "refs of damaged runs", limit=MAX_SENDING) or b""
        found = {}
        for line in os.fsdecode(data).splitlines():
            oid, name, uid = [*line.split(" "), "", ""][:3]
            with contextlib.suppress(ValueError):
                held = Oid.from_hex(oid)
                found[name] = _Held(
                    None if held == NULL_OID else held, Oid.from_hex(uid) if uid else None
                )
        return found

    def _write(self, away: Mapping[str, _Held]) -> None:
        if away == self._read():
            return
        rows = [
            [str(held.oid or NULL_OID), name, *([str(held.uid)] if held.uid else [])]
            for name, held in away.items()
        ]
        try:
            if not rows:
                self._path.unlink(missing_ok=True)
                return
            content = "".join(f"{' '.join(row)}\n" for row in rows)
            replace_file(self._path, os.fsencode(content), self._repo.shared_mode)
            if self._repo.settings.durability is Durability.SAFE:
                sync_directory(self._path.parent)  # before these refs go
        except OSError as error:
            raise not_writable(self._path, f"cannot write {self._path}", error) from error

    # ---- what is said and known of them ----

    def set_aside(self) -> list[str]:
        """The runs whose refs are away, as a fetch was killed, or is at work."""
        return sorted(_place(name) for name in self._read() if _is_run(name))

    @property
    def _tracking(self) -> Tracking:
        assert self._copies is not None
        return self._copies

    def trashed(self) -> list[RemovedRun]:
        """The runs in the trash whose commits are gone; they stay away as the others there do."""
        names = [name for name in self._repo.refs.damaged if name.startswith(layout.TRASH)]
        runs = [name for name in names if _is_run(name)]
        tags = self._tags_by_run({name: self._held(name) for name in names}) if runs else {}
        found = []
        for name in runs:
            uid = next(iter(tags.get(name, {}).values()), "")
            place = layout.parse_trash_ref(name)[1].removeprefix(layout.RUNS)
            found.append(RemovedRun(str(uid), str(self._held(name) or ""), place))
        return found

    def told(self) -> list[str]:
        """What became of damaged runs, and what can be done about those that are still damaged."""
        told = []
        for name, (held, tip) in self._came.items():
            run, what = name.removeprefix(layout.RUNS), _told_held(held.oid)
            words = f"{run} was damaged here (its ref held {what}), and was fetched anew"
            if held.oid and not self._leads_to(tip, held.oid):
                again = f"git update-ref {shlex.quote(name)} {held.oid}"
                words += f" as the remote has it, at {tip}; where that is here, by a backup, `{again}` goes there"
            told.append(words)
        damaged = {it for it in self._repo.refs.damaged if it.startswith((*_OURS, layout.SPINS))}
        damaged -= self._came.keys()
        left = {name: self._held(name) for name in damaged}
        for name, oid in sorted(left.items()):
            # Its tags come back with a run, and are nobody's to be given up.
            if _is_run(name) or _run_of(name) not in left.keys() | self._rootless.keys():
                told.append(self._told_left(name, oid))
        told += [self._told_rootless(*it) for it in sorted(self._rootless.items())]
        return some(told, "runs are or were damaged here")

    def _leads_to(self, tip: Oid, state: Oid) -> bool:
        return tip == state or History(self._repo.git, [tip]).leads_to(tip, state)

    def _told_rootless(self, run: str, held: _Held) -> str:
        words = (
            f"{_place(run)} has lost its first commit here, {held.uid}, and can be read otherwise; a backup of .git "
            "may have it"
        )
        damaged = self._repo.refs.damaged
        tags = {it: _Held(held.uid, None) for it in damaged if it != run and _run_of(it) == run}
        if tags:
            up = " && ".join(
                giving_up(self._repo, it, is_id=True)
                for it in (*sorted(tags), *sorted(self._mirrors(tags)))
            )
            words += f"; git may fetch nothing while its tags lead there, which `{up}` gives up"
        return words

    def _told_left(self, name: str, oid: Oid | None) -> str:
        words = giving_up(self._repo, name, is_id=oid is not None)
        mends = "" if oid else "`git runs doctor --fix` mends it where it can; "
        return (
            f"{_place(name)} is damaged here (its ref holds {_told_held(oid)}), which may keep git from fetching; "
            f"{mends}a backup of .git may have what is lost; "
            f"where nothing has it any more, `{words}` gives it up for good"
        )


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
    """Whether a ref is that of a run, here or in the trash."""
    name = layout.parse_trash_ref(ref)[1] if ref.startswith(layout.TRASH) else ref
    return layout.parse_run_ref(name) is not None


def _run_of(ref: str) -> str:
    """The ref of the run that a tag's ref speaks of, in the same place; a run's own ref; or nothing."""
    if _is_run(ref):
        return ref
    removed, name = layout.parse_trash_ref(ref) if ref.startswith(layout.TRASH) else ("", ref)
    tag = layout.parse_tag_ref(name)
    run = layout.run_ref(tag[0], tag[2]) if tag and tag[0].isidentifier() else ""
    return layout.trash_ref(removed, run) if run and removed else run
