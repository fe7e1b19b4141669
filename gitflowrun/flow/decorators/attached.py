"""The decorators that a flow class has: those written in its source, inherited ones included, and those added later.

Each flow class has decorators of its own, made anew of what is declared: the functions of inherited steps are shared
with other flows, and a decorator may keep what it learns of its step.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.declare import declared_on
from gitflowrun.flow.decorators.spec import parse_spec
from gitflowrun.flow.steps import steps_of
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.flow.decorators.base import Decorator, FlowDecorator, StepDecorator

_of_classes: WeakKeyDictionary[type, AttachedDecorators] = WeakKeyDictionary()


@mutable
class AttachedDecorators:
    """The decorators of one flow class.

    Attributes:
        steps: Those of each step that has any, the uppermost first.
        flow: Those of the class, the uppermost first, those of its bases behind.
        specs: Those that were added as text.
        initialised: Those that have looked at the flow.
    """

    steps: dict[str, list[StepDecorator]] = field(default_factory=dict)
    flow: list[FlowDecorator] = field(default_factory=list)
    specs: set[str] = field(default_factory=set)
    initialised: list[Decorator] = field(default_factory=list)

    def of_step(self, step: str) -> list[StepDecorator]:
        """The decorators of a step."""
        return self.steps.get(step, [])

    def add(self, specs: Iterable[str], steps: Iterable[str]) -> None:
        """Give decorators, described as text, to all steps that have none of the same name; each text counts once.

        Raises:
            DecoratorError: there is no such decorator, or it has no such attribute.
        """
        names = list(steps)
        for spec in dict.fromkeys(specs):
            parse_spec(spec)  # a flow without steps has the mistake, too
            if spec in self.specs:
                continue
            self.specs.add(spec)
            for step in names:
                made, own = parse_spec(spec), self.steps.setdefault(step, [])
                if made.allow_multiple or all(it.name != made.name for it in own):
                    own.append(made)


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
    flow = [it.copy() for base in flow_cls.__mro__ for it in declared_on(base)]
    counts = Counter(it.name for it in flow if not it.allow_multiple)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        owners = [base.__name__ for base in flow_cls.__mro__ if _has(base, twice[0])]
        raise DecoratorError(
            f"flow {flow_cls.__name__!r} has @{twice[0]} more than once: on {' and '.join(owners)}",
            hint="leave all but one of them out",
        )
    return AttachedDecorators(steps, flow)


def _has(cls: type, name: str) -> bool:
    return any(it.name == name for it in declared_on(cls))
