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
    return _changed(rows, [row.facts.parameters for row in rows])


def metric_names(rows: Sequence[Row], *, only_changed: bool = False) -> list[str]:
    """The metrics of runs, in order; those alone in which runs of the same flow differ if that is asked for."""
    metrics = [row.facts.metrics for row in rows]
    if only_changed:
        return _changed(rows, metrics)
    return [*dict.fromkeys(name for it in metrics for name in it)]


def _changed(rows: Sequence[Row], values: Sequence[Mapping[str, Any]]) -> list[str]:
    of_flow: dict[str, list[Mapping[str, Any]]] = {}
    for row, found in zip(rows, values, strict=True):
        if found or row.run.commit is not None:
            of_flow.setdefault(row.run.flow, []).append(found)
    names = dict.fromkeys(name for found in values for name in found)
    return [
        name
        for name in names
        if any(len({_key(it.get(name, _NONE)) for it in group}) > 1 for group in of_flow.values())
    ]


_NONE = object()


def _key(value: Any) -> Any:
    """What tells values apart in a set: 1 is not true, and NaN is NaN."""
    return (type(value), "nan" if value != value else value)  # noqa: PLR0124


def text_of(values: Sequence[Any]) -> str:
    """What a run has under a name, as a cell of a table."""
    return ", ".join(map(cell, values))


def cell(value: Any) -> str:
    """A value as a cell of a table: numbers with six digits, which tell runs apart and fit side by side."""
    if isinstance(value, TextValue):
        return value.text
    return f"{value:.6g}" if isinstance(value, float) else str(value)
