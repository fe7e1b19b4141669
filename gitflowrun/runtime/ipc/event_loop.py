"""An event loop for one thread: it calls back for descriptors, signals and timers."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import select
import signal
import time
from collections.abc import Callable
from itertools import count

from gitflowrun.values import mutable

Callback = Callable[[], None]
# As `selectors` has it: what is broken or closed can be read and written, which then says so.
_READABLE, _WRITABLE = ~select.EPOLLOUT, ~select.EPOLLIN
_MANY_TIMERS = 1000  # with fewer, cancelled ones may stay until they are due


@mutable
class Timer:
    """A call that is due at some time, unless it is cancelled."""

    callback: Callback | None

    def cancel(self) -> None:
        """Never call."""
        self.callback = None


class EventLoop:
    """Calls back when descriptors are ready, when signals have come and when timers are due."""

    def __init__(self) -> None:
        # Not by `selectors`, whose values for each descriptor and event cost more than all else that is done here.
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[Callback, Callback | None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._many = _MANY_TIMERS
        self._order = count()
        self._on_signal: dict[int, Callback] = {}
        self._woken: int | None = None

    def watch(self, fd: int, on_read: Callback, on_write: Callback | None = None) -> None:
        """Call `on_read` whenever `fd` can be read, and `on_write` whenever it can be written."""
        events = select.EPOLLIN | (select.EPOLLOUT if on_write else 0)
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = on_read, on_write

    def forget(self, fd: int) -> None:
        """Watch `fd` no longer; harmless when it is not watched."""
        if self._watched.pop(fd, None) is not None:
            with contextlib.suppress(OSError):  # it was closed
                self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, when this time has passed."""
        if len(self._timers) >= self._many:
            self._drop_cancelled()
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def _drop_cancelled(self) -> None:
        """Drop the timers that were cancelled: of those with a late time there may be one for each task."""
        self._timers = [row for row in self._timers if row[2].callback is not None]
        heapq.heapify(self._timers)
        self._many = max(_MANY_TIMERS, 2 * len(self._timers))

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back in a turn of the loop, not in the middle of other code, when the signal has come."""
        if self._woken is None:
            self._woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
            self.watch(self._woken, self._signalled)
        self._on_signal[number] = callback
        signal.signal(number, lambda *_: None)

    def _signalled(self) -> None:
        assert self._woken is not None
        for number in set(os.read(self._woken, 4096)):
            callback = self._on_signal.get(number)
            if callback is not None:
                callback()

    def turn(self) -> None:
        """Wait until something happens, and make the calls that are due then."""
        left = self._time_left()
        ready = self._epoll.poll(left if left is None else math.ceil(left * 1e3) * 1e-3)
        for fd, events, callbacks in [(fd, it, self._watched.get(fd)) for fd, it in ready]:
            if callbacks is None:
                continue
            on_read, on_write = callbacks
            # A callback before this one may have closed this descriptor.
            if events & _READABLE and self._watched.get(fd) is callbacks:
                on_read()
            if on_write and events & _WRITABLE and self._watched.get(fd) is callbacks:
                on_write()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _time_left(self) -> float | None:
        """Seconds until the next timer is due; None without one."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(self._timers[0][0] - time.monotonic(), 0.0)

    def close(self) -> None:
        """Watch nothing any more, and restore the default action of the signals."""
        if self._woken is not None:
            for number in self._on_signal:
                signal.signal(number, signal.SIG_DFL)
            os.close(signal.set_wakeup_fd(-1))
            os.close(self._woken)
        self._epoll.close()
