"""The executor of batch isolation: forks of the zygote that run one small task of a step after the other.

1. A task of a foreach whose step is run so goes to a process that has run tasks of this step and waits: its message
   goes by the process' own socket, its output comes by the pipes that the process has.
2. Where none waits, the zygote forks one, and gives it the other end of such a socket with its first task.
3. The process says what a task has given and that it has ended (TaskDone), and waits again; or it ends with the task,
   which the zygote sees, as that of any task.
4. A process that ends before it has read of its next task has done nothing of that: LaunchLost.

All else goes to a fork of its own: what is tried again, what is not in a foreach, the nodes of gangs, and steps whose
decorators need a process for themselves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun.runtime.executors.executor_limits import MOST_IDLE
from gitflowrun.runtime.executors.local import ForkExecutor
from gitflowrun.runtime.ipc.channel import Channel, Connection, OnMessage, channel_pair
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    LaunchFailed,
    LaunchItem,
    LaunchLost,
    Message,
    Result,
    Started,
    TaskDone,
)
from gitflowrun.settings import Isolation
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import RunContext
    from gitflowrun.runtime.ipc.task_pipes import TaskPipes

_HARMLESS = frozenset({"isolation", "resources", "retry"})
"""Decorators whose steps need no process for each task; a task that is tried again gets one anyhow."""


def batched_steps(graph: Mapping[str, Any], isolation: Isolation) -> frozenset[str]:
    """The steps whose tasks may share processes.

    Args:
        graph: The flow's `_graph_info`.
        isolation: How tasks of steps that say nothing get their processes.
    """
    return frozenset(
        name
        for name, node in graph.get("steps", {}).items()
        if _wanted(node, isolation) is Isolation.BATCH
        and all(it.get("name") in _HARMLESS for it in node.get("decorators", ()))
    )


def _wanted(node: Mapping[str, Any], isolation: Isolation) -> Isolation:
    for decorator in node.get("decorators", ()):
        if decorator.get("name") == "isolation":
            return Isolation(decorator["attributes"]["kind"])
    return isolation


@mutable
class _Child:
    """A process that runs tasks one after the other.

    Attributes:
        serial: The number of the launch that it was forked for, by which the zygote knows it.
        last: The last whole Launch it was given.
        output: The pipes of its last task, which it keeps.
        task: The number of the launch that it runs; None while it waits.
        connection: To it.
        pid: Its number; 0 before it is known.
        cpu: CPU seconds of its tasks that have ended.
        is_spent: Whether it is given nothing more.
    """

    serial: int
    last: Launch
    output: TaskPipes
    task: int | None
    connection: Connection | None = None
    pid: int = 0
    cpu: float = 0.0
    is_spent: bool = False

    @property
    def step(self) -> str:
        """The step whose tasks it runs."""
        return self.last.task.step

    def end(self) -> None:
        """Let it end, once it has done what it does."""
        if self.connection is not None:
            self.connection.close()
        self.output.release()


class BatchExecutor(ForkExecutor):
    """The zygote, and processes of it that run many tasks.

    Args:
        loop: The event loop.
        zygote: To the zygote.
        on_message: Called with every message.
        on_close: Called when the zygote is gone.
        run: What all tasks have in common.
        steps: The steps whose tasks may share processes.
    """

    def __init__(
        self,
        loop: EventLoop,
        zygote: Channel,
        on_message: OnMessage,
        on_close: Callable[[], None],
        run: RunContext,
        steps: frozenset[str],
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self._steps = steps
        self._children: dict[int, _Child] = {}
        self._tasks: dict[int, _Child] = {}  # by the launch they run
        self._idle: dict[int, _Child] = {}
        super().__init__(Connection(loop, zygote, self._from_zygote, on_close), run)

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: there are no more descriptors."""
        if launch.task.step not in self._steps or not _is_small(launch):
            super().launch(launch, output)
            return
        child = self._waiting(launch.task.step)  # 1
        if child is None:
            with output.make() as ends:
                self._fork(launch, output, tuple(ends))  # 2
            return
        output.take_over(child.output)
        child.task, child.output = launch.serial, output
        self._tasks[launch.serial] = child
        message = LaunchItem.of(launch, child.last)
        if message is None:
            child.last = launch
        assert child.connection is not None
        child.connection.send(message or launch)
        self._on_message(Started(launch.serial, child.pid))

    def _waiting(self, step: str) -> _Child | None:
        """Take a process that waits for a task of a step, the last one to have ended one: its memory is at hand."""
        for serial in reversed(self._idle):
            child = self._idle[serial]
            if child.step == step and child.output.is_drained:
                return self._idle.pop(serial)
        return None

    def _fork(self, launch: Launch, output: TaskPipes, ends: tuple[int, ...]) -> None:
        ours, theirs = channel_pair()
        child = _Child(launch.serial, launch, output, launch.serial)
        child.connection = Connection(
            self._loop,
            Channel(ours, blocking=False),
            partial(self._from_child, child),
            lambda: self._rest_no_more(child),
        )
        self._children[launch.serial] = self._tasks[launch.serial] = child
        with theirs:
            self._send(launch, (*ends, theirs.fileno()))

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch."""
        child = self._tasks.get(serial)
        if child is not None:
            child.is_spent = True  # the signal may come when the task has ended
        super().kill(serial if child is None else child.serial, number)

    def lost(self) -> None:
        """Hear what tasks have said before the zygote was killed, and their processes with it."""
        for child in list(self._children.values()):
            if child.connection is not None:
                child.connection.read()
            child.end()
        self._children.clear()
        self._idle.clear()

    def close(self) -> None:
        """End the zygote, which kills its tasks."""
        for child in self._children.values():
            child.end()
        super().close()

    # ---- what processes say ----

    def _from_child(self, child: _Child, message: Message) -> None:
        if isinstance(message, Started):
            self._begin(child, message.pid)
        elif isinstance(message, Result) and message.serial == child.task:
            self._on_message(message)
        elif isinstance(message, TaskDone) and message.result.serial == child.task:  # 3
            self._rest(child)
            child.cpu += message.cpu
            self._on_message(message.result)
            self._on_message(Exited(message.result.serial, 0, message.cpu, message.max_rss))

    def _rest(self, child: _Child) -> None:
        """A task of it has ended, and it goes on."""
        assert child.task is not None
        del self._tasks[child.task]
        child.task = None
        if child.is_spent:
            child.end()
            return
        child.output.keep()
        self._idle[child.serial] = child
        if len(self._idle) > MOST_IDLE:
            self._idle.pop(next(iter(self._idle))).end()

    def _rest_no_more(self, child: _Child) -> None:
        """It has closed its end: it is given nothing more, and the zygote will see the end of it."""
        self._idle.pop(child.serial, None)

    def _from_zygote(self, message: Message) -> None:
        child = self._children.get(getattr(message, "serial", 0))
        if child is None:
            self._on_message(message)
        elif isinstance(message, Started):
            self._begin(child, message.pid)
        elif isinstance(message, LaunchFailed):
            self._forget(child)
            self._on_message(message)
        elif isinstance(message, Exited):
            self._ended(child, message)

    def _begin(self, child: _Child, pid: int) -> None:
        """It runs: it says so itself, lest a quick task ends before it has begun, and so does the zygote."""
        if not child.pid:
            child.pid = pid
            self._on_message(Started(child.serial, pid))

    def _ended(self, child: _Child, exited: Exited) -> None:
        assert child.connection is not None
        child.connection.read()  # what it has said before its end counts
        is_unheard = child.connection.is_unheard
        task = child.task
        self._forget(child)
        if task is None:
            return
        if is_unheard:  # 4
            self._on_message(LaunchLost(task))
        else:
            cpu = max(exited.cpu - child.cpu, 0.0)
            self._on_message(Exited(task, exited.status, cpu, exited.max_rss))

    def _forget(self, child: _Child) -> None:
        child.end()
        del self._children[child.serial]
        self._idle.pop(child.serial, None)
        if child.task is not None:
            del self._tasks[child.task]


def _is_small(launch: Launch) -> bool:
    """Whether a task is one of a foreach in its first attempt, and not a node of a gang."""
    return launch.attempt == 0 and bool(launch.frames) and not launch.frames[-1].is_gang
