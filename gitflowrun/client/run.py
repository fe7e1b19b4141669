"""`Run`: one execution of a flow, its tags and its code. How refs are read is the store's business."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitflowrun.client.base import Container, local_time
from gitflowrun.client.step import Step
from gitflowrun.errors import InvalidPathspec, NotFound, TaggingError
from gitflowrun.names import Pathspec, RunId
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.read import StoredRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gitflowrun.client.artifact import MetaflowData
    from gitflowrun.client.code import MetaflowCode
    from gitflowrun.client.flow import Flow
    from gitflowrun.client.repository import Listing, Source
    from gitflowrun.client.task import Task
    from gitflowrun.runs.listing import RunSummary

__all__ = ["Run", "Tagging"]

Tagging = str | bytes | Iterable[str]


class Run(Container[Step]):
    """A run: iterate over its steps, the last one first, or index it by step name.

    Besides `Flow/12`, a run is found by what names it on the command line: `12`, `@latest`, `Flow/@latest`,
    `Flow/<tag>`, `Flow/<first digits of its uid>`.
    """

    _depth = 2
    _listing: Listing | None = None
    _row: RunSummary | None = None
    _read: StoredRun | None = None

    @classmethod
    def _parse(cls, pathspec: str, source: Source) -> Pathspec:
        bare = isinstance(pathspec, str) and "/" not in pathspec
        if not bare:
            path = super()._parse(pathspec, source)
            if _is_id(path.run):
                return _unless_absent(path, source)
        elif not (pathspec[:1].isdigit() or pathspec.startswith("@")):
            return super()._parse(pathspec, source)  # a flow's name: too few components
        flow, _, word = pathspec.rpartition("/")
        found = source.runs.find(word, flow or None)
        return Pathspec(found.flow, found.id)

    def _check_exists(self) -> None:
        self._now()

    def _adopt_row(self, listing: Listing, row: RunSummary) -> None:
        self._listing, self._row = listing, row

    def _now(self) -> StoredRun:
        """The run as it is; what has ended stays as it was read."""
        if self._read is None or not self._read.state.status.is_final:
            self._read = self._look()
        return self._read

    def _look(self) -> StoredRun:
        flow, number = self._path.flow, RunId(self.id)
        if self._row is not None and self._row.status.is_final:
            return StoredRun(self._source.repo, flow, number, self._row.commit)
        found = self._source.runs.get(flow, number)
        if self._uid is not None and self._uid != found.identity.uid:  # unpickled in a clone
            return self._source.runs.find(str(self._uid), flow)
        return found

    def _summary(self) -> RunSummary | StoredRun:
        """Status and times at the least cost: from the listing that the run came from, if it has ended."""
        if self._row is not None and self._row.status.is_final:
            return self._row
        return self._now()

    @property
    def parent(self) -> Flow:
        """The flow."""
        from gitflowrun.client.flow import Flow

        return self._relative(Flow, Pathspec(self._path.flow))

    @property
    def uid(self) -> str:
        """Its identity in all clones: the oid of its birth commit."""
        return str(self._now().identity.uid)

    @property
    def commit(self) -> str:
        """The oid of the commit that holds its newest state."""
        return str(self._summary().commit)

    @property
    def status(self) -> str:
        """`running`, `done`, `failed`, `interrupted`, or `dead`: it says running, but its process is gone."""
        return self._summary().status.value

    @property
    def user(self) -> str:
        """Who ran it."""
        return self._row.user if self._row is not None else self._now().info.user

    @property
    def successful(self) -> bool:
        """Whether its end was reached."""
        return self._summary().status is Status.DONE

    @property
    def finished(self) -> bool:
        """Whether its end was reached; False for a run that failed, as in Metaflow."""
        return self.successful

    @property
    def created_at(self) -> datetime:
        """When it was born."""
        return local_time(self._summary().started)

    @property
    def finished_at(self) -> datetime | None:
        """When its end was reached; None when it was not."""
        found = self._summary()
        if found.status is not Status.DONE or found.finished is None:
            return None
        return local_time(found.finished)

    @property
    def origin_pathspec(self) -> str | None:
        """The run it was resumed or cloned from; None when it was not."""
        origin = self._now().info.origin
        return None if origin is None else origin.run.pathspec

    @property
    def trigger(self) -> None:
        """Always None: events of a cloud start no runs here."""
        return

    @property
    def _graph_endpoints(self) -> tuple[str, str]:
        graph = self._now().info.graph
        return graph.get("start_step", "start"), graph.get("end_step", "end")

    @property
    def end_task(self) -> Task | None:
        """The task of the end step; None until it has ended."""
        end = self._graph_endpoints[1]
        return self[end].task if end in self._now().steps() else None

    @property
    def data(self) -> MetaflowData | None:
        """The artifacts of the end task; None until it has ended."""
        task = self.end_task
        return None if task is None else task.data

    @property
    def code(self) -> MetaflowCode:
        """The code it ran: the snapshot of the work tree."""
        from gitflowrun.client.code import MetaflowCode

        return MetaflowCode(self._source, self._now())

    def __iter__(self) -> Iterator[Step]:
        public = [name for name in self._now().steps() if not name.startswith("_")]
        return map(self._step, reversed(public))

    def _child(self, name: str) -> Step:
        self._now().tasks(name)
        return self._step(name)

    def _step(self, name: str) -> Step:
        step = self._relative(Step, Pathspec(self._path.flow, self.id, name))
        step._run = self  # noqa: SLF001
        return step

    def steps(self, *tags: str) -> Iterator[Step]:
        """Its steps, newest first; none unless the run has all of `tags`."""
        return iter(self) if all(map(self.has_tag, tags)) else iter(())

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave it, as they are now."""
        if self._listing is not None:
            return frozenset(self._listing.tags(RunId(self.id)))
        return frozenset(self._source.tags.of(self._now()))

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how it was made: `user:`, `python_version:` and the like."""
        return frozenset(self._now().info.system_tags)

    def has_tag(self, tag: str) -> bool:
        """Whether it has a tag of either kind: `tag in run.tags`, without reading more than is needed."""
        if tag in self.user_tags or tag == f"user:{self.user}":
            return True
        return ":" in tag and tag in self.system_tags  # every system tag has a colon

    def is_in_namespace(self) -> bool:
        """Whether it has the tag that is the namespace it was looked up in."""
        return self._namespace is None or self.has_tag(self._namespace)

    def add_tag(self, tag: Tagging) -> None:
        """Give it a tag, or several. System tags that it has anyway are passed over.

        Raises:
            TaggingError: a tag that can't be, or too many of them; none was added.
        """
        self.replace_tags((), tag)

    def add_tags(self, tags: Iterable[str]) -> None:
        """Give it tags. See `add_tag`."""
        self.replace_tags((), tags)

    def remove_tag(self, tag: Tagging) -> None:
        """Take away a tag, or several. Tags that it does not have are passed over.

        Raises:
            TaggingError: one is a system tag; none was taken away.
        """
        self.replace_tags(tag, ())

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Take away tags. See `remove_tag`."""
        self.replace_tags(tags, ())

    def replace_tag(self, tag_to_remove: Tagging, tag_to_add: Tagging) -> None:
        """Take away a tag and give it another, both or neither. See `add_tag` and `remove_tag`."""
        self.replace_tags(tag_to_remove, tag_to_add)

    def replace_tags(self, tags_to_remove: Tagging, tags_to_add: Tagging) -> None:
        """Take away tags and give it others, all or nothing. See `add_tag` and `remove_tag`."""
        source, remove, add = self._source, _tag_list(tags_to_remove), _tag_list(tags_to_add)
        if not remove and not add:
            raise TaggingError("no tag was given", hint="add or remove at least one")
        source.tags.replace(self._now(), remove=remove, add=add)
        source.tag_changes += 1

    def _run_uid(self) -> str:
        return self.uid

    def _repr_html_(self) -> str:
        from gitflowrun.client.display import run_html

        return run_html(self)


def _unless_absent(path: Pathspec, source: Source) -> Pathspec:
    """The run of that id; where there is none, what else may be called so: a hash or tag of digits alone."""
    try:
        found = source.runs.find(path.run or "", path.flow)
    except NotFound:
        return path  # whoever looks it up says what there is instead
    return Pathspec(found.flow, found.id)


def _is_id(text: str | None) -> bool:
    try:
        RunId(text or "")
    except InvalidPathspec:
        return False
    return True


def _tag_list(tags: Tagging) -> list[str | bytes]:
    return [tags] if isinstance(tags, str | bytes) else list(tags)
