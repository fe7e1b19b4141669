"""Sets of runs, for verbs that change many at once: what a query means, all but the newest, those of some age."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.run_summary import RunSummary
from gitflowrun.runs.query import grammar
from gitflowrun.runs.query.evaluate import conditions, select_where
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.query.grammar import Expression


@frozen
class RunSet:
    """The runs that somebody wants changed, said otherwise than one by one.

    Attributes:
        where: Those that this query means.
        keep_last: All but so many of the newest of each flow, whatever their status.
        older_than: Those that started longer ago than so many seconds.
    """

    where: str | None = None
    keep_last: int | None = None
    older_than: float | None = None


@frozen
class ChosenRuns:
    """What a set came to.

    Attributes:
        runs: The runs, the newest first.
        tagged: Those that were left out because they have tags, and the query does not speak of tags.
        running: Those that were left out because they are under way.
        spares_tagged: Whether tagged ones stay.
    """

    runs: tuple[RunSummary, ...]
    tagged: tuple[str, ...]
    running: tuple[str, ...]
    spares_tagged: bool


def choose(repo: Repository, wanted: RunSet) -> ChosenRuns:
    """The runs of a set. Tagged ones are kept unless the query asks for them, running ones in any case.

    Raises:
        QueryError: the query can't be understood.
    """
    found = RunStore(repo).listed()
    kept: set[str] = set()
    if wanted.keep_last is not None:
        seen: dict[str, int] = {}
        for run in found:
            seen[run.flow] = seen.get(run.flow, 0) + 1
            if seen[run.flow] <= wanted.keep_last:
                kept.add(run.pathspec)
    speaks_of_tags = False
    if wanted.where is not None:
        speaks_of_tags = _speaks_of_tags(grammar.parse(wanted.where))
        found = select_where(repo, found, wanted.where)
    before = time.time() - (wanted.older_than or 0.0)
    runs = [
        run for run in found
        if isinstance(run, RunSummary) and run.pathspec not in kept and run.state.started <= before
    ]  # fmt: skip
    running = [run for run in runs if run.status is Status.RUNNING]
    tagged = [run for run in runs if run.tags and not speaks_of_tags and run not in running]
    left = tuple(run for run in runs if run not in running and run not in tagged)
    return ChosenRuns(left, _names(tagged), _names(running), not speaks_of_tags)


def _names(runs: Sequence[RunSummary]) -> tuple[str, ...]:
    return tuple(run.pathspec for run in runs)


def _speaks_of_tags(expression: Expression) -> bool:
    return any(condition.name.lower() == "tag" for condition in conditions(expression))
