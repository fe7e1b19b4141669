"""What a list shows of runs besides what every list shows.

Nothing that runs have in common tells them apart, so columns are those in which they differ. `git runs` alone waits
for this file, so it needs nothing of queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.runs.query.row import TextValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.runs.query.row import Row


def changed_parameters(rows: Sequence[Row]) -> list[str]:
    """The parameters in which runs of the same flow differ, in order."""
    return differing([(row.run.flow, row.facts.parameters) for row in rows if _is_known(row)])


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The metrics of runs, in order."""
    return [*dict.fromkeys(name for row in rows for name in row.facts.metrics)]


def _is_known(row: Row) -> bool:
    return bool(row.facts.parameters) or row.run.commit is not None


def differing(rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Of the parameters of (flow, parameters) rows, those in which runs of the same flow differ, in order."""
    runs_of: dict[str, list[Mapping[str, str]]] = {}
    for flow, parameters in rows:
        runs_of.setdefault(flow, []).append(parameters)
    names = dict.fromkeys(name for _, parameters in rows for name in parameters)
    return [
        name
        for name in names
        if any(len({run.get(name) for run in runs}) > 1 for runs in runs_of.values())
    ]


def text_of(values: Sequence[Any]) -> str:
    """What a run has under a name, as a cell of a table."""
    return ", ".join(map(cell, values))


def cell(value: Any) -> str:
    """A value as a cell of a table: numbers with six digits, which tell runs apart and fit side by side."""
    if isinstance(value, TextValue):
        return value.text
    return f"{value:.6g}" if isinstance(value, float) else str(value)
