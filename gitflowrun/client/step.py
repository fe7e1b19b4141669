"""`Step`: the tasks that executed a step within a run."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.client.base import Container, RunPart, local_time
from gitflowrun.client.display import table, time_text, title
from gitflowrun.client.task import Task, artifact_table
from gitflowrun.errors import NotFound
from gitflowrun.limits import ROWS_SHOWN

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
        return self._children(self._task_ids())

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
        """When its first task started. Raises NotFound: it has none, which no run of ours has."""
        tasks = self._task_ids()
        if not tasks:
            raise NotFound(f"{self.pathspec} has no tasks")
        return self._child(tasks[-1]).created_at

    @property
    def finished_at(self) -> datetime | None:
        """When the last of its tasks ended; None while one runs."""
        tasks = list(self._run.now().tasks_of(self.id))
        attempts = [task.record.attempts for task in tasks]
        is_over = self.id.startswith("_") or (all(attempts) and all(task.is_over for task in tasks))
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

    def _repr_html_(self) -> str:
        """A table of its tasks, and of the artifacts of a lone one; nothing of anybody's is run."""
        stored = [task._task.stored for task in islice(self, ROWS_SHOWN + 1)]  # noqa: SLF001  (of this package)
        rows = (
            (task.name.task, task.status, *_times(task.record), _foreach(task.record))
            for task in stored
        )
        lone = artifact_table(stored[0], stored[0].record.artifacts) if len(stored) == 1 else ""
        heads = ("task", "status", "started", "took", "foreach")
        return title(f"Step {self.pathspec}") + table(heads, rows, most=ROWS_SHOWN) + lone

    def _next(self) -> list[str]:
        node = self._run.now().info.graph.get("steps", {}).get(self.id, {})
        if node.get("type") == "split-switch":  # only the tasks say which cases were taken
            jumps = [record.transition for record in self._records()]
            return list(dict.fromkeys(name for jump in jumps if jump for name in jump.targets))
        return list(node.get("next", ()))


def _times(record: TaskRecord) -> tuple[str, str]:
    """When a task's last attempt started, and how long it took."""
    if not record.attempts:
        return "", ""
    last = record.attempts[-1]
    return time_text(local_time(last.started)), f"{last.finished - last.started:.1f} s"


def _foreach(record: TaskRecord) -> str:
    return ", ".join(record.place_texts)
