"""`MutableStep`: a step as mutators see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.user_decorators.mutable import Mutable, Mutation
from gitflowrun.flow.user_decorators.mutators import StepMutator
from gitflowrun.flow.user_decorators.user_decorator import initialise
from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.flow.user_decorators.lookup import Wanted


class MutableStep(Mutable):
    """A step, for mutators to look at and to change.

    Args:
        flow: The flow, likewise.
        name: The step's name.
        mutation: The call of the mutator.

    Attributes:
        flow: The `MutableFlow` that the step is of.
        name: The step's name.
    """

    def __init__(self, flow: Any, name: str, mutation: Mutation) -> None:
        self.flow = flow
        self.name = name
        self._mutation = mutation
        self._attached = attached(mutation.flow_cls)

    @property
    def _named(self) -> str:
        return f"step {self.name!r}"

    def _decorators(self) -> Iterable[Any]:
        found = self._attached
        return [
            *found.of_step(self.name),
            *found.wrappers.get(self.name, ()),
            *found.mutators.get(self.name, ()),
        ]

    def _check_addable(self, wanted: Wanted) -> None:
        if issubclass(wanted.kind, StepMutator):
            self._mutation.check_early(f"add the mutator {wanted.kind.__name__}")

    def _check_removable(self, decorator: Any) -> None:
        if isinstance(decorator, StepMutator):
            self._mutation.check_early(f"remove the mutator {type(decorator).__name__}")

    def _put(self, decorator: Any) -> None:
        if isinstance(decorator, StepMutator):
            initialise(decorator, self._named)
        self._kept(decorator).append(decorator)
        self._attached.is_changed = True

    def _remove(self, decorator: Any) -> None:
        self._kept(decorator).remove(decorator)
        self._attached.is_changed = True

    def _kept(self, decorator: Any) -> list[Any]:
        found = self._attached
        kept: Any = found.steps
        if isinstance(decorator, UserStepDecorator):
            kept = found.wrappers
        elif isinstance(decorator, StepMutator):
            kept = found.mutators
        decorators: list[Any] = kept.setdefault(self.name, [])
        return decorators

    def __repr__(self) -> str:
        return f"<MutableStep {self.name}>"
