"""What a card says of a task by itself: facts of its record and its run, as plain data of components.

Nothing is unpickled: values are shown by what their task has noted of them. What can't be read is left out, and the
rest is shown.
"""

from __future__ import annotations

import os
import re
import textwrap
from base64 import b64encode
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import ARTIFACTS_LISTED, PICTURE_SHOWN, STEP_CODE
from gitflowrun.errors import GitflowrunError
from gitflowrun.limits import CODE_TEXT
from gitflowrun.runs.commit_message import duration
from gitflowrun.settings import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.artifacts.preview import Preview
    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.client.task import Task
    from gitflowrun.runs.records import RunInfo

Part = dict[str, Any]


def task_sections(task: Task) -> list[Part]:
    """The sections about a task: its metadata, attempts, code, parameters, artifacts and the flow's graph."""
    sections = (
        ("Task Metadata", _metadata),
        ("Attempts", _attempts),
        ("Task Code", _code),
        ("Flow Parameters", _parameters),
        ("Artifacts", _artifacts),
        ("DAG", _graph),
    )
    found = []
    for title, make in sections:
        with suppress(GitflowrunError):
            found += _section(title, make, task)
    return found


def _section(title: str, make: Callable[[Task], list[Part]], task: Task) -> list[Part]:
    contents = make(task)
    return [{"type": "section", "title": title, "contents": contents}] if contents else []


def _info(task: Task) -> RunInfo:
    return task._run.now().info  # noqa: SLF001  (the client's objects are made of it)


def _metadata(task: Task) -> list[Part]:
    """When and where the task ran, and of which code, as one row for each fact."""
    reader, info = task._task, _info(task)  # noqa: SLF001
    attempt, started, ended = reader.attempt, reader.started, reader.finished
    git = info.git
    rows = {
        "Status": reader.seen.status,
        "Task Created On": _moment(started),
        "Task Finished On": "" if ended is None else _moment(ended),
        "Task Duration": "" if attempt is None else duration(attempt.finished - started),
        "Attempt": task.current_attempt,
        "Error": attempt.error if attempt else None,
        "Place": ", ".join(reader.record.place_texts),
        "CPU and memory": (
            f"{duration(attempt.cpu)}, {format_size(attempt.max_rss)}"
            if attempt and attempt.max_rss
            else ""
        ),
        "User": info.user,
        "Host": info.host,
        "Tags": ", ".join(sorted(task.user_tags)),
        "System tags": ", ".join(sorted(task.system_tags)),
        "Code commit": _commit(git),
        "Started by": " ".join(map(str, _list(info.environment.get("argv")))),
        "Taken over from": task.origin_pathspec,
        "Run": f"{task._run.now().pathspec} ({task._run.now().identity.uid})",  # noqa: SLF001
    }
    shown = {name: value for name, value in rows.items() if value not in ("", None)}
    return [
        {
            "type": "table",
            "columns": list(shown),
            "data": [list(shown.values())],
            "vertical": True,
        }
    ]


def _moment(seconds: float) -> str:
    """A time where the card is made, and how far that is from UTC: it may be read elsewhere."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc).astimezone():%Y-%m-%d %H:%M:%S %z}"


def _commit(git: Mapping[str, Any]) -> str:
    """The commit that was checked out, and what else is to be known of the code."""
    if not git.get("commit"):
        return ""
    branch = f" on {git['branch']}" if git.get("branch") else ""
    changes = len(_list(git.get("dirty")))
    edited = f", {changes} uncommitted change{'s' * (changes > 1)}" if changes else ""
    return f"{git['commit']}{branch}{edited}"


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _attempts(task: Task) -> list[Part]:
    attempts = task._task.record.attempts  # noqa: SLF001
    if len(attempts) < 2:  # noqa: PLR2004
        return []
    rows = [
        [it.number, "ok" if it.ok else "failed", duration(it.finished - it.started), it.error or ""]
        for it in attempts
    ]
    return [{"type": "table", "columns": ["Attempt", "Status", "Duration", "Error"], "data": rows}]


def _code(task: Task) -> list[Part]:
    text = step_code(task)
    return [{"type": "pythonCode", "data": text}] if text else []


def step_code(task: Task) -> str | None:
    """The code of the task's step, as the snapshot of the run's code has it; None where it is not in there."""
    import inspect

    info, step = _info(task), task._path.step  # noqa: SLF001
    row = _steps(info).get(step or "", {})
    line, file = row.get("line"), row.get("source_file")
    script = info.script
    if not isinstance(line, int) or line < 1 or not script:
        return None
    if isinstance(file, str) and os.path.basename(file) != os.path.basename(script):  # noqa: PTH119
        return None
    run = task._run.now()  # noqa: SLF001
    found = run.objects.entry(run.code_tree, *map(os.fsencode, script.split("/")))
    if found is None or found.is_tree:
        return None
    lines = (
        run.objects.blob(found.oid, CODE_TEXT).decode(errors="replace").splitlines(keepends=True)
    )
    if not re.match(
        rf"\s*(async\s+)?def\s+{re.escape(step or '')}\b", "".join(lines[line - 1 : line])
    ):
        return None  # the graph is of another state of the file
    try:
        code = "".join(inspect.getblock(lines[_first_line(lines, line - 1) :]))
    except (SyntaxError, IndexError):
        return None
    return textwrap.dedent(code)[:STEP_CODE]


def _first_line(lines: Sequence[str], at: int) -> int:
    """Where the decorators above a line begin."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    first = at
    for number in range(at - 1, -1, -1):
        line = lines[number]
        if not line.strip() or len(line) - len(line.lstrip()) < indent:
            break
        if line.lstrip().startswith("@") and len(line) - len(line.lstrip()) == indent:
            first = number
    return first


def _steps(info: RunInfo) -> dict[str, Any]:
    """The steps of a run's graph, which may be anybody's data."""
    steps = info.graph.get("steps")
    rows = steps.items() if isinstance(steps, dict) else ()
    return {str(name): row for name, row in rows if isinstance(row, dict)}


def _parameter_names(info: RunInfo) -> list[str]:
    rows = _list(info.graph.get("parameters"))
    names = [str(row["name"]) for row in rows if isinstance(row, dict) and row.get("name")]
    return list(dict.fromkeys([*names, *info.parameters]))


def _parameters(task: Task) -> list[Part]:
    info, artifacts = _info(task), task._task.artifacts  # noqa: SLF001
    rows = []
    for name in _parameter_names(info):
        ref = artifacts.get(name)
        shown = None if ref is None else _shown(task, ref)
        told = info.parameters.get(name)
        # A secret's text is hidden there, and so is its value.
        text = (
            told
            if told is not None and (shown is None or name in info.secrets)
            else shown.text
            if shown
            else None
        )
        if text is not None:
            rows.append({"type": _short(ref), "data": text, "name": name})
    return [{"type": "artifacts", "data": rows}] if rows else []


def _artifacts(task: Task) -> list[Part]:
    parameters = set(_parameter_names(_info(task)))
    found = {
        name: ref
        for name, ref in task._task.artifacts.items()  # noqa: SLF001
        if not name.startswith("_") and name not in parameters
    }
    own = task._task.record.name  # noqa: SLF001
    names = sorted(found, key=lambda it: (found[it].producer != own, it))
    rows = [_artifact(task, name, found[name]) for name in names[:ARTIFACTS_LISTED]]
    if not rows:
        return []
    more = len(names) - len(rows)
    told = [{"type": "text", "text": f"{more:,} more are not listed."}] if more else []
    return [{"type": "artifacts", "data": rows}, *told]


def _artifact(task: Task, name: str, ref: ArtifactRef) -> Part:
    shown = _shown(task, ref)
    own = task._task.record.name  # noqa: SLF001
    facts = dict(shown.facts) if shown else {}
    facts["size"] = format_size(ref.size)
    if ref.producer != own:
        facts["from"] = str(ref.producer)
    row: Part = {
        "type": _short(ref),
        "data": shown.text if shown else f"<{ref.type}>",
        "name": name,
        "facts": ", ".join(f"{key} {value}" for key, value in facts.items()),
    }
    with suppress(GitflowrunError):
        picture = ref.picture
        if picture is not None and picture.suffix == ".png":
            content = task._source.artifacts.picture(ref)  # noqa: SLF001
            if content and len(content) <= PICTURE_SHOWN:
                row["picture"] = f"data:image/png;base64,{b64encode(content).decode()}"
    return row


def _shown(task: Task, ref: ArtifactRef) -> Preview | None:
    """What the task has noted of a value; of one of which it has noted nothing, which is small and plain, the value.

    What a task says is taken at its word here: to load an array, and compare, would import its library.
    """
    run = task._task.seen.run  # noqa: SLF001
    return run.preview(ref) or run.shown(ref)


def _short(ref: ArtifactRef | None) -> str:
    return "" if ref is None else ref.type.removeprefix("builtins.")


def _graph(task: Task) -> list[Part]:
    info = _info(task)
    steps = {
        name: {
            "type": str(row.get("type") or ""),
            "next": [it for it in _list(row.get("next")) if isinstance(it, str)],
            "doc": str(row.get("doc") or ""),
        }
        for name, row in _steps(info).items()
    }
    if not steps:
        return []
    data = {
        "steps": steps,
        "start_step": info.graph.get("start_step"),
        "end_step": info.graph.get("end_step"),
        "here": task._path.step,  # noqa: SLF001
    }
    return [{"type": "dag", "data": data}]
