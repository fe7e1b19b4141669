"""Runs one step as one task: what it may see goes in, what it set and said comes out. No storage, no process.

Of METAFLOW's private artifacts only `_exception` is one here, and only of a failed task: a map of `type`,
`message` and `stacktrace`. What the record of a task or the run's INFO says anyway is not stored once more
per task; the client derives it:

    _success, _task_ok        TaskRecord.ok
    _foreach_stack            TaskRecord.frames
    _foreach_var, _foreach_num_splits, _transition     TaskRecord.transition
    _current_step             TaskRecord.name.step
    _graph_info               RunInfo.graph

`_foreach_items_<depth>` (see `foreach`) exists where a foreach's items can't be found in its attribute.

A failed step told to the person who wrote it: their frames and their lines, none of ours.
"""

from __future__ import annotations

import os
from functools import cached_property
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gitflowrun.errors import FlowError, GitflowrunError, InvalidNext
from gitflowrun.flow.current import task_facts
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import class_attribute, initial_attributes, parameters_of, seal
from gitflowrun.flow.task_state import STATE, ArtifactSource, Inputs, RecordSource, State
from gitflowrun.flow.transition import hidden_name, is_hidden_name
from gitflowrun.runs.records import Transition
from gitflowrun.values import field, frozen, replace

if TYPE_CHECKING:
    import traceback
    from collections.abc import Iterator, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.flow.flowspec import FlowSpec
    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import ForeachFrame, RunIdentity

__all__ = [
    "ArtifactSource",
    "RecordSource",
    "StepOutcome",
    "TaskContext",
    "describe",
    "exception_map",
    "execute_step",
    "prepare",
]


_ROOM = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120  (pathlib is an import)
_PACKAGE = os.path.dirname(os.path.dirname(_ROOM)) + os.sep  # noqa: PTH120


def describe(error: BaseException) -> str:
    """The text that explains an exception of a step.

    A flow's own mistakes (a wrong `self.next`, a merge that can't be) are a sentence with a line number;
    everything else is a traceback from the user's outermost frame on.
    """
    if isinstance(error, FlowError) and (error.line is not None or error.__traceback__ is None):
        return _sentence(error)
    import traceback

    told = traceback.TracebackException.from_exception(error, compact=True)
    # Where our own errors were raised within the package helps nobody; where a codec failed may.
    _strip(told, _PACKAGE if isinstance(error, GitflowrunError) else _ROOM)
    text = "".join(told.format())
    if isinstance(error, SystemExit):
        text += f"the step called sys.exit({error.code!r}): return from it instead\n"
    if isinstance(error, GitflowrunError) and error.hint:
        text += f"hint: {error.hint}\n"
    return text


def exception_map(error: BaseException) -> dict[str, str]:
    """An exception as plain data: the private artifact `_exception` of a failed task."""
    kind = type(error)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": _message(error),
        "stacktrace": describe(error),
    }


def _sentence(error: FlowError) -> str:
    hint = f"hint: {error.hint}\n" if error.hint else ""
    return f"{error.headline}: {error}\n{hint}"


def _strip(told: traceback.TracebackException, ours: str) -> None:
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _strip(other, ours)
    stack = told.stack
    stack[:] = [frame for frame in stack if not frame.filename.startswith(ours)] or stack[:]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything)
        return f"<a {type(error).__name__} that can't be shown>"


_SMALL = frozenset({bool, complex, float, int, type(None)})
_IMMUTABLE = _SMALL | {bytes, str}
_NO_ARTIFACTS = (BuiltinFunctionType, FunctionType, MethodType)


@frozen
class TaskContext:
    """Everything a step may see.

    Attributes:
        name: The task.
        run: The run.
        parents: The finished tasks it follows: one, or a join's inputs in split order (in the order of the
            split's targets after a static split); none for the start.
        parameters: The run's `_parameters` task.
        frames: The foreach levels it is in, outermost first.
        is_join: Whether the step takes inputs.
        attempt: 0 for the first.
        max_num_splits: The most items a foreach may have.
        origin: The run that this one was resumed or cloned from.
        username: Who runs.
        namespace: The namespace of the run.
        tags: The user tags the run was started with.
        tempdir: A directory for temporary files.
    """

    name: TaskName
    run: RunIdentity
    parents: tuple[ArtifactSource, ...] = ()
    parameters: ArtifactSource | None = None
    frames: tuple[ForeachFrame, ...] = ()
    is_join: bool = False
    attempt: int = 0
    max_num_splits: int = 100
    origin: RunIdentity | None = None
    username: str | None = None
    namespace: str | None = None
    tags: tuple[str, ...] = ()
    tempdir: str = "."


@frozen
class StepOutcome:
    """What a step left behind.

    Attributes:
        values: New artifacts, to be encoded.
        loaded: Values that came out of the store and may have been changed in place since. For each name,
            `inherited` has the ref it was loaded from: where the value's payload is still the same, that ref
            is the artifact; otherwise it is to be encoded.
        inherited: Artifacts handed on by reference, and the refs of `loaded`.
        transition: What `self.next` said; None at the end and on failure.
        split_values: The items of a foreach as short texts, in order.
        error: What the step raised.
        traceback: The text that explains `error` to the user.
        label: The task as METAFLOW prints it: `<flow F step s[1] (input: x)>`.
    """

    values: dict[str, Any]
    loaded: dict[str, Any] = field(default_factory=dict)
    inherited: dict[str, ArtifactRef] = field(default_factory=dict)
    transition: Transition | None = None
    split_values: tuple[str, ...] = ()
    error: BaseException | None = None
    traceback: str | None = None
    label: str = ""

    @property
    def ok(self) -> bool:
        """Whether the step returned and said where to go."""
        return self.error is None

    @property
    def report(self) -> str:
        """What to print to the task's stderr when it failed: label and traceback, as METAFLOW does."""
        return "" if self.error is None else f"{self.label} failed:\n{self.traceback}"


def prepare(flow_cls: type[FlowSpec]) -> FlowGraph:
    """Do once per process what every task needs: read the graph, make parameters read-only.

    Raises:
        FlowError: the flow's source can't be had.
    """
    return _prepared(flow_cls).graph


@frozen
class _Prepared:
    """What tasks of a flow share within a process."""

    graph: FlowGraph
    parameter_names: tuple[str, ...]


_known: WeakKeyDictionary[type[FlowSpec], _Prepared] = WeakKeyDictionary()


def _prepared(flow_cls: type[FlowSpec]) -> _Prepared:
    known = _known.get(flow_cls)
    if known is None:
        names = tuple(parameters_of(flow_cls))
        known = _known[flow_cls] = _Prepared(FlowGraph.of(flow_cls), names)
        seal(flow_cls)
    return known


def execute_step(flow_cls: type[FlowSpec], context: TaskContext) -> StepOutcome:
    """Run a step. Whatever its code raises, exits and interrupts included, is in the outcome.

    Raises:
        FlowError: the flow's source can't be had, or the flow has no such step.
    """
    prepared = _prepared(flow_cls)
    graph = prepared.graph
    step = context.name.step
    if step not in graph:
        raise FlowError(f"flow {flow_cls.__name__!r} has no step {step!r}")
    flow, state = _make_flow(flow_cls, context)
    with task_facts(_facts(context, prepared), graph.to_map):
        try:
            _call(flow, state, context, graph)
            return _outcome(flow, state)
        except BaseException as error:  # noqa: BLE001  (the step's failure is this function's result)
            return _failure(flow, state, error)


def _make_flow(flow_cls: type[FlowSpec], context: TaskContext) -> tuple[FlowSpec, State]:
    fixed = (context.parameters,) if context.parameters is not None else ()
    state = State(
        context.name.step,
        sources=fixed if context.is_join else (*context.parents[:1], *fixed),
        fixed=context.parameters,
        ground=context.parents[0] if context.parents else None,
        frames=context.frames,
        is_join=context.is_join,
        max_num_splits=context.max_num_splits,
    )
    flow = flow_cls.__new__(flow_cls)
    vars(flow).update(initial_attributes(flow_cls))
    vars(flow)[STATE] = state
    return flow, state


def _facts(context: TaskContext, prepared: _Prepared) -> Mapping[str, Any]:
    return {
        "flow_name": prepared.graph.name,
        "run_id": str(context.run.id),
        "step_name": context.name.step,
        "task_id": context.name.task,
        "retry_count": context.attempt,
        "origin_run_id": str(context.origin.id) if context.origin else None,
        "namespace": context.namespace,
        "username": context.username,
        "tags": set(context.tags),
        "tempdir": context.tempdir,
        "parameter_names": list(prepared.parameter_names),
    }


def _call(flow: FlowSpec, state: State, context: TaskContext, graph: FlowGraph) -> None:
    step = context.name.step
    if context.is_join:
        of_foreach = any(len(parent.frames) > len(context.frames) for parent in context.parents[:1])
        inputs = Inputs(type(flow), context.parents, state.shared, of_foreach=of_foreach)
        getattr(flow, step)(inputs)
    else:
        getattr(flow, step)()
    if state.chosen is None and step != graph.end_step:
        node = graph[step]
        raise InvalidNext(
            f"step {step!r} ended without self.next",
            hint="every step but the end says where to go on: self.next(self.<step>)",
            line=node.func_lineno,
            source=node.source_file,
        )


def _failure(flow: FlowSpec, state: State, error: BaseException) -> StepOutcome:
    """What a failed step left behind: what it had set until then, and why it failed."""
    try:
        left = _outcome(flow, state)
    except Exception:  # noqa: BLE001  (an unreadable parent is told once, by `error`)
        left = StepOutcome({})
    told = exception_map(error)
    return replace(
        left,
        values={**left.values, "_exception": told},
        transition=None,
        split_values=(),
        error=error,
        traceback=told["stacktrace"],
        label=str(flow),
    )


def _outcome(flow: FlowSpec, state: State) -> StepOutcome:
    inherited = state.refs()
    values: dict[str, Any] = {}
    loaded: dict[str, Any] = {}
    for name, value in _assigned(flow):
        ref = _known_ref(state, name, value, inherited)
        if ref is None:
            values[name] = value
            inherited.pop(name, None)
        elif name not in state.loaded or type(value) not in _IMMUTABLE:
            inherited[name] = ref
            loaded[name] = value
    _keep_items(state, values, loaded, inherited)
    chosen = state.chosen
    return StepOutcome(
        values=values,
        loaded=loaded,
        inherited=inherited,
        transition=None if chosen is None else Transition(
            chosen.targets, chosen.foreach, len(chosen.split_values) if chosen.foreach else None
        ),
        split_values=() if chosen is None else chosen.split_values,
        label=str(flow),
    )  # fmt: skip


def _assigned(flow: FlowSpec) -> Iterator[tuple[str, Any]]:
    """The attributes of the object that are artifacts."""
    for name, value in vars(flow).items():
        if name == STATE or isinstance(value, _NO_ARTIFACTS) or name.startswith("__"):
            continue
        if isinstance(class_attribute(type(flow), name), cached_property):
            continue
        if not name or "/" in name or "\0" in name:
            raise FlowError(
                f"{name!r} can't name an artifact", hint="leave slashes out: they divide pathspecs"
            )
        yield name, value


def _known_ref(
    state: State, name: str, value: Any, inherited: Mapping[str, ArtifactRef]
) -> ArtifactRef | None:
    """The ref that a value was loaded from, be it under another name or from an input of the join."""
    if name in state.loaded and state.loaded[name] is value:
        return inherited[name]
    if type(value) in _SMALL:  # there is only one 1 in a process, wherever it was loaded from
        return None
    # The id may be that of a value that is gone: whoever compares the payloads finds that out.
    return state.shared.seen.get(id(value))


def _keep_items(
    state: State,
    values: Mapping[str, Any],
    loaded: Mapping[str, Any],
    inherited: dict[str, ArtifactRef],
) -> None:
    """See to it that later steps find the items of each foreach, whatever this step did to the attribute."""
    for name in [name for name in inherited if is_hidden_name(name)]:
        del inherited[name]
    for depth, (frame, ref) in enumerate(zip(state.frames, state.item_refs(), strict=True)):
        taken = frame.var in values or frame.var in loaded
        if taken or inherited.get(frame.var) != ref:
            inherited[hidden_name(depth)] = ref
