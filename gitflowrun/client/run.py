"""`Run`: one execution of a flow, with its state, its tags and its code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitflowrun.client.base import Container, RunPart, local_time, make
from gitflowrun.client.display import preformatted, table, time_text, title
from gitflowrun.client.step import Step
from gitflowrun.client.task import artifact_table
from gitflowrun.errors import NotFound, TaggingError
from gitflowrun.names import PARAMETERS_STEP, Pathspec, RunId, SpinId, check_tag
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.spins.given import parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gitflowrun.client.code import MetaflowCode
    from gitflowrun.client.repository import Source
    from gitflowrun.client.task import MetaflowData, Task
    from gitflowrun.client.trigger import Trigger
    from gitflowrun.git.ancestry import AheadBehind

Tagging = str | bytes | Iterable[str]


class Run(RunPart, Container[Step]):
    """A run: iterate over its steps, the last one first, or index it by step name.

    Besides `Flow/12`, a run is found by what names it on the command line: `12`, `@latest`, `@{1}`, `Flow/@latest`,
    `Flow/<tag>`, `tag:<tag>`, `Flow/<first digits of its uid>`. A tag that several runs have is ambiguous.

    `Flow/spin-3` is that of a spun task, which has no tags.
    """

    _depth = 2

    @classmethod
    def _parse(cls, pathspec: str, source: Source) -> Pathspec:
        bare = isinstance(pathspec, str) and "/" not in pathspec
        if not bare:
            path = super()._parse(pathspec, source)
            if SpinId.matches(path.run or ""):
                return path
            if RunId.matches(path.run or ""):
                return _unless_absent(path, source)
        elif not (
            pathspec[:1].isdigit() or pathspec.startswith(("@", "tag:")) or SpinId.matches(pathspec)
        ):
            return super()._parse(pathspec, source)  # a flow's name: too few components
        flow, _, word = pathspec.rpartition("/")
        found = source.runs.find(word, flow or None, spins=True)
        return Pathspec(found.flow, found.id)

    def _check_exists(self) -> None:
        self._run.now()

    @property
    def uid(self) -> str:
        """Its identity in all clones: the oid of its first commit."""
        return str(self._run.now().identity.uid)

    @property
    def commit(self) -> str:
        """The oid of the commit that holds its newest state."""
        return str(self._run.summary().commit)

    @property
    def status(self) -> str:
        """`running`, `done`, `failed` or `interrupted`, which a run is as well whose process was killed.

        `damaged` where nobody can tell: then all else that is asked of it raises an error that says why.
        """
        return self._run.status.value

    @property
    def user(self) -> str:
        """Who ran it."""
        return self._run.user

    @property
    def successful(self) -> bool:
        """Whether its end was reached, as far as anybody can tell."""
        return self._run.status is Status.DONE

    @property
    def finished(self) -> bool:
        """Whether its end was reached; False for a run that failed, as in Metaflow."""
        return self.successful

    @property
    def created_at(self) -> datetime:
        """When it started; tagging it later changes nothing."""
        return local_time(self._run.summary().state.started)

    @property
    def finished_at(self) -> datetime | None:
        """When its end was reached; None when it was not."""
        found = self._run.summary()
        if found.status is not Status.DONE or found.state.finished is None:
            return None
        return local_time(found.state.finished)

    @property
    def origin_pathspec(self) -> str | None:
        """The run it was resumed or cloned from; None when it was not."""
        origin = self._run.now().info.origin
        return None if origin is None else origin.run.pathspec

    @property
    def trigger(self) -> Trigger | None:
        """What has started it, as `--trigger` said; None where nothing has."""
        from gitflowrun.client.trigger import TRIGGERS, Trigger

        noted = [
            entry.value
            for record in self._run.now().records(PARAMETERS_STEP)
            for entry in record.metadata
            if entry.name == TRIGGERS
        ]
        return Trigger.load(noted[-1]) if noted else None

    @property
    def end_task(self) -> Task | None:
        """The task of the end step; None until it has ended."""
        run = self._run.now()
        step = run.end_step
        try:
            ids = run.tasks(step)
        except NotFound:  # no task of it has begun
            return None
        # Made at once, for this is asked of many runs, and a step between would cost as much again.
        path = Pathspec(self._path.flow, self._path.run, step, ids[-1])
        task: Task = make(path, self._scope, _run=self._run)
        return task if task._task.finished is not None else None  # noqa: SLF001  (of this package)

    @property
    def _graph_endpoints(self) -> tuple[str, str]:
        """The names of its first and of its last step; Metaflow's programs ask for them by this name."""
        run = self._run.now()
        return str(run.info.graph.get("start_step") or "start"), run.end_step

    @property
    def data(self) -> MetaflowData | None:
        """The artifacts of the end task; None until it has ended."""
        task = self.end_task
        return None if task is None else task.data

    @property
    def code_commit(self) -> str | None:
        """The commit that was checked out when it started; None before the first commit. See `code`."""
        found = self._run.summary().state.code_commit
        return None if found is None else str(found)

    def is_on(self, revision: str) -> bool:
        """Whether its code commit is in the history of a branch, a tag or another revision.

        Raises:
            NotFound: there is no such revision.
        """
        from gitflowrun.git.ancestry import commit_of, reachable

        commit = self._run.summary().state.code_commit
        repo = self._source.repo
        return commit is not None and bool(reachable(repo, {commit}, commit_of(repo, revision)))

    def ahead_behind(self, revision: str) -> AheadBehind | None:
        """How many commits its code commit has that a revision has not, and the other way round.

        None for a run from before the first commit.

        Raises:
            NotFound: there is no such revision.
        """
        from gitflowrun.git.ancestry import ahead_behind, commit_of

        commit = self._run.summary().state.code_commit
        repo = self._source.repo
        return None if commit is None else ahead_behind(repo, commit, commit_of(repo, revision))

    @property
    def code(self) -> MetaflowCode:
        """The code it ran: the snapshot of the work tree."""
        from gitflowrun.client.code import MetaflowCode

        return MetaflowCode(self._source, self._run.now())

    def __iter__(self) -> Iterator[Step]:
        run = self._run.now()
        public = [name for name in run.steps() if not name.startswith("_")]
        if run.info.is_spin:  # it has the tasks as well whose artifacts the spun one passes on
            own = run.identity.uid
            public = [it for it in public if any(row.run.uid == own for row in run.records(it))]
        return self._children(reversed(public))

    def steps(self, *tags: str) -> Iterator[Step]:
        """Its steps, newest first; none unless the run has all of `tags`."""
        return iter(self) if all(map(self.has_tag, tags)) else iter(())

    def has_tag(self, tag: str) -> bool:
        """Whether it has a tag of either kind: `tag in run.tags`, without reading more than is needed."""
        return self._run.has_tag(tag)

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
        remove, add = _tag_list(tags_to_remove), _tag_list(tags_to_add)
        if not remove and not add:
            raise TaggingError("no tag was given", hint="add or remove at least one")
        self._run.retag(remove, add)

    def move_tag(self, tag: str) -> tuple[str, ...]:
        """Have a tag name this run alone, of those of its flow: `Run("MyFlow/production")` is then this one.

        Returns:
            The pathspecs of the runs that it was taken from, of all namespaces.

        Raises:
            TaggingError: it can't be a tag, is one that the system gives, or one too many.
        """
        return self._run.move_tag(tag)

    def _repr_html_(self) -> str:
        """What it is, its parameters, its steps, and what it ended up with; nothing of anybody's is run."""
        stored = self._run.now()
        parameters = parameters_of(stored)
        last = stored.final_task()
        steps = [(name, str(len(stored.tasks(name)))) for name in stored.steps() if name[0] != "_"]
        return (
            title(f"Run {self.pathspec}")
            + table(FACTS, [facts(self, self.user_tags)])
            + (table((), sorted(parameters.items())) if parameters else "")
            + preformatted(" ".join(sorted(self.system_tags)))
            + table(("step", "tasks"), steps)
            + (artifact_table(last, last.record.artifacts) if last is not None else "")
        )


FACTS = ("status", "user", "started", "took", "tags")


def facts(run: Run, tags: Iterable[str]) -> tuple[str, ...]:
    """`FACTS` of a run as texts of a table, with those `tags` that are to be shown."""
    status = run.status
    if status == Status.DAMAGED.value:
        return (status, "", "", "", ", ".join(sorted(tags)))
    took = seconds(run)
    return (
        status,
        run.user,
        time_text(run.created_at),
        "" if took is None else f"{took:.1f} s",
        ", ".join(sorted(tags)),
    )


def seconds(run: Run) -> float | None:
    """How long a run took; None when its end was not reached."""
    ended = run.finished_at
    return None if ended is None else (ended - run.created_at).total_seconds()


def _unless_absent(path: Pathspec, source: Source) -> Pathspec:
    """The run of that id; where there is none, what else may be called so: a hash or tag of digits alone."""
    try:
        found = source.runs.find(path.run or "", path.flow)
    except NotFound:
        return path  # whoever looks it up says what there is instead
    return Pathspec(found.flow, found.id)


def _tag_list(tags: Tagging) -> list[str]:
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        return [check_tag(tags)]
    return [check_tag(tag) for tag in tags]
