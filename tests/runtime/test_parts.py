"""The small parts of the runtime: the fork guard, seeds, the loop, requests, hosts that can't, draft files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs.records import Transition
from gitflowrun.runs.runs import Status
from gitflowrun.runtime.executors.local import FreshExecutor
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Event, RunEnded, TaskLine, TaskStarted
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    LaunchFailed,
    Message,
    Result,
    RunContext,
    Started,
)
from gitflowrun.runtime.launch.fork_check import why_not_fork
from gitflowrun.runtime.scheduler.logs import LiveLogs
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.scheduler import Rules, Scheduler
from gitflowrun.runtime.worker.random_seeds import base_seeds, reseed
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import open_repo, start_run

CHECKED = """
import sys
{code}
from gitflowrun.runtime.launch.fork_check import why_not_fork
print(why_not_fork())
"""


def verdict(code: str) -> str:
    """What the fork check says in a process that has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", CHECKED.format(code=code)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["numpy", "pandas", "sklearn.linear_model"])
def test_imported_libraries_may_be_forked(name: str) -> None:
    """Their threads were started by loading them, and survive a fork."""
    pytest.importorskip(name)
    assert verdict(f"import {name}") == "None"


def test_running_threads_forbid_a_fork() -> None:
    """Python's own by name, those of libraries by number."""
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True, name='T1').start()"
    assert "T1" in verdict(thread)
    native = "import blake3; blake3.blake3(bytes(1 << 26), max_threads=blake3.blake3.AUTO).digest()"
    assert "native threads" in verdict(native)
    assert (
        verdict("import threading; t = threading.Thread(target=int); t.start(); t.join()") == "None"
    )


def test_the_fork_check_looks_at_this_process() -> None:
    """It does so without an exception wherever it runs."""
    assert why_not_fork() is None or isinstance(why_not_fork(), str)


def test_seeds_depend_on_the_state_and_on_the_place() -> None:
    """The same state and place give the same numbers; another place or state others."""
    kept = random.getstate()
    try:
        random.seed(5)
        bases = base_seeds()
        drawn = []
        for place in ("work[0]#0", "work[0]#0", "work[1]#0", "work[0]#1"):
            reseed(bases, place)
            drawn.append(random.random())
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) == 3
        random.seed(5)
        assert base_seeds()["random"] == bases["random"]
        random.seed(6)
        assert base_seeds()["random"] != bases["random"]
    finally:
        random.setstate(kept)


def test_numpy_is_seeded_where_it_is_loaded() -> None:
    """The legacy generator, which libraries use."""
    np = pytest.importorskip("numpy")
    np.random.seed(3)
    bases = base_seeds()
    reseed(bases, "a#0")
    first = np.random.random()
    reseed(bases, "a#0")
    assert np.random.random() == first
    reseed(bases, "b#0")
    assert np.random.random() != first


def test_the_loop_waits_for_times_signals_and_descriptors() -> None:
    """Everything is called back in a turn; what is cancelled or forgotten is not."""
    loop = EventLoop()
    seen: list[str] = []
    reading, writing = os.pipe()
    loop.watch(reading, lambda: seen.append(os.read(reading, 9).decode()))
    loop.after(0.02, lambda: seen.append("late"))
    loop.after(0.01, lambda: seen.append("early"))
    loop.after(0.0, lambda: seen.append("never")).cancel()
    loop.on_signal(signal.SIGUSR1, lambda: seen.append("signal"))
    os.write(writing, b"pipe")
    os.kill(os.getpid(), signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while len(seen) < 4 and time.monotonic() < deadline:
        loop.turn()
    assert sorted(seen) == ["early", "late", "pipe", "signal"]
    assert seen.index("early") < seen.index("late")
    loop.forget(reading)
    loop.forget(reading)
    os.write(writing, b"more")
    loop.after(0.01, lambda: None)
    loop.turn()
    assert len(seen) == 4
    loop.close()
    os.close(reading)
    os.close(writing)


SHAPE = Shape("start", "end", frozenset(), {"start": ("end",), "end": ()})


class FakeExecutor:
    """An executor that answers as it is told to."""

    def __init__(self, loop: EventLoop, answer: Callable[[Launch], list[Message]]) -> None:
        self.loop = loop
        self.answer = answer
        self.launched: list[Launch] = []
        self.deliver: Callable[[Message], None] = lambda _: None

    def begin(self, begin: RunContext) -> None:
        """Nothing needs to be known."""

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Answer in the next turn."""
        assert stdout != stderr
        self.launched.append(launch)
        for message in self.answer(launch):
            self.loop.after(0, lambda message=message: self.deliver(message))  # type: ignore[misc]

    def kill(self, serial: int, number: int) -> None:
        """There is nothing to kill."""

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
        scheduler = Scheduler(
            loop, writer, Plan(SHAPE), executor, events.append, Rules(4, 1000),
            LiveLogs(open_repo(repo), writer.identity),
        )  # fmt: skip
        executor.deliver = scheduler.deliver
        status, _ = scheduler.run()
    loop.close()
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status is status
    return status, executor, events


class HastyExecutor(FakeExecutor):
    """An executor whose tasks write before anybody hears that they have started."""

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Write now, answer later."""
        os.write(stdout, b"early\n")
        self.loop.after(0.02, lambda: FakeExecutor.launch(self, launch, stdout, stderr))


def test_no_line_comes_before_its_task_has_started(repo: GitRepo) -> None:
    """What a task writes before its process is announced waits for that, and is not lost."""
    _, _, events = schedule(repo, good, kind=HastyExecutor)
    told = [event for event in events if isinstance(event, (TaskStarted, TaskLine))]
    seen = [event for event in told if event.task.step != PARAMETERS_STEP]
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


def test_an_interpreter_that_cannot_be_started_is_told() -> None:
    """A command that is not there is a launch that was not made."""
    loop = EventLoop()
    told: list[Message] = []
    executor = FreshExecutor(loop, ("/nowhere/python", "f.py"), told.append, {})
    executor.begin(RunContext(*[None] * 14))  # type: ignore[arg-type]
    executor.launch(Launch(1, None, 0, False, (), ()), 1, 2)  # type: ignore[arg-type]  # noqa: FBT003
    loop.turn()
    assert isinstance(told[0], LaunchFailed)
    assert "No such file" in told[0].reason
    executor.close()
    loop.close()


def test_a_warm_up_leaves_nothing_to_import_and_nothing_behind() -> None:
    """What the zygote has done before its first fork starts no thread and keeps heavy modules out."""
    code = (
        "import os, sys, time\n"
        "from gitflowrun.runtime.worker import zygote\n"
        "from gitflowrun.runtime.worker.warmup import warm_up\n"
        "warm_up(12)\n"
        "loaded, files = set(sys.modules), len(os.listdir('/proc/self/fd'))\n"
        "warm_up(12)\n"
        "assert set(sys.modules) == loaded, set(sys.modules) - loaded\n"
        "assert len(os.listdir('/proc/self/fd')) == files\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "heavy = {'pygit2', 'click', 'numpy', 'pandas', 'threading', 'random', 'logging', 'subprocess'}\n"
        "assert not heavy & loaded, heavy & loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
