"""The table of runs that `git runs` prints, or its JSON, newest first.

One `git for-each-ref`, and for parameters and metrics two small blobs a run, remembered. `git runs` alone is typed more
often than everything else together, so nothing here imports click.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.output.tables import Cell, Column, show, table
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import ago_short, printable, stamp
from gitflowrun.git.repository import Repository
from gitflowrun.runs.commit_message import Status, duration
from gitflowrun.runs.lookup.facts import NO_FACTS, facts_of
from gitflowrun.runs.lookup.listing import told_damaged
from gitflowrun.runs.lookup.summary import DamagedRun, RunSummary
from gitflowrun.runs.metrics import json_scalar
from gitflowrun.runs.query.columns import cell, changed_parameters, differing, metric_names, text_of
from gitflowrun.runs.query.row import Row
from gitflowrun.runs.query.select import RunQuery, select
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Screen

_COLUMNS = (
    Column("RUN"),
    Column("STATUS", shrinks=True),
    Column("WHEN", shrinks=True),
    Column("TOOK", right=True, leaves=3),
    Column("TASKS", right=True, leaves=5),
    Column("AUTHOR", shrinks=True, leaves=4),
    Column("TAGS", shrinks=True),
)
_NAME = "%(run)"


@frozen
class ListView:
    """How runs are listed.

    Attributes:
        params: Whether to show the parameters in which runs differ, and what tells equal texts apart.
        metrics: Whether to show all metrics. With neither, parameters that differ and metrics are shown.
        only_changed: Whether to leave out columns in which all runs are equal.
        columns: The columns to show instead of these.
        sort: By what runs are sorted, the first name first; the newest run first without.
        group_by: Show groups of runs that have the same value under this name.
        template: Write each run so, see `run_format`.
        nul: Whether an entry ends with NUL instead of a line feed.
        json: Whether to print JSON.
    """

    params: bool = False
    metrics: bool = False
    only_changed: bool = False
    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    group_by: str | None = None
    template: str | None = None
    nul: bool = False
    json: bool = False

    @property
    def needs_facts(self) -> bool:
        """Whether more is read of runs than their messages."""
        if self.template is None and not self.nul:
            return True
        from gitflowrun.cli.git_runs.look import run_format
        from gitflowrun.runs.query.named import needs_facts

        by_facts = [name for name in self.sort if needs_facts(name.removeprefix("-"))]
        return bool(by_facts) or run_format.needs_facts(self.template or _NAME)


def list_runs(query: RunQuery | None = None, view: ListView | None = None) -> None:
    """Print the runs that `query` asks for, or all, as `view` says.

    Raises:
        UsageError: a column, an order or a format names what none of the runs has.
    """
    repo = Repository.discover()
    query, view = query or RunQuery(), view or ListView()
    limit = query.limit
    runs = select(repo, replace(query, limit=None) if view.sort else query)
    facts = (
        facts_of(repo, [it.commit for it in runs]) if view.needs_facts else [NO_FACTS] * len(runs)
    )
    rows = [Row(run, it) for run, it in zip(runs, facts, strict=True)]
    if view.sort and rows:
        from gitflowrun.runs.query.order import ordered  # `git runs` alone does without

        rows = ordered(rows, view.sort)[:limit]
    if view.group_by is not None:
        _print_groups(repo, rows, view)
    elif view.template is not None or view.nul:
        _print_formatted(repo, rows, view)
    else:
        _print_table(repo, rows, view)
    warn_of_damage([row.run for row in rows])


def _print_formatted(repo: Repository, rows: Sequence[Row], view: ListView) -> None:
    from gitflowrun.cli.git_runs.look.run_format import formatted

    with open_screen(repo, page=not view.nul) as screen:
        for text in formatted(view.template or _NAME, rows, screen.now):
            # For a person nothing that was recorded commands the terminal; a program gets what it asked for.
            shown = printable(text) if screen.person and not view.nul else text
            screen.out.write(shown + ("\0" if view.nul else "\n"))


def _print_groups(repo: Repository, rows: Sequence[Row], view: ListView) -> None:
    from gitflowrun.runs.query.order import grouped

    assert view.group_by is not None
    groups = grouped(rows, view.group_by) if rows else []
    names = list(dict.fromkeys(name for group in groups for name in group.metrics))

    def lines(screen: Screen) -> Iterator[str]:
        if not groups:
            return _none(repo)
        columns = [
            Column(view.group_by or ""),
            Column("RUNS", right=True),
            Column("DONE", right=True),
        ]
        columns += [Column(f"{name} (mean, least … most)", shrinks=True) for name in names]
        cells = [
            [
                group.value or "-",
                str(group.runs),
                str(group.done),
                *(_span(group.metrics.get(it)) for it in names),
            ]
            for group in groups
        ]
        return table(columns, cells, screen)

    show(repo, groups, lines, json=view.json, page=True)


def _span(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return ""
    least, mean, most = map(cell, map(float, found))
    return mean if least == most else f"{mean} ({least} … {most})"


def _print_table(repo: Repository, rows: Sequence[Row], view: ListView) -> None:
    parameters = _parameters(repo, [row.run for row in rows]) if view.params else None

    def lines(screen: Screen) -> Iterator[str]:
        return _lines(rows, parameters, view, screen) if rows else _none(repo)

    maps = _maps(repo, rows, parameters) if view.json else []
    show(repo, maps, lines, json=view.json, page=True)


def json_rows(repo: Repository, runs: Sequence[RunSummary | DamagedRun]) -> list[dict[str, Any]]:
    """Runs as `--json` shows them, with their parameters."""
    facts = facts_of(repo, [run.commit for run in runs])
    rows = [Row(run, it) for run, it in zip(runs, facts, strict=True)]
    return _maps(repo, rows, _parameters(repo, runs))


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
    rows: Sequence[Row],
    parameters: Sequence[Mapping[str, str]] | None,
    view: ListView,
    screen: Screen,
) -> Iterator[str]:
    if view.columns:
        columns, cells = _chosen(rows, view.columns, screen)
    else:
        columns, cells = _usual(rows, parameters, view, screen)
    if view.only_changed:
        kept = [
            0,
            *(n for n in range(1, len(columns)) if len({_text(row[n]) for row in cells}) > 1),
        ]
        columns = [columns[n] for n in kept]
        cells = [[row[n] for n in kept] for row in cells]
    return table(columns, cells, screen)


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


def _usual(
    rows: Sequence[Row],
    parameters: Sequence[Mapping[str, str]] | None,
    view: ListView,
    screen: Screen,
) -> tuple[list[Column], list[list[Cell | str]]]:
    """The columns of every list, then parameters and metrics."""
    columns, cells = [*_COLUMNS], [_cells(row.run, screen) for row in rows]
    if parameters is not None:
        names = differing([(row.run.flow, it) for row, it in zip(rows, parameters, strict=True)])
    else:
        parameters = [row.facts.parameters for row in rows]
        names = [] if view.metrics else changed_parameters(rows)
    metrics = metric_names(rows) if view.metrics or not view.params else []
    columns += [Column(name, shrinks=True, leaves=1) for name in names]
    columns += [
        Column(name, right=_is_numeric(rows, name), shrinks=True, leaves=2) for name in metrics
    ]
    for row, it, line in zip(rows, parameters, cells, strict=True):
        line += [it.get(name, "") for name in names]
        line += [
            cell(row.facts.metrics[name]) if name in row.facts.metrics else "" for name in metrics
        ]
    return columns, cells


def _is_numeric(rows: Sequence[Row], metric: str) -> bool:
    return all(isinstance(row.facts.metrics.get(metric, 0), int | float) for row in rows)


def _chosen(
    rows: Sequence[Row], names: Sequence[str], screen: Screen
) -> tuple[list[Column], list[list[Cell | str]]]:
    """The columns that somebody wants, with the run in front."""
    from gitflowrun.runs.query.named import values_of

    usual = {column.title.lower(): n for n, column in enumerate(_COLUMNS)}
    usual |= {"started": usual["when"], "duration": usual["took"], "tag": usual["tags"]}
    wanted = [name for name in names if name.lower() != "run"]
    known = [_cells(row.run, screen) for row in rows]
    columns = [_COLUMNS[0]]
    cells: list[list[Cell | str]] = [[line[0]] for line in known]
    for name in wanted:
        place = usual.get(name.lower())
        if place is not None:
            columns.append(_COLUMNS[place])
            for line, all_of_it in zip(cells, known, strict=True):
                line.append(all_of_it[place])
            continue
        values = values_of(name, rows)
        columns.append(Column(name, shrinks=True))
        for line, row in zip(cells, rows, strict=True):
            line.append(text_of(values(row)))
    return columns, cells


def _cells(run: RunSummary | DamagedRun, screen: Screen) -> list[Cell | str]:
    style = screen.style
    word = run.status.value
    tags = Cell(", ".join(run.tags), style.cyan)
    if isinstance(run, DamagedRun):
        return [Cell(run.pathspec, style.yellow), Cell(word, style.red), "", "", "", "", tags]
    step = f" in {run.state.failed_step}" if run.state.failed_step else ""
    when = ago_short(run.state.started, screen.now) if screen.person else stamp(run.state.started)
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
    repo: Repository, rows: Sequence[Row], parameters: Sequence[Mapping[str, str]] | None
) -> list[dict[str, Any]]:
    from gitflowrun.porcelain.notes import Notes

    notes = Notes(repo)
    maps = []
    for number, row in enumerate(rows):
        shown = row.facts.parameters if parameters is None else parameters[number]
        found = _as_map(row, shown)
        found["note"] = notes.shown(found["uid"]) if found["uid"] else None
        maps.append(found)
    return maps


def _as_map(row: Row, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The run as `--json` shows it; what can't be read is null."""
    run = row.run
    state = run.state if isinstance(run, RunSummary) else None
    found = {name: getattr(run, name, None) for name in ("flow", "id", "uid", "commit", "status")}
    found |= {name: getattr(state, name, None) for name in ("started", "finished", "tasks", "user")}
    found |= {name: getattr(run, name, None) for name in ("author", "email", "tags")}
    found |= {name: getattr(state, name, None) for name in ("code_commit", "dirty")}
    found |= {name: getattr(state, name, None) or None for name in ("origin", "failed_step")}
    metrics = {name: json_scalar(value) for name, value in row.facts.metrics.items()}
    return found | {
        "parameters": parameters,
        "metrics": metrics,
        "branch": row.facts.branch or None,
    }
