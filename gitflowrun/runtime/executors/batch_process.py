"""A process of batch isolation as its executor sees it: the task that it runs, the one that follows, and its pipes.

A task that follows waits in the process' socket, whose other end is held here, too: what the process has not read can
be taken back from there, and either the process has read of a task or it has not.

Tasks write to two sets of pipes by turns: the process goes on at once while what the task before has written is read.
"""

from __future__ import annotations

import contextlib
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from gitflowrun.failpoints import reached
from gitflowrun.runtime.ipc.channel import Channel, Connection, channel_pair, read_datagram
from gitflowrun.runtime.ipc.messages import Launch, LaunchItem
from gitflowrun.runtime.ipc.task_pipes import PipeEnds, TaskPipes
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import Message


@frozen(eq=False)
class WaitingTask:
    """A task that has not begun: what launches it, and what its output comes by then."""

    launch: Launch
    output: TaskPipes


class BatchProcess:
    """A process that runs tasks one after the other.

    Args:
        loop: The event loop.
        first: The task that it is forked for.
        on_message: Called with what it says.

    Attributes:
        serial: The number of the launch that it was forked for, by which the zygote knows it.
        task: The number of the launch that it runs; None while it waits.
        following: What it runs next, which it may have begun.
        signal: What is sent to it when that has begun; 0 for nothing.
        pid: Its number; 0 before it is known.
        cpu: CPU seconds of its tasks that have ended.
        is_spent: Whether it is given nothing more.
    """

    def __init__(
        self,
        loop: EventLoop,
        first: WaitingTask,
        on_message: Callable[[BatchProcess, Message], None],
    ) -> None:
        self.serial = first.launch.serial
        self.task: int | None = self.serial
        self.following: WaitingTask | None = None
        self.signal = 0
        self.pid = 0
        self.cpu = 0.0
        self.is_spent = False
        self._last = self._before = first.launch
        self._pipes = [first.output, TaskPipes(loop)]
        self._pipes[1].is_drained = True
        self._turn = 0
        ours, theirs = channel_pair()
        self._theirs = Channel(theirs)
        self._connection = Connection(
            loop, Channel(ours, blocking=False), partial(on_message, self), self.spend
        )

    @property
    def step(self) -> str:
        """The step whose tasks it runs."""
        return self._last.task.step

    @property
    def is_free(self) -> bool:
        """Whether it can be given a task, once it runs."""
        return (
            not self.is_spent
            and self.following is None
            and self.pid > 0
            and self._pipes[self._turn ^ 1].is_drained
        )

    @property
    def output(self) -> TaskPipes:
        """The pipes of the task that it runs, or has run last."""
        return self._pipes[self._turn]

    def make_ends(self) -> PipeEnds:
        """Make its pipes: what it gets with its first task, its socket among them. Raises OSError: it can't."""
        ends = self._pipes[0].make()
        try:
            ends.append(os.dup(self._theirs.fileno()))
            ends += self._pipes[1].make()
        except OSError:
            ends.close()
            raise
        return ends

    def give(self, task: WaitingTask) -> bool:
        """Give it a task, which it begins when the one that it runs has ended; False where it can't be told."""
        message = LaunchItem.of(task.launch, self._last)
        self._before = self._last
        if message is None:
            self._last = task.launch
        self._connection.send(message or task.launch)
        if self._connection.is_unheard:
            self.spend()
            if self.task is None:
                self.end()
            return False
        if self.task is None:
            self._begin(task)
        else:
            self.following = task
        return True

    def _begin(self, task: WaitingTask) -> None:
        self.task = task.launch.serial
        self._turn ^= 1
        task.output.take_over(self._pipes[self._turn])
        self._pipes[self._turn] = task.output

    def go_on(self) -> None:
        """Note that its task has ended, and that it has begun with the one that follows, if one does."""
        self._pipes[self._turn].keep()
        self.task = None
        if self.following is not None:
            self._begin(self.following)
            self.following = None

    def take_back(self) -> WaitingTask | None:
        """Take back the task that follows; None where it may have begun, or the one before it has not."""
        task = self.following
        if task is None or self.next_unread() != task.launch.serial:
            return None
        if not self._take():  # it was quicker
            return None
        reached("batch.recalled")
        self._last = self._before
        self.following = None
        return task

    def next_unread(self) -> int:
        """The number of the launch that it would read next; 0 where there is none."""
        return self._take(int(socket.MSG_PEEK))

    def unread(self) -> set[int]:
        """Take what it has not read, once it has ended: numbers of launches."""
        return set(iter(self._take, 0))

    def _take(self, how: int = 0) -> int:
        # Blocking or not is the same for both who hold this end.
        try:
            datagram, fds = self._theirs.take(how | int(socket.MSG_DONTWAIT))
        except OSError:  # there is nothing, or it is closed
            return 0
        return getattr(read_datagram(datagram, fds)[0], "serial", 0) if datagram else 0

    def read(self) -> None:
        """Hear what it has said."""
        self._connection.read()

    def spend(self) -> None:
        """Give it nothing more."""
        self.is_spent = True

    def end(self) -> None:
        """Let it end, once it has done what it does."""
        self.is_spent = True
        self._connection.close()
        with contextlib.suppress(OSError):  # closed before
            self._theirs.close()
        for pipes in self._pipes:
            pipes.release()
