"""The zygote: a fork of the front process that has read the flow and forks one child per task.

It holds neither pygit2 nor click nor the repository's refs, so that a fork stays small: what a fork costs
is the memory of the one who forks (0.1 ms per MB). Objects that exist at the start are frozen: a garbage
collection in a child would otherwise copy all of them (144 ms instead of 17).

It obeys one scheduler over one socket, and dies with it and with the front process. Its children die with
it, whatever they do; when a task has ended, whatever it has left behind in its process group is killed. Only
the zygote signals tasks: it has not reaped them yet, so their numbers can't have been given to others.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import warnings
from typing import TYPE_CHECKING

from gitflowrun.runtime import process
from gitflowrun.runtime.child import run_task, set_environment
from gitflowrun.runtime.messages import (
    Begin,
    Exited,
    Kill,
    Launch,
    Message,
    NotLaunched,
    Ready,
    Started,
    encode,
    parse,
)
from gitflowrun.runtime.task import TaskRunner

if TYPE_CHECKING:
    from typing import NoReturn

    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.protocol import Channel, Received

__all__ = ["serve"]

_KIB = 1024


def serve(flow_cls: type[FlowSpec], channel: Channel, alive: int) -> NoReturn:
    """Be the zygote until the scheduler is gone.

    Args:
        flow_cls: The flow.
        channel: To the scheduler.
        alive: A descriptor that only the zygote holds: who has its other end sees it die.
    """
    zygote = _Zygote(flow_cls, channel, alive)
    try:
        zygote.loop()
    finally:
        zygote.kill_all()
        os._exit(0)


class _Zygote:
    def __init__(self, flow_cls: type[FlowSpec], channel: Channel, alive: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the scheduler decides who is interrupted
        process.detach_input()
        process.prepare_output()
        self._flow_cls = flow_cls
        self._channel = channel
        self._alive = alive
        self._runner: TaskRunner | None = None
        self._lifeline = process.Lifeline()
        self._pids: dict[int, int] = {}  # serial -> pid
        self._serials: dict[int, int] = {}  # pid -> serial
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._answer(Ready(os.getpid()))
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)

    def loop(self) -> None:
        """Serve until the socket ends."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._woken in ready:
                self._reap()
            if self._channel.fileno() in ready:
                received = self._channel.receive()
                if received is None:
                    return
                self._obey(received)

    def _obey(self, received: Received) -> None:
        message = parse(received.body)
        if isinstance(message, Launch):
            self._launch(message, received.fds)
        elif isinstance(message, Kill):
            self._signal(message)
        elif isinstance(message, Begin):
            set_environment(message)
            self._runner = TaskRunner(self._flow_cls, message)
            self._runner.warm_up()
            gc.collect()
            gc.freeze()

    def _launch(self, launch: Launch, fds: tuple[int, ...]) -> None:
        assert self._runner is not None
        stdout, stderr = fds
        with contextlib.suppress(Exception):  # the child meets the same error, and can explain it
            self._runner.look_ahead(launch)
        try:
            pid = os.fork()
        except OSError as error:
            self._answer(NotLaunched(launch.serial, str(error)))
        else:
            if not pid:
                self._become(launch, stdout, stderr)
            self._pids[launch.serial] = pid
            self._serials[pid] = launch.serial
            self._answer(Started(launch.serial, pid))
        os.close(stdout)
        os.close(stderr)

    def _become(self, launch: Launch, stdout: int, stderr: int) -> NoReturn:
        assert self._runner is not None
        try:
            self._lifeline.grasp()
            for fd in (self._alive, self._woken, self._wake):
                os.close(fd)
            run_task(self._runner, launch, self._channel, stdout, stderr)
        finally:
            os._exit(1)

    def _signal(self, kill: Kill) -> None:
        pid = self._pids.get(kill.serial)
        if pid is not None and not _signal_group(pid, kill.signal):
            # It has not made its session yet.
            try:
                os.kill(pid, kill.signal)
            except ProcessLookupError:
                return

    def _reap(self) -> None:
        os.read(self._woken, 4096)
        while self._serials:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            pid = ended.si_pid
            _signal_group(pid, signal.SIGKILL)  # what the task has left behind
            _, status, usage = os.wait4(pid, 0)
            serial = self._serials.pop(pid, None)
            if serial is None:
                continue
            del self._pids[serial]
            cpu = usage.ru_utime + usage.ru_stime
            self._answer(Exited(serial, status, cpu, usage.ru_maxrss * _KIB))

    def _answer(self, message: Message) -> None:
        self._channel.send(encode(message))

    def kill_all(self) -> None:
        """Kill every task and whatever belongs to it."""
        for pid in self._serials:
            if not _signal_group(pid, signal.SIGKILL):
                os.kill(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> bool:
    """Signal the process group that a task leads; False when there is none."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
