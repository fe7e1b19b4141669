"""`DataArtifact` and `MetaflowData`: values of a task. Bytes become values in the store's codecs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitflowrun.client.base import RunPart
from gitflowrun.client.task_metadata import DERIVED, as_exception
from gitflowrun.errors import GitflowrunError, NotFound, UntrustedArtifact
from gitflowrun.names import Pathspec

if TYPE_CHECKING:
    from datetime import datetime
    from typing import BinaryIO

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.client.task import Task

__all__ = ["DataArtifact", "MetaflowData"]


class DataArtifact(RunPart):
    """A value that a task stored, or inherited from the tasks before it."""

    _depth = 5
    _has_attempts = True

    def _check_exists(self) -> None:
        self._task._check_exists()  # noqa: SLF001
        self._task._child(self.id)  # noqa: SLF001

    @cached_property
    def _task(self) -> Task:
        from gitflowrun.client.task import Task

        path = self._path
        return self._part(Task, Pathspec(path.flow, path.run, path.step, path.task))

    @cached_property
    def _ref(self) -> ArtifactRef | None:
        """Where its payload lies; None for one that only the task's record implies."""
        task = self._task
        return task._record.artifacts.get(self.id) if self.id in task._names() else None  # noqa: SLF001

    @property
    def parent(self) -> Task:
        """The task."""
        return self._task

    @property
    def data(self) -> Any:
        """The value, loaded anew each time.

        Raises:
            UntrustedArtifact: it is a pickle of a run that came from elsewhere and is not trusted.
            CorruptRecord: the stored bytes are not what was stored.
            NotFound: it needs code that is not there.
        """
        if self._ref is None:
            return self._implied()
        try:
            value = self._load(self._ref)
        except GitflowrunError as error:
            raise type(error)(f"{self.pathspec}: {error.message}", hint=error.hint) from error
        except AttributeError as error:
            # Unpickling met a class that is gone. Left alone, `hasattr(run.data, ...)` would say "absent".
            raise NotFound(
                f"{self.pathspec} can't be loaded: {error}",
                hint="the code that made it has a class or function that is not there any more",
            ) from error
        return as_exception(value) if self.id == "_exception" else value

    def _load(self, ref: ArtifactRef) -> Any:
        from gitflowrun.artifacts.codecs import is_safe

        artifacts = self._source.artifacts
        if is_safe(ref.codec):
            # Most values need nobody's trust. One that names a class does, if that must be imported first.
            try:
                return artifacts.load(ref, trusted=False)
            except UntrustedArtifact:
                if not self._is_trusted(ref):
                    raise
                return artifacts.load(ref, trusted=True)
        return artifacts.load(ref, trusted=self._is_trusted(ref))

    def _is_trusted(self, ref: ArtifactRef) -> bool:
        task = self._task._stored  # noqa: SLF001
        return self._source.trusts(lambda provenance: provenance.trusts_artifact(task, ref))

    def open(self) -> BinaryIO:
        """The stored bytes as a file; only what is read is fetched.

        Raises:
            NotFound: nothing is stored, Metaflow's private artifacts are implied by the task's record.
        """
        return self._source.artifacts.open(self._stored_ref)

    def rows(self, rows: int | slice) -> Any:
        """Some rows of a numpy array, `.data[rows]`; only these are fetched.

        Raises:
            UsageError: it is no array.
            IndexError: there is no such row.
            NotFound: as for `open`.
        """
        return self._source.artifacts.read_array(self._stored_ref, rows)

    @property
    def _stored_ref(self) -> ArtifactRef:
        if self._ref is None:
            raise NotFound(f"{self.pathspec} is not stored by itself", hint="use `.data`")
        return self._ref

    @property
    def sha(self) -> str:
        """The BLAKE3 digest of the stored bytes: equal values have equal ones, and so may values of other types."""
        if self._ref is not None:
            return str(self._ref.digest)
        from gitflowrun.artifacts.digest import digest_parts

        return str(digest_parts(self._encoded().parts))

    @property
    def size(self) -> int:
        """The stored bytes, before compression."""
        return self._encoded().size if self._ref is None else self._ref.size

    @property
    def type(self) -> str:
        """The type of the value, such as `builtins.dict`, known without loading it."""
        if self._ref is not None:
            return self._ref.type
        kind = type(self._implied())
        return f"{kind.__module__}.{kind.__qualname__}"

    @property
    def created_at(self) -> datetime:
        """When it was stored: when its task ended."""
        return self._task.finished_at or self._task.created_at

    @property
    def finished_at(self) -> datetime:
        """When it was stored: when its task ended."""
        return self.created_at

    def _encoded(self) -> Encoded:
        from gitflowrun.artifacts.codecs import encode

        return encode(self._implied())

    def _implied(self) -> Any:
        return DERIVED[self.id](self._task)


class MetaflowData:
    """The artifacts of a task as attributes, loaded when they are used."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        if name == "_task":  # while being unpickled or copied
            raise AttributeError(name)
        task = self._task
        try:
            artifact = task._child(name)  # noqa: SLF001
        except NotFound as error:
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
