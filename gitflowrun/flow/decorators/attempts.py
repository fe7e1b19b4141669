"""How often tasks are tried, as the decorators of their steps say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import MAX_ATTEMPTS

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
    counts = [it.step_task_retry_count() for it in decorators]
    user = min(max((count for count, _ in counts), default=0), MAX_ATTEMPTS - 1)
    more = max((count for _, count in counts), default=0)
    return user, min(more, MAX_ATTEMPTS - 1 - user)
