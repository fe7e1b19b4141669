"""The addresses by which agents on other machines find the driver of a run."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket

from gitflowrun.errors import UsageError

LOOPBACK = "127.0.0.1"
_ANYWHERE = (
    "192.0.2.1"  # reserved for documentation: nothing is sent there, its route alone is asked for
)
_ANY_PORT = 9
_HIGHEST_PORT = 65_535
_WORDS = r"(?:\[([^\[\]\s]+)\]|([^\[\]\s:]+)|([0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.%\w]*))(?::(\d+))?\Z"


def parse_address(words: str) -> tuple[str, int]:
    """The host and the port in `HOST`, `HOST:PORT` or `[IPV6]:PORT`; the port is 0 where none is said.

    Raises:
        UsageError: it is no address.
    """
    match = re.match(_WORDS, words.strip())
    port = int(match[4] or 0) if match else 0
    if match is None or port > _HIGHEST_PORT:
        raise UsageError(
            f"{words!r} is not an address",
            hint="write a host that workers reach this machine by, and a port if it must be a certain one: "
            "10.0.0.5, or login1:9000",
        )
    return match[1] or match[2] or match[3], port


def is_loopback(host: str) -> bool:
    """Whether a host is this machine as no other one can reach it."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() in {"localhost", "localhost.localdomain"}


def address_towards(host: str) -> str | None:
    """The address of this machine that packets to a host would carry; None without a route or such a host."""
    with contextlib.suppress(OSError, UnicodeError):
        family, kind, _, _, place = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sock:
            sock.connect(place)  # sends nothing: datagrams have no handshake
            own: str = sock.getsockname()[0]
            return own
    return None


def own_addresses() -> tuple[str, ...]:
    """Addresses that others may find this machine by, the likeliest first, and loopback as the last."""
    found = [address_towards(_ANYWHERE)]
    with contextlib.suppress(OSError, UnicodeError):
        found += [
            str(place[0])
            for *_, place in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        ]
    known = dict.fromkeys(host for host in found if host and not is_loopback(host))
    return (*known, LOOPBACK)
