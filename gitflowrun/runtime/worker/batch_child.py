"""A process that runs small tasks of one step, one after the other: batch isolation.

It is forked from the zygote for its first task, as any other (`task_process`), and has a socket of its own to the
scheduler.

1. Take a session, the pipes of the first task and a policy by which it does not interrupt who wakes it; say Started.
2. Run the task.
3. Put back what the task has changed in the process, as far as that can be told (`batch_state`).
4. Where all is as it was, the step has returned and the process has not done enough: say TaskDone, which has the Result
   and what the task took, and take the other ones of two sets of pipes, as the scheduler does: what is in these was
   read before the next task was given. Take a Launch or a LaunchItem, which may have come before. Go on at 2.
5. Or else send the Result and end as the process of a task does: what the step has begun is ended (`program_end`), and
   the end of the process, which the zygote sees, is that of its last task.

So a crash, a signal, an exit handler that fails and what a task leaves behind mean what they mean for a process of its
own. Who gives a launch to a process that ends before it has read of it knows from the kernel that it did not (a socket
whose other end is closed with unread data is reset).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import contextvars
import os
import resource
import sys
import time
import warnings
from typing import TYPE_CHECKING, NoReturn

from gitflowrun.failpoints import reached
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import STARTED, Channel
from gitflowrun.runtime.ipc.messages import Launch, LaunchItem, Result, TaskDone
from gitflowrun.runtime.worker.batch_limits import SECONDS_A_CHILD, TASKS_A_CHILD
from gitflowrun.runtime.worker.batch_state import ProcessState
from gitflowrun.runtime.worker.task_process import INTERRUPTED, failure_of, send_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.runtime.worker.program_end import ProgramEnd
    from gitflowrun.runtime.worker.task import TaskRunner

_PEAK = "/proc/self/clear_refs"
_RESET_PEAK = b"5"
"""What is written there so that the peak of resident memory begins anew (proc_pid_clear_refs(5))."""


def run_tasks(
    runner: TaskRunner, launch: Launch, program: ProgramEnd, fds: Sequence[int]
) -> NoReturn:
    """Run a task, and others that come by the socket, in this process, and end it.

    Args:
        runner: Runs the tasks of this run.
        launch: The first task.
        program: Ends what steps have begun.
        fds: The pipes for its standard output and error, the socket to the scheduler, and other such pipes.
    """
    code, is_sent = 1, False
    try:
        stdout, stderr, sock, *others = fds
        ends = [os.dup(stdout), os.dup(stderr), *others]
        process.become_task(stdout, stderr)  # 1
        first_out, first_err, out, err = map(process.keep_descriptor, ends)
        channel = Channel.from_fd(sock)
        channel.move_away()
        channel.put(STARTED.pack(b"S", launch.serial, os.getpid()))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGINT})
        peak = _open_peak()
        _let_others_go_on()
        program.begin()
        child = _Child(runner, channel, peak, [(first_out, first_err), (out, err)])
        while True:
            result = child.run(launch)  # 2
            process.flush_output()
            if result.error or not child.may_go_on() or not child.says_done(result):  # 3
                is_sent = True
                code = send_result(channel, result)
                break
            is_sent = True
            following = child.next(launch)  # 4
            if following is None:
                code = 0
                break
            launch, is_sent = following, False
            reached("batch.taken")
        program.end()  # 5
    except KeyboardInterrupt:  # outside of the step, which has nothing to say about it
        code = INTERRUPTED
    except BaseException:  # noqa: BLE001  (only the end of the process follows)
        code = 1
        sys.__excepthook__(*sys.exc_info())
        if not is_sent:  # or it would be said that the step had ended the process
            send_result(channel, failure_of(launch, sys.exc_info()[1]))
    finally:
        process.flush_output()
        os._exit(code)


class _Child:
    """The process between its tasks."""

    def __init__(
        self, runner: TaskRunner, channel: Channel, peak: int, outputs: list[tuple[int, int]]
    ) -> None:
        self._runner = runner
        self._channel = channel
        self._last: Launch | None = None
        self._tasks = 0
        self._until = time.monotonic() + SECONDS_A_CHILD
        self._cpu = 0.0
        self._peak = peak
        self._outputs = outputs
        self._turn = 0
        runner.keep_values()
        self._state = ProcessState(runner.flow_cls, outputs)

    def run(self, launch: Launch) -> Result:
        """Run a task with what is its own: random numbers, context variables, warning filters."""
        self._tasks += 1
        self._runner.seed(launch)
        with warnings.catch_warnings():  # which warnings were shown is forgotten, too
            return contextvars.copy_context().run(self._runner.run, launch, process.tell)

    def may_go_on(self) -> bool:
        """Whether the process may run another task, in place of which it would be another one's."""
        return (
            self._tasks < TASKS_A_CHILD
            and time.monotonic() < self._until
            and self._state.restore(self._turn)
        )

    def says_done(self, result: Result) -> bool:
        """Say that a task has ended, and how; False where the system does not let it."""
        cpu, peak = process.usage(resource.getrusage(resource.RUSAGE_SELF))
        try:
            reached("batch.ended")
            self._channel.send(TaskDone(time.time(), cpu - self._cpu, peak, result))
        except OSError:
            return False
        self._cpu = cpu
        return True

    def next(self, done: Launch) -> Launch | None:
        """Wait for the task that follows one; None when none does, or the system is at its end."""
        try:
            return self._next(done)
        except OSError:
            return None

    def _next(self, done: Launch) -> Launch | None:
        self._turn ^= 1
        process.write_to(*self._outputs[self._turn])
        reached("batch.waits")
        waiting = time.monotonic()
        message, _ = self._channel.receive()
        self._until += time.monotonic() - waiting
        if self._last is None:
            self._last = done
        if isinstance(message, Launch):
            self._last = launch = message
            with contextlib.suppress(
                Exception
            ):  # the task meets the same error, and can explain it
                self._runner.look_ahead(launch)
        elif isinstance(message, LaunchItem):
            launch = message.launch(self._last)
        else:
            return None
        if self._peak >= 0:
            os.write(self._peak, _RESET_PEAK)
        return launch


def _let_others_go_on() -> None:
    """Have this process, when it is woken, not take the place of the one that wakes it (SCHED_BATCH of sched(7)).

    That is the scheduler, which has more to do: where each launch stopped it for the length of a task, a run took a
    fifth longer, and a task a seventh more of the scheduler's CPU. Who has chosen another policy keeps it.
    """
    with contextlib.suppress(OSError, AttributeError):  # the system refuses, or has none
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _open_peak() -> int:
    """A descriptor by which the peak of this process' memory is reset; -1 where that can't be done."""
    try:
        return os.open(_PEAK, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1
