"""Fetching runs: first into tracking copies, then create-only into refs of our own.

1. List the remote's refs below refs/runs, and see which runs of ours are damaged (`damaged`).
2. Fetch what is new into refs/runs-remotes/<remote>/, in batches; what has come before, and is none of our runs yet, is
   fetched again unless it is whole. Where git refuses a batch (a malformed
   object, a ref that was deleted meanwhile), halve it until the culprits are alone.
3. Look at every run that is not here in this state: it must be one (INFO, flow, number, one first commit from
   which its state descends). Nothing of it is executed or believed.
4. Under the lock of run ids, look at our runs again, choose a free id for each new one (its own, unless that is taken
   or so high that nobody here counts up to it, see `runs.ids`), and create all refs in one transaction; one that is
   here is moved forward, unless it was made here or has ended: that stays as it is, and what the remote has is told,
   but for states that were made here as well and are here no more.
   Where a transaction is refused, halve it as in 2.
   What can't be had, because the remote has no such run or it is damaged there, is left out, and told: it makes no
   fetch fail, for whoever may push there could have each of everybody's fail for ever. git has seen all that came to
   be whole, so what lacks an object now has lost it here: it is asked for once more, and then refused.
   One that was removed here stays away (`porcelain.deletion.trash`), unless it is asked for by name.
5. Merge tags. Note the runs that are here as the remote has them, if the user trusts what comes from there; then
   drop the tracking copies of runs that it no longer has.
"""

from __future__ import annotations

import shlex
from functools import cached_property
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun import msgpack
from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    NewerRecord,
    NotFound,
    RepositoryError,
)
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import named
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import Remote, default_remote
from gitflowrun.limits import (
    ANSWER,
    LISTED_COMMIT,
    MAX_NAMED,
    MAX_NOTICES,
    MAX_STATES,
    RECORD_SIZE,
)
from gitflowrun.names import RunId
from gitflowrun.porcelain.deletion.trash import RemovedRun, RemovedRuns, Trash
from gitflowrun.porcelain.transfer.damaged import DamagedRuns
from gitflowrun.porcelain.transfer.sync import (
    Outcome,
    RemoteView,
    RunTip,
    SyncedRun,
    SyncReport,
    Transfer,
    free_id,
    names_of,
    some,
    tags_of,
    told_lost_tag,
)
from gitflowrun.porcelain.transfer.tags_in_trash import tags_in_trash
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import RunState, Status, parse_message
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.lookup.cache_index import CacheIndex
from gitflowrun.runs.maintenance import tidy
from gitflowrun.runs.records import INFO, RunIdentity, RunInfo
from gitflowrun.runs.tags import Tags, tag_updates, transact
from gitflowrun.runs.vouched import vouches_for_any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gitflowrun.git.odb import History
    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain.transfer.sync import Loss, TagKey


_FAR = "far above the numbers here"
_GONE = "it came whole, twice, and objects of it are gone from this repository"


def fetch(
    repo: Repository,
    remote: str | None = None,
    runs: Collection[str] = (),
    *,
    on_wait: Callable[[str], object] | None = None,
) -> SyncReport:
    """Get the runs and tags of a remote.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would fetch from when None.
        runs: `Flow/id` or id, there, of runs that are to come also if they were removed here.
        on_wait: Is told of another push or fetch that is waited for, if that takes long.

    Raises:
        NotFound: the remote has no such run.
        RepositoryError: the remote can't be reached. What was fetched before stays.
    """
    place = Remote(repo, remote or default_remote(repo))
    report = _Fetch(repo, place, runs, on_wait).receive()
    tidy(repo)  # each batch came as a pack
    return report


class _Move(NamedTuple):
    """A ref of ours to be created or moved, so that it is as a run of the remote."""

    run: RunTip
    here: RunTip
    uid: Oid
    change: RefUpdate
    outcome: Outcome


class _Fetch(Transfer):
    def __init__(
        self,
        repo: Repository,
        remote: Remote,
        asked_for: Collection[str] = (),
        on_wait: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(repo, remote, on_wait)
        self._asked_for = asked_for
        self._wanted: set[str] = set()
        self._damaged = DamagedRuns(repo, self.tracking, self._made)
        self._trashed: set[Oid] = set()
        self._removed: list[RemovedRun] = []
        self._listed = {it.uid for it in self._see_removed()}
        self._locks = Locks(repo.state_dir)
        self._rows: list[tuple[str, ...]] = []
        self._tips: dict[str, str] = {}
        self._here: dict[Oid, RunTip] = {}
        self._ids: set[RunId] = set()
        self._infos: dict[str, Oid] = {}
        self._reserved: set[str] = set()
        self._highest = 0
        self._ended: set[Oid] = set()
        self._crowds: list[str] = []
        self._waits: list[str] = []
        self._tags_left: list[TagKey] = []
        self._look()

    def _made(self, commit: Oid) -> bool:
        return self.trust.made(commit)

    def _see_removed(self) -> list[RemovedRun]:
        """See what was removed here; those that were for good."""
        listed, trashed = RemovedRuns(self.repo).read(), Trash(self.repo).runs()
        self._trashed = {it.uid for it in trashed}
        self._removed = [
            *listed,
            *(RemovedRun(str(it.uid), str(it.tip), it.pathspec) for it in trashed),
            *self._damaged.trashed(),
        ]
        for name in ("_removed_uids", "_gone_ids"):
            self.__dict__.pop(name, None)
        return listed

    def _look(self) -> None:
        """See our runs, by ref and by uid, and the ids that are taken."""
        if self._rows and self._rows == self.repo.refs.rows(layout.RUNS):
            return
        rows = self.repo.refs.rows(layout.RUNS, fields=("refname", "objectname", "contents"))
        self._rows = [row[:2] for row in rows]
        self._tips.clear()
        self._here.clear()
        for ref, oid, message in rows:
            name = layout.parse_run_ref(ref)
            state = parse_message(message) if name else None
            if name and state:
                tip = RunTip(*name, Oid.from_hex(oid))
                self._tips[ref] = oid
                self._note_end(tip.tip, state)
                self._here[state.uid or tip.tip] = tip
        self._ids = {run.id for run in self._here.values()}

    def _note_end(self, tip: Oid, state: RunState) -> None:
        if state.status is not Status.RUNNING:
            self._ended.add(tip)

    def receive(self) -> SyncReport:
        """Fetch all runs and tags."""
        view = RemoteView.of(self.remote)  # 1
        trashed = self._damaged.look(view, self._here, self._removed_uids)
        away = self._stay_away(view)
        self._forget_tags_that_are_lost(view)
        self.up_to_date = {ref for ref, oid in self._tips.items() if view.refs.get(ref) == oid}
        crowded = self._crowded(view)
        others = view.runs(self.up_to_date | crowded | away)
        news, wrong = self._recognise(others)
        self.fetch_copies(trashed)
        copies = self.tracking.seen
        self._drop_broken([run for run in news if copies.get(run.ref) == str(run.tip)])
        copied = {name for name, oid in copies.items() if view.refs.get(name) == oid}
        lost = self.fetch_copies(  # 2
            [run for run in view.runs(copied | crowded | away) if run not in wrong], self._wanted
        )
        self._damaged.mend()
        reached("fetch.received")
        self._give_up(lost)
        self._bring([run for run in news if run not in lost])  # 3, 4
        self._note_back()
        stays = self._free_gone()
        reached("fetch.moved")
        with self.merging(view) as now:  # 5
            added, removed = self._fetch_tags(now)
        reached("fetch.tagged")
        self._note_trusted(view)
        came = [it for it in self.done if it.outcome in {Outcome.NEW, Outcome.UPDATED}]
        CacheIndex(self.repo.state_dir).note_fetched(
            layout.run_ref(it.flow, it.target or it.source) for it in came
        )
        Tags(self.repo).mirror()  # which a plain `git fetch` with fetch.pruneTags has deleted
        left = view.refs.keys() | now.refs.keys()
        gone = [name for name in copies if name not in left and layout.parse_run_ref(name)]
        gone = [name for name in gone if self.tracking.ref(name) not in stays]
        self.tracking.note(dict.fromkeys(gone))
        runs = {run.ref for run in others} | self.up_to_date | crowded | away
        foreign = [name for name in view.refs if not (name in runs or layout.is_reserved(name))]
        notices = [
            *self._damaged.told(),
            *self._told_left_out(),
            *some(
                [f"{name} is not the ref of a run" for name in nsmallest(MAX_NOTICES, foreign)],
                "refs are not of runs",
                len(foreign),
            ),
            *some(self._crowds, "commits have as many"),
            *some([_removed(run, tag) for run, tag in removed], "tags were removed there"),
            *some([*map(self._told_tag, self._tags_left)], "tags were not taken over"),
            *self._told_kept(),
            *self._waits,
        ]
        return self.report(added, len(removed), notices, failed=len(self._tags_left))

    def _forget_tags_that_are_lost(self, view: RemoteView) -> None:
        """Take tags from the common base whose runs one side has lost; a damaged one may come back with its own."""
        self.forget_lost_tags(view)
        kept = self._here.keys() | self._trashed
        self.forget_tags(
            lambda key, run: (
                key.uid not in kept and not self._damaged.may_be(key.flow, run, key.uid)
            )
        )

    def _recognise(self, runs: Iterable[RunTip]) -> tuple[list[RunTip], set[RunTip]]:
        """Those of some runs there whose states are not here, and those under names of others, which are left out."""
        known = {(run.flow, run.tip): (uid, run) for uid, run in self._here.items()}
        news, wrong = [], set()
        for run in runs:
            found = known.get((run.flow, run.tip))
            if found is None:
                news.append(run)
            elif run.id.number != found[1].id.number:
                wrong.add(run)
                self._leave_out(run, f"{run.ref} holds run {run.flow}/{found[1].id}")
            elif not str(found[0]).startswith(run.id.partition("-")[2]):
                wrong.add(run)
                self._leave_out(run, _told_uid(run, found[0]))
            else:
                self._note(run, found[0], Outcome.CURRENT)
        return news, wrong

    def _crowded(self, view: RemoteView) -> set[str]:
        """Refs that hold a commit under names which are not its run's, where one has more of them than runs have names.

        It takes nothing to point 100,000 refs to a commit. They are neither fetched nor looked at one by one.
        """
        crowds = view.crowds(self.up_to_date)
        samples = [run for names in crowds.values() if (run := view.first(names))]
        seen = self.tracking.seen
        lost = self.fetch_copies([run for run in samples if seen.get(run.ref) != str(run.tip)])
        history = self._history(samples)
        infos = named(self.repo.git, [_info_at(run.tip) for run in samples])
        left: set[str] = set()
        for run in samples:
            own = self._own_names(infos.get(_info_at(run.tip)), history.root(run.tip))
            others = set(crowds[str(run.tip)]) - own - self._wanted
            left |= others
            if run in lost and not self.is_theirs(lost[run]):  # whose they are nobody knows
                if run.ref in others:
                    self._refuse(run, lost[run].reason)
                continue
            self._crowds.append(
                f"{len(others):,} refs hold {run.tip.short}, which is not their run"
            )
        return left

    def _stay_away(self, view: RemoteView) -> set[str]:
        """The refs there of runs that were removed here, but for those that are asked for: they are not fetched.

        Raises:
            NotFound: there is no run that is asked for.
        """
        self._wanted = {name for word in self._asked_for for name in self._named(view, word)}
        if not self._removed:
            return set()
        here = {str(uid) for uid in self._here}
        gone = [it for it in self._removed if it.uid not in here]
        # By what is there, and not by the name: somebody else's run may have it now.
        commits = {it.commit: it.uid for it in gone}
        away = {
            name
            for name, oid in view.refs.items()
            if oid in commits and layout.is_run_ref(name) and name not in self._wanted
        }
        for run in view.runs(view.refs.keys() - away):
            uid = commits.get(str(run.tip))
            self._stays(run, Oid.from_hex(uid) if uid else None)
        return away

    def _named(self, view: RemoteView, word: str) -> list[str]:
        """The refs of the runs there that a word names."""
        names = [f"{layout.RUNS}{word}"] if "/" in word else []
        names = names or [name for name in view.refs if name.rpartition("/")[2] == word]
        found = [name for name in names if name in view.refs and layout.is_run_ref(name)]
        if not found and not self._damaged.is_one(word):  # which may have another name there
            hint = f"`git ls-remote {shlex.quote(self.remote.name)} 'refs/runs/*'` lists its runs"
            raise NotFound(f"{self.remote.title} has no run {word!r}", hint=hint)
        return found

    def _stays(self, run: RunTip, uid: Oid | None) -> None:
        words = f"git runs fetch {shlex.quote(self.remote.name)} {run.flow}/{run.id}"
        why = f"`{words}` brings it back"
        self.done.append(SyncedRun(run.flow, run.id, None, uid, Outcome.AWAY, why))

    def _note_back(self) -> None:
        """Take runs off the list of removed ones that are here: by this fetch, one that was killed, or the trash."""
        if self._listed:
            RemovedRuns(self.repo).drop(uid for uid in self._here if str(uid) in self._listed)

    @cached_property
    def _removed_uids(self) -> set[str]:
        return {it.uid for it in self._removed}

    @cached_property
    def _gone_ids(self) -> dict[RunId, str]:
        """The ids that removed runs had here, and their uids: no other run gets them."""
        places = ((it.place.split("/"), it.uid) for it in self._removed)
        return {
            RunId(parts[1]): uid
            for parts, uid in places
            if len(parts) == 2 and RunId.matches(parts[1])  # noqa: PLR2004
        }

    def _free_gone(self) -> Collection[str]:
        """Keep nothing of runs that were removed here for good, went on elsewhere and have come to be told apart.

        Returns:
            The copies that stay, as nothing can be freed now: without them nobody would find what is to be.
        """
        if not self._listed:
            return ()
        from gitflowrun.porcelain.deletion.left_over import free_left_over

        found = free_left_over(self.repo)
        for name in [*self.tracking.seen]:
            if self.tracking.ref(name) in found.gone:
                del self.tracking.seen[name]
        what = "not all is freed that has come of runs which were removed here for good"
        if waits := found.freed.waits:
            self._waits.append(f"{what}: {waits}; `git runs gc` goes on")
        if kept := found.freed.kept:
            where = "in a pack with a .keep file or in another repository, or were just used"
            self._waits.append(f"{what}: {kept:,} of its objects lie {where}")
        return found.stays

    def _own_names(self, info: Oid | None, uid: Oid | None) -> set[str]:
        """The refs under which a run may be that has this INFO and uid; none where it is no run."""
        if info is None or uid is None:
            return set()
        try:
            known = self._info(info)
            return set(names_of(known.flow, known.id.number, uid)) if known.id else set()
        except GitflowrunError:
            return set()

    def _info(self, blob: Oid) -> RunInfo:
        return INFO.load(msgpack.unpack(self.repo.objects.blob(blob, RECORD_SIZE)))

    def _told_left_out(self) -> list[str]:
        """What the remote has under the names of runs and can't be had, in one line."""
        left = [run for run in self.done if run.outcome is Outcome.LEFT_OUT]
        left.sort(key=lambda run: (*run.source.sort_key, run.flow))
        if not left:
            return []
        shown = ", ".join(f"{run.flow}/{run.source} ({run.reason})" for run in left[:MAX_NAMED])
        more = f" and {len(left) - MAX_NAMED:,} more" if len(left) > MAX_NAMED else ""
        return [f"{self.remote.title} has no run that can be had as {shown}{more}"]

    def _told_kept(self) -> list[str]:
        """What can be done about runs that the remote has in another state than ours, which stays."""
        kept = [run for run in self.done if run.outcome is Outcome.KEPT and run.uid in self._here]
        if not kept:
            return []
        ref = shlex.quote(layout.run_ref(kept[0].flow, kept[0].source))
        ours = shlex.quote(layout.run_ref(kept[0].flow, kept[0].target or kept[0].source))
        copy = shlex.quote(self.tracking.ref(layout.run_ref(kept[0].flow, kept[0].source)))
        remote = shlex.quote(self.remote.name)
        words = (
            f"`git log {copy}` shows what; `git push {remote} +{ours}:{ref}` puts yours there again"
        )
        return [
            f"the remote has runs in another state that had ended, are yours or went on otherwise: {words}"
        ]

    def _told_tag(self, key: TagKey) -> str:
        return told_lost_tag(key, self._here[key.uid].id, "taken over")

    def _note_trusted(self, view: RemoteView) -> None:
        """Let the runs load that are here as a remote has them, if the user trusts what comes from there."""
        if not vouches_for_any(self.repo):
            return
        there = set(view.refs.values())
        states = {run.tip: uid for uid, run in self._here.items() if str(run.tip) in there}
        if self.trust.note_fetched(self.remote.place, states):
            self.trusted = len(states)

    def _fetch_tags(self, view: RemoteView) -> tuple[int, list[tuple[RunIdentity, str]]]:
        """Bring the remote's changes to the tags of our runs here; how many were added, and which removed."""
        damaged = self._damaged.uids() - self._here.keys()  # nobody has removed their tags
        base = tags_of(self.tracking.seen.items())
        base = {key: run for key, run in base.items() if key.uid not in damaged}
        runs = {(run.flow, uid) for uid, run in self._here.items()}
        theirs = tags_of(view.refs.items())
        have = {key: run for key, run in theirs.items() if (key.flow, key.uid) in runs}
        there = {run.uid for run in self.done}
        there |= {uid for uid, run in self._here.items() if base and run.ref in self.up_to_date}
        with self._locks.tags():
            ours = self.our_tags()
            if have.keys() != base.keys():
                self.leave_meanwhile(base, have)
            self._tags_left = self.tags_of_lost(have.keys() - base.keys())
            for key in self._tags_left:
                del have[key]
            added = have.keys() - ours.keys() - base.keys()
            tips = self.repo.refs.many(self._here[key.uid].ref for key in added)
            for key in sorted(added):
                if tips[self._here[key.uid].ref] is None:  # its run has just been removed
                    added.remove(key)
                    del have[key]
            removed = [
                (RunIdentity(key.flow, ours[key], key.uid), key.tag)
                for key in sorted((base.keys() - have.keys()) & ours.keys())
                if key.uid in there
            ]
            updates: list[RefUpdate] = []
            for key in sorted(added):
                run = RunIdentity(key.flow, self._here[key.uid].id, key.uid)
                updates += tag_updates(self.repo, run, add=[key.tag])
            for run, tag in removed:
                updates += tag_updates(self.repo, run, remove=[tag])
            transact(self.repo.refs, updates)
        notes: dict[str, Oid | None] = {key.ref(have[key]): key.uid for key in have}
        left = base.keys() - have.keys()
        left -= {key for key in left & theirs.keys() if key.uid not in self._here}
        left -= tags_in_trash(self.repo, left, lambda: self._here)
        self.tracking.note(notes | {key.ref(base[key]): None for key in left})
        return len(added), removed

    def _history(self, runs: Sequence[RunTip]) -> History:
        """The history of `runs`, and of ours that may be one of them."""
        numbers = {run.id.number for run in runs}
        ours = [run.tip for run in self._here.values() if run.id.number in numbers]
        return self.history_of({*ours, *(run.tip for run in runs)})

    def _bring(self, runs: Sequence[RunTip]) -> None:
        """Take runs over that have come, and say of the others why not."""
        wrong = self._take(runs)
        if wrong:  # what could not be read for once is no fault of the remote's
            wrong = self._take([*wrong])
        if gone := self._gone(wrong):
            self.tracking.note(dict.fromkeys(run.ref for run in gone))
            lost = self.fetch_copies(gone, {run.ref for run in gone})
            self._give_up(lost)
            again = self._take([run for run in gone if run not in lost])
            gone_again = self._gone(again)
            self.tracking.note(dict.fromkeys(run.ref for run in gone_again))
            for run in gone_again:
                self._refuse(run, f"{_GONE}: {again.pop(run)}")
            wrong = {run: why for run, why in wrong.items() if run not in gone} | again
        for run, why in wrong.items():
            self._leave_out(run, why)

    def _drop_broken(self, runs: Sequence[RunTip]) -> None:
        """Drop the copies of runs that are not whole here any more: what a copy has is not fetched again."""
        self.tracking.note(dict.fromkeys(run.ref for run in self._gone(runs)))

    def _gone(self, runs: Iterable[RunTip]) -> list[RunTip]:
        """Those of some runs that have come whole and are not here any more."""
        some = [*runs]
        if not some or self._are_whole(some):
            return []
        middle = len(some) // 2
        return [*self._gone(some[:middle]), *self._gone(some[middle:])] if middle else some

    def _are_whole(self, runs: Collection[RunTip]) -> bool:
        tips = "".join(f"{run.tip}\n" for run in runs).encode()
        options = ("--objects", "--quiet", "--exclude-promisor-objects", "--stdin")
        return not self.repo.git.read("rev-list", *options, stdin=tips, most=ANSWER).code

    def _take(self, runs: Sequence[RunTip]) -> dict[RunTip, str]:
        """Create or move our refs of runs; those that none can be made of, and why."""
        history = self._history(runs)
        commits = {root for run in runs if (root := history.root(run.tip))}
        commits.update(run.tip for run in runs)
        self._infos = named(self.repo.git, map(_info_at, commits))
        wrong: dict[RunTip, str] = {}
        examined = []
        for run in runs:
            try:
                examined.append((run, self._examine(run, history)))
            except GitflowrunError as error:
                if isinstance(error, NewerRecord):
                    self._refuse(run, f"{error.message}: {error.hint}")
                elif isinstance(error, RepositoryError) and not isinstance(error, MissingObject):
                    self._refuse(run, error.message)  # it may well be a run
                else:
                    wrong[run] = error.message
        with self._locks.ids():
            self._look()  # another fetch may have created some of them
            self._see_removed()  # as may have a `git runs rm`
            self._reserved = self._locks.runs()
            self._ids |= self._damaged.ids()
            self._highest = RunIds(self.repo).highest_fetched(self._ids)
            reached("fetch.planned")
            while examined:
                moves: dict[Oid, _Move] = {}
                later = []
                for run, uid in examined:
                    if uid in moves:  # the remote has two states of one run, under two names
                        later.append((run, uid))
                    elif move := self._plan(run, uid, history):
                        moves[uid] = move
                new = {uid for uid, move in moves.items() if move.outcome is Outcome.NEW}
                self.forget_tags_of(new)
                self._apply(list(moves.values()))
                examined = later
        return wrong

    def _examine(self, run: RunTip, history: History) -> Oid:
        """The run's uid. Raises CorruptRecord: what the remote has is no run, or not the one it says."""
        uid = history.root(run.tip)
        if uid is None:
            raise CorruptRecord(
                f"{run.ref} is no commit, or has more than {MAX_STATES:,} before it"
            )
        if str(uid) in self.shallow:
            raise RepositoryError(self.told_shallow(run))
        if history.has_merge(run.tip):
            raise CorruptRecord(f"{run.ref} has a merge among its commits, as no run has")
        state = parse_message(
            self.repo.objects.commit(run.tip, LISTED_COMMIT).message.decode(errors="replace")
        )
        blob = self._infos.get(_info_at(run.tip))
        if state is None or blob is None:
            raise CorruptRecord(f"{run.ref} is no run's commit")
        info = self._info(blob)
        if info.id is None or (info.flow, info.id.number) != (run.flow, run.id.number):
            raise CorruptRecord(f"{run.ref} holds run {info.flow}/{info.id}")
        if not str(uid).startswith(run.id.partition("-")[2]) or (state.uid or run.tip) != uid:
            raise CorruptRecord(_told_uid(run, uid))
        if self._infos.get(_info_at(uid)) != blob:
            raise CorruptRecord(f"{run.ref}: its INFO is not that of its first commit")
        self._note_end(run.tip, state)
        return uid

    def _plan(self, run: RunTip, uid: Oid, history: History) -> _Move | None:
        """What is to be done to take a run over; None where that is nothing, which is noted."""
        here = self._here.get(uid)
        if here is None:
            if str(uid) in self._removed_uids and run.ref not in self._wanted:
                self._stays(run, uid)  # in a state that we had not seen
                return None
            if own := self._damaged.id_of(run, uid):
                reason = f"the remote has it as {run.tip.short}; it is damaged here"
                self.done.append(SyncedRun(run.flow, run.id, own, uid, Outcome.KEPT, reason))
                return None
            # Just given to a process here, or once, to one that died or a run that was removed; or too high.
            is_anothers = self._gone_ids.get(run.id, str(uid)) != str(uid)
            if run.id in self._reserved or is_anothers or run.id.number > self._highest:
                self._ids.add(run.id)
            new = RunTip(run.flow, free_id(run.id, uid, self._ids), run.tip)
            self._ids.add(new.id)
            return _Move(run, new, uid, RefUpdate(new.ref, new.tip, None), Outcome.NEW)
        if history.leads_to(here.tip, run.tip):
            self._note(run, uid, Outcome.CURRENT if here.tip == run.tip else Outcome.AHEAD)
        elif why := self._why_kept(run, here, uid, history):
            self._note(run, uid, Outcome.KEPT, f"the remote has it as {run.tip.short}; {why}")
        else:
            new = RunTip(here.flow, here.id, run.tip)
            change = RefUpdate(here.ref, run.tip, here.tip)
            return _Move(run, new, uid, change, Outcome.UPDATED)
        return None

    def _why_kept(self, run: RunTip, here: RunTip, uid: Oid, history: History) -> str:
        """Why no remote moves a run of ours; empty if one may, such as to a state that we made and have lost."""
        if history.leads_to(run.tip, here.tip) and self.trust.made(run.tip):
            return ""
        if self.trust.made(here.tip) or self.trust.made(uid):
            return f"made here, so it stays at {here.tip.short}"
        if here.tip in self._ended:
            return f"it has ended here, so it stays at {here.tip.short}"
        if not history.leads_to(run.tip, here.tip):
            return f"it went on otherwise here, to {here.tip.short}"
        return ""

    def _apply(self, moves: Sequence[_Move]) -> None:
        left: list[_Move] = []
        try:
            changes = [move.change for move in moves]
            self.repo.refs.transaction(changes)
        except GitflowrunError as error:
            # It may have failed after its last step, or in the middle of it: the refs tell.
            there = self.repo.refs.many(move.change.name for move in moves)
            left = [move for move in moves if there[move.change.name] != move.change.new]
            if left and len(moves) == 1:
                self._refuse(moves[0].run, error.message)
                return
        for move in moves:
            if move not in left:
                self._here[move.uid] = move.here
                far = move.here.id != move.run.id and move.run.id.number > self._highest
                self._note(move.run, move.uid, move.outcome, _FAR if far else "")
        middle = len(left) // 2 if len(left) == len(moves) else 0
        for part in filter(None, (left[:middle], left[middle:])):
            self._apply(part)

    def _note(self, run: RunTip, uid: Oid, outcome: Outcome, reason: str = "") -> None:
        self.done.append(SyncedRun(run.flow, run.id, self._here[uid].id, uid, outcome, reason))

    def _leave_out(self, run: RunTip, reason: str) -> None:
        """Note a run that can't be had. Who asks for it by name does not get what was asked for."""
        outcome = Outcome.REFUSED if run.ref in self._wanted else Outcome.LEFT_OUT
        self.done.append(SyncedRun(run.flow, run.id, None, None, outcome, reason))

    def _give_up(self, lost: Mapping[RunTip, Loss]) -> None:
        for run, loss in lost.items():
            (self._leave_out if loss.for_good else self._refuse)(run, loss.reason)

    def _refuse(self, run: RunTip, reason: str) -> None:
        self.done.append(SyncedRun(run.flow, run.id, None, None, Outcome.REFUSED, reason))


def _told_uid(run: RunTip, uid: Oid) -> str:
    return f"{run.ref} holds a run with another uid, {uid.short}"


def _info_at(commit: Oid) -> str:
    return f"{commit}:{layout.INFO.decode()}"


def _removed(run: RunIdentity, tag: str) -> str:
    end = "-- " if tag.startswith("-") else ""
    words = f"git runs tag {run.pathspec} {end}{shlex.quote(tag)}"
    return f"tag {tag} of {run.pathspec} was removed there; `{words}` brings it back"
