"""What a task's process is like: whom it dies with, where its output goes, which signals it heeds.

System calls only; what a task does is `task`'s business.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

__all__ = [
    "TASK_FD",
    "Lifeline",
    "adopt_orphans",
    "detach_input",
    "flush_output",
    "kill_orphans",
    "prepare_output",
    "reap",
    "redirect_output",
    "settle",
    "signal_group",
    "yield_memory",
]

TASK_FD = "GITFLOWRUN_TASK_FD"
"""Environment variable that tells a fresh interpreter the descriptor of its task's socket."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 2.0
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_OOM_ADJUSTMENT = b"800"


class Lifeline:
    """Ties children to the life of this process: made before the fork, grasped in the child.

    Linux only; elsewhere the scheduler's own kill has to do.
    """

    def __init__(self, owner: int | None = None) -> None:
        self._owner = os.getpid() if owner is None else owner
        self._prctl: Any = None
        if sys.platform.startswith("linux"):
            import ctypes

            with contextlib.suppress(OSError, AttributeError):
                self._prctl = ctypes.CDLL(None).prctl

    @classmethod
    def hold_parent(cls) -> None:
        """Die with the process that has started this one."""
        cls(os.getppid()).grasp()

    def grasp(self) -> None:
        """From now on the child is killed when the owner dies, however it dies."""
        if self._prctl is None:
            return
        self._prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
        if os.getppid() != self._owner:  # it died before we held on
            os._exit(1)


def reap(pid: int = 0) -> tuple[int, int, float, int] | None:
    """Take leave of a child that has ended, and kill what it has left behind in its process group.

    Args:
        pid: The child; any one when 0.

    Returns:
        Its number, wait status, CPU seconds and peak resident bytes; None when none has ended.
    """
    if hasattr(os, "waitid"):
        # Looked at first and reaped last: until then its number, and its group's, are nobody else's.
        kind = os.P_PID if pid else os.P_ALL
        ended = os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        signal_group(ended.si_pid, 9)
        pid, status, usage = os.wait4(ended.si_pid, 0)
    else:
        pid, status, usage = os.wait4(pid or -1, os.WNOHANG)
        if not pid:
            return None
        signal_group(pid, 9)
    return pid, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT


def signal_group(pid: int, number: int) -> bool:
    """Signal the process group that a task leads; False when there is none."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def adopt_orphans() -> None:
    """Be the parent of what descendants leave behind when they die (Linux only)."""
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_orphans() -> None:
    """Kill all children, adopted ones included, and what these leave behind in turn."""
    deadline = time.monotonic() + _PATIENCE
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, 9)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _children() -> list[int]:
    """The processes whose parent is this one."""
    own = os.getpid()
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of a program may hold anything; what follows its last bracket does not.
            fields = entry.read_bytes().rpartition(b")")[2].split()
            if int(fields[1]) == own:
                found.append(int(entry.parent.name))
    return found


def settle(stdout: int, stderr: int) -> None:
    """Make this process a task's: a session of its own, its pipes as output, signals as programs have them.

    The session's processes can be signalled together, and a terminal's Ctrl-C does not reach them: the
    scheduler decides who is interrupted. It is all system calls: what Python does in a fork, it pays for in
    pages that are copied.
    """
    if os.getpid() != os.getsid(0):
        os.setsid()
    redirect_output(stdout, stderr)
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def yield_memory() -> None:
    """When memory ends, let this process and its children go before the scheduler and the user's shell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_ADJUSTMENT)


def redirect_output(stdout: int, stderr: int) -> None:
    """Let descriptors 1 and 2 write to these pipes; closes the originals."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for fd in {stdout, stderr} - {1, 2}:
        os.close(fd)


def prepare_output() -> None:
    """Make the text layers over descriptors 1 and 2 fit for pipes, wherever these lead then.

    The old text layers go on to work, since logging handlers of the flow's module may hold them, and pass
    on every line. What a module has put in place of `sys.stdout` is left alone.
    """
    sys.stdout = sys.__stdout__ = _text_layer(1, sys.stdout, sys.__stdout__)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text_layer(2, sys.stderr, sys.__stderr__)  # type: ignore[misc]


def _text_layer(fd: int, stream: Any, original: Any) -> Any:
    """A text layer over a descriptor: lines leave at once, and anything that is text can be written."""
    if isinstance(original, io.TextIOWrapper) and not original.closed:
        original.reconfigure(line_buffering=True)
        _kept.append(original)  # or its end would close the descriptor
    if stream is not None and stream is not original and not getattr(stream, "closed", False):
        return stream
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


_kept: list[Any] = []


def detach_input() -> None:
    """Let nobody wait for a keyboard: descriptor 0 is at its end from now on."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(fd, 0)
    if fd:
        os.close(fd)


def flush_output() -> None:
    """Write out what the text layers still hold."""
    for stream in (*_kept, sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
