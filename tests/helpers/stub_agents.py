"""Agents without processes and links, by the thousand, for what the driver does with each task."""

# ruff: noqa: D102  (what a link does is said in `runtime.ipc.link`)

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

from gitflowrun.names import TaskName
from gitflowrun.runs.records import ForeachLevel
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.placed_agent import PlacedAgent
from gitflowrun.runtime.ipc.messages import Exited, Launch, Result
from gitflowrun.runtime.ipc.remote_messages import AgentReady
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from tests.helpers.engine_driver import PARENT, Driver

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.link import Link

READY = AgentReady("machine", 1, "3.11.7", shares_disk=True, notices=())


class StubLink:
    """A link that takes everything."""

    is_open, is_cut = True, False

    def __init__(self) -> None:
        self.sent: deque[Any] = deque(maxlen=1)

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        pass

    def announce_silence(self) -> None:
        pass


class StubAgents:
    """The agents of a driver, and the tasks of a foreach that they are given.

    Args:
        driver: The driver.
        count: How many agents there are.
    """

    def __init__(self, driver: Driver, count: int) -> None:
        self.driver, self.executor = driver, driver.executor
        self.agents = [self._made(number) for number in range(1, count + 1)]
        self._launched = 0

    def _made(self, number: int) -> PlacedAgent:
        agent = PlacedAgent(number, Resources(), cast("Link", StubLink()))
        self.executor._agents.add(agent)
        self.executor._ready(agent, READY)
        return agent

    def launch(self) -> None:
        """Launch one more task of the foreach."""
        self._launched += 1
        frame = ForeachLevel("start", "items", 1 << 20, self._launched, "")
        task = TaskName("work", str(self._launched))
        launch = Launch(self._launched, task, 0, (frame,), (PARENT,))
        self.executor.launch(launch, TaskPipes(self.driver.meeting.loop))

    def end(self, agent: PlacedAgent) -> None:
        """An agent says that its task has ended."""
        serial = next(iter(agent.launches))
        self.executor._hear_of_task(agent, Result(serial, {}, {}, (), None))
        self.executor._hear_of_task(agent, Exited(serial, 0, 0.1, 1 << 20))

    def turn(self) -> None:
        """Let the driver assign what was launched."""
        loop = self.driver.meeting.loop
        loop.after(0, lambda: None)
        loop.turn()

    def work(self, tasks: int) -> None:
        """Let tasks end at one agent after the other, each of which is followed by another one."""
        for number in range(tasks):
            self.end(self.agents[number % len(self.agents)])
            self.launch()
            self.turn()
            self.driver.messages.clear()
