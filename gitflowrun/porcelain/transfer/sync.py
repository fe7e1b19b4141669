"""What pushes and fetches of runs share: the names of runs, a remote's refs, our copies of them, the report.

Numbers are given out in each clone, so two clones can both have a run 12. Nothing is renumbered and nothing
overwritten; a run is recognised by its uid, and the remote decides who was first:

- A run goes to the remote under its own id. If another run has that id there, of whatever flow, or something else
  stands there, beside it or below it, it is published as `<number>-<first 7 digits of its uid>`, or with as many
  digits as it takes; in its own repository it stays 12.
- A fetched run keeps the id it has on the remote, unless that is taken here: then it arrives as
  `<number>-<uid7>`.
- A run that is already here, or there, is recognised by its uid under any of these names, and is only ever
  moved forward to a later state of itself. A fetch moves no run that was made here, nor one that has ended: it is
  as it was when it was made, whatever somebody added to it elsewhere. Only a state that was made here as well, and
  is here no more (a backup was put back), is taken.

So all names of a run, anywhere, begin with the number it got first.

Tags are merged as sets, three-way, with the tracking copies as the common base. A tag is (flow, tag, uid of the
run), whatever the run's id on either side. Against the base, what one side added is added to the other, and what
one side removed is removed from the other; so nobody's tags come back from the dead, and two clones that add the
same tag agree. Pushing changes only the remote, fetching only this repository. The base holds a tag from when both
sides have it until both sides have dropped it; a tag that we could not take over never enters it, or its absence
here would look like a removal.

Only who has a run can have removed its tag. A side that lost the run, or a remote that lost any run we saw there,
because it was made anew or restored from a backup, has removed nothing: its tags leave the base, and are sent or
fetched again. Where that is not sure, a tag that was removed comes back rather than one that was not is lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.errors import (
    GitflowrunError,
    MissingObject,
    RefConflict,
    RepositoryError,
    UsageError,
)
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.git.permissions import read_file, replace_file
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import (
    ANSWER,
    LOST_A_FETCH,
    LOST_AGAIN,
    LOST_KEPT,
    MAX_NAMESAKES,
    MAX_NOTICES,
    MAX_SENDING,
    MAX_STATES,
    NOTE_ATTEMPTS,
    REFS_A_FETCH,
    UID_DIGITS,
)
from gitflowrun.names import RefName, RunId, check_flow_name
from gitflowrun.porcelain.transfer.sending import Sending
from gitflowrun.runs import layout
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.git.ref_update import Refs
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.transport.remote import Remote
    from gitflowrun.runs.trust import Trust


_BRANCHES = "refs/heads/"
_SLASHES = layout.RUNS.count("/") + 1  # of the name of a run's ref: what is below one has more
_LOST_FILE = "lost"
_MARK = "!"  # of a run there that is at fault itself
_NOT_TRIED = "not tried, as so many others could not be had; fetch again"
_LOST_BEFORE = "it could not be had before, and was not asked for again"
_HERE = (
    "bad object refs/", "did not send all necessary objects", "died of signal", "ut of memory",
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE)),
    *map(os.strerror, (errno.ENOMEM, errno.EAGAIN)),
)  # fmt: skip
"""What git says where a fetch may have failed because of this repository or machine, or for now because of that one."""
_THERE = ("fsck error",)
"""What git says where it has received what nobody takes: the next fetch will fare no better."""
_ANSWERS = (
    *_THERE, "over limit", "not our ref", "on the remote side", "pack-objects died", "did not receive expected object",
)  # fmt: skip
"""What it says where the remote can be reached. A server that has no memory for once says that it may be damaged, one
of two that it has no such commit; what was not received may be what it takes for here; limits are ours."""


def _is_among(signs: Sequence[str], message: str) -> bool:
    """Whether a fetch has failed with one of some signs, and not because of us."""
    return any(it in message for it in signs) and not any(it in message for it in _HERE)


class Outcome(Enum):
    """What became of a run on the other side."""

    NEW = "new"
    UPDATED = "updated"
    CURRENT = "up to date"
    AHEAD = "ahead"
    """The other side has a later state of it already."""
    KEPT = "kept"
    """The other side has it in another state, and ours stays: it was made here, has ended, or went on otherwise."""
    AWAY = "removed here"
    """It was removed here, and stays away until it is asked for by name."""
    LEFT_OUT = "left out"
    """What the remote has can't be had, now or later: it is no run, another than its name says, or damaged."""
    REFUSED = "refused"


@frozen
class SyncedRun:
    """One run of a push or fetch.

    Attributes:
        flow: Its flow.
        source: Its id where it came from.
        target: Its id where it went to; None when it did not get there.
        uid: The oid of its first commit; None when what the remote has is no run.
        outcome: What became of it.
        reason: Why it was refused, left out or kept, or has another id though no run has its own.
    """

    flow: str
    source: RunId
    target: RunId | None
    uid: Oid | None
    outcome: Outcome
    reason: str = ""

    @property
    def renamed(self) -> bool:
        """Whether its id was taken on the other side by another run."""
        return self.target is not None and self.target != self.source


@frozen
class SyncReport:
    """What a push or fetch did.

    Attributes:
        remote: The other side, as it was named.
        runs: Every run that was looked at, in the order of their numbers.
        up_to_date: `Flow/id` of the runs that both sides have in one state under one name. Nothing more was asked
            about them. They may be very many, and are in no order.
        trusted: How many runs of the receiving side are trusted because the user trusts what comes from there.
        tags_added: How many tags the receiving side got.
        tags_removed: How many it lost, because the other side had removed them.
        failed: How much else was to be sent or taken over and was not: changes to tags, damaged runs. The notices say
            why.
        notices: What was passed over, for people.
        words: What the remote itself said, as its hooks do.
    """

    remote: str
    runs: tuple[SyncedRun, ...]
    tags_added: int
    tags_removed: int
    failed: int
    notices: tuple[str, ...]
    words: tuple[str, ...]
    up_to_date: frozenset[str]
    trusted: int

    def with_outcome(self, *outcomes: Outcome) -> tuple[SyncedRun, ...]:
        """The runs of which one of `outcomes` came."""
        return tuple(run for run in self.runs if run.outcome in outcomes)


@frozen
class RunTip:
    """The ref of a run, here or on a remote, and the commit it points to."""

    flow: str
    id: RunId
    tip: Oid

    @property
    def ref(self) -> str:
        """The ref's name."""
        return layout.run_ref(self.flow, self.id)


class RemoteView:
    """What a remote has below refs/runs, as it was at one time. Names are parsed when they are asked for.

    Attributes:
        refs: All its refs below refs/runs, as it says them: name to id.
        branches: What its branches hold, where that was asked for.
    """

    def __init__(self, refs: Mapping[str, str], branches: Iterable[str] = ()) -> None:
        self.refs = refs
        self.branches = frozenset(branches)
        self._given: set[str] = set()
        self._tips: dict[str, RunTip | None] = {}

    @classmethod
    def of(cls, remote: Remote) -> RemoteView:
        """Look at a remote. Raises RepositoryError: it can't be reached."""
        return cls(remote.refs(f"{layout.RUNS}*"))

    @classmethod
    def with_branches(cls, remote: Remote) -> RemoteView:
        """Look at a remote's runs and branches. Raises RepositoryError: it can't be reached."""
        found = remote.refs(f"{layout.RUNS}*", f"{_BRANCHES}*")
        heads = {name: oid for name, oid in found.items() if name.startswith(_BRANCHES)}
        return cls({name: found[name] for name in found.keys() - heads.keys()}, heads.values())

    def runs(self, known: Collection[str]) -> list[RunTip]:
        """Its runs but for those whose refs are `known`, in the order of their numbers."""
        found = [tip for name in self.refs if name not in known and (tip := self._tip(name))]
        return sorted(found, key=lambda run: (*run.id.sort_key, run.flow))

    def first(self, names: Iterable[str]) -> RunTip | None:
        """The first of some refs that may be a run's."""
        return next(filter(None, map(self._tip, names)), None)

    def crowds(self, known: Collection[str]) -> dict[str, list[str]]:
        """Commits that more refs of runs hold than a run has names, and these refs; `known` ones are not counted."""
        found: dict[str, list[str]] = {}
        for name, oid in self.refs.items():
            if name not in known and layout.is_run_ref(name):
                found.setdefault(oid, []).append(name)
        return {oid: names for oid, names in found.items() if len(names) > MAX_NAMESAKES}

    def namesakes(self, run: RunTip, uid: Oid) -> list[RunTip]:
        """The runs of the same flow and number, named as one with this uid may be: only these can be it."""
        number = run.id.number
        names = self._by_number.get(str(number), ())
        # So many are somebody's: parsing them takes longer than looking for the few.
        if len(names) > MAX_NAMESAKES:
            few = names_of(run.flow, number, uid)
            names = [name for name in few if name in self.refs]
        tips = [tip for name in names if (tip := self._tip(name)) and tip.flow == run.flow]
        return [tip for tip in tips if str(uid).startswith(tip.id.partition("-")[2])]

    def give_id(self, run: RunTip, uid: Oid, avoided: Collection[str] = ()) -> RunId | None:
        """An id that is free there, for a run that is to go there; it is taken from now on.

        Args:
            run: The run.
            uid: Its uid.
            avoided: Refs that can't be made there, for whatever reason.

        Returns:
            The id; None where all are taken.
        """
        names = self._by_number.get(str(run.id.number), ())
        taken = {name.rpartition("/")[2] for name in names if layout.is_run_ref(name)} | self._given
        for found in free_ids(run.id, uid, taken):
            ref = layout.run_ref(run.flow, found)
            if ref not in avoided and self.in_the_way(ref) is None:
                self._given.add(found)
                return found
        return None

    def in_the_way(self, ref: str) -> str | None:
        """A ref there because of which `ref` can't be made: itself, one that it would lie below, or one below it."""
        place = ref
        while len(place) > len(layout.RUNS):
            if place in self.refs:
                return place
            place = place.rpartition("/")[0]
        return self._places_below.get(ref)

    @cached_property
    def _places_below(self) -> Mapping[str, str]:
        """Names that are directories there: each with a ref below it. For the names that ours have."""
        found: dict[str, str] = {}
        for name in self.refs:
            if name.count("/") > _SLASHES:
                place = name.rpartition("/")[0]
                while len(place) > len(layout.RUNS) and place not in found:
                    found[place] = name
                    place = place.rpartition("/")[0]
        return found

    @cached_property
    def _by_number(self) -> Mapping[str, Sequence[str]]:
        """The refs by what stands where the number of a run does; not as numbers, which very many need not become."""
        names: dict[str, list[str]] = {}
        for name in self.refs:
            names.setdefault(name.rpartition("/")[2].partition("-")[0], []).append(name)
        return names

    def _tip(self, name: str) -> RunTip | None:
        if name not in self._tips:
            run, self._tips[name] = _parse(name), None
            with contextlib.suppress(ValueError):  # it is no id
                self._tips[name] = RunTip(*run, Oid.from_hex(self.refs[name])) if run else None
        return self._tips[name]


def _parse(name: str) -> tuple[str, RunId] | None:
    run = layout.parse_run_ref(name)
    try:
        return run if run and RefName(name) and check_flow_name(run[0]) == run[0] else None
    except UsageError:
        return None


def free_id(run: RunId, uid: Oid, taken: Collection[RunId]) -> RunId:
    """The first of `free_ids`. That with the whole uid no other run can have."""
    return next(free_ids(run, uid, taken), RunId(f"{run.number}-{uid}"))


def free_ids(run: RunId, uid: Oid, taken: Collection[str]) -> Iterator[RunId]:
    """Ids for a run where `taken` ones are: its own, then its number with more and more of its uid."""
    if run not in taken:
        yield run
    for digits in range(UID_DIGITS, 2 * Oid.SIZE + 1):
        name = RunId(f"{run.number}-{str(uid)[:digits]}")
        if name not in taken:
            yield name


def names_of(flow: str, number: int, uid: Oid) -> list[str]:
    """All refs under which a run may be, anywhere."""
    return [layout.run_ref(flow, it) for it in free_ids(RunId(f"{number}"), uid, ())]


class TagKey(NamedTuple):
    """A tag of a run, whatever the run's id on either side."""

    flow: str
    tag: str
    uid: Oid

    def ref(self, run: RunId) -> str:
        """The tag's ref where its run has the id `run`."""
        return layout.tag_ref(self.flow, self.tag, run)


def tags_of(refs: Iterable[tuple[str, str]]) -> dict[TagKey, RunId]:
    """The tags among refs below refs/runs, and the runs' ids. Refs that we would not write are passed over."""
    found: dict[TagKey, RunId] = {}
    for name, oid in refs:
        if not name.startswith(layout.TAGS):
            continue
        with contextlib.suppress(GitflowrunError, ValueError):
            parsed = layout.parse_tag_ref(name)
            if parsed and layout.tag_ref(*parsed) == name:
                found[TagKey(parsed[0], parsed[1], Oid.from_hex(oid))] = parsed[2]
    return found


class Tracking:
    """Our copies of a remote's refs, below refs/runs-remotes/<digest of its URL>/: what we last saw of it."""

    def __init__(self, refs: Refs, remote: Remote) -> None:
        self._refs = refs
        self.label = remote.label
        prefix = layout.tracking_prefix(self.label)
        copies = refs.below(prefix).items()
        self.seen = {layout.RUNS + name.removeprefix(prefix): oid for name, oid in copies}
        """The id of each ref of the remote's, by its name there."""

    def ref(self, name: str) -> str:
        """Where the copy of a remote's ref lies."""
        return layout.tracking_ref(self.label, name)

    def note(self, changes: Mapping[str, Oid | None]) -> None:
        """Note what the remote has (None: no longer)."""
        changes = {
            name: oid
            for name, oid in changes.items()
            if self.seen.get(name) != (None if oid is None else str(oid))
        }
        for attempt in range(NOTE_ATTEMPTS):
            new = {self.ref(name): oid for name, oid in changes.items()}
            # They are as we saw them; only who finds that they are not looks again.
            seen = {
                self.ref(name): Oid.from_hex(self.seen[name]) for name in changes.keys() & self.seen
            }
            old = self._refs.many(new) if attempt else seen
            updates = [RefUpdate(name, oid, old.get(name)) for name, oid in new.items()]
            try:
                # What is new apart, for many such refs are made as one file.
                self._refs.transaction([it for it in updates if it.new and not it.old])
                self._refs.transaction([it for it in updates if it.old and it.new != it.old])
                break
            except RefConflict:  # another push or fetch of ours is noting the same
                if attempt == NOTE_ATTEMPTS - 1:
                    raise
        for name, oid in changes.items():
            if oid is None:
                self.seen.pop(name, None)
            else:
                self.seen[name] = str(oid)


class Loss(NamedTuple):
    """Why a run could not be fetched.

    Attributes:
        reason: What git says, or why it was not asked.
        for_good: Whether it is what the remote has that is wrong: what came was malformed, or it could not be had
            before either. The next fetch will fare no better.
    """

    reason: str
    for_good: bool


class Transfer:
    """One push to a remote, or one fetch from it.

    Args:
        repo: Our repository.
        remote: The other one.
        on_wait: Is told of another push or fetch that is waited for, if that takes long.
    """

    def __init__(
        self, repo: Repository, remote: Remote, on_wait: Callable[[str], object] | None = None
    ) -> None:
        self.repo = repo
        self.remote = remote
        self.tracking = Tracking(repo.refs, remote)
        self.sending = Sending(repo, self.tracking.label)
        self._turn = self.sending.turn()  # before anybody looks at the remote
        self._on_wait = on_wait
        self.done: list[SyncedRun] = []
        self._lost = 0
        self._lost_in_a_row = 0
        self._has_refused = False
        self.up_to_date: set[str] = set()
        """The refs of runs that both sides have in one state under one name."""
        self.trusted = 0

    @cached_property
    def trust(self) -> Trust:
        """Who made a run; most pushes and fetches need not know."""
        from gitflowrun.runs.trust import Trust

        return Trust(self.repo)

    @cached_property
    def shallow(self) -> set[str]:
        """The commits here whose parents git was told to leave out."""
        path = self.repo.common_dir / "shallow"
        return {
            *os.fsdecode(read_file(path, "git's shallow commits", limit=MAX_SENDING) or b"").split()
        }

    def told_shallow(self, run: RunTip) -> str:
        """Why a run that begins with one of them can't be told from others, and what brings the rest of it."""
        words = (
            f"git fetch --depth=2147483647 {shlex.quote(self.remote.name)} {shlex.quote(run.ref)}"
        )
        return f"a `git fetch --depth` has left out its first commits here; `{words}` brings them"

    def fetch_copies(
        self, runs: Sequence[RunTip], wanted: Collection[str] = ()
    ) -> dict[RunTip, Loss]:
        """Fetch runs into their tracking copies, in batches; returns those that can't be had, and why.

        Of those that could not be had before, in the same state, a few are asked for each time, after all others and in
        turns: they would make each fetch slow, and may be whole again one day.

        Args:
            runs: The runs.
            wanted: Refs of those that are asked for in any case.

        Raises:
            RepositoryError: the remote can't be reached.
        """
        lost: dict[RunTip, Loss] = {}
        known = self._read_lost()
        turns = {oid: turn for turn, oid in enumerate(known)}
        again = {run for run in runs if str(run.tip) in turns and run.ref not in wanted}
        for batch in _batches([run for run in runs if run not in again]):
            lost |= self._fetch_batch(batch)
        lost |= self._ask_again(sorted(again, key=lambda run: turns[str(run.tip)]), known)
        failed = {
            str(run.tip): self.is_theirs(loss)
            for run, loss in lost.items()
            if _is_among(_ANSWERS, loss.reason)
        }
        if failed:  # they are the last to be asked for again
            before = {oid: is_theirs for oid, is_theirs in known.items() if oid not in failed}
            self._note_lost(before | failed)
        return lost

    def _ask_again(self, runs: Sequence[RunTip], known: Mapping[str, bool]) -> dict[RunTip, Loss]:
        """Ask for runs that could not be had before, one by one, until a few of them can't be had again."""
        lost: dict[RunTip, Loss] = {}
        for run in runs:
            if len(lost) < LOST_AGAIN and self._lost < LOST_A_FETCH:
                if loss := self._fetch_batch([run]).get(run):
                    lost[run] = Loss(loss.reason, for_good=self.is_theirs(loss))
            else:
                lost[run] = Loss(_LOST_BEFORE, for_good=known[str(run.tip)])
        return lost

    def _read_lost(self) -> dict[str, bool]:
        """The newest states of runs that could not be had, as far as it is known; and whether for what is there."""
        with contextlib.suppress(GitflowrunError):
            path, limit = self.repo.state_dir / _LOST_FILE, LOST_KEPT * (2 * Oid.SIZE + 2)
            data = read_file(path, "runs that could not be had", limit=limit) or b""
            lines = data.decode("ascii", errors="ignore").splitlines()
            return {line.rstrip(_MARK): line.endswith(_MARK) for line in lines}
        return {}

    def _note_lost(self, tips: Mapping[str, bool]) -> None:
        with contextlib.suppress(GitflowrunError, OSError):  # then they are asked for once more
            newest = list(tips.items())[-LOST_KEPT:]
            content = "".join(f"{oid}{_MARK * is_theirs}\n" for oid, is_theirs in newest)
            replace_file(
                self.repo.state() / _LOST_FILE, content.encode("ascii"), self.repo.shared_mode
            )

    def _fetch_batch(self, runs: Sequence[RunTip]) -> dict[RunTip, Loss]:
        """Fetch runs at once. Where git refuses them, halve the batch until the culprits are alone, or are too many."""
        if self._lost >= LOST_A_FETCH:
            return dict.fromkeys(runs, Loss(_NOT_TRIED, for_good=False))
        if 1 < len(runs) <= self._lost_in_a_row:
            return self._fetch_halves(runs)  # after so many that can't be had this batch hardly can
        try:
            try:
                self._copy(runs)
            except MissingObject:  # the user's own gc took what had come before a ref named it
                self._copy(runs)
        except RepositoryError as error:
            is_there = any(it in error.message for it in _THERE)
            is_unclear = len(runs) == 1 and not any(it in error.message for it in _ANSWERS)
            if is_unclear or not self._has_refused:
                self.remote.refs(runs[0].ref)  # raises when it is the network, not the runs
            self._has_refused = True
            if len(runs) > 1:
                return self._fetch_halves(runs)
            self._lost += 1
            self._lost_in_a_row += 1
            return {runs[0]: Loss(error.message, is_there)}
        self._lost_in_a_row = 0
        return {}

    def _fetch_halves(self, runs: Sequence[RunTip]) -> dict[RunTip, Loss]:
        """Fetch runs that can't be had at once."""
        middle = len(runs) // 2
        lost = self._fetch_batch(runs[:middle])
        rest = runs[middle:]
        # Where nothing is wrong with the first half, the second one can't be had at once either.
        fetch = self._fetch_batch if lost or len(rest) == 1 else self._fetch_halves
        return lost | fetch(rest)

    def is_theirs(self, loss: Loss) -> bool:
        """Whether a run could not be fetched for what the remote has."""
        return loss.for_good or _is_among(_THERE, loss.reason)

    def _copy(self, runs: Sequence[RunTip]) -> None:
        # By object, as we saw it: git looks for each name among all names of the remote, which takes longer than to
        # fetch a thousand runs. The copies are noted by us, once what they lead to is durable.
        packs = self.remote.fetch([str(run.tip) for run in runs])
        try:
            self.tracking.note({run.ref: run.tip for run in runs})
        finally:
            self.repo.packs.release(packs)

    def history_of(self, tips: Collection[Oid]) -> History:
        """The history of some commits, but for those that lack some of it here: these have no root."""
        try:
            return History(self.repo.git, tips)
        except RepositoryError:  # one run with a hole in it must not keep the others out
            return History(self.repo.git, filter(self._has_line, tips))

    def _has_line(self, tip: Oid) -> bool:
        try:
            return bool(History(self.repo.git, [tip]).root(tip))
        except RepositoryError:
            return False

    def is_lost(self, tip: Oid) -> bool:
        """Whether a commit that is here, or one before it, is not here any more."""
        options = ("--first-parent", "--quiet", f"--max-count={MAX_STATES}", "--stdin")
        return bool(
            self.repo.git.read(
                "rev-list", *options, stdin=b"%s\n" % str(tip).encode(), most=ANSWER
            ).code
        )

    def our_tags(self) -> dict[TagKey, RunId]:
        """The tags of our runs, and the ids of these."""
        return tags_of(self.repo.refs.below(layout.TAGS).items())

    def tags_of_lost(self, tags: Iterable[TagKey]) -> list[TagKey]:
        """Those of some tags whose runs' first commits are lost here: no ref can be made that points to one."""
        keys = [*tags]
        gone = {*self.repo.objects.missing({key.uid for key in keys})}
        return sorted(key for key in keys if key.uid in gone)

    @contextlib.contextmanager
    def merging(self, view: RemoteView) -> Iterator[RemoteView]:
        """Let no other push or fetch of this clone merge tags with the remote.

        Args:
            view: The remote as it was since this one began.

        Yields:
            The remote as it is: as no other has changed it since.

        Raises:
            RepositoryError: another one does for too long; or the remote can't be reached any more.
        """
        with self.sending.alone(self.remote.title, self._on_wait) as turn:
            if turn != self._turn:
                self.tracking = Tracking(self.repo.refs, self.remote)
                view = RemoteView.of(self.remote)
                self.forget_lost_tags(view)
            gone = [name for name in self.sending.left() if name not in view.refs]
            self.tracking.note(dict.fromkeys(gone))
            self.sending.forget()
            yield view

    def leave_meanwhile(self, *sides: dict[TagKey, RunId]) -> None:
        """Take out of what is merged the tags of which another push or fetch of ours has noted something else since.

        What this one has seen of them is older: a tag that was sent meanwhile, and is no longer here, would look like
        one that the remote has made, and one that was removed there and is here again like one that it has removed.
        """
        now = tags_of(Tracking(self.repo.refs, self.remote).seen.items())
        for key in now.keys() ^ tags_of(self.tracking.seen.items()).keys():
            for tags in sides:
                tags.pop(key, None)

    def forget_lost_tags(self, view: RemoteView) -> None:
        """Take tags that a remote lost, along with runs, from the common base."""
        base = tags_of(self.tracking.seen.items())
        runs = {name for name in self.tracking.seen if not name.startswith(layout.TAGS)}
        runs |= {layout.run_ref(key.flow, run) for key, run in base.items()}
        if not runs <= view.refs.keys():
            have = tags_of(view.refs.items())
            self.forget_tags(lambda key, _: key not in have)

    def forget_tags(self, is_lost: Callable[[TagKey, RunId], bool]) -> None:
        """Take tags from the common base, by what they are and the ids of their runs there."""
        base = tags_of(self.tracking.seen.items())
        self.tracking.note({key.ref(run): None for key, run in base.items() if is_lost(key, run)})

    def forget_tags_of(self, uids: Collection[Oid | None]) -> None:
        """Take the tags of runs that are about to come to one side from the common base: it has removed none."""
        if uids:
            self.forget_tags(lambda key, _: key.uid in uids)

    def report(
        self, tags_added: int, tags_removed: int, notices: Iterable[str], *, failed: int = 0
    ) -> SyncReport:
        """What was done."""
        runs = sorted(self.done, key=lambda run: (*run.source.sort_key, run.flow))
        return SyncReport(
            remote=self.remote.title,
            runs=tuple(runs),
            tags_added=tags_added,
            tags_removed=tags_removed,
            failed=failed,
            notices=tuple(notices),
            words=tuple(self.remote.words),
            up_to_date=frozenset(ref[len(layout.RUNS) :] for ref in self.up_to_date),
            trusted=self.trusted,
        )


def _batches(runs: Sequence[RunTip]) -> Iterator[Sequence[RunTip]]:
    """Runs as they are fetched together."""
    for start in range(0, len(runs), REFS_A_FETCH):
        yield runs[start : start + REFS_A_FETCH]


def some(notices: Sequence[str], what: str, count: int | None = None) -> list[str]:
    """The first of many notices, and of how many more there is the same to say; `count` where these are not here."""
    more = (len(notices) if count is None else count) - MAX_NOTICES
    return [*notices[:MAX_NOTICES], *([f"{more} more {what}"] if more > 0 else [])]


def told_lost_tag(key: TagKey, run: RunId, done: str) -> str:
    """That a tag of a run was not sent, or not taken over, since the first commit of the run is lost here."""
    where = f"tag {key.tag} of {key.flow}/{run} was not {done}"
    return f"{where}: it points to the first commit of that run, which is lost here"
