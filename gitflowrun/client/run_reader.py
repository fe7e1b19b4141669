"""The run and the task behind client objects, read once and shared by all objects made from one another.

`Run`, `Step`, `Task` and `DataArtifact` are views of the same two things. A thousand artifacts must not read
their task's record a thousand times, and a thousand runs of a list must not look for tags a thousand times.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.client.repository import Source
from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError
from gitflowrun.limits import TAGS_FRESH
from gitflowrun.names import check_tag
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import observe
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import CAUGHT
from gitflowrun.values import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Oid
    from gitflowrun.names import RunId, TaskName
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import Attempt, TaskRecord


class Listing:
    """The runs of a flow as one look at the refs found them, and their tags as they are now.

    What was found holds for `TAGS_FRESH` seconds, then the tags of all runs are read again, at once: a loop that waits
    for a tag sees it, and a loop over all runs does not read the refs for each.

    Args:
        source: The repository.
        flow: The flow's name.
    """

    def __init__(self, source: Source, flow: str) -> None:
        self._source = source
        self._flow = flow
        self._set_age()
        self.rows: list[RunSummary | DamagedRun] = source.runs.listed(flow)
        self._tags = {row.id: row.tags for row in self.rows}

    def tags(self, run: RunId) -> tuple[str, ...]:
        """The user tags of a run."""
        if time.monotonic() > self._stale or self._source.tag_changes != self._changes:
            self._set_age()
            tagged = self._source.tags.all(self._flow)
            self._tags = {run: tags for (_, run), tags in tagged.items()}
        return self._tags.get(run, ())

    def _set_age(self) -> None:
        self._changes = self._source.tag_changes
        self._stale = time.monotonic() + TAGS_FRESH


class RunReader:
    """A run as it is when it is asked; what has ended is read once.

    Args:
        spec: The repository, `local@/path`.
        flow: The run's flow.
        number: Its id.
        uid: The oid of its first commit, where an unpickled object brings it along.
        listing: The listing that it was found in.
        row: Its row there.
    """

    __slots__ = ("_read", "flow", "listing", "number", "row", "spec", "uid")

    def __init__(
        self,
        spec: str,
        flow: str,
        number: RunId,
        *,
        uid: Oid | None = None,
        listing: Listing | None = None,
        row: RunSummary | None = None,
    ) -> None:
        self.spec = spec
        self.flow = flow
        self.number = number
        self.uid = uid
        self.listing = listing
        self.row = row
        self._read: StoredRun | None = None

    @property
    def source(self) -> Source:
        """The repository, opened again in a process that did not open it."""
        return Source.of(self.spec)

    def now(self) -> StoredRun:
        """The run at its newest commit. Raises NotFound."""
        if self._read is None or not self._read.state.status.is_final:
            self._read = self._look()
        return self._read

    def _look(self) -> StoredRun:
        row = self.row
        if row is not None and row.state.status.is_final:
            return StoredRun(self.source.repo, self.flow, self.number, row.commit, row)
        source, uid = self.source, self.uid
        run = source.runs.get(self.flow, self.number) if uid is None else self._unpickled(uid)
        return observe(run) if source.looks_live else run

    def _unpickled(self, uid: Oid) -> StoredRun:
        """The run of a uid, which in a clone may have another id, or none."""
        runs = self.source.runs
        with suppress(NotFound):
            found = runs.get(self.flow, self.number)
            if found.identity.uid == uid:
                return found
        if (found_elsewhere := runs.of_uid(self.flow, uid)) is not None:
            return found_elsewhere
        raise NotFound(
            f"run {self.flow}/{self.number} with the uid {uid} is not in {self.source.repo.common_dir}",
            hint="fetch it with `git runs fetch` from where it is",
        )

    def summary(self) -> RunSummary | StoredRun:
        """Status and times at the least cost: from the listing, if the run had ended by then."""
        if self.row is not None and self.row.state.status.is_final:
            return self.row
        return self.now()

    @property
    def status(self) -> Status:
        """How far it is; that it is damaged where nobody can tell."""
        try:
            return self.summary().status
        except (CorruptRecord, RepositoryError):
            return Status.DAMAGED

    @property
    def user(self) -> str:
        """Who ran it."""
        return self.row.state.user if self.row is not None else self.now().info.user

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave it, as they are now."""
        if self.listing is not None:
            return frozenset(self.listing.tags(self.number))
        return frozenset(self.source.tags.of(self.now()))

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how it was made: `user:`, `python_version:` and the like."""
        return frozenset(self.now().info.system_tags)

    def has_tag(self, tag: str) -> bool:
        """Whether it has a tag of either kind; reads no more than is needed. Raises TaggingError for what is none."""
        tag = check_tag(tag)
        if tag in self.user_tags or tag == f"user:{self.user}":
            return True
        return ":" in tag and tag in self.system_tags  # every system tag has a colon

    def retag(self, remove: Iterable[str | bytes], add: Iterable[str | bytes]) -> None:
        """Take away tags and give others, all or nothing. Raises TaggingError."""
        source = self.source
        source.tags.change(self.now(), remove=remove, add=add)
        source.tag_changes += 1

    def move_tag(self, tag: str) -> tuple[str, ...]:
        """Take a tag from all other runs of the flow, and give it; the pathspecs of these. Raises TaggingError."""
        source = self.source
        taken = source.tags.move(self.now(), tag)
        source.tag_changes += 1
        return taken


class TaskReader:
    """A task as one of its attempts left it.

    Args:
        run: Its run.
        name: Its step and id.
        number: Which attempt, from 0; the last one when None.
    """

    name: TaskName

    def __init__(self, run: RunReader, name: TaskName, number: int | None) -> None:
        self.run = run
        self.name = name
        self.number = number

    @lazy
    def stored(self) -> StoredTask:
        """The stored task, whatever the attempt. Raises NotFound."""
        return self.run.now().task(self.name)

    @property
    def record(self) -> TaskRecord:
        """Its record, of all attempts."""
        return self.stored.record

    @property
    def seen(self) -> StoredTask:
        """The stored task as the attempt has left it. Raises NotFound: there was no such attempt."""
        return self.stored if self.number is None else self._earlier

    @property
    def own_record(self) -> TaskRecord:
        """What the attempt has recorded."""
        return self.seen.record

    @lazy
    def _earlier(self) -> StoredTask:
        return self.stored.at_attempt(self.number or 0)

    def check_attempt(self) -> None:
        """Raise NotFound unless there is such a task, and such an attempt of it."""
        _ = self.record if self.number is None else self.seen

    @property
    def attempt(self) -> Attempt | None:
        """The attempt; None for a task that never got to one, or of which one has not ended."""
        if self.number is None and self.record.again and not self.stored.is_over:
            return None
        number = self.seen.number
        return next((item for item in self.record.attempts if item.number == number), None)

    @property
    def ok(self) -> bool:
        """Whether the step returned and its artifacts were stored."""
        return self.attempt is not None and self.attempt.ok

    @property
    def succeeded(self) -> bool:
        """Whether the step itself has returned: what `@catch` has caught lets the flow go on and is no success."""
        caught = self.record.artifacts.get(CAUGHT)
        return self.ok and (caught is None or caught.producer != self.name)

    @property
    def started(self) -> float:
        """When its first attempt started, in seconds since 1970."""
        started = self.stored.started
        return self.run.summary().state.started if started is None else started

    @property
    def finished(self) -> float | None:
        """When the attempt ended, in seconds since 1970."""
        return self.attempt.finished if self.attempt else None

    @property
    def artifacts(self) -> Mapping[str, ArtifactRef]:
        """What is stored of it, by name."""
        return self.seen.record.artifacts

    def output(self, stream: str) -> bytes:
        """What it wrote to `stdout` or `stderr`."""
        return self.seen.output(stream)

    def output_size(self, stream: str) -> int:
        """Bytes of that."""
        return self.seen.output_size(stream)

    @property
    def origin_pathspec(self) -> str | None:
        """The task that it was taken over from by `resume`, or from the step cache; None when its run executed it."""
        run, reuse = self.run.now(), self.record.reuse
        if reuse is not None and reuse.run is not None:
            return f"{reuse.run.pathspec}/{reuse.task}"
        if self.record.run.uid == run.identity.uid or run.info.origin is None:
            return None
        return f"{run.info.origin.run.pathspec}/{self.name}"
