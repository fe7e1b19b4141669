"""The events of a run, as frozen values for a listener that shows them.

The scheduler calls its listener in the order in which they happen. The `TaskLine`s of a task come after its
`TaskStarted` and before its `TaskEnded`; `RunEnded` is the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runs.runs import Status


@frozen
class RunStarted:
    """The run exists: its first commits are published.

    `origin`: what it was resumed or cloned from. `spun`: the address of the task that it executes once more.
    """

    identity: RunIdentity
    origin: RunIdentity | None = None
    spun: str | None = None


@frozen
class TaskStarted:
    """A task's process runs. `attempt` counts from 0; a `fallback` handles that the last one's process was lost."""

    task: TaskName
    pid: int
    attempt: int
    fallback: bool = False


@frozen
class TaskLine:
    """A task wrote a line, without its newline, to `stream` ("stdout" or "stderr").

    `system` lines are added by the scheduler, such as why the task's process died; `shown` ones the task has written to
    the terminal itself.
    """

    task: TaskName
    pid: int
    stream: str
    text: str
    time: float
    system: bool = False
    shown: bool = False


@frozen
class TaskEnded:
    """A task's process has ended, after `seconds`; `error` made it fail. `again`: whether another attempt follows."""

    task: TaskName
    pid: int
    ok: bool
    attempt: int
    seconds: float
    error: str | None = None
    again: bool = False


@frozen
class TaskCloned:
    """A finished task of the origin run was adopted."""

    task: TaskName
    origin: RunIdentity


@frozen
class StepCloned:
    """A step of the origin run was adopted with all its tasks."""

    step: str
    tasks: int
    origin: RunIdentity


@frozen
class TaskTaken:
    """A task that an earlier run had done was taken from there; `origin` is its address there."""

    task: TaskName
    origin: str


@frozen
class TasksTaken:
    """As many tasks of a step were taken from earlier runs, which are named."""

    step: str
    tasks: int
    runs: tuple[str, ...]


@frozen
class ForeachSplit:
    """A foreach was reached; it yields `children` tasks of `step`."""

    task: TaskName
    pid: int | None
    step: str
    children: int


@frozen
class Progress:
    """How far the run is; sent when counts changed, at most a few times a second.

    `queued` counts the tasks known to follow and not yet started; `running` pairs steps with their
    running tasks, and `hosts` other machines with those that run there. `line` is a task and a line
    that it is writing, such as a progress bar, if there is a new one.
    """

    done: int
    queued: int
    running: tuple[tuple[str, int], ...]
    seconds: float
    line: tuple[TaskName, str] | None = None
    hosts: tuple[tuple[str, int], ...] = ()


@frozen
class Notice:
    """A sentence for the user. `bad` ones say that something is going wrong."""

    text: str
    bad: bool = False


@frozen
class RunEnded:
    """The run's last commit is published. `tasks` counts those that finished in it, not clones."""

    status: Status
    tasks: int
    seconds: float
    error: str | None = None


@frozen
class Published:
    """A commit is published: the events of it in their order, which may be the ends of thousands of tasks."""

    events: Sequence[Event]


Event = (
    RunStarted
    | TaskStarted
    | TaskLine
    | TaskEnded
    | TaskCloned
    | StepCloned
    | TaskTaken
    | TasksTaken
    | ForeachSplit
    | Progress
    | Notice
    | Published
    | RunEnded
)

Listener = Callable[[Event], None]
