"""What Metaflow stores with every task and our records say already: private artifacts, metadata entries.

A task's record holds it once, typed. Here it is given Metaflow's names and forms; what a task stored under
one of these names itself is found first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.client.task import Task
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunInfo, TaskRecord

__all__ = [
    "DERIVED",
    "ForeachFrame",
    "Metadata",
    "TaskException",
    "as_exception",
    "metadata_entries",
]

_SPLIT_VALUES = "split_values"  # a field that the runtime adds to the record of a task that splits
_TRACEBACK = "Traceback (most recent call last):"


class ForeachFrame(NamedTuple):
    """One level of a foreach, as Metaflow tells it."""

    step: str
    var: str
    num_splits: int
    index: int  # type: ignore[assignment]  # hides `tuple.index`, as Metaflow's does
    value: str


@frozen
class TaskException:
    """The exception that ended a task, as text: reading one must not need the code that raised it.

    Attributes:
        type: The exception's class, such as `builtins.ValueError`.
        exception: Its message.
        stacktrace: The traceback, where the task could still print one.
    """

    type: str
    exception: str
    stacktrace: str

    def __str__(self) -> str:
        return self.stacktrace


class Metadata(NamedTuple):
    """One thing that was noted about a task. `created_at` counts milliseconds since 1970, as Metaflow's."""

    name: str
    value: Any
    created_at: int
    type: str
    task: Task


def as_exception(stored: object) -> TaskException | None:
    """What a failed task stored as `_exception`: a map of texts."""
    if isinstance(stored, TaskException):
        return stored
    if not isinstance(stored, Mapping):
        return None
    words = [str(stored.get(name, "")) for name in ("type", "message", "stacktrace")]
    return TaskException(*words)


def _exception(task: Task) -> TaskException | None:
    last = task._try  # noqa: SLF001
    if last is None or last.error is None:
        return None
    kind, _, message = last.error.partition(": ")
    _, marker, trace = task.stderr.rpartition(_TRACEBACK)
    return TaskException(kind, message, (marker + trace).rstrip() if marker else last.error)


def _frames(task: Task) -> list[ForeachFrame]:
    # Our records name the step that split; Metaflow names the first step inside.
    steps = _graph(task).get("steps", {})
    return [
        ForeachFrame(
            (steps.get(frame.step, {}).get("next") or [frame.step])[0],
            frame.var,
            frame.num_splits,
            frame.index,
            frame.value,
        )
        for frame in task._record.frames  # noqa: SLF001
    ]


def _transition(task: Task) -> tuple[list[str], str | None] | None:
    jump = task._record.transition  # noqa: SLF001
    return None if jump is None else (list(jump.targets), jump.foreach)


def _graph(task: Task) -> dict[str, Any]:
    return dict(task._run._now().info.graph)  # noqa: SLF001


def _of_jump(field: str) -> Callable[[Task], Any]:
    return lambda task: getattr(task._record.transition, field, None)  # noqa: SLF001


DERIVED: Mapping[str, Callable[[Task], Any]] = {
    "_current_step": lambda task: task._name.step,  # noqa: SLF001
    "_exception": _exception,
    "_foreach_num_splits": _of_jump("num_splits"),
    "_foreach_stack": _frames,
    "_foreach_values": lambda task: task._record.extra.get(_SPLIT_VALUES),  # noqa: SLF001
    "_foreach_var": _of_jump("foreach"),
    "_graph_info": _graph,
    "_iteration_stack": lambda _: [],
    "_success": lambda task: task.successful,
    "_task_ok": lambda task: task.finished,
    "_transition": _transition,
}


def metadata_entries(task: Task) -> list[Metadata]:
    """All entries of a task's metadata: those that its record holds, and those that it implies."""
    record = task._record  # noqa: SLF001
    known = [
        Metadata(entry.name, _value(entry.name, entry.value), _ms(entry.time), entry.type, task)
        for entry in record.metadata
    ]
    names = {entry.name for entry in known}
    implied = [
        Metadata(name, value, _ms(time), name, task)
        for name, value, time in _implied(task, record)
        if name not in names
    ]
    return sorted(implied + known, key=lambda entry: entry.created_at)


def _implied(task: Task, record: TaskRecord) -> Iterator[tuple[str, Any, float]]:
    stored = task._run._now()  # noqa: SLF001
    started = record.attempts[0].started if record.attempts else stored.started
    executor = _executor(task, record, stored)
    if executor is not None:
        for name, value in _of_run(executor.info).items():
            yield name, value, started
    yield "ds-root", task._source.spec.partition("@")[2], started  # noqa: SLF001
    origin = stored.info.origin
    yield "origin-run-id", str(origin.run.id) if origin else "None", started
    if task.origin_pathspec is not None:
        yield "origin-task-id", record.name.task, started
    if record.frames:
        yield "foreach-stack", [f"{frame.var}={frame.value}" for frame in record.frames], started
        path = ",".join(f"{frame.step}:{frame.index}" for frame in _frames(task))
        yield "foreach-execution-path", path, started
    for attempt in record.attempts:
        yield "attempt", str(attempt.number), attempt.started
        yield "attempt_ok", str(attempt.ok), attempt.finished
        yield "attempt-done", str(attempt.number), attempt.finished


def _executor(task: Task, record: TaskRecord, stored: StoredRun) -> StoredRun | None:
    """The run that executed a task; None when the task was taken over from one that is not here any more."""
    if record.run.uid == stored.identity.uid:
        return stored
    return task._source.provenance.find(record.run)  # noqa: SLF001


def _of_run(info: RunInfo) -> dict[str, str]:
    """What holds for every task of a run."""
    import json

    tags = dict(tag.split(":", 1) for tag in info.system_tags if ":" in tag)
    git = {
        "repo_url": info.git.get("remote"),
        "branch_name": info.git.get("branch"),
        "commit_sha": info.git.get("commit"),
        "has_uncommitted_changes": bool(info.git.get("dirty")) or None,
    }
    return {
        "user": info.user,
        "runtime": tags.get("runtime", "dev"),
        "python_version": info.versions.get("python", ""),
        "gitflowrun_version": info.versions.get("gitflowrun", ""),
        "metaflow_version": info.versions.get("metaflow", ""),
        "script-name": info.script.rpartition("/")[2],
        "ds-type": "local",
        "git-info": json.dumps({name: value for name, value in git.items() if value is not None}),
    }


def _value(name: str, value: str) -> Any:
    import json

    return json.loads(value) if name == "foreach-stack" and value.startswith("[") else value


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
