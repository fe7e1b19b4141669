"""The order of runs by what they have under a name, and groups of runs that have the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import UsageError
from gitflowrun.runs.query.columns import text_of
from gitflowrun.runs.query.fields import is_commit, read_number
from gitflowrun.runs.query.named import values_of
from gitflowrun.runs.query.text_value import TextValue
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.runs.lookup.run_columns import RunTable


def ordered(table: RunTable, keys: Sequence[str]) -> RunTable:
    """Runs by what they have under some names.

    Numbers come before texts, and what has no value, or NaN, comes last in either direction.

    Args:
        table: The runs.
        keys: The names, the first one first; with `-` in front the largest value comes first.

    Raises:
        UsageError: none of the runs has a value of such a name.
    """
    return table.take(_places_in_order(table, keys))


def _places_in_order(table: RunTable, keys: Sequence[str]) -> Sequence[int]:
    found: Sequence[int] = range(len(table))
    for key in reversed(keys):
        values = values_of(key.removeprefix("-"), table)
        ranks = [_rank(values.at(place)) for place in range(len(table))]
        known = [it for it in found if ranks[it] is not None]
        known.sort(key=ranks.__getitem__, reverse=key.startswith("-"))
        found = known + [it for it in found if ranks[it] is None]
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


def grouped(table: RunTable, name: str, keys: Sequence[str] = ()) -> list[Group]:
    """Runs by what they have under a name.

    Args:
        table: The runs, the newest first.
        name: The name.
        keys: By what groups are sorted, the first one first, with `-` in front the largest first: the mean of a metric,
            the name, `runs` or `done`. Without, the least value comes first; of commits the one that was run last for
            the first time, as in their history.

    Raises:
        UsageError: none of the runs has a value of that name, or groups can't be sorted so.
    """
    values = values_of(name, table)
    are_commits = is_commit(name)
    places = range(len(table))[::-1] if are_commits else _places_in_order(table, [name])
    members: dict[str, list[int]] = {}
    for place in places:
        members.setdefault(text_of(values.at(place)), []).append(place)
    if are_commits:
        members = dict(reversed(members.items()))
    groups = [_group(value, table.take(it)) for value, it in members.items()]
    for key in reversed(keys):
        ranks = {id(group): _rank_of(group, key.removeprefix("-"), name) for group in groups}
        known = [it for it in groups if ranks[id(it)] is not None]
        if not known:
            raise UsageError(
                f"groups of runs can't be sorted by {key.removeprefix('-')!r}",
                hint=f"sort them by a metric that is a number, by {name}, runs or done",
            )
        known.sort(key=lambda it: ranks[id(it)], reverse=key.startswith("-"))
        groups = known + [it for it in groups if ranks[id(it)] is None]
    return groups


def _rank_of(group: Group, key: str, name: str) -> Any:
    """What a group is sorted by; None for one without."""
    if key == name:
        number = read_number(group.value)
        return (1, 0, group.value) if number is None else (0, number, "")
    if key in {"runs", "done"}:
        return getattr(group, key)
    found = group.metrics.get(key)
    return None if found is None else found[1]


def _group(value: str, runs: RunTable) -> Group:
    done = sum(word == "done" for word in runs.status())
    return Group(value, len(runs), done, dict(_statistics(runs)))


def _statistics(runs: RunTable) -> Iterable[tuple[str, tuple[float, float, float]]]:
    for name in runs.metric_names:
        numbers = [
            it for it in runs.metric(name)
            if isinstance(it, int | float) and not isinstance(it, bool) and not math.isnan(it)
        ]  # fmt: skip
        if numbers:
            yield name, (min(numbers), math.fsum(numbers) / len(numbers), max(numbers))
