"""The scheduler of a run, with an executor that makes no processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gitflowrun import limits
from gitflowrun.git.tree_edit import EMPTY_TREE
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.live import LiveState
from gitflowrun.runs.records import Transition
from gitflowrun.runs.runs import Status
from gitflowrun.runtime.ipc.channel import Connection
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Event, RunEnded, TaskLine, TaskStarted
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    LaunchFailed,
    Message,
    Result,
    Started,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from gitflowrun.runtime.scheduler.attempt import Job, TaskAttempt
from gitflowrun.runtime.scheduler.card_queue import CardQueue
from gitflowrun.runtime.scheduler.code_check import CodeCheck
from gitflowrun.runtime.scheduler.logs import TaskLog
from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask, Shape
from gitflowrun.runtime.scheduler.scheduler import Scheduler
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import open_repo, start_run

SHAPE = Shape("start", "end", frozenset(), {"start": ("end",), "end": ()})


class FakeExecutor:
    """An executor that answers each launch with messages made by the test."""

    is_remote = False

    def ahead(self, _: str) -> int:
        """None: each task begins at once."""
        return 0

    def __init__(self, loop: EventLoop, answer: Callable[[Launch], list[Message]]) -> None:
        self.loop = loop
        self.answer = answer
        self.launched: list[Launch] = []
        self.deliver: Callable[[Message], None] = lambda _: None

    def launch_ahead(self, _: Launch, __: TaskPipes) -> None:
        """Never called."""
        raise AssertionError

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Make its pipes, and begin."""
        with output.make() as (stdout, stderr):
            self.begin(launch, stdout, stderr)

    def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Answer in the next turn."""
        assert stdout != stderr
        self.launched.append(launch)
        for message in self.answer(launch):
            self.loop.after(0, lambda message=message: self.deliver(message))  # type: ignore[misc]

    def kill(self, serial: int, number: int) -> None:
        """There is nothing to kill."""

    def withdraw(self) -> None:
        """Nothing waits here."""

    def announce_silence(self) -> None:
        """There is nobody to tell."""

    def close(self) -> None:
        """There is nothing to close."""


def good(launch: Launch) -> list[Message]:
    """A task that does what it is to do."""
    jump = {"start": Transition(("end",))}.get(launch.task.step)
    return [
        Started(launch.serial, 7),
        Result(launch.serial, {}, {}, (), jump),
        Exited(launch.serial, 0, 0.1, 1 << 20),
    ]


def no_renderer(has_flow: bool) -> Connection:
    """Nobody asks for cards."""
    raise AssertionError(has_flow)


def schedule(
    repo: GitRepo,
    answer: Callable[[Launch], list[Message]],
    kind: type[FakeExecutor] = FakeExecutor,
) -> tuple[Status, FakeExecutor, list[Event]]:
    """Run a flow of two steps on a fake executor."""
    loop = EventLoop()
    executor = kind(loop, answer)
    events: list[Event] = []
    with start_run(repo) as writer:
        live = LiveState(open_repo(repo), writer.identity.uid)
        scheduler = Scheduler(
            loop, writer, Plan(SHAPE), executor, events.append, live,
            CodeCheck(open_repo(repo), EMPTY_TREE), CardQueue(no_renderer, live.directory, None),
            max_workers=4, max_log_size=1000,
        )  # fmt: skip
        executor.deliver = scheduler.deliver
        status, _ = scheduler.run()
    loop.close()
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status is status
    return status, executor, events


class HastyExecutor(FakeExecutor):
    """An executor whose tasks write before anybody hears that they have started."""

    def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Write now, answer later."""
        os.write(stdout, b"early\n")
        self.loop.after(0.02, lambda: FakeExecutor.begin(self, launch, stdout, stderr))


def test_no_line_comes_before_its_task_has_started(repo: GitRepo) -> None:
    """What a task writes before its process is announced waits for that, and is not lost."""
    _, _, events = schedule(repo, good, kind=HastyExecutor)
    shown = [event for event in events if isinstance(event, (TaskStarted, TaskLine))]
    seen = [event for event in shown if event.task.step != PARAMETERS_STEP]
    assert [type(event) for event in seen] == [TaskStarted, TaskLine] * 2
    assert {event.pid for event in seen} == {7}


def test_a_process_that_cannot_be_made_is_tried_again(repo: GitRepo) -> None:
    """It is nobody's attempt; when it goes on like that the run fails with the reason."""
    refused = iter([True, True])

    def refuses(launch: Launch) -> list[Message]:
        if launch.task.step == "start" and next(refused, False):
            return [LaunchFailed(launch.serial, "no more processes")]
        return good(launch)

    status, executor, _ = schedule(repo, refuses)
    assert status is Status.DONE
    assert [launch.attempt for launch in executor.launched if launch.task.step == "start"] == [
        0,
        0,
        0,
    ]

    status, _, events = schedule(
        repo, lambda launch: [LaunchFailed(launch.serial, "no more processes")]
    )
    assert status is Status.FAILED
    end = events[-1]
    assert isinstance(end, RunEnded)
    assert "no more processes" in str(end.error)


def test_why_a_task_failed_is_shown(repo: GitRepo) -> None:
    """As a line of its log, for those who watch as well."""

    def dies(launch: Launch) -> list[Message]:
        killed: list[Message] = [
            Started(launch.serial, 7),
            Exited(launch.serial, signal.SIGKILL, 0.1, 0),
        ]
        return killed if launch.task.step == "start" else good(launch)

    status, _, events = schedule(repo, dies)
    assert status is Status.FAILED
    (line,) = [event for event in events if isinstance(event, TaskLine)]
    assert (line.task.step, line.system) == ("start", True)
    assert line.text.startswith("Task failed: its process was killed by SIGKILL")


def test_what_can_not_be_killed_is_not_waited_for(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs in the kernel dies of nothing: the run ends without it."""
    monkeypatch.setattr(limits, "LAST_GRACE", 0.05)
    signals: list[int] = []

    class Deaf(FakeExecutor):
        def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
            super().begin(launch, stdout, stderr)
            if launch.task.step == "start":
                for _ in range(2):
                    self.loop.after(0.05, lambda: _scheduler(self).interrupt(signal.SIGINT))
                self.loop.after(600, lambda: self.deliver(Exited(launch.serial, 0, 0.0, 0)))

        def kill(self, serial: int, number: int) -> None:
            del serial
            signals.append(number)

    def starts(launch: Launch) -> list[Message]:
        return [Started(launch.serial, 1)] if launch.task.step == "start" else good(launch)

    begun = time.monotonic()
    status, _, _ = schedule(repo, starts, kind=Deaf)
    assert status is Status.INTERRUPTED
    assert signals[:2] == [signal.SIGINT, signal.SIGKILL]
    assert time.monotonic() - begun < 300


@pytest.mark.parametrize(
    ("number", "first"), [(None, []), (signal.SIGINT, [signal.SIGINT])], ids=["failed", "ctrl-c"]
)
def test_what_goes_on_is_asked_to_end_and_then_killed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, number: int | None, first: list[int]
) -> None:
    """A task that does not end has some seconds for it when its run ends, whatever ends that."""
    monkeypatch.setattr(limits, "GRACE", 0.1)
    monkeypatch.setattr(limits, "LAST_GRACE", 0.05)
    signals: list[int] = []

    class Stubborn(FakeExecutor):
        def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
            super().begin(launch, stdout, stderr)
            if launch.task.step == "start":
                stop = partial(_scheduler(self).stop, Status.FAILED, "another failed", number)
                self.loop.after(0.05, stop)
                self.loop.after(10, lambda: self.deliver(Exited(launch.serial, 0, 0.0, 0)))

        def kill(self, serial: int, number: int) -> None:
            signals.append(number)
            if number == signal.SIGKILL:
                self.loop.after(0, lambda: self.deliver(Exited(serial, number, 0.0, 0)))

    def starts(launch: Launch) -> list[Message]:
        return [Started(launch.serial, 1)] if launch.task.step == "start" else good(launch)

    status, _, events = schedule(repo, starts, kind=Stubborn)
    assert status is Status.FAILED
    assert signals == [*first, signal.SIGTERM, signal.SIGKILL]
    assert "another failed" in str(events[-1])


def _scheduler(executor: FakeExecutor) -> Scheduler:
    scheduler = getattr(executor.deliver, "__self__", None)
    assert isinstance(scheduler, Scheduler)
    return scheduler


def test_a_pipe_that_cannot_be_made_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a task's second pipe fails, both ends of the first one are closed again."""
    loop, job = EventLoop(), Job(PlannedTask("start", ()), TaskName("start", "1"))
    attempt = TaskAttempt(loop, job, 1, TaskLog(1000), lambda *_: None)
    before, made = sorted(Path("/proc/self/fd").iterdir()), [os.pipe()]

    def pipe() -> tuple[int, int]:
        if not made:
            raise OSError(errno.EMFILE, "Too many open files")
        return made.pop()

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="Too many"), attempt.output.make():
        pass
    attempt.end()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    loop.close()


def test_the_scheduler_loads_neither_flows_nor_libgit2() -> None:
    """Its process imports no module that only tasks need, and nothing that is slow to load."""
    code = (
        "import sys\n"
        "import gitflowrun.cli.flow.run_log, gitflowrun.runtime.scheduler.main\n"
        "heavy = ('pygit2', 'click', 'numpy', 'inspect', 'ctypes', 'platform', 'gitflowrun.flow',"
        "'gitflowrun.runtime.worker')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "[]\n"
