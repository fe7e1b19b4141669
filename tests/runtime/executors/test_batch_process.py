"""What a process of batch isolation is given ahead: it reads of that, or it can be taken back, and never both."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.names import TaskName
from gitflowrun.runs.records import ForeachLevel
from gitflowrun.runtime.executors.batch_process import BatchProcess, WaitingTask
from gitflowrun.runtime.ipc.channel import Channel
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import Launch, LaunchItem, Message, Parent, Started
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from tests.helpers.descriptors import open_files


def some_oid(text: str) -> Oid:
    """The id of a text."""
    return hash_object(ObjectType.BLOB, text.encode())


PARENT = (Parent(TaskName("start", "1"), some_oid("start")),)
OTHER = (Parent(TaskName("start", "2"), some_oid("other")),)


def launch_of(number: int, parents: Any = PARENT, value: str = "") -> Launch:
    """A task of a foreach."""
    frames = (ForeachLevel("start", "items", 9, number, value),)
    return Launch(number, TaskName("work", str(number)), 0, frames, parents)


class Bench:
    """A process and its other end, as the process itself has it."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.heard: list[Message] = []
        first = self.task(1)
        self.last = first.launch
        self.process = BatchProcess(self.loop, first, lambda _, message: self.heard.append(message))
        with self.process.make_ends() as ends:
            self.ends = [os.dup(fd) for fd in ends]
        self.channel = Channel.from_fd(self.ends[2])
        self.process.pid = 77

    def task(self, number: int, parents: Any = PARENT, value: str = "") -> WaitingTask:
        """A task of a foreach."""
        return WaitingTask(launch_of(number, parents, value), TaskPipes(self.loop))

    def receive(self) -> Launch:
        """Read of a task, as the process does."""
        message, _ = self.channel.receive()
        if isinstance(message, LaunchItem):
            message = message.launch(self.last)
        else:
            assert isinstance(message, Launch)
            self.last = message
        assert isinstance(message, Launch)
        return message

    def end_task(self) -> None:
        """Let its task end, and what that has written be read."""
        output = self.process._pipes[self.process._turn]
        self.process.go_on()
        output.drain(lambda *_: None)

    def close(self) -> None:
        """Close all."""
        self.process.end()
        self.channel.close()
        for fd in (*self.ends[:2], *self.ends[3:]):
            os.close(fd)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One, that leaves no descriptor."""
    made = Bench()
    yield made
    made.close()


def test_a_task_is_taken_back_once(bench: Bench) -> None:
    """The process reads nothing of it, and of the one that it is given then; both can be whole launches."""
    taken = bench.task(2, OTHER)
    assert bench.process.give(taken)
    assert bench.process.following is taken
    assert not bench.process.is_free
    assert bench.process.take_back() is taken
    assert bench.process.take_back() is None
    assert bench.process.is_free
    assert bench.process.step == "work"
    assert bench.process.give(bench.task(3, value="c"))
    launch = bench.receive()
    assert (launch.serial, launch.parents, launch.frames[-1].value) == (3, PARENT, "c")
    assert bench.process.take_back() is None  # it has begun


def test_what_goes_on_by_messages_of_any_size(bench: Bench) -> None:
    """A launch that is larger than a datagram can be taken back, too, and no descriptor is left."""
    gc.collect()  # what earlier tests have left
    before = open_files()
    many = tuple(Parent(TaskName("start", str(it)), some_oid(str(it))) for it in range(4000))
    assert bench.process.give(task := bench.task(2, many))
    assert bench.process.next_unread() == 2
    assert bench.process.take_back() is task
    assert open_files() == before
    assert bench.process.next_unread() == 0


def test_a_task_behind_one_that_was_not_read_of(bench: Bench) -> None:
    """It stays where it is: what was given is read in that order."""
    bench.end_task()
    assert bench.process.give(bench.task(2))
    assert bench.process.task == 2
    assert bench.process.give(bench.task(3))
    assert bench.process.take_back() is None
    assert [bench.receive().serial, bench.receive().serial] == [2, 3]
    assert bench.process.take_back() is None


def test_it_gets_no_third_one(bench: Bench) -> None:
    """Nor one whose pipes were not read to their end, nor before it is known, nor any more once it is spent."""
    assert bench.process.give(bench.task(2))
    assert not bench.process.is_free
    first = bench.process._pipes[0]
    bench.process.go_on()
    assert (bench.process.task, bench.process.following) == (2, None)
    assert not bench.process.is_free
    first.drain(lambda *_: None)
    assert bench.process.is_free
    bench.process.pid = 0
    assert not bench.process.is_free
    bench.process.pid = 77
    bench.process.spend()
    assert not bench.process.is_free


def test_what_was_not_read_before_its_end(bench: Bench) -> None:
    """All of it is known then."""
    bench.end_task()
    for number in (2, 3):
        assert bench.process.give(bench.task(number))
    assert bench.receive().serial == 2
    assert bench.process.unread() == {3}
    assert bench.process.unread() == set()


def test_tasks_write_by_turns(bench: Bench) -> None:
    """To two sets of pipes: what the next one writes before the one before was read is its own."""
    process = bench.process
    first, second, third = process._pipes[0], bench.task(2), bench.task(3)
    assert process.give(second)
    os.write(bench.ends[0], b"first")
    os.write(bench.ends[3], b"second")
    heard: list[tuple[str, bytes]] = []
    process.go_on()
    first.drain(lambda _, data: heard.append(("first", data)) if data else None)
    assert process.give(third)
    os.write(bench.ends[0], b"third")
    process.go_on()
    second.output.drain(lambda _, data: heard.append(("second", data)) if data else None)
    process.go_on()
    third.output.drain(lambda _, data: heard.append(("third", data)) if data else None)
    assert heard == [("first", b"first"), ("second", b"second"), ("third", b"third")]


def test_one_that_can_not_be_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given nothing more; what it runs is heard of all the same."""
    monkeypatch.setattr(Channel, "send", refuse)
    assert not bench.process.give(bench.task(2, OTHER))
    monkeypatch.undo()
    assert not bench.process.is_free
    bench.channel.send(Started(1, 77))
    bench.process.read()
    assert bench.heard == [Started(1, 77)]


def test_one_that_says_what_is_no_message(bench: Bench) -> None:
    """It is given nothing more, and has read nothing."""
    bench.channel.put(b"I\xc1")
    bench.process.read()
    assert not bench.process.is_free
    assert bench.process.unread() == set()
    assert not bench.process.give(bench.task(2))


def refuse(*_: object) -> None:
    """As a system that is at its end."""
    raise OSError
