"""Processes as owners of temporary files, kept packs and git's own locks: who they are and whether they live.

A pid alone says little: pids are reused, and the next boot starts over. So an owner is a host, a boot, and
processes with their start times. A task's pack outlives the task, for the scheduler publishes it; hence a
process and its parent together can be an owner too.
"""

from __future__ import annotations

import os
import re
import time
from enum import Enum
from pathlib import Path

from gitflowrun.limits import GC_PID_SIZE, GC_PID_VALID, MAINTENANCE_LOCK_VALID, USABLE_CPUS
from gitflowrun.values import frozen

_NO_START = "0"
_NO_BOOT = "unknown"
_PROC = Path("/proc")
_FIRST_SPACE = str(0xEFFFFFFC)  # PROC_PID_INIT_INO of the kernel's proc_ns.h
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"


class State(Enum):
    """What can be known about an owner from here."""

    ALIVE = "alive"
    DEAD = "dead"
    GONE = "gone"  # of an earlier boot: dead beyond doubt
    UNKNOWN = "unknown"  # on another host


@frozen
class Owner:
    """Processes, each with its start time, of one boot of one host; the owner lives while one of them does."""

    host: str
    boot: str
    processes: tuple[tuple[int, str], ...]

    @classmethod
    def process(cls) -> Owner:
        """This process."""
        return cls._of(os.getpid())

    @classmethod
    def family(cls) -> Owner:
        """This process and its parent, unless that is init."""
        parent = os.getppid()
        return cls._of(os.getpid(), parent) if parent > 1 else cls.process()

    @classmethod
    def _of(cls, *pids: int) -> Owner:
        return cls(_host(), _boot(), tuple((pid, _start_time(pid) or _NO_START) for pid in pids))

    def encode(self) -> str:
        """The owner as text that may stand in a file name."""
        return f"{self.host}~{self.boot}~" + "+".join(f"{pid}.{at}" for pid, at in self.processes)

    @classmethod
    def decode(cls, text: str) -> Owner | None:
        """The owner in text that `encode` wrote; None when it is none."""
        try:
            host, boot, processes = text.split("~")
            pairs = [process.split(".") for process in processes.split("+")]
            return cls(host, boot, tuple((int(pid), at) for pid, at in pairs))
        except ValueError:
            return None

    def state(self) -> State:
        """Whether one of the processes still lives."""
        if self.host != _host():
            return State.UNKNOWN
        boot = _boot()
        if self.boot != boot:
            return State.UNKNOWN if _NO_BOOT in {self.boot, boot} else State.GONE
        alive = any(_is(pid, at) for pid, at in self.processes)
        return State.ALIVE if alive else State.DEAD


def gc_is_running(git_dir: Path) -> bool:
    """Whether a `git gc` is at work in a repository; its mark is believed for as long as git believes it.

    Args:
        git_dir: The common git directory.
    """
    path = git_dir / "gc.pid"
    try:
        age = time.time() - path.stat().st_mtime
        # A pipe, or a link to what never ends, keeps nobody waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, GC_PID_SIZE).decode(errors="replace")
        finally:
            os.close(descriptor)
    except OSError:
        return False
    pid, _, host = text.strip().partition(" ")
    if age >= GC_PID_VALID:
        return False
    # Of another host, or half written: nobody here can tell whether it lives.
    is_here = host == os.uname().nodename and pid.isdigit()
    return not is_here or _answers(int(pid))


def maintenance_is_running(objects_dir: Path) -> bool:
    """Whether a `git maintenance run` is at work in a repository."""
    try:
        age = time.time() - (objects_dir / "maintenance.lock").stat().st_mtime
    except OSError:
        return False
    return age < MAINTENANCE_LOCK_VALID


def _host() -> str:
    """The host's name; within a container its own numbers of processes, too, which mean nothing outside."""
    name = re.sub(r"[^A-Za-z0-9-]", "_", os.uname().nodename)[:64]
    try:
        space = re.sub(r"\D", "", str((_PROC / "self/ns/pid").readlink()))
    except OSError:
        return name
    return name if space == _FIRST_SPACE else f"{name}-{space}"


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        return _NO_BOOT


def _is(pid: int, at: str) -> bool:
    """Whether a process lives that started then, as far as can be known."""
    found = _start_time(pid)
    return found == at or (found is not None and _NO_START in {found, at})


def _start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None if it is dead.

    0 if it lives and /proc does not show it: where that is not mounted, or only with one's own processes (`hidepid`).
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return _NO_START if _answers(pid) else None
    # The command's name may hold spaces and brackets; the fields after it don't.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode("ascii")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def usable_cpus() -> int:
    """How many threads are worth starting: the processors that this process may use, up to `USABLE_CPUS`."""
    return min(USABLE_CPUS, len(os.sched_getaffinity(0)))
