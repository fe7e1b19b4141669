"""The agents that an engine was asked for, and which of them can be given a launch."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from gitflowrun.runtime.executors.executor_limits import AHEAD_UNDER, BUSY_LOOKED_AT, UNVERIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.runtime.executors.engine import Resources
    from gitflowrun.runtime.executors.placed_agent import PlacedAgent


class PlacedAgents:
    """All agents of a run, by number.

    Nothing that is asked at each task looks at all of them: there may be thousands.
    """

    def __init__(self) -> None:
        self._all: dict[int, PlacedAgent] = {}
        self._starting: dict[int, PlacedAgent] = {}
        self._rested: dict[int, PlacedAgent] = {}
        """Those of which something has ended since it was seen last that they are busy."""
        self._looked_at = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[PlacedAgent]:
        return iter(list(self._all.values()))

    def __contains__(self, number: int) -> bool:
        return number in self._all

    def get(self, number: int) -> PlacedAgent | None:
        """The agent of this number, if there is one."""
        return self._all.get(number)

    def add(self, agent: PlacedAgent) -> None:
        """The engine was asked for an agent."""
        self._all[agent.number] = self._starting[agent.number] = agent

    def becomes_ready(self, agent: PlacedAgent) -> None:
        """An agent can run tasks."""
        self._starting.pop(agent.number, None)
        self.rests(agent)

    def rests(self, agent: PlacedAgent) -> None:
        """Something has ended at an agent: it may be free now."""
        if agent.number in self._all:
            self._rested[agent.number] = agent

    def remove(self, agent: PlacedAgent) -> bool:
        """An agent is none any more; whether it was one."""
        self._starting.pop(agent.number, None)
        self._rested.pop(agent.number, None)
        return self._all.pop(agent.number, None) is not None

    def has(self, wanted: Resources) -> bool:
        """Whether there are agents with these resources, those included that are not ready."""
        return any(it.resources == wanted for it in self._all.values())

    @property
    def running(self) -> int:
        """How many tasks they run."""
        return sum(it.running for it in self._all.values())

    @property
    def coming(self) -> Counter[Resources]:
        """How many are not ready yet."""
        return Counter(it.resources for it in self._starting.values())

    def free(self) -> dict[Resources, list[PlacedAgent]]:
        """Those that can begin with a task at once; the one that has been there longest is the last."""
        found: dict[Resources, list[PlacedAgent]] = {}
        for number in sorted(self._rested, reverse=True):
            agent = self._rested[number]
            if agent.is_free:
                found.setdefault(agent.resources, []).append(agent)
            else:
                del self._rested[number]
        return found

    def busy(self, depth: int, launches: int) -> dict[Resources, deque[PlacedAgent]]:
        """Those that can be given launches ahead, those that have fewest first; of very many some, by turns.

        Args:
            depth: How many launches may wait at one.
            launches: How many are to be given.
        """
        if not depth:
            return {}
        now = time.monotonic()
        found = [
            it
            for it in self._some(BUSY_LOOKED_AT + 2 * launches)
            if it.is_there and it.running and len(it.ahead) < depth
            and now - it.began < AHEAD_UNDER and len(it.ended) < UNVERIFIED
        ]  # fmt: skip
        busy: dict[Resources, deque[PlacedAgent]] = {}
        for agent in sorted(found, key=lambda it: len(it.ahead)):
            busy.setdefault(agent.resources, deque()).append(agent)
        return busy

    def _some(self, number: int) -> list[PlacedAgent]:
        """So many agents, after those that were looked at before; all, where there are no more."""
        agents = list(self._all.values())
        if len(agents) <= number:
            return agents
        start = self._looked_at % len(agents)
        self._looked_at = start + number
        return (agents[start:] + agents[:start])[:number]

    def spare(self, lacking: Mapping[Resources, int]) -> list[PlacedAgent]:
        """Those that no launch waits for; those that can be missed most easily are last.

        Args:
            lacking: How many launches wait, by what they take.
        """
        idle = [it for it in self._rested.values() if it.is_there and not it.launches]
        left, coming = dict(lacking), []
        for agent in self._starting.values():
            if left.get(agent.resources):
                left[agent.resources] -= 1
            else:
                coming.append(agent)
        return [*sorted(idle, key=lambda it: -it.number), *coming]
