"""What engines have in common that are clusters with a scheduler of their own, of which this process becomes a client.

A cluster is there, at its address, or is made on this machine for the time of a run.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ExecutorError
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.known_workers import KnownWorkers, WorkerFacts
from gitflowrun.runtime.executors.engines.placed_calls import PlacedCalls
from gitflowrun.runtime.ipc.addresses import LOOPBACK, is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.runtime.executors.engine import OnEnd


class ClusterEngine(ABC):
    """Places agents on the workers of a cluster.

    Args:
        address: Of the cluster; None for one of this machine.
        slots: For that one: how many calls it is to run at the same time.
        on_end: See `Engine`.
        program: See `run_agent`.

    Raises:
        ExecutorError: what it needs is not installed, or nothing answers there.
    """

    name: str
    title: str
    """What its makers call it."""
    module: str
    """What it is imported as."""
    worker: str
    """What `where` counts."""

    def __init__(
        self,
        address: str | None,
        slots: int,
        on_end: OnEnd,
        program: Sequence[str] | None = None,
    ) -> None:
        try:
            library = importlib.import_module(self.module)
        except ImportError as error:
            raise ExecutorError(
                f"{self.title} can't be used: {error}",
                hint=f"pip install 'gitflowrun[{self.name}]'",
            ) from error
        self._calls = PlacedCalls(on_end)
        self._program = program
        try:
            self._address = self._join(library, address, slots)
            self._workers = KnownWorkers(self._ask)
            own = None if address is None else self._own_host()
        except Exception as error:
            self._leave()
            raise self._unusable(address, error) from error
        if address is None:
            self.host: str | None = LOOPBACK
        else:  # what is loopback here is another machine elsewhere
            self.host = None if own is None or is_loopback(own) else own

    @abstractmethod
    def _join(self, library: Any, address: str | None, slots: int) -> str:
        """Become a client of the cluster, after making it if there is no address; its address."""

    @abstractmethod
    def _ask(self) -> WorkerFacts:
        """What the cluster says of its workers."""

    @abstractmethod
    def _own_host(self) -> str | None:
        """The address of this machine that the cluster sees; None where nothing tells."""

    @abstractmethod
    def _leave(self) -> None:
        """End what `_join` has begun, however far it came. Raises what the cluster's library does."""

    @abstractmethod
    def _unusable(self, address: str | None, error: Exception) -> ExecutorError:
        """Why there is no cluster for the run, and what to do."""

    def where(self) -> str:
        """The cluster's address, and how many workers it has."""
        count = self._workers.facts.workers
        return f"{self._address}, {count} {self.worker}{'' if count == 1 else 's'}"

    def close(self) -> None:
        """Leave the cluster, once agents that were sent home have gone; end it if it was made for this run."""
        self._workers.close()
        self._calls.wait(engine_limits.AGENTS_END)
        self._leave()
