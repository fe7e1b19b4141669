"""The body of a task's process, forked or started afresh: set it up, run, answer, end.

1. Become a task: a session of its own, output into the pipes, signals as a fresh program has them (`process`).
2. Run the task (`task`).
3. Answer with a Result on the host's socket.
4. End without finalisers: what the zygote has open is not the task's to close.

A task that ends before 3 (`os._exit`, a crash, a kill) has failed, whatever its exit status.

A fresh interpreter that runs one task: the flow's program, started again, arrives here.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys
from typing import TYPE_CHECKING

from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel
from gitflowrun.runtime.ipc.messages import Begin, Launch, encode, parse
from gitflowrun.runtime.worker.task import TaskRunner

if TYPE_CHECKING:
    from typing import NoReturn

    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.ipc.messages import Message

__all__ = ["run_task", "serve", "set_environment"]


def run_task(
    runner: TaskRunner, launch: Launch, channel: Channel, stdout: int, stderr: int
) -> NoReturn:
    """Be the task `launch` and end the process with it."""
    code = 1
    try:
        process.become_task(stdout, stderr)  # 1
        runner.seed(launch)
        result = runner.run(launch)  # 2
        process.flush_output()
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # too late: what is done shall count
        channel.send(encode(result))  # 3
        code = 1 if result.error else 0
    except BaseException:  # noqa: BLE001  (nothing is above this but the end of the process)
        _complain()
    finally:
        process.flush_output()
        os._exit(code)  # 4


def set_environment(begin: Begin) -> None:
    """The variables that all tasks of a run, and the programs they start, find."""
    os.environ["PYTHONUNBUFFERED"] = "1"  # a program's lines arrive when they are written
    os.environ["METAFLOW_RUN_ID"] = str(begin.run.id)
    os.environ["GITFLOWRUN_RUN"] = begin.run.pathspec
    if begin.namespace is not None:
        os.environ["GITFLOWRUN_NAMESPACE"] = begin.namespace


def _complain() -> None:
    """A failure of ours, or of the repository: all that is known of it goes into the task's log."""
    import traceback

    traceback.print_exc(file=sys.stderr)


def serve(flow_cls: type[FlowSpec]) -> NoReturn:
    """Run the task that waits at the socket named in the environment, and end the process."""
    process.ParentDeathSignal(os.getppid()).set()
    channel = Channel.from_fd(int(os.environ.pop(process.TASK_FD)))
    begin, launch = _message(channel), _message(channel)
    if not isinstance(begin, Begin) or not isinstance(launch, Launch):
        os._exit(1)  # the scheduler is gone
    process.prefer_as_oom_victim()
    process.prepare_output()
    set_environment(begin)
    run_task(TaskRunner(flow_cls, begin), launch, channel, os.dup(1), os.dup(2))


def _message(channel: Channel) -> Message | None:
    received = channel.receive()
    return None if received is None else parse(received.body)
