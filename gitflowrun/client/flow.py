"""`Flow`: the runs of a flow. What a run is, `run` says.

`Metaflow`: all flows of the repository that have runs in the namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.client.base import Container, local_time, suggestion
from gitflowrun.client.namespaces import get_namespace
from gitflowrun.client.repository import Listing, Source
from gitflowrun.client.run import Run
from gitflowrun.errors import GitflowrunError, MissingKey, NotFound
from gitflowrun.names import Pathspec, RunId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pandas import DataFrame

__all__ = ["Flow", "Metaflow"]


class Flow(Container[Run]):
    """A flow that has runs: iterate over them, newest first, or index it by run id.

    It is in a namespace when one of its runs is.
    """

    _depth = 1

    def _check_exists(self) -> None:
        flows = self._source.runs.flows()
        if self.id not in flows:
            raise NotFound(
                f"there are no runs of flow {self.id!r} in this repository",
                hint=suggestion(self.id, flows) or "`git runs` lists the runs there are",
            )

    def is_in_namespace(self) -> bool:
        """Whether one of its runs belongs to the namespace the object was made in."""
        return self._namespace is None or any(run.is_in_namespace() for run in self._all())

    @property
    def created_at(self) -> datetime:
        """When its first run was born."""
        first = self._source.runs.names(self.id)[-1]
        return local_time(self._source.runs.get(*first).started)

    def __iter__(self) -> Iterator[Run]:
        return (run for run in self._all() if not self._checked or run.is_in_namespace())

    def _all(self) -> Iterator[Run]:
        listing = Listing(self._source, self.id)
        for row in listing.rows:
            run = self._relative(Run, Pathspec(self.id, row.id))
            run._adopt_row(listing, row)  # noqa: SLF001
            yield run

    def _child(self, name: str) -> Run:
        run = self._relative(Run, Pathspec(self.id, RunId(name)))
        run._check_exists()  # noqa: SLF001
        if self._checked and not run.is_in_namespace():
            raise run._outside()  # noqa: SLF001
        return run

    def runs(self, *tags: str) -> Iterator[Run]:
        """The runs that have all of `tags`, newest first; all runs without any. Read as they are asked for."""
        return (run for run in self if all(map(run.has_tag, tags)))

    @property
    def latest_run(self) -> Run | None:
        """The newest run of the namespace; None when there is none."""
        if self._namespace is not None:
            return next(iter(self), None)
        names = self._source.runs.names(self.id)
        return self._child(names[0][1]) if names else None

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run whose end was reached; None when there is none."""
        return next((run for run in self if run.successful), None)

    def to_pandas(self, *tags: str) -> DataFrame:
        """A data frame with a row for each run: status, times, tags, parameters, and metrics.

        Metrics are the numbers, truth values and short texts among the artifacts of the end task.

        Args:
            tags: Only runs that have all of them.

        Returns:
            A `pandas.DataFrame`, newest run first.

        Raises:
            UsageError: pandas is not installed.
        """
        from gitflowrun.client.display import to_pandas

        return to_pandas(self.runs(*tags))

    def _repr_html_(self) -> str:
        from gitflowrun.client.display import flow_html

        return flow_html(self)


class Metaflow:
    """The flows of the repository: iterate over them, newest first, or index it by name."""

    def __init__(self) -> None:
        self._spec = Source.current().spec
        self._namespace = get_namespace()

    @property
    def flows(self) -> list[Flow]:
        """The flows that have runs in the namespace, the one whose first run is newest first."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        # Ids count up across flows, so the first run of each says which is the oldest.
        seen = [flow for flow, _ in reversed(Source.of(self._spec).runs.names())]
        for name in reversed(dict.fromkeys(seen)):
            flow = self._flow(name)
            if flow.is_in_namespace():
                yield flow

    def __getitem__(self, name: str) -> Flow:
        try:
            flow = self._flow(name)
            flow._check_exists()  # noqa: SLF001
        except GitflowrunError as error:
            raise MissingKey(error.message, hint=error.hint) from None
        if not flow.is_in_namespace():
            outside = flow._outside()  # noqa: SLF001
            raise MissingKey(outside.message, hint=outside.hint)
        return flow

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def _flow(self, name: str) -> Flow:
        source = Source.of(self._spec)
        flow = Flow.__new__(Flow)
        flow._begin(Flow._parse(name, source), source.spec, self._namespace)  # noqa: SLF001
        return flow

    def __repr__(self) -> str:
        return f"Metaflow({self._spec!r})"
