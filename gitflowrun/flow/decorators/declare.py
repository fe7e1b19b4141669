"""The use of decorators in a flow's source: `@retry`, `@retry(times=3)`, on a step or on a class.

A declaration is kept where it was written: in the list `decorators` of a step's function, and for a class here. A
decorator in the wrong place or with an attribute that it does not have is refused at once, with the user's line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.steps import is_step, located
from gitflowrun.flow.task_state import TaskHolder

if TYPE_CHECKING:
    from gitflowrun.flow.decorators.base import Decorator, FlowDecorator, StepDecorator

T = TypeVar("T")

_of_classes: WeakKeyDictionary[type, list[FlowDecorator]] = WeakKeyDictionary()
flow_mutators: WeakKeyDictionary[type, list[Any]] = WeakKeyDictionary()
"""The mutators that users have written on classes themselves, the lowest first."""
misplaced: WeakKeyDictionary[type, list[tuple[str, object, DecoratorError]]] = WeakKeyDictionary()
"""Attributes of classes that should be steps and are decorators of users, which were written on something else."""


def declared_on(cls: type) -> list[FlowDecorator]:
    """The decorators that are written on a class itself, the lowest first."""
    return _of_classes.get(cls, [])


class Declaration:
    """What users write behind the `@`: with or without parentheses.

    Args:
        kind: The decorator's class.
    """

    def __init__(self, kind: type[Decorator]) -> None:
        self.kind = kind
        self.__name__ = self.__qualname__ = kind.name
        self.__doc__ = kind.__doc__
        self.__module__ = kind.__module__

    def __call__(self, target: T | None = None, /, **attributes: Any) -> Any:
        """The decorated target, or without one what decorates it."""
        try:
            if target is None:
                made = self.make(attributes)
                return lambda decorated: _checked(self.put, made, decorated)
            return self.put(self.make(attributes), target)
        except DecoratorError as error:
            raise located(error) from None

    def make(self, attributes: dict[str, Any]) -> Decorator:
        """The decorator with these attributes."""
        return self.kind(attributes, statically_defined=True)

    def put(self, decorator: Any, target: T) -> T:
        """Declare a decorator on a step or a flow, which is returned."""
        raise NotImplementedError

    def check_target(self, target: object) -> None:
        """Refuse a value in the place of a function or a class: `@retry(2)`. Raises DecoratorError."""
        if callable(target):
            return
        name, attributes = self.kind.name, ", ".join(f"{it}=..." for it in self.kind.defaults)
        raise DecoratorError(
            f"@{name} is given {brief(repr(target))} without the name of an attribute",
            hint=f"write @{name}({attributes})"
            if attributes
            else f"write @{name} without parentheses",
        )

    def __repr__(self) -> str:
        return f"<decorator @{self.__name__}>"


class StepDeclaration(Declaration):
    """The declaration of a decorator of steps."""

    def put(self, decorator: StepDecorator, target: T) -> T:
        """Declare a decorator on a step, which is returned."""
        found: Any = target
        self.check_target(found)
        if not is_step(found):
            raise DecoratorError(
                f"@{decorator.name} is for steps, and {named(found)} is none",
                hint=f"write @{decorator.name} above @step",
            )
        if not decorator.allow_multiple and any(
            it.name == decorator.name for it in found.decorators
        ):
            raise DecoratorError(
                f"step {found.__name__!r} has @{decorator.name} twice", hint="leave one of them out"
            )
        found.decorators.append(decorator)  # the lowest first, as Python applies them
        return target


class FlowDeclaration(Declaration):
    """The declaration of a decorator of flows."""

    def put(self, decorator: FlowDecorator, target: T) -> T:
        """Declare a decorator on a flow class, which is returned."""
        cls: Any = target
        self.check_target(cls)
        if not isinstance(cls, type) or not issubclass(cls, TaskHolder):
            raise DecoratorError(
                f"@{decorator.name} is for flows, and {named(cls)} is none",
                hint="write it above a class that derives from FlowSpec",
            )
        own = _of_classes.setdefault(cls, [])
        if not decorator.allow_multiple and any(it.name == decorator.name for it in own):
            raise DecoratorError(
                f"flow {cls.__name__!r} has @{decorator.name} twice", hint="leave one of them out"
            )
        own.append(decorator)
        return target


def _checked(put: Any, decorator: Decorator, target: T) -> T:
    try:
        done: T = put(decorator, target)
    except DecoratorError as error:
        raise located(error) from None
    return done


def named(target: object) -> str:
    """A function, a class or a value, for errors."""
    name = getattr(target, "__name__", None)
    return repr(name) if name else f"a {type(target).__name__}"
