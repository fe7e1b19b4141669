"""`FlowSpec`, the class every flow derives from: what a step can say and see through `self`. No execution.

Attributes that a step sets live in the object's `__dict__` and become artifacts; those of earlier steps are
loaded when they are first read. Everything else about the running task is one `TaskState` in a slot of the object.
Nothing of ours calls a method or reads an attribute through `self`: whatever a user's class defines under the
names below replaces what users see under them, and nothing else.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun import entry_point
from gitflowrun.errors import FlowError
from gitflowrun.flow.current import current
from gitflowrun.flow.members import (
    Overridable,
    class_attribute,
    inherited,
    keep_initial_attributes,
    parameters_of,
)
from gitflowrun.flow.steps import steps_of
from gitflowrun.flow.task_state import (
    TASK_SLOT,
    TaskHolder,
    TaskState,
    state_of,
    task_label,
    task_state,
)
from gitflowrun.utilities.external_command import run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gitflowrun.flow.decorators.base import FlowDecorator
    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.flow.parameter import Parameter


class _ClassFact(Overridable):
    """A fact about the class under a name that a step may use for an artifact of its own nevertheless."""

    def __init__(self, compute: Callable[[type], Any]) -> None:
        self.compute = compute

    def original(self, flow: object | None, owner: type) -> Any:  # noqa: ARG002  (the base's signature)
        """The fact."""
        return self.compute(owner)


class _TaskFact(Overridable):
    """A fact about the running task under such a name, None where nothing runs."""

    def __init__(self, compute: Callable[[TaskState], Any], otherwise: Any = None) -> None:
        self.compute = compute
        self.otherwise = otherwise

    def original(self, flow: object | None, owner: type) -> Any:  # noqa: ARG002  (the base's signature)
        """The fact."""
        state = None if flow is None else state_of(flow)
        return self.otherwise if state is None else self.compute(state)


class _ForeachStack(Overridable):
    """The foreach levels of the running task as Metaflow has them; none where nothing runs."""

    def original(self, flow: object | None, owner: type) -> Any:
        """The levels, outermost first."""
        state = None if flow is None else state_of(flow)
        if state is None or not state.frames:
            return []
        from gitflowrun.client.metaflow_names import foreach_frames  # few steps ask

        graph = _graph(owner)
        return foreach_frames(state.frames, lambda step: graph[step].out_funcs[0])


class _FixedFact(property):
    """A fact about the running task that steps need, so that its name can be nothing else."""

    def __set__(self, flow: object, value: object) -> None:
        """Refuse."""
        raise self._refusal("assigned to")

    def __delete__(self, flow: object) -> None:
        """Refuse."""
        raise self._refusal("deleted")

    def _refusal(self, what: str) -> AttributeError:
        name = self.fget.__name__ if self.fget else ""
        return AttributeError(
            f"self.{name} says where the task is in its foreach: it can't be {what}. "
            "Use an attribute of another name."
        )


def _graph(flow_cls: type) -> FlowGraph:
    from gitflowrun.flow.graph import FlowGraph

    return FlowGraph.of(flow_cls)


def _script_name(flow_cls: type) -> str:
    module = sys.modules.get(flow_cls.__module__)
    path = getattr(module, "__file__", None) or ""
    return path.rpartition("/")[2]


def _said(state: TaskState) -> tuple[list[str], str | None] | None:
    said = state.transition
    return None if said is None else (list(said.targets), said.foreach)


def _parameters(flow_cls: type) -> Iterator[tuple[str, Parameter]]:
    return iter(parameters_of(flow_cls).items())


def _decorators_by_name(flow_cls: type) -> dict[str, list[FlowDecorator]]:
    from gitflowrun.flow.decorators.attached import attached

    found: dict[str, list[FlowDecorator]] = {}
    for it in attached(flow_cls).flow:
        found.setdefault(it.name, []).append(it)
    return found


class FlowSpec(TaskHolder):
    """A flow: derive from it, mark methods with `@step`, end each with `self.next(...)`.

    Creating an object runs the command line of the flow and ends the process.

    Args:
        use_cli: Whether to run the command line. False makes a mere object, for programs that look at the
            flow from outside.
    """

    name = _ClassFact(lambda owner: owner.__name__)
    script_name = _ClassFact(_script_name)

    # self.cmd("sort a > b", input={"a": b"2\n1\n"}, output=["b"])
    cmd = _ClassFact(lambda _owner: run_command)

    # Names of Metaflow's that tools read.
    _steps = _ClassFact(lambda owner: list(steps_of(owner).values()))
    _graph = _ClassFact(_graph)
    _graph_info = _ClassFact(lambda owner: _graph(owner).to_map())
    _flow_decorators = _ClassFact(_decorators_by_name)
    _get_parameters = _ClassFact(lambda owner: lambda: _parameters(owner))
    _current_step = _TaskFact(lambda state: state.step)
    _foreach_stack = _ForeachStack()
    _iteration_stack = _TaskFact(lambda state: list(state.iterations), ())
    _transition = _TaskFact(_said)

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

    @_FixedFact
    def index(self) -> int | None:
        """The position of this task in the innermost foreach it is in; None outside of one."""
        frames = task_state(self).frames
        return frames[-1].index if frames else None

    @_FixedFact
    def input(self) -> Any:
        """The item of the innermost foreach that this task works on; None outside of one."""
        state = task_state(self)
        return state.item(len(state.frames) - 1) if state.frames else None

    def foreach_stack(self) -> list[tuple[int, int | None, Any]]:
        """The foreach levels this task is in, outermost first, each as index, number of items, item.

        Of a gang that is the number of the node, None, and the number of the node, as in Metaflow.
        """
        state = task_state(self)
        return [
            (frame.index, None if frame.is_gang else frame.num_splits, state.item(depth))
            for depth, frame in enumerate(state.frames)
        ]

    # What the step says

    def next(
        self, *targets: Callable[..., Any] | Mapping[Any, Callable[..., Any]], **options: Any
    ) -> None:
        """Say where the flow goes on: the last statement of every step but the end.

        Args:
            *targets: `self.<step>`, one or several; several run side by side and meet in a join. A dictionary of
                them is a switch: the step under the value of an attribute follows.
            **options: `foreach="name"` runs the target once for each item of `self.<name>`,
                `condition="name"` chooses from a dictionary by `self.<name>`, and `num_parallel=count` runs so
                many tasks of the target at the same time, as a gang.

        Raises:
            InvalidNext: the call breaks a rule; nothing was chosen.
        """
        from gitflowrun.flow.transition import choose

        state = task_state(self)
        caller = sys._getframe(1)  # noqa: SLF001  (Python has no other way to get the user's line)
        state.transition, state.split_values = choose(self, state, targets, options, caller)

    def merge_artifacts(
        self,
        inputs: Iterable[FlowSpec],
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """In a join, take over the artifacts on which all inputs that have them agree.

        Contents are compared by digest, codec and type. Where two pickles of one type differ, the values are
        loaded and compared: by what they are written as, then by `==`. Artifacts that this step has set already
        are left alone, and so are parameters and constants, which pass through joins by themselves.

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
        return iter(steps_of(type(self)).values())

    # Artifacts

    def __getattr__(self, name: str) -> Any:
        # Called when the object and its class have no such attribute, or a property of it has raised AttributeError.
        state = state_of(self)
        if state is not None and state.source_of(name) is not None:
            return inherited(self, state, name)
        if class_attribute(type(self), name, self) is not self:
            return object.__getattribute__(
                self, name
            )  # says what is missing, as Python has dropped that error
        raise AttributeError(_absent(type(self), name, state), name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        state = state_of(self)
        is_inherited = state is not None and state.source_of(name) is not None
        # Properties, parameters and constants of the class are descriptors that allow or refuse it themselves.
        is_descriptor = hasattr(type(class_attribute(type(self), name)), "__delete__")
        if name in vars(self) or not is_inherited or is_descriptor:
            super().__delattr__(name)
        if state is not None and is_inherited:
            state.deleted.add(name)
            state.loaded.pop(name, None)

    def __dir__(self) -> list[str]:
        state = state_of(self)
        names = () if state is None else state.names()
        return sorted({*super().__dir__(), *names} - {TASK_SLOT})

    def __getstate__(self) -> object:
        raise FlowError(
            f"{task_label(self)} can't be pickled",
            hint="store the attributes you need instead of the object",
        )

    def __str__(self) -> str:
        return task_label(self)


def _absent(flow_cls: type, name: str, state: TaskState | None) -> str:
    text = f"flow {flow_cls.__name__!r} has no attribute {name!r}"
    if name == "_datastore":
        return f"{text}: gitflowrun has no datastore, artifacts are objects of the git repository"
    if state is None or state.step is None:
        return text
    text += f" in step {state.step!r}"
    if name in state.deleted:
        return f"{text}: it was deleted there"
    if state.is_join:
        return f"{text}: artifacts pass through a join only when assigned or merged there"
    return text
