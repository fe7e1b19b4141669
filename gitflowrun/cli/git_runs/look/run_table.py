"""The table of runs that `git runs` prints, or its JSON, newest first.

One `git for-each-ref`, and trees only for parameters. `git runs` alone is typed more often than everything
else together, so nothing here imports click.
"""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.output.tables import Cell, Column, show, table
from gitflowrun.cli.output.text import ago, printable, stamp
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.query.select import RunQuery, differing, select
from gitflowrun.runs.commit_message import Status, duration
from gitflowrun.runs.lookup.listing import DamagedRun, RunSummary, told_damaged
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Screen

_COLUMNS = (
    Column("RUN"),
    Column("STATUS", shrinks=True),
    Column("WHEN", shrinks=True),
    Column("TOOK", right=True),
    Column("TASKS", right=True),
    Column("AUTHOR", shrinks=True),
    Column("TAGS", shrinks=True),
)


def list_runs(query: RunQuery | None = None, *, params: bool = False, json: bool = False) -> None:
    """Print the runs that `query` asks for, or all.

    Args:
        query: Which runs.
        params: Whether to show parameters: in the table those in which runs differ.
        json: Print JSON instead of a table.
    """
    repo = Repository.discover()
    runs = select(repo, query or RunQuery())
    parameters = _parameters(repo, runs) if params else []
    rows = _maps(repo, runs, parameters) if json else []

    def lines(screen: Screen) -> Iterator[str]:
        return _lines(runs, parameters, screen) if runs else _none(repo)

    show(repo, rows, lines, json=json, page=True)
    warn_of_damage(runs)


def json_rows(repo: Repository, runs: Sequence[RunSummary | DamagedRun]) -> list[dict[str, Any]]:
    """Runs as `--json` shows them, with their parameters."""
    return _maps(repo, runs, _parameters(repo, runs))


def warn_of_damage(runs: Sequence[RunSummary | DamagedRun]) -> None:
    """Say on standard error which runs of a list are damaged, and what to do."""
    if damaged := [run.pathspec for run in runs if run.status is Status.DAMAGED]:
        sys.stderr.write(f"warning: {printable(told_damaged(damaged))}\n")


def _parameters(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun]
) -> list[Mapping[str, str]]:
    from gitflowrun.porcelain.parameters import parameters_of_all

    return parameters_of_all(repo, runs)


def _lines(
    runs: Sequence[RunSummary | DamagedRun],
    parameters: Sequence[Mapping[str, str]],
    screen: Screen,
) -> Iterator[str]:
    # Without --params there are no parameters, and so no names.
    names = differing([(run.flow, row) for run, row in zip(runs, parameters, strict=False)])
    columns = [*_COLUMNS, *(Column(name, shrinks=True) for name in names)]
    rows = [
        [*_cells(run, screen), *(parameters[index].get(name, "") for name in names)]
        for index, run in enumerate(runs)
    ]
    return table(columns, rows, screen)


def _cells(run: RunSummary | DamagedRun, screen: Screen) -> list[Cell | str]:
    style = screen.style
    word = run.status.value
    tags = Cell(", ".join(run.tags), style.cyan)
    if isinstance(run, DamagedRun):
        return [Cell(run.pathspec, style.yellow), Cell(word, style.red), "", "", "", "", tags]
    step = f" in {run.state.failed_step}" if run.state.failed_step else ""
    when = ago(run.state.started, screen.now) if screen.person else stamp(run.state.started)
    took = _took(run, screen.now)
    return [
        Cell(run.pathspec, style.yellow),
        Cell(word + step, lambda text: style.status(word, text)),
        when,
        took,
        str(run.state.tasks),
        run.author or run.state.user,
        tags,
    ]


def _took(run: RunSummary, now: float) -> str:
    if run.state.finished is not None:
        return duration(run.state.finished - run.state.started)
    return duration(now - run.state.started) if run.status.value == "running" else ""


def _none(repo: Repository) -> Iterator[str]:
    names = RunStore(repo).names()
    if names:
        yield "No run matches."
    else:
        yield "There are no runs in this repository yet."
        yield "`python FLOW.py run` makes one; `git runs fetch` gets those of a remote."


def _maps(
    repo: Repository,
    runs: Sequence[RunSummary | DamagedRun],
    parameters: Sequence[Mapping[str, str]],
) -> list[dict[str, Any]]:
    from gitflowrun.porcelain.notes import Notes

    notes = Notes(repo)
    rows = [_as_map(*row) for row in zip_longest(runs, parameters)]
    for row in rows:
        row["note"] = notes.shown(row["uid"]) if row["uid"] else None
    return rows


def _as_map(run: RunSummary | DamagedRun, parameters: Mapping[str, str] | None) -> dict[str, Any]:
    """The run as `--json` shows it; what can't be read is null."""
    state = run.state if isinstance(run, RunSummary) else None
    row = {name: getattr(run, name, None) for name in ("flow", "id", "uid", "commit", "status")}
    row |= {name: getattr(state, name, None) for name in ("started", "finished", "tasks", "user")}
    row |= {name: getattr(run, name, None) for name in ("author", "email", "tags")}
    row |= {name: getattr(state, name, None) for name in ("code_commit", "dirty")}
    row |= {name: getattr(state, name, None) or None for name in ("origin", "failed_step")}
    if parameters is not None:
        row["parameters"] = parameters
    return row
