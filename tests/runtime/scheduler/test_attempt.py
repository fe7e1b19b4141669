"""One attempt of a task, without a process: pipes that the test writes to, ends that it makes up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from gitflowrun import limits
from gitflowrun.names import TaskName
from gitflowrun.runs.line_times import decode_times
from gitflowrun.runs.records import Attempt
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import Exited, Result
from gitflowrun.runtime.scheduler.attempt import Job, TaskAttempt
from gitflowrun.runtime.scheduler.logs import TaskLog
from gitflowrun.runtime.scheduler.plan import PlannedTask

GOOD = Result(1, {}, {}, (), None)
BAD = Result(1, {}, {}, (), None, error="ValueError: no")


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """An event loop."""
    loop = EventLoop()
    yield loop
    loop.close()


class Output(list[tuple[str, bytes, list[str]]]):
    """What an attempt says of its output."""

    def __call__(self, _: TaskAttempt, stream: str, data: bytes, lines: list[str]) -> None:
        """Note it."""
        self.append((stream, data, lines))


def attempt_of(loop: EventLoop, output: Output | None = None, failed: int = 0) -> TaskAttempt:
    """An attempt of a task that has failed some times."""
    job = Job(PlannedTask("start", ()), TaskName("start", "1"))
    job.attempts += [Attempt(n, 1.0, 2.0, ok=False) for n in range(failed)]
    return TaskAttempt(loop, job, 1, TaskLog(1000), output if output is not None else Output())


@pytest.mark.parametrize("is_slow", [False, True])
def test_output_is_followed_from_the_start_of_the_process_to_the_end_of_its_streams(
    loop: EventLoop, is_slow: bool
) -> None:
    """Lines come by stream as they are written, the last one without an end; closed streams are forgotten."""
    output = Output()
    attempt = attempt_of(loop, output)
    assert (attempt.pid, attempt.is_live, attempt.job.lost) == (0, False, 0)
    for seconds in (0, 0, 0.3, 0.3):  # nothing here waits for long
        loop.after(seconds, lambda: None)
    with attempt.output.make() as ends:
        os.write(ends[0], b"early\n")
        loop.turn()
        assert output == []
        if is_slow:  # to begin
            attempt.follow()
            loop.turn()
            assert output == []
            attempt.begin(7)
        else:
            attempt.begin(7)
            loop.turn()
            assert output == []
            attempt.follow()
        assert attempt.pid == 7
        os.write(ends[1], b"a\nb")
        loop.turn()
    assert sorted(output) == [("stderr", b"a\nb", ["a"]), ("stdout", b"early\n", ["early"])]
    for fd in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    output.clear()
    loop.turn()
    assert output == [("stderr", b"", ["b"])]
    assert not loop._watched
    attempt.end()
    assert len(output) == 1
    assert attempt.log.output("stderr") == b"a\nb"


@pytest.mark.parametrize(
    ("result", "status", "killed", "is_good"),
    [
        (GOOD, 0, None, True),
        (GOOD, 256, None, False),
        (GOOD, 0, "interrupted", False),
        (BAD, 0, None, False),
        (None, 0, None, False),
    ],
)
def test_a_task_has_succeeded_if_its_step_returned_and_its_process_ended_well(
    loop: EventLoop, result: Result | None, status: int, killed: str | None, is_good: bool
) -> None:
    """One of them alone says nothing, and what the scheduler has ended has not succeeded."""
    attempt = attempt_of(loop)
    attempt.result, attempt.killed = result, killed
    assert attempt.succeeded(Exited(1, status, 0.0, 0)) is is_good


@pytest.mark.parametrize(
    ("status", "result", "killed", "error", "line"),
    [
        (9, BAD, "killed because the run was over", "killed because the run was over", None),
        (256, BAD, None, "ValueError: no", None),
        (
            process.RESULT_LOST << 8,
            None,
            None,
            "the step has closed the descriptors of its process, so its result is lost",
            "Task failed: the step has closed",
        ),
        (
            process.RESULT_LOST << 8,
            GOOD,
            None,
            "the process ended with exit status 76 after its step",
            "Task failed: the process ended",
        ),
        (
            0,
            None,
            None,
            "the process ended with exit status 0 before its step had returned",
            "Task failed: the process ended with exit status 0",
        ),
        (
            3 << 8,
            None,
            None,
            "the process ended with exit status 3 before its step had returned",
            "Task failed: the process ended with exit status 3",
        ),
        (
            signal.SIGSEGV,
            None,
            None,
            "killed by SIGSEGV",
            "Task failed with a segmentation fault.",
        ),
        (
            signal.SIGKILL,
            None,
            None,
            "killed by SIGKILL",
            "Task failed: its process was killed by SIGKILL: not by us; was memory running out?",
        ),
        (
            signal.SIGBUS,
            None,
            None,
            "killed by SIGBUS",
            "Task failed: its process was killed by SIGBUS: did a file become shorter",
        ),
        (
            50,
            None,
            None,
            "killed by signal 50",
            "Task failed: its process was killed by signal 50.",
        ),
    ],
)
def test_why_an_attempt_failed(
    loop: EventLoop,
    status: int,
    result: Result | None,
    killed: str | None,
    error: str,
    line: str | None,
) -> None:
    """What the scheduler did comes first, then what the step says, then how its process ended; that is told."""
    attempt = attempt_of(loop)
    attempt.result, attempt.killed = result, killed
    found, said = attempt.explain(Exited(1, status, 0.0, 0))
    assert found == error
    assert (said or "")[: len(line or "")] == (line or "")
    assert (said is None) is (line is None)


def test_the_record_of_an_attempt(loop: EventLoop) -> None:
    """Its number counts those before it; times, exit status, processor time and memory are what was measured."""
    attempt = attempt_of(loop, failed=2)
    attempt.end()
    ended = time.time()
    time.sleep(0.001)
    good = attempt.record(Exited(1, 0, 0.12345678, 4096), None)
    assert (good.number, good.ok, good.exit_code, good.cpu) == (2, True, 0, 0.123457)
    assert (good.max_rss, good.error, good.started) == (4096, None, attempt.started)
    assert good.started <= good.finished <= ended  # whenever it is recorded
    bad = attempt.record(Exited(1, signal.SIGTERM, 0.5, 1), "why")
    assert (bad.ok, bad.exit_code, bad.error) == (False, -signal.SIGTERM, "why")


@pytest.mark.parametrize("where", ["", "agent 1 on another machine"])
def test_the_end_that_its_process_has_told(loop: EventLoop, where: str) -> None:
    """It counts, for late lines, too, unless another machine's clock says it; it is not before the start."""
    attempt = attempt_of(loop)
    attempt.where, attempt.started = where, 1000.0
    with attempt.output.make() as ends:
        os.write(ends[0], b"a\n")
    attempt.end(1001.5)
    times, _ = decode_times(attempt.log.times())
    finished = attempt.record(Exited(1, 0, 0.0, 0), None).finished
    assert times == [pytest.approx(finished)]
    assert (finished == 1001.5) is not bool(where)
    attempt.end(999.0)
    assert attempt.finished >= 1000.0


def test_what_a_task_has_left_behind_has_a_while_to_end(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a good end, counted from the first look, it is waited for and then killed; at once after a bad one."""
    rest: list[tuple[int, str]] = []
    sent: list[tuple[int, int]] = []
    now = 100.0
    monkeypatch.setattr(process, "left_behind", lambda _: rest)
    monkeypatch.setattr(process, "signal_group", lambda *it: sent.append(it))
    monkeypatch.setattr(limits, "LEFT_BEHIND_NAMED", 2)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ended = Exited(1, 0, 0.0, 0)
    attempt = attempt_of(loop)
    attempt.pid, attempt.result = 7, GOOD
    assert attempt.end_rest(ended) == (False, None)
    rest += [(8, "sleep 1"), (9, "sleep 2"), (10, "sleep 3")]
    assert attempt.end_rest(ended) == (True, None)
    now += limits.LEFT_BEHIND_GRACE - 0.01
    assert attempt.end_rest(ended) == (True, None)
    assert sent == []
    now += 0.01
    words = "Processes that the step left behind were ended: 8 (sleep 1), 9 (sleep 2)."
    assert attempt.end_rest(ended) == (False, words)
    assert sent == [(7, signal.SIGKILL)]
    failed = attempt_of(loop)
    failed.pid = 7
    assert failed.end_rest(ended) == (False, words)
