"""Names in queries, columns, orders and formats: fields of every run, metrics, parameters.

A name is a field, else a metric, else a parameter; `metric.x` and `parameter.x` say which. An option's name may be
written with `_` for `-`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import UsageError
from gitflowrun.names import did_you_mean
from gitflowrun.runs.query.fields import FIELDS
from gitflowrun.runs.query.row import Row, TextValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_METRIC, _PARAMETER = "metric.", "parameter."
_OTHER_WORDS = {
    "param.": _PARAMETER,
    "params.": _PARAMETER,
    "parameters.": _PARAMETER,
    "metrics.": _METRIC,
}
_NAMES_IN_A_HINT = 20

Values = Callable[[Row], "Sequence[Any]"]
"""The values that a run has under a name: none, one, or several tags."""


def values_of(name: str, rows: Sequence[Row]) -> Values:
    """What runs have under a name.

    Args:
        name: The name.
        rows: The runs that are looked at: what none of them has is taken for a mistake.

    Raises:
        UsageError: none of them has such a metric or parameter, and it is no field.
    """
    field = FIELDS.get(name.lower())
    if field is not None:
        of = field.of
        return lambda row: _as_sequence(of(row))
    for word, prefix in _OTHER_WORDS.items():
        name = prefix + name.removeprefix(word) if name.startswith(word) else name
    bare = name.removeprefix(_METRIC).removeprefix(_PARAMETER)
    spellings = [*dict.fromkeys((bare, bare.replace("_", "-"), bare.replace("-", "_")))]
    is_metric, is_parameter = not name.startswith(_PARAMETER), not name.startswith(_METRIC)

    def found(row: Row) -> Sequence[Any]:
        for spelling in spellings:
            if is_metric and spelling in row.facts.metrics:
                return (row.facts.metrics[spelling],)
            if is_parameter and spelling in row.facts.parameters:
                return (TextValue(row.facts.parameters[spelling]),)
        return ()

    if rows and not any(map(found, rows)):
        names = known_names(rows)
        some = f"there are {', '.join(names[:_NAMES_IN_A_HINT])}"
        raise UsageError(
            f"none of these runs has a metric or parameter {bare!r}",
            hint=did_you_mean(bare, names, some),
        )
    return found


def needs_facts(name: str) -> bool:
    """Whether more is read for it than messages of runs."""
    field = FIELDS.get(name.lower())
    return field is None or field.needs_facts


def known_names(rows: Iterable[Row]) -> list[str]:
    """All names that mean something for some of the runs: metrics and parameters first."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row.facts.metrics))
        names.update(dict.fromkeys(row.facts.parameters))
    return [*dict.fromkeys([*names, *FIELDS])]


def _as_sequence(found: Any) -> Sequence[Any]:
    return () if found is None else found if isinstance(found, tuple) else (found,)
