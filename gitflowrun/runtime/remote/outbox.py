"""What an agent sends, as its link takes it: packs of gigabytes in pieces, and many short messages at once.

A message costs driver and agent a system call each, which takes longer than all else that is done with it. So what can
wait for some milliseconds does: of a short task, all that is said arrives with its end.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from gitflowrun.runtime.ipc.agent_limits import (
    HELD_SIZE,
    HELD_TIME,
    PAUSED_OUTPUT,
    SENT_AHEAD,
)
from gitflowrun.runtime.ipc.messages import Result, Started
from gitflowrun.runtime.ipc.remote_messages import (
    TaskNote,
    TaskOutput,
    TaskPack,
    pack_piece,
    pack_remote,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gitflowrun.runtime.ipc.event_loop import EventLoop, Timer
    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage


_PATIENT = (Started, Result, TaskOutput, TaskNote)


class MessageLink(Protocol):
    """What is needed of a link."""

    waiting: int
    """Bytes that are not sent yet."""

    def send_together(self, messages: Iterable[bytes]) -> None:
        """Send messages as soon as may be."""

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Send a message that is in parts."""

    def close(self) -> None:
        """End the link."""


class Outbox:
    """Sends messages over a link.

    Args:
        loop: The event loop.
        link: The link.
    """

    def __init__(self, loop: EventLoop, link: MessageLink) -> None:
        self._loop = loop
        self._link = link
        self._queue: deque[Iterator[Message | RemoteMessage]] = deque()
        self._is_waiting = False
        self._callbacks: list[Callable[[], None]] = []
        self._held: list[bytes] = []
        self._held_size = 0
        self._timer: Timer | None = None

    @property
    def is_full(self) -> bool:
        """Whether more than `SENT_AHEAD` bytes wait to be sent."""
        return self._link.waiting > SENT_AHEAD

    @property
    def is_behind(self) -> bool:
        """Whether something that was added was not sent yet."""
        return bool(self._queue)

    def send(self, message: Message | RemoteMessage) -> None:
        """Send a message before those that were added, at once or within milliseconds."""
        if isinstance(message, TaskPack):
            self.flush()
            self._link.send_parts(pack_piece(message))
            return
        data = pack_remote(message)
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > HELD_SIZE or not isinstance(message, _PATIENT):
            self.flush()
        elif len(self._held) == 1:
            self._timer = self._loop.after(HELD_TIME, self.flush)

    def flush(self) -> None:
        """Send what waits for others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held, self._held_size = self._held, [], 0
        if held:
            self._link.send_together(held)

    def add(self, messages: Iterator[Message | RemoteMessage]) -> None:
        """Send messages after those that were added before, each made when the outbox is not full."""
        self._queue.append(messages)
        if not self._is_waiting:
            self._go_on()

    def when_not_full(self, callback: Callable[[], None]) -> None:
        """Call back once, when no more than `SENT_AHEAD` bytes wait to be sent any more."""
        self._callbacks.append(callback)
        self._wait()

    def _go_on(self) -> None:
        self._is_waiting = False
        while self._queue and not self.is_full:
            message = next(self._queue[0], None)
            if message is None:
                self._queue.popleft()
            else:
                self.send(message)
        if not self.is_full:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()
        if self._queue or self._callbacks:
            self._wait()

    def _wait(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._loop.after(PAUSED_OUTPUT, self._go_on)
