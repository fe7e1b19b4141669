"""The choice of the finished tasks that a resumed run adopts from its origin.

A task is adopted when all of this holds:

- its last attempt succeeded, and all of it is here and undamaged (`reuse`),
- its step is not to be run again, nor follows one that is,
- the tasks it followed are adopted, and are the ones that the flow, as it is now, would have it follow,
- what its `self.next` said is what the flow, as it is now, says there: of a switch, that the case which was chosen
  leads where it led then,
- of a gang, all of its nodes are: they were made together.

So a flow may be changed between the runs: where the change matters, tasks run again. Adopted tasks keep
their ids; new ones are numbered after the origin's highest.

Of very many tasks no record is decoded where that can be helped. A split whose branches have met holds nothing but
finished tasks: the record of the join, whatever became of it, lists those that arrived, in order. Where the graph
of this part is what it was, and nothing in it is to be run again, the steps between split and join are taken
*whole*: the tree of each is the very tree of the origin. This is believed where trusted runs have executed the tasks
of the split and of the join, for then they have all between; otherwise each record is read, for a stranger may have
written anything into it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, NotFound, UsageError
from gitflowrun.limits import ORIGINS_NAMED
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.read import StoredRun, task_order
from gitflowrun.runs.records import CONFIG_CASE, parameter_options
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.runtime.scheduler.reuse import ReuseCheck
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import RunIdentity, TaskRecord, Transition
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Trust
    from gitflowrun.runtime.ipc.messages import StartRun
    from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask

SPLIT_VALUES = "split_values"
"""Field of a task record: the items of its foreach as text, for the frames of tasks that run later."""

_Place = tuple[tuple[TaskName, ...], int | None]


@frozen
class Adoption:
    """What a run takes over from its origin.

    Attributes:
        names: The adopted tasks, each after all that it follows, but for those of whole steps.
        first_id: The first task id that is free.
        steps: Steps that are taken whole.
        unreadable: What is not whole of the origin, and how: such tasks are not adopted.
    """

    names: tuple[TaskName, ...]
    first_id: int
    steps: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


@frozen
class _Finished:
    task: Parent
    run: RunIdentity
    transition: Transition | None
    values: tuple[str, ...]
    makers: frozenset[TaskName]

    def is_possible(self, adopted: Container[TaskName], max_num_splits: int) -> bool:
        """Whether what its record says can be so, where these tasks are adopted."""
        width = (self.transition and self.transition.num_splits) or 0
        return width <= max_num_splits and all(maker in adopted for maker in self.makers)


def find_origin(
    runs: RunStore, trust: Trust, flow: str, typed: Sequence[str], address: str | None
) -> StoredRun:
    """The run to go on from: the one at `address`, or the flow's newest that this user made here and that has ended.

    Args:
        runs: The runs of the repository.
        trust: Tells who made them.
        flow: The flow's name.
        typed: The command that was typed, for hints.
        address: The run, as the user names it.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address can't be one, or names the run of another flow.
        UsageError: the run goes on.
    """
    if address is not None:
        named = runs.find(address, flow)
        if Locks(runs.repo.state_dir).run(named.id).state() is LockState.HELD:
            raise _running(named)
        return named
    others, live = [], None
    for row in runs.summaries(flow):
        stored = StoredRun(runs.repo, row.flow, row.id, row.commit, row)
        if not trust.made_here(stored):
            others.append(str(row.id))
        elif stored.status is Status.RUNNING:
            live = live or stored
        else:
            return stored
    if live is not None:
        raise _running(live)
    words = [f"`{shlex.join([*typed, 'resume', run])}`" for run in others[:ORIGINS_NAMED]]
    raise NotFound(
        f"none of the runs of flow {flow!r} that could be resumed was made by you in this clone"
        if others
        else f"flow {flow!r} has no run that could be resumed",
        hint=f"{' or '.join(words)} goes on from one of these, whose values stay theirs"
        if others
        else "`run` starts the first one",
    )


def _running(run: StoredRun) -> UsageError:
    return UsageError(
        f"run {run.pathspec} is still running",
        hint="wait for its end, or interrupt it, and resume then",
    )


def parameters_task(origin: StoredRun) -> StoredTask:
    """The `_parameters` task of a run.

    Raises:
        CorruptRecord: it has none, or one that takes artifacts of other tasks for its own.
    """
    for task in origin.tasks(PARAMETERS_STEP) if origin.has_step(PARAMETERS_STEP) else ():
        stored = origin.task(TaskName(PARAMETERS_STEP, task))
        if stored.record.ok and all(
            ref.producer == stored.name for ref in stored.record.artifacts.values()
        ):
            return stored
    raise CorruptRecord(f"run {origin.pathspec} has no parameters", hint="start a new run")


def inherited_names(start: StartRun, inherited: StoredTask) -> tuple[str, ...]:
    """The parameters and constants that a run has from its origin, by attribute.

    A resumed run has all, for what it takes over was made with them, a clone those that are parameters of the flow.

    Args:
        start: What is to run.
        inherited: The `_parameters` task of the origin.
    """
    names = inherited.record.artifacts
    if start.request.kind.goes_on:
        return tuple(names)
    return tuple(name for name in parameter_options(start.graph) if name in names)


def secrets_of(origin: StoredRun, names: Collection[str]) -> dict[str, str]:
    """The keyed hashes of a run's secret parameters by attribute, of those among `names`."""
    attributes = {option: name for name, option in parameter_options(origin.info.graph).items()}
    hashes = {attributes.get(option, option): it for option, it in origin.info.secrets.items()}
    return {name: it for name, it in hashes.items() if name in names}


def adopt(
    plan: Plan,
    graph: Mapping[str, Any],
    origin: StoredRun,
    rerun: frozenset[str],
    trusted_runs: frozenset[Oid],
    max_num_splits: int,
) -> Adoption:
    """Move `plan` on by what `origin` has done already.

    Args:
        plan: The plan of the new run, at its start.
        graph: The flow's `_graph_info`.
        origin: The run to take tasks from.
        rerun: Steps that must run again.
        trusted_runs: The uids of the runs whose tasks count as trusted in the origin.
        max_num_splits: The most items that a foreach may have where somebody else says how many.
    """
    finished, reuse = _FinishedTasks(origin), ReuseCheck(origin)
    parameters = parameters_task(origin)
    if not reuse.is_whole(parameters):
        raise CorruptRecord(
            reuse.broken[0], hint="parameters can't be computed again: start a new run"
        )
    names: dict[TaskName, None] = {parameters.name: None}
    whole: list[str] = []
    postponed: list[PlannedTask] = []
    for together in _planned(plan):
        step = together[0].step
        done = [
            None if step in rerun else finished.find(node, _parents_of(node)) for node in together
        ]
        if not all(
            found is not None
            and still_says(graph, step, found.transition)
            # A stranger's record may lie about who made its artifacts, and split without end.
            and (found.run.uid in trusted_runs or found.is_possible(names, max_num_splits))
            and reuse.is_whole(origin.task(found.task.name))
            for found in done
        ):
            postponed += together
            continue
        for node, found in zip(together, done, strict=True):
            assert found is not None
            names[found.task.name] = None
            skipped = None
            if found.run.uid in trusted_runs:
                skipped = _whole_split(graph, origin, node, found, rerun, trusted_runs, reuse)
            if skipped is None:
                plan.finish(node, found.task, found.transition, found.values)
            else:
                whole += skipped.steps
                plan.skip(node, skipped.join, skipped.arrived)
    plan.put_back(postponed)
    lost = (*finished.unreadable, *reuse.broken)
    return Adoption(tuple(names), next_task_id(origin), tuple(whole), lost)


def _planned(plan: Plan) -> Iterator[list[PlannedTask]]:
    """The tasks that a plan has now and comes to have meanwhile, the nodes of a gang together."""
    while plan.queued or plan.held:
        planned = plan.take()
        if planned is None:
            plan.release()
            continue
        together = [planned]
        while plan.owes_node:
            together.append(plan.take() or planned)
        yield together


def _parents_of(planned: PlannedTask) -> tuple[TaskName, ...]:
    return tuple(parent.name for parent in planned.parents)


class _FinishedTasks:
    """The finished tasks of a run by their place in it; a step's records are read when one of them is asked for.

    Attributes:
        unreadable: What of them can't be read, and how: it has not been done, as far as anybody knows.
    """

    def __init__(self, origin: StoredRun) -> None:
        self.unreadable: list[str] = []
        self._origin = origin
        self._steps: dict[str, dict[_Place, _Finished]] = {}

    def find(self, planned: PlannedTask, parents: tuple[TaskName, ...]) -> _Finished | None:
        """The task that has finished in the place of a planned one; None where there is none."""
        step = planned.step
        if step not in self._steps:
            self._steps[step] = self._read(step) if self._origin.has_step(step) else {}
        return self._steps[step].get((parents, planned.index))

    def _read(self, step: str) -> dict[_Place, _Finished]:
        finished: dict[_Place, _Finished] = {}
        for stored in self._tasks(step):
            try:
                record = stored.record
            except CorruptRecord as error:
                self.unreadable.append(error.message)
                continue
            if not record.ok:
                continue
            values = _texts(record.extra.get(SPLIT_VALUES))
            finished[record.parents, _index_among_children(record)] = _Finished(
                Parent(record.name, stored.task_blob), record.run, record.transition, values,
                frozenset(ref.producer for ref in record.artifacts.values()) - {record.name},
            )  # fmt: skip
        return finished

    def _tasks(self, step: str) -> Iterator[StoredTask]:
        try:
            yield from self._origin.tasks_of(step)
        except CorruptRecord as error:
            self.unreadable.append(error.message)


def _texts(values: object) -> tuple[str, ...]:
    """The items of a foreach as text, which may be anybody's data."""
    listed = values if isinstance(values, (list, tuple)) else ()
    return tuple(value if isinstance(value, str) else "" for value in listed)


def next_task_id(origin: StoredRun) -> int:
    """The first number that no task of a run has."""
    ids = (task_order(task)[1] for step in origin.steps() for task in _tasks(origin, step))
    return max(ids, default=0) + 1


def _tasks(origin: StoredRun, step: str) -> list[str]:
    """The ids of a step's tasks; none where they can't be read, for then none is adopted either."""
    try:
        return origin.tasks(step)
    except CorruptRecord:
        return []


@frozen
class _WholeSplit:
    """A split that is done: the steps within it, the join, and the tasks that arrived there, in order."""

    steps: tuple[str, ...]
    join: str
    arrived: tuple[Parent, ...]


def _whole_split(
    graph: Mapping[str, Any],
    origin: StoredRun,
    split: PlannedTask,
    found: _Finished,
    rerun: frozenset[str],
    trusted_runs: frozenset[Oid],
    reuse: ReuseCheck,
) -> _WholeSplit | None:
    """What lies in a split that was reached once, where all of it is kept as it is; None where it may not be.

    Args:
        graph: The flow's `_graph_info`.
        origin: The run to take tasks from.
        split: The task that makes the split.
        found: The same as it finished in the origin, executed by a run that is trusted.
        rerun: Steps that must run again.
        trusted_runs: The uids of the runs whose tasks count as trusted in the origin.
        reuse: Tells whether tasks are whole.
    """
    join = graph["steps"][split.step].get("matching_join")
    said = found.transition
    if join is None or said is None or split.frames or split.place is not None:
        return None
    inside = _between(graph, split.step, join)
    stored = origin.steps()
    once = all(step in stored and len(_tasks(origin, step)) == 1 for step in (split.step, join))
    if not once or rerun & inside or not _is_unchanged(graph, origin, {*inside, split.step}):
        return None
    try:
        met = next(origin.records(join))
        arrived = met.parents
        width = len(said.targets) if said.foreach is None else said.num_splits
        fits = len(arrived) == width and all(name.step in inside for name in arrived)
        if not fits or met.run.uid not in trusted_runs:
            return None
        tasks = [origin.task(name) for name in arrived]
        steps = tuple(step for step in stored if step in inside)
        if not reuse.are_whole(task for step in steps for task in origin.tasks_of(step)):
            return None
    except CorruptRecord:  # a step whose tasks can't be listed is done again
        return None
    return _WholeSplit(
        steps,
        join,
        tuple(Parent(task.name, task.tree) for task in tasks),
    )


def _between(graph: Mapping[str, Any], split: str, join: str) -> frozenset[str]:
    """The steps that lie between a split and its join."""
    inside: set[str] = set()
    waiting = list(graph["steps"][split]["next"])
    while waiting:
        step = waiting.pop()
        if step != join and step not in inside:
            inside.add(step)
            waiting += graph["steps"][step]["next"]
    return frozenset(inside)


def _is_unchanged(graph: Mapping[str, Any], origin: StoredRun, steps: set[str]) -> bool:
    """Whether steps lead to the same ones as in a run, in the same way, and to them nothing else."""
    before, now = origin.info.graph.get("steps", {}), graph["steps"]
    keys = (
        "type", "next", "foreach_artifact", "matching_join", "num_parallel", "condition", "switch_cases",
    )  # fmt: skip
    same = all(
        step in before and all(before[step].get(key) == now[step].get(key) for key in keys)
        for step in steps
    )
    into = {target for step in now if step not in steps for target in now[step]["next"]}
    within = {target for step in steps for target in now[step]["next"]} & steps
    return same and into.isdisjoint(within)


def _index_among_children(record: TaskRecord) -> int | None:
    """Its position among the children of a foreach, if its parent is the split itself."""
    if record.frames and [parent.step for parent in record.parents] == [record.frames[-1].step]:
        return record.frames[-1].index
    return None


def still_says(graph: Mapping[str, Any], step: str, said: Transition | None) -> bool:
    """Whether a step, as it is now, would say with `self.next` what it said then.

    Args:
        graph: The flow's `_graph_info`, now.
        step: The step.
        said: What it said then.
    """
    now = graph["steps"].get(step)
    if now is None:
        return False
    if said is None or not said.targets:
        return not now["next"]
    if now["type"] == "split-switch":
        return said.foreach is None and _still_chooses(now, said)
    if tuple(said.targets) != tuple(now["next"]) or (said.foreach and not said.num_splits):
        return False
    nodes = now.get("num_parallel")
    if nodes is None or not said.is_gang:
        return nodes is None and said.foreach == now.get("foreach_artifact")
    return isinstance(nodes, str) or nodes == said.num_splits


def _still_chooses(switch: Mapping[str, Any], said: Transition) -> bool:
    """Whether the case that a switch has chosen leads, as the switch is now, to the step it led to then."""
    cases = switch.get("switch_cases", {})
    if said.case in cases:
        return tuple(said.targets) == (cases[said.case],)
    targets: Iterable[str] = switch["next"]
    if said.case is not None:  # a key that a config has may be any
        targets = [target for case, target in cases.items() if case.startswith(CONFIG_CASE)]
    return len(said.targets) == 1 and said.targets[0] in targets
