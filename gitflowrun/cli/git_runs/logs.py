"""`git runs logs`: the output of tasks; every byte into a pipe, no escapes but colours on a terminal.

The one byte that is added: a newline between two streams, of which the first did not end its last line.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gitflowrun.cli.options import stream_options
from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import clock, terminal_safe
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.query import tasks_at
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredTask


@click.command(name="logs")
@stream_options
@click.argument("address", default="@latest")
def logs_command(streams: tuple[str, ...], timestamps: bool, address: str) -> None:
    """Print what the tasks of a run, of a step, or one task wrote.

    ADDRESS is RUN, RUN/STEP or RUN/STEP/TASK; the newest run if it is left out.
    """
    repo = Repository.discover()
    tasks = tasks_at(RunStore(repo).resolve(address))
    with open_screen(repo, page=True) as screen:
        printer = LogPrinter(screen, timestamps=timestamps)
        for task in tasks:
            if screen.person and len(tasks) > 1 and any(map(task.output, streams)):
                screen.line(screen.style.bold(f"==> {task.pathspec} <=="))
            for stream in streams:
                printer.print(task, stream)


class LogPrinter:
    """Writes streams of tasks one after the other, each on a line of its own.

    Args:
        screen: Where they go.
        timestamps: Whether each line begins with its time.
    """

    def __init__(self, screen: Screen, *, timestamps: bool) -> None:
        self._screen = screen
        self._timestamps = timestamps
        self._is_within_line = False

    def print(self, task: StoredTask, stream: str) -> None:
        """Write one stream of a task."""
        if self._screen.person or self._timestamps:
            self._screen.lines(self._line(*line) for line in task.lines(stream))
            return
        output = task.output(stream)
        if output:
            self._screen.out.flush()
            sys.stdout.buffer.write(b"\n" * self._is_within_line + output)
            self._is_within_line = not output.endswith(b"\n")

    def _line(self, when: float | None, text: str) -> str:
        screen = self._screen
        shown = terminal_safe(text) if screen.person else text
        if not self._timestamps:
            return shown
        return f"{screen.style.dim(clock(when)) if when is not None else '-'} {shown}"
