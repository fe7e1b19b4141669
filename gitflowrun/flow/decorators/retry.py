"""`@retry`: try a task again when its step fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import MAX_ATTEMPTS, StepDecorator, amount_of
from gitflowrun.flow.decorators.declare import StepDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar


class RetryDecorator(StepDecorator):
    """Try a task again when its step fails or its process is lost.

    Args:
        times: How often to try again; 4 at most, so that `@catch` has an attempt left.
        minutes_between_retries: Metaflow's pause on clusters; on this machine tasks are tried again at once.
    """

    name = "retry"
    defaults: ClassVar[Mapping[str, Any]] = {"times": 3, "minutes_between_retries": 2}

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse more attempts than a task can have."""
        times = amount_of(self.attributes["times"])
        if times is None or times != int(times):
            raise DecoratorError(
                f"@retry of step {step_name!r}: times={self.attributes['times']!r} is no number of times",
                hint="give a whole number, 0 or more: @retry(times=3)",
            )
        pause = self.attributes["minutes_between_retries"]
        if amount_of(pause) is None:
            raise DecoratorError(
                f"@retry of step {step_name!r}: minutes_between_retries={pause!r} is no time",
                hint="give a number, 0 or more: @retry(minutes_between_retries=2)",
            )
        most = MAX_ATTEMPTS - 2  # the first one, and one that is left to @catch
        if times > most:
            raise DecoratorError(
                f"@retry of step {step_name!r} asks for {int(times)} retries, and {most} are possible",
                hint=f"write @retry(times={most}) or less",
            )

    def step_task_retry_count(self) -> tuple[int, int]:
        """So many retries when the step fails."""
        return int(self.attributes["times"]), 0


retry = StepDeclaration(RetryDecorator)
