"""The course of a run under a scheduler whose executor, writer and live state do nothing but note what is asked."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun import limits
from gitflowrun.git.objects import Oid
from gitflowrun.masking import Mask
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import StartedTask
from gitflowrun.runs.records import RunIdentity, TaskRecord, Transition
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runtime.ipc import events, process
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Event
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Interrupt,
    Launch,
    LaunchFailed,
    LaunchLost,
    Message,
    Result,
    Retries,
    Started,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from gitflowrun.runtime.scheduler.card_queue import CardQueue
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.scheduler import Scheduler

RUN = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20))
FOLLOWING = {"start": ("work",), "work": ("join",), "join": ("end",), "end": ()}
FOREACH = Shape("start", "end", frozenset({"join"}), FOLLOWING)
JUMPS = {
    "start": Transition(("work",), "items", 5),
    "work": Transition(("join",)),
    "join": Transition(("end",)),
}
ALONE = Shape("end", "end", frozenset(), {"end": ()})


Step = Message | Callable[[], object]
Answer = Callable[[Launch], Sequence[Step]]


class Bench:
    """A scheduler and all that it is connected to; tasks answer what the test says, in a turn of the loop.

    Args:
        answer: What comes of a launch, in this order: messages, and calls of the test's own.
        shape: The flow.
        options: Of the scheduler.
    """

    is_remote = False

    def ahead(self, _: str) -> int:
        """None: each task begins at once."""
        return 0

    def __init__(self, answer: Answer, shape: Shape = ALONE, **options: Any) -> None:
        self.loop = EventLoop()
        self.answer = answer
        self.events: list[Event] = []
        self.notify: Callable[[Event], None] = self.events.append
        self.launched: list[Launch] = []
        self.writes: list[tuple[str, bytes]] = []
        self.begun: list[StartedTask] = []
        self.killed: list[tuple[int, int]] = []
        self.commits: list[tuple[list[str], Status]] = []
        self.closed: list[str] = []
        self.errors: list[OSError] = []
        self.silences = 0
        self.wrote = b""
        self.late: list[Message] = []
        self.withdrawn: Callable[[], Sequence[Message]] = list
        self.other: dict[str, str] = {}
        self.writer = SimpleNamespace(
            identity=RUN, status=Status.RUNNING, unsigned=None, last_commit_cost=0.0, commit_oid=None,
            commit=self._commit,
        )  # fmt: skip
        self.live = SimpleNamespace(
            start=self.begun.append, close=lambda: self.closed.append("live"),
            write=lambda _, stream, data, __: self.writes.append((stream, data)),
            drop=lambda *_: None,
        )  # fmt: skip
        code = SimpleNamespace(differing=lambda _: self.other)
        self.cards = CardQueue(cast("Any", None), Path("/nowhere"), None)
        self.scheduler = Scheduler(
            self.loop, cast("Any", self.writer), Plan(shape), cast("Any", self),
            self._tell, cast("Any", self.live), cast("Any", code), self.cards,
            max_log_size=1000, **{"max_workers": 2, **options},
        )  # fmt: skip

    def _tell(self, event: Event) -> None:
        for each in event.events if isinstance(event, events.Published) else (event,):
            self.notify(each)  # whatever the test has put there

    def _commit(self, tasks: list[FinishedTask], status: Status, cards: object) -> None:
        assert cards == []
        self.commits.append(([str(task.record.name) for task in tasks], status))
        self.writer.status = status

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """As an executor: make its pipes, and begin."""
        with output.make() as (stdout, stderr):
            self.begin(launch, stdout, stderr)

    def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Note it, and answer."""
        self.launched.append(launch)
        if self.errors:
            raise self.errors.pop()
        os.write(stdout, self.wrote)
        assert stdout != stderr
        for it in self.answer(launch):
            self.later(it if callable(it) else partial(self.scheduler.deliver, it))

    def later(self, call: Callable[[], object], seconds: float = 0) -> None:
        """Call in a turn of the loop, or after some seconds."""

        def called() -> None:
            call()

        self.loop.after(seconds, called)

    def kill(self, serial: int, number: int) -> None:
        """As an executor: note it."""
        self.killed.append((serial, number))

    def withdraw(self) -> None:
        """As an executor: give back what waits."""
        for message in self.withdrawn():
            self.later(partial(self.scheduler.deliver, message))

    def announce_silence(self) -> None:
        """As an executor: note it."""
        self.silences += 1

    def close(self) -> None:
        """As an executor: note it."""
        self.closed.append("executor")

    def run(self) -> tuple[Status, str | None]:
        """Run to the end, which is near."""
        self.later(_hang, 15)
        try:
            return self.scheduler.run()
        finally:
            self.loop.close()

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def _hang() -> None:
    raise AssertionError("the run does not end")


def good(launch: Launch) -> list[Message]:
    """A task that does what it is to do."""
    return [Started(launch.serial, 7), *ends(launch)]


def ends(launch: Launch) -> list[Message]:
    """The end of such a task."""
    result = Result(launch.serial, {}, {}, (), JUMPS.get(launch.task.step))
    return [result, Exited(launch.serial, 0, 0.1, 1)]


def starts(launch: Launch) -> list[Message]:
    """A task that goes on and on."""
    return [Started(launch.serial, 7)]


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """No task has a process, and nobody waits for long."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(process, "left_behind", lambda _: [])
    monkeypatch.setattr(process, "signal_group", lambda *it: signals.append(it))
    monkeypatch.setattr(limits, "RELAUNCH_DELAY", 0.001)
    monkeypatch.setattr(limits, "GRACE", 0.01)
    monkeypatch.setattr(limits, "LAST_GRACE", 0.01)
    return signals


def test_a_run_from_its_start_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are launched in order, with ids, parents and frames; what is published is told, and all is closed.

    No commit is made before it lets something follow, unless it is due.
    """
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 30)
    bench = Bench(good, FOREACH, first_id=10)
    assert bench.run() == (Status.DONE, None)
    names = [str(launch.task) for launch in bench.launched]
    assert names == ["start/10", *(f"work/{n}" for n in range(11, 16)), "join/16", "end/17"]
    assert [launch.serial for launch in bench.launched] == [*range(1, 9)]
    assert [frame.index for it in bench.launched[1:6] for frame in it.frames] == [*range(5)]
    parents = [str(parent.name) for parent in bench.launched[6].parents]
    assert parents == names[1:6]
    assert bench.begun == [
        StartedTask(
            it.task, bench.begun[n].started, tuple(parent.name for parent in it.parents), it.frames
        )
        for n, it in enumerate(bench.launched)
    ]
    groups = [(names[:1], Status.RUNNING), (names[1:6], Status.RUNNING)]
    groups += [(names[6:7], Status.RUNNING), (names[7:], Status.DONE)]
    assert bench.commits == groups
    assert [str(it.task) for it in bench.of(events.TaskEnded)] == names
    assert all(it.ok and it.attempt == 0 for it in bench.of(events.TaskEnded))
    started = [(str(it.task), it.pid, it.attempt) for it in bench.of(events.TaskStarted)]
    assert started == [(name, 7, 0) for name in names]
    assert bench.closed == ["live", "executor"]
    *_, progress, end = bench.events
    assert isinstance(progress, events.Progress)
    assert (progress.done, progress.queued, progress.running) == (8, 0, ())
    assert isinstance(end, events.RunEnded)
    assert (end.status, end.tasks, end.error) == (Status.DONE, 8, None)
    assert 0 <= end.seconds < 60


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_so_many_tasks_run_at_a_time(workers: int) -> None:
    """All that may run do, and no more."""
    most = 0

    def slow(launch: Launch) -> list[Step]:
        nonlocal most
        most = max(most, len(bench.scheduler._running))
        again = [partial(bench.later, partial(bench.scheduler.deliver, it)) for it in ends(launch)]
        return [*starts(launch), *again]

    bench = Bench(slow, FOREACH, max_workers=workers)
    bench.run()
    assert most == workers


def test_what_was_not_published_leads_nowhere() -> None:
    """A task is launched only when those that it follows are in a commit."""
    bench = Bench(good, FOREACH)

    def published(launch: Launch) -> list[Message]:
        done = {name for tasks, _ in bench.commits for name in tasks}
        assert {str(parent.name) for parent in launch.parents} <= done
        return good(launch)

    bench.answer = published
    assert bench.run()[0] is Status.DONE


def test_a_failure_ends_the_run() -> None:
    """It is committed and told, with its error and its time; nothing more is launched."""

    def fails(launch: Launch) -> list[Message]:
        bad = Result(launch.serial, {}, {}, (), None, error="ValueError: no")
        return [Started(launch.serial, 7), bad, Exited(launch.serial, 256, 0.1, 1)]

    bench = Bench(fails, FOREACH)
    error = "step 'start' (task 1) failed: ValueError: no"
    assert bench.run() == (Status.FAILED, error)
    assert bench.commits == [(["start/1"], Status.FAILED)]
    (ended,) = bench.of(events.TaskEnded)
    assert (ended.ok, ended.error, ended.attempt, ended.pid) == (False, "ValueError: no", 0, 7)
    assert 0 <= ended.seconds < 60
    assert len(bench.launched) == 1
    (end,) = bench.of(events.RunEnded)
    assert (end.tasks, end.error) == (0, error)
    assert bench.killed == []


def failing(launch: Launch, status: int = 256) -> list[Message]:
    """A task that fails."""
    bad = Result(launch.serial, {}, {}, (), None, error=f"ValueError: {launch.attempt}")
    return [Started(launch.serial, 7), bad, Exited(launch.serial, status, 0.1, 1)]


def test_a_task_is_tried_again_at_once_as_often_as_its_step_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each attempt is told and recorded, in no commit of its own; those beyond the step's own code are fallbacks."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 30)
    bench = Bench(
        lambda it: good(it) if it.attempt == 3 or it.task.step != "work" else failing(it),
        FOREACH,
        retries={"work": Retries(2, 1)},
    )
    records: list[TaskRecord] = []

    def commit(tasks: list[FinishedTask], status: Status, cards: object) -> None:
        records.extend(task.record for task in tasks)
        bench._commit(tasks, status, cards)

    bench.writer.commit = commit
    assert bench.run() == (Status.DONE, None)
    work = [launch for launch in bench.launched if launch.task.step == "work"]
    assert [launch.attempt for launch in work[:3]] == [
        0,
        0,
        1,
    ]  # before items that have not been begun
    assert Counter(launch.attempt for launch in work) == dict.fromkeys(range(4), 5)
    assert len({launch.task for launch in work}) == 5
    assert [len(tasks) for tasks, _ in bench.commits] == [1, 20, 1, 1]
    told = [it for it in bench.of(events.TaskStarted) if it.task == TaskName("work", "2")]
    assert [(it.attempt, it.fallback) for it in told] == [
        *zip(range(4), [False] * 3 + [True], strict=True)
    ]
    ended = [it for it in bench.of(events.TaskEnded) if it.task == TaskName("work", "2")]
    assert [(it.attempt, it.ok, it.again) for it in ended] == [
        (0, False, True), (1, False, True), (2, False, True), (3, True, False),
    ]  # fmt: skip
    kept = [record for record in records if record.name == TaskName("work", "2")]
    assert [(len(it.attempts), it.again, it.ok) for it in kept] == [
        (1, True, False), (2, True, False), (3, True, False), (4, False, True),
    ]  # fmt: skip
    assert [it.error for it in kept[-1].attempts] == [
        "ValueError: 0", "ValueError: 1", "ValueError: 2", None,
    ]  # fmt: skip
    assert [it.attempt for it in bench.begun if it.name == TaskName("work", "2")] == [0, 1, 2, 3]
    (end,) = bench.of(events.RunEnded)
    assert end.tasks == 8


def test_the_last_attempt_that_fails_ends_the_run() -> None:
    """As one without retries does; other steps have no retries of this one's."""
    bench = Bench(failing, FOREACH, retries={"start": Retries(1), "work": Retries(9)})
    assert bench.run() == (Status.FAILED, "step 'start' (task 1) failed: ValueError: 1")
    assert [it.again for it in bench.of(events.TaskEnded)] == [True, False]
    assert bench.commits == [(["start/1", "start/1"], Status.FAILED)]


def test_what_waits_when_a_run_has_failed_is_launched_no_more() -> None:
    """The executor gives it back; it has never begun."""

    def answer(launch: Launch) -> Sequence[Step]:
        if launch.task.step == "start":
            return good(launch)
        return [] if launch.frames[0].index else failing(launch)

    bench = Bench(answer, FOREACH)
    bench.withdrawn = lambda: [LaunchLost(it.serial) for it in bench.launched if it.frames][1:]
    status, _ = bench.run()
    assert status is Status.FAILED
    assert [str(it.task) for it in bench.launched] == ["start/1", "work/2", "work/3"]
    assert bench.commits[-1] == (["work/2"], Status.FAILED)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_what_is_not_tried_again(is_interrupted: bool) -> None:
    """A process whose exit status says so; and nothing in a run that ends, whatever has failed there."""

    def answer(launch: Launch) -> Sequence[Step]:
        if launch.task.step == "start":
            return good(launch)
        if launch.frames[0].index:  # when the run is ending already
            late = [partial(bench.scheduler.deliver, it) for it in failing(launch)[1:]]
            return [*starts(launch), *(partial(bench.later, it, 0.001) for it in late)]
        if is_interrupted:
            return [*starts(launch), partial(bench.scheduler.interrupt, signal.SIGINT)]
        return failing(launch, process.DISALLOW_RETRY << 8)

    bench = Bench(answer, FOREACH, retries={"work": Retries(3)})
    bench.later(partial(bench.scheduler._abandon), 0.05)
    status, _ = bench.run()
    assert status is (Status.INTERRUPTED if is_interrupted else Status.FAILED)
    assert [str(launch.task) for launch in bench.launched] == ["start/1", "work/2", "work/3"]
    ended = [(it.ok, it.again) for it in bench.of(events.TaskEnded) if it.task.step == "work"]
    assert ended == [(False, False)] * 2
    told = [it.text for it in bench.of(events.TaskLine) if "not tried again" in it.text]
    assert told == ["It is not tried again: exit status 202 says so."] * (not is_interrupted)


def test_a_step_that_leads_astray_fails_the_run() -> None:
    """The task is recorded as it ended; the run says what was wrong."""

    def lost(launch: Launch) -> list[Message]:
        jump = Transition(("gone",))
        return [Result(launch.serial, {}, {}, (), jump), Exited(launch.serial, 0, 0.1, 1)]

    bench = Bench(lost, FOREACH)
    status, error = bench.run()
    assert status is Status.FAILED
    assert "no step of this flow" in str(error)
    assert bench.commits == [(["start/1"], Status.FAILED)]


def test_a_launch_that_fails_is_tried_again_with_fewer_at_a_time() -> None:
    """Where others run, no more than these; where none does, after a while; with the same name, not as an attempt."""
    failed: list[str] = []

    def tight(launch: Launch) -> list[Message]:
        name = str(launch.task)
        if launch.task.step == "work" and len(bench.scheduler._running) > 2:
            failed.append(name)
            return [LaunchFailed(launch.serial, "too many")]
        return good(launch)

    bench = Bench(tight, FOREACH, max_workers=4)
    assert bench.run() == (Status.DONE, None)
    assert failed
    assert 1 <= bench.scheduler._workers < 4
    assert {launch.attempt for launch in bench.launched} == {0}
    assert len({launch.serial for launch in bench.launched}) == len(bench.launched)
    ended = [str(it.task) for it in bench.of(events.TaskEnded)]
    assert sorted(ended) == sorted({*ended})
    assert len(ended) == 8


def test_what_can_not_be_launched_at_all_fails_the_run() -> None:
    """After some tries; the reason is the system's own word."""
    bench = Bench(starts)
    bench.errors = [OSError(errno.EMFILE, "Too many open files") for _ in range(9)]
    status, error = bench.run()
    assert status is Status.FAILED
    assert error == "task end/1 can't be run: no process can be made: Too many open files"
    assert len(bench.launched) == limits.LOST_PROCESSES + 1
    bench = Bench(good)
    bench.errors = [OSError(errno.EMFILE, "Too many open files")] * limits.LOST_PROCESSES
    assert bench.run() == (Status.DONE, None)


def test_other_machines_are_told_that_this_process_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it is."""
    told: list[int] = []

    def suspend() -> None:
        told.append(bench.silences)

    monkeypatch.setattr(process, "suspend", suspend)
    bench = Bench(good)
    bench.scheduler.suspend()
    assert told == [1]


def test_an_executor_that_is_lost_is_replaced_once(sent: list[tuple[int, int]]) -> None:
    """Its tasks are ended and launched again, by the other one; the second time the run has failed."""
    bench = Bench(lambda it: [*starts(it), bench.scheduler.executor_lost])
    spare: Any = SimpleNamespace(
        is_remote=False,
        ahead=lambda _: 0,
        launch=bench.launch,
        withdraw=lambda: None,
        close=lambda: bench.closed.append("spare"),
    )
    bench.scheduler._substitute = lambda: spare
    lost: list[tuple[str, ...]] = []

    def commit(tasks: list[FinishedTask], **_: object) -> None:
        lost.extend(it.lost for task in tasks for it in task.record.attempts)

    bench.writer.commit = commit
    status, error = bench.run()
    assert (status, error) == (
        Status.FAILED,
        "the processes that run tasks were killed from outside",
    )
    assert [launch.attempt for launch in bench.launched] == [0, 0]
    assert sent == [(7, signal.SIGKILL)] * 2
    (notice,) = bench.of(events.Notice)
    assert notice.bad
    assert bench.closed == ["live", "spare"]
    assert lost == [("its process was lost with the zygote",)]  # of the attempt that is recorded


def test_a_task_that_ran_in_the_launcher_process_ends_with_it() -> None:
    """The run was interrupted, and the task's log says by what."""
    bench = Bench(lambda it: [*starts(it), bench.scheduler.process_lost])
    status, error = bench.run()
    assert status is Status.INTERRUPTED
    assert error == "its process was killed, or a step has ended it"
    (line,) = bench.of(events.TaskLine)
    assert (line.system, line.stream) == (True, "stderr")
    (ended,) = bench.of(events.TaskEnded)
    assert ended.error == "the process of the run ended before the step had returned"
    assert line.text == f"Task failed: {ended.error}."


def test_an_interrupt_is_passed_on_and_the_second_one_kills(sent: list[tuple[int, int]]) -> None:
    """What does not die is left; each task ended for the first reason that it was given."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    bench = Bench(
        lambda it: [*starts(it), *(partial(bench.scheduler.interrupt, n) for n in numbers)]
    )
    status, error = bench.run()
    assert (status, error) == (Status.INTERRUPTED, "the run was interrupted (SIGTERM)")
    assert bench.killed[:2] == [(1, signal.SIGINT), (1, signal.SIGKILL)]
    assert sent[-1:] == [(7, signal.SIGKILL)]
    (ended,) = bench.of(events.TaskEnded)
    assert ended.error == "interrupted"
    assert bench.commits == [(["end/1"], Status.INTERRUPTED)]


def test_a_task_that_goes_on_has_a_while_to_end() -> None:
    """It is told, asked, and then killed; once."""
    ways = ((Status.FAILED, "another failed"), (Status.INTERRUPTED, "later"))
    bench = Bench(lambda it: [*starts(it), *(partial(bench.scheduler.stop, *way) for way in ways)])
    assert bench.run() == (Status.FAILED, "another failed")
    assert bench.killed == [(1, signal.SIGTERM), (1, signal.SIGKILL)]
    assert [line.text for line in bench.of(events.TaskLine)] == ["[KILLED BY ORCHESTRATOR]"]
    (ended,) = bench.of(events.TaskEnded)
    assert ended.error == "killed because the run was over"


def test_messages_of_launches_that_are_over_are_nobodys() -> None:
    """A serial that is not running, or a message without one, changes nothing."""
    foreign: list[Step] = [Exited(0, 9, 0.1, 1), Exited(2, 9, 0.1, 1), Interrupt(2)]
    bench = Bench(lambda it: [*foreign, *good(it), Exited(it.serial, 9, 0.1, 1)])
    assert bench.run() == (Status.DONE, None)
    assert len(bench.of(events.TaskEnded)) == 1


@pytest.mark.parametrize("echo", [True, False])
def test_lines_are_told_as_they_come(echo: bool) -> None:
    """With stream and task; of a task that shows its own it is said so."""
    bench = Bench(good, echo=echo, mask=Mask({"key": [b"hunter2-hunter2"]}))
    bench.wrote = b"one\ntwo hunter2-hunter2"
    bench.run()
    lines = bench.of(events.TaskLine)
    assert [(it.stream, it.text, it.shown, it.system, it.pid) for it in lines] == [
        ("stdout", "one", not echo, False, 7),
        ("stdout", "two ***", not echo, False, 7),
    ]
    assert all(0 <= time.time() - it.time < 60 for it in lines)


def _methods(bench: Bench) -> dict[str, Any]:
    return {"kill": bench.kill, "close": bench.close, "withdraw": bench.withdraw}


def test_what_waits_for_nobody_is_not_committed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """While other tasks may be launched, what a finished one makes possible can wait with it."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 30)
    following = {"a": ("b", "c"), "b": ("d",), "c": ("e",), "d": ("f",), "e": ("f",), "f": ()}

    def goes_on(launch: Launch) -> list[Message]:
        targets = following[launch.task.step]
        jump = Transition(targets) if targets else None
        result = Result(launch.serial, {}, {}, (), jump)
        return [Started(launch.serial, 7), result, Exited(launch.serial, 0, 0.1, 1)]

    bench = Bench(goes_on, Shape("a", "f", frozenset("f"), following), max_workers=1)
    assert bench.run() == (Status.DONE, None)
    assert [tasks for tasks, _ in bench.commits] == [
        ["a/1"],
        ["b/2", "c/3"],
        ["d/4", "e/5"],
        ["f/6"],
    ]


def test_a_commit_that_is_due_is_made_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever follows: what is finished is not lost if the others take for ever."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 0.01)
    waiting: list[Launch] = []

    def waits(launch: Launch) -> list[Message]:
        if launch.task.step == "work" and launch.task.task != "2":
            waiting.append(launch)
            return starts(launch)
        return good(launch)

    bench = Bench(waits, FOREACH)
    commit = bench.writer.commit

    def committed(tasks: list[FinishedTask], status: Status, cards: object) -> None:
        commit(tasks, status, cards)
        if [str(task.record.name) for task in tasks] == ["work/2"]:
            bench.answer = good
            for message in [it for launch in waiting for it in ends(launch)]:
                bench.later(partial(bench.scheduler.deliver, message))

    bench.writer.commit = committed
    assert bench.run() == (Status.DONE, None)


def test_who_could_run_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a finished task makes possible is published at once where another task may run."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 30)
    following = {"a": ("b", "c"), "b": ("d",), "c": ("e",), "d": ("e",), "e": ()}

    def goes_on(launch: Launch) -> list[Step]:
        targets = following[launch.task.step]
        result = Result(launch.serial, {}, {}, (), Transition(targets) if targets else None)
        end: list[Message] = [result, Exited(launch.serial, 0, 0.1, 1)]
        if launch.task.step == "c":
            bench.late = end
            return [Started(launch.serial, 7)]
        more = [partial(bench.scheduler.deliver, it) for it in bench.late]
        return [Started(launch.serial, 7), *end, *(more if launch.task.step == "d" else ())]

    bench = Bench(goes_on, Shape("a", "e", frozenset("e"), following))
    assert bench.run() == (Status.DONE, None)
    assert [tasks for tasks, _ in bench.commits][:2] == [["a/1"], ["b/2"]]


def test_nothing_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns, and nothing changes: no progress is told."""
    monkeypatch.setattr(limits, "PROGRESS_INTERVAL", 0.0)
    monkeypatch.setattr(limits, "HEARTBEAT", 100)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 20:
            bench.later(turn)
        else:
            bench.scheduler.stop(Status.FAILED, "enough", signal.SIGTERM)
            bench.scheduler.process_lost()

    bench = Bench(lambda it: [*starts(it), turn])
    bench.run()
    assert 2 <= len(bench.of(events.Progress)) < 8
