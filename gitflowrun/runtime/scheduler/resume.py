"""The choice of the finished tasks that a resumed run adopts from its origin.

A task is adopted when all of this holds:

- its last attempt succeeded,
- its step is not to be run again, nor follows one that is,
- the tasks it followed are adopted, and are the ones that the flow, as it is now, would have it follow,
- what its `self.next` said is what the flow, as it is now, says there.

So a flow may be changed between the runs: where the change matters, tasks run again. Adopted tasks keep
their ids; new ones are numbered after the origin's highest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import RunIdentity, TaskRecord, Transition
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask

SPLIT_VALUES = "split_values"
"""Field of a task record: the items of its foreach as text, for the frames of tasks that run later."""

_Place = tuple[str, tuple[TaskName, ...], int | None]


@frozen
class Adoption:
    """What a run takes over from its origin.

    Attributes:
        names: The adopted tasks, each after all that it follows.
        first_id: The first task id that is free.
        untrusted: Those whose artifacts come from a run that isn't trusted.
    """

    names: tuple[TaskName, ...]
    first_id: int
    untrusted: frozenset[str]


@frozen
class _Finished:
    task: Parent
    run: RunIdentity
    transition: Transition | None
    values: tuple[str, ...]
    makers: frozenset[TaskName]


def find_origin(runs: RunStore, flow: str, address: str | None) -> StoredRun:
    """The run to go on from: the one at `address`, or the flow's newest that does not run any more.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address can't be one, or names the run of another flow.
    """
    if address is not None:
        return runs.find(address, flow)
    for name, run in runs.names(flow):
        stored = runs.get(name, run)
        if stored.status is not Status.RUNNING:
            return stored
    raise NotFound(
        f"flow {flow!r} has no run that could be resumed", hint="`run` starts the first one"
    )


def parameters_task(origin: StoredRun) -> StoredTask:
    """The `_parameters` task of a run.

    Raises:
        CorruptRecord: it has none, or one that takes artifacts of other tasks for its own.
    """
    for task in origin.tasks(PARAMETERS_STEP) if PARAMETERS_STEP in origin.steps() else ():
        stored = origin.task(TaskName(PARAMETERS_STEP, task))
        if stored.record.ok and all(
            ref.producer == stored.name for ref in stored.record.artifacts.values()
        ):
            return stored
    raise CorruptRecord(f"run {origin.pathspec} has no parameters", hint="start a new run")


def adopt(
    plan: Plan,
    graph: Mapping[str, Any],
    origin: StoredRun,
    rerun: frozenset[str],
    is_trusted: Callable[[TaskName], bool],
) -> Adoption:
    """Move `plan` on by what `origin` has done already.

    Args:
        plan: The plan of the new run, at its start.
        graph: The flow's `_graph_info`.
        origin: The run to take tasks from.
        rerun: Steps that must run again.
        is_trusted: Whether a task of the origin comes from trusted runs alone. That depends on the run that
            executed the task, so it is called for one task of each run.
    """
    finished, last_id = _index(origin)
    first = parameters_task(origin)
    parameters = first.name
    names: dict[TaskName, None] = {parameters: None}
    postponed: list[PlannedTask] = []
    is_known = is_trusted(parameters)
    judged: dict[bytes, bool] = {first.record.run.uid: is_known}
    untrusted = set() if is_known else {str(parameters)}
    while True:
        planned = plan.take()
        if planned is None:
            if not plan.held:
                break
            plan.release()
            continue
        parents = tuple(parent.name for parent in planned.parents)
        found = finished.get((planned.step, parents, planned.index))
        if (
            found is None
            or planned.step in rerun
            or not _still_says(graph, planned.step, found.transition)
            or not found.makers <= names.keys()  # a record that lies about who made its artifacts
        ):
            postponed.append(planned)
            continue
        names[found.task.name] = None
        if found.run.uid not in judged:
            judged[found.run.uid] = is_trusted(found.task.name)
        if not judged[found.run.uid]:
            untrusted.add(str(found.task.name))
        plan.finish(planned, found.task, found.transition, found.values)
    plan.put_back(postponed)
    return Adoption(tuple(names), last_id + 1, frozenset(untrusted))


def _index(origin: StoredRun) -> tuple[dict[_Place, _Finished], int]:
    """The finished tasks of a run by their place in it, and the highest task id."""
    finished: dict[_Place, _Finished] = {}
    last_id = 0
    for stored in origin.all_tasks():
        record = stored.record
        if record.name.task.isdecimal():
            last_id = max(last_id, int(record.name.task))
        if not record.ok:
            continue
        values = tuple(record.extra.get(SPLIT_VALUES, ()))
        finished[record.name.step, record.parents, _index_among_children(record)] = _Finished(
            Parent(record.name, stored.task_blob), record.run, record.transition, values,
            frozenset(ref.producer for ref in record.artifacts.values()) - {record.name},
        )  # fmt: skip
    return finished, last_id


def _index_among_children(record: TaskRecord) -> int | None:
    """Its position among the children of a foreach, if its parent is the split itself."""
    if record.frames and [parent.step for parent in record.parents] == [record.frames[-1].step]:
        return record.frames[-1].index
    return None


def _still_says(graph: Mapping[str, Any], step: str, said: Transition | None) -> bool:
    """Whether a step, as it is now, would say with `self.next` what it said then."""
    now = graph["steps"].get(step)
    if now is None:
        return False
    if said is None or not said.targets:
        return not now["next"]
    if now["type"] == "split-switch":
        return set(said.targets) <= set(now["next"])
    same_steps = tuple(said.targets) == tuple(now["next"])
    return same_steps and said.foreach == now.get("foreach_artifact")
