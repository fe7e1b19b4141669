"""Finding the class of a decorator or mutator: by name, by a text such as `retry:times=2`, or as it is behind an @."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import FlowDecorator, StepDecorator
from gitflowrun.flow.decorators.declare import Declaration, named
from gitflowrun.flow.decorators.registry import (
    FLOW_DECORATORS,
    STEP_DECORATORS,
    all_below,
    flow_decorator,
    step_decorator,
)
from gitflowrun.flow.decorators.spec import split_spec
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.user_decorators.mutators import FlowMutator, StepMutator
from gitflowrun.flow.user_decorators.user_decorator import made
from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OF_STEPS = (UserStepDecorator, StepMutator)
OF_FLOWS = (FlowMutator,)


class Wanted:
    """A decorator or mutator that is asked for: its class, and the arguments for it.

    Args:
        asked: A class, what stands behind an @, a decorator of a user's with its arguments, a name, or a text that
            describes a decorator with its attributes.
        args: Positional arguments; None where there are none.
        kwargs: Keyword arguments; None where there are none.
        of_flows: Whether it is one of flows.

    Attributes:
        kind: The class.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        DecoratorError: there is no such decorator, or it is none of steps, or of flows.
    """

    def __init__(
        self,
        asked: Any,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        *,
        of_flows: bool,
    ) -> None:
        self._of_flows = of_flows
        attributes: dict[str, Any] = {}
        if isinstance(asked, str):
            name, attributes = split_spec(asked)
            self.kind: Any = named_class(name, of_flows=of_flows)
        elif isinstance(asked, Declaration):
            self.kind = asked.kind
        elif isinstance(asked, type):
            self.kind = asked
        else:
            raise DecoratorError(
                f"{brief(repr(asked))} is no decorator",
                hint="give a decorator itself, its class, or its name as text",
            )
        self._check_kind(asked)
        if attributes and (args or kwargs):
            raise DecoratorError(
                f"{asked!r} has its arguments in the text, and others are given besides",
                hint="give them in one place",
            )
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or attributes)

    def _check_kind(self, asked: object) -> None:
        ours = FlowDecorator if self._of_flows else StepDecorator
        users = OF_FLOWS if self._of_flows else OF_STEPS
        if not issubclass(self.kind, (ours, *users)):
            of = "flows" if self._of_flows else "steps"
            raise DecoratorError(f"{named(asked)} is no decorator of {of}")

    @property
    def is_users(self) -> bool:
        """Whether it is one that users write."""
        return issubclass(self.kind, (*OF_STEPS, *OF_FLOWS))

    def make(self, statically_defined: bool, inserted_by: tuple[str, ...]) -> Any:
        """The decorator.

        Raises:
            DecoratorError: it takes no such arguments.
        """
        if self.is_users:
            return made(
                self.kind,
                self.args,
                self.kwargs,
                statically_defined=statically_defined,
                inserted_by=inserted_by,
            )
        if self.args:
            raise DecoratorError(
                f"@{self.kind.name} takes no positional arguments",
                hint="give its attributes by name: deco_kwargs={...}",
            )
        return self.kind(self.kwargs, statically_defined, inserted_by)


def named_class(name: str, *, of_flows: bool) -> Any:
    """The class of a decorator or mutator of this name, short or full.

    A full name of what is not there yet imports its module.

    Raises:
        DecoratorError: there is none of that name.
    """
    if name not in (FLOW_DECORATORS if of_flows else STEP_DECORATORS):
        found = user_class(name, of_flows=of_flows)
        if found is not None:
            return found
    try:
        return flow_decorator(name) if of_flows else step_decorator(name)
    except DecoratorError as error:
        own = user_names(of_flows=of_flows)
        more = f"; the flow has {', '.join(own)} besides" if own else ""
        raise DecoratorError(error.message, hint=f"{error.hint}{more}") from None


def user_class(name: str, *, of_flows: bool = False) -> Any:
    """The class of a decorator or mutator that a user has written; None where there is none of that name.

    Raises:
        DecoratorError: the module of a full name can't be imported.
    """
    module, _, short = name.rpartition(".")
    if module and module not in sys.modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a module may raise anything
            raise DecoratorError(
                f"the module of decorator {name!r} can't be imported: {type(error).__name__}: {error}",
                hint="write the name as package.module.name, of a module that Python finds",
            ) from error
    if of_flows and name.startswith("package_"):
        importlib.import_module("gitflowrun.flow.user_decorators.packaging")
    kinds = [it for base in (OF_FLOWS if of_flows else OF_STEPS) for it in all_below(base)]
    fitting = [it for it in kinds if it.__name__ == short and not it._is_base]  # noqa: SLF001
    if module:
        fitting = [it for it in fitting if it.__module__ == module]
    return fitting[-1] if fitting else None  # the newest, where a module was loaded twice


def user_names(*, of_flows: bool = False) -> list[str]:
    """The names of the decorators and mutators that users have written."""
    kinds = [it for base in (OF_FLOWS if of_flows else OF_STEPS) for it in all_below(base)]
    return sorted({it.__name__ for it in kinds if not it.__module__.startswith("gitflowrun.")})
