"""`Task`: one execution of a step, its artifacts, metadata and output. Derived values come from `derived`."""

from __future__ import annotations

from collections import namedtuple
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitflowrun.client.artifact import DataArtifact, MetaflowData
from gitflowrun.client.base import Container, RunPart, local_time, suggestion
from gitflowrun.client.task_metadata import DERIVED, Metadata, as_exception, metadata_entries
from gitflowrun.errors import NotFound
from gitflowrun.names import Pathspec, TaskName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.client.code import MetaflowCode
    from gitflowrun.client.step import Step
    from gitflowrun.client.task_metadata import TaskException
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import Attempt, TaskRecord

__all__ = ["Task"]


class Task(RunPart, Container[DataArtifact]):
    """A task: iterate over its artifacts, or index it by their names.

    Names that start with `_` are passed over when iterating, but `task['_success']` works.
    """

    _depth = 4
    _has_attempts = True

    def _check_exists(self) -> None:
        numbers = [str(attempt.number) for attempt in self._record.attempts]
        if self._attempt is not None and str(self._attempt) not in numbers:
            raise NotFound(
                f"{self.pathspec} has no attempt {self._attempt}",
                hint=f"it has {', '.join(numbers)}",
            )

    @property
    def _name(self) -> TaskName:
        assert self._path.step is not None
        return TaskName(self._path.step, self.id)

    @cached_property
    def _stored(self) -> StoredTask:
        return self._run._now().task(self._name)  # noqa: SLF001

    @property
    def _record(self) -> TaskRecord:
        return self._stored.record

    @property
    def _try(self) -> Attempt | None:
        attempts = self._record.attempts
        if self._attempt is None:
            return attempts[-1] if attempts else None
        return next((item for item in attempts if item.number == self._attempt), None)

    @property
    def _is_last_try(self) -> bool:
        attempts = self._record.attempts
        return self._attempt is None or not attempts or attempts[-1].number == self._attempt

    @property
    def parent(self) -> Step:
        """The step."""
        from gitflowrun.client.step import Step

        return self._part(Step, Pathspec(self._path.flow, self._path.run, self._path.step))

    def _names(self) -> list[str]:
        # A record lists the artifacts of the attempt that counts.
        return list(self._record.artifacts) if self._is_last_try else []

    def _artifact(self, name: str) -> DataArtifact:
        path = self._path
        return self._part(DataArtifact, Pathspec(path.flow, path.run, path.step, path.task, name))

    def __iter__(self) -> Iterator[DataArtifact]:
        return (self._artifact(name) for name in self._names() if not name.startswith("_"))

    def _child(self, name: str) -> DataArtifact:
        names = self._names()
        if name not in names and name not in DERIVED:
            public = [name for name in names if not name.startswith("_")]
            raise NotFound(
                f"{self.pathspec} has no artifact {name!r}", hint=suggestion(name, public)
            )
        return self._artifact(name)

    @property
    def data(self) -> MetaflowData:
        """Its artifacts as attributes, loaded when they are used."""
        return MetaflowData(self)

    @property
    def artifacts(self) -> Any:
        """Its artifacts as a named tuple of `DataArtifact`."""
        found = list(self)
        names = [item.id for item in found]
        make: Any = namedtuple("MetaflowArtifacts", names, rename=True)  # type: ignore[misc]  # noqa: PYI024
        return make(*found)

    @property
    def metadata(self) -> list[Metadata]:
        """What was noted about it, of all attempts, oldest first."""
        return metadata_entries(self)

    @property
    def metadata_dict(self) -> dict[str, Any]:
        """What was noted about it: the newest value of each name."""
        return {entry.name: entry.value for entry in self.metadata}

    @property
    def current_attempt(self) -> int:
        """The number of the attempt that this object speaks of."""
        return self._try.number if self._try else 0

    @property
    def successful(self) -> bool:
        """Whether its step returned and its artifacts were stored."""
        return self._try is not None and self._try.ok

    @property
    def finished(self) -> bool:
        """Whether it is done; False for one that failed, as in Metaflow."""
        return self.successful

    @property
    def created_at(self) -> datetime:
        """When it first started."""
        attempts = self._record.attempts
        return local_time(attempts[0].started) if attempts else self._run.created_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return local_time(self._try.finished) if self._try else None

    @property
    def exception(self) -> TaskException | None:
        """The exception that ended it, with `type`, `exception` and `stacktrace`; None without one."""
        return as_exception(self["_exception"].data)

    @property
    def index(self) -> int | None:
        """Its position in the innermost foreach; None outside of one."""
        frames = self._record.frames
        return frames[-1].index if frames else None

    @property
    def is_control(self) -> bool:
        """Whether it controls the other tasks of a parallel step."""
        return any(
            entry.name == "internal_task_type" and entry.value == "control_task"
            for entry in self._record.metadata
        )

    @property
    def runtime_name(self) -> str | None:
        """What executed it: `dev` for this machine."""
        tags = (tag.partition(":") for tag in self.system_tags)
        return next((value for name, _, value in tags if name == "runtime"), None)

    @property
    def origin_pathspec(self) -> str | None:
        """The task it was taken over from, with all it stored; None when it was executed in this run."""
        stored = self._run._now()  # noqa: SLF001
        if self._record.run.uid == stored.identity.uid or stored.info.origin is None:
            return None
        return f"{stored.info.origin.run.pathspec}/{self._name}"

    @property
    def code(self) -> MetaflowCode:
        """The code of its run."""
        return self._run.code

    @property
    def environment_info(self) -> dict[str, Any]:
        """What it ran in: python, platform, packages, environment variables."""
        return dict(self._run._now().info.environment)  # noqa: SLF001

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """The addresses of the tasks whose artifacts it saw."""
        return (task.pathspec for task in self.parent_tasks)

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """The addresses of the tasks that saw its artifacts."""
        return (task.pathspec for task in self.child_tasks)

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks whose artifacts it saw; of a join, in the order of the split."""
        names = self._record.parents
        return (self._sibling(name) for name in names if not name.step.startswith("_"))

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that saw its artifacts."""
        for step in self.parent.child_steps:
            for record in step._records():  # noqa: SLF001
                if self._name in record.parents:
                    yield self._sibling(record.name)

    def _sibling(self, name: TaskName) -> Task:
        return self._part(Task, Pathspec(self._path.flow, self._path.run, name.step, name.task))

    def _output(self, stream: str) -> bytes:
        return self._stored.output(stream) if self._is_last_try else b""

    @property
    def stdout(self) -> str:
        """What it printed."""
        return self._output("stdout").decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it printed to standard error."""
        return self._output("stderr").decode(errors="replace")

    @property
    def stdout_size(self) -> int:
        """The bytes it printed."""
        return len(self._output("stdout"))

    @property
    def stderr_size(self) -> int:
        """The bytes it printed to standard error."""
        return len(self._output("stderr"))

    def loglines(
        self,
        stream: str,
        as_unicode: bool = True,
        meta_dict: Mapping[str, Any] | None = None,  # noqa: ARG002  (a parameter of Metaflow's)
    ) -> Iterator[tuple[datetime, str | bytes]]:
        """The lines it printed and when, in UTC without a time zone as in Metaflow.

        Args:
            stream: `stdout` or `stderr`.
            as_unicode: Lines as text; as UTF-8 bytes when False.
            meta_dict: Not used.
        """
        last = self._record.attempts[-1].finished if self._record.attempts else 0.0
        for seconds, line in self._stored.lines(stream) if self._is_last_try else ():
            moment = datetime.fromtimestamp(last if seconds is None else seconds, timezone.utc)
            yield moment.replace(tzinfo=None), line if as_unicode else line.encode()

    def _repr_html_(self) -> str:
        from gitflowrun.client.display import task_html

        return task_html(self)
