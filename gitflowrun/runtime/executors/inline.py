"""The inline executor: tasks run in the launcher process, one after the other, for debuggers that need the terminal.

What a task writes goes to the terminal and, as ever, into the record. It is not isolated: what it changes in
the process, the next task finds changed, and what ends the process ends the run.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO

from gitflowrun.runtime.ipc.messages import Exited, Interrupt, Launch, Started, encode
from gitflowrun.runtime.worker.task import TaskRunner
from gitflowrun.runtime.worker.task_process import set_environment

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.ipc.messages import Message, RunContext

_KIB = 1024


class InlineTasks:
    """Runs the tasks that the scheduler launches here.

    Args:
        flow_cls: The flow.
        context: What all tasks have in common.
        channel: To the scheduler.
    """

    def __init__(self, flow_cls: type[FlowSpec], context: RunContext, channel: Channel) -> None:
        self._runner = TaskRunner(flow_cls, context)
        self._channel = channel
        set_environment(context)

    def take(self, message: Message, fds: tuple[int, ...]) -> None:
        """Run the task of a Launch to its end; no other message concerns this executor, where nothing can be killed."""
        if not isinstance(message, Launch):
            return
        self._channel.send(encode(Started(message.serial, os.getpid())))
        before = _cpu()
        old = sys.stdout, sys.stderr
        with open(fds[0], "w", buffering=1) as out, open(fds[1], "w", buffering=1) as err:  # noqa: PTH123
            sys.stdout, sys.stderr = _Both(old[0], out), _Both(old[1], err)
            forwarding = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                self._runner.seed(message)
                result = self._runner.run(message)
            finally:
                signal.signal(signal.SIGINT, forwarding)
                sys.stdout.flush()
                sys.stderr.flush()
                sys.stdout, sys.stderr = old
        if result.error is not None and result.error.startswith(KeyboardInterrupt.__name__):
            self._channel.send(encode(Interrupt(signal.SIGINT)))
        self._channel.send(encode(result))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
        self._channel.send(
            encode(
                Exited(message.serial, 0 if result.error is None else 256, _cpu() - before, peak)
            )
        )


class _Both:
    """A text stream that also writes to another one; shown are whole lines, so that none is torn."""

    def __init__(self, shown: TextIO, recorded: TextIO) -> None:
        self._shown = shown
        self._recorded = recorded
        self._begun = ""

    def write(self, text: str) -> int:
        """Write to both."""
        self._recorded.write(text)
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._shown.write(lines + newline)
            self._shown.flush()
        return len(text)

    def flush(self) -> None:
        """Flush both; a prompt is shown now."""
        self._recorded.flush()
        self._shown.write(self._begun)
        self._shown.flush()
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
