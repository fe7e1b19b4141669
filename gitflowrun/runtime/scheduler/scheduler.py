"""The scheduler of one run: takes tasks from the plan, gives them to an executor, commits what they make.

It has one thread, never forks, never imports the flow, and waits for nothing but its event loop and its own
commits.

1. The plan yields a task; it gets an id and is launched, and its output is captured.
2. Its process ends; what can follow at once is launched, lest processes wait, and then its record is made.
3. The record is committed, with all others that are ready, when that lets something follow, or else at most
   every max(0.2 s, 20 x what a commit costs): so commits never take more than 5 % of a run.
4. Only when the commit is published is the task finished, announced, and may be followed.

An attempt that has failed is followed by another one at once, before anything else, if its step is to be tried again;
it is committed as a finished task is. When a task has failed for good, nothing more is launched; what still runs has a
few seconds to end by itself, then it is killed. An interrupt asks all tasks to end at once. Whatever finished is
committed in any case, and the last commit says how the run ended.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.errors import FlowError
from gitflowrun.failpoints import reached
from gitflowrun.names import NODE, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import StartedTask
from gitflowrun.runs.lookup.cache_limits import LOOKED_UP
from gitflowrun.runtime.ipc import events, process
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    LaunchFailed,
    LaunchLost,
    Message,
    Result,
    Retries,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import TaskLost, TaskNote, TaskOutput, TaskPlaced
from gitflowrun.runtime.scheduler.attempt import Job, TaskAttempt
from gitflowrun.runtime.scheduler.commit_queue import CommitQueue
from gitflowrun.runtime.scheduler.gang import NODE_FAILED, Gangs
from gitflowrun.runtime.scheduler.logs import TaskLog
from gitflowrun.runtime.scheduler.reporter import Reporter
from gitflowrun.runtime.scheduler.resume import SPLIT_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.masking import Mask
    from gitflowrun.runs.live import LiveState
    from gitflowrun.runs.records import Reuse, TaskRecord
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.executors.local import Executor
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import Parent
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage
    from gitflowrun.runtime.scheduler.card_queue import CardQueue
    from gitflowrun.runtime.scheduler.code_check import CodeCheck
    from gitflowrun.runtime.scheduler.gang import Gang
    from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask
    from gitflowrun.runtime.scheduler.step_cache import StepCache

_KILLED = "[KILLED BY ORCHESTRATOR]"
_PROCESS_LOST = "the process of the run ended before the step had returned"
_LOST_WITH_ZYGOTE = "its process was lost with the zygote"
_OVER = "killed because the run was over"
_NOT_AGAIN = f"It is not tried again: exit status {process.DISALLOW_RETRY} says so."
_NOT_SENT = (
    "{0!r} is in the work tree and not in the run's snapshot, so workers have it not: have git track it "
    "(`git add -f`), or put it where they find it"
)
_NO_RETRIES = Retries()


class Scheduler:
    """Executes one run.

    Args:
        loop: The event loop.
        writer: Writes the run.
        plan: What is to be done.
        executor: Gives tasks their processes; its messages go to `deliver`.
        notify: Called with every event.
        live: What other processes see of running tasks.
        code: Compares what tasks have loaded with the run's snapshot.
        cards: The cards of tasks.
        max_workers: Tasks that run at the same time.
        max_log_size: Bytes of output kept per task and stream.
        echo: Whether output becomes events; a task that runs in the launcher process shows its own.
        first_id: The first task id that is free.
        mask: What hides the run's secrets in output; None where there are none.
        substitute: Makes another executor when this one is lost; None when none can take its place.
        retries: How often tasks are tried again, by step; of others never.
        cache: Finds tasks that earlier runs have done; None where it is off.
    """

    def __init__(
        self,
        loop: EventLoop,
        writer: RunWriter,
        plan: Plan,
        executor: Executor,
        notify: events.Listener,
        live: LiveState,
        code: CodeCheck,
        cards: CardQueue,
        *,
        max_workers: int,
        max_log_size: int,
        echo: bool = True,
        first_id: int = 1,
        mask: Mask | None = None,
        substitute: Callable[[], Executor] | None = None,
        retries: Mapping[str, Retries] | None = None,
        cache: StepCache | None = None,
    ) -> None:
        self._loop = loop
        self._plan = plan
        self._executor = executor
        self._notify = notify
        self._workers = max_workers
        self._max_log_size = max_log_size
        self._live = live
        self._code = code
        self._cards = cards
        self._queue = CommitQueue(loop, writer, live, cards)
        self._ids = count(first_id)
        self._mask = mask
        self._reporter = Reporter(loop, notify, live, mask, echo=echo)
        self._substitute = substitute
        self._retries = retries or {}
        self._cache = cache
        self._looks_up = False
        self._control = ""
        self._gangs = Gangs()
        self._serial = 0
        self._again: deque[Job] = deque()
        self._postponed = 0
        self._running: dict[int, TaskAttempt] = {}
        self._ended: deque[tuple[TaskAttempt, Exited]] = deque()  # well, and not recorded yet
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
            for done in self._gangs.release():
                self._succeed(*done)
            while self._cards.is_heavy:
                self._commit()
            self._commit(status)
            reached("run.ended")
            self._live.close()
        finally:
            self._executor.close()
            self._cards.close()
        self._progress(last=True)
        seconds = self._reporter.seconds
        self._notify(events.RunEnded(status, self._queue.finished, seconds, self._error))
        return status, self._error

    def _is_over(self) -> bool:
        """Launch, record and commit what can be; whether nothing is left to do."""
        if self._ending is None:
            self._fill()
        while self._ended:
            self._end(*self._ended.popleft())
        if not self._running and (self._ending or self._plan.finished):
            return self._has_all_cards()
        if self._is_urgent():
            self._commit()
            return self._is_over()
        left = self._running or self._again or self._postponed or self._plan.queued
        if not (left or self._looks_up):
            raise FlowError("the run has come to a halt: no task is left, and no end reached")
        if self._queue.is_due:
            self._commit()
        self._progress()
        return False

    def _has_all_cards(self) -> bool:
        """Whether no card is to be waited for, once the tasks whose cards they are have been published."""
        if self._queue.lacks_cards or (self._queue.is_due and self._cards.is_rendering):
            self._commit()
        if self._cards.is_rendering:
            self._reporter.await_cards(self._cards)
        return not self._cards.is_rendering

    def take_cards(self, message: Message) -> None:
        """Take a message from the process that renders cards."""
        self._cards.deliver(message)
        self._queue.wake()

    def _fill(self) -> None:
        until = time.monotonic() + LOOKED_UP
        self._looks_up = False
        while self._ending is None:
            has_room = len(self._running) < self._workers or self._owes_node()
            if not has_room and not self._takes_ahead():
                return
            if self._again:
                self._launch(self._again.popleft())
            elif (planned := self._plan.take()) is not None:
                job = Job(planned, self._name(planned))
                if self._cache is None or not self._take(job, self._cache):
                    self._launch(job, waits=not has_room)
            elif self._cache is not None and self._plan.held:
                self._plan.release()  # what is not found in the cache waits for the commit there
            else:
                return
            if self._cache is not None and time.monotonic() > until and not self._owes_node():
                self._looks_up = self._plan.queued + self._plan.held > 0
                self._loop.after(0, lambda: None)  # go on, once those that run were heard
                return

    def _takes_ahead(self) -> bool:
        """Whether the executor takes the next task though as many run as may."""
        if self._again and not self._executor.is_remote:
            return False
        step = self._again[0].name.step if self._again else self._plan.next_step
        return step is not None and (
            len(self._running) < self._workers + self._executor.ahead(step)
        )

    def _take(self, job: Job, cache: StepCache) -> bool:
        """Take a task from an earlier run that has done it; whether there is one."""
        found = cache.find(job)
        if found is None:
            if cache.is_waiting(job.planned.parents):
                self._commit()
            return False
        done = self._queue.add_taken(found)
        self._reporter.is_changed = True
        self._follow(job, found.record, done)
        return True

    def _owes_node(self) -> bool:
        """Whether a gang lacks a node, however many tasks run: its nodes may wait for each other."""
        if self._again:
            return self._again[0].planned.gang is not None
        return self._plan.owes_node

    def _name(self, planned: PlannedTask) -> TaskName:
        """The name of a new task. The nodes of a gang are called by the first one, which is its control task."""
        if planned.gang is not None and planned.index:
            return TaskName(planned.step, f"{self._control}{NODE}{planned.index}")
        self._control = str(next(self._ids))
        return TaskName(planned.step, self._control)

    def _launch(self, job: Job, *, waits: bool = False) -> None:
        self._serial += 1
        log = TaskLog(self._max_log_size, self._mask)
        attempt = TaskAttempt(self._loop, job, self._serial, log, self._reporter.output)
        frames, parents = job.planned.frames, job.planned.parents
        failure = (job.attempts[-1].error if job.attempts else None) or ""
        launch = Launch(
            self._serial, job.name, attempt.number, frames, parents, job.planned.iterations, failure
        )
        self._running[self._serial] = attempt
        give = self._executor.launch_ahead if waits else self._executor.launch
        begins = not (waits or self._executor.is_remote)
        attempt.waits = not begins
        if begins:
            self._show(attempt)
        try:
            give(launch, attempt.output)
        except OSError as error:  # no descriptor or no process is left
            self._retire(attempt)
            self._postpone(job, error.strerror or str(error))
            return
        if begins:
            self._follow_soon(attempt)

    def _follow_soon(self, attempt: TaskAttempt) -> None:
        self._reporter.is_changed = True
        attempt.timer = self._loop.after(
            limits.FOLLOWED_AFTER, lambda: self._follow_output(attempt)
        )

    def _follow_output(self, attempt: TaskAttempt) -> None:
        attempt.follow()
        self._go_live_soon(attempt)

    def _show(self, attempt: TaskAttempt) -> None:
        """Let other processes see that a task runs."""
        job = attempt.job
        names = tuple([parent.name for parent in job.planned.parents])
        started = StartedTask(
            job.name, attempt.started, names, job.planned.frames, attempt.number, attempt.host
        )
        self._live.start(started)
        for reason in job.lost_to if attempt.timer is None else ():  # said once
            self._reporter.log(attempt, f"Launched again: {reason}", attempt.started)

    def _go_live_soon(self, attempt: TaskAttempt) -> None:
        if attempt.timer is not None:  # it was placed before, and has come back
            attempt.timer.cancel()
        attempt.timer = self._loop.after(limits.LIVE_AFTER, lambda: self._reporter.go_live(attempt))
        self._reporter.is_changed = True

    def _placed(self, attempt: TaskAttempt, message: TaskPlaced) -> None:
        """A task that has waited for a worker begins."""
        attempt.host, attempt.where, attempt.started = message.host, message.where, time.time()
        attempt.waits = False
        self._show(attempt)
        self._go_live_soon(attempt)

    # ---- messages ----

    def deliver(self, message: Message | RemoteMessage) -> None:
        """Take a message from an executor or a task."""
        attempt = self._running.get(getattr(message, "serial", 0))  # serials begin with 1
        if attempt is None:
            return
        if isinstance(message, Started):
            self._begin(attempt, message)
        elif isinstance(message, Result):
            attempt.result = message
        elif isinstance(message, Exited):
            self._exited(attempt, message)
        elif isinstance(message, LaunchFailed | LaunchLost):
            self._not_begun(attempt, message)
        elif isinstance(message, TaskOutput):
            attempt.take(message.stream, message.data)
        elif isinstance(message, TaskPlaced):
            self._placed(attempt, message)
        elif isinstance(message, TaskNote):
            self._reporter.say(attempt, message.text)
        elif isinstance(message, TaskLost):
            self._task_lost(attempt, message.reason)

    def _begin(self, attempt: TaskAttempt, message: Started) -> None:
        """A process runs a task, which may have been given ahead."""
        if attempt.waits:
            attempt.waits, attempt.started = False, message.at or time.time()
            self._show(attempt)
            self._follow_soon(attempt)
        attempt.begin(message.pid)
        is_fallback = attempt.number > self._retries_of(attempt.job).own
        self._notify(
            events.TaskStarted(attempt.job.name, message.pid, attempt.number, fallback=is_fallback)
        )

    def _not_begun(self, attempt: TaskAttempt, message: LaunchFailed | LaunchLost) -> None:
        """Launch a task again of which nothing has run."""
        self._retire(attempt)
        if isinstance(message, LaunchFailed):
            self._postpone(attempt.job, message.reason)
        else:
            self._retry_lost(attempt.job, "its process was killed before it began")

    def _task_lost(self, attempt: TaskAttempt, reason: str) -> None:
        """Launch a task again whose worker was lost; it is recorded that a part of it may have run."""
        job = attempt.job
        if self._ending is not None:
            attempt.killed = attempt.killed or reason
            self.deliver(Exited(attempt.serial, signal.SIGKILL, 0.0, 0))
            return
        self._reporter.say(attempt, f"Its worker was lost: {reason}")
        self._retire(attempt)
        job.lost_to.append(reason)
        for again in self._lost_jobs([attempt]):
            self._retry_lost(again, reason)

    def process_lost(self) -> None:
        """End a run whose tasks ran in the process that has ended."""
        self.stop(Status.INTERRUPTED, "its process was killed, or a step has ended it")
        for attempt in self._running.values():
            attempt.killed = attempt.killed or _PROCESS_LOST
            self._reporter.say(attempt, f"Task failed: {_PROCESS_LOST}.")
        self._abandon()

    def executor_lost(self) -> None:
        """Launch the tasks of an executor that was killed again, in fresh interpreters: it was not their fault."""
        if self._ending is not None or self._substitute is None:
            self.stop(Status.FAILED, "the processes that run tasks were killed from outside")
            self._abandon()
            return
        lost = list(self._running.values())
        for attempt in lost:
            self._retire(attempt)
            process.signal_group(attempt.group, signal.SIGKILL)
            if not attempt.waits:
                attempt.job.lost_to.append(_LOST_WITH_ZYGOTE)
        self._notify(
            events.Notice("The zygote was killed; tasks get fresh interpreters now.", bad=True)
        )
        self._executor = self._substitute()
        self._substitute = None
        for job in self._lost_jobs(lost):
            self._retry_lost(job, _LOST_WITH_ZYGOTE)

    def _lost_jobs(self, lost: list[TaskAttempt]) -> list[Job]:
        """What must be launched again, of gangs also the nodes that had ended well: the others wait for them."""
        jobs = []
        for attempt in lost:
            gang = self._gangs.of(attempt.job)
            if gang is not None and gang.fails:
                if gang.begins_anew or attempt.killed:  # it is tried again in any case
                    self._fail(attempt, Exited(attempt.serial, signal.SIGKILL, 0.0, 0), gang)
                    continue
                self._give_time(gang)  # it has not failed, and begins from nothing
            elif gang is not None and not gang.falls_back:
                jobs += [held.job for held, _ in gang.release()]
            jobs.append(attempt.job)
        jobs.sort(key=lambda job: -(job.planned.index or 0))  # those of gangs are put before others
        return jobs

    def _postpone(self, job: Job, reason: str) -> None:
        """Launch a task again, for which no process could be made: with fewer at a time, later if need be."""
        if job.planned.gang is not None:
            self.stop(
                Status.FAILED,
                f"the gang of step {job.name.step!r} can't run, for which {job.planned.gang.num_splits} tasks "
                f"must run at the same time: {reason}",
            )
        elif self._running:
            self._workers = max(1, min(self._workers, self._begun()))
            self._again.append(job)
        else:
            self._postponed += 1
            self._loop.after(limits.RELAUNCH_DELAY * 2**job.lost, lambda: self._resume(job, reason))

    def _begun(self) -> int:
        return sum(not it.waits for it in self._running.values())

    def _resume(self, job: Job, reason: str) -> None:
        self._postponed -= 1
        self._retry_lost(job, f"no process can be made: {reason}")

    def _retry_lost(self, job: Job, reason: str) -> None:
        job.lost += 1
        if job.lost > limits.LOST_PROCESSES:
            self.stop(Status.FAILED, f"task {job.name} can't be run: {reason}")
        elif job.planned.gang is not None:
            self._again.appendleft(job)
        else:
            self._again.append(job)

    # ---- the end of a task ----

    def _retire(self, attempt: TaskAttempt, at: float = 0.0) -> None:
        attempt.end(at)
        del self._running[attempt.serial]
        if attempt.timer is not None:
            attempt.timer.cancel()
        self._reporter.is_changed = True

    def _exited(self, attempt: TaskAttempt, exited: Exited) -> None:
        """Its process has ended; the attempt ends with what that has left behind."""
        if attempt.serial not in self._running:
            return
        wait, words = attempt.end_rest(exited)
        if wait:
            self._loop.after(limits.LEFT_BEHIND_PAUSE, lambda: self._exited(attempt, exited))
            return
        self._retire(attempt, exited.at)
        if words is not None:
            self._reporter.say(attempt, words)
        if attempt.job.planned.gang is None and attempt.succeeded(exited):
            self._ended.append((attempt, exited))
        else:
            self._end(attempt, exited)

    def _end(self, attempt: TaskAttempt, exited: Exited) -> None:
        job = attempt.job
        if attempt.result is not None and attempt.result.code:
            attempt.other_code = self._code.differing(attempt.result.code)
            if attempt.other_code:
                self._reporter.code_differs(attempt)
        gang = self._gangs.of(job)
        if not attempt.succeeded(exited) or (gang is not None and gang.begins_anew):
            self._fail(attempt, exited, gang)
        elif gang is None:
            self._succeed(attempt, exited)
        else:
            gang.held.append((attempt, exited))
            self._go_on(gang)

    def _fail(self, attempt: TaskAttempt, exited: Exited, gang: Gang | None) -> None:
        job = attempt.job
        error, line = (NODE_FAILED, None) if attempt.succeeded(exited) else attempt.explain(exited)
        if line is not None:
            self._reporter.say(attempt, line)
        if attempt.where and (lacked := self._code.lacked(error)):
            self._reporter.say(attempt, _NOT_SENT.format(lacked))
        # What we have ended has not failed, and nothing begins anew in a run that ends.
        is_own = self._ending is None and attempt.killed is None
        again = is_own and attempt.number < self._retries_of(job).all
        if again and not attempt.may_follow(exited):
            again = False
            self._reporter.say(attempt, _NOT_AGAIN)
        if gang is not None and gang.fails:
            again = self._ending is None and attempt.number < self._retries_of(job).all
        job.end(attempt.record(exited, error))
        took = job.attempts[-1].finished - attempt.started
        self._notify(
            events.TaskEnded(
                job.name, attempt.pid, ok=False, attempt=attempt.number, seconds=took,
                error=error, again=again,
            )
        )  # fmt: skip
        self._queue.add(attempt, again=again, reuse=self._reuse_of(attempt))
        if again and gang is not None:
            self._try_gang_again(gang, attempt)
            return
        if again and (self._executor.is_remote or self._begun() >= self._workers):
            self._again.append(job)
        elif again:  # in its place, before what was given ahead
            self._launch(job)
        else:
            why = f"step {job.name.step!r} (task {job.name.task}) failed: {error}"
            self.stop(Status.FAILED, why)

    def _try_gang_again(self, gang: Gang, failed: TaskAttempt) -> None:
        """Try nodes of a gang again, once all have ended: all, or in a fallback those that have failed."""
        gang.ended.append(failed.job)
        if not gang.fails:
            gang.fails = True
            gang.begins_anew = failed.number < self._retries_of(failed.job).own
            self._give_time(gang)
            for done in gang.release() if gang.begins_anew else ():
                self._fail(*done, gang)
        self._go_on(gang)

    def _go_on(self, gang: Gang) -> None:
        """Go on behind a gang all of whose nodes have ended; with what is to be tried again, if there is any."""
        if not gang.has_ended:
            return
        held, again = gang.release(), gang.take_ended()
        self._gangs.forget(again[0] if again else held[0][0].job)
        if again:
            if not gang.begins_anew:
                self._gangs.fall_back(gang, again[0], held)
            self._again.extendleft(reversed(again))
            return
        for done in held:
            self._succeed(*done)

    def _give_time(self, gang: Gang) -> None:
        """Let the nodes of a gang of which one has failed end by themselves for a while."""
        if gang.timer is not None:
            gang.timer.cancel()
        gang.timer = self._loop.after(limits.GRACE, lambda: self._end_gang(gang, signal.SIGTERM))

    def _end_gang(self, gang: Gang, number: int) -> None:
        """End the nodes of a gang that go on though another has failed."""
        nodes = [it for it in self._running.values() if self._gangs.of(it.job) is gang]
        for attempt in nodes:
            attempt.killed = attempt.killed or NODE_FAILED
            self._executor.kill(attempt.serial, number)
        if nodes and number != signal.SIGKILL:
            self._loop.after(limits.LAST_GRACE, lambda: self._end_gang(gang, signal.SIGKILL))

    def _retries_of(self, job: Job) -> Retries:
        return self._retries.get(job.name.step, _NO_RETRIES)

    def _succeed(self, attempt: TaskAttempt, exited: Exited) -> None:
        job = attempt.job
        job.end(attempt.record(exited, None))
        record, done = self._queue.add(attempt, reuse=self._reuse_of(attempt))
        self._follow(job, record, done)

    def _follow(self, job: Job, record: TaskRecord, done: Parent) -> None:
        """Let a task that has ended well be followed, once it is published."""
        if self._cache is not None:
            self._cache.note(record, done)
        values = tuple(record.extra.get(SPLIT_VALUES, ()))
        try:
            self._plan.finish(job.planned, done, record.transition, values)
        except FlowError as error:
            self.stop(Status.FAILED, error.told)

    def _reuse_of(self, attempt: TaskAttempt) -> Reuse | None:
        """What the step cache notes of a task that was executed."""
        if self._cache is None:
            return None
        return self._cache.describe(attempt.job, attempt.result, attempt.other_code)

    # ---- commits ----

    def _is_urgent(self) -> bool:
        """Whether something could run if only what is done were published."""
        if not self._queue.waiting or self._ending:
            return False
        if self._looks_up:  # what is found next may follow before that
            return self._queue.is_heavy
        idle = len(self._running) < self._workers and not self._plan.queued and not self._again
        return (idle and self._plan.held > 0) or not self._running or self._queue.is_heavy

    def _commit(self, status: Status = Status.RUNNING) -> None:
        if told := self._queue.commit(status):
            self._notify(events.Published(told))
        if self._cache is not None:
            self._cache.published()
        self._plan.release()
        self._reporter.is_changed = True

    # ---- the end of a run ----

    def stop(self, status: Status, error: str | None, number: int | None = None) -> None:
        """Launch nothing more, let what runs end, and end the run.

        Args:
            status: How the run ends, unless that is decided already.
            error: What ends it.
            number: A signal for the tasks that run, at once.
        """
        if self._ending is None:
            self._ending = status
            self._error = error
            self._executor.withdraw()
            if self._running:
                self._loop.after(limits.GRACE, self._ask_to_end)
        if number is not None:
            self._signal(number, "interrupted")

    def interrupt(self, number: int) -> None:
        """Interrupt all tasks; kill them at the second time."""
        if self._ending is Status.INTERRUPTED:
            self._kill()
            return
        self._loop.after(limits.GRACE, self._cards.stop)
        name = signal.Signals(number).name
        self.stop(Status.INTERRUPTED, f"the run was interrupted ({name})", signal.SIGINT)

    def suspend(self) -> None:
        """Stop with all tasks, which are in process groups of their own, until this process is continued."""
        stopped = list(self._running.values())
        for attempt in stopped:
            self._signal_one(attempt, signal.SIGSTOP)
        self._executor.announce_silence()
        process.suspend()
        for attempt in stopped:
            self._signal_one(attempt, signal.SIGCONT)

    def _signal_one(self, attempt: TaskAttempt, number: int) -> None:
        if attempt.group:
            process.signal_group(attempt.group, number)
        elif attempt.where or self._executor.is_remote:
            self._executor.kill(attempt.serial, number)

    def _ask_to_end(self) -> None:
        for attempt in self._running.values():
            self._reporter.say(attempt, _KILLED)
        self._signal(signal.SIGTERM, _OVER)
        self._loop.after(limits.LAST_GRACE, self._kill)

    def _kill(self) -> None:
        """Kill what runs; stop waiting for what does not die, and for cards."""
        self._cards.stop()
        self._signal(signal.SIGKILL, _OVER)
        if not self._is_killing:
            self._is_killing = True
            self._loop.after(2 * limits.LAST_GRACE, self._abandon)

    def _signal(self, number: int, reason: str) -> None:
        """Signal all tasks that run, each of which then ends for the first reason it was given."""
        for attempt in self._running.values():
            attempt.killed = attempt.killed or reason
            self._executor.kill(attempt.serial, number)

    def _abandon(self) -> None:
        self._cards.stop()
        for attempt in list(self._running.values()):
            process.signal_group(attempt.group, signal.SIGKILL)
            if attempt.waits:
                self.deliver(LaunchLost(attempt.serial))
            else:
                self.deliver(Exited(attempt.serial, signal.SIGKILL, 0.0, 0))

    # ---- progress ----

    def _beat(self) -> None:
        self._reporter.is_changed = True
        self._loop.after(limits.HEARTBEAT, self._beat)

    def _progress(self, *, last: bool = False) -> None:
        if last or self._reporter.is_due():
            running = [it for it in self._running.values() if not it.waits]
            waiting = len(self._running) - len(running) + len(self._again)
            queued = self._plan.queued + self._plan.held + waiting
            self._reporter.progress(self._queue.finished, queued, running)
