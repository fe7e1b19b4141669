"""The event loop: descriptors, signals and timers."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

from gitflowrun.runtime.ipc.event_loop import EventLoop


def test_the_loop_waits_for_times_signals_and_descriptors() -> None:
    """Everything is called back in a turn; what is cancelled or forgotten is not."""
    loop = EventLoop()
    seen: list[str] = []
    reading, writing = os.pipe()
    loop.watch(reading, lambda: seen.append(os.read(reading, 9).decode()))
    loop.after(0.02, lambda: seen.append("late"))
    loop.after(0.01, lambda: seen.append("early"))
    loop.after(0.0, lambda: seen.append("never")).cancel()
    loop.on_signal(signal.SIGUSR1, lambda: seen.append("signal"))
    os.write(writing, b"pipe")
    os.kill(os.getpid(), signal.SIGUSR1)
    deadline = time.monotonic() + 60
    while len(seen) < 4 and time.monotonic() < deadline:
        loop.turn()
    assert sorted(seen) == ["early", "late", "pipe", "signal"]
    assert seen.index("early") < seen.index("late")
    loop.forget(reading)
    loop.forget(reading)
    os.write(writing, b"more")
    loop.after(0.01, lambda: None)
    loop.turn()
    assert len(seen) == 4
    loop.close()
    os.close(reading)
    os.close(writing)


def test_timers_that_were_cancelled_are_not_kept() -> None:
    """Not even late ones, of which there may be one for each task; the others are called, in their order."""
    loop = EventLoop()
    called: list[int] = []
    for number in range(5_000):
        loop.after(1000, lambda: called.append(-1)).cancel()
        if number % 500 == 0:
            loop.after(0.5 - number / 10_000, partial(called.append, number))
        assert len(loop._timers) <= 1_000
    while len(called) < 10:
        loop.turn()
    assert called == sorted(called, reverse=True)
    kept = [loop.after(1000, lambda: None) for _ in range(3_000)]
    assert len(loop._timers) >= len(kept)
    loop.close()
