"""Socket pairs that carry whole messages and open files between the processes of a run.

What the messages mean is in `messages`. Each message is one datagram of a SOCK_SEQPACKET pair, so many tasks
may write to one socket and no message is ever torn or mixed with another. A message above 60 KiB travels as
an anonymous memory file, whose descriptor the datagram carries.

A datagram begins with one byte:

    I   inline: the packed message
    M   memory file: its length as text; of the descriptors, which follow by SCM_RIGHTS, it is the first
    L   LaunchItem, as a struct and a text
    S   Started, as a struct
    E   Exited, as a struct

The last three pass between scheduler and zygote for each task of a foreach. They are packed without msgpack
because whatever Python code the zygote runs for each task dirties pages, which the next fork copies.

A `Connection` is a channel in an event loop: it delivers messages as they come and sends without waiting.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.errors import CorruptRecord
from gitflowrun.msgpack import pack_message, unpack_message
from gitflowrun.runtime.ipc.messages import (
    Exited,
    LaunchItem,
    Message,
    Started,
    encode,
    parse,
)
from gitflowrun.runtime.ipc.process import keep_descriptor

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import EventLoop

LAUNCH_ITEM = Struct("<cqqi")
STARTED = Struct("<cqi")
EXITED = Struct("<cqidq")
_SHORT: dict[bytes, tuple[Callable[..., Message], Struct]] = {
    b"L": (LaunchItem, LAUNCH_ITEM),
    b"S": (Started, STARTED),
    b"E": (Exited, EXITED),
}
_INT = array("i").itemsize
_CLOSED_BY_EXEC = int(socket.MSG_CMSG_CLOEXEC)  # as an enumeration it would cost more than the call
_ANCILLARY = socket.CMSG_SPACE(limits.MESSAGE_FILES * _INT)


class Channel:
    """One end of a pair.

    A blocking channel waits in `send` until the message is on its way. On one that does not block,
    `send` never waits: what the kernel does not take yet is kept, `wants_write` says so, and `flush`
    goes on when the socket is writable. So two event loops never wait for each other.

    Args:
        sock: The socket, which the channel closes.
        blocking: Whether `send` and `receive` wait.
    """

    def __init__(self, sock: socket.socket, *, blocking: bool = True) -> None:
        sock.setblocking(blocking)
        self._socket = sock
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._buffer = memoryview(bytearray(limits.MESSAGE_BUFFER))

    @classmethod
    def from_fd(cls, fd: int) -> Channel:
        """The channel over an inherited descriptor."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """The socket's descriptor, for event loops."""
        return self._socket.fileno()

    def move_away(self) -> None:
        """Give the socket a high descriptor: programs that make a daemon of themselves close the low ones."""
        self._socket = socket.socket(fileno=keep_descriptor(self._socket.detach()))

    def set_blocking(self, blocking: bool) -> None:
        """Choose whether `send` and `receive` wait."""
        self._socket.setblocking(blocking)

    @property
    def wants_write(self) -> bool:
        """Whether messages wait for the socket to become writable."""
        return bool(self._waiting)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message and copies of open files; the caller keeps its own descriptors.

        Raises:
            OSError: the other end is gone.
        """
        payload = pack_message(encode(message))
        if len(payload) <= limits.INLINE_MESSAGE:
            self.put(b"I" + payload, fds)
            return
        memory = _memory_file(payload)
        try:
            self.put(b"M%d" % len(payload), (memory, *fds))
        finally:
            os.close(memory)

    def put(self, datagram: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send what is a datagram already, and copies of open files. Raises as `send`."""
        if self._waiting or not self._offer(datagram, fds):
            self._waiting.append((datagram, tuple(os.dup(fd) for fd in fds)))

    def _offer(self, datagram: bytes, fds: tuple[int, ...]) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            # A flow's module may have given SIGPIPE its default action, which would end us without a word.
            self._socket.sendmsg([datagram], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        return True

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        while self._waiting and self._offer(*self._waiting[0]):
            for fd in self._waiting.popleft()[1]:
                os.close(fd)

    def receive(self) -> tuple[Message | None, tuple[int, ...]]:
        """The next message, None at the end of the channel, and the open files that came with it.

        The receiver closes these.

        Raises:
            BlockingIOError: nothing has arrived, on a channel that does not block.
            CorruptRecord: what arrived is no message.
        """
        datagram, fds = self.take()
        return read_datagram(datagram, fds) if datagram else (None, ())

    def take(self, how: int = 0) -> tuple[bytes, tuple[int, ...]]:
        """The next message unread, for `read_datagram`; empty at the end of the channel.

        Args:
            how: Flags of recvmsg(2), as MSG_PEEK to leave it there.

        Raises:
            BlockingIOError: nothing has arrived, on a channel that does not block.
        """
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into(
                [self._buffer], _ANCILLARY, _CLOSED_BY_EXEC | how
            )
        except ConnectionResetError:
            return b"", ()
        return bytes(self._buffer[:size]), _descriptors(ancillary)

    def close(self) -> None:
        """Close this end; messages that still wait are lost."""
        for _, fds in self._waiting:
            for fd in fds:
                os.close(fd)
        self._waiting.clear()
        self._socket.close()


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, neither inherited by programs that are started."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def read_datagram(datagram: bytes, fds: tuple[int, ...]) -> tuple[Message, tuple[int, ...]]:
    """The message in a datagram, and the open files that belong to it.

    Args:
        datagram: What arrived.
        fds: The descriptors that came with it.

    Raises:
        CorruptRecord: it is none.
    """
    kind = datagram[:1]
    if kind == b"I":
        return parse(unpack_message(memoryview(datagram)[1:])), fds
    if kind in _SHORT:
        return _short(kind, datagram), fds
    memory, *rest = fds
    try:
        with mmap.mmap(memory, int(datagram[1:]), access=mmap.ACCESS_READ) as view:
            return parse(unpack_message(view[:])), tuple(rest)
    finally:
        os.close(memory)


def _short(kind: bytes, datagram: bytes) -> Message:
    cls, form = _SHORT[kind]
    try:
        text = [datagram[form.size :].decode()] if kind == b"L" else []
        return cls(*form.unpack_from(datagram)[1:], *text)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptRecord(f"malformed datagram: {error}") from error


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    if not ancillary:
        return ()
    fds = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _INT])
    return tuple(fds)


def _memory_file(payload: bytes) -> int:
    """A descriptor of an anonymous file that holds `payload`."""
    fd = os.memfd_create("gitflowrun-message", os.MFD_CLOEXEC)
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]
    return fd


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
        self.is_unheard = False
        """Whether something could not be sent."""
        self._watch()

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message, and copies of open files, now or as soon as the other end takes it."""
        if not self.is_open:
            self.is_unheard = True
            return
        try:
            if isinstance(message, LaunchItem):
                head = LAUNCH_ITEM.pack(b"L", message.serial, message.number, message.index)
                self._channel.put(head + message.value.encode(errors="replace"), fds)
            else:
                self._channel.send(message, fds)
        except OSError:
            self.is_unheard = True
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
                message, _ = self._channel.receive()
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
