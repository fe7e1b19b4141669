"""The zygote: a fork of the flow's program that has imported the flow and forks one child per task.

It holds neither pygit2 nor click nor the repository's refs, because the price of a fork is the memory of the
process that forks (0.1 ms per MB). Objects that exist at the start are frozen: a garbage collection in a
child would otherwise copy all of them (144 ms instead of 17).

1. Warm up: import and run what every task will need (`warm_up`).
2. Read RunContext, freeze memory, and serve one scheduler over one socket until that ends:
   a launch forks a child, which runs the task and answers itself (`task_process`); Kill signals one; a child
   that ends is reported with Exited.
3. When the socket ends, with the scheduler or the launcher process, kill all children and end.

Children die with the zygote. Only the zygote signals tasks: it has not reaped them yet, so the kernel can't have
reused their numbers.
"""

from __future__ import annotations

import contextlib
import gc
import operator
import os
import select
import signal
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

from gitflowrun import limits
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.execute import prepare
from gitflowrun.flow.members import parameters_of
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import EXITED, LAUNCH_ITEM, STARTED, read_datagram
from gitflowrun.runtime.ipc.messages import (
    Kill,
    Launch,
    LaunchFailed,
    LaunchItem,
    Message,
    RunContext,
)
from gitflowrun.runtime.worker.task import TaskRunner
from gitflowrun.runtime.worker.task_process import run_task, set_environment
from gitflowrun.runtime.worker.warm_up import warm_up

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.worker.program_end import ProgramEnd

_LAUNCH_ITEM = ord("L")
_OUTPUT = 2  # descriptors of a task's output
_FOR_THE_RUN = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run, and often come to all its processes at once: the scheduler ends tasks for them."""


def serve(flow_cls: type[FlowSpec], channel: Channel, alive: int, program: ProgramEnd) -> NoReturn:
    """Be the zygote until the scheduler is gone.

    Args:
        flow_cls: The flow.
        channel: To the scheduler.
        alive: The end of a pipe that only the zygote holds: its death closes it, which the scheduler sees.
        program: Ends what tasks have begun.
    """
    zygote = _Zygote(flow_cls, channel, alive, program)
    try:
        zygote.loop()
    finally:
        zygote.kill_all()
        os._exit(0)


class _Zygote:
    """The loop. Memory that it writes to for each task is copied for each task, so it writes little."""

    def __init__(
        self, flow_cls: type[FlowSpec], channel: Channel, alive: int, program: ProgramEnd
    ) -> None:
        gc.disable()  # nothing here makes cycles; children collect again
        # Tasks have the handlers of their module; one that was not set from Python stays in place here, too.
        found = {number: signal.getsignal(number) for number in _FOR_THE_RUN}
        self._handlers = {
            number: handler for number, handler in found.items() if handler is not None
        }
        for number in (signal.SIGINT, *self._handlers):  # the scheduler decides who is interrupted
            signal.signal(number, signal.SIG_IGN)
        # A fork that is interrupted before it has a handler of its own must not miss it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_FOR_THE_RUN})
        self._unblocked = {*_FOR_THE_RUN} - blocked
        process.prefer_as_oom_victim()
        process.detach_input()
        process.prepare_output()
        self._flow_cls = flow_cls
        self._channel = channel
        channel.move_away()
        self._alive = alive
        self._program = program
        self._runner: TaskRunner | None = None
        self._last: Launch | None = None
        self._death_signal = process.ParentDeathSignal()
        self._serials: dict[int, int] = {}  # pid -> number of the launch
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The pipe wakes `poll`; Python also needs a handler, and one that is no Python code costs least.
        signal.signal(signal.SIGCHLD, operator.is_)
        graph = prepare(flow_cls)
        is_wide = any(node.type == "foreach" for node in graph)
        has_decorators = bool(attached(flow_cls).steps)
        warm_up(limits.WARM_UP_ROUNDS if is_wide else 1, has_decorators=has_decorators)  # 1
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)

    def loop(self) -> None:
        """Serve until the socket ends."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._woken:
                    self._reap()
                    continue
                datagram, fds = self._channel.take()
                if not datagram:
                    return
                if datagram[0] == _LAUNCH_ITEM:
                    self._fork(LAUNCH_ITEM.unpack_from(datagram)[1], fds, datagram)
                else:
                    self._obey(*read_datagram(datagram, fds))

    def _obey(self, message: Message, fds: tuple[int, ...]) -> None:
        if isinstance(message, Launch):
            self._last = message
            assert self._runner is not None
            # The child meets the same error, and can explain it.
            with contextlib.suppress(Exception):
                self._runner.look_ahead(message)
            self._fork(message.serial, fds)
        elif isinstance(message, Kill):
            self._signal(message)
        elif isinstance(message, RunContext):
            set_environment(message)
            if message.secrets:
                from gitflowrun.flow.secret_parameters import redacted  # few flows have secrets

                parameters = parameters_of(self._flow_cls).values()
                process.hide_arguments(sys.argv, redacted(sys.argv, parameters))
            self._runner = TaskRunner(self._flow_cls, message)
            self._runner.code.watch()
            self._program.disown()
            gc.freeze()  # without a collection before, which takes 7 ms: garbage of imports stays

    def _fork(self, serial: int, fds: tuple[int, ...], item: bytes = b"") -> None:
        """Fork a child for the launch that was read last.

        Args:
            serial: The number of the launch.
            fds: The pipes of its output; with a third, the socket by which the child gets more tasks, and more pipes.
            item: A LaunchItem, unread, when it is for another item of the same foreach: the child reads it.
        """
        if len(fds) > _OUTPUT:
            import gitflowrun.runtime.worker.batch_child  # noqa: F401  (once, not in each fork; few runs need it)
        try:
            pid = os.fork()
        except OSError as error:
            self._channel.send(LaunchFailed(serial, str(error)))
        else:
            if not pid:
                self._become(fds, item)
            self._serials[pid] = serial
            self._channel.put(STARTED.pack(b"S", serial, pid))
        for fd in fds:
            os.close(fd)

    def _become(self, fds: tuple[int, ...], item: bytes) -> NoReturn:
        try:
            gc.enable()
            self._death_signal.set()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._unblocked)
            for fd in (self._alive, self._woken, self._wake):
                os.close(fd)
            launch = self._last
            assert launch is not None
            if item:
                _, number, task, index = LAUNCH_ITEM.unpack_from(item)
                value = item[LAUNCH_ITEM.size :].decode()
                launch = LaunchItem(number, task, index, value).launch(launch)
            assert self._runner is not None
            if len(fds) > _OUTPUT:
                from gitflowrun.runtime.worker.batch_child import run_tasks  # loaded before

                self._channel.close()
                run_tasks(self._runner, launch, self._program, fds)
            run_task(self._runner, launch, self._channel, self._program, *fds)
        finally:
            os._exit(1)

    def _signal(self, kill: Kill) -> None:
        for pid, serial in self._serials.items():
            if serial == kill.serial and not process.signal_group(pid, kill.signal):
                os.kill(pid, kill.signal)  # it has not made its session yet, and is not reaped

    def _reap(self) -> None:
        os.read(self._woken, 4096)
        while self._serials and (ended := process.reap()) is not None:
            pid, status, cpu, peak = ended
            serial = self._serials.pop(pid, None)
            if serial is not None:
                self._channel.put(EXITED.pack(b"E", serial, status, cpu, peak))

    def kill_all(self) -> None:
        """Kill every task and whatever belongs to it."""
        for pid in self._serials:
            if not process.signal_group(pid, 9):
                os.kill(pid, 9)
