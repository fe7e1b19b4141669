"""What has started a run: `Trigger`, with Metaflow's events. Plain data; runs are looked up when they are asked for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from gitflowrun.client.base import run_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


TRIGGERS = "execution-triggers"
"""The metadatum of the `_parameters` task that has the events, as JSON."""


class MetaflowEvent(NamedTuple):
    """An event that has started a run.

    Attributes:
        name: Its name, such as `metaflow.Train.end`.
        id: The pathspec of the task that has made it, for the end of a run.
        timestamp: When it happened, as local time without a time zone.
        type: `run` for the end of a run.
    """

    name: str
    id: str
    timestamp: datetime
    type: str


class Trigger:
    """The events that have started a run: iterate over them, index it by a name.

    Args:
        events: The events as plain data, each a map of `name`, `id`, `time` in seconds since 1970, and `type`.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows = [dict(row) for row in events]

    @classmethod
    def load(cls, text: str) -> Trigger | None:
        """The events in a text that `dump` has made; None in anything else."""
        try:
            trigger = cls(json.loads(text))
            is_one = bool(trigger.events)
        except (KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError):
            return None  # anybody may have written it
        return trigger if is_one else None

    def dump(self) -> str:
        """The events as JSON."""
        return json.dumps(self._rows)

    @property
    def events(self) -> list[MetaflowEvent]:
        """The events, the newest first."""
        found = [
            MetaflowEvent(
                str(row["name"]),
                str(row["id"]),
                datetime.fromtimestamp(row["time"]),  # noqa: DTZ006  (Metaflow's form)
                str(row["type"]),
            )
            for row in self._rows
        ]
        return sorted(found, key=lambda event: event.timestamp, reverse=True)

    @property
    def event(self) -> MetaflowEvent | None:
        """The newest event."""
        return next(iter(self.events), None)

    @property
    def runs(self) -> list[Any] | None:
        """The runs whose end has started this one, the newest first; None where no run's end has."""
        paths = ["/".join(it.id.split("/")[:2]) for it in self.events if it.type == "run"]
        return [run_at(path) for path in dict.fromkeys(paths)] or None

    @property
    def run(self) -> Any:
        """The newest of these."""
        return next(iter(self.runs or ()), None)

    def __getitem__(self, name: str) -> Any:
        """The event of a name, or the run whose end it is."""
        for event in self.events:
            # The end of a run is known by the name of its flow, too.
            if name in {event.name, event.name.removeprefix("metaflow.").removesuffix(".end")}:
                is_run = event.type == "run"
                return run_at("/".join(event.id.split("/")[:2])) if is_run else event
        raise KeyError(name)

    def __iter__(self) -> Iterator[MetaflowEvent]:
        return iter(self.events)

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<Trigger: {', '.join(event.name for event in self)}>"
