"""`git runs show`: all about a run, a step, a task or an artifact. Layout; the facts are `overview`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.git_runs.views import artifact_lines, run_lines, step_lines, task_lines
from gitflowrun.cli.output.pager import open_screen
from gitflowrun.cli.output.tables import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.output.pager import Screen
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.resolve import Address

__all__ = ["command"]


@click.command(name="show")
@json_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
def command(as_json_: bool, addresses: tuple[str, ...]) -> None:
    """Show what is recorded of runs, steps, tasks or artifacts; of the newest run without ADDRESS.

    ADDRESS is RUN, RUN/STEP, RUN/STEP/TASK or RUN/STEP/TASK/ARTIFACT.
    """
    from gitflowrun.runs.runs import RunStore

    repo = open_repository()
    store = RunStore(repo)
    found = [store.resolve(address) for address in addresses or ("@latest",)]
    views = [_View(repo, address) for address in found]
    with open_screen(repo, page=True) as screen:
        if as_json_:
            values = [view.value for view in views]
            screen.line(as_json(values if len(values) > 1 else values[0]))
            return
        for index, view in enumerate(views):
            if index:
                screen.line()
            for line in view.lines(screen):
                screen.line(line)


class _View:
    """What an address names, gathered."""

    def __init__(self, repo: Repository, address: Address) -> None:
        from gitflowrun.porcelain import overview
        from gitflowrun.porcelain.artifacts import artifact_row
        from gitflowrun.runs.records import TaskName
        from gitflowrun.runs.tags import Tags

        self.value: Any
        run = address.run
        if address.step is None:
            self.value = overview.run_overview(run, Tags(repo).of(run))
            self._lines: Any = run_lines
        elif address.task is None:
            self.value = overview.step_overview(run, address.step)
            self._lines = step_lines
        elif address.artifact is None:
            self.value = overview.task_overview(run.task(TaskName(address.step, address.task)))
            self._lines = task_lines
        else:
            task = run.task(TaskName(address.step, address.task))
            self.value = artifact_row(task, address.artifact)
            self._lines = artifact_lines

    def lines(self, screen: Screen) -> Iterator[str]:
        """The lines that show it to a person."""
        lines: Iterator[str] = self._lines(self.value, screen)
        return lines
