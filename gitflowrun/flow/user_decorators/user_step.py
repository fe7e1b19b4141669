"""`UserStepDecorator`, the class form of a decorator of steps: derive from it, and override what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow.user_decorators.user_decorator import UserDecorator

if TYPE_CHECKING:
    from collections.abc import Callable


class UserStepDecorator(UserDecorator):
    """A decorator of steps: `pre_step` is called before what it is written on, `post_step` afterwards.

    What it is written on is the step, and every decorator of this kind in between. Decorators such as `@retry`
    and `@catch` are around all of them, wherever they are written.

    Attributes:
        skip_step: Set in `pre_step` to leave out what the decorator is on: True to go on as the step would, a
            dictionary to go on with these arguments of `self.next`.
    """

    skip_step: bool | dict[str, Any] = False

    def pre_step(
        self, step_name: str, flow: Any, inputs: Any | None = None
    ) -> Callable[..., Any] | None:
        """Act before the step.

        Args:
            step_name: The step's name.
            flow: The flow object: its attributes are the artifacts.
            inputs: A join's inputs; None in any other step.

        Returns:
            What to call in place of what the decorator is on, with the same arguments; None for that itself. It may
            call `self.next`, or return True to go on as the step would, or the arguments for that as a dictionary.
        """

    def post_step(
        self,
        step_name: str,  # noqa: ARG002  (for those that override it)
        flow: Any,  # noqa: ARG002  (likewise)
        exception: BaseException | None = None,
    ) -> BaseException | tuple[BaseException | None, dict[str, Any] | None] | None:
        """Act after the step, before its artifacts are stored.

        Args:
            step_name: The step's name.
            flow: The flow object.
            exception: What the step, or a decorator below this one, has raised.

        Returns:
            The exception that the step ends with; None where there is none, or where it is dealt with. Or a pair of
            that and arguments for `self.next`, where the step is to go on with these; `{}` for its own.
        """
        return exception
