"""A task of an agent: when what it writes is sent on."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from gitflowrun import limits
from gitflowrun.names import TaskName
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import Exited, Launch, Started
from gitflowrun.runtime.ipc.remote_messages import TaskOutput
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from gitflowrun.runtime.remote.agent_task import AgentTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.runtime.executors.local import Executor
    from gitflowrun.runtime.remote.outbox import Outbox


class Sent:
    """What a task has said, in the place of an outbox that is never full."""

    is_full = False

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        """Take a message."""
        self.messages.append(message)

    def add(self, messages: Iterable[Any]) -> None:
        """Take messages."""
        self.messages += messages

    @property
    def output(self) -> bytes:
        """What the task has written, as far as that was sent."""
        return b"".join(it.data for it in self.messages if isinstance(it, TaskOutput))


class Processes:
    """An executor whose processes are the test: it has the pipes of each launch."""

    def __init__(self) -> None:
        self.pipes: list[list[int]] = []

    def launch(self, _: Launch, output: TaskPipes) -> None:
        """Keep copies of its pipes."""
        with output.make() as ends:
            self.pipes.append([*map(os.dup, ends)])


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """An event loop, which is closed."""
    made = EventLoop()
    for _ in range(4):  # no turn waits for ever
        made.after(5, lambda: None)
    with contextlib.closing(made):
        yield made


def test_output_is_followed_in_each_process_that_a_task_gets(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick task's comes at its end, that of others meanwhile: or they would wait for their pipe to be read."""
    monkeypatch.setattr(limits, "FOLLOWED_AFTER", 0.001)
    sent, processes, ended = Sent(), Processes(), []
    task = AgentTask(
        loop, cast("Outbox", sent), Launch(1, TaskName("work", "2"), 0, (), ()), None, None,
        lambda _: None, lambda: ended.append(True),
    )  # fmt: skip
    for number, pid in enumerate((1 << 23, (1 << 23) + 1)):
        if number:
            task.begin_anew()
        task.start(cast("Executor", processes))
        task.deliver(Started(1, pid))
        loop.turn()  # the timer
        os.write(processes.pipes[-1][0], b"meanwhile\n")
        loop.turn()
        assert sent.output == b"meanwhile\n" * (number + 1)
    os.write(processes.pipes[-1][0], b"at the end\n")
    task.deliver(Exited(1, 0, 0.1, 1))
    assert sent.output == b"meanwhile\nmeanwhile\nat the end\n"
    assert isinstance(sent.messages[-1], Exited)
    assert ended == [True]
    for pipes in processes.pipes:
        for fd in pipes:
            os.close(fd)
