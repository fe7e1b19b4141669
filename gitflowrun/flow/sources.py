"""Where a step's inherited artifacts come from: a finished task seen as names, refs and values.

The runtime hands such sources in; this room neither knows a repository nor reads one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gitflowrun.runs.records import ArtifactRef, ForeachFrame, TaskName, TaskRecord

__all__ = ["ArtifactSource", "RecordSource"]


class ArtifactSource(Protocol):
    """A finished task's artifacts. Nothing is loaded before `load` is called."""

    @property
    def task(self) -> TaskName:
        """Which task."""

    @property
    def frames(self) -> tuple[ForeachFrame, ...]:
        """The foreach levels the task was in, outermost first."""

    def names(self) -> Collection[str]:
        """The names of its artifacts, inherited ones included. Membership must be cheap."""

    def ref(self, name: str) -> ArtifactRef:
        """Where an artifact's payload lies; KeyError when there is none of that name."""

    def load(self, name: str) -> object:
        """The value of an artifact, decoded anew at each call; KeyError when there is none."""


class RecordSource:
    """The artifacts of a task record, whose payloads `load` fetches.

    Args:
        record: The task's record, or a function that fetches it when it is first needed (a join may have
            thousands of inputs and look at none).
        load: Turns an artifact's name and ref into its value.
        task: The task's name; needed when `record` is a function.
        frames: The task's foreach levels; likewise.
    """

    __slots__ = ("_frames", "_load", "_record", "_task")

    def __init__(
        self,
        record: TaskRecord | Callable[[], TaskRecord],
        load: Callable[[str, ArtifactRef], object],
        *,
        task: TaskName | None = None,
        frames: tuple[ForeachFrame, ...] | None = None,
    ) -> None:
        self._record = record
        self._load = load
        self._task = task
        self._frames = frames

    @property
    def record(self) -> TaskRecord:
        """The task's record."""
        if callable(self._record):
            self._record = self._record()
        return self._record

    @property
    def task(self) -> TaskName:
        """Which task."""
        return self._task if self._task is not None else self.record.name

    @property
    def frames(self) -> tuple[ForeachFrame, ...]:
        """The foreach levels the task was in, outermost first."""
        return self._frames if self._frames is not None else self.record.frames

    def names(self) -> Collection[str]:
        """The names of its artifacts, inherited ones included."""
        return self.record.artifacts.keys()

    def ref(self, name: str) -> ArtifactRef:
        """Where an artifact's payload lies."""
        return self.record.artifacts[name]

    def load(self, name: str) -> object:
        """The value of an artifact, decoded anew at each call."""
        return self._load(name, self.record.artifacts[name])
