"""How tasks of an agent ask it for objects that its machine lacks, by a socket in Linux's abstract namespace.

A request is one datagram, the ids of up to `ABSENT_AT_ONCE` objects one behind the other; the answer is `+` once all of
them can be read, or `-` and why they can't. Whoever asks opens a connection for it: forks must not share one.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.runtime.ipc.agent_limits import ABSENT_AT_ONCE, ABSENT_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.git.pack.reader import PackReader
    from gitflowrun.runtime.ipc.event_loop import EventLoop

_CREDENTIALS = struct.Struct("3i")  # process, user, group
_HERE = b"+"
_NOT = b"-"
_BACKLOG = 128


class AbsentObjects:
    """Asks the agent.

    Args:
        address: Where it listens.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def fetch(self, oids: Iterable[Oid]) -> None:
        """Have objects brought here.

        Raises:
            RepositoryError: they can't be had.
        """
        wanted = list(oids)
        for start in range(0, len(wanted), ABSENT_AT_ONCE):
            answer = self._ask(b"".join(wanted[start : start + ABSENT_AT_ONCE]))
            if not answer.startswith(_HERE):
                why = answer[1:].decode(errors="replace") or "the agent on this machine has ended"
                raise RepositoryError(why)

    @staticmethod
    def lacking(reader: PackReader, oids: Iterable[Oid]) -> list[Oid]:
        """Those of some objects that are not here."""
        wanted = dict.fromkeys(oids)
        here = reader.homes(wanted)
        return [oid for oid in wanted if oid not in here]

    def _ask(self, request: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
                link.connect(f"\0{self._address}")
                link.send(request, socket.MSG_NOSIGNAL)
                return link.recv(ABSENT_ERROR)
        except OSError as error:
            raise RepositoryError(
                f"the agent on this machine can't be asked: {error.strerror or error}"
            ) from error


class ObjectServer:
    """The agent's side.

    Args:
        loop: The event loop.
        on_request: Called with the ids of a request, and with what is to be called once: with why they can't be read,
            or the empty text when they can.

    Attributes:
        address: Where it listens.
    """

    def __init__(
        self,
        loop: EventLoop,
        on_request: Callable[[list[Oid], Callable[[str], None]], None],
    ) -> None:
        self._loop = loop
        self._on_request = on_request
        self.address = f"gitflowrun-{os.urandom(16).hex()}"
        self._listening = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        )
        self._listening.bind(f"\0{self.address}")
        self._listening.listen(_BACKLOG)
        loop.watch(self._listening.fileno(), self._accept)
        self._links: dict[int, socket.socket] = {}

    def _accept(self) -> None:
        try:
            link, _ = self._listening.accept()
        except OSError:  # it has given up, or there are too many files
            return
        peer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(peer)[1] != os.getuid():
            link.close()
            return
        link.setblocking(False)  # noqa: FBT003
        self._links[link.fileno()] = link
        self._loop.watch(link.fileno(), lambda: self._read(link))

    def _read(self, link: socket.socket) -> None:
        try:
            request = link.recv(ABSENT_AT_ONCE * Oid.SIZE)
        except BlockingIOError:
            return
        except OSError:
            request = b""
        if not request or len(request) % Oid.SIZE:
            self._close(link)
            return
        places = range(0, len(request), Oid.SIZE)
        oids = [Oid(request[place : place + Oid.SIZE]) for place in places]
        self._on_request(oids, lambda why: self._answer(link, why))

    def _answer(self, link: socket.socket, why: str) -> None:
        if link.fileno() < 0:  # whoever asked has ended
            return
        text = why.encode(errors="replace")[: ABSENT_ERROR - 1]
        try:
            link.send(_NOT + text if why else _HERE, socket.MSG_NOSIGNAL)
        except OSError:
            self._close(link)

    def _close(self, link: socket.socket) -> None:
        self._loop.forget(link.fileno())
        del self._links[link.fileno()]
        link.close()

    def close(self) -> None:
        """Listen no longer."""
        for link in (*self._links.values(), self._listening):
            self._loop.forget(link.fileno())
            link.close()
        self._links.clear()
