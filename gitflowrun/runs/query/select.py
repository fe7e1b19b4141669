"""The runs that filters select.

Filters look at what a listing has of each run, which comes from one `git for-each-ref`; only parameters are
read from a run's INFO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, UsageError
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.listing import looked_at, no_runs_of
from gitflowrun.runs.lookup.summary import RunSummary
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.summary import DamagedRun


@frozen
class RunQuery:
    """The runs that somebody wants to see. A field that is empty asks nothing.

    Attributes:
        flow: Runs of this flow.
        tags: Runs that have all of these tags.
        statuses: Runs with one of these statuses.
        user: Runs of this person: the user who ran it, or the name or e-mail address of its git author.
        on: Runs whose code commit is in the history of this branch, tag or other revision.
        where: Runs that this query means, see `grammar`.
        limit: At most so many, the newest ones.
    """

    flow: str | None = None
    tags: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    user: str | None = None
    on: str | None = None
    where: str | None = None
    limit: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether flow and limit are all that is asked."""
        return not (self.tags or self.statuses or self.user or self.on or self.where)

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
        QueryError: the query can't be understood, or asks for what no run has.
    """
    store = RunStore(repo)
    runs = looked_at(repo, store.listed(query.flow, query.limit if query.is_plain else None))
    flows = store.flows() if query.flow and not runs else []
    if query.flow and flows and query.flow not in flows:
        raise no_runs_of(query.flow, flows)
    if query.user is not None:
        query = replace(query, user=repo.readable(query.user))
    found = [run for run in runs if query.matches(run)]
    if query.on is not None:
        found = _on(repo, found, query.on)
    if query.where is not None:
        from gitflowrun.runs.query.evaluate import select_where

        found = select_where(repo, found, query.where)
    return found[: query.limit]


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
