"""What our records hold, by the names and in the forms of Metaflow: private artifacts, metadata, a run's INFO.

Metaflow stores these with every task; a task's record holds each of them once, typed, and here they are
derived from it. What a task stored under one of these names itself is found first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gitflowrun.errors import CorruptRecord, TooLarge
from gitflowrun.names import NODE, PARAMETERS_STEP
from gitflowrun.runs.records import CONTROL_TASK, INFO
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gitflowrun.client.run_reader import TaskReader
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import (
        ForeachLevel,
        Metadatum,
        RunIdentity,
        RunInfo,
        TaskRecord,
    )

_NODES_NAMED = 1_000
_SPLIT_VALUES = "split_values"  # a field that the runtime adds to the record of a task that splits
_TRACEBACK = "Traceback (most recent call last):"


class ForeachFrame(NamedTuple):
    """One level of a foreach, as in Metaflow's `_foreach_stack`."""

    step: str
    var: str
    num_splits: int | None
    index: int  # type: ignore[assignment]  # hides `tuple.index`, as Metaflow's does
    value: str | None


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
    """One thing that was noted about a task. `created_at` counts milliseconds since 1970, as in Metaflow."""

    name: str
    value: Any
    created_at: int
    type: str
    task: Any


def as_exception(stored: object) -> TaskException | None:
    """The exception in what a failed task stored as `_exception`, a map of texts."""
    if isinstance(stored, TaskException):
        return stored
    if not isinstance(stored, Mapping):
        return None
    words = [str(stored.get(name, "")) for name in ("type", "message", "stacktrace")]
    return TaskException(*words)


def _exception(task: TaskReader) -> TaskException | None:
    if task.attempt is None or task.attempt.error is None:
        return None
    error = task.attempt.error
    kind, _, message = error.partition(": ")
    try:
        written = task.output("stderr").decode(errors="replace")
    except TooLarge:
        written = ""
    _, marker, trace = written.rpartition(_TRACEBACK)
    return TaskException(kind, message, (marker + trace).rstrip() if marker else error)


def _graph(task: TaskReader) -> dict[str, Any]:
    return dict(task.run.now().info.graph)


def foreach_frames(
    levels: Iterable[ForeachLevel], follows: Callable[[str], str]
) -> list[ForeachFrame]:
    """The foreach levels of a task in Metaflow's form.

    Args:
        levels: What its record says; they name the step that split.
        follows: The first step inside of that, which Metaflow names.
    """
    return [
        ForeachFrame(
            follows(level.step),
            level.var,
            None if level.is_gang else level.num_splits,
            level.index,
            None if level.is_gang else level.value,
        )
        for level in levels
    ]


def _frames(task: TaskReader) -> list[ForeachFrame]:
    steps = _graph(task).get("steps", {})
    return foreach_frames(
        task.record.frames, lambda step: (steps.get(step, {}).get("next") or [step])[0]
    )


def _transition(task: TaskReader) -> tuple[list[str], str | None] | None:
    jump = task.own_record.transition
    return None if jump is None else (list(jump.targets), jump.foreach)


def _num_splits(task: TaskReader) -> int | None:
    jump = task.own_record.transition
    return None if jump is None or jump.is_gang else jump.num_splits


def _mappers(task: TaskReader) -> list[str]:
    """Of the control task of a gang: its nodes in order, as Metaflow writes them."""
    gang, first = task.record.gang, f"{task.run.now().id}/{task.name}"
    nodes = range(min(gang.num_splits, _NODES_NAMED)) if gang else ()
    return [f"{first}{NODE}{node}" if node else first for node in nodes]


PRIVATE_ARTIFACTS: Mapping[str, Callable[[TaskReader], Any]] = {
    "_configs_processed": lambda _: True,
    "_control_mapper_tasks": _mappers,
    "_control_task_is_mapper_zero": lambda _: True,
    "_current_step": lambda task: task.name.step,
    "_exception": _exception,
    "_foreach_num_splits": _num_splits,
    "_foreach_stack": _frames,
    "_foreach_values": lambda task: task.own_record.extra.get(_SPLIT_VALUES),
    "_foreach_var": lambda task: getattr(task.own_record.transition, "foreach", None),
    "_graph_info": _graph,
    "_iteration_stack": lambda task: list(task.record.iterations),
    "_success": lambda task: task.succeeded,
    "_task_ok": lambda task: task.ok,
    "_transition": _transition,
    "_unbounded_foreach": lambda _: True,
}
"""How each artifact that Metaflow stores with every task follows from the task's record."""
_OF_CONTROL_TASKS = frozenset({"_control_mapper_tasks", "_control_task_is_mapper_zero"})


def private_names(record: TaskRecord) -> Collection[str]:
    """The names of the artifacts that Metaflow stores with a task of its own accord."""
    jump, gang = record.transition, record.gang
    names = PRIVATE_ARTIFACTS.keys()
    if gang is None and not (jump is not None and jump.is_gang):
        return names - _OF_CONTROL_TASKS - {"_unbounded_foreach"}
    return names if gang is not None and not gang.index else names - _OF_CONTROL_TASKS


# Types of entries that are others than their names, in Metaflow as well.
_TYPES = {
    "attempt_ok": "internal_attempt_status",
    "start_step": "graph_structure",
    "end_step": "graph_structure",
}


def metadata_entries(task: TaskReader, of: object) -> list[Metadata]:
    """A task's metadata, oldest first: the entries that its records hold, and those that follow from it.

    They are of the attempt that the task is seen as; of all if it was asked for without one.

    Args:
        task: The task.
        of: The client object that the entries name as theirs.
    """
    stored = [
        Metadata(entry.name, _value(entry.name, entry.value), _ms(entry.time), entry.type, of)
        for entry in _stored_entries(task)
    ]
    names = {entry.name for entry in stored}
    derived = [
        Metadata(name, value, _ms(time), _TYPES.get(name, name), of)
        for name, value, time in _derived_entries(task)
        if name not in names
    ]
    return sorted(derived + stored, key=lambda entry: entry.created_at)


def _stored_entries(task: TaskReader) -> Iterator[Metadatum]:
    """The entries of the attempt, or of all: each attempt's record has its own."""
    if task.number is None:
        for attempt in task.record.attempts[:-1]:
            with suppress(CorruptRecord):  # the others have theirs
                yield from task.stored.at_attempt(attempt.number).record.metadata
    yield from task.own_record.metadata


def _derived_entries(task: TaskReader) -> Iterator[tuple[str, Any, float]]:
    run, record, started = task.run.now(), task.record, task.started
    executor = _executor(task, run)
    if executor is not None:
        for name, value in _run_entries(executor.info).items():
            yield name, value, started
    yield from _end_points(task, run.info)
    yield "ds-root", task.run.source.spec.partition("@")[2], started
    yield from _origins(task, run.info)
    if record.frames:
        items = [f"{frame.var}={frame.value}" for frame in record.frames if not frame.is_gang]
        if items:
            yield "foreach-stack", items, started
        path = ",".join(f"{frame.step}:{frame.index}" for frame in _frames(task))
        yield "foreach-execution-path", path, started
    if record.gang is not None:
        yield "parallel-world-size", record.gang.num_splits, started
        if not record.gang.index:
            yield "internal_task_type", CONTROL_TASK, started
    for attempt in record.attempts:
        if task.number not in (None, attempt.number):
            continue
        yield "attempt", str(attempt.number), attempt.started
        yield "attempt_ok", str(attempt.ok), attempt.finished
        yield "attempt-done", str(attempt.number), attempt.finished


def _origins(task: TaskReader, info: RunInfo) -> Iterator[tuple[str, str, float]]:
    """Which run, and which task of it, was there before: of the run's origin, or of the step cache."""
    origin, record = task.origin_pathspec, task.record
    run = info.origin.run.id if info.origin else None
    if record.executor != record.run:
        run = record.executor.id
    yield "origin-run-id", str(run), task.started
    if origin is not None:
        yield "origin-task-id", origin.rpartition("/")[2], task.started


def _end_points(task: TaskReader, info: RunInfo) -> Iterator[tuple[str, str, float]]:
    """Which steps are the first and the last one: of the `_parameters` task alone."""
    if task.record.name.step == PARAMETERS_STEP:
        for which in ("start_step", "end_step"):
            yield which, str(info.graph.get(which) or which.removesuffix("_step")), task.started


def _executor(task: TaskReader, run: StoredRun) -> StoredRun | None:
    """The run that executed a task; None when it was taken over from one that is not here any more."""
    executor = task.record.executor
    if executor.uid == run.identity.uid:
        return run
    return task.run.source.runs.of_uid(executor.flow, executor.uid)


def _run_entries(info: RunInfo) -> dict[str, str]:
    """The entries that are the same for every task of a run."""
    import json

    git = {name: value for name, value in _git(info).items() if value}
    return {
        "user": info.user,
        "runtime": runtime_in(info.system_tags) or "dev",
        **_versions(info),
        "script-name": info.script.rpartition("/")[2],
        "ds-type": "local",
        "git-info": json.dumps(git),
    }


def info_dict(info: RunInfo, identity: RunIdentity | None = None) -> dict[str, Any]:
    """A run's INFO as a plain dictionary: our names, and Metaflow's for what Metaflow has names for.

    Args:
        info: The record.
        identity: The run as this repository has it; a fetched run may have another id than the record says.
    """
    data = INFO.dump(info) | _git(info) | _versions(info)
    data |= {
        "username": info.user,
        "runtime": runtime_in(info.system_tags) or "dev",
        "environment_type": "local",
        "platform": info.environment.get("platform"),
        "use_r": False,
        "ext_info": {},
    }
    if identity is not None:
        data |= {"run_id": str(identity.id), "uid": str(identity.uid)}
    return data


def _git(info: RunInfo) -> dict[str, Any]:
    return {
        "repo_url": info.git.get("remote"),
        "branch_name": info.git.get("branch"),
        "commit_sha": info.git.get("commit"),
        "has_uncommitted_changes": bool(info.git.get("dirty")),
    }


def _versions(info: RunInfo) -> dict[str, str]:
    names = ("python", "gitflowrun", "metaflow")
    return {f"{name}_version": info.versions.get(name, "") for name in names}


def runtime_in(system_tags: Iterable[str]) -> str | None:
    """What executed a run, as its system tags say: `dev` for this machine."""
    tags = (tag.partition(":") for tag in system_tags)
    return next((value for name, _, value in tags if name == "runtime"), None)


def _value(name: str, value: str) -> Any:
    import json

    return json.loads(value) if name == "foreach-stack" and value.startswith("[") else value


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
