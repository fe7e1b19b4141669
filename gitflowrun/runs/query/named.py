"""Names in queries, columns, orders and formats: fields of every run, metrics, parameters.

A name is a field, else a metric, else a parameter; `metric.x` and `parameter.x` say which. An option's name may be
written with `_` for `-`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import UsageError
from gitflowrun.names import did_you_mean
from gitflowrun.runs.lookup.run_columns import ABSENT
from gitflowrun.runs.query.fields import FIELDS, field_of
from gitflowrun.runs.query.text_value import TextValue
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.runs.lookup.run_columns import RunTable

_METRIC, _PARAMETER = "metric.", "parameter."
_OTHER_WORDS = {
    "param.": _PARAMETER,
    "params.": _PARAMETER,
    "parameters.": _PARAMETER,
    "metrics.": _METRIC,
}
_NAMES_IN_A_HINT = 20
_OTHERS = {"commit": "the commit of a run's code is called code"}
"""What to take instead of names that somebody may expect."""


@frozen
class NamedValues:
    """What the runs of a table have under a name.

    Attributes:
        values: A value for each run, or `ABSENT`; a tuple where a run may have several.
    """

    values: list[Any]

    def at(self, place: int) -> Sequence[Any]:
        """What one of the runs has: nothing, one value or several."""
        found = self.values[place]
        if found is ABSENT:
            return ()
        return found if isinstance(found, tuple) else (found,)


def values_of(name: str, table: RunTable) -> NamedValues:
    """What runs have under a name.

    Args:
        name: The name.
        table: The runs that are looked at: what none of them has is taken for a mistake.

    Raises:
        UsageError: none of them has such a metric or parameter, and it is no field.
    """
    field = field_of(name)
    if field is not None:
        return NamedValues([ABSENT if it is None else it for it in field.of(table)])
    for word, prefix in _OTHER_WORDS.items():
        name = prefix + name.removeprefix(word) if name.startswith(word) else name
    bare = name.removeprefix(_METRIC).removeprefix(_PARAMETER)
    found: list[Any] = []
    for spelling in dict.fromkeys((bare, bare.replace("_", "-"), bare.replace("-", "_"))):
        if not name.startswith(_PARAMETER) and spelling in table.metric_names:
            found = _with(found, table.metric(spelling))
        if not name.startswith(_METRIC) and spelling in table.parameter_names:
            found = _with(found, _as_values(table.parameter(spelling)))
    if not found and len(table):
        names = known_names(table)
        some = f"there are {', '.join(names[:_NAMES_IN_A_HINT])}"
        raise UsageError(
            f"none of these runs has a metric or parameter {bare!r}",
            hint=_OTHERS.get(bare) or did_you_mean(bare, names, some),
        )
    return NamedValues(found)


def _with(found: list[Any], others: list[Any]) -> list[Any]:
    """Values, and others for the runs that have none."""
    if not found:
        return others
    pairs = zip(found, others, strict=True)
    return [other if value is ABSENT else value for value, other in pairs]


def _as_values(texts: Sequence[str | None]) -> list[Any]:
    made: dict[str | None, Any] = {text: TextValue(text) for text in {*texts} if text is not None}
    made[None] = ABSENT
    return [made[text] for text in texts]


def needs_facts(name: str) -> bool:
    """Whether more is read for it than messages of runs."""
    field = field_of(name)
    return field is None or field.needs_facts


def known_names(table: RunTable) -> list[str]:
    """All names that mean something for some of the runs: metrics and parameters first."""
    names: dict[str, None] = {}
    for parameters, metrics in table.shapes():
        names.update(dict.fromkeys(metrics))
        names.update(dict.fromkeys(parameters))
    return [*dict.fromkeys([*names, *FIELDS])]
