"""The pipes of what a task writes, read by the process that has launched it: the scheduler, or an agent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun import limits

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import EventLoop

STREAMS = ("stdout", "stderr")
OnData = Callable[[str, bytes], None]
"""Takes the stream and what was written to it; nothing at its end."""


class PipeEnds(list[int]):
    """The ends of pipes that are written to, which are open while they are used: each task has some."""

    def __enter__(self) -> PipeEnds:
        """The ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self.close()

    def close(self) -> None:
        """Close them."""
        for fd in self:
            os.close(fd)


class TaskPipes:
    """The pipes of a task. Who takes their data is given with each call: there is no cycle that collection must find.

    A process that runs one task after the other keeps its pipes: those of its next task take them over.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._streams: dict[int, str] = {}
        self.is_kept = False
        """Whether the task's process keeps them: it goes on, and has left nothing behind."""
        self.is_drained = False
        """Whether all was read that the task has written."""

    @property
    def is_open(self) -> bool:
        """Whether there are any that may still be read."""
        return bool(self._streams)

    def make(self) -> PipeEnds:
        """Make them; the ends to write to. Raises OSError: there are no more descriptors."""
        ends = PipeEnds()
        try:
            for stream in STREAMS:
                reading, writing = os.pipe()
                ends.append(writing)
                self._streams[reading] = stream
                os.set_blocking(reading, False)
        except OSError:
            ends.close()
            raise
        return ends

    def watch(self, take: OnData) -> None:
        """Read them whenever there is something to be read; of a task that has ended nothing comes any more."""
        for reading in () if self.is_drained else self._streams:
            self._loop.watch(reading, lambda fd=reading: self._read(fd, take))  # type: ignore[misc]

    def pause(self) -> None:
        """Read nothing until they are watched again: who writes much waits."""
        for reading in self._streams:
            self._loop.forget(reading)

    def _read(self, fd: int, take: OnData) -> None:
        try:
            data = os.read(fd, limits.PIPE_READ)
        except BlockingIOError:
            return
        stream = self._streams[fd]
        if not data:
            self._close(fd)
        take(stream, data)

    def drain(self, take: OnData) -> None:
        """Read what the task has written before its end, and close them, unless its process keeps them.

        Not to their end: processes that the task has left behind may hold them, for ever.
        """
        for fd, stream in list(self._streams.items()):
            taken, data = 0, b""
            try:
                while (self.is_kept or taken < limits.LINGERING_OUTPUT) and (
                    data := os.read(fd, limits.PIPE_READ)
                ):
                    taken += len(data)
                    take(stream, data)
                    if len(data) < limits.PIPE_READ:  # there was no more
                        break
            except BlockingIOError:
                pass
            if self.is_kept:
                self._loop.forget(fd)
            else:
                self._close(fd)
            take(stream, b"")
        self.is_drained = True

    def keep(self) -> None:
        """Leave them open at the end of the task: its process waits for another one."""
        self.is_kept = True

    def take_over(self, other: TaskPipes) -> None:
        """Be those of the next task of a process that has kept others."""
        self._streams, other._streams = other._streams, {}

    def release(self) -> None:
        """Close those that were kept: their process runs no more tasks."""
        self.is_kept = False
        if self.is_drained:
            self.close()

    def close(self) -> None:
        """Close them, whatever is still in them, unless they are kept."""
        for fd in [] if self.is_kept else list(self._streams):
            self._close(fd)

    def _close(self, fd: int) -> None:
        self._loop.forget(fd)
        del self._streams[fd]
        os.close(fd)
