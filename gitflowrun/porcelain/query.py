"""What people ask for: the runs that filters select, the tasks and artifacts that an address names.

Filters look at what a listing has of each run, which comes from one `git for-each-ref`; only parameters are
read from a run's INFO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, InvalidPathspec, NotFound, UsageError
from gitflowrun.names import TaskName, did_you_mean
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.listing import RunSummary, looked_at, no_runs_of
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.listing import DamagedRun
    from gitflowrun.runs.lookup.resolve import Address
    from gitflowrun.runs.read import StoredRun, StoredTask


@frozen
class RunQuery:
    """The runs that somebody wants to see. A field that is empty asks nothing.

    Attributes:
        flow: Runs of this flow.
        tags: Runs that have all of these tags.
        statuses: Runs with one of these statuses.
        user: Runs of this person: the user who ran it, or the name or e-mail address of its git author.
        on: Runs whose code commit is in the history of this branch, tag or other revision.
        limit: At most so many, the newest ones.
    """

    flow: str | None = None
    tags: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    user: str | None = None
    on: str | None = None
    limit: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether flow and limit are all that is asked."""
        return not (self.tags or self.statuses or self.user or self.on)

    def matches(self, run: RunSummary | DamagedRun) -> bool:
        """Whether a run is one of those asked for; flow, limit and history aside."""
        return (
            set(self.tags).issubset(run.tags)
            and (not self.statuses or run.status in self.statuses)
            and (self.user is None or self.user.casefold() in _people(run))
        )


def _people(run: RunSummary | DamagedRun) -> set[str]:
    if not isinstance(run, RunSummary):
        return set()
    return {name.casefold() for name in (run.state.user, run.author, run.email)}


def parse_status(word: str) -> Status:
    """The status called `word`. Raises UsageError."""
    try:
        return Status(word.lower())
    except ValueError:
        words = ", ".join(status.value for status in Status)
        raise UsageError(f"{word!r} is not a status of runs", hint=f"use one of: {words}") from None


def select(repo: Repository, query: RunQuery) -> list[RunSummary | DamagedRun]:
    """The runs that `query` asks for, newest first. Of what can't be read, flow, tags and status alone are known.

    Raises:
        NotFound: no run is of the flow asked for, and others are; there is no such revision.
    """
    store = RunStore(repo)
    runs = looked_at(repo, store.listed(query.flow, query.limit if query.is_plain else None))
    flows = store.flows() if query.flow and not runs else []
    if query.flow and flows and query.flow not in flows:
        raise no_runs_of(query.flow, flows)
    if query.user is not None:
        query = replace(query, user=repo.readable(query.user))
    found = [run for run in runs if query.matches(run)]
    return (found if query.on is None else _on(repo, found, query.on))[: query.limit]


def _on(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun], revision: str
) -> list[RunSummary | DamagedRun]:
    """The runs whose code commit is in the history of a revision."""
    from gitflowrun.git.ancestry import commit_of, reachable

    known = [run for run in runs if isinstance(run, RunSummary)]
    commits = {run.state.code_commit for run in known if run.state.code_commit is not None}
    there = reachable(repo, commits, commit_of(repo, revision))
    return [run for run in known if run.state.code_commit in there]


def parameters_of(repo: Repository, run: RunSummary) -> Mapping[str, str]:
    """The parameters of a run as text; none when its INFO can't be read."""
    from gitflowrun.runs.read import StoredRun

    try:
        return StoredRun(repo, run.flow, run.id, run.commit).info.parameters
    except CorruptRecord:  # a list shows the other runs all the same
        return {}


def differing(rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Of the parameters of (flow, parameters) rows, those in which runs of the same flow differ, in order."""
    runs_of: dict[str, list[Mapping[str, str]]] = {}
    for flow, parameters in rows:
        runs_of.setdefault(flow, []).append(parameters)
    names = dict.fromkeys(name for _, parameters in rows for name in parameters)
    return [
        name
        for name in names
        if any(len({run.get(name) for run in runs}) > 1 for runs in runs_of.values())
    ]


def is_private(name: str) -> bool:
    """Whether a step or an artifact is bookkeeping, which lists leave out."""
    return name.startswith("_")


def tasks_at(
    address: Address, damaged: Callable[[CorruptRecord], None] | None = None
) -> list[StoredTask]:
    """The tasks that an address names: one, those of a step, or all of a run but bookkeeping; running ones included.

    Args:
        address: Which.
        damaged: Is told of the steps of a run whose tasks can't be listed: the others are returned.

    Raises:
        NotFound: there are none.
        CorruptRecord: the tasks can't be listed, and there is nobody to be told.
    """
    from gitflowrun.runs.live import observe  # reads records, which a list of runs does not

    run, step, task = observe(address.run), address.step, address.task
    if address.artifact is not None:
        raise InvalidPathspec(
            f"{run.pathspec}/{step}/{task}/{address.artifact} names an artifact, not a task",
            hint=f"its task is {run.pathspec}/{step}/{task}",
        )
    if step is None:
        found: list[StoredTask] = []
        for name in run.steps() if damaged is None else run.known_steps():
            try:
                found += () if is_private(name) else run.tasks_of(name)
            except CorruptRecord as error:
                if damaged is None:
                    raise
                damaged(error)
        return found
    names = run.tasks(step) if task is None else [task]
    return [run.task(TaskName(step, name)) for name in names]


def artifact_at(address: Address) -> tuple[StoredTask, str]:
    """The artifact that an address names: the task that has it, and its name.

    Two shorter forms are understood where no step or task is called so: RUN/ARTIFACT for what the run ended
    up with, RUN/STEP/ARTIFACT for a step with one task.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address names something else.
    """
    run, step, task, name = address.run, address.step, address.task, address.artifact
    if step is not None and task is None and not run.has_step(step):
        last = run.final_task()
        names = last.record.artifacts if last is not None else {}
        if last is not None and step in names:
            return last, step
        public = [other for other in (*names, *run.steps()) if not is_private(other)]
        raise NotFound(
            f"{run.pathspec} has neither an artifact nor a step {step!r}",
            hint=did_you_mean(step, public, f"it has {', '.join(public[:10])}"),
        )
    if step is not None and task is not None and name is None:
        tasks = run.tasks(step)
        if len(tasks) == 1 and task not in tasks:
            task, name = tasks[0], task
    if step is None or task is None or name is None:
        if step is not None:
            run.tasks(step)  # an unknown step is the more likely mistake
        raise InvalidPathspec(
            f"this names no artifact: {'/'.join(filter(None, (run.pathspec, step, task)))}",
            hint="write RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with",
        )
    found = run.task(TaskName(step, task))
    artifact_ref(found, name)
    return found, name


def artifact_ref(task: StoredTask, name: str) -> ArtifactRef:
    """An artifact of a task. Raises NotFound with the nearest names."""
    artifacts = task.record.artifacts
    ref = artifacts.get(name)
    if ref is None:
        public = [other for other in artifacts if not is_private(other)]
        some = f"it has {', '.join(public[:10]) or 'no artifacts'}"
        hint = did_you_mean(name, public, some)
        raise NotFound(f"{task.pathspec} has no artifact {name!r}", hint=hint)
    return ref


def final_artifacts(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """What a run ended up with, by name."""
    last = run.final_task()
    return last.record.artifacts if last is not None else {}
