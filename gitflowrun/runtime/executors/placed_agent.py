"""What the driver knows of an agent that an engine was asked for: where it is, and which launches it has."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gitflowrun.runtime.executors.executor_limits import UNVERIFIED
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from gitflowrun.runtime.executors.engine import Resources
    from gitflowrun.runtime.executors.object_exchange import Arrival
    from gitflowrun.runtime.ipc.event_loop import Timer
    from gitflowrun.runtime.ipc.link import Link
    from gitflowrun.runtime.ipc.messages import Launch
    from gitflowrun.runtime.ipc.remote_messages import AgentReady


@mutable
class PlacedAgent:
    """An agent that the engine was asked for.

    Attributes:
        number: Its number.
        resources: What it has for its task.
        link: The way to it, once it has connected.
        ready: What it has said of itself, once it can run tasks.
        launches: The tasks that it was given, by serial.
        ended: Those whose processes have ended, but what has arrived of them is still being verified.
        ahead: Those that wait there for the end of another.
        recalled: Those of these that are wanted back, and the numbers of the agents that have nothing to do.
        killed: The tasks that were sent a signal that ends them, and which one.
        last: The last launch that it was told as a whole.
        began: When the task that it runs has begun.
        arrivals: What arrives of each.
        idle: Stops it when it has had no task for a while.
        why: Why it can't run tasks.
        closed: Why its link has ended, while the engine may tell more.
    """

    number: int
    resources: Resources
    link: Link | None = None
    ready: AgentReady | None = None
    launches: dict[int, Launch] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    ahead: deque[int] = field(default_factory=deque)
    recalled: dict[int, int] = field(default_factory=dict)
    killed: dict[int, int] = field(default_factory=dict)
    last: Launch | None = None
    began: float = 0.0
    arrivals: dict[int, Arrival] = field(default_factory=dict)
    idle: Timer | None = None
    why: str = ""
    closed: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it can be given a task to begin with at once."""
        return self.is_there and not self.running and len(self.ended) < UNVERIFIED

    @property
    def is_there(self) -> bool:
        """Whether it runs tasks."""
        return self.ready is not None and not self.closed

    @property
    def running(self) -> int:
        """How many tasks it runs."""
        return len(self.launches) - len(self.ended) - len(self.ahead)

    @property
    def host(self) -> str:
        """Its machine; empty where that is not known yet."""
        return self.ready.host if self.ready else ""

    @property
    def where(self) -> str:
        """Which one it is, for people."""
        return f"{self.host} (agent {self.number})" if self.host else f"agent {self.number}"

    def end_rest(self) -> None:
        """It has something to do, or is none any more."""
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None
