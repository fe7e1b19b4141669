"""A channel in an event loop: messages are delivered as they come and sent without waiting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.runtime.ipc.channel import LAUNCH_ITEM
from gitflowrun.runtime.ipc.messages import LaunchItem, Message, encode, parse

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.ipc.event_loop import EventLoop

__all__ = ["Connection", "OnMessage"]

OnMessage = Callable[[Message], None]


class Connection:
    """The way to another process.

    Args:
        loop: The event loop.
        channel: A channel that does not block.
        on_message: Called with every message.
        on_close: Called once, when the other end is gone.
    """

    def __init__(
        self, loop: EventLoop, channel: Channel, on_message: OnMessage, on_close: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._on_message = on_message
        self._on_close = on_close
        self.is_open = True
        """Whether messages may still come."""
        self._watch()

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message, and copies of open files, now or as soon as the other end takes it."""
        if not self.is_open:
            return
        try:
            if isinstance(message, LaunchItem):
                head = LAUNCH_ITEM.pack(b"L", message.serial, message.number, message.index)
                self._channel.put(head + message.value.encode(errors="replace"), fds)
            else:
                self._channel.send(encode(message), fds)
        except OSError:
            return  # the end of the channel is noticed when it is read
        if self._channel.wants_write:
            self._watch()

    def _watch(self) -> None:
        on_write = self._flush if self._channel.wants_write else None
        self._loop.watch(self._channel.fileno(), self.read, on_write)

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.flush()
        self._watch()

    def read(self) -> None:
        """Deliver what has arrived."""
        while self.is_open:
            try:
                received = self._channel.receive()
                message = None if received is None else parse(received.body)
            except BlockingIOError:
                return
            except CorruptRecord:
                message = None  # a process that sends no messages is as good as gone
            if message is None:
                self.close()
                self._on_close()
                return
            self._on_message(message)

    def close(self) -> None:
        """Close this end."""
        if self.is_open:
            self.is_open = False
            self._loop.forget(self._channel.fileno())
            self._channel.close()
