"""How often tasks are tried, as the decorators of their steps say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import MAX_ATTEMPTS
from gitflowrun.flow.foreach import brief

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.flow.decorators.base import StepDecorator


def retries_of(flow_cls: type) -> dict[str, tuple[int, int]]:
    """The steps whose tasks are tried again: how often when the step fails, and how often beyond that."""
    counts = {step: _retries(found) for step, found in attached(flow_cls).steps.items()}
    return {step: count for step, count in counts.items() if any(count)}


def user_retries(decorators: Iterable[StepDecorator]) -> int:
    """How often a step with these decorators is tried again when it fails."""
    return _retries(decorators)[0]


def _retries(decorators: Iterable[StepDecorator]) -> tuple[int, int]:
    counts = [_counts(it) for it in decorators]
    user = min(max((count for count, _ in counts), default=0), MAX_ATTEMPTS - 1)
    more = max((count for _, count in counts), default=0)
    return user, min(more, MAX_ATTEMPTS - 1 - user)


def _counts(decorator: StepDecorator) -> tuple[int, int]:
    """How often a decorator wants a task to be tried again. Raises DecoratorError where it does not say so."""
    given: Any = decorator.step_task_retry_count()
    if isinstance(given, tuple) and [type(count) for count in given] == [int, int]:
        return given
    raise DecoratorError(
        f"@{decorator.name}.step_task_retry_count returned {brief(repr(given))}",
        hint="it returns how often to try again, and how often beyond that: (0, 0)",
    )
