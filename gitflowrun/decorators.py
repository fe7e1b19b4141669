"""What decorators of a package of its own are written against, under the names of Metaflow's module `decorators`.

from gitflowrun.decorators import StepDecorator, make_step_decorator

class Audited(StepDecorator):
name = "audited"
defaults = {"level": "info"}

def task_pre_step(self, step_name, *rest): ...

audited = make_step_decorator(Audited)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError, InvalidDecoratorAttribute
from gitflowrun.flow.decorators.attached import attach_to_step
from gitflowrun.flow.decorators.base import Decorator, FlowDecorator, StepDecorator
from gitflowrun.flow.decorators.declare import FlowDeclaration, StepDeclaration
from gitflowrun.flow.decorators.task_hooks import MetaDatum
from gitflowrun.flow.user_decorators.mutable_flow import MutableFlow
from gitflowrun.flow.user_decorators.mutable_step import MutableStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "BadFlowDecoratorException",
    "BadStepDecoratorException",
    "Decorator",
    "DuplicateFlowDecoratorException",
    "DuplicateStepDecoratorException",
    "FlowDecorator",
    "InvalidDecoratorAttribute",
    "MetaDatum",
    "MutableFlow",
    "MutableStep",
    "StepDecorator",
    "UnknownFlowDecoratorException",
    "UnknownStepDecoratorException",
    "make_flow_decorator",
    "make_step_decorator",
]

# Metaflow has one for each mistake; here all of them are one.
BadFlowDecoratorException = BadStepDecoratorException = DecoratorError
DuplicateFlowDecoratorException = DuplicateStepDecoratorException = DecoratorError
UnknownFlowDecoratorException = UnknownStepDecoratorException = DecoratorError


def make_step_decorator(kind: type[StepDecorator]) -> StepDeclaration:
    """What users write behind the `@` for a decorator of steps.

    Args:
        kind: The decorator's class.

    Raises:
        DecoratorError: it is no such class, or has no name.
    """
    return StepDeclaration(_checked(kind, StepDecorator))


def make_flow_decorator(kind: type[FlowDecorator]) -> FlowDeclaration:
    """What users write behind the `@` for a decorator of flows.

    Args:
        kind: The decorator's class.

    Raises:
        DecoratorError: it is no such class, or has no name.
    """
    return FlowDeclaration(_checked(kind, FlowDecorator))


def _attach_decorators_to_step(step: Any, decospecs: Iterable[str]) -> None:
    """Give more decorators, described as text, to a step; in the `step_init` of one."""
    attach_to_step(step.name, decospecs)


def _base_step_decorator(kind: type[StepDecorator], *args: Any, **attributes: Any) -> Any:
    """Declare a decorator of steps, in the form of Metaflow: `partial(_base_step_decorator, Audited)`."""
    return _declare(make_step_decorator(kind), args, attributes)


def _base_flow_decorator(kind: type[FlowDecorator], *args: Any, **attributes: Any) -> Any:
    """Declare a decorator of flows, likewise."""
    return _declare(make_flow_decorator(kind), args, attributes)


def _declare(
    declaration: Callable[..., Any], args: tuple[Any, ...], attributes: dict[str, Any]
) -> Any:
    return declaration(*args, **attributes)


def _checked(kind: Any, base: Any) -> Any:
    is_one = isinstance(kind, type) and issubclass(kind, base)
    if not is_one or kind.name == Decorator.name:
        named = getattr(kind, "__name__", repr(kind))
        raise DecoratorError(
            f"{named} can't be a decorator",
            hint=f"derive it from {base.__name__}, and give it a name: name = 'my_decorator'",
        )
    return kind
