"""`@retry`: try a task again when its step fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import MAX_ATTEMPTS, StepDecorator
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
        times = number_of(self, "times", step_name)
        number_of(self, "minutes_between_retries", step_name)
        most = MAX_ATTEMPTS - 2  # the first one, and one that is left to @catch
        if times > most:
            raise DecoratorError(
                f"@retry of step {step_name!r} asks for {times} retries, and {most} are possible",
                hint=f"write @retry(times={most}) or less",
            )

    def step_task_retry_count(self) -> tuple[int, int]:
        """So many retries when the step fails."""
        return int(self.attributes["times"]), 0


def number_of(decorator: StepDecorator, attribute: str, step: str) -> int:
    """The value of an attribute that is a whole number, not below 0.

    Raises:
        DecoratorError: it is none.
    """
    value = decorator.attributes[attribute]
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0 or number != float(value) or isinstance(value, bool):
        raise DecoratorError(
            f"@{decorator.name} of step {step!r}: {attribute}={value!r} is no number of times",
            hint=f"give a whole number, 0 or more: @{decorator.name}({attribute}=3)",
        )
    return number


retry = StepDeclaration(RetryDecorator)
