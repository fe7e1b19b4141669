"""The execution of one run: makes event loop, executor and scheduler, and connects them to the other processes.

From the launcher process an interrupt may come, and its end counts as one too: then nobody waits for the run
any more, and its tasks are killed. Of an inline run it is the executor as well. When the zygote is killed,
fresh interpreters take its place.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from functools import partial
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.executors.local import ForkExecutor, FreshExecutor, RemoteExecutor
from gitflowrun.runtime.ipc.channel import Connection
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Notice
from gitflowrun.runtime.ipc.messages import Interrupt, encode, parse
from gitflowrun.runtime.scheduler.logs import LiveLogs, sweep_live_logs
from gitflowrun.runtime.scheduler.scheduler import Rules, Scheduler
from gitflowrun.settings import Isolation

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.executors.local import Executor
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.ipc.events import Listener
    from gitflowrun.runtime.ipc.messages import Message, RunContext, StartRun
    from gitflowrun.runtime.scheduler.plan import Plan

_FAILURE = 1


class Channels:
    """The ways to the launcher process and to the zygote.

    Args:
        launcher: To the launcher process.
        zygote: To the zygote, if there is one.
        alive: The end of a pipe that the zygote's death closes.
    """

    def __init__(self, launcher: Channel, zygote: Channel | None, alive: int | None) -> None:
        self.launcher = launcher
        self.zygote = zygote
        self.alive = alive

    def say(self, message: Message) -> None:
        """Send a message to the launcher process, if that is still there."""
        with contextlib.suppress(OSError):
            self.launcher.send(encode(message))

    def ask(self) -> Message | None:
        """The next message of the launcher process; None at its end."""
        received = self.launcher.receive()
        return None if received is None else parse(received.body)

    def drop_zygote(self) -> None:
        """Do without the zygote, which ends then."""
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None


class RunExecution:
    """Executes one run.

    Args:
        repo: The repository.
        channels: To launcher process and zygote.
        start: What the launcher process said of the run.
        isolation: How tasks get their processes.
        notify: Called with every event.
    """

    def __init__(
        self,
        repo: Repository,
        channels: Channels,
        start: StartRun,
        isolation: Isolation,
        notify: Listener,
    ) -> None:
        self._repo = repo
        self._channels = channels
        self._start = start
        self._isolation = isolation
        self._notify = notify
        self._loop = EventLoop()
        self._scheduler: Scheduler | None = None
        self._signal = int(signal.SIGTERM)
        channels.launcher.set_blocking(False)
        self._launcher = Connection(
            self._loop, channels.launcher, self._on_launcher_message, self._on_launcher_lost
        )
        self._loop.on_signal(signal.SIGTERM, partial(self._interrupt, signal.SIGTERM))

    def execute(
        self, writer: RunWriter, plan: Plan, run: RunContext, *, first_id: int
    ) -> tuple[int, str | None]:
        """Execute the run to its end.

        Args:
            writer: Writes the run.
            plan: What is to be done.
            run: What all tasks have in common.
            first_id: The first task id that is free.

        Returns:
            The exit code, and what ended the run before its time, if anything did.
        """
        sweep_live_logs(self._repo)
        executor, can_replace = self._executor()
        executor.begin(run)
        self._scheduler = Scheduler(
            self._loop,
            writer,
            plan,
            executor,
            self._notify,
            self._rules(),
            LiveLogs(self._repo, writer.identity),
            first_id=first_id,
            substitute=partial(self._fresh, run) if can_replace else None,
        )
        try:
            status, error = self._scheduler.run()
        finally:
            self._loop.close()
            if self._launcher.is_open:
                self._channels.launcher.set_blocking(True)
        codes = {Status.DONE: 0, Status.INTERRUPTED: 128 + self._signal}
        return codes.get(status, _FAILURE), error

    def _rules(self) -> Rules:
        request = self._start.request
        is_inline = self._isolation is Isolation.INLINE
        return Rules(
            max_workers=1 if is_inline else self._affordable(request.max_workers),
            max_log_size=request.max_log_size or self._repo.settings.max_log_size,
            echo=not is_inline,
        )

    def _affordable(self, workers: int) -> int:
        """As many tasks at a time as may be wanted, and as there are descriptors for."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        left = limit - limits.SCHEDULER_FILES
        if limit == resource.RLIM_INFINITY or workers * limits.FILES_PER_TASK <= left:
            return workers
        affordable = max(1, left // limits.FILES_PER_TASK)
        self._notify(
            Notice(
                f"Tasks run {affordable} at a time, not {workers}: the system allows a process {limit} "
                "open files (`ulimit -Hn`)."
            )
        )
        return affordable

    # ---- executors ----

    def _executor(self) -> tuple[Executor, bool]:
        """The executor that was asked for, or the next best; and whether another can take its place."""
        zygote = self._channels.zygote
        if self._isolation is Isolation.FORK and zygote is not None:
            return self._fork_executor(zygote), True
        self._channels.drop_zygote()
        if self._isolation is Isolation.INLINE:
            return RemoteExecutor(self._launcher), False
        return self._fresh_executor(), False

    def _fork_executor(self, zygote: Channel) -> Executor:
        zygote.set_blocking(False)
        if self._channels.alive is not None:
            self._loop.watch(self._channels.alive, self._on_zygote_lost)
        return ForkExecutor(
            Connection(self._loop, zygote, self._on_executor_message, self._on_zygote_lost)
        )

    def _fresh_executor(self) -> Executor:
        return FreshExecutor(self._loop, self._start.command, self._on_executor_message, os.environ)

    def _fresh(self, run: RunContext) -> Executor:
        """A fresh executor in the place of a lost one, while the run goes on."""
        executor = self._fresh_executor()
        executor.begin(run)
        return executor

    # ---- what comes from other processes ----

    def _on_executor_message(self, message: Message) -> None:
        if self._scheduler is not None:
            self._scheduler.deliver(message)

    def _on_launcher_message(self, message: Message) -> None:
        if isinstance(message, Interrupt):
            self._interrupt(message.signal)
        else:
            self._on_executor_message(message)  # it runs tasks itself

    def _interrupt(self, number: int) -> None:
        self._signal = number
        if self._scheduler is not None:
            self._scheduler.interrupt(number)

    def _on_launcher_lost(self) -> None:
        if self._scheduler is None:
            return
        self._scheduler.stop(Status.INTERRUPTED, "its launcher process was killed", signal.SIGKILL)
        if self._isolation is Isolation.INLINE:
            self._scheduler.executor_lost()

    def _on_zygote_lost(self) -> None:
        channels = self._channels
        if channels.alive is not None:
            self._loop.forget(channels.alive)
            os.close(channels.alive)
            channels.alive = None
        if channels.zygote is not None and self._scheduler is not None:
            channels.zygote = None
            self._scheduler.executor_lost()
