"""What the runs of some repositories should be, in memory: a run and its states, and what each repository has of it.

The verbs are written down once more here, over uids instead of refs, from what the documentation says; the simulation
(`test_simulation` beside this) compares them with what git has after each step. A number stands for a state of a
run: how many groups of tasks it had committed, which only ever grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

from gitflowrun.runs.runs import Status

K = TypeVar("K")
V = TypeVar("V")
Tag = tuple[str, str]
"""The uid of a run, and a tag that it has."""
Tasks = Mapping[str, tuple[bool, Mapping[str, str]]]
"""Tasks by name: whether they succeeded, and the digests of their artifacts."""


@dataclass(frozen=True)
class State:
    """A run as one of its commits has it."""

    commit: str
    status: Status
    tasks: Tasks


@dataclass
class Run:
    """A run: where it was made, and all states that were acknowledged, or seen after a kill."""

    uid: str
    flow: str
    number: int
    home: str
    states: list[State] = field(default_factory=list)


@dataclass(frozen=True)
class Trashed:
    """A run in a trash: its state there, its tags and the note on it."""

    uid: str
    state: int
    tags: frozenset[str]
    note: str = ""


@dataclass
class Place:
    """What one repository has.

    Attributes:
        name: Its name.
        runs: The runs in it by uid, each in a state.
        ids: The ids that they have there.
        tags: Their tags.
        notes: The git notes on them.
        trash: The removed runs, those that were removed last at the end.
        gone: The runs that were removed for good.
        base: By remote, the tags that both had when they last exchanged.
        seen: By remote, the ids of the runs that it had then, by flow.
        vouched: The runs that the user trusts, and up to which state.
        sources: The remotes that the user trusts.
    """

    name: str
    runs: dict[str, int] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    tags: set[Tag] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    trash: list[Trashed] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    base: dict[str, set[Tag]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    vouched: dict[str, int] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)

    def copy(self) -> Place:
        """Another one, as it is now."""
        return deepcopy(self)

    def tags_of(self, uid: str) -> frozenset[str]:
        """The tags of a run."""
        return frozenset(tag for run, tag in self.tags if run == uid)

    def trusts(self, run: Run) -> bool:
        """Whether a run, as it is here, may execute code."""
        return run.home == self.name or self.vouched.get(run.uid, -1) >= self.runs[run.uid]

    def has_somewhere(self) -> set[str]:
        """The runs that are here or in the trash."""
        return {*self.runs, *(it.uid for it in self.trash)}

    # ---- the verbs ----

    def remove(self, uid: str) -> None:
        """Move a run to the trash."""
        state, tags = self.runs.pop(uid), self.tags_of(uid)
        self.tags -= {(uid, tag) for tag in tags}
        self.trash.append(Trashed(uid, state, tags, self.notes.pop(uid, "")))

    def restore(self, uid: str) -> None:
        """Put back what was removed last of a run. Nothing that it was is lost, whatever a fetch has brought since."""
        found = [it for it in self.trash if it.uid == uid][-1]
        self.trash.reverse()
        self.trash.remove(found)
        self.trash.reverse()
        self.runs[uid] = max(found.state, self.runs.get(uid, 0))
        self.tags |= {(uid, tag) for tag in found.tags}
        if found.note:
            self.notes.setdefault(uid, found.note)

    def purge(self, uids: Collection[str]) -> None:
        """Remove runs for good, with all that the trash has of them."""
        for uid in [uid for uid in uids if uid in self.runs]:
            self.remove(uid)
        self.leave([it for it in self.trash if it.uid in uids])

    def leave(self, entries: Iterable[Trashed]) -> None:
        """Let entries leave the trash."""
        for it in entries:
            self.trash.remove(it)
            if it.uid not in self.runs:
                self.gone.add(it.uid)
                self.notes.pop(it.uid, None)
                for tags in self.base.values():
                    tags -= {tag for tag in tags if tag[0] == it.uid}

    def fetch(self, there: Place, runs: Mapping[str, Run], asked_for: Collection[str] = ()) -> None:
        """Get the runs and tags of another place."""
        common = self._base(there)
        base = {tag for tag in common if tag[0] in self.runs}
        away = self.gone | {it.uid for it in self.trash}
        present = set[str]()
        for uid, state in there.runs.items():
            mine = self.runs.get(uid)
            if mine is None and uid in away and uid not in asked_for:
                continue
            present.add(uid)
            run = runs[uid]
            is_fixed = (
                mine is not None
                and run.home != self.name
                and run.states[mine].status is not Status.RUNNING
            )
            self.runs[uid] = max(state, mine or 0) if not is_fixed else self.runs[uid]
        self.gone -= self.runs.keys()
        have = {tag for tag in there.tags if tag[0] in self.runs}
        removed = {tag for tag in base - have if tag[0] in present}
        self.tags |= have - base
        self.tags -= removed
        back = {(it.uid, tag) for it in self.trash for tag in it.tags}  # with their runs
        self.base[there.name] = have | {
            tag
            for tag in common
            if tag[0] not in self.runs
            and (tag in back or (tag in there.tags and tag[0] in self.has_somewhere()))
        }
        if there.name in self.sources:
            for uid, state in self.runs.items():
                if there.runs.get(uid) == state and runs[uid].home != self.name:
                    self.vouched[uid] = max(state, self.vouched.get(uid, -1))

    def push(self, there: Place, runs: Mapping[str, Run]) -> None:
        """Send the runs that were made here, or are trusted, and the tags of all that are there."""
        base = self._base(there)
        for uid, state in self.runs.items():
            if self.trusts(runs[uid]):
                if uid not in there.runs:
                    base -= {tag for tag in base if tag[0] == uid}
                there.runs[uid] = max(state, there.runs.get(uid, 0))
        # Whose state is not sent has no tags sent either.
        common = {uid for uid, state in self.runs.items() if there.runs.get(uid, -1) >= state}
        added = {tag for tag in self.tags - there.tags - base if tag[0] in common}
        removed = {tag for tag in (base - self.tags) & there.tags if tag[0] in common}
        self.base[there.name] = (base | added | (self.tags & there.tags)) - removed
        dropped = base - self.tags - there.tags
        back = {(it.uid, tag) for it in self.trash for tag in it.tags if it.uid not in self.runs}
        self.base[there.name] -= dropped - back
        there.tags |= added
        there.tags -= removed

    def _base(self, there: Place) -> set[Tag]:
        """The common tags; not those that a place lost which has lost runs, too."""
        base = set(self.base.get(there.name, ()))
        if not self.seen.get(there.name, set()) <= {*there.ids.values()}:
            base &= there.tags
        return base


def unlike(states: Sequence[Place], now: Place) -> list[str]:
    """What of a place is as in none of some states: where a verb may have been interrupted, or the one it led to."""
    found = []
    for name in ("runs", "notes", "vouched"):
        found += _unlike(name, [getattr(it, name) for it in states], getattr(now, name))
    for name in ("tags", "gone", "sources"):
        sets = [dict.fromkeys(getattr(it, name), 1) for it in (*states, now)]
        found += _unlike(name, sets[:-1], sets[-1])
    for remote in {remote for it in (*states, now) for remote in it.base}:
        sets = [dict.fromkeys(it.base.get(remote, ()), 1) for it in (*states, now)]
        found += _unlike(f"base of {remote}", sets[:-1], sets[-1])
    found += _unlike("trash", [Counter(it.trash) for it in states], Counter(now.trash))
    had = set.intersection(*(it.has_somewhere() for it in states))
    return found + [f"{now.name} has lost {uid}" for uid in had - now.has_somewhere()]


def _unlike(what: str, states: Sequence[Mapping[K, V]], now: Mapping[K, V]) -> list[str]:
    found = []
    for key in {*now}.union(*states):
        possible = [it.get(key) for it in states]
        if now.get(key) not in possible:
            found.append(f"{what} {key}: {now.get(key)} is none of {possible}")
    return found
