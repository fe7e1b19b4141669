"""The files that this process has open, and what comes from some of them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path

_OPEN = Path("/proc/self/fd")


def open_files() -> int:
    """How many files are open."""
    return sum(1 for _ in _OPEN.iterdir())


def read_all(fds: list[int], timeout: float) -> list[bytes]:
    """What comes from some pipes until all of them are closed; the last one begins with a process id."""
    parts: dict[int, list[bytes]] = {fd: [] for fd in fds}
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                pid = b"".join(parts[fds[-1]]).split()
                for key in selector.get_map().values():
                    os.close(key.fd)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired("a warm program", timeout)
            for key, _ in ready:
                if data := os.read(key.fd, 1 << 16):
                    parts[key.fd].append(data)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(parts[fd]) for fd in fds]
