"""What people and other processes are told of a run while it goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun import limits
from gitflowrun.git.objects import Oid
from gitflowrun.masking import Mask
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.ipc import events, process
from gitflowrun.runtime.ipc.events import Event
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    Message,
    Result,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import TaskLost, TaskOutput, TaskPlaced
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from tests.runtime.scheduler.test_course import (
    FOREACH,
    JUMPS,
    Bench,
    _methods,
    ends,
    good,
    starts,
)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends waits for none of its tasks."""
    monkeypatch.setattr(limits, "GRACE", 0.05)
    monkeypatch.setattr(limits, "LAST_GRACE", 0.02)


def test_what_the_scheduler_says_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may quote the command line of a program that a step has left behind."""
    found = [(9, "run --key hunter2-hunter2")]
    monkeypatch.setattr(process, "left_behind", lambda _: found)
    monkeypatch.setattr(limits, "LEFT_BEHIND_GRACE", 0.01)
    monkeypatch.setattr(limits, "LEFT_BEHIND_PAUSE", 0.004)
    bench = Bench(good, mask=Mask({"key": [b"hunter2-hunter2"]}))
    begun = time.monotonic()
    assert bench.run() == (Status.DONE, None)
    assert 0.01 <= time.monotonic() - begun < 30
    (line,) = bench.of(events.TaskLine)
    assert line.text == "Processes that the step left behind were ended: 9 (run --key ***)."


def test_other_code_is_told_once_and_logged_each_time() -> None:
    """Of each task that ran it, in its log; for all of them together, in one notice."""

    def runs_code(launch: Launch) -> list[Message]:
        jump = JUMPS.get(launch.task.step)
        code = {"f.py": Oid(b"c" * 20)} if launch.task.step == "work" else {}
        result = Result(launch.serial, {}, {}, (), jump, code=code)
        return [Started(launch.serial, 7), result, Exited(launch.serial, 0, 0.1, 1)]

    bench = Bench(runs_code, FOREACH)
    bench.other = {"f.py": "edited"}
    records: list[Any] = []
    bench.writer.commit = lambda tasks, **_: records.extend(tasks)
    bench.run()
    (notice,) = bench.of(events.Notice)
    text = "The code that ran differs from the run's snapshot: f.py."
    assert (notice.text, notice.bad) == (f"Task work/2: {text}", True)
    logs = [task.stderr.decode() for task in records if task.record.name.step == "work"]
    assert logs == [f"{text}\n"] * 5
    assert bench.of(events.TaskLine) == []


def test_nothing_is_told_of_code_that_is_as_it_was() -> None:
    """Files that were looked at and are the same."""
    code = {"f.py": Oid(b"c" * 20)}
    bench = Bench(
        lambda it: [Result(it.serial, {}, {}, (), None, code=code), Exited(it.serial, 0, 0.1, 1)]
    )
    records: list[Any] = []
    bench.writer.commit = lambda tasks, **_: records.extend(tasks)
    bench.run()
    assert bench.of(events.Notice) == []
    assert records[0].stderr == b""


def test_output_of_tasks_that_take_long_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a while after their start: what they wrote before, what they write then, and what is said of them."""
    monkeypatch.setattr(limits, "LIVE_AFTER", 0.01)
    bench = Bench(starts)
    bench.wrote = b"early\n"
    copied: list[tuple[str, bytes]] = []
    end = partial(bench.scheduler.stop, Status.FAILED, "enough", signal.SIGTERM)
    pipes: list[int] = []
    steps: dict[bytes, Callable[[], object]] = {
        b"early\n": lambda: os.write(pipes[0], b"late"),
        b"late": end,
    }

    def launch(it: Launch, output: TaskPipes) -> None:
        with output.make() as (stdout, stderr):
            pipes.append(os.dup(stdout))
            bench.begin(it, stdout, stderr)

    def write(_: TaskName, stream: str, data: bytes, __: int) -> None:
        copied.append((stream, data))
        bench.later(steps.get(data, lambda: None))

    bench.scheduler._executor = cast(
        "Any", SimpleNamespace(**_methods(bench), is_remote=False, ahead=lambda _: 0, launch=launch)
    )
    bench.live.write = write
    bench.later(end, 20)
    bench.run()
    os.close(pipes[0])
    words = b"[KILLED BY ORCHESTRATOR]\n"
    assert copied == [("stdout", b"early\n"), ("stdout", b"late"), ("stderr", words)]


def test_output_of_tasks_that_have_ended_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the commit soon."""
    monkeypatch.setattr(limits, "LIVE_AFTER", 0)
    bench = Bench(good)
    bench.wrote = b"words\n"
    bench.run()
    assert bench.writes == []


def test_output_of_tasks_that_were_placed_twice_is_not_copied_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent gave such a task back that was taken for begun; where it ran then, it ended soon.

    That it was launched again, for its worker was lost before, is said once.
    """
    monkeypatch.setattr(limits, "LIVE_AFTER", 0.2)
    monkeypatch.setattr(limits, "RELAUNCH_DELAY", 0.0)
    bench = Bench(good, FOREACH)
    records: list[Any] = []
    bench.writer.commit = lambda tasks, **_: records.extend(tasks)

    def launch(it: Launch, _: TaskPipes) -> None:
        placed = [TaskPlaced(it.serial, host, f"{host} (agent 1)") for host in ("h1", "h2")]
        is_first = it.task.step == "start"
        if it.serial == 1:
            bench.later(partial(bench.scheduler.deliver, TaskLost(1, "no power")))
            return
        words = [TaskOutput(it.serial, "stdout", b"words\n")] if is_first else []
        said: list[Any] = [*placed, Started(it.serial, 7), *words]
        for message in said:
            bench.later(partial(bench.scheduler.deliver, message))
        for message in ends(it):
            bench.later(partial(bench.scheduler.deliver, message), 0.3 * (it.task.step == "end"))

    bench.scheduler._executor = cast(
        "Any", SimpleNamespace(**_methods(bench), is_remote=True, ahead=lambda _: 0, launch=launch)
    )
    assert bench.run() == (Status.DONE, None)
    assert bench.begun[1].host == "h2"
    assert records[0].stderr == b"Launched again: no power\n"
    assert bench.writes == []


def test_progress_is_told_when_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks by step, those that wait, a line without an end; now and then also when nothing has changed."""
    monkeypatch.setattr(limits, "PROGRESS_INTERVAL", 0.0)
    monkeypatch.setattr(limits, "HEARTBEAT", 0.01)
    bench = Bench(lambda it: good(it) if it.task.step == "start" else starts(it), FOREACH)
    bench.wrote = b"bar 1\rbar 2"
    seen: list[events.Progress] = []

    def notify(event: Event) -> None:
        if isinstance(event, events.Progress) and event.running == (("work", 2),):
            seen.append(event)
            if len(seen) == 8:
                bench.scheduler.stop(Status.FAILED, "enough")
        bench.events.append(event)

    bench.notify = notify
    bench.later(partial(bench.scheduler.stop, Status.FAILED, "nothing comes"), 20)
    assert bench.run() == (Status.FAILED, "enough")
    assert {(it.done, it.queued) for it in seen} == {(1, 3)}
    lines = {it.line for it in bench.of(events.Progress)}
    assert {None, (TaskName("work", "3"), "bar 2")} <= lines
    assert seen[-1].line is None
    assert all(0 <= it.seconds < 60 for it in seen)


def test_progress_is_told_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much happens, and at the very end."""
    monkeypatch.setattr(limits, "PROGRESS_INTERVAL", 30.0)
    bench = Bench(good, FOREACH)
    bench.run()
    first, last = bench.of(events.Progress)
    assert (first.done, last.done) == (0, 8)


def test_a_line_that_is_being_written_is_shown_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing else happens."""
    monkeypatch.setattr(limits, "PROGRESS_INTERVAL", 0.2)
    monkeypatch.setattr(limits, "HEARTBEAT", 100)
    bench = Bench(starts)
    bench.wrote = b"bar 1"

    def notify(event: Event) -> None:
        if isinstance(event, events.Progress) and event.line is not None:
            bench.scheduler.stop(Status.FAILED, "seen")

    bench.notify = notify
    bench.later(partial(bench.scheduler.stop, Status.FAILED, "not seen"), 10)
    assert bench.run() == (Status.FAILED, "seen")
