"""How a notebook shows the client's objects: small tables, everything from a run escaped. Nothing is loaded.

Runs as rows of a table: status, times, tags, parameters, metrics. pandas is imported only when asked for.

Only plain numbers, truth values and short texts become cells, so a table never unpickles anything.
"""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotFound, UsageError
from gitflowrun.names import PARAMETERS_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from pandas import DataFrame

    from gitflowrun.client.flow import Flow
    from gitflowrun.client.run import Run
    from gitflowrun.client.task import Task

__all__ = ["flow_html", "rows", "run_html", "task_html", "to_pandas"]


_SHOWN = 20


def flow_html(flow: Flow) -> str:
    """A table of a flow's newest runs."""
    runs = list(islice(flow, _SHOWN + 1))
    rows = [
        (run.id, run.status, run.user, _time(run.created_at), _took(run), _words(run.user_tags))
        for run in runs[:_SHOWN]
    ]
    heads = ("run", "status", "user", "started", "took", "tags")
    return _title(f"Flow {flow.id}") + _table(heads, rows, more=len(runs) > _SHOWN)


def run_html(run: Run) -> str:
    """What a run is, and a table of its steps."""
    facts = (run.status, run.user, _time(run.created_at), _took(run), _words(run.tags))
    about = _table(("status", "user", "started", "took", "tags"), [facts])
    stored = run._now()  # noqa: SLF001
    steps = [(name, str(len(stored.tasks(name)))) for name in stored.steps() if name[0] != "_"]
    return _title(f"Run {run.pathspec}") + about + _table(("step", "tasks"), steps)


def task_html(task: Task) -> str:
    """What a task is, and a table of its artifacts."""
    status = "done" if task.successful else "failed"
    title = _title(f"Task {task.pathspec}: {status}, {_time(task.created_at)}")
    rows = [
        (artifact.id, artifact.type, _size(artifact.size)) for artifact in islice(task, _SHOWN + 1)
    ]
    more = len(rows) > _SHOWN
    return title + _table(("artifact", "type", "size"), rows[:_SHOWN], more=more)


def _title(text: str) -> str:
    return f"<p><b>{escape(text)}</b></p>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, more: bool = False) -> str:
    lines = [_row("th", heads), *(_row("td", row) for row in rows)]
    end = "<p>…</p>" if more else ""
    return f"<table>{''.join(lines)}</table>{end}"


def _row(kind: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"


def _words(tags: Iterable[str]) -> str:
    return ", ".join(sorted(tags))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _took(run: Run) -> str:
    ended = run.finished_at
    return "" if ended is None else f"{(ended - run.created_at).total_seconds():.1f} s"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


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
