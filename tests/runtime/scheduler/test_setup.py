"""What a run's execution is made of: its channels, and how many tasks may run at a time."""

from __future__ import annotations

import resource
from typing import Any, cast

import pytest

from gitflowrun.runtime.ipc.events import Event
from gitflowrun.runtime.ipc.messages import RunFinished
from gitflowrun.runtime.scheduler import setup
from gitflowrun.runtime.scheduler.setup import Channels
from tests.runtime.scheduler.wire import Wire


def test_nobody_needs_to_be_at_the_other_end() -> None:
    """What is said to a launcher process that is gone is lost; both channels are closed in the end."""
    launcher, zygote = Wire(), Wire()
    channels = Channels(cast("Any", launcher), (cast("Any", zygote), 5))
    channels.say(RunFinished(0, None))
    channels.close()
    assert (launcher.is_open, zygote.is_open) == (False, False)
    channels.say(RunFinished(1, None))
    assert launcher.sent == [RunFinished(0, None)]


@pytest.mark.parametrize(
    ("limit", "workers", "affordable"),
    [
        (resource.RLIM_INFINITY, 1000, 1000),
        (64 + 40, 10, 10),
        (64 + 39, 10, 9),
        (64, 10, 1),
        (10, 2, 1),
    ],
)
def test_so_many_tasks_run_at_a_time_as_there_are_descriptors_for(
    monkeypatch: pytest.MonkeyPatch, limit: int, workers: int, affordable: int
) -> None:
    """Fewer than wanted are told; one always runs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    events: list[Event] = []
    assert setup._affordable(workers, events.append) == affordable
    assert len(events) == (affordable != workers)
