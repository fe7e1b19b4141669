"""Which tasks and artifacts an address means, and artifacts as rows of a list. Values are the client's.

The one exception: a small value whose codec runs no code is shown as text, because which number became
which is what people look for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, InvalidPathspec, NotFound
from gitflowrun.names import PARAMETERS_STEP, TaskName, nearest
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.names import Digest
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.resolve import Address

__all__ = [
    "ArtifactRow",
    "artifact_at",
    "artifact_ref",
    "artifact_row",
    "final_artifacts",
    "final_task",
    "is_private",
    "is_result",
    "make_row",
    "result_rows",
    "tasks_at",
]

_SMALL = 256


@frozen
class ArtifactRow:
    """An artifact in a list.

    Attributes:
        name: Its name.
        type: Its value's type.
        size: Bytes of its payload.
        codec: How the payload is written.
        blake3: The payload's digest.
        task: The task that made it, as `step/task`.
        preview: A small value as text; None for others and for pickles, which nothing here loads.
    """

    name: str
    type: str
    size: int
    codec: str
    blake3: Digest
    task: str
    preview: str | None


def is_private(name: str) -> bool:
    """Whether a step or an artifact is bookkeeping, which lists leave out."""
    return name.startswith("_")


def artifact_ref(task: StoredTask, name: str) -> ArtifactRef:
    """An artifact of a task. Raises NotFound with the nearest names."""
    artifacts = task.record.artifacts
    ref = artifacts.get(name)
    if ref is None:
        public = [known for known in artifacts if not is_private(known)]
        close = nearest(name, public) or public[:10]
        hint = f"it has {', '.join(close)}" if close else "it has no artifacts"
        raise NotFound(f"{task.pathspec} has no artifact {name!r}", hint=hint)
    return ref


def artifact_row(task: StoredTask, name: str) -> ArtifactRow:
    """An artifact of a task for a list. Raises NotFound."""
    return make_row(task.run, name, artifact_ref(task, name))


def tasks_at(address: Address) -> list[StoredTask]:
    """The tasks that an address names: one, those of a step, or all of a run but bookkeeping. Raises NotFound."""
    run, step, task = address.run, address.step, address.task
    if address.artifact is not None:
        raise InvalidPathspec(
            f"{run.pathspec}/{step}/{task}/{address.artifact} names an artifact, not a task"
        )
    if step is None:
        return [task for task in run.all_tasks() if not is_private(task.name.step)]
    names = run.tasks(step) if task is None else [task]
    return [run.task(TaskName(step, name)) for name in names]


def artifact_at(address: Address) -> tuple[StoredTask, str]:
    """The artifact that an address names: the task that has it, and its name.

    Two shorter forms are understood where no step or task is called so: RUN/ARTIFACT for what the run ended
    up with, RUN/STEP/ARTIFACT for a step with one task.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address names something else.
    """
    run, step, task, name = address.run, address.step, address.task, address.artifact
    if step is not None and task is None and step not in run.steps():
        last = final_task(run)
        if last is not None and step in last.record.artifacts:
            return last, step
    if step is not None and task is not None and name is None:
        tasks = run.tasks(step)
        if len(tasks) == 1 and task not in tasks:
            task, name = tasks[0], task
    if step is None or task is None or name is None:
        if step is not None:
            run.tasks(step)  # an unknown step is the more likely mistake
        raise InvalidPathspec(
            f"this names no artifact: {'/'.join(filter(None, (run.pathspec, step, task)))}",
            hint="write RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with",
        )
    found = run.task(TaskName(step, task))
    artifact_ref(found, name)
    return found, name


def final_artifacts(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """What a run ended up with, by name."""
    last = final_task(run)
    return last.record.artifacts if last is not None else {}


def final_task(run: StoredRun) -> StoredTask | None:
    """The task that holds what a run ended up with: the only one of its last step.

    Of a run that did not get to its end, that of the last step which has one task, and succeeded.
    """
    for step in reversed(run.steps()):
        tasks = run.tasks(step)
        if is_private(step) or len(tasks) != 1:
            continue
        task = run.task(TaskName(step, tasks[0]))
        if task.record.ok:
            return task
    return None


def is_result(name: str, ref: ArtifactRef) -> bool:
    """Whether a step made an artifact; bookkeeping, parameters and constants are shown elsewhere."""
    return not is_private(name) and ref.producer.step != PARAMETERS_STEP


def make_row(run: StoredRun, name: str, ref: ArtifactRef) -> ArtifactRow:
    """An artifact for a list."""
    return ArtifactRow(
        name, ref.type, ref.size, ref.codec, ref.digest, str(ref.producer), _preview(run, ref)
    )


def result_rows(run: StoredRun, artifacts: Mapping[str, ArtifactRef]) -> tuple[ArtifactRow, ...]:
    """What steps made, in alphabetical order."""
    return tuple(
        make_row(run, name, ref) for name, ref in sorted(artifacts.items()) if is_result(name, ref)
    )


def _preview(run: StoredRun, ref: ArtifactRef) -> str | None:
    """A small value as text. Only codecs that run no code are asked."""
    from gitflowrun.artifacts.artifacts import ArtifactReader
    from gitflowrun.artifacts.codecs import is_safe

    try:
        if ref.size > _SMALL or not is_safe(ref.codec):
            return None
        value = ArtifactReader(run.objects).load(ref, trusted=False)
    except GitflowrunError:  # damaged, or of a codec that is not here: the list shows the rest
        return None
    text = repr(value)
    return text if len(text) <= _SMALL else text[: _SMALL - 1] + "…"
