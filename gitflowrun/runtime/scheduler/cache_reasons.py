"""Why no earlier task has the key of a task: what has changed since the nearest one in the same place of the flow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.runs.lookup.cache_limits import NAMES_TOLD
from gitflowrun.runtime.scheduler.resume import parameters_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import RunInfo, TaskRecord
    from gitflowrun.runtime.ipc.messages import StartRun


def why_not(
    task: StoredTask,
    parts: Sequence[str],
    start: StartRun,
    parameters: TaskRecord,
    inputs: Sequence[TaskRecord],
    info: RunInfo,
) -> str:
    """What differs between an earlier task and one that is to be executed, in words.

    Args:
        task: The earlier task.
        parts: The names of the parts of the key that differ, the first one of which is told.
        start: What the launcher process said of its run.
        parameters: The `_parameters` task of its run.
        inputs: The tasks that it follows, or the first of very many.
        info: The INFO of its run.
    """
    changed = next(iter(parts), "")
    since = f"changed since {task.run.pathspec}"
    if changed == "inputs":
        return f"{_inputs(task, inputs)} {since}"
    if changed == "parameters":
        names = _differing(parameters_task(task.run).record.artifacts, parameters.artifacts)
        secrets = task.run.info.secrets, info.secrets
        changed_ones = [
            it for it in {**secrets[0], **secrets[1]} if len({s.get(it) for s in secrets}) > 1
        ]
        names = [*dict.fromkeys([*names, *changed_ones])]
        return f"{_counted('parameter', names) if names else 'a parameter'} {since}"
    if changed == "environment":
        return f"{_environment(task.run.info, info)} {since}"
    if changed == "around":
        names = sorted({os.path.basename(file) for file in start.step_files})  # noqa: PTH119
        return f"code of {_listed(names)} outside of its steps {since}"
    others = {
        "step": f"code of step {task.name.step}",
        "options": "its decorators, or what they were given,",
    }
    return f"{others.get(changed, 'its place in the flow')} {since}"


def _inputs(task: StoredTask, inputs: Sequence[TaskRecord]) -> str:
    parents = task.record.parents
    steps = [[name.step for name in parents[: len(inputs)]], [it.name.step for it in inputs]]
    if steps[0] != steps[1]:
        return "the tasks that it follows"
    names: dict[str, None] = {}
    for name, here in zip(parents, inputs, strict=False):
        try:
            there = task.run.task(name).record
        except GitflowrunError:
            continue
        names.update(dict.fromkeys(_differing(there.artifacts, here.artifacts)))
        if len(names) > NAMES_TOLD:
            break
    return _counted("input", list(names)) if names else "an input"


def _environment(before: RunInfo, now: RunInfo) -> str:
    if before.versions.get("python") != now.versions.get("python"):
        return f"Python {before.versions.get('python')}"
    there, here = _packages(before), _packages(now)
    names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if len(names) == 1:
        return f"package {names[0]} {there.get(names[0], '(not installed)')}"
    return (
        _counted("package", names)
        if names
        else "the interpreter, a package, or the directories of the program"
    )


def _packages(info: RunInfo) -> Mapping[str, Any]:
    found = info.environment.get("packages")
    return found if isinstance(found, dict) else {}


def _differing(before: Mapping[str, ArtifactRef], now: Mapping[str, ArtifactRef]) -> list[str]:
    names = [*now, *(name for name in before if name not in now)]
    kept = [name for name in names if name in before and name in now]
    same = {name for name in kept if before[name].identity == now[name].identity}
    return [name for name in names if name not in same]


def _counted(what: str, names: Sequence[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {_listed(names)}"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    few = ", ".join(found[:NAMES_TOLD])
    return f"{few} and {len(found) - NAMES_TOLD} more" if len(found) > NAMES_TOLD else few
