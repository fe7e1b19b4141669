"""Where the driver of a run listens for its agents, and what strangers get there: nothing, for a short time.

The handshake is described in `link`. Whoever connects may be anybody, such as a port scanner: until the last step it
gets a few bytes of memory and some seconds, of which there are so many at most, and never makes anything wait.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.errors import ExecutorError
from gitflowrun.runtime.ipc import remote_limits
from gitflowrun.runtime.ipc.addresses import is_loopback, own_addresses, parse_address
from gitflowrun.runtime.ipc.link import (
    HELLO,
    KEY_SIZE,
    MAGIC,
    NONCE_SIZE,
    NOT_EXPECTED,
    PROOF_SIZE,
    PROTOCOL,
    WELCOME,
    Call,
    Link,
    LinkKeys,
    proof,
)

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import EventLoop

OnLink = Callable[[int, Link], None]


class LinkServer:
    """Listens for agents that are expected.

    Args:
        loop: The event loop.
        on_link: Called with the number and the link of each agent that has come. It sets the link's `on_message` and
            `on_close` before it returns.
        host: The host that agents are told, and the port, if it must be a certain one (`addresses.parse_address`). With
            a loopback address only this machine is listened to. When None, agents are told the addresses that this
            machine has.
        port: The port where `host` says none; any free one when 0.
        likely: Where `host` is None, the address that agents are told before these; None where none is likelier.

    Raises:
        UsageError: the host is no address.
        ExecutorError: the system does not let it listen there.
    """

    def __init__(
        self,
        loop: EventLoop,
        on_link: OnLink,
        host: str | None,
        port: int = 0,
        *,
        likely: str | None = None,
    ) -> None:
        self._loop = loop
        self._on_link = on_link
        self._expected: dict[int, bytes] = {}
        self._callers: dict[_Caller, float] = {}  # when they came, the oldest first
        if host is not None:
            host, own_port = parse_address(host)
            port = port or own_port
        self._socket = _listen(host, port)
        self._socket.settimeout(0)
        known = dict.fromkeys((likely, *own_addresses()) if host is None else (host,))
        self.hosts = tuple(it for it in known if it)
        """Where agents look for it, in this order."""
        self.port: int = self._socket.getsockname()[1]
        self._is_open = True
        self._watch()

    def invite(self, number: int) -> bytes:
        """Expect an agent: the call for it, which is good for one connection."""
        key = secrets.token_bytes(KEY_SIZE)
        self._expected[number] = key
        return Call(PROTOCOL, self.hosts, self.port, number, key).pack()

    def revoke(self, number: int) -> None:
        """Expect an agent no longer; its link, if it has come, goes on."""
        self._expected.pop(number, None)

    def close(self) -> None:
        """Listen no longer. Links go on."""
        if self._is_open:
            self._is_open = False
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            for caller in list(self._callers):
                self.give_up(caller)

    def _watch(self) -> None:
        if self._is_open:
            self._loop.watch(self._socket.fileno(), self._accept)

    def _pause(self) -> None:
        """Leave those that come to the kernel for a moment."""
        self._loop.forget(self._socket.fileno())
        self._loop.after(remote_limits.HANDSHAKE_GRACE / 4, self._watch)

    def _accept(self) -> None:
        for _ in range(remote_limits.ACCEPTED_AT_ONCE):
            if len(self._callers) >= remote_limits.HANDSHAKES:
                oldest, came = next(iter(self._callers.items()))
                if time.monotonic() - came < remote_limits.HANDSHAKE_GRACE:
                    self._pause()
                    return
                self.give_up(oldest)
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # no more files may be opened, or the like, which passes
                self._pause()
                return
            caller = _Caller(self._loop, self, sock)
            self._callers[caller] = time.monotonic()

    def expected_key(self, number: int) -> bytes | None:
        """The key of an agent that is expected."""
        return self._expected.get(number)

    def give_up(self, caller: _Caller) -> None:
        """Have nothing more to do with a connection."""
        if self._callers.pop(caller, None) is not None:
            caller.release().close()

    def welcome(self, caller: _Caller, number: int, keys: LinkKeys) -> None:
        """Make a link of a connection whose other side has proved which agent it is."""
        del self._callers[caller], self._expected[number]
        link = Link(self._loop, caller.release(), keys, _drop, _drop)
        self._on_link(number, link)


def _drop(_: object) -> None:
    """Take what comes to a link that nobody has taken over."""


class _Caller:
    """A connection that has not proved to be an agent yet."""

    def __init__(self, loop: EventLoop, server: LinkServer, sock: socket.socket) -> None:
        self._loop = loop
        self._server = server
        self._socket = sock
        self._received = b""
        self._number = -1
        self._key = b""
        self._nonces = b""
        sock.settimeout(0)
        loop.watch(sock.fileno(), self._read)
        self._timer = loop.after(remote_limits.HANDSHAKE_TIME, self._give_up)

    def release(self) -> socket.socket:
        """The socket, of which nothing is read here any more."""
        self._timer.cancel()
        self._loop.forget(self._socket.fileno())
        return self._socket

    def _give_up(self) -> None:
        self._server.give_up(self)

    def _read(self) -> None:
        wanted = PROOF_SIZE if self._key else HELLO.size
        try:
            piece = self._socket.recv(wanted - len(self._received))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._received += piece
        if not piece:
            self._give_up()
        elif len(self._received) == wanted:
            received, self._received = self._received, b""
            (self._check_proof if self._key else self._greet)(received)

    def _greet(self, hello: bytes) -> None:
        magic, number, nonce = HELLO.unpack(hello)
        key = self._server.expected_key(number)
        if magic != MAGIC:
            self._give_up()
        elif key is None:
            self._say(NOT_EXPECTED)
            self._give_up()
        else:
            own = os.urandom(NONCE_SIZE)
            self._number, self._key, self._nonces = number, key, nonce + own
            if not self._say(WELCOME.pack(MAGIC, own, proof(key, b"driver", number, self._nonces))):
                self._give_up()

    def _say(self, data: bytes) -> bool:
        """Send what fits into the buffer of a new connection; whether it was taken."""
        with contextlib.suppress(OSError):
            return self._socket.send(data, socket.MSG_NOSIGNAL) == len(data)
        return False

    def _check_proof(self, answer: bytes) -> None:
        expected = proof(self._key, b"agent", self._number, self._nonces)
        # Another connection may have used the call up meanwhile, or the driver may have given it up.
        is_current = self._server.expected_key(self._number) == self._key
        if is_current and hmac.compare_digest(answer, expected):
            keys = LinkKeys.of_driver(self._key, self._nonces)
            self._server.welcome(self, self._number, keys)
        else:
            self._give_up()


def _listen(host: str | None, port: int) -> socket.socket:
    """A listening socket: on a loopback address alone if that is what is said, else on all of this machine."""
    backlog = remote_limits.LISTEN_BACKLOG
    try:
        if host is not None and is_loopback(host):
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return socket.create_server((str(place[0]), port), family=family, backlog=backlog)
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
                )
        return socket.create_server(("", port), backlog=backlog)
    except (OSError, OverflowError) as error:
        where = f" at {host or 'all addresses'}, port {port}" if port else ""
        is_taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise ExecutorError(
            f"can't listen for workers{where}: {getattr(error, 'strerror', None) or error}",
            hint=f"{'another run may use it; ' if is_taken else ''}set runs.executorAddress to a host alone, for any "
            "free port, or to another port",
        ) from error
