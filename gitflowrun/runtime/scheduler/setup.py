"""Where a run is executed: the loop, the host, the way to the front process and back. It ties; others do.

What the front process says during a run is an interrupt, and its end is one too: then nobody waits for the
run any more, and its tasks are killed. Of an `inline` run the front process is the host as well.
"""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.executors.local import FreshHost, Host, Port, RemoteHost, ZygoteHost
from gitflowrun.runtime.ipc.event_loop import Loop
from gitflowrun.runtime.ipc.events import Notice
from gitflowrun.runtime.ipc.messages import Interrupt, Message, Order
from gitflowrun.runtime.scheduler.logs import LiveLogs, sweep_live_logs
from gitflowrun.runtime.scheduler.scheduler import Rules, Scheduler
from gitflowrun.settings import Isolation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.ipc.events import Event
    from gitflowrun.runtime.ipc.messages import Begin
    from gitflowrun.runtime.scheduler.plan import Plan

__all__ = ["Lines", "Stage"]

_FAILURE = 1
_FILES = 4
"""Descriptors that a task takes of the scheduler: two pipes, a socket, and one of a message on its way."""
_OWN_FILES = 64
"""Descriptors that the scheduler may need for itself: packs it reads and writes, git, the way to others."""


class Lines:
    """The ways to other processes that the scheduler's process was started with.

    Args:
        front: To the front process.
        zygote: To the zygote, if there is one.
        alive: A descriptor that comes to its end when the zygote dies.
    """

    def __init__(self, front: Channel, zygote: Channel | None, alive: int | None) -> None:
        self.front = front
        self.zygote = zygote
        self.alive = alive

    def drop_zygote(self) -> None:
        """Do without the zygote, which ends then."""
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None


class Stage:
    """Executes one run.

    Args:
        repo: The repository.
        lines: To front process and zygote.
        order: What was ordered.
        isolation: How tasks get their processes.
        tell: Told what happens.
    """

    def __init__(
        self,
        repo: Repository,
        lines: Lines,
        order: Order,
        isolation: Isolation,
        tell: Callable[[Event], None],
    ) -> None:
        self._repo = repo
        self._lines = lines
        self._order = order
        self._isolation = isolation
        self._tell = tell
        self._loop = Loop()
        self._scheduler: Scheduler | None = None
        self._signal = int(signal.SIGTERM)
        lines.front.set_blocking(False)
        self._front = Port(self._loop, lines.front, self._hear_front, self._lose_front)
        self._loop.on_signal(signal.SIGTERM, lambda: self._interrupt(signal.SIGTERM))

    def execute(
        self,
        writer: RunWriter,
        plan: Plan,
        begin: Begin,
        *,
        first_id: int,
    ) -> tuple[int, str | None]:
        """Execute the run to its end; the exit code, and what ended it before its time.

        Args:
            writer: Writes the run.
            plan: What is to be done.
            begin: What all tasks are told.
            first_id: The first task id that is free.
        """
        sweep_live_logs(self._repo)
        host, can_replace = self._host()
        host.begin(begin)
        self._scheduler = Scheduler(
            self._loop,
            writer,
            plan,
            host,
            self._tell,
            self._rules(),
            LiveLogs(self._repo, writer.identity),
            first_id=first_id,
            substitute=(lambda: self._fresh(begin)) if can_replace else None,
        )
        try:
            status, error = self._scheduler.run()
        finally:
            self._loop.close()
            if self._front.is_open:
                self._lines.front.set_blocking(True)
        codes = {Status.DONE: 0, Status.INTERRUPTED: 128 + self._signal}
        return codes.get(status, _FAILURE), error

    def _rules(self) -> Rules:
        request = self._order.request
        is_inline = self._isolation is Isolation.INLINE
        return Rules(
            max_workers=1 if is_inline else self._affordable(request.max_workers),
            max_log_size=request.max_log_size or self._repo.settings.max_log_size,
            retries={},
            echo=not is_inline,
        )

    def _affordable(self, workers: int) -> int:
        """As many tasks at a time as may be wanted, and as there are descriptors for."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY or workers * _FILES <= limit - _OWN_FILES:
            return workers
        affordable = max(1, (limit - _OWN_FILES) // _FILES)
        self._tell(
            Notice(
                f"Tasks run {affordable} at a time, not {workers}: the system allows a process {limit} "
                "open files (`ulimit -Hn`)."
            )
        )
        return affordable

    def _host(self) -> tuple[Host, bool]:
        """The host that was asked for, or the next best; and whether it can be replaced when it is lost."""
        if self._isolation is Isolation.INLINE:
            self._lines.drop_zygote()
            return RemoteHost(self._front, lasts=True), False
        if self._isolation is Isolation.FORK and self._lines.zygote is not None:
            return self._zygote(self._lines.zygote), True
        self._lines.drop_zygote()
        return FreshHost(self._loop, self._order.command, self._hear_host, os.environ), False

    def _zygote(self, channel: Channel) -> Host:
        channel.set_blocking(False)
        port = Port(self._loop, channel, self._hear_host, self._lose_zygote)
        if self._lines.alive is not None:
            self._loop.watch(self._lines.alive, self._lose_zygote)
        return ZygoteHost(port)

    def _fresh(self, begin: Begin) -> Host:
        host = FreshHost(self._loop, self._order.command, self._hear_host, os.environ)
        host.begin(begin)
        return host

    # ---- what is heard ----

    def _hear_host(self, message: Message) -> None:
        if self._scheduler is not None:
            self._scheduler.deliver(message)

    def _hear_front(self, message: Message) -> None:
        if isinstance(message, Interrupt):
            self._interrupt(message.signal)
        else:
            self._hear_host(message)  # it runs tasks itself

    def _interrupt(self, number: int) -> None:
        self._signal = number
        if self._scheduler is not None:
            self._scheduler.interrupt(number)

    def _lose_front(self) -> None:
        if self._scheduler is None:
            return
        self._scheduler.stop(Status.INTERRUPTED, "its front process was killed", signal.SIGKILL)
        if self._isolation is Isolation.INLINE:
            self._scheduler.host_gone()

    def _lose_zygote(self) -> None:
        if self._lines.alive is not None:
            self._loop.forget(self._lines.alive)
            os.close(self._lines.alive)
            self._lines.alive = None
        if self._lines.zygote is not None and self._scheduler is not None:
            self._lines.zygote = None
            self._scheduler.host_gone()
