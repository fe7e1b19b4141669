"""The flow's program on an engine's worker: started in an agent's copy of the code, as zygote of the agent's tasks.

1. It is started as `TASK_FD` programs are, but with `ZYGOTE_FDS` in the environment (`launch.zygote_program`).
2. It imports the flow and says FlowImported; where it ends before that, the flow can't be imported here.
3. It is the zygote, until its socket ends or it is killed.

What it writes meanwhile is kept for the words of an error, up to a limit; tasks have pipes of their own.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.errors import CorruptRecord
from gitflowrun.runtime.executors.local import fresh_hash_seed
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.agent_limits import (
    PROGRAM_END,
    PROGRAM_OUTPUT,
    PROGRAM_OUTPUT_TOLD,
    ZYGOTE_END,
)
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.messages import FlowImported

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.remote_messages import AgentStart

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)
_ENV = "/usr/bin/env"
_PATH = "PYTHONPATH="
_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([^']+)'", re.MULTILINE)
_PACKAGES = {"cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def command_here(start: AgentStart, top: Path) -> tuple[str, ...]:
    """The driver's command with this machine's interpreter, and with paths in the copy of the code.

    Args:
        start: What the driver says.
        top: The top of the copy.
    """
    words = [*start.command]
    path: list[str] = []
    if words[:1] == [_ENV]:
        del words[0]
        while words and words[0].startswith(_PATH):
            path = words.pop(0).removeprefix(_PATH).split(os.pathsep)
    here = [sys.executable, *(_moved(word, start.run.work_tree, top) for word in words[1:])]
    path = [_moved(entry, start.run.work_tree, top) for entry in path]
    path = [*(str(top / entry) for entry in start.path), *path]
    path += filter(None, [os.environ.get("PYTHONPATH")])
    found = list(dict.fromkeys(path))
    return (_ENV, f"{_PATH}{os.pathsep.join(found)}", *here) if found else tuple(here)


def _moved(word: str, work_tree: str, top: Path) -> str:
    """A path below the driver's work tree as it is below the copy of it; any other word as it is."""
    if work_tree and (word == work_tree or word.startswith(f"{work_tree}/")):
        return f"{top}{word[len(work_tree) :]}"
    return word


class FlowProgram:
    """The process of the flow's program.

    Args:
        loop: The event loop.
        command: Program and arguments.
        on_imported: Called once when it has imported the flow, with the way to it, which the callee closes.
        on_lost: Called once when it has ended by itself.

    Raises:
        OSError: no process can be made.
    """

    def __init__(
        self,
        loop: EventLoop,
        command: tuple[str, ...],
        on_imported: Callable[[FlowImported, Channel], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_imported = on_imported
        self._on_lost = on_lost
        self._written = bytearray()
        self._status = 0
        ours, theirs = channel_pair()
        self._alive, zygote_end = os.pipe()
        self._output, written = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._pid = _spawn(command, (theirs.fileno(), zygote_end), written)
        except OSError:
            ours.close()
            os.close(self._alive)
            os.close(self._output)
            raise
        finally:
            theirs.close()
            os.close(zygote_end)
            os.close(written)
        loop.watch(self._alive, self._lost)
        loop.watch(self._output, self._read)
        channel = Channel(ours, blocking=False)
        self._channel: Channel | None = channel
        loop.watch(channel.fileno(), lambda: self._hear(channel))

    def _hear(self, channel: Channel) -> None:
        """Take its first message."""
        try:
            message, _ = channel.receive()
        except BlockingIOError:
            return
        except CorruptRecord:
            message = None
        self._loop.forget(channel.fileno())
        if isinstance(message, FlowImported):  # otherwise its end is seen
            self._channel = None
            self._on_imported(message, channel)

    def _read(self) -> None:
        try:
            data = os.read(self._output, limits.PIPE_READ)
        except BlockingIOError:
            return
        self._written += data
        del self._written[:-PROGRAM_OUTPUT]
        if not data:
            self._loop.forget(self._output)

    def _lost(self) -> None:
        if self._alive < 0:
            return
        self._close()
        self._on_lost()

    def why_lost(self) -> tuple[str, str]:
        """Why it has ended before the flow was imported, and what can be done."""
        text = self._written.decode(errors="replace").rstrip()
        found = _NO_MODULE.findall(text)
        if found:
            package = _PACKAGES.get(found[-1].partition(".")[0], found[-1].partition(".")[0])
            why = f"the flow can't be imported here, for this worker has no module {found[-1]!r}"
            hint = (
                f"install it for {sys.executable} there, such as by `pip install {package}`; "
                "a module of your own must be in the flow's repository"
            )
            return why, hint
        how, hint = _explained(self._status)
        last = text.rpartition("\n")[2].strip()
        told = "" if last else " without a word"
        # Of a signal no program can say anything: its last line is about something else.
        why = last if last and os.WIFEXITED(self._status) else f"its program {how}{told}"
        if text:
            hint = f"what it says there:\n{text[-PROGRAM_OUTPUT_TOLD:]}"
        return f"the flow can't be imported here: {why}", hint

    def close(self) -> None:
        """End it, and its tasks."""
        if self._alive >= 0:
            self._close_channel()
            if not select.select([self._alive], [], [], ZYGOTE_END)[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            self._close()

    def _close(self) -> None:
        self._loop.forget(self._alive)
        os.close(self._alive)
        self._alive = -1
        self._read()
        self._close_channel()
        self._loop.forget(self._output)
        os.close(self._output)
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            self._await_end()
            os.kill(self._pid, signal.SIGKILL)
            _, self._status = os.waitpid(self._pid, 0)

    def _await_end(self) -> None:
        """Wait a moment for its end, just before which the pipe is closed; or somebody has closed that."""
        ended = os.pidfd_open(self._pid)
        try:
            poll = select.poll()  # unlike `select`, for descriptors of any number
            poll.register(ended, select.POLLIN)
            poll.poll(PROGRAM_END * 1_000)
        finally:
            os.close(ended)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None


def _spawn(command: tuple[str, ...], fds: tuple[int, int], output: int) -> int:
    for fd in fds:
        os.set_inheritable(fd, True)  # noqa: FBT003  (closed again before anything else starts)
    variables = {
        process.ZYGOTE_FDS: f"{fds[0]}:{fds[1]}",
        "PYTHONHASHSEED": fresh_hash_seed(),
    }
    return os.posix_spawn(
        command[0],
        command,
        {**os.environ, **variables},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
        setsigdef=_SIGNALS,
        setsigmask=[],
    )


def _explained(status: int) -> tuple[str, str]:
    """How a program has ended, and what may be the cause."""
    if os.WIFEXITED(status):
        how = f"ended with exit status {os.WEXITSTATUS(status)}"
        return (
            how,
            "the flow's file, or a module that it imports, ends its process when it is imported there",
        )
    number = os.WTERMSIG(status)
    how = f"was killed by {process.signal_name(number)}"
    if number == signal.SIGKILL:
        return how, "was memory running out on that worker, or is there a limit for its processes?"
    return (
        how,
        "a module that the flow imports crashes there; import one after the other by that worker's Python",
    )
