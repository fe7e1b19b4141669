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
import sys
from functools import partial
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.masking import Mask
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState
from gitflowrun.runtime.executors.batch import BatchExecutor, batched_steps
from gitflowrun.runtime.executors.card_process import CardRendererProcess
from gitflowrun.runtime.executors.executor_limits import FILES_PER_PROCESS, MOST_IDLE
from gitflowrun.runtime.executors.local import (
    ConnectedExecutor,
    Executor,
    ForkExecutor,
    FreshExecutor,
)
from gitflowrun.runtime.ipc.channel import Channel, Connection
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Listener, Notice
from gitflowrun.runtime.ipc.messages import Interrupt, Message, OpenRepository
from gitflowrun.runtime.ipc.remote_messages import EngineFailed
from gitflowrun.runtime.scheduler.card_queue import CardQueue, steps_with_own_types
from gitflowrun.runtime.scheduler.scheduler import Scheduler
from gitflowrun.settings import Isolation
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.executors.started_engine import StartedEngine
    from gitflowrun.runtime.ipc.messages import RunContext, StartRun
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage
    from gitflowrun.runtime.scheduler.code_check import CodeCheck
    from gitflowrun.runtime.scheduler.plan import Plan
    from gitflowrun.runtime.scheduler.step_cache import StepCache

_FAILURE = 1


@mutable
class Channels:
    """The ways to the launcher process and to the zygote.

    Attributes:
        launcher: To the launcher process.
        zygote: To the zygote, if there is one, and the end of a pipe that its death closes.
    """

    launcher: Channel
    zygote: tuple[Channel, int] | None

    def say(self, message: Message) -> None:
        """Send a message to the launcher process, if that is still there."""
        with contextlib.suppress(OSError):
            self.launcher.send(message)

    def close(self) -> None:
        """Close both, when all is said."""
        self.launcher.close()
        if self.zygote is not None:
            self.zygote[0].close()


class RunExecution:
    """Executes one run.

    Args:
        repo: The repository.
        channels: To launcher process and zygote.
        start: What the launcher process said of the run.
        isolation: How tasks get their processes.
        notify: Called with every event.
        writer: Writes the run.
        plan: What is to be done.
        run: What all tasks have in common.
        code: Compares what tasks have loaded with the run's snapshot.
        first_id: The first task id that is free.
        cache: Finds tasks that earlier runs have done; None where it is off.
        engine: What executes tasks in the place of this machine; None where this machine does.
    """

    def __init__(
        self,
        repo: Repository,
        channels: Channels,
        start: StartRun,
        isolation: Isolation,
        notify: Listener,
        writer: RunWriter,
        plan: Plan,
        run: RunContext,
        code: CodeCheck,
        first_id: int,
        cache: StepCache | None = None,
        engine: StartedEngine | None = None,
    ) -> None:
        self._channels = channels
        self._command = start.command
        self._run = run
        self._is_inline = isolation is Isolation.INLINE
        self._batched = frozenset() if cache or run.spin else batched_steps(start.graph, isolation)
        self._batch: BatchExecutor | None = None
        self._engine = engine
        self._loop = EventLoop() if engine is None else engine.loop
        self._signal = int(signal.SIGTERM)
        # Nothing is called back before the scheduler, which is made last, turns the loop.
        channels.launcher.set_blocking(False)
        self._launcher = Connection(
            self._loop, channels.launcher, self._on_launcher_message, self._on_launcher_lost
        )
        self._loop.on_signal(signal.SIGTERM, partial(self._interrupt, signal.SIGTERM))
        files = FILES_PER_PROCESS if self._batched and engine is None else limits.FILES_PER_TASK
        wanted = 1 if self._is_inline else start.request.max_workers
        workers = _affordable(wanted, files, notify)
        executor = self._executor(isolation, writer, notify, workers)
        live = LiveState(repo, writer.identity.uid)
        self._renderer = self._card_renderer(start)
        self._cards = CardQueue(
            self._renderer.start,
            live.directory,
            repo.shared_mode,
            steps_with_own_types(start.graph),
        )
        self._scheduler = Scheduler(
            self._loop,
            writer,
            plan,
            executor,
            notify,
            live,
            code,
            self._cards,
            max_workers=workers,
            max_log_size=start.request.max_log_size or repo.settings.max_log_size,
            echo=not self._is_inline,
            first_id=first_id,
            mask=Mask.of(run.secrets),
            substitute=self._fresh_executor if isinstance(executor, ForkExecutor) else None,
            retries=start.retries,
            cache=cache,
        )
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            self._loop.on_signal(signal.SIGTSTP, self._scheduler.suspend)

    def execute(self) -> tuple[int, str | None]:
        """Execute the run to its end.

        Returns:
            The exit code, and what ended the run before its time, if anything did.
        """
        try:
            status, error = self._scheduler.run()
        finally:
            self._renderer.close()
            if self._engine is not None:
                self._engine.close()
            self._loop.close()
            if self._launcher.is_open:
                self._channels.launcher.set_blocking(True)
        return exit_code(status, self._signal), error

    # ---- executors ----

    def _executor(
        self, isolation: Isolation, writer: RunWriter, notify: Listener, workers: int
    ) -> Executor:
        """The executor that was asked for, or the next best."""
        channels = self._channels
        if self._engine is not None:
            self._end_zygote()
            code = writer.snapshot.tree
            hear = self._on_engine_message
            return self._engine.executor(self._run, code, isolation, hear, notify, workers)
        if isolation.forks and channels.zygote is not None:
            zygote, alive = channels.zygote
            zygote.set_blocking(False)
            self._loop.watch(alive, self._on_zygote_lost)
            if self._batched:
                lost, run = self._on_zygote_lost, self._run
                idle = max(1, min(MOST_IDLE, _places(FILES_PER_PROCESS) - workers))
                self._batch = BatchExecutor(
                    self._loop,
                    zygote,
                    self._on_task_message,
                    lost,
                    run,
                    self._batched,
                    workers,
                    idle,
                )
                return self._batch
            connection = Connection(self._loop, zygote, self._on_task_message, self._on_zygote_lost)
            return ForkExecutor(connection, self._run)
        self._end_zygote()
        return (
            ConnectedExecutor(self._launcher, self._run)
            if self._is_inline
            else self._fresh_executor()
        )

    def _card_renderer(self, start: StartRun) -> CardRendererProcess:
        opened = OpenRepository(start.repository, start.config)
        heard = self._on_cards, self._on_renderer_lost
        return CardRendererProcess(self._loop, self._command, self._run, opened, *heard)

    def _end_zygote(self) -> None:
        if self._channels.zygote is not None:
            self._channels.zygote[0].close()
            self._channels.zygote = None

    def _fresh_executor(self) -> Executor:
        return FreshExecutor(self._loop, self._command, self._on_task_message, self._run)

    # ---- what comes from other processes ----

    def _on_task_message(self, message: Message | RemoteMessage) -> None:
        self._scheduler.deliver(message)

    def _on_engine_message(self, message: Message | RemoteMessage) -> None:
        if isinstance(message, EngineFailed):
            self._scheduler.stop(Status.FAILED, message.reason)
        else:
            self._scheduler.deliver(message)

    def _on_cards(self, message: Message) -> None:
        self._scheduler.take_cards(message)

    def _on_renderer_lost(self) -> None:
        self._cards.lost()

    def _on_launcher_message(self, message: Message) -> None:
        if isinstance(message, Interrupt) and message.failure:
            self._scheduler.stop(Status.FAILED, message.failure, signal.SIGINT)
        elif isinstance(message, Interrupt):
            self._interrupt(message.signal)
        else:
            self._scheduler.deliver(message)  # it runs tasks itself

    def _interrupt(self, number: int) -> None:
        self._signal = number
        self._scheduler.interrupt(number)

    def _on_launcher_lost(self) -> None:
        if self._is_inline:
            self._scheduler.process_lost()
        else:
            error = "its launcher process was killed"
            self._scheduler.stop(Status.INTERRUPTED, error, signal.SIGKILL)

    def _on_zygote_lost(self) -> None:
        if self._channels.zygote is not None:
            _, alive = self._channels.zygote
            self._channels.zygote = None
            self._loop.forget(alive)
            os.close(alive)
            if self._batch is not None:
                self._batch.lost()
            self._scheduler.executor_lost()


def exit_code(status: Status, number: int) -> int:
    """The exit code of a flow's program whose run has ended so; `number` is the signal that interrupts came by."""
    return {Status.DONE: 0, Status.INTERRUPTED: 128 + number}.get(status, _FAILURE)


def _places(files: int) -> int:
    """How many tasks there are descriptors for, each of which takes so many; one at least."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, (limit - limits.SCHEDULER_FILES) // files)


def _affordable(workers: int, files: int, notify: Listener) -> int:
    """As many tasks at a time as may be wanted, and as there are descriptors for."""
    affordable = _places(files)
    if workers <= affordable:
        return workers
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    notify(
        Notice(
            f"Tasks run {affordable} at a time, not {workers}: the system allows a process {limit} "
            "open files (`ulimit -Hn`)."
        )
    )
    return affordable
