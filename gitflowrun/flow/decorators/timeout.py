"""`@timeout`: end a step that takes too long."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes enums of what it takes and returns
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError, TimeoutException
from gitflowrun.flow.decorators.base import StepDecorator, amount_of
from gitflowrun.flow.decorators.declare import StepDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import ClassVar

_UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
_LONGEST = 1e9  # seconds: the timer of the system takes no more than some centuries


class TimeoutDecorator(StepDecorator):
    """End a step that takes longer than the sum of these; the attempt has failed then.

    Args:
        seconds: So many seconds.
        minutes: So many minutes.
        hours: So many hours.
    """

    name = "timeout"
    defaults: ClassVar[Mapping[str, Any]] = {"seconds": 0, "minutes": 0, "hours": 0}
    _before: Any = None
    _limit = 0.0

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Compute the limit."""
        self._limit = 0.0
        for unit, seconds in _UNITS.items():
            value = self.attributes[unit]
            part = amount_of(value)
            if part is None:
                raise DecoratorError(
                    f"@timeout of step {step_name!r}: {unit}={value!r} is no time",
                    hint=f"give a number: @timeout({unit}=5)",
                )
            self._limit += part * seconds
        if not self._limit:
            raise DecoratorError(
                f"@timeout of step {step_name!r} has no time", hint="write @timeout(minutes=5)"
            )

    def task_pre_step(self, step_name: str, *_: Any) -> None:
        """Start the clock."""

        def ring(_number: int, _frame: FrameType | None) -> None:
            raise TimeoutException(f"step {step_name!r} took longer than {self._words()}")

        self._before = _signal.signal(_signal.SIGALRM, ring)
        _signal.setitimer(_signal.ITIMER_REAL, min(self._limit, _LONGEST))

    def task_post_step(self, *_: Any) -> None:
        """Stop the clock."""
        self._stop()

    def task_exception(self, *_: Any) -> None:
        """Stop the clock."""
        self._stop()

    def _stop(self) -> None:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        if self._before is not None:
            _signal.signal(_signal.SIGALRM, self._before)
            self._before = None

    def _words(self) -> str:
        given = ((self.attributes[unit], unit) for unit in _UNITS)
        return ", ".join(
            f"{value} {unit if value != 1 else unit[:-1]}" for value, unit in given if value
        )


timeout = StepDeclaration(TimeoutDecorator)
