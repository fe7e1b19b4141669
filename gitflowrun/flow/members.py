"""The attributes of a flow class, and what becomes of each in a running step that assigns to it.

A constant is a class attribute with a plain value: no method, property, class, module or parameter, and no
name that begins with an underscore. Constants and parameters are artifacts of every task, so a task reads
them from the run's `_parameters` task (a resumed run keeps its origin's values), never from the class, and can't
assign to them. Plain values whose names begin with an underscore are defaults: what a step assigns is an artifact,
which later steps see instead. Below any other attribute of the class (a method, a nested class) an artifact would be
hidden from later steps, for Python finds the class's attribute first: it is refused when the step ends.

A class may override what FlowSpec says to steps (`NEEDED`) with code of its own, as any method. Data under those
names are refused before anything runs: they would be what each task of a foreach sees instead of its item.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from gitflowrun.artifacts.config_value import wrapped
from gitflowrun.errors import ConfigError, FlowError, ParameterError
from gitflowrun.flow.config.declaration import Config, declaration_of, known_configs
from gitflowrun.flow.config.expression import Delayed, Reference
from gitflowrun.flow.foreach import is_items_artifact
from gitflowrun.flow.parameter import Parameter
from gitflowrun.flow.steps import defining_classes, is_step
from gitflowrun.flow.task_state import TaskHolder, TaskState, state_of
from gitflowrun.names import check_artifact_name
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_initial: dict[type, dict[str, Any]] = {}
_slots: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()
_prepared: WeakSet[type] = WeakSet()
_NOTHING = object()
NEEDED = {
    "foreach_stack": "the foreach levels of a task",
    "index": "the position of a task in its foreach",
    "input": "the item of a task in its foreach",
    "merge_artifacts": "what takes artifacts through a join",
    "next": "the transition to the next step",
}
"""What steps find under names of FlowSpec, and can't do without."""
_FUNCTIONS = (BuiltinFunctionType, FunctionType, MethodType)
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (cached_property, "a cached property"),
    (_FUNCTIONS, "a method"),
    (staticmethod, "a static method"),
    (classmethod, "a class method"),
    (type, "a class"),
    (ModuleType, "a module"),
)


def parameters_of(flow_cls: type) -> dict[str, Parameter]:
    """The parameters of a flow by attribute name, inherited ones first."""
    members = _members(flow_cls)
    return {name: member for name, member in members if isinstance(member, Parameter)}


def configs_of(flow_cls: type) -> dict[str, Config]:
    """The configs of a flow by attribute name, inherited ones first."""
    return {name: member for name, member in _members(flow_cls) if isinstance(member, Config)}


def configs_by_name(flow_cls: type) -> dict[str, Any]:
    """The configs of a flow that are known, as steps see them, by name."""
    known = known_configs(flow_cls)
    found = {it: declaration_of(config).name for it, config in configs_of(flow_cls).items()}
    return {found[attribute]: value for attribute, value in known.items() if attribute in found}


def uses_configs(flow_cls: type) -> bool:
    """Whether a flow has configs, or parameters that are made of them."""
    return any(
        isinstance(member, Config) or (isinstance(member, Parameter) and member.pending is not None)
        for _, member in _members(flow_cls)
    )


def constants(flow_cls: type) -> dict[str, Any]:
    """The constants of a flow by name: stored in the `_parameters` task beside the parameters."""
    return {name: member for name, member in _members(flow_cls) if _is_constant(name, member)}


def check_names(flow_cls: type) -> None:
    """See that no data of a flow or its mixins have a name that steps need, or are computed of configs.

    Raises:
        FlowError: a parameter, a constant, a nested class or a slot has. ParameterError for parameters.
        ConfigError: an attribute is a part of a config.
    """
    for name, part in _members(flow_cls):
        if isinstance(part, Delayed):
            raise ConfigError(
                f"{flow_cls.__name__}.{name} is {part!r}, which is not known when the class is made",
                hint="read the config in steps, where it is an attribute of self, or make a parameter of it",
            )
    # Every class and not what the flow has in the end: a mixin that stands behind FlowSpec would lose its own data.
    owners = [
        base for base in flow_cls.__mro__ if base is not TaskHolder and not _is_flow_spec(base)
    ]
    for owner, (name, what) in product(owners, NEEDED.items()):
        member = vars(owner).get(name, _NOTHING)
        if isinstance(member, Parameter):
            raise ParameterError(
                f"parameter {member.name!r} hides self.{name}, {what}, which steps need",
                hint=f"give the attribute another name: my_{name} = {type(member).__name__}({member.name!r}, ...)",
            )
        if isinstance(member, Config):
            raise ConfigError(
                f"config {declaration_of(member).name!r} hides self.{name}, {what}, which steps need",
                hint=f"give the attribute another name, such as my_{name}",
            )
        if member is not _NOTHING and _is_data(member):
            raise FlowError(
                f"{owner.__name__}.{name} hides self.{name}, {what}, which steps need",
                hint="give it another name",
            )


def class_attribute(cls: type, name: str, default: Any = None) -> Any:
    """What the class itself has under a name, descriptors untouched; `default` when there is nothing."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), default)


def keep_initial_attributes(flow: object) -> None:
    """Remember what a flow's own `__init__` has set before the flow's program runs."""
    _initial[type(flow)] = dict(vars(flow))


def initial_attributes(flow_cls: type) -> dict[str, Any]:
    """What a flow's own `__init__` had set when the program began: every task begins with it."""
    return dict(_initial.get(flow_cls, {}))


def prepare_members(flow_cls: type) -> None:
    """Make the class's attributes behave as above in running tasks of this process. Doing it twice is harmless.

    Code that reads them from the class still gets the class's own values: what replaces them acts in running
    flow objects alone.
    """
    _prepared.add(flow_cls)
    slots_of(flow_cls)  # found here, before tasks are forked, and not in each of them
    owners = defining_classes(flow_cls)
    for name, member in list(_members(flow_cls)):
        if isinstance(vars(owners[name])[name], (ReadOnly, Default, _Computed)):
            continue
        if isinstance(member, (Parameter, Config)) or _is_constant(name, member):
            setattr(flow_cls, name, ReadOnly(name, member))
        elif _is_plain(member) and not name.startswith("__"):
            setattr(flow_cls, name, Default(name, member))
        elif type(member) is cached_property:
            setattr(flow_cls, name, _Computed(name, member))


def add_parameter(flow_cls: type[Any], name: str, parameter: Parameter) -> None:
    """Give a flow class a parameter, which is what it would be if it stood in the class's source."""
    parameter.__set_name__(flow_cls, name)
    setattr(flow_cls, name, parameter)
    if flow_cls in _prepared:
        prepare_members(flow_cls)


def remove_parameter(flow_cls: type[Any], name: str) -> None:
    """Take a parameter away from a flow class; other classes that have it keep it."""
    if name in vars(flow_cls):
        delattr(flow_cls, name)
    if class_attribute(flow_cls, name) is not None:
        removed = _Removed()
        removed.__set_name__(flow_cls, name)
        setattr(flow_cls, name, removed)


def inherited(flow: object, state: TaskState, name: str) -> Any:
    """The value of an inherited artifact, which becomes an attribute of the flow object."""
    # An artifact that can't be loaded is no absent attribute: the user should see that error.
    value = vars(flow)[name] = state.load(name)
    return value


def is_artifact(flow: object, state: TaskState, name: str, value: object) -> bool:
    """Whether an attribute of a running flow object becomes an artifact.

    Raises:
        FlowError: it should, and can't: no later step would see it.
    """
    member = class_attribute(type(flow), name, _NOTHING)
    if isinstance(member, cached_property):
        if state.computed.get(name) is value or _is_initial(flow, name, value):
            return False
    elif member is _NOTHING or isinstance(member, Overridable) or hasattr(type(member), "__set__"):
        if isinstance(value, _FUNCTIONS) and _is_initial(flow, name, value):
            return False  # every task has it anyway
        if not is_items_artifact(check_artifact_name(name)) or state.loaded.get(name) is value:
            return True
        raise FlowError(
            f"self.{name} can't be assigned: the items of foreach levels are kept under such names",
            hint="assign to another name",
        )
    raise FlowError(
        f"self.{name} can't be assigned: {name!r} is {_kind(member)} of {type(flow).__name__}, which later steps "
        "would see instead",
        hint="assign to another name",
    )


def taken_by(flow_cls: type, name: str) -> str:
    """What of a flow class keeps steps from having an artifact of this name; empty where nothing does."""
    member = dict(_members(flow_cls)).get(name, _NOTHING)
    if name in NEEDED or member is _NOTHING:
        return NEEDED.get(name, "")
    kinds = {Parameter: "a parameter", Config: "a config"}
    fixed = next((word for kind, word in kinds.items() if isinstance(member, kind)), "")
    if fixed or _is_constant(name, member):
        return fixed or "a constant"
    if isinstance(member, property):
        return "" if member.fset else "a property"
    gives_way = _is_plain(member) or isinstance(member, Overridable)
    return "" if gives_way or hasattr(type(member), "__set__") else _kind(member)


def slots_of(flow_cls: type) -> list[str]:
    """The slots that the user's classes define: attributes in them are not in the object's `__dict__`."""
    if flow_cls not in _slots:
        members = _members(flow_cls)
        _slots[flow_cls] = [name for name, it in members if isinstance(it, MemberDescriptorType)]
    return _slots[flow_cls]


def _is_initial(flow: object, name: str, value: object) -> bool:
    return _initial.get(type(flow), {}).get(name, _NOTHING) is value


def _kind(member: object) -> str:
    if is_step(member):
        return "a step"
    return next((word for kind, word in _KINDS if isinstance(member, kind)), "an attribute")


class Overridable:
    """A descriptor for an attribute of the class that gives way to an artifact of the same name."""

    attribute: str

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __get__(self, flow: object | None, owner: type) -> Any:
        state = None if flow is None else state_of(flow)
        if state is not None and state.source_of(self.attribute) is not None:
            return inherited(flow, state, self.attribute)  # an earlier step has assigned it
        return self.original(flow, owner)

    def original(self, flow: object | None, owner: type) -> Any:
        """What the attribute is otherwise."""
        raise NotImplementedError


class Default(Overridable):
    """A plain value of the class whose name begins with an underscore: what steps see until one assigns to it."""

    def __init__(self, name: str, value: object) -> None:
        self.attribute = name
        self.value = value

    def original(self, flow: object | None, owner: type) -> Any:  # noqa: ARG002  (the base's signature)
        """The value that the class has."""
        return self.value


class _Removed(Overridable):
    """What hides a parameter of a base: a step may use the name for an artifact."""

    def original(self, flow: object | None, owner: type) -> Any:  # noqa: ARG002  (the base's signature)
        """Nothing."""
        raise AttributeError(
            f"flow {owner.__name__!r} has no attribute {self.attribute!r}: a mutator has removed the parameter"
        )


class _Computed(cached_property[Any]):
    """A cached property that notes what it has computed: what else stands there was assigned."""

    def __init__(self, name: str, member: cached_property[Any]) -> None:
        def compute(flow: object) -> Any:
            value = member.func(flow)
            state = state_of(flow)
            if state is not None:
                state.computed[name] = value
            return value

        super().__init__(compute)
        self.__set_name__(type(self), name)
        self.__doc__ = member.__doc__


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
            own = vars(flow).get(self.name, self.original)
            return own.__get__(flow, type(flow)) if isinstance(own, Config) else own
        value = state.read_only(self.name, self.original, _seen(self.original))
        if isinstance(value, Config):
            raise FlowError(
                f"config {declaration_of(value).name!r} has no value: it was added to the flow while the run was "
                "under way",
                hint="`resume` reads it and goes on with what is finished",
            )
        if isinstance(value, Parameter):  # what the run's record does not have is no value of it
            raise FlowError(
                f"parameter {value.name!r} has no value: it was added to the flow while the run was under way",
                hint="`resume` evaluates it and goes on with what is finished",
            )
        return value

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
        kind = "config" if isinstance(self.original, Config) else "class constant"
        kind = "parameter" if isinstance(self.original, Parameter) else kind
        return AttributeError(
            f"{kind} {self.name!r} is read-only in steps: it can't be {what}. "
            "Use an attribute of another name."
        )


def _seen(member: object) -> Callable[[Any], Any] | None:
    """What makes of a stored value what steps see; None where they see that."""
    return wrapped if isinstance(member, Config) and not declaration_of(member).plain else None


def _running(flow: object) -> TaskState | None:
    state = state_of(flow)
    return state if state is not None and state.step is not None else None


def _members(flow_cls: type) -> Iterator[tuple[str, Any]]:
    """The attributes of a flow class and its mixins by name; not those of FlowSpec."""
    for name, owner in defining_classes(flow_cls).items():
        if owner in {object, TaskHolder} or _is_flow_spec(owner):
            continue
        member = vars(owner)[name]
        if isinstance(member, ReadOnly):
            member = member.original
        yield name, member.value if isinstance(member, Default) else member


def _is_flow_spec(cls: type) -> bool:
    return cls.__bases__ == (TaskHolder,)  # which it imports this module to be


def _is_data(member: object) -> bool:
    return isinstance(member, MemberDescriptorType) or not hasattr(type(member), "__get__")


def _is_constant(name: str, member: object) -> bool:
    return not name.startswith("_") and _is_plain(member)


def _is_plain(member: object) -> bool:
    return not (
        is_step(member)
        or isinstance(member, (type, ModuleType, Parameter, Reference))
        or hasattr(type(member), "__get__")
    )
