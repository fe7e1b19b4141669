"""What a list shows of runs besides what every list shows.

Nothing that runs have in common tells them apart, so columns are those in which they differ. `git runs` alone waits
for this file, so it needs nothing of queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.runs.lookup import run_columns
from gitflowrun.runs.query.text_value import TextValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.runs.lookup.run_columns import RunTable


def changed_parameters(table: RunTable) -> list[str]:
    """The parameters in which runs of the same flow differ, in order."""
    # Of a run whose ref is damaged nobody knows any.
    if None in table.column("commit"):
        known = [at for at, commit in enumerate(table.column("commit")) if commit is not None]
        table = table.take(known)
    names = table.parameter_names
    flows = table.flows() if names else []
    count = len({*flows})
    if count == 1:
        columns = ((name, table.parameter(name)) for name in names)
        return [name for name, found in columns if found.count(found[0]) != len(found)]
    pairs = ((name, zip(flows, table.parameter(name), strict=True)) for name in names)
    return [name for name, found in pairs if len({*found}) > count]


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
    """A value as a cell of a table."""
    return value.text if isinstance(value, TextValue) else run_columns.cell(value)
