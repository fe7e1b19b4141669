"""The calls that an engine has been given."""

from __future__ import annotations

import threading
import time

from gitflowrun.runtime.executors.engines.placed_calls import PlacedCalls


def test_their_ends_are_waited_for() -> None:
    """Until the last one has ended, and no longer than is said."""
    told: list[tuple[int, str | None]] = []
    calls = PlacedCalls(lambda number, reason: told.append((number, reason)))
    for number in (1, 2):
        calls.begin(number)
    calls.end(1, None)
    calls.wait(0.05)
    assert told == [(1, None)]
    threading.Timer(0.05, calls.end, (2, "it was sent home")).start()
    begun = time.monotonic()
    calls.wait(60)
    assert time.monotonic() - begun < 30
    calls.wait(60)
    assert calls.futures() == []
