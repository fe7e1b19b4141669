"""What a resumed run takes over, rule by rule, of runs that no process has executed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import CorruptRecord, NotFound, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import GANG, ForeachLevel, RunIdentity, TaskRecord, Transition
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.scheduler import resume
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.resume import SPLIT_VALUES, Adoption, adopt
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import artifact, draft, finished_task, open_repo, store_of

RUN = RunIdentity("F", RunId("1"), Oid(b"u" * 20))
GRAPH: dict[str, Any] = {
    "start_step": "a",
    "end_step": "z",
    "parameters": [{"name": "rate", "option": "the-rate"}, {"name": "size"}],
    "steps": {
        "a": {"type": "split-foreach", "next": ["b"], "foreach_artifact": "xs", "matching_join": "j"},
        "b": {"type": "linear", "next": ["c"]},
        "c": {"type": "linear", "next": ["j"]},
        "j": {"type": "join", "next": ["s"]},
        "s": {
            "type": "split-switch", "next": ["l", "z"], "condition": "v",
            "switch_cases": {"on": "l", "config:cfg.off": "z"},
        },
        "l": {"type": "linear", "next": ["z"]},
        "z": {"type": "end", "next": []},
    },
}  # fmt: skip
PARAMETERS = TaskName("_parameters", "0")


def task(
    run: RunIdentity, name: str, jump: Transition | None, *parents: str, **more: Any
) -> FinishedTask:
    """A task that is done, and what its `self.next` said."""
    made = finished_task(run, name, {"x": name.encode()}, parents=parents)
    return replace(made, record=replace(made.record, transition=jump, **more), blob=None)


def level(index: int) -> tuple[ForeachLevel, ...]:
    """The place of a task in the foreach."""
    return (ForeachLevel("a", "xs", 2, index, "pq"[index]),)


def whole_run(run: RunIdentity) -> list[FinishedTask]:
    """All tasks of a run up to the switch, of which the last leads to the end."""
    work = [task(run, f"b/{n + 2}", Transition(("c",)), "a/1", frames=level(n)) for n in (0, 1)]
    more = [
        task(run, f"c/{n + 4}", Transition(("j",)), f"b/{n + 2}", frames=level(n)) for n in (0, 1)
    ]
    return [
        task(run, "a/1", Transition(("b",), "xs", 2), "_parameters/0", extra={SPLIT_VALUES: ["p", "q"]}),
        *work,
        *more,
        task(run, "j/6", Transition(("s",)), "c/4", "c/5"),
        task(run, "s/7", Transition(("z",)), "j/6"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with one run, which failed at its end."""
    repo = make_repo(tmp_path_factory.mktemp("adoption") / "repo")
    opened = open_repo(repo)
    info = replace(draft("F"), graph=GRAPH, secrets={"the-rate": "h1", "old": "h2"})
    with create_run(opened, info, take_snapshot(opened)) as writer:
        parameters = finished_task(writer.identity, "_parameters/0", {"rate": b"1", "size": b"2"})
        writer.commit([parameters])
        tasks = whole_run(writer.identity)
        # The first task follows nothing: parameters are no step of the plan.
        tasks[0] = replace(tasks[0], record=replace(tasks[0].record, parents=()))
        writer.commit(tasks)
        writer.commit([finished_task(writer.identity, "z/12", ok=False)], status=Status.FAILED)
    return repo


@pytest.fixture
def origin(repository: GitRepo) -> StoredRun:
    """That run."""
    return store_of(repository).get("F", "1")


def taken(
    origin: StoredRun,
    *rerun: str,
    graph: dict[str, Any] | None = None,
    trusted: bool = True,
    most: int = 10,
) -> tuple[Adoption, list[str]]:
    """What is adopted, and the steps that may run then."""
    plan = Plan(Shape.of(graph or GRAPH))
    runs = frozenset({origin.identity.uid}) if trusted else frozenset()
    again = (
        frozenset().union(*(plan.shape.downstream(step) for step in rerun))
        if rerun
        else frozenset()
    )
    found = adopt(plan, graph or GRAPH, origin, again, runs, most)
    ready = []
    while (planned := plan.take()) is not None:
        ready.append(planned.step)
    return found, ready


def changed(step: str, **fields: Any) -> dict[str, Any]:
    """The graph, where a step is another one."""
    steps = {name: dict(it) for name, it in GRAPH["steps"].items()}
    steps[step].update(fields)
    return {**GRAPH, "steps": steps}


def names(adoption: Adoption) -> list[str]:
    """The tasks that are adopted by name."""
    return [str(name) for name in adoption.names]


ALL = ["_parameters/0", "a/1", "b/2", "b/3", "c/4", "c/5", "j/6", "s/7"]


def test_a_split_that_is_done_is_taken_whole(origin: StoredRun) -> None:
    """The steps in it, and the others by name; what has failed runs again, under the next id."""
    found, ready = taken(origin)
    assert names(found) == ["_parameters/0", "a/1", "j/6", "s/7"]
    assert (found.steps, found.first_id, found.unreadable) == (("b", "c"), 13, ())
    assert ready == ["z"]


@pytest.mark.parametrize(
    ("step", "split", "is_said", "is_taken"),
    [
        ("a", {}, True, True), ("s", {}, True, False), ("a", {}, False, False),
        ("a", {"frames": level(0)}, True, False), ("a", {"place": object()}, True, False),
    ],
)  # fmt: skip
def test_which_splits_may_be_taken_whole(
    origin: StoredRun, step: str, split: dict[str, Any], is_said: bool, is_taken: bool
) -> None:
    """Those that have a join, went on, and lie in no other split."""
    planned: Any = SimpleNamespace(**({"step": step, "frames": (), "place": None} | split))
    jump = next(origin.records(step)).transition
    found: Any = SimpleNamespace(transition=jump if is_said else None)
    reuse: Any = SimpleNamespace(are_whole=lambda tasks: len([*tasks]) == 4)
    trusted = frozenset({origin.identity.uid})
    whole = resume._whole_split(GRAPH, origin, planned, found, frozenset(), trusted, reuse)
    assert (whole is not None) is is_taken


@pytest.mark.parametrize(
    ("parents", "of", "is_taken"),
    [
        (("c/4", "c/5"), "this", True),
        (("c/5",), "this", False),
        (("c/4", "s/7"), "this", False),
        (("c/4", "c/5", "c/4"), "this", False),
        (("c/4", "c/5"), "another", False),
    ],
)
def test_a_join_says_which_tasks_have_met(
    origin: StoredRun,
    monkeypatch: pytest.MonkeyPatch,
    parents: tuple[str, ...],
    of: str,
    is_taken: bool,
) -> None:
    """As many as the split made, all of them in it; a stranger's join is not believed."""
    record = replace(
        next(origin.records("j")),
        parents=tuple(map(TaskName.parse, parents)),
        run=origin.identity if of == "this" else RUN,
    )
    records = origin.records
    monkeypatch.setattr(
        origin, "records", lambda step: iter([record]) if step == "j" else records(step)
    )
    found, _ = taken(origin)
    assert (found.steps == ("b", "c")) is is_taken


def test_of_a_strangers_run_each_record_is_read(origin: StoredRun) -> None:
    """The same tasks are taken over, none of them by its step."""
    found, ready = taken(origin, trusted=False)
    assert (names(found), found.steps, ready) == (ALL, (), ["z"])
    narrow, ready = taken(origin, trusted=False, most=1)
    assert (names(narrow), ready) == (["_parameters/0"], ["a"])


@pytest.mark.parametrize(
    ("rerun", "adopted", "steps", "ready"),
    [
        ("a", 1, (), ["a"]),
        ("b", 2, (), ["b", "b"]),
        ("c", 4, (), ["c", "c"]),
        ("j", 2, ("b", "c"), ["j"]),
        ("s", 3, ("b", "c"), ["s"]),
    ],
)
def test_what_is_to_run_again_is_not_taken(
    origin: StoredRun, rerun: str, adopted: int, steps: tuple[str, ...], ready: list[str]
) -> None:
    """Nor what follows it."""
    found, runs = taken(origin, rerun)
    assert (len(found.names), found.steps, runs) == (adopted, steps, ready)


@pytest.mark.parametrize(
    ("step", "fields", "adopted", "ready"),
    [
        ("a", {"foreach_artifact": "ys"}, 1, ["a"]),
        ("a", {"matching_join": None}, 8, ["z"]),
        ("b", {"next": ["j"]}, 2, ["b", "b"]),
        ("c", {"type": "other"}, 8, ["z"]),
        ("l", {"next": ["c"]}, 8, ["z"]),
        ("s", {"next": ["l"]}, 3, ["s"]),
        ("s", {"type": "linear", "next": ["z"]}, 4, ["z"]),
        ("s", {"type": "linear", "next": ["l"]}, 3, ["s"]),
        ("s", {"type": "end", "next": []}, 3, ["s"]),
    ],
)
def test_where_the_flow_has_changed_tasks_run_again(
    origin: StoredRun, step: str, fields: dict[str, Any], adopted: int, ready: list[str]
) -> None:
    """Where what they said is not what they would say now; or each is looked at by itself."""
    found, runs = taken(origin, graph=changed(step, **fields))
    assert (len(found.names), runs) == (adopted, ready)


@pytest.mark.parametrize(
    ("step", "said", "still"),
    [
        ("gone", None, False),
        ("z", None, True),
        ("z", Transition(()), True),
        ("b", None, False),
        ("b", Transition(("c",)), True),
        ("b", Transition(("j",)), False),
        ("b", Transition(("c",), "xs", 2), False),
        ("a", Transition(("b",), "xs", 2), True),
        ("a", Transition(("b",), "xs", 0), False),
        ("a", Transition(("b",), "xs"), False),
        ("a", Transition(("b",)), False),
        ("s", Transition(("l",)), True),
        ("s", Transition(("z",)), True),
        ("s", Transition(("a",)), False),
        ("s", Transition(("l", "z")), False),
        ("s", Transition(("l",), "xs", 2), False),
        ("s", Transition(("l",), case="on"), True),
        ("s", Transition(("z",), case="on"), False),
        ("s", Transition(("l",), case="gone"), False),
        ("s", Transition(("z",), case="gone"), True),
        ("g", Transition(("b",), GANG, 2), True),
        ("g", Transition(("b",), GANG, 3), False),
        ("g", Transition(("b",), "xs", 2), False),
        ("h", Transition(("b",), GANG, 3), True),
    ],
)
def test_what_a_step_would_still_say(step: str, said: Transition | None, still: bool) -> None:
    """As the flow is now."""
    gang = {"type": "split-parallel", "next": ["b"], "num_parallel": 2}
    more = {"g": gang, "h": {**gang, "num_parallel": "self.n"}}
    assert resume.still_says({"steps": {**GRAPH["steps"], **more}}, step, said) is still


def test_what_lies_between_a_split_and_its_join() -> None:
    """All ways, however long."""
    assert resume._between(GRAPH, "a", "j") == {"b", "c"}
    assert resume._between(GRAPH, "s", "z") == {"l"}


def test_items_of_a_foreach_may_be_anybodys_data() -> None:
    """What is no text is shown as none."""
    assert resume._texts(["a", 1, None]) == ("a", "", "")
    assert resume._texts(("a",)) == ("a",)
    assert resume._texts({"a": 1}) == resume._texts("ab") == resume._texts(None) == ()


@pytest.mark.parametrize(
    ("parents", "frames", "index"),
    [
        (("a/1",), level(1), 1),
        (("b/1",), level(1), None),
        (("a/1", "a/2"), level(1), None),
        (("a/1",), (), None),
        ((), level(0), None),
    ],
)
def test_the_place_of_a_child(
    parents: tuple[str, ...], frames: tuple[ForeachLevel, ...], index: int | None
) -> None:
    """Only a task that follows the split itself has one."""
    record = TaskRecord(
        TaskName("b", "2"), RUN, parents=tuple(map(TaskName.parse, parents)), frames=frames
    )
    assert resume._index_among_children(record) == index


def test_parameters_are_those_of_the_run_itself(origin: StoredRun) -> None:
    """One that takes artifacts of other tasks for its own, or failed, has none."""
    found = resume.parameters_task(origin)
    assert found.name == PARAMETERS
    other = artifact(b"x", TaskName("a", "1"))
    bad = [
        SimpleNamespace(name=PARAMETERS, record=SimpleNamespace(ok=False, artifacts={})),
        SimpleNamespace(name=PARAMETERS, record=SimpleNamespace(ok=True, artifacts={"x": other})),
    ]
    for stored in bad:
        run = SimpleNamespace(
            has_step=lambda _: True, tasks=lambda _: ["0"], task=lambda _, it=stored: it, pathspec="F/1"
        )  # fmt: skip
        with pytest.raises(CorruptRecord, match="run F/1 has no parameters"):
            resume.parameters_task(cast("Any", run))
    with pytest.raises(CorruptRecord, match="has no parameters"):
        resume.parameters_task(
            cast("Any", SimpleNamespace(has_step=lambda _: False, pathspec="F/1"))
        )


def test_what_is_inherited_by_name(origin: StoredRun) -> None:
    """A resumed run has all, a clone those that the flow still has; of secrets the hashes."""
    stored = resume.parameters_task(origin)
    for kind, expected in ((RunKind.RESUME, ("rate", "size")), (RunKind.CLONE, ("size",))):
        graph = {"parameters": [{"name": "size"}, {"name": "new"}]}
        start = cast("Any", SimpleNamespace(request=SimpleNamespace(kind=kind), graph=graph))
        assert resume.inherited_names(start, stored) == expected
    assert resume.secrets_of(origin, ("rate", "size")) == {"rate": "h1"}
    assert resume.secrets_of(origin, ("old",)) == {"old": "h2"}


def find(repo: GitRepo, *made: str, address: str | None = None) -> str:
    """The run to go on from, where these were made here."""
    trust = cast("Any", SimpleNamespace(made_here=lambda run: str(run.id) in made))
    runs, typed = RunStore(open_repo(repo)), ("python", "f.py")
    return str(resume.find_origin(runs, trust, "F", typed, address).id)


def test_the_run_to_go_on_from(tmp_path: Path) -> None:
    """The newest that this user made and that has ended; one that is named may be anybody's; none that runs."""
    repo = make_repo(tmp_path / "repo")
    with pytest.raises(NotFound, match="flow 'F' has no run that could be resumed") as nothing:
        find(repo)
    assert nothing.value.hint == "`run` starts the first one"
    opened = open_repo(repo)
    for _ in range(3):
        with create_run(opened, draft("F"), take_snapshot(opened)) as writer:
            writer.commit([], status=Status.DONE)
    assert find(repo, "1", "2", "3") == "3"
    assert find(repo, "1", "2") == "2"
    assert find(repo, address="1") == "1"
    with pytest.raises(NotFound, match="none of the runs of flow 'F'") as strangers:
        find(repo)
    words = "`python f.py resume 3` or `python f.py resume 2`"
    assert str(strangers.value.hint).startswith(words)
    with create_run(opened, draft("F"), take_snapshot(opened)):
        assert find(repo, "1", "4") == "1"
        for made, address in ((("4",), None), (("1",), "4")):
            with pytest.raises(UsageError, match="run F/4 is still running"):
                find(repo, *made, address=address)
