"""The executor of batch isolation between a scheduler that gives tasks ahead and processes that end as they like."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gitflowrun.runtime.executors import batch
from gitflowrun.runtime.executors.batch import BatchExecutor
from gitflowrun.runtime.executors.batch_process import BatchProcess
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    LaunchItem,
    LaunchLost,
    Message,
    Result,
    RunContext,
    Started,
    TaskDone,
)
from gitflowrun.runtime.ipc.task_pipes import PipeEnds, TaskPipes
from tests.helpers.descriptors import open_files
from tests.helpers.engine_driver import PARENT, RUN
from tests.runtime.executors.test_batch_process import launch_of

PID = 4_000_000
CONTEXT = RunContext(
    RUN, None, "ada", None, (), "/o", "/i", "/g", "/w", 0.0, "local@/w", "fast", None, frozenset(), 9, ".", {}, PARENT
)  # fmt: skip


class Child:
    """A process, as the test has it."""

    def __init__(self, number: int, fds: tuple[int, ...]) -> None:
        self.serial = number
        self.pid = PID + number
        self.pipes = (*fds[:2], *fds[3:])
        self.channel = Channel.from_fd(fds[2])

    def begin(self) -> None:
        """Say that it runs."""
        self.channel.send(Started(self.serial, self.pid))

    def end_task(self, serial: int, at: float = 0.0) -> None:
        """Say that a task has ended, and go on."""
        self.channel.send(TaskDone(at, 0.25, 1, Result(serial, {}, {}, (), None)))

    def read(self) -> int:
        """Read of the next task."""
        message, _ = self.channel.receive()
        assert isinstance(message, Launch | LaunchItem)
        return message.serial

    def close(self) -> None:
        """Be gone."""
        self.channel.close()
        for fd in self.pipes:
            os.close(fd)


class Bench:
    """An executor with a zygote that the test plays.

    Args:
        workers: How many tasks run at the same time.
        most_idle: How many processes may wait for tasks.
    """

    def __init__(self, workers: int = 2, most_idle: int = 2) -> None:
        self.loop = EventLoop()
        self.heard: list[Message] = []
        self.outputs: dict[int, TaskPipes] = {}
        self.leaving: set[int] = set()
        ours, theirs = channel_pair()
        self.zygote = Channel(theirs)
        self.executor = BatchExecutor(
            self.loop, Channel(ours, blocking=False), self.hear, lambda: None, CONTEXT,
            frozenset({"work"}), workers, most_idle,
        )  # fmt: skip
        assert isinstance(self.zygote.receive()[0], RunContext)
        self.children: dict[int, Child] = {}

    def hear(self, message: Message) -> None:
        """As the scheduler: note it, and read what a task has written when it ends, or what it has left behind."""
        self.heard.append(message)
        is_end = isinstance(message, Exited | LaunchLost | LaunchFailed)
        if is_end and getattr(message, "serial", 0) not in self.leaving:
            self.outputs[message.serial].drain(lambda *_: None)  # type: ignore[union-attr]

    def give(self, *serials: int, ahead: bool = False) -> None:
        """Give tasks; those that begin get a process each."""
        for serial in serials:
            output = self.outputs[serial] = TaskPipes(self.loop)
            give = self.executor.launch_ahead if ahead else self.executor.launch
            give(launch_of(serial), output)

    def fork(self) -> Child:
        """As the zygote: fork the process that is asked for."""
        message, fds = self.zygote.receive()
        assert isinstance(message, Launch | LaunchItem)
        child = self.children[message.serial] = Child(message.serial, fds)
        child.begin()
        self.turn()
        return child

    def exit(self, child: Child, status: int = 0) -> None:
        """As the zygote: report the end of a process."""
        child.close()
        del self.children[child.serial]
        self.zygote.send(Exited(child.serial, status, 0.5, 1))
        self.turn()

    def turn(self) -> None:
        """Let all be heard."""
        for _ in range(3):
            self.loop.after(0, lambda: None)
            self.loop.turn()

    def wait_for(self, what: Callable[[], object]) -> None:
        """Turn the loop until something is so."""
        for _ in range(500):
            if what():
                return
            self.loop.after(0.01, lambda: None)
            self.loop.turn()
        raise AssertionError

    def of(self, kind: type[Any]) -> list[int]:
        """The serials of what was heard of a kind."""
        return [it.serial for it in self.heard if isinstance(it, kind)]

    def asked(self) -> list[Message]:
        """What the zygote is asked for."""
        self.zygote.set_blocking(False)
        found: list[Message] = []
        try:
            while (message := self.zygote.receive()[0]) is not None:
                found.append(message)
        except BlockingIOError:
            pass
        self.zygote.set_blocking(True)
        return found

    def close(self) -> None:
        """End all."""
        self.executor.close()
        self.zygote.close()
        for child in self.children.values():
            child.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One with two processes, each of which runs a task and has one ahead."""
    made = Bench()
    made.give(1, 2)
    made.fork()
    made.fork()
    assert made.executor.ahead("work") == 2
    assert made.executor.ahead("other") == 0
    made.give(3, 4, ahead=True)
    assert made.executor.ahead("work") == 2  # those that wait
    yield made
    made.close()


def test_a_process_goes_on_by_itself(bench: Bench) -> None:
    """The end of a task and the begin of the next are told in that order, with the time that the process says."""
    child = bench.children[1]
    child.end_task(1, 123.5)
    bench.turn()
    assert [it for it in bench.heard if not isinstance(it, Result)][-2:] == [
        Exited(1, 0, 0.25, 1, 123.5), Started(3, child.pid, 123.5)
    ]  # fmt: skip
    assert bench.executor.ahead("work") == 2
    bench.give(5, ahead=True)
    assert [child.read(), child.read()] == [3, 5]


def test_what_waits_begins_where_there_is_room(bench: Bench) -> None:
    """In the process that has nothing to do; and when there is none, in a new one."""
    first, second = bench.children[1], bench.children[2]
    second.end_task(2)
    bench.turn()
    assert second.read() == 4
    second.end_task(4)
    bench.turn()
    bench.wait_for(lambda: 3 in bench.of(Started))
    assert second.read() == 3
    bench.give(5, ahead=True)
    bench.exit(second, 9)  # with 3 running
    bench.turn()
    assert bench.heard[-1] == Exited(3, 9, 0.0, 1)
    assert first.read() == 5
    assert bench.asked() == []


def test_what_waits_when_its_process_ends(bench: Bench) -> None:
    """It has not begun: it gets a process, and nobody hears that one was lost."""
    bench.exit(bench.children[1], 9)
    assert bench.of(Exited) == [1]
    assert bench.of(LaunchLost) == []
    child = bench.fork()
    assert child.serial == 3
    assert bench.of(Started) == [1, 2, 3]


def test_what_a_process_has_not_read_of_is_lost_with_it(bench: Bench) -> None:
    """Where it was to run it; what was behind that begins elsewhere."""
    child = bench.children[1]
    child.end_task(1)
    bench.turn()
    bench.give(5, ahead=True)
    bench.exit(child, 9)
    assert bench.of(LaunchLost) == [3]
    assert bench.of(Exited) == [1]
    assert bench.fork().serial == 5


def test_a_process_that_ends_with_its_task(bench: Bench) -> None:
    """What was ahead waits for its end, or for another one: as many run as may."""
    first, second = bench.children[1], bench.children[2]
    first.channel.send(Result(1, {}, {}, (), None))
    bench.turn()
    assert bench.executor.ahead("work") == 2  # it takes no more before that has begun
    assert bench.asked() == []
    second.end_task(2)
    bench.turn()
    assert second.read() == 4
    second.end_task(4)
    bench.turn()
    assert second.read() == 3
    bench.exit(first)
    assert bench.of(Exited) == [2, 4, 1]
    assert bench.asked() == []


def test_what_a_task_has_left_behind_keeps_its_place(bench: Bench) -> None:
    """Until that has ended, which the scheduler waits for: then what waits begins there."""
    bench.leaving.add(1)
    bench.exit(bench.children[1])
    assert bench.of(Exited) == [1]
    assert bench.asked() == []
    bench.outputs[1].drain(lambda *_: None)
    bench.wait_for(lambda: bench.executor._begun.keys() == {2, 3})
    assert bench.fork().serial == 3


def test_what_waits_and_gets_no_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed to be launched, and what waits behind it has its place when there is one again."""
    make = BatchProcess.make_ends
    errors = [OSError(errno.EMFILE, "Too many open files")]

    def fails(process: BatchProcess) -> PipeEnds:
        if errors:
            raise errors.pop()
        return make(process)

    monkeypatch.setattr(BatchProcess, "make_ends", fails)
    bench.exit(bench.children[1], 9)
    bench.wait_for(lambda: bench.of(LaunchFailed))
    assert [it.reason for it in bench.heard if isinstance(it, LaunchFailed)] == [
        "Too many open files"
    ]
    bench.wait_for(lambda: bench.executor._begun.keys() == {2, 4})
    assert bench.fork().serial == 4
    assert bench.of(LaunchFailed) == [3]
    assert len(bench.loop._watched) == 1 + len(bench.executor._processes)  # nothing of it is left


def test_processes_that_wait_for_tasks() -> None:
    """No more than may: the one that has waited longest ends."""
    bench = Bench(2, most_idle=1)
    bench.give(1, 2)
    for serial in (1, 2):
        bench.fork().end_task(serial)
        bench.turn()
    first, second = bench.children.values()
    assert first.channel.receive() == (None, ())
    bench.give(3)
    assert second.read() == 3
    bench.close()


def test_the_zygote_is_lost(bench: Bench) -> None:
    """What was taken back is not given to a process that is lost with it."""
    first, second = bench.children[1], bench.children[2]
    first.channel.send(Result(1, {}, {}, (), None))
    bench.executor.kill(4, signal.SIGTERM)
    bench.turn()
    second.end_task(2)
    before = len(bench.heard)
    bench.executor.lost()
    assert [type(it) for it in bench.heard[before:]] == [Result, Exited]


def test_a_signal_for_a_task_that_waits(bench: Bench) -> None:
    """It is lost, for it has not begun: there is nothing to record of it."""
    bench.executor.kill(3, signal.SIGTERM)
    bench.turn()
    assert bench.heard[-1] == LaunchLost(3)
    assert bench.asked() == []
    assert bench.executor.ahead("work") == 2


def test_a_signal_for_one_that_has_begun_unheard(bench: Bench) -> None:
    """Its process gets it as soon as that is heard."""
    child = bench.children[1]
    child.end_task(1)
    assert child.read() == 3
    bench.executor.kill(3, signal.SIGTERM)
    assert bench.asked() == []
    bench.turn()
    assert bench.asked() == [Kill(1, signal.SIGTERM)]
    assert bench.of(Started) == [1, 2, 3]


def test_a_signal_for_one_that_has_ended_unheard(bench: Bench) -> None:
    """The next one does not get it."""
    child = bench.children[1]
    child.end_task(1)
    assert child.read() == 3
    bench.executor.kill(1, signal.SIGTERM)
    bench.turn()
    assert bench.asked() == []
    assert bench.of(Started) == [1, 2, 3]


def test_a_signal_for_one_that_runs(bench: Bench) -> None:
    """What was ahead is taken back before, and begins elsewhere."""
    bench.executor.kill(1, signal.SIGTERM)
    assert bench.asked() == [Kill(1, signal.SIGTERM)]
    bench.exit(bench.children[1], signal.SIGTERM)
    assert bench.heard[-1] == Exited(1, signal.SIGTERM, 0.5, 1)
    assert bench.fork().serial == 3


def test_a_signal_that_comes_too_late(bench: Bench) -> None:
    """The task has ended well meanwhile: its process gets no other one, for it may still be hit."""
    child = bench.children[1]
    bench.executor.kill(1, signal.SIGTERM)
    child.end_task(1)
    bench.turn()
    assert bench.of(Exited) == [1]
    assert child.channel.receive() == (None, ())
    bench.exit(child, signal.SIGTERM)
    assert bench.of(Exited) == [1]


@pytest.mark.parametrize("is_read", [False, True])
def test_a_run_that_ends(bench: Bench, is_read: bool) -> None:
    """What has not begun is given back; what has begun unheard is not."""
    first, second = bench.children[1], bench.children[2]
    if is_read:
        first.end_task(1)
        assert first.read() == 3
    bench.executor.withdraw()
    bench.turn()
    assert bench.of(LaunchLost) == ([4] if is_read else [3, 4])
    second.end_task(2)
    bench.turn()
    bench.exit(second)
    assert bench.asked() == []
    assert bench.of(Started) == ([1, 2, 3] if is_read else [1, 2])


def test_what_is_given_back_late(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its process had not read of the task before it, it is asked again."""
    monkeypatch.setattr(batch, "SPREAD_AFTER", 0.001)
    child = bench.children[1]
    child.end_task(1)
    bench.turn()
    bench.give(5, ahead=True)
    bench.executor.withdraw()
    bench.turn()
    assert bench.of(LaunchLost) == [4]
    assert child.read() == 3
    bench.wait_for(lambda: 5 in bench.of(LaunchLost))


def test_a_process_that_ends_when_the_run_does(bench: Bench) -> None:
    """Nothing of what it has not read of begins elsewhere."""
    child = bench.children[1]
    child.end_task(1)
    bench.turn()
    bench.give(5, ahead=True)
    bench.executor.withdraw()
    bench.exit(child, 9)
    bench.turn()
    assert bench.asked() == []
    assert sorted(bench.of(LaunchLost)) == [3, 4, 5]


def test_no_descriptor_is_left() -> None:
    """Of processes that have ended in any way."""
    before = open_files()
    bench = Bench(1)
    bench.give(1)
    child = bench.fork()
    bench.give(2, ahead=True)
    child.end_task(1)
    bench.turn()
    child.read()
    bench.exit(child, 9)
    bench.executor.lost()
    bench.close()
    bench.loop._epoll.close()
    assert open_files() == before
