"""What is known of an engine's workers, asked for by a thread of its own: the engine may be slow to answer."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call returns or raises; engines wait for ever for what accepts connections and says nothing.

    Raises:
        TimeoutError: it has not returned in time. Its thread is left alone.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def make() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            raised.append(error)

    thread = threading.Thread(target=make, name="engine-start", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not returned:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return returned[0]


@frozen
class WorkerFacts:
    """What an engine says of its workers.

    Attributes:
        workers: How many there are.
        resources: What one of them has at most, by the engine's names.
    """

    workers: int
    resources: Mapping[str, float] = field(default_factory=dict)


class KnownWorkers:
    """The last answer of an engine.

    Args:
        ask: Asks it, for the first time before this returns.
    """

    def __init__(self, ask: Callable[[], WorkerFacts]) -> None:
        self._ask = ask
        self.facts = ask()
        self._is_over = threading.Event()
        threading.Thread(target=self._look, name="engine-workers", daemon=True).start()

    def _look(self) -> None:
        while not self._is_over.wait(engine_limits.ENGINE_FACTS):
            with contextlib.suppress(Exception):  # then the last answer stands
                self.facts = self._ask()

    def close(self) -> None:
        """Ask no more."""
        self._is_over.set()
