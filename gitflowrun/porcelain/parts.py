"""The parts of runs that an address names: tasks and artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, InvalidPathspec, NotFound
from gitflowrun.names import TaskName, did_you_mean
from gitflowrun.runs.spins.not_kept import not_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.runs.lookup.resolve import Address
    from gitflowrun.runs.read import StoredRun, StoredTask


def is_private(name: str) -> bool:
    """Whether a step or an artifact is bookkeeping, which lists leave out."""
    return name.startswith("_")


def tasks_at(
    address: Address, damaged: Callable[[CorruptRecord], None] | None = None
) -> list[StoredTask]:
    """The tasks that an address names: one, those of a step, or all of a run but bookkeeping; running ones included.

    Args:
        address: Which.
        damaged: Is told of the steps of a run whose tasks can't be listed: the others are returned.

    Raises:
        NotFound: there are none.
        CorruptRecord: the tasks can't be listed, and there is nobody to be told.
    """
    from gitflowrun.runs.live import observe  # reads records, which a list of runs does not

    run, step, task = observe(address.run), address.step, address.task
    if address.artifact is not None:
        raise InvalidPathspec(
            f"{run.pathspec}/{step}/{task}/{address.artifact} names an artifact, not a task",
            hint=f"its task is {run.pathspec}/{step}/{task}",
        )
    if step is None:
        found: list[StoredTask] = []
        for name in run.steps() if damaged is None else run.known_steps():
            try:
                found += () if is_private(name) else run.tasks_of(name)
            except CorruptRecord as error:
                if damaged is None:
                    raise
                damaged(error)
        return found
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
    if step is not None and task is None and not run.has_step(step):
        last = run.final_task()
        names = last.record.artifacts if last is not None else {}
        if last is not None and step in names:
            return last, step
        public = [other for other in (*names, *run.steps()) if not is_private(other)]
        raise NotFound(
            f"{run.pathspec} has neither an artifact nor a step {step!r}",
            hint=did_you_mean(step, public, f"it has {', '.join(public[:10])}"),
        )
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


def artifact_ref(task: StoredTask, name: str) -> ArtifactRef:
    """An artifact of a task. Raises NotFound with the nearest names."""
    artifacts = task.record.artifacts
    ref = artifacts.get(name)
    if ref is None:
        if (lost := not_kept(task, name)) is not None:
            raise lost
        public = [other for other in artifacts if not is_private(other)]
        some = f"it has {', '.join(public[:10]) or 'no artifacts'}"
        hint = did_you_mean(name, public, some)
        raise NotFound(f"{task.pathspec} has no artifact {name!r}", hint=hint)
    return ref


def final_artifacts(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """What a run ended up with, by name."""
    last = run.final_task()
    return last.record.artifacts if last is not None else {}
