"""`Step`: the tasks that executed a step within a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.client.base import Container, RunPart, local_time
from gitflowrun.client.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gitflowrun.runs.records import TaskRecord


class Step(RunPart, Container[Task]):
    """A step of a run: iterate over its tasks, newest first, or index it by task id."""

    _depth = 3

    def _check_exists(self) -> None:
        self._task_ids()

    def _task_ids(self) -> list[str]:
        """The ids of its tasks, newest first. Raises NotFound."""
        return self._run.now().tasks(self.id)[::-1]

    def _records(self) -> Iterator[TaskRecord]:
        return self._run.now().records(self.id)

    def __iter__(self) -> Iterator[Task]:
        return (self._at(*self._path.components, name) for name in self._task_ids())

    @property
    def task(self) -> Task | None:
        """The newest of its tasks: the only one, unless the step lies in a foreach."""
        return next(iter(self), None)

    def tasks(self, *tags: str) -> Iterator[Task]:
        """Its tasks, newest first; none unless the run has all of `tags`."""
        return iter(self) if all(map(self._run.has_tag, tags)) else iter(())

    @property
    def control_task(self) -> Task | None:
        """The task that controls the others of a parallel step; None in any other step."""
        return next(iter(self.control_tasks()), None)

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """The tasks that control others, newest first."""
        return (task for task in self.tasks(*tags) if task.is_control)

    @property
    def created_at(self) -> datetime:
        """When its first task started."""
        return self._child(self._task_ids()[-1]).created_at

    @property
    def finished_at(self) -> datetime | None:
        """When the last of its tasks ended; None while one runs."""
        attempts = [record.attempts for record in self._records()]
        is_over = attempts and (self.id.startswith("_") or all(attempts))
        ends = [tries[-1].finished for tries in attempts if tries]
        return local_time(max(ends)) if ends and is_over else None

    @property
    def origin_pathspec(self) -> str | None:
        """The step its tasks were taken over from; None when they were executed in this run."""
        task = self.task
        origin = None if task is None else task.origin_pathspec
        return None if origin is None else origin.rpartition("/")[0]

    @property
    def environment_info(self) -> dict[str, Any] | None:
        """What its tasks ran in: python, platform, packages, environment variables."""
        task = self.task
        return None if task is None else task.environment_info

    @property
    def parent_steps(self) -> Iterator[Step]:
        """The steps that led to it."""
        return (
            step for step in self.parent if any(child.id == self.id for child in step.child_steps)
        )

    @property
    def child_steps(self) -> Iterator[Step]:
        """The steps it led to, as far as they have tasks."""
        present = set(self._run.now().steps())
        return (
            self._at(*self._path.components[:2], name) for name in self._next() if name in present
        )

    def _next(self) -> list[str]:
        node = self._run.now().info.graph.get("steps", {}).get(self.id, {})
        if node.get("type") == "split-switch":  # only the tasks say which cases were taken
            jumps = [record.transition for record in self._records()]
            return list(dict.fromkeys(name for jump in jumps if jump for name in jump.targets))
        return list(node.get("next", ()))
