"""Which runs are asked for: filters over what a list knows of each run. Reads no trees but for parameters.

`git runs list` and `log` ask here. Everything but parameters comes from one `git for-each-ref`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, NotFound, UsageError
from gitflowrun.names import nearest
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.listing import RunSummary

__all__ = ["RunQuery", "differing", "parameters_of", "parse_status", "select"]


@frozen
class RunQuery:
    """The runs that somebody wants to see. A field that is empty asks nothing.

    Attributes:
        flow: Runs of this flow.
        tags: Runs that have all of these tags.
        statuses: Runs with one of these statuses.
        user: Runs of this user.
        limit: At most so many, the newest ones.
    """

    flow: str | None = None
    tags: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    user: str | None = None
    limit: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether flow and limit are all that is asked."""
        return not (self.tags or self.statuses or self.user)

    def matches(self, run: RunSummary) -> bool:
        """Whether a run is one of those asked for, flow and limit aside."""
        return (
            set(self.tags).issubset(run.tags)
            and (not self.statuses or run.status in self.statuses)
            and (self.user is None or run.user == self.user)
        )


def parse_status(word: str) -> Status:
    """The status called `word`. Raises UsageError."""
    try:
        return Status(word.lower())
    except ValueError:
        known = ", ".join(status.value for status in Status)
        raise UsageError(f"{word!r} is not a status of runs", hint=f"use one of: {known}") from None


def select(repo: Repository, query: RunQuery) -> list[RunSummary]:
    """The runs that `query` asks for, newest first.

    Raises:
        NotFound: no run is of the flow asked for, and others are.
    """
    store = RunStore(repo)
    runs = store.summaries(query.flow, query.limit if query.is_plain else None)
    if not runs and query.flow is not None:
        _refuse_unknown_flow(query.flow, store.flows())
    if query.is_plain:
        return runs
    return [run for run in runs if query.matches(run)][: query.limit]


def _refuse_unknown_flow(flow: str, flows: list[str]) -> None:
    if flow in flows or not flows:
        return
    close = nearest(flow, flows) or flows[:5]
    raise NotFound(
        f"there are no runs of flow {flow!r} in this repository",
        hint=f"flows with runs: {', '.join(close)}",
    )


def parameters_of(repo: Repository, run: RunSummary) -> Mapping[str, str]:
    """The parameters of a run as text; none when its INFO can't be read."""
    from gitflowrun.runs.read import StoredRun

    try:
        return StoredRun(repo, run.flow, run.id, run.commit).info.parameters
    except CorruptRecord:  # a list shows the other runs all the same
        return {}


def differing(rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Of the parameters of (flow, parameters) rows, those in which runs of the same flow differ, in order."""
    seen: dict[tuple[str, str], set[str | None]] = {}
    names: dict[str, set[str]] = {}
    for flow, parameters in rows:
        names.setdefault(flow, set()).update(parameters)
    for flow, parameters in rows:
        for name in names[flow]:
            seen.setdefault((flow, name), set()).add(parameters.get(name))
    order = dict.fromkeys(name for _, parameters in rows for name in parameters)
    wanted = {name for (_, name), values in seen.items() if len(values) > 1}
    return [name for name in order if name in wanted]
