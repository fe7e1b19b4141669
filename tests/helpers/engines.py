"""Agents of engines that do what their call says, and what an engine tells of their ends."""

from __future__ import annotations

import os
import queue
import sys
import time
from pathlib import Path

from gitflowrun.runtime.executors.engine import Engine, Resources

PATIENCE = 90
_PROGRAM = """
import os, sys
words = sys.stdin.buffer.read().decode().split(" ", 1)
if words[0] == "say":
    open(words[1], "w").write(f"{os.getpid()} {os.getppid()}")
elif words[0] == "fail":
    sys.stderr.write("x" * 100_000 + words[1])
    sys.exit(3)
elif words[0] == "die":
    os.kill(os.getpid(), 9)
elif words[0] == "stay":
    open(words[1] + ".new", "w").write(f"{os.getpid()} {os.getppid()}")
    os.rename(words[1] + ".new", words[1])
    os.read(int(os.environ["GITFLOWRUN_WORKER_FD"]), 1)
    os.unlink(words[1])
"""
PROGRAM = (sys.executable, "-c", _PROGRAM)
"""The program of such an agent, for `run_agent`."""


class Ends(queue.Queue[tuple[int, str | None]]):
    """Which agents' calls have ended, and why."""

    def __call__(self, number: int, reason: str | None) -> None:
        """Take what an engine tells."""
        self.put((number, reason))

    def next(self) -> tuple[int, str | None]:
        """The next end."""
        return self.get(timeout=PATIENCE)


def start(engine: Engine, number: int, call: str, resources: Resources | None = None) -> None:
    """Have an agent placed."""
    engine.start(number, call.encode(), resources or Resources())


def pids_in(file: Path) -> tuple[int, int]:
    """The number of an agent's process, and that of the engine's worker."""
    wait_for(lambda: file.exists() and len(file.read_text().split()) == 2)
    pid, parent = file.read_text().split()
    return int(pid), int(parent)


def wait_for(is_true: object) -> None:
    """Wait until a function says that something is so."""
    assert callable(is_true)
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:  # it has ended since
        return False
