"""`FlowSpec`, the class every flow derives from: what a step can say and see through `self`. No execution.

Attributes that a step sets live in the object's `__dict__` and become artifacts; those of earlier steps are
loaded when they are first read. Everything else about the running task is one `TaskState` beside them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun import entry_point
from gitflowrun.errors import FlowError
from gitflowrun.flow.current import current
from gitflowrun.flow.members import class_attribute, keep_initial_attributes
from gitflowrun.flow.steps import steps_of
from gitflowrun.flow.task_state import STATE, TaskState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.runs.records import ForeachFrame


class _Overridable:
    """A fact about the class under a name that a step may use for an artifact of its own nevertheless."""

    def __init__(self, compute: Callable[[type], Any]) -> None:
        self.compute = compute

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __get__(self, flow: FlowSpec | None, owner: type[FlowSpec]) -> Any:
        if flow is not None:
            state = state_of(flow)
            if state is not None and state.source_of(self.attribute) is not None:
                return flow.__getattr__(self.attribute)  # an earlier step has assigned it
        return self.compute(owner)


def _script_name(flow_cls: type) -> str:
    module = sys.modules.get(flow_cls.__module__)
    path = getattr(module, "__file__", None) or ""
    return path.rpartition("/")[2]


class FlowSpec:
    """A flow: derive from it, mark methods with `@step`, end each with `self.next(...)`.

    Creating an object runs the command line of the flow and ends the process.

    Args:
        use_cli: Whether to run the command line. False makes a mere object, for programs that look at the
            flow from outside.
    """

    _is_flow_base = True  # its attributes are no members of flows

    name = _Overridable(lambda owner: owner.__name__)
    script_name = _Overridable(_script_name)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, function in steps_of(cls).items():
            function.name = name  # type: ignore[attr-defined]  # whatever a decorator called it

    def __init__(self, use_cli: bool = True) -> None:
        # In a running step a flow object is a mere object: the process is that task.
        if use_cli and not current.is_running_flow:
            keep_initial_attributes(self)
            entry_point.run_program(type(self))

    # Where the step is

    @property
    def index(self) -> int | None:
        """The position of this task in the innermost foreach it is in; None outside of one."""
        frames = self._foreach_stack
        return frames[-1].index if frames else None

    @property
    def input(self) -> Any:
        """The item of the innermost foreach that this task works on; None outside of one."""
        frames = self._foreach_stack
        return self._task_state().item(len(frames) - 1) if frames else None

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        """The foreach levels this task is in, outermost first, each as index, number of items, item."""
        state = self._task_state()
        return [
            (frame.index, frame.num_splits, state.item(depth))
            for depth, frame in enumerate(state.frames)
        ]

    # What the step says

    def next(self, *targets: Callable[..., Any], **options: Any) -> None:
        """Say where the flow goes on: the last statement of every step but the end.

        Args:
            *targets: `self.<step>`, one or several; several run side by side and meet in a join.
            **options: `foreach="name"` runs the target once for each item of `self.<name>`.

        Raises:
            InvalidNext: the call breaks a rule; nothing was chosen.
        """
        from gitflowrun.flow.transition import choose

        state = self._task_state()
        caller = sys._getframe(1)  # noqa: SLF001  (Python has no other way to get the user's line)
        state.transition, state.split_values = choose(self, state, targets, options, caller)

    def merge_artifacts(
        self,
        inputs: Iterable[FlowSpec],
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """In a join, take over the artifacts on which all inputs that have them agree.

        Contents are compared by digest, codec and type; no value is loaded. Artifacts that this step has set
        already are left alone, and so are parameters and constants, which pass through joins by themselves.

        Args:
            inputs: The inputs of the join.
            exclude: Artifacts to leave out.
            include: The only artifacts to take.

        Raises:
            MergeError: inputs disagree about an artifact, or none has one that `include` names; nothing
                was taken over.
            FlowError: the step is no join, or both `exclude` and `include` are given.
        """
        from gitflowrun.flow.merge import merge

        merge(self, inputs, exclude, include)

    # What other code reads

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self._steps)

    @property
    def _steps(self) -> list[Callable[..., Any]]:
        return list(steps_of(type(self)).values())

    @property
    def _graph(self) -> FlowGraph:
        from gitflowrun.flow.graph import FlowGraph

        return FlowGraph.of(type(self))

    @property
    def _graph_info(self) -> dict[str, Any]:
        return self._graph.to_map()

    @property
    def _current_step(self) -> str | None:
        state = state_of(self)
        return None if state is None else state.step

    @property
    def _foreach_stack(self) -> tuple[ForeachFrame, ...]:
        state = state_of(self)
        return () if state is None else state.frames

    @property
    def _transition(self) -> tuple[list[str], str | None] | None:
        transition = self._task_state().transition
        return None if transition is None else (list(transition.targets), transition.foreach)

    def _task_state(self) -> TaskState:
        """The state of the running task; an empty one for a flow object that runs none (a unit test's)."""
        state = state_of(self)
        if state is None:
            state = vars(self)[STATE] = TaskState()
        return state

    # Artifacts

    def __getattr__(self, name: str) -> Any:
        # Only called when the object and its class have no such attribute.
        state = state_of(self)
        if state is not None and not name.startswith("__") and state.source_of(name) is not None:
            # An artifact that can't be loaded is no absent attribute: the user should see that error.
            value = vars(self)[name] = state.load(name)
            return value
        raise AttributeError(_absent(type(self), name, state), name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        state = state_of(self)
        inherited = state is not None and state.source_of(name) is not None
        # Properties, parameters and constants of the class are descriptors that allow or refuse it themselves.
        is_descriptor = hasattr(type(class_attribute(type(self), name)), "__delete__")
        if name in vars(self) or not inherited or is_descriptor:
            super().__delattr__(name)
        if state is not None and inherited:
            state.deleted.add(name)
            state.loaded.pop(name, None)

    def __dir__(self) -> list[str]:
        state = state_of(self)
        inherited = [] if state is None else state.names()
        return sorted({*super().__dir__(), *inherited} - {STATE})

    def __getstate__(self) -> object:
        raise FlowError(
            f"flow {type(self).__name__} can't be pickled, and neither can the inputs of a join",
            hint="store the attributes you need instead of the object",
        )

    def __str__(self) -> str:
        state = state_of(self)
        if state is None or state.step is None:
            return f"<flow {type(self).__name__}>"
        where = f"<flow {type(self).__name__} step {state.step}"
        if not state.frames:
            return f"{where}>"
        indices = ",".join(str(frame.index) for frame in state.frames)
        return f"{where}[{indices}] (input: {state.frames[-1].value[:20]})>"


def _absent(flow_cls: type, name: str, state: TaskState | None) -> str:
    text = f"flow {flow_cls.__name__!r} has no attribute {name!r}"
    if state is None or state.step is None:
        return text
    text += f" in step {state.step!r}"
    if name in state.deleted:
        return f"{text}: it was deleted there"
    if state.is_join:
        return f"{text}: artifacts pass through a join only when assigned or merged there"
    return text
