"""From a request to a run in the scheduler's process, up to where its tasks would be executed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import RepositoryError
from gitflowrun.git.repository import Repository
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState, StartedTask
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runtime.ipc.events import Event, Notice, RunStarted
from gitflowrun.runtime.ipc.messages import (
    InheritedParameters,
    Interrupt,
    Message,
    RunFinished,
    RunNamed,
    RunRefused,
    StartRun,
    StoredParameters,
)
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.runtime.scheduler import main, run_info
from gitflowrun.runtime.scheduler.main import SchedulerMain
from gitflowrun.runtime.scheduler.setup import Channels
from gitflowrun.settings import Isolation
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, store_of
from tests.runtime.scheduler.wire import Wire

STEPS = {"start": ["train"], "train": ["end"], "end": []}
GRAPH = {
    "start_step": "start", "end_step": "end", "parameters": [{"name": "alpha"}],
    "steps": {name: {"type": "linear", "next": following} for name, following in STEPS.items()},
}  # fmt: skip
STORED = StoredParameters({"alpha": "0.5"}, {}, (), {}, (), 1.0, 2.0, notices=("mind this",))


class Launcher(Wire):
    """The launcher process's end: it says these, one after the other."""

    def __init__(self, *says: Message) -> None:
        super().__init__()
        self.says = [*says]

    def receive(self) -> tuple[Message, list[int]]:
        """The next one."""
        return self.says.pop(0), []


class Served:
    """A request that is served, with an execution that only notes what it is given.

    Args:
        repo: The repository.
        kind: What is asked for.
        answer: What the launcher process says when it is asked for parameters.
        parameters: What it says of them at once.
        why_not_fork: Why tasks can't be forked.
        request: Of the request.
    """

    def __init__(
        self,
        repo: GitRepo,
        kind: RunKind = RunKind.RUN,
        answer: Message = STORED,
        parameters: StoredParameters | None = STORED,
        why_not_fork: str | None = None,
        **request: Any,
    ) -> None:
        self.events: list[Event] = []
        self.executed: list[tuple[Any, ...]] = []
        start = StartRun(
            flow="MyFlow", graph=GRAPH, request=RunRequest(kind, 1, 1, **request),
            parameters=parameters, script=str(repo.path / "f.py"), command=(), typed=("f.py",),
            directory=None, outside=("mod",), path=(), why_not_fork=why_not_fork,
            hash_seed="random", seeds={}, repository={}, config={},
        )  # fmt: skip
        self.launcher = Launcher(start, answer)
        channels = Channels(cast("Any", self.launcher), None)
        served = self

        class Execution:
            def __init__(self, *parts: Any) -> None:
                served.executed.append(parts)

            def execute(self) -> tuple[int, str | None]:
                return 3, "why"

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(main, "RunExecution", Execution)
            patched.setattr(Repository, "opened", lambda *_: open_repo(repo))
            self.code = SchedulerMain(channels, lambda *_: self.events.append).serve()

    @property
    def texts(self) -> list[str]:
        """The notices."""
        return [it.text for it in self.events if isinstance(it, Notice)]


def run_of(repo: GitRepo, number: str) -> StoredRun:
    """A run of the repository."""
    return store_of(repo).get("MyFlow", number)


def test_a_request_becomes_a_run(repo: GitRepo, tmp_path: Path) -> None:
    """It is named, announced and told, and then executed; what dead runs left is swept, payloads are known."""
    repo.git("config", "runs.nonsense", "1")
    old = make_run(repo, "Other")
    opened = open_repo(repo)
    LiveState(opened, old.uid).start(StartedTask(TaskName("start", "1"), 1.0, (), ()))
    live = opened.state_dir / "live" / str(old.uid)
    for path in (live / "tasks", live):
        os.utime(path, (0, 0))
    DedupIndex(opened.state_dir, opened.objects).remove()
    served = Served(repo, run_id_file=tmp_path / "id", tags=("best",))
    run = run_of(repo, "2")
    assert served.code == 3
    assert served.launcher.sent == [RunNamed(run.identity), RunFinished(3, "why")]
    assert (tmp_path / "id").read_text().strip() == "2"
    assert served.events[0] == RunStarted(run.identity, None)
    assert [text for text in served.texts if "runs.nonsense" in text]
    assert "mind this" in served.texts
    assert any("1 module is not in the flow's repository" in text for text in served.texts)
    assert not any("fresh interpreter" in text for text in served.texts)
    assert not live.exists()
    assert DedupIndex(opened.state_dir, opened.objects).exists
    ((_, _, start, isolation, _, writer, plan, context, _, first_id, cache, engine),) = (
        served.executed
    )
    assert (cache, engine) == (None, None)
    assert (isolation, first_id, context.run) == (Isolation.FORK, 1, run.identity)
    assert start.flow == writer.info.flow == "MyFlow"
    assert plan.take().step == "start"
    assert run.status is Status.INTERRUPTED  # nothing has executed it
    assert run.steps() == ["_parameters"]
    assert (run.info.parameters, run.info.tags, run.info.origin) == (
        {"alpha": "0.5"}, ("best",), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "why", "isolation", "is_told"),
    [
        (None, None, Isolation.FORK, False),
        (None, "a thread runs", Isolation.FRESH, True),
        (Isolation.FORK, "a thread runs", Isolation.FRESH, True),
        (Isolation.INLINE, "a thread runs", Isolation.INLINE, False),
        (Isolation.FRESH, None, Isolation.FRESH, False),
    ],
)
def test_where_tasks_can_not_be_forked(
    repo: GitRepo, wanted: Isolation | None, why: str | None, isolation: Isolation, is_told: bool
) -> None:
    """They get fresh interpreters, and that is told where something else was asked for."""
    served = Served(repo, isolation=wanted, why_not_fork=why)
    assert served.executed[0][3] is isolation
    told = "Each task gets a fresh interpreter: a thread runs."
    assert (told in served.texts) is is_told


def _origin(repo: GitRepo) -> RunIdentity:
    identity = make_run(repo)
    make_run(repo, "Other")
    return identity


def test_a_resumed_run_takes_over_what_was_done(repo: GitRepo) -> None:
    """The newest of the flow, with its parameters; ids go on where it ended."""
    origin = _origin(repo)
    answer = StoredParameters({}, {}, (), {}, (), 1.0, 2.0)
    served = Served(repo, RunKind.RESUME, answer, None)
    run = run_of(repo, "3")
    assert served.launcher.sent == [
        InheritedParameters("1", ("alpha",)), RunNamed(run.identity), RunFinished(3, "why"),
    ]  # fmt: skip
    assert served.events[0] == RunStarted(run.identity, origin)
    assert run.info.origin is not None
    assert (run.info.origin.run, run.info.parameters) == (origin, {"alpha": "0.5"})
    name = TaskName("_parameters", "0")
    assert run.task(name).tree == run_of(repo, "1").task(name).tree
    assert served.executed[0][9] == 5
    assert served.executed[0][7].origin == origin


def test_parameters_of_a_resumed_run_may_be_new(repo: GitRepo) -> None:
    """Then it has a task of its own for them."""
    origin = _origin(repo)
    name = TaskName("_parameters", "0")
    refs = run_of(repo, "1").task(name).record.artifacts
    answer = StoredParameters({"beta": "1"}, {"beta": refs["alpha"]}, (), {}, (), 1.0, 2.0)
    Served(repo, RunKind.RESUME, answer, None, origin=str(origin.id))
    run = run_of(repo, "3")
    assert run.tasks("_parameters") == ["0"]
    assert run.task(name).tree != run_of(repo, "1").task(name).tree
    assert "beta" in run.task(name).record.artifacts


def test_a_clone_has_parameters_and_nothing_else(repo: GitRepo) -> None:
    """Those of the run that it is made from, of which none of the tasks is taken over."""
    origin = _origin(repo)
    served = Served(repo, RunKind.CLONE, STORED, None, origin="1")
    run = run_of(repo, "3")
    assert served.launcher.sent[0] == InheritedParameters("1", ("alpha",))
    assert run.steps() == ["_parameters"]
    assert served.executed[0][9] == 1
    assert served.executed[0][7].origin == origin


@pytest.mark.parametrize("kind", [RunKind.RESUME, RunKind.CLONE])
def test_who_gives_up_makes_no_run(repo: GitRepo, kind: RunKind) -> None:
    """Nor does who asks for a run that is not there."""
    served = Served(repo, kind, STORED, None, origin="9")
    assert [type(it) for it in served.launcher.sent] == [RunRefused]
    _origin(repo)
    served = Served(repo, kind, Interrupt(2), None, origin="1")
    (_, refused) = served.launcher.sent
    assert refused == RunRefused(
        "UsageError", "the command was given up before the run began", None
    )
    assert served.executed == []
    assert len(store_of(repo).summaries()) == 2


@pytest.mark.parametrize("place", ["_try_signing", "check_files"])
def test_what_can_be_checked_is_checked_before_anything_is_made(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A mistake leaves no run behind."""
    monkeypatch.setattr(main if place.startswith("_") else run_info, place, _fail)
    served = Served(repo)
    assert served.launcher.sent == [RunRefused("RepositoryError", "it can't be", "look")]
    assert store_of(repo).summaries() == []


def test_a_run_that_can_not_be_announced_has_failed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there by then, and says so."""
    monkeypatch.setattr(run_info, "announce", _fail)
    served = Served(repo)
    assert served.code == RepositoryError("x").exit_code
    assert isinstance(served.launcher.sent[-1], RunRefused)
    assert served.executed == []
    assert run_of(repo, "1").status is Status.FAILED


def _fail(*_: object) -> None:
    raise RepositoryError("it can't be", hint="look")


def test_what_is_lost_of_the_origin_is_told(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is what was taken over, as far as there is any."""
    _origin(repo)
    told: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda *_: told.append(name)

    for name in ("_notify_cloned", "_notify_lacking", "_notify_left_out"):
        monkeypatch.setattr(main, name, noted(name))
    Served(repo)
    assert told == ["_notify_left_out"]
    Served(repo, RunKind.RESUME, StoredParameters({}, {}, (), {}, (), 1.0, 2.0), None, origin="1")
    assert told[1:] == ["_notify_left_out", "_notify_cloned", "_notify_lacking"]
