"""The inline executor: tasks run in the launcher process, one after the other, for debuggers that need the terminal.

What a task writes goes to the terminal and, as ever, into the record. It is not isolated: what it changes in
the process, the next task finds changed, and what ends the process ends the run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from gitflowrun.masking import Mask
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.messages import Exited, Interrupt, Launch, Result, RunContext, Started
from gitflowrun.runtime.worker.task import TaskRunner
from gitflowrun.runtime.worker.task_process import set_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.ipc.channel import Channel


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def inline_tasks(
    flow_cls: type[FlowSpec], context: RunContext, channel: Channel
) -> Callable[[Launch, tuple[int, ...]], None]:
    """Make what runs the tasks of a run in this process, each to its end.

    Args:
        flow_cls: The flow.
        context: What all tasks have in common.
        channel: To the scheduler.

    Returns:
        A function of a launch and the pipes for its standard output and standard error, which it closes.
    """
    set_environment(context)
    gc.unfreeze()  # what the steps leave in this process ends as that of any program
    runner = TaskRunner(flow_cls, context)
    runner.code.watch()
    return partial(_run, runner, channel, mask=Mask.of(context.secrets))


def _run(
    runner: TaskRunner,
    channel: Channel,
    launch: Launch,
    fds: tuple[int, ...],
    *,
    mask: Mask | None = None,
) -> None:
    channel.send(Started(launch.serial, os.getpid()))
    before, _ = process.usage(resource.getrusage(resource.RUSAGE_SELF))
    old = sys.stdout, sys.stderr
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    forwarding = handlers[signal.SIGINT]
    if getattr(forwarding, "has_forwarded", False):  # too early for the step to notice
        signal.signal(signal.SIGINT, forwarding)
        for fd in fds:
            os.close(fd)
        channel.send(Exited(launch.serial, 256, 0.0, 0))
        return
    with _pipe(fds[0]) as out, _pipe(fds[1]) as err:
        both = sys.stdout, sys.stderr = _Both(old[0], out, mask), _Both(old[1], err, mask)
        try:
            for number, handler in handlers.items():
                if number != signal.SIGINT and handler is forwarding:  # `nohup` leaves them alone
                    signal.signal(number, partial(_interrupt, forwarding))
            runner.seed(launch)
            result = runner.run(launch, both[1].write)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for stream in both:  # whatever the step has put in their place
                stream.end()
            sys.stdout, sys.stderr = old
    is_interrupted = (result.error or "").startswith(KeyboardInterrupt.__name__)
    if is_interrupted and not getattr(forwarding, "has_forwarded", False):
        channel.send(Interrupt(signal.SIGINT))
    channel.send(result)
    cpu, peak = process.usage(resource.getrusage(resource.RUSAGE_SELF))
    channel.send(Exited(launch.serial, _status(result), cpu - before, peak))


def _status(result: Result) -> int:
    """The wait status that the process of such a task would have."""
    return 0 if result.error is None else result.exit_code << 8


def _interrupt(forwarding: Any, number: int, frame: FrameType | None) -> NoReturn:
    """End a step as Ctrl-C does, when the run is to end."""
    forwarding(number, frame)
    raise KeyboardInterrupt


def _pipe(fd: int) -> TextIO:
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


class _Both:
    """A text stream that also writes to another one; shown are whole lines, so that none is torn.

    A terminal that has gone, a closed pipe or a full disk behind it is no failure of the step: all is recorded.
    """

    def __init__(self, shown: TextIO, recorded: TextIO, mask: Mask | None) -> None:
        self._shown = shown
        self._masked = mask.stream() if mask else None
        self._recorded = recorded
        self._begun = ""

    def write(self, text: str) -> int:
        """Write to both."""
        self._recorded.write(text)
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._show(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Flush both; a prompt is shown now."""
        self._recorded.flush()
        self._show(self._begun)
        self._begun = ""

    def end(self) -> None:
        """Show what was held back: it is the beginning of no secret."""
        self.flush()
        if self._masked is not None:
            rest, self._masked = self._masked.end(), None
            self._show(rest.decode(errors="replace"))

    def close(self) -> None:
        """Nothing is closed: the streams are those of the process, which tasks share."""
        self.flush()

    def _show(self, text: str) -> None:
        if self._masked is not None:
            text = self._masked.feed(text.encode(errors="backslashreplace")).decode(
                errors="replace"
            )
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
            self._shown.write(text)
            self._shown.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)
