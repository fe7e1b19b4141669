"""The event loop: descriptors, signals and timers."""

from __future__ import annotations

import os
import signal
import time

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
