"""What tasks ask their agent for, and what it makes of requests that are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.runtime.ipc.absent_objects import AbsentObjects, ObjectServer
from gitflowrun.runtime.ipc.agent_limits import ABSENT_AT_ONCE
from gitflowrun.runtime.ipc.event_loop import EventLoop

Tell = Callable[[str], None]


class Served:
    """A server whose loop turns in a thread, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[Oid]] = []
        self.answer = ""
        self.loop = EventLoop()
        self.server = ObjectServer(self.loop, self._take)
        self._is_over = False
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _take(self, oids: list[Oid], tell: Tell) -> None:
        self.asked.append(oids)
        tell(self.answer)

    def _turn(self) -> None:
        while not self._is_over:
            self.loop.after(0.01, lambda: None)
            self.loop.turn()

    def close(self) -> None:
        """End it."""
        self._is_over = True
        self._thread.join()
        self.server.close()
        self.loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """A server."""
    made = Served()
    yield made
    made.close()


def test_many_objects(served: Served) -> None:
    """Are asked for in as few requests as their ids fit into."""
    oids = [Oid(number.to_bytes(20, "big")) for number in range(ABSENT_AT_ONCE + 1)]
    AbsentObjects(served.server.address).fetch(oids)
    assert served.asked == [oids[:-1], oids[-1:]]
    AbsentObjects(served.server.address).fetch([])
    assert len(served.asked) == 2


def test_what_cannot_be_had(served: Served) -> None:
    """Is an error that says why."""
    served.answer = "nobody has it"
    with pytest.raises(RepositoryError, match="nobody has it"):
        AbsentObjects(served.server.address).fetch([Oid(bytes(20))])


@pytest.mark.parametrize("request_", [b"x", bytes(21), b""])
def test_what_is_no_request(served: Served, request_: bytes) -> None:
    """Is not answered, and others are."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(f"\0{served.server.address}")
        link.send(request_)
        link.settimeout(10)
        assert link.recv(10) == b""
    AbsentObjects(served.server.address).fetch([Oid(bytes(20))])
    assert len(served.asked) == 1


def test_an_agent_that_is_gone() -> None:
    """Is told of."""
    with pytest.raises(RepositoryError, match="agent on this machine can't be asked"):
        AbsentObjects("gitflowrun-nobody").fetch([Oid(bytes(20))])
