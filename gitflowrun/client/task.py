"""`Task`: one execution of a step, with its artifacts, metadata and output."""

from __future__ import annotations

from collections import namedtuple
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gitflowrun.client.artifact import DataArtifact
from gitflowrun.client.base import Container, TaskPart, local_time, make
from gitflowrun.client.display import table, time_text, title
from gitflowrun.client.metaflow_names import Metadata, as_exception, metadata_entries, runtime_in
from gitflowrun.errors import MissingKey, UsageError
from gitflowrun.limits import ROWS_SHOWN
from gitflowrun.names import Pathspec
from gitflowrun.settings import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.client.code import MetaflowCode
    from gitflowrun.client.metaflow_names import TaskException
    from gitflowrun.names import TaskName
    from gitflowrun.runs.read import StoredRun, StoredTask


class Task(TaskPart, Container[DataArtifact]):
    """A task: iterate over its artifacts, or index it by their names.

    Names that start with `_` are passed over when iterating, but `task['_success']` works.
    """

    _depth = 4

    def __iter__(self) -> Iterator[DataArtifact]:
        return self._children(name for name in self._task.artifacts if not name.startswith("_"))

    @property
    def data(self) -> MetaflowData:
        """Its artifacts as attributes, loaded when they are used."""
        return MetaflowData(self)

    @property
    def artifacts(self) -> Any:
        """Its artifacts as a named tuple of `DataArtifact`."""
        found = list(self)
        names = [item.id for item in found]
        kind: Any = namedtuple("MetaflowArtifacts", names, rename=True)  # type: ignore[misc]  # noqa: PYI024
        return kind(*found)

    @property
    def metadata(self) -> list[Metadata]:
        """What was noted about it, oldest first: of all attempts, or of the one that this object speaks of alone."""
        return metadata_entries(self._task, self)

    @property
    def metadata_dict(self) -> dict[str, Any]:
        """What was noted about it: the newest value of each name."""
        return {entry.name: entry.value for entry in self.metadata}

    @property
    def current_attempt(self) -> int:
        """The number of the attempt that this object speaks of: the last one, unless another one was asked for."""
        return self._task.seen.number

    @property
    def successful(self) -> bool:
        """Whether its step returned and its artifacts were stored; False where `@catch` has caught an exception."""
        return self._task.succeeded

    @property
    def finished(self) -> bool:
        """Whether it is done; False for one that failed, as in Metaflow."""
        return self._task.ok

    @property
    def created_at(self) -> datetime:
        """When it first started."""
        return local_time(self._task.started)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        ended = self._task.finished
        return None if ended is None else local_time(ended)

    @property
    def exception(self) -> TaskException | None:
        """The exception that ended it, with `type`, `exception` and `stacktrace`; None without one."""
        # An artifact of this name that a step has assigned itself ended nothing.
        return None if self._task.ok else as_exception(self["_exception"].data)

    @property
    def index(self) -> int | None:
        """Its position in the innermost foreach; None outside of one."""
        frames = self._task.record.frames
        return frames[-1].index if frames else None

    @property
    def is_control(self) -> bool:
        """Whether it controls the other tasks of a parallel step: it is the first node of a gang."""
        gang = self._task.record.gang
        return gang is not None and not gang.index

    @property
    def runtime_name(self) -> str | None:
        """What executed it: `dev` for this machine."""
        return runtime_in(self.system_tags)

    @property
    def origin_pathspec(self) -> str | None:
        """The task it was taken over from, with all it stored; None when it was executed in this run."""
        return self._task.origin_pathspec

    @property
    def code(self) -> MetaflowCode:
        """The code of its run."""
        from gitflowrun.client.code import MetaflowCode

        return MetaflowCode(self._source, self._run.now())

    @property
    def environment_info(self) -> dict[str, Any]:
        """What it ran in: python, platform, packages, environment variables."""
        return dict(self._run.now().info.environment)

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
        names = self._task.record.parents
        info = self._run.now().info
        run = None  # those of a spun task are in the run that it was found in
        if info.is_spin and info.origin is not None:
            run = self._source.runs.of_uid(info.origin.run.flow, info.origin.run.uid)
        return (self._sibling(name, run) for name in names if not name.step.startswith("_"))

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that saw its artifacts."""
        for step in self.parent.child_steps:
            for record in self._run.now().records(step.id):
                if self._task.name in record.parents:
                    yield self._sibling(record.name)

    def _sibling(self, name: TaskName, run: StoredRun | None = None) -> Task:
        """The task of that name of a run; of its own where none is given."""
        own = self._path.components[:2]
        flow, number = own if run is None else (run.flow, run.id)
        path = Pathspec(flow, number, name.step, name.task)
        shared = self._shared(path) if run is None else {}
        task: Task = make(path, self._scope, **shared)
        return task

    @property
    def stdout(self) -> str:
        """What it printed."""
        return self._task.output("stdout").decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it printed to standard error."""
        return self._task.output("stderr").decode(errors="replace")

    @property
    def stdout_size(self) -> int:
        """The bytes it printed."""
        return self._task.output_size("stdout")

    @property
    def stderr_size(self) -> int:
        """The bytes it printed to standard error."""
        return self._task.output_size("stderr")

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

        Raises:
            UsageError: there is no such stream.
        """
        if stream not in ("stdout", "stderr"):
            raise UsageError(f"{stream!r} is no stream of a task", hint="use 'stdout' or 'stderr'")
        last = self._task.finished or 0.0
        for seconds, line in self._task.seen.lines(stream):
            moment = datetime.fromtimestamp(last if seconds is None else seconds, timezone.utc)
            yield moment.replace(tzinfo=None), line if as_unicode else line.encode()

    def _repr_html_(self) -> str:
        """A table of its artifacts with what is known of their values; nothing of anybody's is run."""
        status = self._task.seen.status
        which = "" if self._attempt is None else f", attempt {self._attempt}"
        head = title(f"Task {self.pathspec}{which}: {status}, {time_text(self.created_at)}")
        return head + artifact_table(self._task.seen, self._task.artifacts)


def artifact_table(task: StoredTask, artifacts: Mapping[str, ArtifactRef]) -> str:
    """A table of a task's artifacts, private ones left out."""
    rows = (
        (
            name,
            ref.type,
            format_size(ref.size),
            shown.short if (shown := task.run.shown(ref)) else "",
        )
        for name, ref in artifacts.items()
        if not name.startswith("_")
    )
    return table(("artifact", "type", "size", "value"), rows, most=ROWS_SHOWN)


class MetaflowData:
    """The artifacts of a task as attributes, loaded when they are used."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        if name == "_task":  # while being unpickled or copied
            raise AttributeError(name)
        try:
            artifact = self._task[name]
        except MissingKey as error:
            message = f"{error.message}; {error.hint}" if error.hint else error.message
            raise AttributeError(message, name=name, obj=self) from None
        return artifact.data

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._names()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetaflowData) and self._task == other._task

    def __hash__(self) -> int:
        return hash((MetaflowData, self._task))

    def __repr__(self) -> str:
        return f"<MetaflowData: {', '.join(self._names())}>"

    def _names(self) -> list[str]:
        return [artifact.id for artifact in self._task]
