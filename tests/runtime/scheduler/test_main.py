"""The scheduler's process without a run: what it answers, and what it tells of a run's beginning."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import LeftOut
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.trees import task_blob
from gitflowrun.runtime.ipc.events import Event, Notice, StepCloned, TaskCloned
from gitflowrun.runtime.ipc.messages import (
    InheritedParameters,
    Interrupt,
    Message,
    Parent,
    RunContext,
    RunFinished,
    RunRefused,
    SecretValue,
    StartRun,
    StoredParameters,
)
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.runtime.scheduler import main, run_info
from gitflowrun.runtime.scheduler.main import SchedulerMain
from gitflowrun.runtime.scheduler.resume import Adoption
from gitflowrun.runtime.scheduler.setup import Channels
from gitflowrun.values import replace
from tests.runtime.scheduler.wire import Wire

RUN = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20))
START = StartRun(
    flow="MyFlow", graph={}, request=RunRequest(RunKind.RUN, 1, 1), parameters=None, script="f.py",
    command=(), typed=(), directory=None, outside=(), path=(), why_not_fork=None,
    hash_seed="random", seeds={}, repository={}, config={},
)  # fmt: skip


class Asking(Wire):
    """A channel with one message to receive."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message

    def receive(self) -> tuple[Message, list[int]]:
        """The message."""
        return self.message, []


def scheduler_of(wire: Asking) -> SchedulerMain:
    """The scheduler at the other end of a channel."""
    return SchedulerMain(Channels(cast("Any", wire), None), lambda *_: lambda _: None)


@pytest.fixture
def tidied(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The repositories that were maintained; each is opened as a word."""
    tidied: list[object] = []
    monkeypatch.setattr(Repository, "opened", lambda *_: "opened")
    monkeypatch.setattr(main, "tidy", tidied.append)
    return tidied


def test_how_a_run_ends_is_said_and_the_repository_maintained(
    monkeypatch: pytest.MonkeyPatch, tidied: list[object]
) -> None:
    """The exit code and what ended the run; what follows can't change it."""
    wire = Asking(START)
    monkeypatch.setattr(SchedulerMain, "_run", lambda *_: (3, "why"))
    assert scheduler_of(wire).serve() == 3
    assert wire.sent == [RunFinished(3, "why")]
    assert tidied == ["opened"]


def test_a_run_that_can_not_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, tidied: list[object]
) -> None:
    """The error goes to who shows it, with its class and hint; nothing else is said or done."""
    wire, error = Asking(START), NotFound("no such run", hint="look")

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(SchedulerMain, "_run", refuse)
    assert scheduler_of(wire).serve() == error.exit_code
    assert wire.sent == [RunRefused("NotFound", "no such run", "look")]
    assert tidied == []


def test_without_a_request_nothing_is_done(tidied: list[object]) -> None:
    """It was `--help`, or a mistake on the command line."""
    wire = Asking(Interrupt(2))
    assert scheduler_of(wire).serve() == 0
    assert (wire.sent, tidied) == ([], [])


def test_parameters_that_an_origin_lacks_are_asked_for() -> None:
    """The launcher process evaluates them, unless it was given up meanwhile."""
    stored = StoredParameters({}, {}, (), {}, (), 1.0, 2.0)
    wire, asked = Asking(stored), InheritedParameters("3", ("alpha",))
    assert scheduler_of(wire)._ask_parameters(asked) is stored
    assert wire.sent == [asked]
    with pytest.raises(UsageError, match="given up"):
        scheduler_of(Asking(Interrupt(2)))._ask_parameters(asked)


@pytest.mark.parametrize("kind", [RunKind.RUN, RunKind.CLONE])
def test_a_new_run_and_a_clone_take_no_tasks_over(kind: RunKind) -> None:
    """A clone has an origin, and only its parameters."""
    start = SimpleNamespace(request=RunRequest(kind, 1, 1), graph={})
    origin = None if kind is RunKind.RUN else "a run"
    run = main._NewRun(*map(cast, ["Any"] * 6, [0, start, origin, 0, 0, 0]))
    assert run.adopt(cast("Any", None)) == Adoption((), 1)


def told(say: Any, *args: object) -> list[Event]:
    """The events of a call."""
    events: list[Event] = []
    say(*args, events.append)
    return events


def test_tasks_that_are_taken_over_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by its name, but for parameters, and for those of a step that has very many."""
    monkeypatch.setattr(main, "CLONED_BY_NAME", 2)
    tasks = {"few": ["5", "6"], "many": ["7", "8", "9"]}
    origin = SimpleNamespace(identity=RUN, tasks=tasks.__getitem__)
    names = (TaskName("_parameters", "0"), TaskName("start", "1"))
    adoption = Adoption(names, 10, ("few", "many"))
    assert told(main._notify_cloned, origin, adoption) == [
        TaskCloned(TaskName("start", "1"), RUN),
        TaskCloned(TaskName("few", "5"), RUN),
        TaskCloned(TaskName("few", "6"), RUN),
        StepCloned("many", 3, RUN),
    ]


def test_what_an_origin_lacks_is_told() -> None:
    """What can't be read is bad; that nothing of it is trusted is how it is."""
    origin = SimpleNamespace(pathspec="MyFlow/3")
    adoption = Adoption((), 1, (), ("start/1: gone",))
    assert told(main._notify_lacking, origin, adoption, frozenset({RUN.uid})) == [
        Notice("start/1: gone; what it had done is done again.", bad=True)
    ]
    (_, notice) = told(main._notify_lacking, origin, adoption, frozenset())
    assert isinstance(notice, Notice)
    assert "MyFlow/3 is not trusted" in notice.text
    assert not notice.bad


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 {0} is not in {1}: 0."),
        (3, "3 {0}s are not in {1}: 0, 1, 2."),
        (4, "4 {0}s are not in {1}: 0, 1, 2, ...."),
    ],
)
def test_what_is_not_in_the_snapshot_is_told(count: int, words: str) -> None:
    """Files and modules, three of them by name."""
    names = list(map(str, range(count)))
    (notice,) = told(main._notify_outside, names)
    where = "the flow's repository, so the run has no copy of the code"
    assert notice == Notice(words.format("module", where))
    snapshot = SimpleNamespace(left_out=[LeftOut(name, 1, "big") for name in names])
    (notice,) = told(main._notify_left_out, snapshot)
    assert isinstance(notice, Notice)
    found = notice.text.replace(" (big)", "")
    assert found == words.format("file", "the run's snapshot of the code")


def test_a_whole_snapshot_is_not_spoken_of() -> None:
    """Where everything is in it; of what may be a secret is told how to take it all the same."""
    assert told(main._notify_outside, []) == []
    assert told(main._notify_left_out, SimpleNamespace(left_out=[])) == []
    secret = SimpleNamespace(left_out=[LeftOut("a", 1, "big"), LeftOut("b", 1, "maybe a secret")])
    (_, hint) = told(main._notify_left_out, secret)
    assert "runs.snapshot.include" in str(hint)


@pytest.mark.parametrize("is_bare", [False, True])
def test_what_all_tasks_have_in_common(monkeypatch: pytest.MonkeyPatch, is_bare: bool) -> None:
    """Run and origin, where things lie, and what the user and the settings say."""
    monkeypatch.setenv("METAFLOW_TEMPDIR", "/scratch")
    settings = SimpleNamespace(
        namespace_of=lambda user: f"user:{user}", durability=SimpleNamespace(value="safe")
    )
    repo = SimpleNamespace(
        settings=settings, objects_dir="/r/objects", packs=SimpleNamespace(incoming="/r/in"),
        git_dir="/r", work_tree=None if is_bare else "/w", shared_mode=0o660,
    )  # fmt: skip
    origin = None if is_bare else SimpleNamespace(identity=RUN)
    request = RunRequest(RunKind.RUN, 1, 7, tags=("best",), namespace="other" if is_bare else None)
    start = replace(START, request=request, seeds={"numpy": 1})
    secret = SecretValue("c", b"", (b"x",))
    stored = StoredParameters({}, {}, (), {}, (), 1.0, 2.0, secrets={"key": secret})
    trusted = frozenset({RUN.uid})
    run = main._NewRun(*map(cast, ["Any"] * 6, [repo, start, origin, None, trusted, "ada"]))
    context = run.context(RUN, stored, 5.0)
    own = run_info.parameters_task(RUN, stored, None, trusted).record
    assert context == RunContext(
        run=RUN,
        origin=None if is_bare else RUN,
        user="ada",
        namespace="other" if is_bare else "user:ada",
        tags=("best",),
        objects_dir="/r/objects",
        incoming="/r/in",
        git_dir="/r",
        work_tree="" if is_bare else "/w",
        snapshot_begun=5.0,
        metadata="local@/r" if is_bare else "local@/w",
        durability="safe",
        shared=0o660,
        trusted_runs=trusted,
        max_num_splits=7,
        tempdir="/scratch",
        seeds={"numpy": 1},
        parameters=Parent(own.name, task_blob(own)[0]),
        secrets={"key": secret},
    )
