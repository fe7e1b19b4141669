"""System calls that make a process fit for tasks: its lifetime, its output, its signals, its end.

Linux only (`prctl`, `/proc`, `waitid`). What a task computes is in `runtime.worker`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import fcntl
import io
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TASK_FD = "GITFLOWRUN_TASK_FD"
"""Environment variable that gives a fresh interpreter the descriptor of its task's socket."""
CARDS_FD = "GITFLOWRUN_CARDS_FD"
"""Environment variable that gives a fresh interpreter the descriptor of the socket by which it is asked for cards."""
ZYGOTE_FDS = "GITFLOWRUN_ZYGOTE_FDS"
"""Environment variable that makes the flow's program a zygote: its socket, and a pipe that its death closes."""
RESULT_LOST = os.EX_PROTOCOL
"""Exit status of a task whose step has returned, and which can't send its result."""
DISALLOW_RETRY = 202
"""Exit status of a task that is not to be tried again, as in Metaflow."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ARG_START = 45
"""The field of /proc/self/stat that says where the command line lies, counted from the process' state."""
_KIB = 1024  # the unit of ru_maxrss
_OOM_SCORE = b"800"
"""Of 1000: above every ordinary process, so that the kernel kills a task before the user's shell."""


class ParentDeathSignal:
    """Kills child processes when this process dies: made before the fork, set in the child.

    Args:
        parent: The process whose death counts; this one when None.
    """

    def __init__(self, parent: int | None = None) -> None:
        self._parent = os.getpid() if parent is None else parent
        self._prctl = _prctl()

    def set(self) -> None:
        """From now on this process, a child, is killed when the parent dies, however it dies."""
        self._prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
        if os.getppid() != self._parent:  # it died before the signal was set
            os._exit(1)


def _prctl() -> Any:
    import ctypes

    return ctypes.CDLL(None).prctl


def reap(pid: int = 0) -> tuple[int, int, float, int] | None:
    """Wait, without blocking, for a child that has ended.

    Args:
        pid: The child; any one when 0.

    Returns:
        Its number, wait status, CPU seconds and peak resident bytes; None when none has ended.
    """
    pid, status, used = os.wait4(pid or -1, os.WNOHANG)
    return (pid, status, *usage(used)) if pid else None


def usage(used: Any) -> tuple[float, int]:
    """CPU seconds and peak resident bytes in what `getrusage` or `wait4` gives."""
    return used.ru_utime + used.ru_stime, used.ru_maxrss * _KIB


def signal_group(pid: int, number: int) -> bool:
    """Signal the process group that a task leads; False when there is none: an inline task's process is in ours.

    No task's number is 0 or 1, which the system takes for the caller's own group, and for all processes there are.
    """
    if pid <= 1 or pid == os.getpgrp():
        return False
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_name(number: int) -> str:
    """What a signal is called."""
    import signal  # whose enumerations cost a fork more than all that it needs of it

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def suspend() -> None:
    """Stop this process until it is continued, as Ctrl-Z does: not at all where no shell could continue it."""
    old = _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
    os.kill(os.getpid(), _signal.SIGTSTP)
    _signal.signal(_signal.SIGTSTP, old)


def left_behind(group: int) -> list[tuple[int, str]]:
    """What is left of a process group whose leader has ended: numbers and command lines of its processes.

    As long as there are any, the kernel gives nobody else the group's number.
    """
    # Each task is asked for, and of most nothing is left: what says so takes less time.
    if not signal_group(group, 0) or os.path.exists(f"/proc/{group}"):  # noqa: PTH110
        return []
    found = []
    for pid, state, _, its_group in _processes():
        if its_group == group and state not in {b"Z", b"X"}:
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                found.append((pid, b" ".join(words).decode(errors="replace")))
    return found


def hide_arguments(argv: Sequence[str], shown: Sequence[str]) -> None:
    """Change what other processes see of this one's command line, as far as the system lets us.

    Args:
        argv: `sys.argv`.
        shown: The same as they may see it: words that differ keep their length.
    """
    try:
        words = Path("/proc/self/cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        for place in range(1, len(argv)):
            real = os.fsencode(argv[-place])
            if words[-place] == real != os.fsencode(shown[-place]):
                words[-place] = os.fsencode(shown[-place])[: len(real)].ljust(len(real), b"*")
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(int(fields[_ARG_START]))
            memory.write(b"\0".join(words))
    except (OSError, ValueError, IndexError):
        pass  # what is hidden in any case is what we record


def leave_no_core() -> None:
    """Let no crash write the memory of this process and its children into a file, which a snapshot might take."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def adopt_orphans() -> None:
    """Make this process the parent of what its descendants leave behind when they die."""
    _prctl()(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_orphans() -> None:
    """Kill all children, adopted ones included, and what these leave behind in turn."""
    deadline = time.monotonic() + limits.ORPHANS_TIME
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, 9)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(limits.ORPHANS_PAUSE)


def _children() -> list[int]:
    """The processes whose parent is this one."""
    own = os.getpid()
    return [pid for pid, _, parent, _ in _processes() if parent == own]


def _processes() -> Iterator[tuple[int, bytes, int, int]]:
    """All processes: number, state, parent and group."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of a program may hold anything; what follows its last bracket does not.
            fields = entry.read_bytes().rpartition(b")")[2].split()
            yield int(entry.parent.name), fields[0], int(fields[1]), int(fields[2])


def become_task(stdout: int, stderr: int) -> None:
    """Give this process a session of its own, pipes as output, and the signal handlers of a fresh program.

    The session's processes can be signalled together, and a terminal's Ctrl-C does not reach them: the
    scheduler decides who is interrupted. System calls only: Python code in a fork dirties pages, which
    are copied then.

    Args:
        stdout: The pipe to write standard output to; closed.
        stderr: The same for standard error.
    """
    if os.getpid() != os.getsid(0):
        os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    try:
        high = fcntl.fcntl(stderr, fcntl.F_DUPFD_CLOEXEC, limits.HIGH_DESCRIPTOR)
    except OSError:  # so many are not allowed
        high = 2
    _own_stderr.append((high, os.fstat(high)))
    for fd in {stdout, stderr} - {1, 2}:
        os.close(fd)
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def keep_descriptor(fd: int) -> int:
    """Move a descriptor to where programs that close the low ones leave it alone; where it is then."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, limits.HIGH_DESCRIPTOR)
    except OSError:  # so many are not allowed
        return fd
    os.close(fd)
    return high


def write_to(stdout: int, stderr: int) -> None:
    """Give a task's process other pipes as output, which stay open. Raises OSError: they are not."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    _own_stderr[:] = [(stderr, os.fstat(stderr))]


def prefer_as_oom_victim() -> None:
    """Let the kernel kill this process and its children before others when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)


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
        _old_layers.append(original)  # its finalizer would close the descriptor
    if stream is not None and stream is not original and not getattr(stream, "closed", False):
        return stream
    layer = io.TextIOWrapper(
        io.BufferedWriter(_PipeOutput(fd, "wb", closefd=False)),
        encoding="utf-8", errors="backslashreplace", line_buffering=True,
    )  # fmt: skip
    layer.mode = "w"  # type: ignore[misc]  # as `open` says
    return layer


class _PipeOutput(io.FileIO):
    """A descriptor that leads to a pipe when it is used, and may lead to a file now: what is above asks only once."""

    def seekable(self) -> bool:
        return False


_old_layers: list[Any] = []


def detach_input() -> None:
    """Put /dev/null in the place of standard input: no task waits for a keyboard."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(fd, 0)
    if fd:
        os.close(fd)


_own_stderr: list[tuple[int, os.stat_result]] = []


def tell(text: str) -> None:
    """Write to the task's own standard error, whatever the step has made of `sys.stderr` and its descriptors."""
    flush_output()
    data = memoryview(text.encode(errors="backslashreplace"))
    for fd, pipe in _own_stderr:
        for place in (fd, 2):
            with contextlib.suppress(OSError):  # the step has closed it, or nobody reads any more
                # The number may be another file's by now.
                while data and os.path.samestat(os.fstat(place), pipe):
                    data = data[os.write(place, data) :]


def flush_output() -> None:
    """Write out what the text layers still hold."""
    for stream in (*_old_layers, sys.stdout, sys.stderr):
        try:  # noqa: SIM105  (a context manager would cost each fork copies of contextlib's pages)
            stream.flush()
        except Exception:  # noqa: BLE001, S110  (a stream may be anything of the user's)
            pass
