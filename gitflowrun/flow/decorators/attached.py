"""The decorators that a flow class has: those written in its source, inherited ones included, and those added later.

Each flow class has decorators of its own, made anew of what is declared: the functions of inherited steps are shared
with other flows, and a decorator may keep what it learns of its step.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.declare import declared_on, flow_mutators, misplaced
from gitflowrun.flow.decorators.registry import STEP_DECORATORS
from gitflowrun.flow.decorators.spec import parse_spec, split_spec
from gitflowrun.flow.steps import steps_of
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.flow.decorators.base import Decorator, FlowDecorator, StepDecorator
    from gitflowrun.flow.user_decorators.mutators import FlowMutator, StepMutator
    from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

_of_classes: WeakKeyDictionary[type, AttachedDecorators] = WeakKeyDictionary()
_being_initialised: list[AttachedDecorators] = []


@mutable
class AttachedDecorators:
    """The decorators of one flow class.

    Attributes:
        steps: Those of each step that has any: the lowest first, as Python applies them, and what was added last.
        flow: Those of the class, likewise, those of its bases in front.
        wrappers: Those of steps that users have written, likewise.
        mutators: The mutators of each step that has any, likewise.
        flow_mutators: Those of the class, in the order in which they are called.
        specs: Those that were added as text.
        initialised: Those that have looked at the flow.
        is_early_done: Whether mutators have done what they do before the options of the command are read.
        is_late_done: Whether they have done the rest.
        is_changed: Whether they have changed anything since the graph was read.
    """

    steps: dict[str, list[StepDecorator]] = field(default_factory=dict)
    flow: list[FlowDecorator] = field(default_factory=list)
    wrappers: dict[str, list[UserStepDecorator]] = field(default_factory=dict)
    mutators: dict[str, list[StepMutator]] = field(default_factory=dict)
    flow_mutators: list[FlowMutator] = field(default_factory=list)
    specs: set[str] = field(default_factory=set)
    initialised: list[Decorator] = field(default_factory=list)
    is_early_done: bool = False
    is_late_done: bool = False
    is_changed: bool = False

    @property
    def has_mutators(self) -> bool:
        """Whether users' classes change the flow."""
        return bool(self.flow_mutators or any(self.mutators.values()))

    def of_step(self, step: str) -> list[StepDecorator]:
        """The decorators of a step."""
        return self.steps.get(step, [])

    def gangs(self) -> set[str]:
        """The steps that run as gangs."""
        return {
            name
            for name, decorators in self.steps.items()
            if any(getattr(it, "IS_PARALLEL", False) for it in decorators)
        }

    def narrow(self, step: str) -> None:
        """Leave decorators to one step alone; where it is empty there are none any more, of the flow neither."""
        self.steps = {name: found for name, found in self.steps.items() if name == step}
        self.wrappers = {name: found for name, found in self.wrappers.items() if name == step}
        if not step:
            self.flow = []

    def described_step(self, step: str) -> list[dict[str, Any]]:
        """The decorators and mutators of a step as plain data, in the form of Metaflow's `_graph_info`."""
        everything: list[Any] = [
            *self.of_step(step),
            *self.wrappers.get(step, ()),
            *self.mutators.get(step, ()),
        ]
        return [it.describe() for it in everything]

    def described_flow(self) -> list[dict[str, Any]]:
        """Those of the class, likewise."""
        everything: list[Any] = [*self.flow, *self.flow_mutators]
        return [it.describe() for it in everything]

    def add(self, specs: Iterable[str], steps: Iterable[str]) -> None:
        """Give decorators, described as text, to all steps that have none of the same name; each text counts once.

        Raises:
            DecoratorError: there is no such decorator, or it has no such attribute.
        """
        names = list(steps)
        for spec in dict.fromkeys(specs):
            if _is_users(spec):
                self._add_users(spec, names)
                continue
            parse_spec(spec)  # a flow without steps has the mistake, too
            if spec in self.specs:
                continue
            self.specs.add(spec)
            for step in names:
                made, own = parse_spec(spec), self.steps.setdefault(step, [])
                if made.allow_multiple or all(it.name != made.name for it in own):
                    own.append(made)

    def add_to_step(self, specs: Iterable[str], step: str) -> None:
        """Give decorators, described as text, to a step, unless it has one of the same name.

        Raises:
            DecoratorError: as for `add`.
        """
        for spec in specs:
            made, own = parse_spec(spec), self.steps.setdefault(step, [])
            if made.allow_multiple or all(it.name != made.name for it in own):
                own.append(made)

    def _add_users(self, spec: str, steps: Iterable[str]) -> None:
        """The same for a decorator that a user has written."""
        from gitflowrun.flow.user_decorators.lookup import Wanted  # few are added as text

        wanted = Wanted(spec, None, None, of_flows=False)
        if wanted.kind.kept_in != "wrappers":
            raise DecoratorError(
                f"{spec!r} is a mutator, which no option can add",
                hint=f"write @{spec} above the step",
            )
        wanted.make(statically_defined=False, inserted_by=())
        if spec in self.specs:
            return
        self.specs.add(spec)
        for step in steps:
            own = self.wrappers.setdefault(step, [])
            if all(type(it) is not wanted.kind for it in own):
                own.append(wanted.make(statically_defined=False, inserted_by=()))


@contextmanager
def being_initialised(found: AttachedDecorators) -> Iterator[None]:
    """Let the decorators that look at their flow within attach others to its steps."""
    _being_initialised.append(found)
    try:
        yield
    finally:
        _being_initialised.pop()


def attach_to_step(step: str, specs: Iterable[str]) -> None:
    """Give more decorators to a step of the flow that decorators look at now.

    Args:
        step: The step's name.
        specs: The decorators, described as text.

    Raises:
        DecoratorError: there is no such decorator, or no `step_init` is at work.
    """
    if not _being_initialised:
        raise DecoratorError(
            f"decorators are attached to step {step!r} at a time when none can be",
            hint="attach them in step_init",
        )
    _being_initialised[-1].add_to_step(specs, step)


def _is_users(spec: str) -> bool:
    """Whether a text describes a decorator that a user has written."""
    name, _ = split_spec(spec)
    if name in STEP_DECORATORS:
        return False
    from gitflowrun.flow.user_decorators.lookup import user_class

    return user_class(name) is not None


def attached(flow_cls: type) -> AttachedDecorators:
    """The decorators of a flow class.

    Raises:
        DecoratorError: a decorator that can be there once is inherited twice.
    """
    found = _of_classes.get(flow_cls)
    if found is None:
        found = _of_classes[flow_cls] = _collect(flow_cls)
    return found


def _collect(flow_cls: type) -> AttachedDecorators:
    steps = {
        name: [decorator.copy() for decorator in declared]
        for name, function in steps_of(flow_cls).items()
        if (declared := getattr(function, "decorators", ()))
    }
    flow = [it.copy() for base in reversed(flow_cls.__mro__) for it in declared_on(base)]
    counts = Counter(it.name for it in flow if not it.allow_multiple)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        owners = [base.__name__ for base in flow_cls.__mro__ if _has(base, twice[0])]
        raise DecoratorError(
            f"flow {flow_cls.__name__!r} has @{twice[0]} more than once: on {' and '.join(owners)}",
            hint="leave all but one of them out",
        )
    found = AttachedDecorators(steps, flow)
    _collect_users(flow_cls, found)
    return found


def _collect_users(flow_cls: type, found: AttachedDecorators) -> None:
    """Collect the decorators and mutators that users have written."""
    wrong = [row for base in flow_cls.__mro__ for row in misplaced.get(base, ())]
    for name, decorator, error in wrong:
        if getattr(flow_cls, name, None) is decorator:
            raise error
    owners = [it for it in reversed(flow_cls.__mro__) if it in flow_mutators]
    steps = {
        name: function
        for name, function in steps_of(flow_cls).items()
        if getattr(function, "wrappers", ()) or getattr(function, "config_decorators", ())
    }
    if not owners and not steps:
        return
    from gitflowrun.flow.user_decorators.user_decorator import copied  # few flows have any

    found.wrappers = {
        name: list(map(copied, it.wrappers))  # type: ignore[attr-defined]  # as `step` has made it
        for name, it in steps.items()
    }
    found.mutators = {
        name: list(map(copied, it.config_decorators))  # type: ignore[attr-defined]
        for name, it in steps.items()
    }
    found.flow_mutators = [copied(it) for owner in owners for it in flow_mutators[owner]]


def _has(cls: type, name: str) -> bool:
    return any(it.name == name for it in declared_on(cls))
