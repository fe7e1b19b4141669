"""What a push decides, from tables of what is here and there: nothing is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import MissingObject
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import RunId
from gitflowrun.porcelain.transfer import push
from gitflowrun.porcelain.transfer.push import _Plan, _Push
from gitflowrun.porcelain.transfer.sync import Outcome, RemoteView, RunTip, SyncedRun, TagKey
from gitflowrun.runs.commit_message import RunState, Status, format_message
from gitflowrun.values import replace

UID, OTHER, TIP, LATER, OLD = (Oid(letter.encode() * 20) for letter in "untlo")
SHORT = str(UID)[:7]


def tip(name: str, oid: Oid = TIP) -> RunTip:
    """`Flow/id` at a commit."""
    flow, _, run = name.partition("/")
    return RunTip(flow, RunId(run), oid)


RUN = tip("A/7")


class History:
    """One line: the old state, the run's, a later one, and another run's."""

    line_of = (UID, OLD, TIP, LATER)

    def root(self, oid: Oid) -> Oid | None:
        """The first commit."""
        return OTHER if oid == OTHER else UID

    def leads_to(self, tip: Oid, wanted: Oid) -> bool:
        """Whether it is later."""
        if {tip, wanted} <= {*self.line_of}:
            return self.line_of.index(tip) >= self.line_of.index(wanted)
        return tip == wanted

    def line(self, oid: Oid) -> list[Oid]:
        """Its commits."""
        return [oid]


class Apart(History):
    """All are the same run, and none leads to another."""

    def leads_to(self, tip: Oid, wanted: Oid) -> bool:
        """Only to itself."""
        return tip == wanted


class Trust(set[Oid]):
    """The commits that were made here."""

    def made(self, commit: Oid) -> bool:
        """Whether it was."""
        return commit in self

    trusts = made


def pushing(made: Collection[Oid] = (), **fields: Any) -> Any:
    """A push in the middle of its work."""
    found = cast("Any", object.__new__(_Push))
    known = {
        "done": [], "trust": Trust(made), "_failed": Counter(), "_notices": {}, "_search": False,
        "_chooses": False, "_verify": True, "remote": SimpleNamespace(title="origin", name="origin"),
        "_damaged": set(), "_held_back": set(), "_unclear": {},
    }  # fmt: skip
    found.__dict__.update(known | fields)
    return found


def view(**refs: Oid) -> RemoteView:
    """A remote that has these ids of the flow A."""
    return RemoteView(
        {f"refs/runs/A/{name[1:].replace('_', '-')}": str(oid) for name, oid in refs.items()}
    )


SUFFIXED = f"n7_{SHORT}"


@pytest.mark.parametrize(
    ("there", "made", "outcome", "target", "old", "reason"),
    [
        ({}, (), Outcome.NEW, "7", None, ""),
        ({"n7": TIP}, (), Outcome.CURRENT, "7", None, ""),
        ({"n7": OLD}, (), Outcome.UPDATED, "7", OLD, ""),
        ({"n7": LATER}, (), Outcome.AHEAD, "7", None, ""),
        ({"n7": LATER}, (TIP, LATER), Outcome.AHEAD, "7", None, ""),
        ({"n7": LATER}, (TIP,), Outcome.KEPT, "7", None, "which was not made here"),
        ({"n7": LATER}, (UID,), Outcome.KEPT, "7", None, "which was not made here"),
        ({"n7": OTHER}, (), Outcome.NEW, f"7-{SHORT}", None, ""),
        ({"n7": OTHER, SUFFIXED: OLD}, (), Outcome.UPDATED, f"7-{SHORT}", OLD, ""),
        ({"n7": OTHER, SUFFIXED: TIP}, (), Outcome.CURRENT, f"7-{SHORT}", None, ""),
    ],
)
def test_what_becomes_of_a_run(
    there: dict[str, Oid],
    made: tuple[Oid, ...],
    outcome: Outcome,
    target: str,
    old: Oid | None,
    reason: str,
) -> None:
    """It is made, moved forward, or left as it is; never moved back, nor over another one."""
    plan = pushing(made)._plan(RUN, view(**there), History())
    result = plan.result
    assert (result.outcome, result.target, result.uid) == (outcome, target, UID)
    assert reason in result.reason
    assert bool(result.reason) is bool(reason)
    ref = f"refs/runs/A/{target}"
    moves = outcome in {Outcome.NEW, Outcome.UPDATED}
    assert plan.change == (RefUpdate(ref, TIP, old) if moves else None)
    assert plan.before == old


@pytest.mark.parametrize("made", [(), (TIP,), (UID,)])
def test_another_continuation_of_a_run(made: tuple[Oid, ...]) -> None:
    """It stays; who made the run has it under another name as well."""
    plan = pushing(made)._plan(RUN, view(n7=OLD), Apart())
    assert plan.result.reason == f"the remote has another continuation of it ({OLD.short})"
    if made:
        assert (plan.result.outcome, plan.result.target) == (Outcome.NEW, f"7-{SHORT}")
    else:
        assert (plan.result.outcome, plan.change) == (Outcome.REFUSED, None)


def test_a_namesake_that_could_not_be_read() -> None:
    """A run that it may be is not sent beside it; one that is there under another name is known all the same."""
    unclear = {"_unclear": {TIP: "the line broke"}}
    plan = pushing(**unclear)._plan(RUN, view(n7=OTHER), History())
    assert (plan.result.outcome, plan.result.reason) == (Outcome.REFUSED, "the line broke")
    assert (plan.result.target, plan.change, plan.is_unclear) == (None, None, True)
    plan = pushing(**unclear)._plan(RUN, view(n7=OTHER, **{SUFFIXED: OLD}), History())
    assert (plan.result.outcome, plan.is_unclear) == (Outcome.UPDATED, False)


def test_a_run_of_others_whose_namesake_could_not_be_read_is_left() -> None:
    """It would not have been sent in any case, and makes no push fail."""
    refused = [replace(plan_of("A/1", oid=it, moves=False), is_unclear=True) for it in (TIP, OTHER)]
    assert pushing((TIP,))._own(refused) == refused[:1]


def test_names_that_can_not_be_made_are_avoided() -> None:
    """Once may be chance; where all are taken it is said why."""
    failed = {"refs/runs/A/7": 1}
    assert pushing(_failed=Counter(failed))._plan(RUN, view(), History()).result.target == "7"
    failed["refs/runs/A/7"] = 2
    plan = pushing(_failed=Counter(failed))._plan(RUN, view(), History())
    assert plan.result.target == f"7-{SHORT}"
    there = view()
    there.give_id = lambda *_: None  # type: ignore[method-assign]
    plan = pushing()._plan(RUN, there, History())
    assert (plan.change, plan.result.outcome) == (None, Outcome.REFUSED)
    assert plan.result.reason == "all its names are taken there"


def plan_of(
    name: str, outcome: Outcome = Outcome.NEW, oid: Oid = TIP, *, moves: bool = True
) -> _Plan:
    """A plan."""
    run = tip(name, oid)
    change = RefUpdate(run.ref, oid, None) if moves else None
    return _Plan(run, SyncedRun(run.flow, run.id, run.id, UID, outcome), change)


def test_a_plan_that_is_refused() -> None:
    """It says why, and that the run is nowhere there; all else is as it was."""
    refused = plan_of("A/1").refused("it is taken")
    assert refused == SyncedRun("A", RunId("1"), None, UID, Outcome.REFUSED, "it is taken")


def test_runs_of_others_are_not_chosen() -> None:
    """Those that are there already are no matter; what is left is told."""
    found = pushing((TIP,))
    plans = [plan_of("A/1"), plan_of("A/2", oid=OTHER), plan_of("A/3", oid=OTHER, moves=False)]
    assert found._own(plans) == [plans[0], plans[2]]
    (said,) = found._notices
    assert said.startswith("A/2, which was not made here, was not sent")
    found = pushing((TIP,))
    assert found._own(plans[:1]) == plans[:1]
    assert found._notices == {}


class Remote:
    """A remote that answers each ref as it is told; what is sent is noted."""

    title = name = "origin"

    def __init__(self, **answers: tuple[bool, bool, str]) -> None:
        self.answers = answers
        self.sent: list[str] = []

    def push(self, changes: Sequence[RefUpdate], *, verify: bool) -> list[Any]:
        """Whether each is fine, or somebody was faster."""
        assert verify
        self.sent += [it.name for it in changes]
        fine = (True, False, "")
        return [
            SimpleNamespace(name=it.name, ok=ok, stale=stale, reason=why)
            for it in changes
            for ok, stale, why in [self.answers.get(f"n{it.name[-1]}", fine)]
        ]


def test_what_a_round_makes_of_each_answer() -> None:
    """What is fine is noted and done, what is refused says why, what was too slow is tried again."""
    noted: list[dict[str, Oid]] = []
    forgotten: list[Collection[Oid]] = []
    plans = {
        "A/1": plan_of("A/1"), "A/2": plan_of("A/2"), "A/3": plan_of("A/3", Outcome.UPDATED),
        "A/4": plan_of("A/4", Outcome.CURRENT, moves=False),
    }  # fmt: skip
    remote = Remote(n2=(False, False, "a hook said no"), n3=(False, True, "stale"))
    found = pushing(
        remote=remote, tracking=SimpleNamespace(note=noted.append), forget_tags_of=forgotten.append,
        _history=lambda *_: History(), _plan=lambda run, *_: plans[f"{run.flow}/{run.id}"],
        _without_secrets=lambda plans, *_: plans,
    )  # fmt: skip
    slower = found._round(view(), [tip(name) for name in plans])
    assert remote.sent == [f"refs/runs/A/{n}" for n in (1, 2, 3)]
    assert noted == [{"refs/runs/A/1": TIP}]
    assert [(run.source, run.outcome, run.reason) for run in found.done] == [
        ("1", Outcome.NEW, ""), ("2", Outcome.REFUSED, "a hook said no"), ("4", Outcome.CURRENT, ""),
    ]  # fmt: skip
    assert found.done[1].target is None
    ((run, result),) = slower.items()
    assert (run.id, result.outcome, result.target, result.reason) == (
        "3",
        Outcome.REFUSED,
        None,
        "stale",
    )
    assert found._failed == {"refs/runs/A/3": 1}
    assert forgotten == [{UID}]


@pytest.mark.parametrize("search", [True, False])
def test_tags_that_may_be_secrets_stay_here(monkeypatch: pytest.MonkeyPatch, search: bool) -> None:
    """Where secrets are looked for; their first characters are told."""
    monkeypatch.setattr(push, "is_secret_tag", lambda tag: tag == "hunter2")
    found = pushing(_search=search)
    assert found._may_go(TagKey("A", "best", UID))
    assert found._may_go(TagKey("A", "hunter2", UID)) is not search
    assert [*found._notices] == (
        ["a tag of A was not sent, for it may be a secret: hunt****; `git runs push --allow-secrets` sends it"]
        if search else []
    )  # fmt: skip
    assert len(found._held_back) == int(search)


def test_what_our_refs_of_runs_hold_may_be_none() -> None:
    """It is passed over; where it can't be read, that is told of a damaged run. Each uid is looked up once."""
    first = format_message(RunState("A/1", Status.RUNNING, 1.0))
    later = format_message(RunState("A/1", Status.RUNNING, 1.0, uid=UID))
    messages = {UID: first, TIP: later, OTHER: b"a branch of somebody's\n"}

    def commit(oid: Oid, _limit: int) -> Any:
        if oid not in messages:
            raise MissingObject("it is gone")
        return SimpleNamespace(message=messages[oid])

    found = pushing(repo=SimpleNamespace(objects=SimpleNamespace(commit=commit)), _uids={})
    names = {"1": TIP, "2": UID, "3": OTHER, "4": OLD}
    assert [found._is_run(tip(f"A/{n}", oid)) for n, oid in names.items()] == [
        True, True, False, False,
    ]  # fmt: skip
    assert found._damaged == {"A/4"}
    assert found._uids == {TIP: UID, UID: UID}


def test_what_is_told_besides() -> None:
    """Damaged runs, what was noticed, and tags that are not there."""
    found = pushing(_damaged={"A/2", "A/1"}, _notices={"a notice": None})
    damaged, *rest = found._told(["x", "y"], 2)
    assert damaged.startswith("A/1, A/2 are damaged and not sent; ")
    assert rest[:3] == ["a notice", "x", "y"]
    assert rest[3].endswith("`git runs push origin` sends what was not sent")
    assert pushing()._told([], 0) == []
