"""The calls that an engine has been given, of which each is told to have ended once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitflowrun.runtime.executors.engine import OnEnd

GIVEN_UP = "it was given up before it began"


class PlacedCalls:
    """What an engine calls its futures, by agent, for any thread.

    Args:
        on_end: Called once for each.
    """

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._lock = threading.Condition()
        self._futures: dict[int, Any] = {}

    def begin(self, number: int) -> None:
        """Know an agent that is to be placed."""
        with self._lock:
            self._futures[number] = None

    def place(self, number: int, future: Any) -> bool:
        """Note an agent's future; False when it has ended by now, or was given up."""
        with self._lock:
            if number in self._futures:
                self._futures[number] = future
                return True
        return False

    def is_wanted(self, number: int) -> bool:
        """Whether an agent has neither ended nor was given up."""
        with self._lock:
            return number in self._futures

    def future(self, number: int) -> Any:
        """An agent's future; None where there is none yet, or none any more."""
        with self._lock:
            return self._futures.get(number)

    def futures(self) -> list[Any]:
        """Those of all agents that have not ended."""
        with self._lock:
            return [it for it in self._futures.values() if it is not None]

    def end(self, number: int, reason: str | None) -> None:
        """Tell that an agent's call has ended, unless that was told."""
        with self._lock:
            if number not in self._futures:
                return
            del self._futures[number]
            self._lock.notify_all()
        self._on_end(number, reason)

    def wait(self, seconds: float) -> None:
        """Wait until all have ended, at most so long."""
        with self._lock:
            self._lock.wait_for(lambda: not self._futures, seconds)


def reason_of(error: BaseException) -> str:
    """What an engine's exception says, in a line."""
    name, words = type(error).__name__, " ".join(str(error).split())[:400]
    text = f"{name}: {words}" if words else name
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("gitflowrun"):
        text += " (install gitflowrun on the engine's workers)"
    return text
