"""What an engine (Dask, Ray, any `concurrent.futures.Executor`) is to a run: it places agents on its workers.

The engine calls `run_agent` once for each agent and knows nothing of tasks. The agent is a process of its own beside
the engine's worker, connects to the driver by a link and runs one task after the other there, until it is told to
stop. So a task costs no call of the engine, what a task does to its process never reaches the engine's worker, and
output, signals, attempts and results are the same on every engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gitflowrun.runtime.ipc.messages import Resources

__all__ = ["Engine", "OnEnd", "Resources"]

OnEnd = Callable[[int, str | None], None]
"""Takes an agent's number and why its call has ended: None when it has returned as it should."""


class Engine(Protocol):
    """Places agents on workers. Its methods are called by one thread and never make it wait for long.

    The `OnEnd` that it is made with is called once for each agent whose call has ended, from whatever thread.
    """

    name: str
    """What users call it, such as `dask`."""
    host: str | None
    """What its workers likely reach this machine by: loopback where they are on it; None where it can't tell."""

    def start(self, number: int, call: bytes, resources: Resources) -> None:
        """Place an agent: have `run_agent(call)` called on a worker that has these resources, once one is free."""

    def cancel(self, number: int) -> None:
        """Give a call up that has not begun, as far as the engine can."""

    def where(self) -> str:
        """Where it runs, for the run's log: such as `tcp://127.0.0.1:8786, 4 workers`."""

    def close(self) -> None:
        """Let go of it; what was started for this run ends."""
