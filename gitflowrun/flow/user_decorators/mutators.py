"""`StepMutator` and `FlowMutator`: classes that change a flow before it runs.

What they get is a `mutable_step.MutableStep` or a `mutable_flow.MutableFlow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gitflowrun.flow.user_decorators.user_decorator import UserDecorator

if TYPE_CHECKING:
    from collections.abc import Iterable


class StepMutator(UserDecorator):
    """A mutator of steps: it looks at the step it is written on, and adds decorators or removes them."""

    kept_in: ClassVar[str] = "config_decorators"

    def pre_mutate(self, mutable_step: Any) -> None:
        """Change the step as soon as configs are known, before the options of the command are read."""

    def mutate(self, mutable_step: Any) -> None:
        """Change the step when the command line has been read, with what `--with` has added."""

    def add_to_package(self) -> Iterable[Any]:
        """Files to ship with the code. Not called: the snapshot of a run has the whole work tree."""
        return ()


class FlowMutator(UserDecorator):
    """A mutator of flows: it looks at the flow class it is written on, and changes its parameters and decorators.

    Those that are written on a class also change the classes that derive from it.
    """

    of: ClassVar[str] = "flows"

    def pre_mutate(self, mutable_flow: Any) -> None:
        """Change the flow as soon as configs are known, before the options of the command are read."""

    def mutate(self, mutable_flow: Any) -> None:
        """Change the flow's steps when the command line has been read, with what `--with` has added.

        The flow's own parameters and decorators can be changed in `pre_mutate` alone.
        """

    def add_to_package(self) -> Iterable[Any]:
        """Files to ship with the code. Not called: the snapshot of a run has the whole work tree."""
        return ()
