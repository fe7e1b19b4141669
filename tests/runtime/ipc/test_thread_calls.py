"""Calls of other threads in a loop's own thread."""

from __future__ import annotations

import threading

from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.thread_calls import ThreadCalls


def test_calls_are_made_by_the_loop_in_order() -> None:
    """However many there are, and from however many threads; after the end nothing is."""
    loop = EventLoop()
    calls = ThreadCalls(loop)
    made: list[tuple[int, int, int]] = []

    def ask(thread: int) -> None:
        for number in range(20_000):
            calls.ask(lambda number=number: made.append((thread, number, threading.get_ident())))  # type: ignore[misc]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while len(made) < 60_000:
        loop.turn()
    for thread in threads:
        thread.join()
    assert {ident for *_, ident in made} == {threading.get_ident()}
    for number in range(3):
        assert [n for thread, n, _ in made if thread == number] == list(range(20_000))
    calls.close()
    calls.ask(made.clear)
    loop.after(0, lambda: None)
    loop.turn()
    assert len(made) == 60_000
    calls.close()
    loop.close()
