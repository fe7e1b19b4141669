"""The metrics of a run, `data/metrics.json`: the scalars among the artifacts of its end task, parameters aside.

    {
     "accuracy": 0.93,
     "best": "tree"
    }

One small blob, so that a list of runs reads one object for each, and `git diff runs/F/11 runs/F/12 -- data` says what
changed. JSON has no NaN and no infinity: these are the texts "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gitflowrun.artifacts.scalar import is_scalar
from gitflowrun.names import PARAMETERS_STEP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.runs.records import TaskRecord

METRICS_SIZE = 64 << 10
"""Bytes of the metrics of a run."""
MOST_METRICS = 1_000
"""Metrics of a run; the first ones by name of more."""
_SPECIAL = {text: float(text) for text in ("NaN", "Infinity", "-Infinity")}
_WORDS = {True: "true", False: "false", None: "null"}


def metrics_of(record: TaskRecord) -> dict[str, Scalar]:
    """The metrics of a run whose end task has this record, by name, in alphabetical order."""
    return {
        name: ref.scalar[0]
        for name, ref in sorted(record.artifacts.items())
        if ref.scalar and not name.startswith("_") and ref.producer.step != PARAMETERS_STEP
    }


def dump_metrics(metrics: Mapping[str, Scalar]) -> bytes | None:
    """The content of the file; None where there are none. What is beyond its limits is left out."""
    lines: list[str] = []
    left = METRICS_SIZE - len("{\n}\n")
    for name, value in metrics.items():
        line = f"{_json(name)}: {_json(value)}"
        left -= len(line.encode()) + len(" ,\n")
        if len(lines) == MOST_METRICS or left < 0:
            break
        lines.append(line)
    return ("{\n " + ",\n ".join(lines) + "\n}\n").encode() if lines else None


def json_scalar(value: Scalar) -> Scalar:
    """A scalar as JSON has it: NaN and infinities as texts."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _json(value: Scalar) -> str:
    """A scalar in JSON. To import `json` would take as long as all else that ends a run."""
    value = json_scalar(value)
    if isinstance(value, str):  # printable, so nothing else must be escaped
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _WORDS[value] if value is None or isinstance(value, bool) else repr(value)


def read_metrics(data: bytes) -> dict[str, Scalar]:
    """The metrics that a file has; none where it is not what `dump_metrics` writes: anybody may have made it."""
    import json  # runs are made, and listed by their refs, without it

    try:
        found = json.loads(data, parse_constant=_refuse) if len(data) <= METRICS_SIZE else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or len(found) > MOST_METRICS:
        return {}
    return {
        name: _SPECIAL.get(value, value) if isinstance(value, str) else value
        for name, value in found.items()
        if is_scalar(value) and name.isprintable()
    }


def _refuse(word: str) -> None:
    raise ValueError(word)
