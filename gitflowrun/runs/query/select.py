"""The runs that filters select.

Filters look at what the index has of each run, by column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.looks import note_lost
from gitflowrun.runs.lookup.run_index import table_of_runs
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_columns import RunTable
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary


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


def parse_status(word: str) -> Status:
    """The status called `word`. Raises UsageError."""
    try:
        return Status(word.lower())
    except ValueError:
        words = ", ".join(status.value for status in Status)
        raise UsageError(f"{word!r} is not a status of runs", hint=f"use one of: {words}") from None


def select(repo: Repository, query: RunQuery) -> list[RunSummary | DamagedRun]:
    """As `select_table`, run by run."""
    return select_table(repo, query).runs()


def select_table(repo: Repository, query: RunQuery, *, facts: bool = False) -> RunTable:
    """The runs that `query` asks for, newest first. Of what can't be read, flow, tags and status alone are known.

    Args:
        repo: The repository.
        query: What is asked.
        facts: Whether parameters, metrics and branch are wanted.

    Raises:
        NotFound: no run is of the flow asked for, and others are; there is no such revision.
        QueryError: the query can't be understood, or asks for what no run has.
    """
    if query.where is not None and not facts:
        from gitflowrun.runs.query.evaluate import asks_for_facts

        facts = asks_for_facts(query.where)
    limit = query.limit if query.is_plain else None
    table = table_of_runs(repo, query.flow, limit, facts=facts)
    note_lost(repo, table, query.flow)
    if query.flow and not len(table):
        _check_flow(repo, query.flow)
    if query.is_plain:
        return table.head(query.limit)
    table = _matching(repo, table, query)
    if query.on is not None:
        table = _on(repo, table, query.on)
    if query.where is not None:
        from gitflowrun.runs.query.evaluate import select_rows

        table = select_rows(repo, table, query.where)
    return table.head(query.limit)


def _check_flow(repo: Repository, flow: str) -> None:
    """Raise NotFound if no run is of a flow, and others are."""
    from gitflowrun.runs.lookup.listing import no_runs_of
    from gitflowrun.runs.runs import RunStore

    flows = RunStore(repo).flows()
    if flows and flow not in flows:
        raise no_runs_of(flow, flows)


def _matching(repo: Repository, table: RunTable, query: RunQuery) -> RunTable:
    """The runs that a query asks for; flow, limit and history aside."""
    places: Sequence[int] = range(len(table))
    if query.tags:
        wanted, tags = {*query.tags}, table.column("tags")
        places = [it for it in places if wanted.issubset(tags[it])]
    if query.statuses:
        words, status = {it.value for it in query.statuses}, table.status()
        places = [it for it in places if status[it] in words]
    if query.user is not None:
        person = repo.readable(query.user).casefold()
        columns = (table.column(name) for name in ("user", "author", "email"))
        people = table.known_only([*zip(*columns, strict=True)])
        places = [it for it in places if person in (name.casefold() for name in people[it] or ())]
    return table.take(places)


def _on(repo: Repository, table: RunTable, revision: str) -> RunTable:
    """The runs whose code commit is in the history of a revision."""
    from gitflowrun.git.ancestry import commit_of, reachable

    code = table.column("code_commit")
    commits = {Oid.from_hex(it) for it in {*code} if it is not None}
    there = {str(it) for it in reachable(repo, commits, commit_of(repo, revision))}
    return table.take([place for place, it in enumerate(code) if it in there])


def parameters_of(repo: Repository, run: RunSummary) -> Mapping[str, str]:
    """The parameters of a run as text; none when its INFO can't be read."""
    from gitflowrun.runs.read import StoredRun

    try:
        return StoredRun(repo, run.flow, run.id, run.commit).info.parameters
    except CorruptRecord:  # a list shows the other runs all the same
        return {}
