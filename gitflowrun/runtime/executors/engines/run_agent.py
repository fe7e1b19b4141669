"""What engines call on their workers: it starts an agent as a program of its own, and waits for its end.

The engine's worker imports this module and nothing else of the package, in a thread or a process of which nothing is
known; so nothing is forked or changed here. The agent ends with its driver's link. That it also ends with the engine's
worker, however that dies, is by a pipe whose other end the worker has and nobody else.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from gitflowrun.runtime.executors.engines import engine_limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

WORKER_FD = "GITFLOWRUN_WORKER_FD"
"""Environment variable that gives an agent the pipe that ends with its engine's worker."""

# An agent needs more of the package than engines may, so it is started by name. Without `-m`, which would put the
# worker's current directory in front of the standard library; where the package lies comes last for the same reason.
_PROGRAM = (
    "import sys; from runpy import run_module; del sys.path[0]; sys.path.append(sys.argv.pop(1)); "
    "run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
_AGENT = ".".join((__name__.partition(".executors.")[0], "remote", "agent_main"))


def run_agent(call: bytes, program: Sequence[str] | None = None) -> str | None:
    """Run an agent until it ends.

    Args:
        call: Where its driver is, for the agent's standard input.
        program: The agent's program; this package's when None.

    Returns:
        What it has said, or how it has ended, where that was not as it should be.
    """
    alive, ours = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(
            program or _agent_program(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(alive,),
            env={**os.environ, WORKER_FD: str(alive)},
        )
    except OSError as error:
        os.close(ours)
        return f"can't start {sys.executable}: {error.strerror}"
    finally:
        os.close(alive)
    try:
        _give(process, call)
        words = _last_words(process)
        return _end(process.wait(), words)
    finally:
        # An engine that interrupts this call, by an exception, ends the agent.
        os.close(ours)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run_agent_of(driver: int, call: bytes, program: Sequence[str] | None = None) -> str | None:
    """`run_agent`, in what may be a process of a pool of the driver's, which is to end with it.

    Args:
        driver: The number of the driver's process.
        call: See `run_agent`.
        program: See `run_agent`.
    """
    _end_with(driver)
    return run_agent(call, program)


_ends_with: set[int] = set()


def _end_with(driver: int) -> None:
    """See that this process ends when the driver has made it and is killed.

    The processes of a pool hold each other's queues open, and would wait for their next call for ever.
    """
    module: Any = sys.modules.get("multiprocessing.process")
    parent = module and module.parent_process()
    if parent is None or parent.pid != driver or os.getpid() in _ends_with:
        return
    _ends_with.add(os.getpid())

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="driver", daemon=True).start()


def _agent_program() -> list[str]:
    place = os.path.abspath(__file__)  # noqa: PTH100  (pathlib is an import)
    for _ in range(_AGENT.count(".") + 2):
        place = os.path.dirname(place)  # noqa: PTH120
    return [sys.executable, "-c", _PROGRAM, place, _AGENT]


def _give(process: subprocess.Popen[bytes], call: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(call)
        process.stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _last_words(process: subprocess.Popen[bytes]) -> bytes:
    """The end of what it writes, until it ends; what it has started may hold its output for longer."""
    assert process.stdout is not None
    words, fd = b"", process.stdout.fileno()
    poll = select.poll()  # unlike `select`, for descriptors of any number
    poll.register(fd, select.POLLIN)
    while poll.poll(engine_limits.AGENT_PAUSE * 1_000) or process.poll() is None:
        if poll.poll(0):
            data = os.read(fd, engine_limits.AGENT_WORDS)
            if not data:
                break
            words = (words + data)[-engine_limits.AGENT_WORDS :]
    return words


def _end(status: int, words: bytes) -> str | None:
    if status == 0:
        return None
    text = words.decode(errors="replace").strip()[-engine_limits.AGENT_WORDS_TOLD :]
    if status > 0:
        return text or f"the agent has ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the agent was killed by {name}" + (f": {text}" if text else "")
