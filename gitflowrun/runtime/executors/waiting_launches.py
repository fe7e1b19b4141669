"""The launches that wait for agents, by what their tasks take."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.runtime.executors.engine import Resources
    from gitflowrun.runtime.ipc.messages import Launch


class WaitingLaunches:
    """Launches in the order in which they came, in a queue for each kind of resources.

    Nothing that is asked at each task looks at all of them: of more tasks than an engine has workers, thousands wait.

    Args:
        wanted: What a launch takes.
    """

    def __init__(self, wanted: Callable[[Launch], Resources]) -> None:
        self._wanted = wanted
        self._queues: dict[Resources, deque[Launch]] = {}
        self._count = 0
        self.nodes = 0
        """How many of them are nodes of gangs."""

    def __len__(self) -> int:
        return self._count

    @property
    def kinds(self) -> tuple[Resources, ...]:
        """What launches wait for, each once."""
        return tuple(self._queues)

    def count(self, wanted: Resources) -> int:
        """How many wait for one kind of resources."""
        return len(self._queues.get(wanted, ()))

    def first(self, wanted: Resources) -> Launch | None:
        """The first one that waits for these, if there is one."""
        queue = self._queues.get(wanted)
        return queue[0] if queue else None

    def add(self, launch: Launch) -> None:
        """Let a launch wait, as the last one."""
        self._count_in(launch).append(launch)

    def put_first(self, launches: Iterable[Launch]) -> None:
        """Let launches wait before all others, the last one of them first."""
        for launch in launches:
            self._count_in(launch).appendleft(launch)

    def take(self, wanted: Resources) -> Launch:
        """Take the first one that waits for these. Raises KeyError: there is none."""
        launch = self._queues[wanted].popleft()
        self._count_out(launch, wanted)
        return launch

    def take_serial(self, serial: int) -> Launch | None:
        """Take the launch of this number, if it waits."""
        for wanted, queue in self._queues.items():
            for launch in queue:
                if launch.serial == serial:
                    queue.remove(launch)
                    self._count_out(launch, wanted)
                    return launch
        return None

    def take_all(self) -> list[Launch]:
        """Take all of them."""
        found = [launch for queue in self._queues.values() for launch in queue]
        self._queues.clear()
        self._count = self.nodes = 0
        return found

    def _count_in(self, launch: Launch) -> deque[Launch]:
        self._count += 1
        self.nodes += is_node(launch)
        return self._queues.setdefault(self._wanted(launch), deque())

    def _count_out(self, launch: Launch, wanted: Resources) -> None:
        self._count -= 1
        self.nodes -= is_node(launch)
        if not self._queues[wanted]:
            del self._queues[wanted]


def is_node(launch: Launch) -> bool:
    """Whether a launch is a node of a gang, which may wait for the others: each has an agent of its own."""
    return bool(launch.frames) and launch.frames[-1].is_gang
