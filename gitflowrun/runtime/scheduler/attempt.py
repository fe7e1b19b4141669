"""One attempt of one task as the scheduler sees it: its pipes, its log, its result and its end.

The scheduler decides; here it is only observed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.runs.records import Attempt
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.left_behind import LeftBehind
from gitflowrun.runtime.ipc.task_pipes import STREAMS, TaskPipes
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import Reuse
    from gitflowrun.runtime.ipc.event_loop import EventLoop, Timer
    from gitflowrun.runtime.ipc.messages import Exited, Result
    from gitflowrun.runtime.scheduler.logs import TaskLog
    from gitflowrun.runtime.scheduler.plan import PlannedTask

OnOutput = Callable[["TaskAttempt", str, bytes, list[str]], None]


@mutable
class Job:
    """A task that is to be done, over all its attempts.

    Attributes:
        planned: Its place in the plan.
        name: Its name.
        attempts: The attempts that have ended so far.
        lost: How often its process was lost or could not be made.
        lost_to: Why each launch of the attempt that comes next was lost with its worker.
        reuse: What the step cache knows of it.
    """

    planned: PlannedTask
    name: TaskName
    attempts: list[Attempt] = field(default_factory=list)
    lost: int = 0
    lost_to: list[str] = field(default_factory=list)
    reuse: Reuse | None = None

    def end(self, attempt: Attempt) -> None:
        """Add an attempt that has ended."""
        self.attempts.append(attempt)
        self.lost_to = []


class TaskAttempt:
    """An attempt that has been launched.

    Args:
        loop: The event loop.
        job: What is attempted.
        serial: Number of the launch.
        log: Its output.
        on_output: Called with what the task writes: the stream, the bytes, the lines they complete.
    """

    def __init__(
        self, loop: EventLoop, job: Job, serial: int, log: TaskLog, on_output: OnOutput
    ) -> None:
        self.job = job
        self.number = len(job.attempts)
        """The number of the attempt."""
        self.serial = serial
        self.pid = 0
        self.where = ""
        """Which machine and agent executes it; empty for this machine."""
        self.host = ""
        """The machine of these; empty for this one."""
        self.started = time.time()
        self.finished = 0.0
        """When it has ended, or its end was noted; 0 before."""
        self.waits = False
        """Whether it has not begun: it was given to an executor ahead, or waits for a worker."""
        self.log = log
        self.result: Result | None = None
        self.other_code: Mapping[str, str] = {}
        """Files whose code it ran and that the snapshot has not so, and what is known of each."""
        self.is_live = False
        self._rest = LeftBehind()
        self.timer: Timer | None = None
        self._is_followed = False
        self.killed: str | None = None
        """Why the scheduler has ended it, if it has."""
        self._on_output = on_output
        self.output = TaskPipes(loop)
        """What its output comes by; where it comes as messages there are none."""

    def begin(self, pid: int) -> None:
        """Its process runs: what it writes is read from now on, so that no line comes before its start."""
        self.pid = pid
        if self._is_followed:
            self.output.watch(self.take)

    def follow(self) -> None:
        """Read what it writes when it writes it, and not at its end, which of most tasks comes before this is asked."""
        self._is_followed = True
        if self.pid:
            self.output.watch(self.take)

    @property
    def group(self) -> int:
        """Its process group on this machine; 0 where it has none yet, or runs elsewhere."""
        return 0 if self.where or self.pid <= 1 else self.pid

    def take(self, stream: str, data: bytes) -> None:
        """Take what it has written to a stream; nothing at its end."""
        now = self.finished or time.time()
        lines = self.log.feed(stream, data, now) if data else self.log.end(stream, now)
        if data or lines:
            self._on_output(self, stream, data, lines)

    def end(self, at: float = 0.0) -> None:
        """Note that it has ended: read what it has written before that, and close the pipes.

        Args:
            at: When, as its process has said, which may have begun with another task since.
        """
        self.finished = time.time() if self.where or not at else max(at, self.started)
        self.output.drain(self.take)
        for stream in STREAMS if self.where else ():
            self.take(stream, b"")

    def succeeded(self, exited: Exited) -> bool:
        """Whether the step has returned and its result arrived: an exit status of 0 alone says nothing."""
        done = self.result is not None and self.result.error is None
        return done and exited.status == 0 and self.killed is None

    def may_follow(self, exited: Exited) -> bool:
        """Whether another attempt may follow this one, which has failed: not if its process has said otherwise."""
        return os.waitstatus_to_exitcode(exited.status) != process.DISALLOW_RETRY

    def end_rest(self, exited: Exited) -> tuple[bool, str | None]:
        """End what the process has left behind in its process group, after a while if it has ended well.

        Returns:
            Whether to wait and ask again, and what to say in the task's log.
        """
        # It has never begun, its agent has done it, or its process goes on with other tasks.
        if not self.group or self.output.is_kept:
            return False, None
        return self._rest.end(self.group, patient=self.succeeded(exited))

    def record(self, exited: Exited, error: str | None) -> Attempt:
        """The record of this attempt; `error` is what made it fail."""
        return Attempt(
            number=self.number,
            started=self.started,
            finished=self.finished,
            ok=error is None,
            exit_code=os.waitstatus_to_exitcode(exited.status),
            cpu=round(exited.cpu, 6),
            max_rss=exited.max_rss,
            error=error,
            where=self.where,
            lost=tuple(self.job.lost_to),
        )

    def explain(self, exited: Exited) -> tuple[str, str | None]:
        """What ended the attempt, and what to add to its log: it may have had no time to say so itself."""
        if self.killed is not None:
            return self.killed, None
        if self.result is not None and self.result.error is not None:
            return self.result.error, None
        code = os.waitstatus_to_exitcode(exited.status)
        if code == process.RESULT_LOST and self.result is None:
            error = "the step has closed the descriptors of its process, so its result is lost"
            return error, f"Task failed: {error}."
        if code >= 0:
            when = "before its step had returned" if self.result is None else "after its step"
            error = f"the process ended with exit status {code} {when}"
            return error, f"Task failed: {error}."
        name = process.signal_name(-code)
        if -code == signal.SIGSEGV:
            return f"killed by {name}", "Task failed with a segmentation fault."
        hint = _LIKELY.get(-code, ".")
        return f"killed by {name}", f"Task failed: its process was killed by {name}{hint}"


_LIKELY: dict[int, str] = {
    signal.SIGKILL: ": not by us; was memory running out?",
    signal.SIGBUS: ": did a file become shorter while it was being stored or read?",
}
