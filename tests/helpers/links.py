"""A driver's server and agents' links, each in a loop of its own, which one thread turns."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.link import Call, Link, connect
from gitflowrun.runtime.ipc.link_server import LinkServer

MIB = 1 << 20
PATIENCE = 60
"""Seconds after which a test has waited too long."""


class Side:
    """What one side of a link has got."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ends: list[str] = []

    def take(self, message: bytes | memoryview) -> None:
        """Keep a message, which is there for this call alone."""
        self.messages.append(bytes(message))


class Meeting:
    """A server on this machine, and agents that come to it."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.agents_loop = EventLoop()
        self.links: dict[int, Link] = {}
        self.agents: list[Link] = []
        self.sides: dict[int, Side] = {}
        self.server = LinkServer(self.loop, self._on_link, "127.0.0.1")

    def _on_link(self, number: int, link: Link) -> None:
        side = self.sides[number] = Side()
        link.on_message, link.on_close = side.take, side.ends.append
        self.links[number] = link

    def agent(self, call: bytes) -> tuple[Link, Side]:
        """The link of an agent that follows a call, and what it gets."""
        side = Side()
        with self.served():
            link = connect(self.agents_loop, call, side.take, side.ends.append)
        self.agents.append(link)
        return link, side

    def pair(self, number: int = 1) -> tuple[Link, Side, Link, Side]:
        """A link: the driver's end and what it gets, the agent's end and what it gets."""
        link, side = self.agent(self.server.invite(number))
        self.turn_until(lambda: number in self.links)
        return self.links[number], self.sides[number], link, side

    @contextmanager
    def served(self) -> Iterator[None]:
        """Turn the driver's loop in another thread while this one waits for it."""
        is_over = threading.Event()

        def turn() -> None:
            while not is_over.is_set():
                _turn(self.loop)

        thread = threading.Thread(target=turn)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def turn_until(
        self, is_true: Callable[[], object], *, driver: bool = True, agents: bool = True
    ) -> None:
        """Turn the loops of both sides, or of one, until something is true."""
        deadline = time.monotonic() + PATIENCE
        while not is_true():
            assert time.monotonic() < deadline, "waited too long"
            for loop, turns in ((self.loop, driver), (self.agents_loop, agents)):
                if turns:
                    _turn(loop)

    def turn_for(self, seconds: float) -> None:
        """Turn the loops of both sides for some time."""
        end = time.monotonic() + seconds
        self.turn_until(lambda: time.monotonic() > end)

    def close(self) -> None:
        """Close everything."""
        for link in (*self.links.values(), *self.agents):
            link.close()
        self.server.close()
        self.loop.close()
        self.agents_loop.close()


def _turn(loop: EventLoop) -> None:
    """A turn that ends soon."""
    loop.after(0.002, lambda: None)
    loop.turn()


class Relay:
    """A network between agents and a driver, which may cut, change and repeat what it carries.

    Attributes:
        change: Makes of what comes from an agent what the driver gets.
        from_driver: What has come from the driver.
        is_cut: Whether nothing is carried any more; both sides' connections stay open.
    """

    def __init__(self, call: bytes) -> None:
        invitation = Call.unpack(call)
        self._driver = ("127.0.0.1", invitation.port)
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.call = Call(
            invitation.protocol, invitation.hosts, port, invitation.number, invitation.key
        ).pack()
        self.change: Callable[[bytes], bytes] = lambda data: data
        self.from_driver = b""
        self.is_cut = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._carry)

    def _start(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args)
        self._threads.append(thread)
        thread.start()

    def _carry(self) -> None:
        with suppress(OSError):
            agent = self._server.accept()[0]
            driver = socket.create_connection(self._driver)
            self._sockets += [agent, driver]
            self._start(self._copy, driver, agent)
            self._copy(agent, driver)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        is_from_agent = source is self._sockets[0]
        with suppress(OSError):
            while data := source.recv(MIB):
                if self.is_cut:
                    continue
                if not is_from_agent:
                    self.from_driver += data
                target.sendall(self.change(data) if is_from_agent else data)
            if not self.is_cut:
                target.shutdown(socket.SHUT_WR)

    def inject(self, data: bytes) -> None:
        """Send the driver something that no agent has sent."""
        self._sockets[1].sendall(data)

    def close(self) -> None:
        """Close all connections."""
        for sock in (self._server, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._server, *self._sockets):
            sock.close()
