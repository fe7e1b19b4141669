"""When tasks are launched: some before others have ended, which wait, and all before those are recorded."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun import limits
from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.ipc import events
from gitflowrun.runtime.ipc.messages import Launch, LaunchFailed, LaunchLost, Retries, Started
from gitflowrun.runtime.ipc.remote_messages import TaskPlaced
from gitflowrun.runtime.scheduler.commit_queue import CommitQueue
from tests.runtime.scheduler.test_course import FOREACH, Bench, ends, failing, good, sent, starts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.task_pipes import TaskPipes
    from gitflowrun.runtime.scheduler.attempt import TaskAttempt

__all__ = ["sent"]


class AheadBench(Bench):
    """One whose executor takes tasks of `work` ahead, each of which begins when the one before it ends."""

    def __init__(self, ahead: int = 1, **options: object) -> None:
        self.most = ahead
        self.waiting: deque[Launch] = deque()
        self.took: list[str] = []
        super().__init__(good, FOREACH, max_workers=1, **options)

    def ahead(self, step: str) -> int:
        """As many as it is told."""
        return self.most if step == "work" else 0

    def launch_ahead(self, launch: Launch, output: TaskPipes) -> None:  # noqa: ARG002
        """As an executor: have it wait."""
        self.took.append(str(launch.task))
        self.waiting.append(launch)
        assert len(self.waiting) <= self.most

    def begin(self, launch: Launch, stdout: int, stderr: int) -> None:
        """As there; when it has ended, the next one begins."""
        super().begin(launch, stdout, stderr)
        self.later(self.go_on)

    def go_on(self) -> None:
        """Begin with what waits, if nothing runs."""
        if self.waiting and all(it.waits for it in self.scheduler._running.values()):
            launch = self.waiting.popleft()
            self.launched.append(launch)
            self.scheduler.deliver(Started(launch.serial, 7, 1000.0 + launch.serial))
            for it in ends(launch):
                self.later(partial(self.scheduler.deliver, it))
            self.later(self.go_on)


def test_it_has_begun_when_its_executor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others see it from then on, with the time that it began; what is told of the run counts it among those queued."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 0)
    monkeypatch.setattr(limits, "PROGRESS_INTERVAL", 0)
    bench = AheadBench()
    assert bench.run() == (Status.DONE, None)
    assert [str(it.task) for it in bench.launched] == [
        "start/1", *(f"work/{it}" for it in range(2, 7)), "join/7", "end/8",
    ]  # fmt: skip
    assert bench.took
    started = {str(it.name): it.started for it in bench.begun}
    assert len(started) == len(bench.begun) == 8
    for launch in bench.launched:
        if str(launch.task) in bench.took:
            assert started[str(launch.task)] == 1000.0 + launch.serial
    told = [str(it.task) for it in bench.of(events.TaskStarted)]
    assert told == [str(it.task) for it in bench.launched]
    progress = bench.of(events.Progress)
    assert all(sum(count for _, count in it.running) <= 1 for it in progress)
    # Five are queued, or run: none is counted twice, none is forgotten.
    assert all(
        it.done + it.queued + sum(count for _, count in it.running) <= 6
        for it in progress
        if it.done < 6
    )


def test_what_has_not_begun_has_not_failed() -> None:
    """A run that ends at once has no attempt of it, whoever gives it back."""
    bench = AheadBench(3)

    def fail(launch: Launch) -> list[object]:
        if launch.task.step == "start":
            return [*good(launch)]
        return [*starts(launch), bench.scheduler.executor_lost]

    bench.answer = fail  # type: ignore[assignment]
    status, error = bench.run()
    assert (status, error) == (
        Status.FAILED,
        "the processes that run tasks were killed from outside",
    )
    assert bench.took == ["work/3", "work/4", "work/5"]
    assert [name for tasks, _ in bench.commits for name in tasks] == ["start/1", "work/2"]


def test_a_lost_executor_has_not_lost_it() -> None:
    """The other one executes it, and its log says nothing of that."""
    bench = AheadBench(1)
    lost: list[object] = []

    def answer(launch: Launch) -> list[object]:
        if launch.task.step == "work" and not lost:
            lost.append(launch)
            return [*starts(launch), bench.scheduler.executor_lost]
        return [*good(launch)]

    bench.answer = answer  # type: ignore[assignment]
    bench.most = 1

    def substitute() -> object:
        bench.most = 0
        bench.waiting.clear()
        return bench

    bench.scheduler._substitute = substitute  # type: ignore[assignment]
    assert bench.run() == (Status.DONE, None)
    lines = [it.text for it in bench.of(events.TaskLine)]
    attempts = {str(it.task): it for it in bench.of(events.TaskEnded)}
    assert len(attempts) == 8
    assert lines == []
    assert bench.took == ["work/3"]


def test_what_is_tried_again_waits_for_no_process() -> None:
    """It gets one of its own, as soon as fewer run than may."""
    bench = AheadBench(2)
    tried: list[str] = []

    def answer(launch: Launch) -> list[object]:
        if launch.task.step == "work" and not tried:
            tried.append(str(launch.task))
            return [LaunchLost(launch.serial)]
        return [*good(launch)]

    bench.answer = answer  # type: ignore[assignment]
    assert bench.run() == (Status.DONE, None)
    assert tried == ["work/2"]
    assert [str(it.task) for it in bench.launched].count("work/2") == 2
    assert "work/2" not in bench.took


def test_what_has_failed_is_tried_again_before_what_waits() -> None:
    """It has the place that it had."""
    bench = AheadBench(2, retries={"work": Retries(1)})
    bench.answer = lambda it: failing(it) if it.frames and not it.attempt else good(it)
    assert bench.run() == (Status.DONE, None)
    assert [(str(it.task), it.attempt) for it in bench.launched[1:-2]] == [
        ("work/2", 0), ("work/2", 1), *((f"work/{it}", 0) for it in range(3, 7)),
    ]  # fmt: skip
    assert len(bench.took) == 4


def test_fewer_processes_than_tasks_that_wait() -> None:
    """Where none can be made, as many are tried from then on as have begun: what waits counts for nothing."""
    bench = AheadBench(3)
    scheduler = bench.scheduler
    scheduler._workers = 2
    seen: list[Launch] = []
    workers: list[int] = []

    def rest() -> None:
        workers.append(scheduler._workers)
        for it in ends(seen[0]):
            scheduler.deliver(it)

    def answer(launch: Launch) -> list[object]:
        if launch.task.step != "work" or len(seen) == 2:
            return [*good(launch)]
        seen.append(launch)
        if len(seen) == 1:
            return [*starts(launch)]
        return [LaunchFailed(launch.serial, "no"), rest]

    bench.answer = answer  # type: ignore[assignment]
    assert bench.run() == (Status.DONE, None)
    assert workers == [1]
    assert len(bench.took) >= 3


def test_what_can_run_is_launched_before_what_has_ended_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process does not wait for a record that it does not need; the time in that is when the end was heard."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 30)
    at: list[float] = []
    recorded: list[tuple[str, int, float]] = []

    def launched(launch: Launch) -> Sequence[Message]:
        at.append(time.time())
        time.sleep(0.001)
        return good(launch)

    bench = Bench(launched, FOREACH, max_workers=1)
    add = CommitQueue.add

    def noted(queue: CommitQueue, attempt: TaskAttempt, **options: Any) -> object:
        record, done = add(queue, attempt, **options)
        recorded.append((str(record.name), len(at), record.attempts[-1].finished))
        return record, done

    monkeypatch.setattr(CommitQueue, "add", noted)
    assert bench.run() == (Status.DONE, None)
    # The next item has been launched; what only a commit lets run has not.
    assert [(name, count) for name, count, _ in recorded] == [
        ("start/1", 1), ("work/2", 3), ("work/3", 4), ("work/4", 5), ("work/5", 6), ("work/6", 6),
        ("join/7", 7), ("end/8", 8),
    ]  # fmt: skip
    for number, (_, count, finished) in enumerate(recorded):
        assert at[number] <= finished
        if count > number + 1:
            assert finished <= at[number + 1]


def test_nothing_is_launched_in_the_place_of_what_has_failed() -> None:
    """An item that fails ends the run before another one can take its place."""
    bench = Bench(lambda it: failing(it) if it.frames else good(it), FOREACH, max_workers=1)
    assert bench.run()[0] is Status.FAILED
    assert [str(it.task) for it in bench.launched] == ["start/1", "work/2"]


def test_a_task_that_has_waited_for_a_worker() -> None:
    """Others see it when it is placed, with the machine that it runs on."""

    def placed(launch: Launch) -> Sequence[Callable[[], None]]:
        assert not bench.begun
        messages = TaskPlaced(launch.serial, "far", "far (agent 1)"), *good(launch)
        return [partial(bench.scheduler.deliver, it) for it in messages]

    bench = Bench(placed)
    bench.is_remote = True
    assert bench.run() == (Status.DONE, None)
    assert [(str(it.name), it.host) for it in bench.begun] == [("end/1", "far")]
