"""The task that `spin` executes once more: found in an earlier run, with the same inputs, in the same place.

A task that the run has is spun whatever became of it: its record names the tasks that it followed, its foreach levels
and its iteration. Where a step has none yet, but the run has finished all that comes before it, the task is the one
that a resumed run would begin with; so tasks that were never reached, or are running now, can be spun as well.

The spun task keeps its id. Nothing is taken over from the origin but what it refers to in the end (`RunWriter`).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, FlowError, NotFound
from gitflowrun.limits import ORIGINS_NAMED
from gitflowrun.names import TaskName, did_you_mean
from gitflowrun.runs.read import StoredRun
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask, Shape
from gitflowrun.runtime.scheduler.resume import adopt, next_task_id
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.records import TaskRecord
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Trust
    from gitflowrun.runtime.ipc.messages import StartRun

_LONGEST_ID = 18  # digits
_MOST_RUNS = 100
"""The newest runs of a flow, among which one is looked for that has a step."""


@frozen
class SpunTask:
    """A task that is to be spun.

    Attributes:
        origin: The run that it is found in.
        planned: Its place there.
        id: Its id.
        others: How many other tasks its step has there, where none of them was named.
    """

    origin: StoredRun
    planned: PlannedTask
    id: int
    others: int = 0

    @property
    def pathspec(self) -> str:
        """The task's address in its run."""
        return f"{self.origin.pathspec}/{self.name}"

    @property
    def name(self) -> TaskName:
        """Its name, there as here."""
        return TaskName(self.planned.step, str(self.id))


def find_run(
    runs: RunStore,
    trust: Trust,
    flow: str,
    typed: Sequence[str],
    address: str | None,
    step: str,
) -> StoredRun:
    """The run whose task is to be spun: the named one, or the newest that this user made here and that has the step.

    Args:
        runs: The runs of the repository.
        trust: Tells who made them.
        flow: The flow's name.
        typed: The command that was typed, for hints.
        address: The run, as the user names it.
        step: The step.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address can't be one, or names the run of another flow.
    """
    if address is not None:
        return runs.find(address, flow)
    others, first = [], None
    for row in runs.summaries(flow, _MOST_RUNS):
        stored = StoredRun(runs.repo, row.flow, row.id, row.commit, row)
        if not trust.made_here(stored):
            others.append(stored)
            continue
        first = first or stored
        if stored.has_step(step):
            return stored
    if first is not None:
        return first
    if others:
        words = [shlex.join([*typed, "spin", f"{it.id}/{step}"]) for it in others[:ORIGINS_NAMED]]
        raise NotFound(
            f"none of the runs of flow {flow!r} was made by you in this clone",
            hint=" or ".join(f"`{word}`" for word in words) + " spins a task of one of these",
        )
    raise NotFound(
        f"flow {flow!r} has no run, and `spin` executes a step of one once more",
        hint="`run` starts the first one",
    )


def find_task(origin: StoredRun, start: StartRun, trusted_runs: frozenset[Oid]) -> SpunTask:
    """The task to spin.

    Args:
        origin: The run.
        start: What is asked for, and the flow as it is now.
        trusted_runs: The uids of the runs whose tasks count as trusted in the origin.

    Raises:
        NotFound: the run has no such task, and its step can't begin.
        FlowError: the flow has changed so much that it can't be spun, or it is a node of a gang.
        CorruptRecord: its record can't be read.
    """
    request, graph = start.request, start.graph
    step, others = str(request.step), 0
    _refuse_gang(graph, step)
    task = request.task
    if task is None:
        if not origin.has_step(step) or not (ids := origin.tasks(step)):
            return _next_task(origin, start, trusted_runs)
        task, others = ids[-1], len(ids) - 1
    record = origin.task(TaskName(step, task)).record
    if record.gang is not None:
        raise _no_gangs(step)
    _check_form(graph, origin, record)
    planned = PlannedTask(
        step,
        tuple(_inputs(origin, record)),
        record.frames,
        record.frames[-1].index if record.frames else None,
        record.iterations,
    )
    is_usual = task.isascii() and task.isdecimal() and len(task) <= _LONGEST_ID
    number = int(task) if is_usual else next_task_id(origin)
    spun = SpunTask(origin, planned, number, others)
    if not trusted_runs:
        _check_makers(spun)
    return spun


def _inputs(origin: StoredRun, record: TaskRecord) -> Iterator[Parent]:
    """The tasks that a task has followed."""
    steps: dict[str, Mapping[str, Oid]] = {}
    for name in record.parents:
        if name.step not in steps:
            steps[name.step] = origin.step_tree(name.step)[1]
        tree = steps[name.step].get(name.task)
        if tree is None:
            raise CorruptRecord(
                f"{origin.pathspec}/{record.name} follows {name}, which is not there"
            )
        yield Parent(name, tree)


def _next_task(origin: StoredRun, start: StartRun, trusted_runs: frozenset[Oid]) -> SpunTask:
    """The task of a step that a run has not reached: the first one with which it would go on."""
    step, graph = str(start.request.step), start.graph
    plan = Plan(Shape.of(graph))
    adopt(plan, graph, origin, frozenset(), trusted_runs, start.request.max_num_splits)
    while (planned := plan.take()) is not None:
        if planned.step == step:
            return SpunTask(origin, planned, next_task_id(origin))
    reached = [name for name in origin.steps() if name in graph["steps"]]
    raise NotFound(
        f"{origin.pathspec} has no task of step {step!r}, and what comes before it has not finished there",
        hint=did_you_mean(step, reached, f"it has {', '.join(reached)}" if reached else ""),
    )


def _check_makers(spun: SpunTask) -> None:
    """See that a stranger's records name makers of artifacts that are there."""
    origin = spun.origin
    for parent in spun.planned.parents:
        for name, ref in origin.task(parent.name).record.artifacts.items():
            maker = ref.producer
            if not origin.has_step(maker.step) or maker.task not in origin.tasks(maker.step):
                raise CorruptRecord(
                    f"{origin.pathspec}/{parent.name}/{name} was made by {maker}, which is not there"
                )


def _check_form(graph: Mapping[str, Any], origin: StoredRun, record: TaskRecord) -> None:
    """See that the step still takes what it took. Raises FlowError."""
    step = record.name.step
    was = origin.info.graph.get("steps", {}).get(step)
    was_join = was.get("type") == "join" if isinstance(was, dict) else len(record.parents) > 1
    if was_join == (graph["steps"][step]["type"] == "join"):
        return
    now, then = ("a join", "none") if not was_join else ("no join", "one")
    raise FlowError(
        f"step {step!r} is {now} now, and was {then} in {origin.pathspec}: it has no such inputs there",
        hint="`run` or `resume` makes a run with the graph as it is now",
    )


def _refuse_gang(graph: Mapping[str, Any], step: str) -> None:
    """Raise FlowError where a step is that of a gang."""
    for node in graph["steps"].values():
        if node.get("num_parallel") is not None and step in node["next"]:
            raise _no_gangs(step)


def _no_gangs(step: str) -> FlowError:
    return FlowError(
        f"step {step!r} runs as a gang, of which no task can be spun alone",
        hint=f"`resume {step}` runs the gang again",
    )
