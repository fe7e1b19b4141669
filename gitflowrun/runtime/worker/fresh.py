"""A fresh interpreter that runs one task: the flow's program, started again, arrives here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel
from gitflowrun.runtime.ipc.messages import Begin, Launch, parse
from gitflowrun.runtime.worker.child import TASK_FD, run_task, set_environment
from gitflowrun.runtime.worker.task import TaskRunner

if TYPE_CHECKING:
    from typing import NoReturn

    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.ipc.messages import Message

__all__ = ["serve"]


def serve(flow_cls: type[FlowSpec]) -> NoReturn:
    """Run the task that waits at the socket named in the environment, and end the process."""
    process.Lifeline.hold_parent()
    channel = Channel.from_fd(int(os.environ.pop(TASK_FD)))
    begin, launch = _message(channel), _message(channel)
    if not isinstance(begin, Begin) or not isinstance(launch, Launch):
        os._exit(1)  # the scheduler is gone
    process.yield_memory()
    process.prepare_output()
    set_environment(begin)
    run_task(TaskRunner(flow_cls, begin), launch, channel, os.dup(1), os.dup(2))


def _message(channel: Channel) -> Message | None:
    received = channel.receive()
    return None if received is None else parse(received.body)
