"""The end of a channel at which a launcher process or a zygote would be."""

from __future__ import annotations

from gitflowrun.runtime.ipc.messages import Message


class Wire:
    """A channel that notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.is_open = True

    def send(self, message: Message) -> None:
        """Note it, if anybody is there."""
        if not self.is_open:
            raise BrokenPipeError
        self.sent.append(message)

    def close(self) -> None:
        """Nobody is there any more."""
        self.is_open = False
