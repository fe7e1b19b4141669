"""`git runs compare`: several runs side by side."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.errors import DIFFERS
from gitflowrun.cli.git_runs.run_words import expand_queries
from gitflowrun.cli.output.markdown import code_span, markdown_table
from gitflowrun.cli.output.tables import Cell, Column, apart, show, table
from gitflowrun.cli.output.text import width
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison.several import (
    RUN,
    ComparedValue,
    RunsComparison,
    compare_runs,
)
from gitflowrun.runs.commit_message import duration
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.cli.output.terminal import Screen

_NEWEST_TWO = ("@{1}", "@latest")
_TWO = 2


def print_comparison(
    *,
    baseline: str | None,
    everything: bool,
    form: str | None,
    exit_code: bool,
    as_json_: bool,
    runs: tuple[str, ...],
) -> int:
    """Show runs side by side.

    Args:
        baseline: The address of a run that the others are measured by.
        everything: Whether to show what does not differ, too.
        form: `markdown` or nothing.
        exit_code: Whether the exit code says if anything differs.
        as_json_: Print JSON.
        runs: Addresses, ranges and queries; the newest two runs when empty.
    """
    repo = Repository.discover()
    store = RunStore(repo)
    pinned = store.find(baseline) if baseline is not None else None
    least = () if pinned and runs else _NEWEST_TWO
    found = compare_runs(repo, store.find_all(expand_queries(repo, runs) or least), pinned)
    if len(found.runs) < _TWO:
        raise UsageError(
            f"{', '.join(found.runs)} is one run, and there is nothing to compare it with",
            hint="git runs compare RUN RUN..., or a range such as 10..20",
        )
    rows = [
        row for row in found.rows if everything or row.differs or (row.kind, row.name) in _ALWAYS
    ]
    value = {
        "runs": found.runs,
        "baseline": found.baseline,
        "rows": [_for_json(row, found) for row in rows],
    }
    as_text = _markdown if form == "markdown" else _lines
    show(
        repo, value, lambda screen: as_text(found, rows, screen), json=as_json_, page=True,
    )  # fmt: skip
    return DIFFERS if exit_code and found.differs else 0


_WIDEST = 24
"""Columns of a run's values for which a table is begun anew; longer ones are cut where that is not enough."""
_GAP = 2
_ALWAYS = {(RUN, "status"), (RUN, "duration")}
"""What is shown though it does not differ, or differs by chance."""


def _for_json(row: ComparedValue, found: RunsComparison) -> dict[str, Any]:
    values = {run: row.values.get(run) for run in found.runs}
    document = {"kind": row.kind, "name": row.name, "differs": row.differs, "values": values}
    if found.baseline is not None:
        base = found.baseline
        document["changes"] = {run: row.change(base, run) for run in found.runs if run != base}
    return document


def _lines(found: RunsComparison, rows: Sequence[ComparedValue], screen: Screen) -> Iterator[str]:
    """A table, with a heading before parameters and before metrics; where runs do not fit side by side, several."""
    yield from apart(_table(found, rows, runs, screen) for runs in _fitting(found, rows, screen))
    if not found.differs:
        yield ""
        yield "They have the same parameters, metrics and code, and ended alike."


def _table(
    found: RunsComparison, rows: Sequence[ComparedValue], runs: Sequence[str], screen: Screen
) -> Iterator[str]:
    cells: list[list[Cell | str]] = []
    headings: dict[int, str] = {}
    for kind, group in groupby(rows, lambda row: row.kind):
        if kind != RUN:
            headings[len(cells)] = kind.capitalize()
        cells += ([_title(row), *(_cell(row, run, found, screen) for run in runs)] for row in group)
    columns = [Column("RUN"), *(Column(run, shrinks=True) for run in runs)]
    for number, line in enumerate(table(columns, cells, screen)):
        if heading := headings.get(number - 1):
            yield screen.style.bold(heading)
        yield line


def _title(row: ComparedValue) -> str:
    return row.name.capitalize() if row.kind == RUN else f"  {row.name}"


def _fitting(
    found: RunsComparison, rows: Sequence[ComparedValue], screen: Screen
) -> list[list[str]]:
    """The runs that fit beside one another on a person's screen, the baseline each time."""
    pinned = [run for run in found.runs if run == found.baseline]
    others = [run for run in found.runs if run != found.baseline]
    if not screen.person or not others:
        return [pinned + others]
    sizes = {
        run: min(
            _WIDEST, max(width(text) for text in (run, *(_text(row, run, found) for row in rows)))
        )
        for run in found.runs
    }
    names = max(width(_title(row)) for row in rows)
    groups: list[list[str]] = []
    for run in others:
        group = [*(groups[-1] if groups else pinned), run]
        if groups and names + sum(sizes[it] + _GAP for it in group) > screen.columns:
            groups.append([*pinned, run])
        else:
            groups[-1:] = [group]
    return groups


def _cell(row: ComparedValue, run: str, found: RunsComparison, screen: Screen) -> Cell | str:
    text = _text(row, run, found)
    if row.kind == RUN and row.name == "status":
        return Cell(text, lambda shown: screen.style.status(text, shown))
    if found.baseline in {None, run} or row.values.get(run) == row.values.get(str(found.baseline)):
        return text
    return Cell(text, screen.style.yellow if row.differs else None)


def _markdown(
    found: RunsComparison, rows: Sequence[ComparedValue], _screen: Screen
) -> Iterator[str]:
    """A table for a pull request."""
    head = ["", *map(code_span, found.runs)]
    return markdown_table(
        head,
        (
            [
                row.name if row.kind == RUN else f"{row.kind[:-1]} {code_span(row.name)}",
                *(code_span(_text(row, run, found)) for run in found.runs),
            ]
            for row in rows
        ),
    )


def _text(row: ComparedValue, run: str, found: RunsComparison) -> str:
    """The value of a run, and by how much it differs from the baseline's; empty where it has none."""
    if run not in row.values:
        return ""
    value = row.values[run]
    is_time = (row.kind, row.name) == (RUN, "duration")
    text = duration(value) if is_time and isinstance(value, float) else _written(value)
    change = None if found.baseline is None else row.change(found.baseline, run)
    if change is None:
        return text
    if is_time:
        return f"{text} ({'-' if change < 0 else '+'}{duration(abs(change))})"
    return f"{text} ({change:+.6g})" if isinstance(change, float) else f"{text} ({change:+d})"


def _written(value: Scalar) -> str:
    """A value as one reads it in a table."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
