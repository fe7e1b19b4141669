"""`Flow`, the runs of a flow, and `Metaflow`, the flows of a repository."""

from __future__ import annotations

import warnings
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from gitflowrun.client.base import Container, Index, Scope, local_time, make
from gitflowrun.client.display import data_frame, table, title
from gitflowrun.client.repository import Source, get_namespace
from gitflowrun.client.run import FACTS, Run, facts, seconds
from gitflowrun.client.run_reader import Listing, RunReader
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.limits import CELL_BYTES, ROWS_SHOWN
from gitflowrun.names import PARAMETERS_STEP, Pathspec, any_id, check_tag
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.listing import no_runs_of, told_damaged
from gitflowrun.runs.lookup.run_summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pandas import DataFrame

    from gitflowrun.client.task import Task
    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.commit_message import RunState
    from gitflowrun.runs.lookup.run_summary import DamagedRun

T = TypeVar("T")

# What becomes a cell of a data frame: nothing that needs unpickling, nothing long.
_CELL_TYPES = tuple(f"builtins.{name}" for name in ("bool", "float", "int", "str", "NoneType"))
_CELL_NUMPY = ("numpy.bool", "numpy.float", "numpy.int", "numpy.uint")
_CELL_CODECS = ("plain/", "str/", "npy/")

_LEADING: Mapping[str, Callable[[Run], Any]] = {
    "run_id": attrgetter("id"),
    "status": attrgetter("status"),
    "user": attrgetter("user"),
    "created_at": attrgetter("created_at"),
    "finished_at": attrgetter("finished_at"),
    "seconds": seconds,
    "tags": lambda run: tuple(sorted(run.user_tags)),
    "code_commit": lambda run: str(_state(run).code_commit or "") or None,
    "dirty": lambda run: _state(run).dirty,
    "origin": lambda run: " ".join(_state(run).origin.split()[1:2]) or None,
}
"""The columns of every run, in a data frame before all others."""


def _commit(run: Run) -> Oid:
    return run._run.summary().commit  # noqa: SLF001  (as below)


def _state(run: Run) -> RunState:
    return run._run.summary().state  # noqa: SLF001  (what a list has read already)


class Flow(Container[Run]):
    """A flow that has runs: iterate over them, newest first, or index it by run id.

    It is in a namespace when one of its runs is.
    """

    _depth = 1

    def _check_exists(self) -> None:
        runs = self._source.runs
        if not runs.has_flow(self.id):
            raise no_runs_of(self.id, runs.flows())

    def is_in_namespace(self) -> bool:
        """Whether one of its runs belongs to the namespace the object was made in."""
        return self._scope.namespace is None or any(self._visible())

    @property
    def created_at(self) -> datetime:
        """When its first run started."""
        first = self._source.runs.names(self.id)[-1]
        return local_time(self._source.runs.get(*first).info.created)

    def __iter__(self) -> Iterator[Run]:
        return self._some(None)

    def _some(self, where: str | None) -> Iterator[Run]:
        is_narrowed = self._scope.checked and self._scope.namespace is not None
        return self._visible(where) if is_narrowed else self._all(where)

    def _visible(self, where: str | None = None) -> Iterator[Run]:
        # Whose a damaged run is nobody can tell: it is shown rather than lost.
        return (
            run for run in self._all(where) if _unless_damaged(run, Run.is_in_namespace, lost=True)
        )

    def _all(self, where: str | None = None) -> Iterator[Run]:
        flow, spec = self.id, self._scope.spec
        listing = Listing(self._source, flow)
        for row in listing.rows if where is None else self._meant(listing, where):
            known = row if isinstance(row, RunSummary) else None
            reader = RunReader(spec, flow, row.id, listing=listing, row=known)
            yield make(Pathspec(flow, row.id), self._scope, _run=reader)

    def _meant(self, listing: Listing, where: str) -> Sequence[RunSummary | DamagedRun]:
        from gitflowrun.runs.query.evaluate import select_where  # most loops ask nothing

        return select_where(self._source.repo, listing.rows, where)

    def _child(self, name: str) -> Run:
        run: Run = self._at(self.id, any_id(name))
        run._check_visible()  # noqa: SLF001  (of a class of this module)
        return run

    def runs(self, *tags: str, where: str | None = None) -> Iterator[Run]:
        """The runs that have all of `tags`, newest first; all runs without any. Read as they are asked for.

        Args:
            tags: Tags, of either kind.
            where: Only runs that this query means, as of `git runs list`: `"accuracy > 0.9 and not failed"`.

        A run that is damaged comes in its place, with the status `damaged`; whatever else is asked of it raises an
        error that says why. Where nobody can tell whether it has a tag, it is left out, with a warning.

        Raises:
            TaggingError: no tag can be called so.
            QueryError: the query can't be understood, or asks for what no run has.
        """
        wanted = [check_tag(tag) for tag in tags]

        def is_wanted(run: Run) -> bool:
            return all(map(run.has_tag, wanted))

        return (
            run
            for run in self._some(where)
            if _unless_damaged(run, is_wanted, lost=False, told="not looked at")
        )

    @property
    def latest_run(self) -> Run | None:
        """The newest run of the namespace; None when there is none."""
        if self._scope.namespace is not None:
            return next(iter(self), None)
        names = self._source.runs.names(self.id)
        return self._child(names[0][1]) if names else None

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run whose end was reached; None when there is none."""
        return next((run for run in self if run.successful), None)

    def to_pandas(
        self, *tags: str, where: str | None = None, columns: Iterable[str] | None = None
    ) -> DataFrame:
        """A data frame with a row for each run: status, times, tags, code, parameters, and metrics.

        Metrics are the numbers, truth values and short texts among the artifacts of the end task.

        Args:
            tags: Only runs that have all of them.
            where: Only runs that this query means, as of `git runs list`.
            columns: Only these columns, in this order; one that no run has is empty.

        Returns:
            A `pandas.DataFrame`, newest run first.

        Raises:
            UsageError: pandas is not installed.
            QueryError: the query can't be understood, or asks for what no run has.
        """
        found = list(rows(self.runs(*tags, where=where)))
        if columns is None:
            return data_frame(found, _LEADING)
        wanted = list(columns)
        return data_frame([{it: row[it] for it in wanted if it in row} for row in found], wanted)

    def _repr_html_(self) -> str:
        """A table of its newest runs, with the parameters in which they differ, and their metrics."""
        from gitflowrun.runs.lookup.run_index import facts_of  # few programs show pages
        from gitflowrun.runs.query.columns import cell, differing

        runs = list(islice(self, ROWS_SHOWN + 1))
        commits = [_unless_damaged(run, _commit, lost=None) for run in runs]
        known = facts_of(self._source.repo, commits)
        changed = differing([(self.id, it.parameters) for it in known])
        metrics = [*dict.fromkeys(name for it in known for name in it.metrics)]
        lines = [
            (
                run.id,
                *facts(run, run.user_tags),
                *(it.parameters.get(name, "") for name in changed),
                *(cell(it.metrics[name]) if name in it.metrics else "" for name in metrics),
            )
            for run, it in zip(runs, known, strict=True)
        ]
        heads = ("run", *FACTS, *changed, *metrics)
        return title(f"Flow {self.id}") + table(heads, lines, most=ROWS_SHOWN)


class Metaflow(Index[Flow]):
    """The flows of the repository: iterate over them, newest first, or index it by name."""

    def __init__(self) -> None:
        self._scope = Scope(Source.current().spec, get_namespace())

    @property
    def flows(self) -> list[Flow]:
        """The flows that have runs in the namespace, the one whose first run is newest first."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        # Ids count up across flows, so the first run of each says which is the oldest.
        seen = [flow for flow, _ in reversed(Source.of(self._scope.spec).runs.names())]
        for name in reversed(dict.fromkeys(seen)):
            flow = make(Pathspec(name), self._scope)
            if flow.is_in_namespace():
                yield flow

    def _child(self, name: str) -> Flow:
        flow: Flow = make(Pathspec.parse(name, depth=1), self._scope)
        flow._check_visible()  # noqa: SLF001  (of a class of this module)
        return flow

    def __getstate__(self) -> dict[str, Any]:
        return self._scope.to_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._scope = Scope.of_state(state)

    def __repr__(self) -> str:
        return f"Metaflow({self._scope.spec!r})"


def rows(runs: Iterable[Run]) -> Iterator[dict[str, Any]]:
    """A dictionary for each run: what every run has, then its parameters, then its metrics.

    An artifact that is named like one of the columns of every run gets `data.` in front of its name. Of a run that is
    damaged there are its id, its tags and that status.
    """
    for run in runs:
        tags = tuple(sorted(run.user_tags))
        lost = {"run_id": run.id, "status": Status.DAMAGED.value, "tags": tags}
        yield _unless_damaged(run, _row, lost=lost, told="without values")


def _row(run: Run) -> dict[str, Any]:
    row = {name: read(run) for name, read in _LEADING.items()}
    parameters = run[PARAMETERS_STEP].task if PARAMETERS_STEP in run else None
    for task in (parameters, run.end_task):
        for name, value in _cells(task) if task is not None else ():
            row[f"data.{name}" if name in _LEADING else name] = value
    return row


def _unless_damaged(run: Run, read: Callable[[Run], T], *, lost: T, told: str = "") -> T:
    """What `read` makes of a run, which may be anybody's.

    Args:
        run: The run.
        read: What is asked of it.
        lost: What takes the place of that where the run can't be read.
        told: What becomes of such a run, for a warning; nothing is said of it when empty.
    """
    try:
        return read(run)
    except (CorruptRecord, RepositoryError):
        if told:
            warnings.warn(told_damaged([run.pathspec], f"damaged and {told}"), stacklevel=3)
        return lost


def _cells(task: Task) -> Iterator[tuple[str, Any]]:
    for artifact in task:
        ref = artifact._ref  # noqa: SLF001  (codec and size are no part of Metaflow's API)
        if ref is None or ref.size > CELL_BYTES or not ref.codec.startswith(_CELL_CODECS):
            continue
        if ref.type in _CELL_TYPES or ref.type.startswith(_CELL_NUMPY):
            yield artifact.id, artifact.data
