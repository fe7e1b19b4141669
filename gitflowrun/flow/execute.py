"""The execution of one step as one task: attributes in, a StepOutcome out. No storage, no process.

Of Metaflow's private artifacts only `_exception` is stored, and only with a failed task: a map of `type`,
`message` and `stacktrace`. The others would say what the task's record or the run's INFO says already, so the
client derives them:

    _success, _task_ok                                 TaskRecord.ok
    _foreach_stack, _unbounded_foreach                 TaskRecord.frames
    _iteration_stack                                   TaskRecord.iterations
    _foreach_var, _foreach_num_splits, _transition     TaskRecord.transition
    _current_step                                      TaskRecord.name.step
    _graph_info                                        RunInfo.graph

`_foreach_items_<depth>` (see `foreach`) is stored where the items of a foreach can't be found in its attribute.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from gitflowrun.errors import FlowError, InvalidNext
from gitflowrun.flow.current import task_facts
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.failure import class_of, explained, message_of
from gitflowrun.flow.foreach import is_items_artifact, items_artifact
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import initial_attributes, is_artifact, prepare_members, slots_of
from gitflowrun.flow.source import assignment
from gitflowrun.flow.steps import defining_classes
from gitflowrun.flow.task_state import (
    IMMUTABLE,
    SMALL,
    ArtifactSource,
    Inputs,
    TaskState,
    give,
    is_fixed,
    set_state,
    task_label,
)
from gitflowrun.limits import MAX_NUM_SPLITS
from gitflowrun.values import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.flow.decorators.task_hooks import StepHooks, TaskHooks
    from gitflowrun.flow.flowspec import FlowSpec
    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import ForeachLevel, Metadatum, Transition

_TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


@frozen
class StepOutcome:
    """What a step left behind.

    Attributes:
        values: New artifacts, to be encoded.
        loaded: Values that came out of the store and may have been changed in place since. For each name,
            `inherited` has the reference it was loaded from: where the value's payload is still the same,
            that reference is the artifact; otherwise the value is to be encoded.
        inherited: Artifacts that are passed on by reference, and the references of `loaded`.
        transition: What `self.next` said; None at the end and on failure.
        split_values: The items of a foreach as short texts, in order.
        error: What the step raised.
        traceback: The text that explains `error` to the user.
        label: The task as Metaflow prints it: `<flow F step s[1] (input: x)>`.
        metadata: What decorators have noted about the task.
    """

    values: dict[str, Any]
    loaded: dict[str, Any] = field(default_factory=dict)
    inherited: dict[str, ArtifactRef] = field(default_factory=dict)
    transition: Transition | None = None
    split_values: tuple[str, ...] = ()
    error: BaseException | None = None
    traceback: str | None = None
    label: str = ""
    metadata: tuple[Metadatum, ...] = ()

    @property
    def report(self) -> str:
        """What to print to the task's stderr when it failed: label and traceback, as Metaflow does."""
        return "" if self.error is None else f"{self.label} failed:\n{self.traceback}"


_prepared: WeakSet[type] = WeakSet()
_hooks_of: WeakKeyDictionary[type, dict[str, StepHooks]] = WeakKeyDictionary()


def prepare(flow_cls: type[FlowSpec]) -> FlowGraph:
    """Do once per process what every task needs: read the graph, which is returned, prepare the class's attributes.

    Raises:
        FlowError: the flow's source can't be had.
    """
    graph = FlowGraph.of(flow_cls)
    if flow_cls not in _prepared:
        prepare_members(flow_cls)
        _prepared.add(flow_cls)
    return graph


def prepare_hooks(flow_cls: type[FlowSpec]) -> None:
    """Do once per process what the decorators of steps need, when all are there.

    Raises:
        DecoratorError: a decorator does not say how often its step is tried again.
    """
    found = attached(flow_cls)
    steps = found.steps.keys() | found.wrappers.keys()
    if steps:
        from gitflowrun.flow.decorators.task_hooks import StepHooks  # few flows have any

        _hooks_of[flow_cls] = {step: StepHooks(found.of_step(step)) for step in steps}


def execute_step(
    flow_cls: type[FlowSpec],
    task: TaskName,
    parents: Sequence[ArtifactSource] = (),
    parameters: ArtifactSource | None = None,
    *,
    frames: tuple[ForeachLevel, ...] = (),
    iterations: tuple[int, ...] = (),
    max_num_splits: int = MAX_NUM_SPLITS,
    failure: str = "",
    facts: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> StepOutcome:
    """Run a step. Whatever its code raises, exits and interrupts included, is in the outcome.

    Args:
        flow_cls: The flow.
        task: The task.
        parents: The finished tasks it follows: one, or a join's inputs in split order (in the order of the
            split's targets after a static split); none for the start.
        parameters: The run's `_parameters` task.
        frames: The foreach levels the task is in, outermost first.
        iterations: How often its step has run before it in a loop.
        max_num_splits: The most items a foreach may have.
        failure: How the attempt before this one has ended; empty in the first.
        facts: Attributes of `current` that say more of the run and the task than their names.
        given: Values in the place of what the task would inherit. (Those of a join's inputs are in `parents`.)

    Raises:
        FlowError: the flow's source can't be had, or the flow has no such step.
    """
    graph = prepare(flow_cls)
    if task.step not in graph:
        raise FlowError(f"flow {flow_cls.__name__!r} has no step {task.step!r}")
    is_join = graph[task.step].num_args > 1
    fixed = () if parameters is None else (parameters,)
    state = TaskState(
        task.step,
        sources=fixed if is_join else (*parents[:1], *fixed),
        parameters=parameters,
        foreach_source=parents[0] if parents else None,
        frames=frames,
        iterations=iterations,
        is_join=is_join,
        max_num_splits=max_num_splits,
        failure=failure,
    )
    flow = flow_cls.__new__(flow_cls)
    vars(flow).update(initial_attributes(flow_cls))
    set_state(flow, state)
    if given:
        give(flow, given)
    told = {**(facts or {}), **_own_facts(graph, task)}
    with task_facts(told, graph.to_map):
        hooks = _hooks(flow, state, graph, told, parents)
        if hooks is None:
            return _attempt(flow, state, parents, graph)
        return _hooked_attempt(flow, state, parents, graph, hooks)


def _own_facts(graph: FlowGraph, task: TaskName) -> dict[str, Any]:
    """What `current` says of a task by its name and flow."""
    return {
        "flow_name": graph.name,
        "step_name": task.step,
        "task_id": task.task,
        "parameter_names": list(graph.parameter_names),
    }


def _attempt(
    flow: FlowSpec, state: TaskState, parents: Sequence[ArtifactSource], graph: FlowGraph
) -> StepOutcome:
    """Run a step that has no decorators."""
    try:
        with _own_timers():
            _check_end(state, graph, _step_function(flow, state)(*_arguments(flow, state, parents)))
        return _outcome(flow, state, _assigned(flow, state))
    except BaseException as error:  # noqa: BLE001  (the step's failure is this function's result)
        return _failure(flow, state, error)


def _hooks(
    flow: FlowSpec,
    state: TaskState,
    graph: FlowGraph,
    facts: Mapping[str, Any],
    parents: Sequence[ArtifactSource],
) -> TaskHooks | None:
    """The decorators of the step that is to run; None where it has none."""
    found, step = attached(type(flow)), str(state.step)
    decorators, wrappers = found.of_step(step), found.wrappers.get(step, [])
    if not decorators and not wrappers:
        return None
    if step not in _hooks_of.get(type(flow), ()):
        prepare_hooks(type(flow))

    run, attempt = str(facts.get("run_id")), int(facts.get("retry_count") or 0)
    before = parents or [it for it in (state.parameters,) if it is not None]
    inputs = [f"{run}/{source.task}" for source in before]
    inner = state.frames[-1] if state.frames else None
    index = inner.index if inner else None
    control = ("ubf_task" if index else "ubf_control") if inner and inner.is_gang else None
    return _hooks_of[type(flow)][step].at_work(
        wrappers,
        flow,
        graph,
        step,
        run,
        str(facts["task_id"]),
        attempt,
        index,
        inputs,
        control,
    )


def _hooked_attempt(
    flow: FlowSpec,
    state: TaskState,
    parents: Sequence[ArtifactSource],
    graph: FlowGraph,
    hooks: TaskHooks,
) -> StepOutcome:
    """Run a step with its decorators. What a decorator raises is the step's failure."""
    outcome = None
    try:
        try:
            hooks.set_environment()
            arguments = _arguments(flow, state, parents)
            hooks.before(*arguments)
            with _own_timers():
                returned = hooks.around(_step_function(flow, state))(*arguments)
            hooks.take_transition()
            _check_end(state, graph, returned)
            hooks.after()
        except BaseException as error:
            if not hooks.handle(error):
                raise
            _check_end(state, graph, None)
        outcome = _outcome(flow, state, _assigned(flow, state))
    except BaseException as error:  # noqa: BLE001  (the step's failure is this function's result)
        outcome = _failure(flow, state, error)
    try:
        hooks.finish(is_ok=outcome.error is None)
    except BaseException as error:  # noqa: BLE001  (likewise)
        outcome = _failure(flow, state, error)
    return replace(outcome, metadata=tuple(hooks.metadata.entries))


@contextmanager
def _own_timers() -> Iterator[None]:
    """End the timers that a step has set and not ended: its time limit is none for storing what it has made."""
    timers = [it for it in _TIMERS.items() if not signal.getitimer(it[0])[0]]
    try:
        yield
    finally:
        try:
            _end_timers(timers)
        except BaseException:  # of one that has just gone off
            _end_timers(timers)
            raise


def _end_timers(timers: Iterable[tuple[int, signal.Signals]]) -> None:
    for timer, number in timers:
        if signal.getitimer(timer)[0] and callable(signal.getsignal(number)):
            signal.setitimer(timer, 0)


def _step_function(flow: FlowSpec, state: TaskState) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(flow, str(state.step))
    return function


def _arguments(
    flow: FlowSpec, state: TaskState, parents: Sequence[ArtifactSource]
) -> tuple[Any, ...]:
    """What a step is called with: a join gets its inputs."""
    if not state.is_join:
        return ()
    depth = len(state.frames)
    of_foreach = any(len(parent.record.frames) > depth for parent in parents[:1])
    return (Inputs(type(flow), parents, state.loaded_values, of_foreach=of_foreach),)


def _check_end(state: TaskState, graph: FlowGraph, returned: object) -> None:
    """See that a step that has returned has run, and said where to go on. Raises FlowError."""
    step = str(state.step)
    node = graph[step]
    if state.transition is None and _has_not_run(returned, step):
        raise FlowError(
            f"step {step!r} is a generator: it has a `yield`, so nothing in it was run",
            hint="take the yield out, or move it to a method of its own and loop over that",
            line=node.func_lineno,
            source=node.source_file,
        )
    if state.transition is None and step != graph.end_step:
        raise InvalidNext(
            f"step {step!r} ended without self.next",
            hint="every step but the end says where to go on: self.next(self.<step>)",
            line=node.func_lineno,
            source=node.source_file,
        )


def _has_not_run(returned: object, step: str) -> bool:
    """Whether what a step's function has returned is its own generator, which waits to be asked."""
    return type(returned).__name__ == "generator" and getattr(returned, "__name__", "") == step


def _failure(flow: FlowSpec, state: TaskState, error: BaseException) -> StepOutcome:
    """What a failed step left behind: what it had set until then, and why it failed."""
    try:
        left = _outcome(flow, state, _what_can_be(flow, state))
    except Exception:  # noqa: BLE001  (an unreadable parent is reported once, by `error`)
        left = StepOutcome({})
    text = explained(error)
    exception = {
        "type": class_of(error),
        "message": message_of(error),
        "stacktrace": text,
    }
    return replace(
        left,
        values={**left.values, "_exception": exception},
        transition=None,
        split_values=(),
        error=error,
        traceback=text,
        label=task_label(flow),
    )


def _outcome(flow: FlowSpec, state: TaskState, assigned: Iterable[tuple[str, Any]]) -> StepOutcome:
    inherited = state.refs()
    values: dict[str, Any] = {}
    loaded: dict[str, Any] = {}
    for name, value in assigned:
        ref = _loaded_from(state, name, value, inherited)
        if ref is None:
            values[name] = value
            inherited.pop(name, None)
        elif state.loaded.get(name) is not value or type(value) not in IMMUTABLE:
            inherited[name] = ref
            loaded[name] = value
    given = state.parameters.given if state.parameters else {}
    for name in [name for name in given if is_fixed(flow, name)]:
        values[name] = given[name]  # the record says what the step has seen
        inherited.pop(name, None)
    _keep_items(state, {*values, *loaded}, inherited)
    values |= state.kept_items
    return StepOutcome(
        values=values,
        loaded=loaded,
        inherited=inherited,
        transition=state.transition,
        split_values=state.split_values,
        label=task_label(flow),
    )


def _assigned(flow: FlowSpec, state: TaskState) -> Iterator[tuple[str, Any]]:
    """The attributes of the object that are artifacts. Raises FlowError where one should be and can't."""
    slots = slots_of(type(flow))
    if slots:
        raise FlowError(
            f"attributes in slots are no artifacts, and {type(flow).__name__!r} has the slot {slots[0]!r}",
            hint="take __slots__ out of the flow and its mixins",
        )
    for name, value in list(vars(flow).items()):
        if _is_artifact(flow, state, name, value):
            yield name, value


def _what_can_be(flow: FlowSpec, state: TaskState) -> Iterator[tuple[str, Any]]:
    """Of a failed step: the attributes that can be artifacts."""
    for name, value in list(vars(flow).items()):
        with suppress(FlowError):
            if _is_artifact(flow, state, name, value):
                yield name, value


def _is_artifact(flow: FlowSpec, state: TaskState, name: str, value: object) -> bool:
    try:
        return is_artifact(flow, state, name, value)
    except FlowError as error:
        step = str(state.step)
        line, source = assignment(step, vars(defining_classes(type(flow))[step])[step], name)
        raise FlowError(error.message, hint=error.hint, line=line, source=source) from None


def _loaded_from(
    state: TaskState, name: str, value: Any, inherited: Mapping[str, ArtifactRef]
) -> ArtifactRef | None:
    """The reference of the artifact that a value was loaded from: of any name, or of an input of the join."""
    if name in state.loaded and state.loaded[name] is value:
        return inherited[name]
    if type(value) in SMALL:  # there is only one 1 in a process, wherever it was loaded from
        return None
    # The id may be that of a value that is gone: the comparison of payloads afterwards finds that out.
    return state.loaded_values.refs.get(id(value))


def _keep_items(state: TaskState, assigned: set[str], inherited: dict[str, ArtifactRef]) -> None:
    """See to it that later steps find the items of each foreach, whatever this step did to the attribute."""
    for name in [name for name in inherited if is_items_artifact(name)]:
        del inherited[name]
    for depth, ref in state.item_refs().items():
        frame = state.frames[depth]
        if frame.var in assigned or inherited.get(frame.var) != ref:
            inherited[items_artifact(depth)] = ref
