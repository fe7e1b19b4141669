"""Starts the process that renders the cards of a run, as programs are started: nothing of the scheduler's is copied."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from gitflowrun.runtime.executors.local import fresh_hash_seed
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel, Connection, OnMessage, channel_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import OpenRepository, RunContext

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)


class CardRendererProcess:
    """Starts a renderer of cards.

    Args:
        loop: The event loop.
        command: Program and arguments of the flow's program.
        run: What all tasks have in common.
        opened: The repository.
        on_message: Called with every message.
        on_lost: Called when it has ended by itself.
    """

    def __init__(
        self,
        loop: EventLoop,
        command: tuple[str, ...],
        run: RunContext,
        opened: OpenRepository,
        on_message: OnMessage,
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._command = command
        self._run = run
        self._opened = opened
        self._on_message = on_message
        self._on_lost = on_lost
        self._pids: list[int] = []

    def start(self, has_flow: bool) -> Connection:
        """Start one; its socket.

        Args:
            has_flow: Whether it is the flow's program, which has the flow's types and values.

        Raises:
            OSError: no process can be made.
        """
        command = self._command if has_flow else _own_command()
        ours, theirs = channel_pair()
        try:
            os.set_inheritable(theirs.fileno(), True)  # noqa: FBT003  (closed again before anything else starts)
            pid = self._spawn(command, theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        connection = Connection(
            self._loop,
            Channel(ours, blocking=False),
            self._on_message,
            lambda: self._ended(pid),
        )
        self._pids.append(pid)
        connection.send(self._run)
        connection.send(self._opened)
        return connection

    def _spawn(self, command: tuple[str, ...], channel: int) -> int:
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        variables = {process.CARDS_FD: str(channel), "PYTHONHASHSEED": fresh_hash_seed()}
        return os.posix_spawn(
            command[0],
            command,
            {**os.environ, **variables},
            file_actions=null,
            setsid=True,
            setsigdef=_SIGNALS,
        )

    def _ended(self, pid: int) -> None:
        self._kill(pid)
        self._on_lost()

    def _kill(self, pid: int) -> None:
        """End a renderer, with whom the cards that it renders end."""
        self._pids.remove(pid)
        os.kill(pid, signal.SIGKILL)  # it is not reaped yet, so the number is its own
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def close(self) -> None:
        """End all of them."""
        for pid in [*self._pids]:
            self._kill(pid)


def _own_command() -> tuple[str, ...]:
    """What starts the program of this process again, which is the scheduler's, without arguments."""
    return sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
