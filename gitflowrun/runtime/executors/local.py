"""Where tasks get their processes, seen from the scheduler: forks of the zygote, fresh interpreters, or none.

All hosts are told the same (Begin, Launch, Kill) and tell the same (Started, Result, Exited, NotLaunched),
through `deliver`. None of them ever makes the scheduler wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gitflowrun.errors import CorruptRecord
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import TWIN, Channel, channel_pair
from gitflowrun.runtime.ipc.messages import (
    Begin,
    Exited,
    Kill,
    Launch,
    Message,
    NotLaunched,
    Started,
    Twin,
    encode,
    parse,
)

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import Loop

__all__ = ["FreshHost", "Host", "Port", "RemoteHost", "ZygoteHost", "fresh_hash_seed"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)
Deliver = Callable[[Message], None]
Gone = Callable[[], None]


class Host(Protocol):
    """What gives tasks their processes."""

    def begin(self, begin: Begin) -> None:
        """Say what all tasks of the run are told."""

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Start a task, whose output goes to copies of these descriptors."""

    def kill(self, serial: int, number: int) -> None:
        """Signal the process group of a launch."""

    def close(self) -> None:
        """End all tasks, and the host itself."""


class Port:
    """A channel in an event loop: messages in, messages out, no waiting.

    Args:
        loop: The event loop.
        channel: A channel that does not block.
        deliver: Called with every message, and the descriptors that came with it.
        gone: Called once, when the other end is gone.
    """

    def __init__(self, loop: Loop, channel: Channel, deliver: Deliver, gone: Gone) -> None:
        self._loop = loop
        self._channel = channel
        self._deliver = deliver
        self._gone = gone
        self.is_open = True
        """Whether the other end can still be heard."""
        self._watch()

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message, now or as soon as the other end takes it."""
        if not self.is_open:
            return
        try:
            if isinstance(message, Twin):
                head = TWIN.pack(b"T", message.serial, message.number, message.index)
                self._channel.put(head + message.value.encode(errors="replace"), fds)
            else:
                self._channel.send(encode(message), fds)
        except OSError:
            return  # its end will be seen when it is read
        if self._channel.wants_write:
            self._watch()

    def _watch(self) -> None:
        on_write = self._flush if self._channel.wants_write else None
        self._loop.watch(self._channel.fileno(), self.read, on_write)

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.flush()
        self._watch()

    def read(self) -> None:
        """Deliver what has arrived."""
        while self.is_open:
            try:
                received = self._channel.receive()
                message = None if received is None else parse(received.body)
            except BlockingIOError:
                return
            except CorruptRecord:
                message = None  # a peer that talks nonsense is as good as gone
            if message is None:
                self.close()
                self._gone()
                return
            self._deliver(message)

    def close(self) -> None:
        """Close this end."""
        if self.is_open:
            self.is_open = False
            self._loop.forget(self._channel.fileno())
            self._channel.close()


class RemoteHost:
    """The zygote, or the front process that runs tasks itself: a process that was there before.

    Args:
        port: To it.
        lasts: Whether it has more to do when there are no more tasks for it.
    """

    def __init__(self, port: Port, *, lasts: bool = False) -> None:
        self._port = port
        self._lasts = lasts

    def begin(self, begin: Begin) -> None:
        """Say what all tasks of the run are told."""
        self._port.send(begin)

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Start a task, whose output goes to copies of these descriptors."""
        self._port.send(launch, (stdout, stderr))

    def kill(self, serial: int, number: int) -> None:
        """Signal the process group of a launch."""
        self._port.send(Kill(serial, number))

    def close(self) -> None:
        """End all tasks, and the host itself."""
        if not self._lasts:
            self._port.close()


class ZygoteHost(RemoteHost):
    """The zygote, to which of the children of one foreach only the differences are told."""

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        self._last: Launch | None = None

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Start a task, whose output goes to copies of these descriptors."""
        twin = Twin.of(launch, self._last)
        if twin is None:
            self._last = launch
        self._port.send(launch if twin is None else twin, (stdout, stderr))


def fresh_hash_seed() -> str:
    """The hash seed of fresh interpreters: the user's, or one for all, so that sets have one order."""
    return os.environ.get("PYTHONHASHSEED") or "0"


class FreshHost:
    """Starts a new interpreter per task: for flows that can't be forked, and where fork is not wanted.

    The interpreter runs the flow's program again, which opens its command line, which finds `TASK_FD` in the
    environment and serves the one task that waits there. Programs are started by posix_spawn: nothing of
    the scheduler's memory is copied.

    Args:
        loop: The event loop.
        command: Program and arguments.
        deliver: Called with every message.
        environ: The environment of the interpreters.
    """

    def __init__(
        self, loop: Loop, command: tuple[str, ...], deliver: Deliver, environ: Mapping[str, str]
    ) -> None:
        self._loop = loop
        self._command = command
        self._deliver = deliver
        self._environ = {**environ, "PYTHONHASHSEED": fresh_hash_seed()}
        self._begin: Begin | None = None
        self._pids: dict[int, int] = {}
        self._serials: dict[int, int] = {}
        self._ports: dict[int, Port] = {}
        loop.on_signal(signal.SIGCHLD, self._reap)

    def begin(self, begin: Begin) -> None:
        """Say what all tasks of the run are told."""
        self._begin = begin

    def launch(self, launch: Launch, stdout: int, stderr: int) -> None:
        """Start a task, whose output goes to copies of these descriptors."""
        assert self._begin is not None
        ours, theirs = channel_pair()
        try:
            pid = self._spawn(theirs.fileno(), stdout, stderr)
        except OSError as error:
            ours.close()
            theirs.close()
            reason = error.strerror or str(error)
            self._loop.after(0, lambda: self._deliver(NotLaunched(launch.serial, reason)))
            return
        theirs.close()
        port = Port(self._loop, Channel(ours, blocking=False), self._deliver, lambda: None)
        port.send(self._begin)
        port.send(launch)
        self._ports[launch.serial] = port
        self._pids[launch.serial] = pid
        self._serials[pid] = launch.serial
        self._loop.after(0, lambda: self._deliver(Started(launch.serial, pid)))

    def _spawn(self, channel: int, stdout: int, stderr: int) -> int:
        os.set_inheritable(channel, True)  # noqa: FBT003  (closed again before anything else starts)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ]
        spawn = partial(
            os.posix_spawn,
            self._command[0],
            self._command,
            {**self._environ, process.TASK_FD: str(channel)},
            file_actions=actions,
            setsigdef=_SIGNALS,
            setsigmask=[],
        )
        try:
            return spawn(setsid=True)
        except NotImplementedError:  # an old C library: the task does it itself, a little later
            return spawn()

    def kill(self, serial: int, number: int) -> None:
        """Signal the process group of a launch."""
        pid = self._pids.get(serial)
        if pid is not None:
            process.signal_group(pid, number)

    def _reap(self) -> None:
        for pid in list(self._serials):  # and no others: git's own callers wait for git
            ended = process.reap(pid)
            if ended is not None:
                self._bury(*ended)

    def _bury(self, pid: int, status: int, cpu: float, peak: int) -> None:
        serial = self._serials.pop(pid)
        del self._pids[serial]
        port = self._ports.pop(serial)
        port.read()  # a result that came before the end counts
        port.close()
        self._deliver(Exited(serial, status, cpu, peak))

    def close(self) -> None:
        """End all tasks, and the host itself."""
        for pid in list(self._serials):
            process.signal_group(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._serials.clear()
