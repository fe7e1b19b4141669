"""`DataArtifact`: a value of a task. What may be loaded is decided by `runs.trust`, how by the codecs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts import codecs
from gitflowrun.client.base import TaskPart, local_time
from gitflowrun.client.display import png, preformatted, table, title
from gitflowrun.client.metaflow_names import PRIVATE_ARTIFACTS, as_exception, private_names
from gitflowrun.errors import (
    ClassChanged,
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    NotFound,
    UntrustedArtifact,
)
from gitflowrun.limits import MEASURED_UP_TO, NAMES_IN_A_HINT
from gitflowrun.names import did_you_mean
from gitflowrun.runs.spins.not_kept import not_kept
from gitflowrun.settings import format_size

if TYPE_CHECKING:
    from datetime import datetime
    from typing import BinaryIO

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.artifacts.preview import Preview
    from gitflowrun.artifacts.reference import ArtifactRef


class DataArtifact(TaskPart):
    """A value that a task stored, or inherited from the tasks before it."""

    _depth = 5

    @property
    def id(self) -> str:
        """Its name."""
        name = self._path.artifact  # asked for several times for each of thousands that are read
        assert name is not None
        return name

    def _check_exists(self) -> None:
        super()._check_exists()
        names = self._task.artifacts
        if self.id not in names and self.id not in private_names(self._task.record):
            if (lost := not_kept(self._task.seen, self.id)) is not None:
                raise lost
            public = [name for name in names if not name.startswith("_")]
            some = public[:NAMES_IN_A_HINT] + ["…"] * (len(public) > NAMES_IN_A_HINT)
            raise NotFound(
                f"{self._task.stored.pathspec} has no artifact {self.id!r}",
                hint=did_you_mean(self.id, public, f"there is {', '.join(some)}") if some else None,
            )

    @property
    def _ref(self) -> ArtifactRef | None:
        """Where its payload lies; None for one that is derived from the task's record."""
        return self._task.artifacts.get(self.id)

    @property
    def data(self) -> Any:
        """The value, loaded anew each time.

        Raises:
            UntrustedArtifact: it is a pickle of a run that came from elsewhere and is not trusted.
            CorruptRecord: the stored bytes are not what was stored.
            NotFound: it needs code that is not there.
        """
        ref = self._ref
        if ref is None:
            return self._derived()
        try:
            value = self._load(ref)
        except ClassChanged as error:
            run = "/".join(self.pathspec.split("/")[:2])
            code = f"`git ls-tree -r runs/{run}:code` lists the code as it was when the run started"
            raise ClassChanged(
                f"{self.pathspec}: {error.message}",
                hint=f"{error.hint}; {code}" if error.hint else code,
            ) from error
        except GitflowrunError as error:
            if isinstance(error, CorruptRecord | MissingObject):
                self._forget(ref)
            raise type(error)(f"{self.pathspec}: {error.message}", hint=error.hint) from error
        except AttributeError as error:
            # Unpickling met a class that is gone. Left alone, `hasattr(run.data, ...)` would say "absent".
            raise NotFound(
                f"{self.pathspec} can't be loaded: {error}",
                hint="the code that made it has a class or function that is not there any more",
            ) from error
        return as_exception(value) if self.id == "_exception" else value

    @property
    def preview(self) -> str | None:
        """The value in one line, as its task noted it down, or a small one's text; nothing of anybody's is run.

        None where nothing is known of it.
        """
        shown = self._shown
        return None if shown is None else shown.line

    @property
    def picture(self) -> bytes | None:
        """The picture that its task drew of a figure, a PNG or, of plotly, an HTML page; None for other values.

        Nothing of anybody's is run. The page would run what is in it: show it where that can do no harm.

        Raises:
            CorruptRecord: the stored bytes are not what was stored.
        """
        return None if self._ref is None else self._source.artifacts.picture(self._ref)

    @property
    def _shown(self) -> Preview | None:
        ref = self._ref
        return None if ref is None else self._task.seen.run.shown(ref)

    def _repr_html_(self) -> str:
        """What is known of it, and its value as text; nothing of anybody's is run."""
        shown, ref = self._shown, self._ref
        rows = [("type", self.type), ("size", format_size(self.size))]
        if ref is not None:
            rows += [("made by", str(ref.producer)), ("codec", ref.codec), ("BLAKE3", self.sha)]
        rows += shown.facts.items() if shown else ()
        page = title(f"Artifact {self.pathspec}") + table((), rows)
        if shown and shown.text:
            page += preformatted(shown.text)
        if ref is not None and ref.picture is not None and ref.picture.suffix == ".png":
            with suppress(GitflowrunError):  # damaged, or not fetched yet
                page += png(self.picture or b"")
        return page

    def _load(self, ref: ArtifactRef) -> Any:
        source, task = self._source, self._task.seen
        if ref.size >= MEASURED_UP_TO and source.trust.trusts_artifact(task, ref):
            return source.artifacts.load(ref, trusted=True)
        try:
            # Most values need nobody's trust. A pickle does, and one that names a class that must be imported first.
            return source.artifacts.load(ref, trusted=False)
        except UntrustedArtifact as error:
            if not source.trust.trusts_artifact(task, ref):
                hint = source.trust.how_to_trust(task)
                raise UntrustedArtifact(error.message, hint=hint) from None
        return source.artifacts.load(ref, trusted=True)

    def _forget(self, ref: ArtifactRef) -> None:
        """Have whoever makes a damaged value again store it."""
        from gitflowrun.artifacts.dedup import DedupIndex  # hardly anybody meets one

        repo = self._source.repo
        DedupIndex(repo.state_dir, repo.objects).forget(ref)

    def open(self) -> BinaryIO:
        """The stored bytes as a file; only what is read is fetched.

        Raises:
            NotFound: nothing is stored; Metaflow's private artifacts are derived from the task's record.
        """
        ref, source = self._stored_ref, self._source
        trusted = len(ref.chunks) > 1 and source.trust.trusts_artifact(self._task.seen, ref)
        return source.artifacts.open(ref, trusted=trusted)

    def rows(self, rows: int | slice) -> Any:
        """Some rows of a numpy array, `.data[rows]`; only these are fetched.

        An array that had to be pickled, of objects or of a subclass such as `numpy.memmap`, is loaded as a whole.

        Raises:
            UsageError: it is no array.
            IndexError: there is no such row.
            NotFound: as for `open`.
            UntrustedArtifact: it was pickled, and its run is not trusted.
        """
        ref = self._stored_ref
        if ref.codec != codecs.ARRAY and ref.type.startswith("numpy."):
            import numpy as np

            if isinstance(value := self.data, np.ndarray):
                return value[rows]
        return self._source.artifacts.read_array(ref, rows)

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
        """The type of the value, such as `builtins.dict`, from the record; the value is not loaded."""
        if self._ref is not None:
            return self._ref.type
        kind = type(self._derived())
        return f"{kind.__module__}.{kind.__qualname__}"

    @property
    def created_at(self) -> datetime:
        """When it was stored: when its task ended."""
        ended = self._task.finished
        return local_time(self._task.started if ended is None else ended)

    @property
    def finished_at(self) -> datetime:
        """When it was stored: when its task ended."""
        return self.created_at

    def _encoded(self) -> Encoded:
        from gitflowrun.artifacts.codecs import encode

        return encode(self._derived())

    def _derived(self) -> Any:
        return PRIVATE_ARTIFACTS[self.id](self._task)
