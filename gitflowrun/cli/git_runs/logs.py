"""`git runs logs`: the output of tasks; every byte into a pipe, no escapes but colours on a terminal."""

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
        for task in tasks:
            if screen.person and len(tasks) > 1 and any(map(task.output, streams)):
                screen.line(screen.style.bold(f"==> {task.pathspec} <=="))
            for stream in streams:
                print_stream(task, stream, screen, timestamps=timestamps)


def print_stream(task: StoredTask, stream: str, screen: Screen, *, timestamps: bool) -> None:
    """Write one stream of a task."""
    if not screen.person and not timestamps:
        screen.out.flush()
        sys.stdout.buffer.write(task.output(stream))
        return
    for when, text in task.lines(stream):
        shown = terminal_safe(text) if screen.person else text
        time = (
            f"{screen.style.dim(clock(when)) if when is not None else '-'} " if timestamps else ""
        )
        screen.line(f"{time}{shown}")
