"""The executors of this machine as the scheduler uses them: forks of the zygote, or fresh interpreters.

All executors take the same messages (RunContext, Launch, Kill) and answer with the same (Started, Result, Exited,
LaunchFailed). None of them ever makes the scheduler wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel, Connection, OnMessage, channel_pair
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    LaunchItem,
    RunContext,
    Started,
)

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.task_pipes import TaskPipes

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)


class Executor(Protocol):
    """What gives tasks their processes."""

    is_remote: bool
    """Whether these are other machines' processes, of which nothing is known here but what messages say: what a task
    writes comes as TaskOutput, and there are no pipes."""

    def ahead(self, step: str) -> int:
        """How many tasks it takes beyond those that may run at the same time, if a step's is next: they wait."""

    def launch_ahead(self, launch: Launch, output: TaskPipes) -> None:
        """Take such a task, which begins when another one has ended, as Started tells. Raises as `launch`."""

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: no descriptors are left."""

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch."""

    def withdraw(self) -> None:
        """Begin with no task any more: those that were taken and have not begun are lost, as it says of each."""

    def announce_silence(self) -> None:
        """Tell other machines that this process is about to be stopped for a while, which is not its end."""

    def close(self) -> None:
        """End all tasks, and the executor itself."""


class ConnectedExecutor:
    """An executor in another process that is there already: of an inline run, the launcher process.

    Args:
        connection: To it.
        run: What all tasks have in common.
    """

    is_remote = False

    def __init__(self, connection: Connection, run: RunContext) -> None:
        self._connection = connection
        connection.send(run)

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: there are no more descriptors."""
        with output.make() as ends:
            self._connection.send(launch, tuple(ends))

    def ahead(self, step: str) -> int:  # noqa: ARG002
        """None: each task begins at once."""
        return 0

    def launch_ahead(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task all the same."""
        self.launch(launch, output)

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch."""
        self._connection.send(Kill(serial, number))

    def withdraw(self) -> None:
        """Do nothing: it begins with each task at once."""

    def announce_silence(self) -> None:
        """Do nothing: its process waits for as long as it takes."""

    def close(self) -> None:
        """Leave the process alone: it has more to do than tasks."""


class ForkExecutor(ConnectedExecutor):
    """The zygote. Of the children of one foreach it gets the first one whole and of the others the differences."""

    _last: Launch | None = None

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: there are no more descriptors."""
        with output.make() as ends:
            self._send(launch, tuple(ends))

    def _send(self, launch: Launch, fds: tuple[int, ...]) -> None:
        item = LaunchItem.of(launch, self._last)
        if item is None:
            self._last = launch
        self._connection.send(launch if item is None else item, fds)

    def close(self) -> None:
        """End the zygote, which kills its tasks."""
        self._connection.close()


def fresh_hash_seed() -> str:
    """The hash seed of fresh interpreters: the user's, or one for all, so that sets have one order."""
    return os.environ.get("PYTHONHASHSEED") or "0"


class FreshExecutor:
    """Starts a new interpreter for each task: for flows that can't be forked, and where fork is not wanted.

    1. The interpreter runs the flow's program again, whose entry point finds `TASK_FD` in the environment.
    2. It reads RunContext and Launch from that socket and runs this one task.
    3. It answers there; the exit status is read here.

    Programs are started by posix_spawn: nothing of the scheduler's memory is copied.

    Args:
        loop: The event loop.
        command: Program and arguments.
        on_message: Called with every message.
        run: What all tasks have in common.
    """

    is_remote = False

    def __init__(
        self, loop: EventLoop, command: tuple[str, ...], on_message: OnMessage, run: RunContext
    ) -> None:
        self._loop = loop
        self._command = command
        self._on_message = on_message
        self._run = run
        self._environ = {**os.environ, "PYTHONHASHSEED": fresh_hash_seed()}
        self._pids: dict[int, int] = {}  # by the launch's serial
        self._tasks: dict[int, tuple[int, Connection]] = {}  # serial and socket by pid
        loop.on_signal(signal.SIGCHLD, self._reap)

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: there are no more descriptors."""
        with output.make() as ends:
            self._launch(launch, *ends)

    def ahead(self, step: str) -> int:  # noqa: ARG002
        """None: each task begins at once."""
        return 0

    def launch_ahead(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task all the same."""
        self.launch(launch, output)

    def _launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        serial = launch.serial
        ours, theirs = channel_pair()
        try:
            pid = self._spawn(theirs.fileno(), stdout, stderr)
        except OSError as error:
            ours.close()
            failed = LaunchFailed(serial, error.strerror or str(error))
            self._loop.after(0, lambda: self._on_message(failed))
            return
        finally:
            theirs.close()
        connection = Connection(
            self._loop, Channel(ours, blocking=False), self._on_message, lambda: None
        )
        connection.send(self._run)
        connection.send(launch)
        self._pids[serial] = pid
        self._tasks[pid] = serial, connection
        self._loop.after(0, lambda: self._on_message(Started(serial, pid)))

    def _spawn(self, channel: int, stdout: int, stderr: int) -> int:
        os.set_inheritable(channel, True)  # noqa: FBT003  (closed again before anything else starts)
        return os.posix_spawn(
            self._command[0],
            self._command,
            {**self._environ, process.TASK_FD: str(channel)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, stderr, 2),
            ],
            setsid=True,
            setsigdef=_SIGNALS,
            setsigmask=[
                signal.SIGINT
            ],  # until modules are imported: nobody wants to see where in them
        )

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch."""
        pid = self._pids.get(serial)
        if pid is not None:
            process.signal_group(pid, number)

    def _reap(self) -> None:
        for pid in list(self._tasks):  # and no others: whoever runs git waits for it
            ended = process.reap(pid)
            if ended is not None:
                self._end(*ended)

    def _end(self, pid: int, status: int, cpu: float, peak: int) -> None:
        serial, connection = self._tasks.pop(pid)
        del self._pids[serial]
        connection.read()  # a result that came before the end counts
        connection.close()
        self._on_message(Exited(serial, status, cpu, peak))

    def withdraw(self) -> None:
        """Do nothing: it begins with each task at once."""

    def announce_silence(self) -> None:
        """Do nothing: tasks wait for as long as it takes."""

    def close(self) -> None:
        """End all tasks."""
        for pid in self._tasks:
            process.signal_group(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._tasks.clear()
