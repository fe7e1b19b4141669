"""What happens during a run, as frozen values for whoever shows it. Nothing here shows anything.

The scheduler hands them to its listener in the order in which they happen. The `TaskLine`s of a task
come after its `TaskStarted` and before its `TaskEnded`; `RunEnded` is the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitflowrun.runs.records import RunIdentity, TaskName
    from gitflowrun.runs.runs import Status

__all__ = [
    "Event",
    "ForeachSplit",
    "Notice",
    "Progress",
    "RunEnded",
    "RunStarted",
    "TaskCloned",
    "TaskEnded",
    "TaskLine",
    "TaskStarted",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run exists: its birth commit is published. `origin`: what it was resumed or cloned from."""

    identity: RunIdentity
    origin: RunIdentity | None = None


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task's process runs. `attempt` counts from 0."""

    task: TaskName
    pid: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task wrote a line, without its newline, to `stream` ("stdout" or "stderr").

    `system` lines are the runtime's own words in the task's log, such as why its process died.
    """

    task: TaskName
    pid: int
    stream: str
    text: str
    time: float
    system: bool = False


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task's process has ended; `retrying` when another attempt follows."""

    task: TaskName
    pid: int
    ok: bool
    attempt: int
    seconds: float
    error: str | None = None
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class TaskCloned:
    """A finished task of the origin run was adopted."""

    task: TaskName
    origin: RunIdentity


@dataclass(frozen=True, slots=True)
class ForeachSplit:
    """A foreach was reached; it yields `children` tasks of `step`."""

    task: TaskName
    pid: int
    step: str
    children: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is; sent when counts changed, at most a few times a second.

    `queued` counts the tasks known to follow and not yet started; `running` pairs steps with their
    running tasks.
    """

    done: int
    queued: int
    running: tuple[tuple[str, int], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth a line of its own. `bad` ones say that something is going wrong."""

    text: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run's last commit is published. `tasks` counts those that finished in it, not clones."""

    status: Status
    tasks: int
    seconds: float
    error: str | None = None


Event = (
    RunStarted
    | TaskStarted
    | TaskLine
    | TaskEnded
    | TaskCloned
    | ForeachSplit
    | Progress
    | Notice
    | RunEnded
)
