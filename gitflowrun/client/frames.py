"""Runs as rows of a table: status, times, tags, parameters, metrics. pandas is imported only when asked for.

Only plain numbers, truth values and short texts become cells, so a table never unpickles anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotFound, UsageError
from gitflowrun.names import PARAMETERS_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pandas import DataFrame

    from gitflowrun.client.run import Run
    from gitflowrun.client.task import Task

__all__ = ["rows", "to_pandas"]

_SCALARS = frozenset(f"builtins.{name}" for name in ("bool", "float", "int", "str", "NoneType"))
_NUMPY = ("numpy.bool", "numpy.float", "numpy.int", "numpy.uint")
_SAFE_CODECS = ("plain/", "str/", "npy/")
_MAX_BYTES = 4096
_LEADING = (
    "run_id", "status", "user", "created_at", "finished_at", "seconds", "tags"
)  # fmt: skip


def to_pandas(runs: Iterable[Run]) -> DataFrame:
    """A data frame with a row for each run.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            "to_pandas needs pandas, which is not installed",
            hint="pip install 'gitflowrun[pandas]'",
        ) from error
    found = list(rows(runs))
    names = dict.fromkeys([*_LEADING, *(name for row in found for name in row)])
    return pd.DataFrame(found, columns=list(names))


def rows(runs: Iterable[Run]) -> Iterator[dict[str, Any]]:
    """A dictionary for each run: what is known of every run, then its parameters, then its metrics.

    An artifact that is named like one of the columns of every run gets `data.` in front of its name.
    """
    for run in runs:
        row: dict[str, Any] = {
            "run_id": run.id,
            "status": run.status,
            "user": run.user,
            "created_at": run.created_at,
            "finished_at": run.finished_at,
            "seconds": _seconds(run),
            "tags": tuple(sorted(run.user_tags)),
        }
        values: dict[str, Any] = {}
        for task in _sources(run):
            values.update(_scalars(task))
        row.update({f"data.{name}" if name in _LEADING else name: values[name] for name in values})
        yield row


def _seconds(run: Run) -> float | None:
    ended = run.finished_at
    return None if ended is None else (ended - run.created_at).total_seconds()


def _sources(run: Run) -> Iterator[Task]:
    """The tasks that know parameters and metrics."""
    try:
        parameters = run[PARAMETERS_STEP].task
    except NotFound:
        parameters = None
    for task in (parameters, run.end_task):
        if task is not None:
            yield task


def _scalars(task: Task) -> Iterator[tuple[str, Any]]:
    for artifact in task:
        ref = artifact._ref  # noqa: SLF001
        if ref is None or ref.size > _MAX_BYTES or not ref.codec.startswith(_SAFE_CODECS):
            continue
        if ref.type in _SCALARS or ref.type.startswith(_NUMPY):
            yield artifact.id, artifact.data
