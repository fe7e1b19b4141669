"""The order of runs by what they have under a name, and groups of runs that have the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gitflowrun.runs.query.columns import metric_names, text_of
from gitflowrun.runs.query.fields import read_number
from gitflowrun.runs.query.named import values_of
from gitflowrun.runs.query.row import TextValue
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.runs.query.row import Row


def ordered(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """Runs by what they have under some names.

    Numbers come before texts, and what has no value, or NaN, comes last in either direction.

    Args:
        rows: The runs.
        keys: The names, the first one first; with `-` in front the largest value comes first.

    Raises:
        UsageError: none of the runs has a value of such a name.
    """
    found = list(rows)
    for key in reversed(keys):
        descending = key.startswith("-")
        values = values_of(key.removeprefix("-"), rows)
        ranked = [(_rank(values(row)), row) for row in found]
        known = [it for it in ranked if it[0] is not None]
        known.sort(key=lambda it: it[0], reverse=descending)
        found = [row for _, row in known] + [row for rank, row in ranked if rank is None]
    return found


def _rank(values: Sequence[Any]) -> Any:
    """What a run is sorted by; None for one without."""
    if not values:
        return None
    value = values[0]
    if isinstance(value, TextValue):
        number = read_number(value.text)
        value = value.text if number is None else number
    if isinstance(value, bool | int | float):
        return None if math.isnan(value) else (0, value, "")
    return (1, 0, str(value)) if value is not None else None


@frozen
class Group:
    """Runs that have the same value under a name.

    Attributes:
        value: The value as text; empty for runs without.
        runs: How many there are.
        done: How many of them are done.
        metrics: Least, mean and largest value of each metric that is a number.
    """

    value: str
    runs: int
    done: int
    metrics: Mapping[str, tuple[float, float, float]]


def grouped(rows: Sequence[Row], name: str) -> list[Group]:
    """Runs by what they have under a name, the least value first. Raises UsageError if none of them has any."""
    values = values_of(name, rows)
    groups: dict[str, list[Row]] = {}
    for row in ordered(rows, [name]):
        groups.setdefault(text_of(values(row)), []).append(row)
    return [
        Group(
            value,
            len(found),
            sum(row.run.status.value == "done" for row in found),
            dict(_statistics(found)),
        )
        for value, found in groups.items()
    ]


def _statistics(rows: Sequence[Row]) -> Iterable[tuple[str, tuple[float, float, float]]]:
    for name in metric_names(rows):
        values = [row.facts.metrics.get(name) for row in rows]
        numbers = [
            it for it in values
            if isinstance(it, int | float) and not isinstance(it, bool) and not math.isnan(it)
        ]  # fmt: skip
        if numbers:
            yield name, (min(numbers), math.fsum(numbers) / len(numbers), max(numbers))
