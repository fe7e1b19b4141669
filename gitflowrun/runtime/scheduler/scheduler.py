"""Runs a flow: takes tasks from the plan, gives them to a host, records what they make. One thread.

It never forks, never imports the flow, and never waits for anything but its event loop and its own commits.

A task goes through these stages:

1. The plan yields it; it is named, launched, and its output captured.
2. Its process ends. Has it failed with retries left, it goes back to 1. Else its record is made.
3. The record is committed, with all others that are ready, when that lets something follow, or else at most
   every max(0.2 s, 20 x what a commit costs): so commits never take more than 5 % of a run.
4. Only when the commit is published is the task finished, announced, and may be followed.

When a task has failed for good, nothing more is launched; what still runs has a few seconds to end by itself,
then it is killed. An interrupt asks all tasks to end at once. Whatever finished is committed in any case, and
the last commit says how the run ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from gitflowrun.errors import FlowError
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.ipc import events, process
from gitflowrun.runtime.ipc.messages import Exited, Launch, Message, NotLaunched, Result, Started
from gitflowrun.runtime.scheduler.attempt import Execution, Job
from gitflowrun.runtime.scheduler.commit_queue import Ledger
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.executors.local import Host
    from gitflowrun.runtime.ipc.event_loop import Loop
    from gitflowrun.runtime.scheduler.logs import LiveLogs
    from gitflowrun.runtime.scheduler.plan import Plan

__all__ = ["Rules", "Scheduler"]

GRACE = 5.0
"""Seconds that running tasks have to end by themselves once the run is over."""
LAST_GRACE = 1.0
"""Seconds between asking a task to end and killing it."""
LIVE_AFTER = 1.0
"""Seconds after which a task's output can be read while it runs."""
_PROGRESS_INTERVAL = 0.2
_HEARTBEAT = 10.0
_EXCUSES = 3
_KILLED = "[KILLED BY ORCHESTRATOR]"


@frozen
class Rules:
    """How a run is to be executed.

    Attributes:
        max_workers: Tasks that run at the same time.
        max_log_size: Bytes of output kept per task and stream.
        retries: Step to the number of attempts that may follow a failed first one.
        echo: Whether output is shown; a task that runs in the front process shows its own.
    """

    max_workers: int
    max_log_size: int
    retries: Mapping[str, int]
    echo: bool = True


class Scheduler:
    """Executes one run.

    Args:
        loop: The event loop.
        writer: Writes the run.
        plan: What is to be done.
        host: Gives tasks their processes; `deliver` must be told what it says.
        listener: Told what happens.
        rules: How.
        live: Where running tasks can be watched.
        first_id: The first task id that is free.
        substitute: Makes another host when this one is lost.
    """

    def __init__(
        self,
        loop: Loop,
        writer: RunWriter,
        plan: Plan,
        host: Host,
        listener: Callable[[events.Event], None],
        rules: Rules,
        live: LiveLogs,
        *,
        first_id: int = 1,
        substitute: Callable[[], Host] | None = None,
    ) -> None:
        self._loop = loop
        self._plan = plan
        self._host = host
        self._tell = listener
        self._rules = rules
        self._live = live
        self._ledger = Ledger(loop, writer, live)
        self._next_id = first_id
        self._substitute = substitute
        self._serial = 0
        self._workers = rules.max_workers
        self._again: deque[Job] = deque()
        self._postponed = 0
        self._running: dict[int, Execution] = {}
        self._begun = time.time()
        self._told = 0.0
        self._is_changed = False
        self._ending: Status | None = None
        self._error: str | None = None
        self._is_killing = False

    # ---- the course of a run ----

    def run(self) -> tuple[Status, str | None]:
        """Execute the run to its end; how it ended, and what ended it.

        Raises:
            RepositoryError: the run can't be recorded any more.
        """
        self._beat()
        try:
            while not self._is_over():
                self._loop.turn()
            status = self._ending or Status.DONE
            self._commit(status)
        finally:
            self._host.close()
            self._live.close()
        self._progress(last=True)
        seconds = time.time() - self._begun
        self._tell(events.RunEnded(status, self._ledger.finished, seconds, self._error))
        return status, self._error

    def _is_over(self) -> bool:
        """Launch and commit what can be; whether nothing is left to do."""
        if self._ending is None:
            self._fill()
        if not self._running and (self._ending or self._plan.finished):
            return True
        if self._is_urgent():
            self._commit()
            return self._is_over()
        if not (self._running or self._again or self._postponed or self._plan.queued):
            raise FlowError(
                "the run has come to a halt: no task is left, and the end was not reached"
            )
        if self._ledger.is_due:
            self._commit()
        self._progress()
        return False

    def _fill(self) -> None:
        while len(self._running) < self._workers:
            job = self._again.popleft() if self._again else self._next_job()
            if job is None:
                return
            self._launch(job)

    def _next_job(self) -> Job | None:
        planned = self._plan.take()
        if planned is None:
            return None
        name = TaskName(planned.step, str(self._next_id))
        self._next_id += 1
        return Job(planned, name)

    def _launch(self, job: Job) -> None:
        self._serial += 1
        execution = Execution(self._loop, job, self._serial, self._rules.max_log_size, self._output)
        try:
            stdout, stderr = execution.open_pipes()
        except OSError as error:  # no descriptor is left
            execution.drain()
            self._postpone(job, error.strerror or str(error))
            return
        self._running[self._serial] = execution
        try:
            self._host.launch(self._order(job, self._serial), stdout, stderr)
        except OSError as error:
            self._retire(execution)
            self._postpone(job, error.strerror or str(error))
            return
        finally:
            os.close(stdout)
            os.close(stderr)
        execution.timer = self._loop.after(LIVE_AFTER, lambda: self._go_live(execution))
        self._is_changed = True

    def _order(self, job: Job, serial: int) -> Launch:
        planned = job.planned
        return Launch(
            serial,
            job.name,
            len(job.attempts),
            planned.is_join,
            planned.frames,
            planned.parents,
        )

    # ---- what hosts and tasks say ----

    def deliver(self, message: Message) -> None:
        """Take a message from a host or a task."""
        serial = getattr(message, "serial", None)
        execution = self._running.get(serial) if serial is not None else None
        if execution is None:
            return
        if isinstance(message, Started):
            execution.begin(message.pid)
            self._tell(events.TaskStarted(execution.job.name, message.pid, execution.number))
        elif isinstance(message, Result):
            execution.result = message
        elif isinstance(message, Exited):
            self._end(execution, message)
        elif isinstance(message, NotLaunched):
            self._retire(execution)
            self._postpone(execution.job, message.reason)

    def host_gone(self) -> None:
        """The host is lost, and all its tasks with it: not their fault, they run again elsewhere."""
        lost = list(self._running.values())
        for execution in lost:
            self._retire(execution)
            _kill_group(execution.pid)
        if self._ending is not None or self._substitute is None:
            self.stop(Status.FAILED, "the processes that run tasks were killed from outside")
            return
        self._tell(
            events.Notice("The zygote was killed; tasks get fresh interpreters now.", bad=True)
        )
        self._host = self._substitute()
        self._substitute = None
        for execution in lost:
            self._excuse(execution.job, "its process was lost with the zygote")

    def _postpone(self, job: Job, reason: str) -> None:
        """A process could not be made: try again with fewer at a time, later if need be."""
        if self._running:
            self._workers = max(1, min(self._workers, len(self._running)))
            self._again.append(job)
        else:
            self._postponed += 1
            self._loop.after(0.1 * 2**job.excused, lambda: self._resume(job, reason))

    def _resume(self, job: Job, reason: str) -> None:
        self._postponed -= 1
        self._excuse(job, f"no process can be made: {reason}")

    def _excuse(self, job: Job, reason: str) -> None:
        job.excused += 1
        if job.excused > _EXCUSES:
            self.stop(Status.FAILED, f"task {job.name} can't be run: {reason}")
        else:
            self._again.append(job)

    # ---- output ----

    def _output(self, execution: Execution, stream: str, data: bytes, lines: list[str]) -> None:
        if execution.is_live and data:
            self._live.add(execution.job.name, stream, data)
        if self._rules.echo and lines:
            name, pid, now = execution.job.name, execution.pid, time.time()
            for line in lines:
                self._tell(events.TaskLine(name, pid, stream, line, now))

    def _say(self, execution: Execution, text: str) -> None:
        """A word of ours in a task's log."""
        execution.log.say(text)
        now = time.time()
        line = events.TaskLine(execution.job.name, execution.pid, "stderr", text, now, system=True)
        self._tell(line)

    def _go_live(self, execution: Execution) -> None:
        execution.is_live = True
        self._live.begin(execution.job.name, execution.log)

    # ---- the end of a task ----

    def _retire(self, execution: Execution) -> None:
        execution.drain()
        del self._running[execution.serial]
        if execution.timer is not None:
            execution.timer.cancel()
        self._is_changed = True

    def _end(self, execution: Execution, exited: Exited) -> None:
        self._retire(execution)
        job = execution.job
        if execution.succeeded(exited):
            self._succeed(execution, exited)
            return
        error, line = execution.explain(exited)
        if line is not None:
            self._say(execution, line)
        job.attempts.append(execution.attempt(exited, error))
        retrying = (
            len(job.attempts) <= self._rules.retries.get(job.planned.step, 0) and not self._ending
        )
        took = job.attempts[-1].finished - execution.started
        self._tell(
            events.TaskEnded(
                job.name, execution.pid, ok=False, attempt=execution.number - 1, seconds=took,
                error=error, retrying=retrying,
            )
        )  # fmt: skip
        if retrying:
            self._again.append(job)
            return
        self._ledger.add(execution, is_success=False)
        self.stop(Status.FAILED, f"step {job.name.step!r} (task {job.name.task}) failed: {error}")

    def _succeed(self, execution: Execution, exited: Exited) -> None:
        job = execution.job
        job.attempts.append(execution.attempt(exited, None))
        record, done = self._ledger.add(execution, is_success=True)
        values = execution.result.split_values if execution.result else ()
        try:
            self._plan.finish(job.planned, done, record.transition, values)
        except FlowError as error:
            self.stop(Status.FAILED, str(error))

    # ---- commits ----

    def _is_urgent(self) -> bool:
        """Whether something could run if only what is done were published."""
        if not self._ledger.waiting or self._ending:
            return False
        idle = len(self._running) < self._workers and not self._plan.queued and not self._again
        return (idle and self._plan.held > 0) or not self._running or self._ledger.is_heavy

    def _commit(self, status: Status = Status.RUNNING) -> None:
        for event in self._ledger.commit(status):
            self._tell(event)
        self._plan.release()
        self._is_changed = True

    # ---- the end of a run ----

    def stop(self, status: Status, error: str | None, number: int | None = None) -> None:
        """Launch nothing more, let what runs end, and end the run.

        Args:
            status: How the run ends, unless that is settled already.
            error: What ends it.
            number: A signal for the tasks that run, at once.
        """
        if self._ending is None:
            self._ending = status
            self._error = error
            if self._running:
                self._loop.after(GRACE, self._ask_to_end)
        if number is not None:
            for execution in self._running.values():
                execution.killed = execution.killed or "interrupted"
                self._host.kill(execution.serial, number)

    def interrupt(self, number: int) -> None:
        """The user wants the run to end; wants it now, at the second time."""
        if self._ending is Status.INTERRUPTED:
            self._kill()
            return
        name = signal.Signals(number).name
        self.stop(Status.INTERRUPTED, f"the run was interrupted ({name})", signal.SIGINT)

    def _ask_to_end(self) -> None:
        for execution in self._running.values():
            execution.killed = execution.killed or "killed because the run was over"
            self._say(execution, _KILLED)
            self._host.kill(execution.serial, signal.SIGTERM)
        self._loop.after(LAST_GRACE, self._kill)

    def _kill(self) -> None:
        """Kill what runs; give up on what does not die."""
        for execution in self._running.values():
            execution.killed = execution.killed or "killed because the run was over"
            self._host.kill(execution.serial, signal.SIGKILL)
        if not self._is_killing:
            self._is_killing = True
            self._loop.after(2 * LAST_GRACE, self._abandon)

    def _abandon(self) -> None:
        for execution in list(self._running.values()):
            _kill_group(execution.pid)
            self.deliver(Exited(execution.serial, signal.SIGKILL, 0.0, 0))

    # ---- how far it is ----

    def _beat(self) -> None:
        self._is_changed = True
        self._loop.after(_HEARTBEAT, self._beat)

    def _progress(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if not last and (not self._is_changed or now - self._told < _PROGRESS_INTERVAL):
            return
        self._told, self._is_changed = now, False
        running = Counter(execution.job.name.step for execution in self._running.values())
        queued = self._plan.queued + self._plan.held + len(self._again)
        self._tell(
            events.Progress(
                self._ledger.finished, queued, tuple(running.items()), time.time() - self._begun
            )
        )


def _kill_group(pid: int) -> None:
    """Kill what a lost host's task has left behind, if it had started."""
    if pid > 1:
        process.signal_group(pid, signal.SIGKILL)
