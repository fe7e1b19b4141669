"""The parameters and constants of a flow class, and how they become read-only while steps run.

A constant is a class attribute with a plain value: no method, property, class, module or parameter, and no
name that begins with an underscore. Both kinds are artifacts of every task, so a task reads them from the
run's `_parameters` task (a resumed run keeps its origin's values), never from the class.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError
from gitflowrun.flow.parameter import Parameter
from gitflowrun.flow.steps import defining_classes, is_step
from gitflowrun.flow.task_state import TaskState, state_of
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Iterator

_initial: dict[type, dict[str, Any]] = {}


def parameters_of(flow_cls: type) -> dict[str, Parameter]:
    """The parameters of a flow by attribute name, inherited ones first."""
    members = _members(flow_cls)
    return {name: member for name, member in members if isinstance(member, Parameter)}


def constants(flow_cls: type) -> dict[str, Any]:
    """The constants of a flow by name: stored in the `_parameters` task beside the parameters."""
    return {name: member for name, member in _members(flow_cls) if _is_constant(name, member)}


def class_attribute(cls: type, name: str) -> Any:
    """What the class itself has under a name, descriptors untouched; None when there is nothing."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def keep_initial_attributes(flow: object) -> None:
    """Remember what a flow's own `__init__` has set before the flow's program runs."""
    _initial[type(flow)] = dict(vars(flow))


def initial_attributes(flow_cls: type) -> dict[str, Any]:
    """What a flow's own `__init__` had set when the program began: every task begins with it."""
    return dict(_initial.get(flow_cls, {}))


def make_read_only(flow_cls: type) -> None:
    """Make parameters and constants read-only in running tasks of this process. Doing it twice is harmless.

    Code that reads them from the class still gets the class's own values: a `ReadOnly` replaces them in
    running flow objects alone.
    """
    owners = defining_classes(flow_cls)
    for name in (*parameters_of(flow_cls), *constants(flow_cls)):
        member = vars(owners[name])[name]
        if not isinstance(member, ReadOnly):
            setattr(flow_cls, name, ReadOnly(name, member))


@mutable
class ReadOnly:
    """The descriptor in front of a parameter or constant: in a running step it can be read and nothing else.

    Attributes:
        name: The attribute's name.
        original: What the class had there.
    """

    name: str
    original: object

    def __get__(self, flow: object | None, owner: type | None = None) -> Any:
        if flow is None:
            return self.original
        state = _running(flow)
        if state is None:
            return vars(flow).get(self.name, self.original)
        value = state.read_only(self.name, self.original)
        return self._default(value) if isinstance(value, Parameter) else value

    def _default(self, parameter: Parameter) -> Any:
        """The value of a parameter that is newer than the parameters of the run, which was resumed."""
        if parameter.deploy_time or parameter.required:
            raise FlowError(
                f"parameter {parameter.name!r} has no value: the run that was resumed did not have it",
                hint="start a new run with the same parameters: run --clone RUN-ID",
            )
        return parameter.static_default()

    def __set__(self, flow: object, value: object) -> None:
        if _running(flow):
            raise self._refusal("assigned to")
        vars(flow)[self.name] = value

    def __delete__(self, flow: object) -> None:
        if _running(flow):
            raise self._refusal("deleted")
        try:
            del vars(flow)[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def _refusal(self, what: str) -> AttributeError:
        kind = "parameter" if isinstance(self.original, Parameter) else "class constant"
        return AttributeError(
            f"{kind} {self.name!r} is read-only in steps: it can't be {what}. "
            "Use an attribute of another name."
        )


def _running(flow: object) -> TaskState | None:
    state = state_of(flow)
    return state if state is not None and state.step is not None else None


def _members(flow_cls: type) -> Iterator[tuple[str, Any]]:
    """The attributes of a flow class and its mixins by name; not those of FlowSpec."""
    for name, owner in defining_classes(flow_cls).items():
        if "_is_flow_base" in vars(owner) or owner is object:
            continue
        member = vars(owner)[name]
        yield name, member.original if isinstance(member, ReadOnly) else member


def _is_constant(name: str, member: object) -> bool:
    return not (
        name.startswith("_")
        or is_step(member)
        or isinstance(member, (type, ModuleType, Parameter))
        or hasattr(type(member), "__get__")
    )
