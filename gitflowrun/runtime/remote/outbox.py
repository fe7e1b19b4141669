"""What an agent sends piece by piece, as its link takes it: packs of gigabytes, and what must come behind them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from gitflowrun.runtime.ipc.agent_limits import PAUSED_OUTPUT, SENT_AHEAD
from gitflowrun.runtime.ipc.remote_messages import pack_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage


class MessageLink(Protocol):
    """What is needed of a link."""

    waiting: int
    """Bytes that are not sent yet."""

    def send(self, message: bytes) -> None:
        """Send a message as soon as may be."""

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
        self._wants_room: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the link that no more should be made."""
        return self._link.waiting > SENT_AHEAD

    def send(self, message: Message | RemoteMessage) -> None:
        """Send a message at once, before those that wait."""
        self._link.send(pack_remote(message))

    def add(self, messages: Iterator[Message | RemoteMessage]) -> None:
        """Send messages after those that were added before, each made when the link has room for it."""
        self._queue.append(messages)
        if not self._is_waiting:
            self._go_on()

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back once the link has room again."""
        self._wants_room.append(callback)
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
            callbacks, self._wants_room = self._wants_room, []
            for callback in callbacks:
                callback()
        if self._queue or self._wants_room:
            self._wait()

    def _wait(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._loop.after(PAUSED_OUTPUT, self._go_on)
