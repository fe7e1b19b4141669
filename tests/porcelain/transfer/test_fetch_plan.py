"""What a fetch decides, from tables of what is here and there: nothing is fetched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import CorruptRecord, GitflowrunError, NotFound, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import RunId
from gitflowrun.porcelain.deletion.trash import RemovedRun
from gitflowrun.porcelain.transfer import fetch, sync
from gitflowrun.porcelain.transfer.fetch import _Fetch, _Move
from gitflowrun.porcelain.transfer.sync import Loss, Outcome, RemoteView, RunTip, SyncedRun
from gitflowrun.runs.commit_message import RunState, Status, format_message
from gitflowrun.runs.records import RunIdentity, RunInfo

UID, OTHER, NEW, OLD = (Oid(letter.encode() * 20) for letter in "uonl")
SHORT = str(UID)[:7]


def tip(name: str, oid: Oid = NEW) -> RunTip:
    """`Flow/id` at a commit."""
    flow, _, run = name.partition("/")
    return RunTip(flow, RunId(run), oid)


class History:
    """Which commit leads to which; each leads to itself."""

    def __init__(
        self, *pairs: tuple[Oid, Oid], root: Oid | None = UID, merge: bool = False
    ) -> None:
        self.pairs = pairs
        self.first = root
        self.merge = merge

    def leads_to(self, tip: Oid, wanted: Oid) -> bool:
        """Whether one has the other in its history."""
        return tip == wanted or (tip, wanted) in self.pairs

    def root(self, _: Oid) -> Oid | None:
        """The first commit."""
        return self.first

    def has_merge(self, _: Oid) -> bool:
        """Whether there is a merge."""
        return self.merge


class Made(set[Oid]):
    """The commits that were made here."""

    def made(self, commit: Oid) -> bool:
        """Whether it is one of them."""
        return commit in self


def fetching(made: Collection[Oid] = (), **fields: Any) -> Any:
    """A fetch in the middle of its work."""
    found = cast("Any", object.__new__(_Fetch))
    known: dict[str, Any] = {
        "done": [], "_here": {}, "_ids": set(), "_reserved": set(), "_highest": 100, "_wanted": set(),
        "_removed_uids": set(), "_ended": set(), "_infos": {}, "shallow": set(), "trust": Made(made), "_removed": [],
        "remote": SimpleNamespace(title="origin", name="a b"),
        "tracking": SimpleNamespace(ref=lambda name: f"copy of {name}", label="l", seen={}),
    }  # fmt: skip
    found.__dict__.update(known | fields)
    found._damaged = SimpleNamespace(is_one=lambda _: False, id_of=lambda *_: None)
    return found


def outcomes(found: Any) -> list[tuple[str, Outcome, str]]:
    """What was noted of runs."""
    return [(f"{run.flow}/{run.source}", run.outcome, run.reason) for run in found.done]


@pytest.mark.parametrize(
    ("run", "fields", "given"),
    [
        ("A/7", {}, "7"),
        ("A/7", {"_ids": {"7"}}, f"7-{SHORT}"),
        ("A/7", {"_reserved": {"7"}}, f"7-{SHORT}"),
        ("A/100", {}, "100"),
        ("A/101", {}, f"101-{SHORT}"),
        (f"A/7-{SHORT}", {}, f"7-{SHORT}"),
        ("A/7", {"_removed_uids": {str(UID)}, "_wanted": {"refs/runs/A/7"}}, "7"),
        ("A/7", {"_removed_uids": {str(OTHER)}}, "7"),
    ],
)
def test_a_new_run_gets_an_id_that_is_free(run: str, fields: dict[str, Any], given: str) -> None:
    """Its own, unless that is taken, was just given, or is too high; nobody else gets it then."""
    found = fetching(**fields)
    move = found._plan(tip(run), UID, History())
    there = tip(f"A/{given}")
    change = RefUpdate(there.ref, NEW, None)
    assert move == _Move(tip(run), there, UID, change, Outcome.NEW)
    assert given in found._ids
    assert found.done == []


def test_a_run_that_was_removed_here_stays_away() -> None:
    """How to get it is said."""
    found = fetching(_removed_uids={str(UID)})
    assert found._plan(tip("A/7"), UID, History()) is None
    words = "`git runs fetch 'a b' A/7` brings it back"
    assert outcomes(found) == [("A/7", Outcome.AWAY, words)]
    assert found.done[0].uid == UID


@pytest.mark.parametrize(
    ("here", "pairs", "outcome"),
    [(NEW, (), Outcome.CURRENT), (OLD, ((OLD, NEW),), Outcome.AHEAD)],
)
def test_a_run_that_is_here_in_that_state_or_later_stays(
    here: Oid, pairs: tuple[tuple[Oid, Oid], ...], outcome: Outcome
) -> None:
    """It is only noted."""
    found = fetching(_here={UID: tip("A/3", here)})
    assert found._plan(tip("A/7"), UID, History(*pairs)) is None
    assert outcomes(found) == [("A/7", outcome, "")]
    assert found.done[0].target == "3"


def test_a_run_goes_on_under_its_name_here() -> None:
    """From the state that it has."""
    found = fetching(_here={UID: tip("A/3", OLD)})
    move = found._plan(tip("A/7"), UID, History((NEW, OLD)))
    there = tip("A/3", NEW)
    change = RefUpdate(there.ref, NEW, OLD)
    assert move == _Move(tip("A/7"), there, UID, change, Outcome.UPDATED)
    assert found.done == []


LATER = ((NEW, OLD),)


@pytest.mark.parametrize(
    ("pairs", "made", "ended", "why"),
    [
        (LATER, (), False, ""),
        (LATER, (), True, "it has ended here"),
        (LATER, (OLD,), False, "made here"),
        (LATER, (UID,), False, "made here"),
        (LATER, (OLD, UID), True, "made here"),
        (LATER, (NEW, OLD, UID), True, ""),
        ((), (NEW,), False, "it went on otherwise here"),
        ((), (NEW, OLD), False, "made here"),
        ((), (), False, "it went on otherwise here"),
        ((), (), True, "it has ended here"),
    ],
)
def test_why_a_run_of_ours_stays(
    pairs: tuple[tuple[Oid, Oid], ...], made: tuple[Oid, ...], ended: bool, why: str
) -> None:
    """Only a later state moves one that was not made here and goes on; or one that we made and have lost."""
    found = fetching(made, _here={UID: tip("A/3", OLD)}, _ended={OLD} if ended else set())
    move = found._plan(tip("A/7"), UID, History(*pairs))
    assert (move is None) is bool(why)
    if why:
        ((_, outcome, reason),) = outcomes(found)
        assert outcome is Outcome.KEPT
        assert reason.startswith(f"the remote has it as {NEW.short}; {why}")


class Refs:
    """Refs of which some can't be made."""

    def __init__(self, *bad: str, late: bool = False) -> None:
        self.bad = bad
        self.late = late
        self.refs: dict[str, Oid] = {}
        self.tried: list[list[str]] = []

    def transaction(self, changes: Sequence[RefUpdate]) -> None:
        """All or nothing; a late failure comes when all is done."""
        names = [it.name[-1] for it in changes]
        self.tried.append(names)
        wrong = [it for it in names if it in self.bad]
        if self.late or not wrong:
            self.refs |= {it.name: cast("Oid", it.new) for it in changes}
        if wrong:
            raise GitflowrunError(f"{wrong[0]} can't be")

    def many(self, names: Collection[str]) -> dict[str, Oid | None]:
        """What they hold."""
        return {name: self.refs.get(name) for name in names}


def moves(digits: str) -> list[_Move]:
    """New runs with these numbers."""
    found = []
    for digit in digits:
        run, uid = tip(f"A/{digit}"), Oid(digit.encode() * 20)
        found.append(_Move(run, run, uid, RefUpdate(run.ref, run.tip, None), Outcome.NEW))
    return found


def test_one_ref_that_can_not_be_keeps_no_other_out() -> None:
    """Transactions are halved until it is alone, and refused with the reason."""
    refs = Refs("3")
    found = fetching(repo=SimpleNamespace(refs=refs))
    found._apply(moves("12345"))
    assert refs.tried == [["1", "2", "3", "4", "5"], ["1", "2"], ["3", "4", "5"], ["3"], ["4", "5"]]
    assert outcomes(found) == [
        ("A/1", Outcome.NEW, ""), ("A/2", Outcome.NEW, ""), ("A/3", Outcome.REFUSED, "3 can't be"),
        ("A/4", Outcome.NEW, ""), ("A/5", Outcome.NEW, ""),
    ]  # fmt: skip
    assert len(found._here) == 4


def test_a_failure_after_the_last_step_is_none() -> None:
    """The refs tell; a single one as well."""
    for digits in ("12", "1"):
        refs = Refs("1", late=True)
        found = fetching(repo=SimpleNamespace(refs=refs))
        found._apply(moves(digits))
        assert [outcome for _, outcome, _ in outcomes(found)] == [Outcome.NEW] * len(digits)
        assert len(refs.tried) == 1


def test_a_number_that_is_too_high_is_told() -> None:
    """Not where only the name was taken."""
    refs = Refs()
    found = fetching(repo=SimpleNamespace(refs=refs), _highest=7)
    for number in ("7", "8"):
        run, there = tip(f"A/{number}"), tip(f"A/{number}-{SHORT}")
        found._apply([_Move(run, there, UID, RefUpdate(there.ref, NEW, None), Outcome.NEW)])
    own = tip("A/9")
    found._apply([_Move(own, own, OTHER, RefUpdate(own.ref, NEW, None), Outcome.NEW)])
    assert [reason for _, _, reason in outcomes(found)] == ["", fetch._FAR, ""]


def test_what_can_not_be_had_is_refused_to_who_asks_for_it() -> None:
    """To all others it is left out; a fault that may pass is a refusal anyway."""
    found = fetching(_wanted={"refs/runs/A/2"})
    losses = {
        tip("A/1"): Loss("bad", for_good=True),
        tip("A/2"): Loss("bad", for_good=True),
        tip("A/3"): Loss("now", for_good=False),
    }
    found._give_up(losses)
    assert outcomes(found) == [
        ("A/1", Outcome.LEFT_OUT, "bad"), ("A/2", Outcome.REFUSED, "bad"), ("A/3", Outcome.REFUSED, "now"),
    ]  # fmt: skip
    assert all(run.target is None and run.uid is None for run in found.done)


def synced(name: str, outcome: Outcome, target: str | None = None, reason: str = "") -> SyncedRun:
    """What became of a run."""
    run = tip(name)
    return SyncedRun(run.flow, run.id, RunId(target) if target else None, UID, outcome, reason)


def test_what_is_told_of_runs_that_can_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some in the order of their numbers; nobody is told to delete any."""
    monkeypatch.setattr(fetch, "MAX_NAMED", 2)
    left = [synced(name, Outcome.LEFT_OUT, reason="bad") for name in ("B/10", "A/10", "A/9")]
    others = [synced("A/1", Outcome.NEW), synced("A/2", Outcome.REFUSED)]
    assert fetching(done=others)._told_left_out() == []
    (said,) = fetching(done=[*others, *left])._told_left_out()
    assert "origin has no run that can be had as A/9 (bad), A/10 (bad) and 1 more" in said
    assert "update-ref" not in said
    (said,) = fetching(done=left[1:])._told_left_out()
    assert said.endswith("A/10 (bad)")


def test_what_is_told_of_runs_that_stay() -> None:
    """What shows the difference, and what makes the remote as it is here."""
    here = {UID: tip("A/3")}
    assert fetching(done=[synced("A/1", Outcome.NEW)])._told_kept() == []
    kept = [synced("A/7", Outcome.KEPT, "3"), synced("A/8", Outcome.KEPT)]
    assert fetching(done=kept)._told_kept() == []  # damaged here
    (said,) = fetching(done=kept, _here=here)._told_kept()
    assert "`git log 'copy of refs/runs/A/7'` shows what" in said
    assert "`git push 'a b' +refs/runs/A/3:refs/runs/A/7`" in said
    (said,) = fetching(done=kept[1:], _here=here)._told_kept()
    assert "+refs/runs/A/8:refs/runs/A/8`" in said


@pytest.mark.parametrize(("tag", "words"), [("best", "best"), ("-x", "-- -x"), ("a b", "'a b'")])
def test_what_brings_a_tag_back(tag: str, words: str) -> None:
    """The words can be typed."""
    said = fetch._removed(RunIdentity("A", RunId("1"), UID), tag)
    assert f"`git runs tag A/1 {words}` brings it back" in said


def view(*names: str, oid: Oid = NEW) -> RemoteView:
    """A remote with these refs below refs/runs."""
    return RemoteView({f"refs/runs/{name}": str(oid) for name in names})


def test_runs_that_are_asked_for_by_a_word() -> None:
    """By id in all flows, or by flow and id; what is no run there is an error that says how to list them."""
    found, there = fetching(), view("A/1", "B/1", "A/2", "@tags/A/t/1", "A/x")
    assert found._named(there, "1") == ["refs/runs/A/1", "refs/runs/B/1"]
    assert found._named(there, "A/1") == ["refs/runs/A/1"]
    for word in ("A/9", "x", "9", "@tags/A/t/1"):
        with pytest.raises(NotFound, match=f"origin has no run '{word}'") as caught:
            found._named(there, word)
        assert "`git ls-remote 'a b' 'refs/runs/*'`" in str(caught.value.hint)


def test_what_was_removed_here_is_not_fetched() -> None:
    """By its commit, and not by the place it had, where another run may be; what is here again, or asked for, is."""
    gone = RemovedRun(str(UID), str(NEW), "A/1")
    place = RemovedRun(str(OTHER), "0" * 40, "l/A/3")
    there = view("A/1", "A/2", "A/3", oid=OLD)
    there = RemoteView({**there.refs, "refs/runs/A/1": str(NEW)})
    found = fetching(_asked_for=(), _removed=[gone, place])
    assert found._stay_away(there) == {"refs/runs/A/1"}
    assert [(run.source, run.uid) for run in found.done] == [("1", UID)]
    found = fetching(_asked_for=("1",), _removed=[gone, place], _here={OTHER: tip("A/3")})
    assert found._stay_away(there) == set()
    assert (found._wanted, found.done) == ({"refs/runs/A/1"}, [])
    assert fetching(_asked_for=(), _removed=[])._stay_away(there) == set()


def examined(history: History, run: RunTip, **changes: Any) -> Any:
    """Whether a commit is the run that its ref says; what is here of it can be changed."""
    state = RunState("A/7", Status.DONE, 1.0, uid=UID)
    facts: dict[str, Any] = {
        "message": format_message(state), "infos": {NEW: OLD, UID: OLD}, "flow": "A", "id": RunId("7"),
    } | changes  # fmt: skip
    info = RunInfo(facts["flow"], "ada", "h", {}, {}, {}, {}, {}, id=facts["id"])
    commit = SimpleNamespace(message=facts["message"])
    repo = SimpleNamespace(objects=SimpleNamespace(commit=lambda *_: commit))
    infos = {fetch._info_at(oid): blob for oid, blob in facts["infos"].items()}
    found = fetching(repo=repo, _infos=infos, _info=lambda blob: info if blob == OLD else None)
    return found, lambda: found._examine(run, history)


@pytest.mark.parametrize(
    ("run", "history", "changes", "why"),
    [
        ("A/7", History(root=None), {}, "is no commit, or has more than"),
        ("A/7", History(merge=True), {}, "has a merge"),
        ("A/7", History(), {"message": b"mine"}, "is no run's commit"),
        ("A/7", History(), {"infos": {UID: OLD}}, "is no run's commit"),
        ("A/7", History(), {"id": None}, "holds run A/None"),
        ("B/7", History(), {}, "holds run A/7"),
        ("A/8", History(), {}, "holds run A/7"),
        ("A/7-1234567", History(), {}, "holds a run with another uid"),
        ("A/7", History(root=OTHER), {"infos": {NEW: OLD, OTHER: OLD}}, "another uid"),
        ("A/7", History(), {"infos": {NEW: OLD, UID: OTHER}}, "its INFO is not that of its first"),
        ("A/7", History(), {"infos": {NEW: OLD}}, "its INFO is not that of its first"),
    ],
)
def test_what_is_not_the_run_that_its_ref_says(
    run: str, history: History, changes: dict[str, Any], why: str
) -> None:
    """Each is refused for its own reason."""
    found, examine = examined(history, tip(run), **changes)
    with pytest.raises(CorruptRecord, match=why):
        examine()
    assert found._ended == set()


def test_what_is_a_run_is_known_by_its_first_commit() -> None:
    """One that has ended is noted, one that runs is not; the first commit can't name itself."""
    for name in ("A/7", f"A/7-{SHORT}"):
        found, examine = examined(History(), tip(name))
        assert examine() == UID
        assert found._ended == {NEW}
    running = RunState("A/7", Status.RUNNING, 1.0)
    first = {"message": format_message(running), "infos": {UID: OLD}}
    found, examine = examined(History(), tip("A/7", UID), **first)
    assert (examine(), found._ended) == (UID, set())


def test_one_history_with_a_hole_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that may be the same runs are looked at together; where that fails, each alone."""
    asked: list[set[Oid]] = []

    def history(_: object, tips: Collection[Oid]) -> History:
        asked.append(wanted := {*tips})
        if OLD in wanted:
            raise RepositoryError("a hole")
        return History(root=None if wanted == {OTHER} else UID)

    monkeypatch.setattr(sync, "History", history)
    here = {UID: tip("A/7", UID), OTHER: tip("A/8", OTHER)}
    found = fetching(repo=SimpleNamespace(git=None), _here=here)
    found._history([tip("A/7", NEW)])
    assert asked == [{UID, NEW}]
    asked.clear()
    found._history([tip("A/7", NEW), tip("B/8", OLD)])
    assert asked[0] == {UID, OTHER, NEW, OLD}
    assert asked[-1] == {UID, NEW}
    assert sorted(map(len, asked[1:-1])) == [1, 1, 1, 1]


def test_what_came_whole_and_is_gone_is_found() -> None:
    """Git is asked for all at once, and for each only where something is missing."""
    asked: list[bytes] = []

    def read(*words: str, stdin: bytes, most: int) -> object:
        assert words[:2] == ("rev-list", "--objects")
        assert most > 0
        asked.append(stdin)
        return SimpleNamespace(code=int(str(OLD).encode() in stdin))

    found = fetching(repo=SimpleNamespace(git=SimpleNamespace(read=read)))
    runs = [tip("A/1", NEW), tip("A/2", OLD)]
    assert found._gone(runs) == runs[1:]
    assert asked == [f"{NEW}\n{OLD}\n".encode(), f"{NEW}\n".encode(), f"{OLD}\n".encode()]
    assert found._gone(runs[:1]) == []
    asked.clear()
    assert found._gone([]) == []
    assert asked == []


def test_the_names_of_a_run_whose_commit_has_many() -> None:
    """Of what can't be read, or is no run, there are none."""

    def info(blob: Oid) -> Any:
        if blob == OLD:
            raise CorruptRecord("no INFO")
        return SimpleNamespace(flow="A", id=RunId("7") if blob == NEW else None)

    found = fetching(_info=info)
    own = found._own_names(NEW, UID)
    assert {"refs/runs/A/7", f"refs/runs/A/7-{SHORT}"} < own
    assert all(f"refs/runs/A/7-{UID}".startswith(name) for name in own)
    for blob, uid in ((OLD, UID), (OTHER, UID), (None, UID), (NEW, None)):
        assert found._own_names(blob, uid) == set()
