"""`git runs log`: runs one after the other, as `git log` shows commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.git_runs.options import filter_options, json_option, open_repository
from gitflowrun.cli.git_runs.run_table import list_runs
from gitflowrun.cli.output.tables import pairs
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import counted, printable, stamp
from gitflowrun.runs.commit_message import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.listing import RunSummary


@click.command(name="log")
@filter_options
@json_option
def log_command(as_json_: bool, **filters: Any) -> None:
    """Show runs one after the other, newest first; only those of FLOW when it is given."""
    from gitflowrun.porcelain.query import RunQuery, parameters_of, select

    query = RunQuery(**filters)
    if as_json_:
        list_runs(query, params=True, json=True)
        return
    repo = open_repository()
    runs = select(repo, query)
    with open_screen(repo, page=True) as screen:
        for index, run in enumerate(runs):
            if index:
                screen.line()
            screen.lines(_entry(run, parameters_of(repo, run), screen))


def _entry(run: RunSummary, parameters: Mapping[str, str], screen: Screen) -> Iterator[str]:
    style = screen.style
    tags = f" ({style.cyan(', '.join(map(printable, run.tags)))})" if run.tags else ""
    yield f"{style.yellow(f'run {printable(run.pathspec)} {run.uid.short}')}{tags}"
    rows = [
        ("Status:", style.status(run.status.value, _status_words(run))),
        ("User:", printable(run.state.user)),
        ("Date:", stamp(run.state.started)),
    ]
    if run.state.code_commit is not None:
        rows.append(("Code:", f"{run.state.code_commit}{'+dirty' if run.state.dirty else ''}"))
    if run.state.origin:
        kind, _, rest = run.state.origin.partition(" ")
        rows.append(("Origin:", printable(f"{kind} of {rest.partition(' ')[0]}")))
    yield from pairs(rows)
    if parameters:
        yield ""
        yield from (
            f"    {printable(name)} = {printable(text)}" for name, text in parameters.items()
        )


def _status_words(run: RunSummary) -> str:
    words = run.status.value
    if run.state.failed_step:
        words += f" in {printable(run.state.failed_step)}"
    if run.state.finished is not None:
        words += f" after {duration(run.state.finished - run.state.started)}"
    return f"{words}, {counted(run.state.tasks, 'task')}"
