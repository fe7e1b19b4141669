"""The process of one task, forked from the zygote or started as a fresh interpreter.

1. Take a session of its own, the pipes as output, and the signal handlers of a fresh program (`process`).
2. Run the task (`task`).
3. Send its Result on the executor's socket.
4. End what the step has begun, as a Python program does (`program_end`).
5. End without finalizers: what the zygote has open is not the task's to close.

A task that ends before 3 (`os._exit`, a crash, a kill) has failed, whatever its exit status; one that ends before 5
has failed unless that is 0.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from gitflowrun.failpoints import reached
from gitflowrun.git.environment import leave_the_hook
from gitflowrun.limits import ERROR_TEXT
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel
from gitflowrun.runtime.ipc.messages import Launch, Result, RunContext
from gitflowrun.runtime.worker.program_end import ProgramEnd
from gitflowrun.runtime.worker.task import TaskRunner

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec

INTERRUPTED = 130
"""Exit status of a task that was interrupted where its step has nothing to say about it, as shells have it."""


def run_task(
    runner: TaskRunner,
    launch: Launch,
    channel: Channel,
    program: ProgramEnd,
    stdout: int,
    stderr: int,
) -> NoReturn:
    """Run a task in this process and end the process with it.

    Args:
        runner: Runs the tasks of this run.
        launch: The task.
        channel: To the scheduler.
        program: Ends what the step has begun.
        stdout: The pipe for standard output.
        stderr: The pipe for standard error.
    """
    code, is_sent = 1, False
    try:
        process.become_task(stdout, stderr)  # 1
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGINT})
        program.begin()
        runner.seed(launch)
        result = runner.run(launch, process.tell)  # 2
        process.flush_output()
        is_sent = True
        code = send_result(channel, result)  # 3
        program.end()  # 4
    except KeyboardInterrupt:  # outside of the step, which has nothing to say about it
        code = INTERRUPTED
    except BaseException:  # noqa: BLE001  (only the end of the process follows)
        # A failure of the package itself, or of the repository, for the task's log. Without an import: a step may
        # have emptied `sys.modules`.
        code = 1
        sys.__excepthook__(*sys.exc_info())
        if not is_sent:  # or it would be said that the step had ended the process
            send_result(channel, failure_of(launch, sys.exc_info()[1]))
    finally:
        process.flush_output()
        os._exit(code)  # 5


def failure_of(launch: Launch, error: BaseException | None) -> Result:
    """The result of a task that a failure of ours has ended."""
    why = f"gitflowrun failed: {type(error).__name__}: {error}"
    return Result(launch.serial, {}, {}, (), None, error=why[:ERROR_TEXT])


def send_result(channel: Channel, result: Result) -> int:
    """Send a result; the exit status that goes with it."""
    try:
        reached("payload.sending")
        channel.send(result)
    except OSError as error:
        if error.errno in {errno.EPIPE, errno.ECONNRESET}:
            return 1  # the scheduler is gone
        if error.errno in {errno.EBADF, errno.ENOTSOCK}:
            process.tell(
                "The step has closed the descriptors of its process; its result is lost.\n"
            )
            return process.RESULT_LOST
        why = f"the result of its step can't be sent to the scheduler: {error.strerror or error}"
        process.tell(f"{why}\n")
        with contextlib.suppress(
            OSError
        ):  # a large result needs what the system may lack, this does not
            channel.send(Result(result.serial, {}, {}, (), None, error=why, code=result.code))
        return 1
    return result.exit_code if result.error else 0


def set_environment(context: RunContext) -> None:
    """What all tasks of a run, and the programs they start, find: variables, and limits where there are secrets."""
    leave_the_hook()
    os.environ["PYTHONUNBUFFERED"] = "1"  # a program's lines arrive when they are written
    os.environ["METAFLOW_RUN_ID"] = str(context.run.id)
    os.environ["GITFLOWRUN_RUN"] = context.run.pathspec
    os.environ["GITFLOWRUN_METADATA"] = context.metadata
    if context.namespace is not None:
        os.environ["GITFLOWRUN_NAMESPACE"] = context.namespace
    if context.secrets:
        process.leave_no_core()


def serve(flow_cls: type[FlowSpec]) -> NoReturn:
    """Run the task that the socket named in the environment brings, in this fresh interpreter, and end it."""
    process.ParentDeathSignal(os.getppid()).set()
    channel = Channel.from_fd(int(os.environ.pop(process.TASK_FD)))
    channel.move_away()
    (context, _), (launch, _) = channel.receive(), channel.receive()
    if not isinstance(context, RunContext) or not isinstance(launch, Launch):
        os._exit(1)  # the scheduler is gone
    process.prefer_as_oom_victim()
    process.prepare_output()
    set_environment(context)
    runner = TaskRunner(flow_cls, context)
    runner.code.look_back()
    runner.code.watch()
    run_task(runner, launch, channel, ProgramEnd(), os.dup(1), os.dup(2))
