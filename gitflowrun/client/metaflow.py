"""`Metaflow`: all flows of the repository that have runs in the namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.client.flow import Flow
from gitflowrun.client.namespaces import get_namespace
from gitflowrun.client.repository import Source
from gitflowrun.errors import GitflowrunError, MissingKey

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Metaflow"]


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
