"""Calls that other threads want made in an event loop's thread."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import Callback, EventLoop


class ThreadCalls:
    """Makes calls in turns of an event loop, in the order in which threads have asked for them.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callback] = deque()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_open = True
        self._lock = Lock()  # nobody writes to a number that is another file's by then
        loop.watch(self._read, self._make)

    def ask(self, callback: Callback) -> None:
        """Have a call made; from any thread. Nothing is once this is closed."""
        self._calls.append(callback)
        with self._lock, contextlib.suppress(BlockingIOError):  # a full pipe wakes the loop as well
            if self._is_open:
                os.write(self._write, b"\0")

    def _make(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        while self._calls and self._is_open:
            self._calls.popleft()()

    def close(self) -> None:
        """Make no more calls."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._loop.forget(self._read)
                os.close(self._read)
                os.close(self._write)
