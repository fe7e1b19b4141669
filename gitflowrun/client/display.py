"""How a notebook shows the client's objects: small tables, everything from a run escaped. Nothing is loaded."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gitflowrun.client.flow import Flow
    from gitflowrun.client.run import Run
    from gitflowrun.client.task import Task

__all__ = ["flow_html", "run_html", "task_html"]

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
