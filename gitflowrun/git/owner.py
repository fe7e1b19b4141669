"""Who owns a temporary file or a kept pack, and whether that process still lives. Decisions belong elsewhere.

A pid alone says little: pids are reused, and the next boot starts over. So an owner is a host, a boot, a
process and its start time. A task's pack outlives the task (the scheduler publishes it), hence the parent
counts as an owner too.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from enum import Enum

__all__ = ["Owner", "State"]


class State(Enum):
    """What is known about an owner from here."""

    ALIVE = "alive"
    DEAD = "dead"
    GONE = "gone"  # of an earlier boot: dead beyond doubt
    UNKNOWN = "unknown"  # on another host


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, and the parent that carries on its work, as `pid:start` pairs of one host and boot."""

    host: str
    boot: str
    processes: tuple[tuple[int, str], ...]

    @classmethod
    def current(cls) -> Owner:
        """This process and its parent."""
        pids = [pid for pid in (os.getpid(), os.getppid()) if pid > 1]
        return cls(
            socket.gethostname().replace(" ", "_"),
            _boot_id(),
            tuple((pid, _start_time(pid) or "0") for pid in pids),
        )

    def encode(self) -> str:
        """The owner as one line."""
        processes = ",".join(f"{pid}:{start}" for pid, start in self.processes)
        return f"host={self.host} boot={self.boot} processes={processes}"

    @classmethod
    def decode(cls, line: str) -> Owner | None:
        """The owner in a line that `encode` wrote; None when it is none."""
        fields = dict(part.partition("=")[::2] for part in line.split())
        try:
            pairs = [pair.split(":") for pair in fields["processes"].split(",")]
            return cls(fields["host"], fields["boot"], tuple((int(p), s) for p, s in pairs))
        except (KeyError, ValueError):
            return None

    def state(self) -> State:
        """Whether any of the processes still lives."""
        if self.host != socket.gethostname().replace(" ", "_"):
            return State.UNKNOWN
        if self.boot != _boot_id():
            return State.GONE
        alive = any(_start_time(pid) in {start, ""} for pid, start in self.processes)
        return State.ALIVE if alive else State.DEAD


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _start_time(pid: int) -> str | None:
    """The start time of a process in the kernel's ticks, "" where the system has none, None if it is dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name may hold spaces and brackets; the fields after it don't.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "" if not os.path.isdir("/proc/self") and _answers(pid) else None
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode("ascii")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
