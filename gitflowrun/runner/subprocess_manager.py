"""A program whose output goes to files: it is waited for, followed, interrupted, and never filled up by a full pipe.

The program leads a session of its own. So Ctrl-C on the terminal reaches only the one who waits for it, who passes
it on once; a flow that is interrupted once ends in order.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path
from select import POLLIN, poll
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import IO

_INTERVAL = 0.05  # seconds
_GRACE = 20.0
"""Seconds that a program has to end when it is told to."""
STREAMS = ("stdout", "stderr")


class CommandManager:
    """One program.

    Args:
        command: Its words.
        env: Its environment.
        cwd: The directory that it starts in; the current one when None.

    Attributes:
        command: Its words.
        log_files: Where its output is, by the names of streams.
        process: The process.
        timeout: Whether it was ended because it took too long.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None = None
    ) -> None:
        self.command = list(command)
        self.timeout = False
        folder = tempfile.mkdtemp(prefix="gitflowrun-runner-")
        self._remove = weakref.finalize(self, _remove, folder, os.getpid())
        self.log_files = {stream: f"{folder}/{stream}.log" for stream in STREAMS}
        out, err = map(Path, self.log_files.values())
        with out.open("wb") as to_out, err.open("wb") as to_err:
            self.process = subprocess.Popen(
                self.command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err,
                start_new_session=True,
            )  # fmt: skip

    def output(self, stream: str) -> bytes:
        """What it has written to a stream so far. Raises FileNotFoundError after `cleanup`."""
        return Path(self.log_files[stream]).read_bytes()

    def wait(self, *, show: bool, other: int | None = None, seconds: float | None = None) -> bool:
        """Wait for its end.

        Args:
            show: Whether to write to this program's streams what it writes to its own.
            other: A descriptor to wait for as well.
            seconds: How long at most; for ever when None.

        Returns:
            Whether it has ended, and not the other thing happened.
        """
        shown = self._shown if show else ()
        ends = None if seconds is None else time.monotonic() + seconds
        pidfd = os.pidfd_open(self.process.pid) if self.process.poll() is None else None
        try:
            waiter = poll()
            for fd in (pidfd, other):
                if fd is not None:
                    waiter.register(fd, POLLIN)
            while self.process.poll() is None:
                for it in shown:
                    it.copy()
                left = None if ends is None else max(0.0, ends - time.monotonic())
                if left == 0:
                    return False
                pause = min(_INTERVAL, left or _INTERVAL) if show else left
                happened = waiter.poll(None if pause is None else pause * 1000)
                if any(fd == other for fd, _ in happened):
                    return False
        finally:
            if pidfd is not None:
                os.close(pidfd)
        for it in shown:
            it.copy()
        return True

    @property
    def _shown(self) -> tuple[_Shown, ...]:
        if not hasattr(self, "_shown_"):
            self._shown_ = tuple(
                _Shown(self.log_files[stream], getattr(sys, stream)) for stream in STREAMS
            )
        return self._shown_

    async def wait_async(self, seconds: float | None, stream: str | None) -> None:
        """Wait for its end without keeping others from running; where it takes longer, end it.

        Args:
            seconds: How long at most; for ever when None.
            stream: `stdout` or `stderr`: write its lines to this program's standard output meanwhile.
        """
        try:
            await asyncio.wait_for(self._follow(stream), seconds)
        except asyncio.TimeoutError:
            self.timeout = True
            await self.end_async()

    async def _follow(self, stream: str | None) -> None:
        if stream is not None:
            async for _, line in self.lines(stream):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        while self.process.poll() is None:  # noqa: ASYNC110  (no event of asyncio's tells of it)
            await asyncio.sleep(_INTERVAL)

    async def lines(self, stream: str, position: int = 0) -> AsyncIterator[tuple[int, str]]:
        """The lines that it writes to a stream, as soon as they are there, until it ends.

        Args:
            stream: `stdout` or `stderr`.
            position: The byte to begin with.

        Yields:
            Where the next line begins, and the line without its end.
        """
        with Path(self.log_files[stream]).open("rb") as file:  # noqa: ASYNC230  (a local file)
            file.seek(position)
            rest = b""
            while True:
                has_ended = self.process.poll() is not None
                read = file.read()
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    position += len(line) + 1
                    yield position, line.decode(errors="replace")
                if has_ended:
                    break
                if not read:
                    await asyncio.sleep(_INTERVAL)
            if rest:
                yield position + len(rest), rest.decode(errors="replace")

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Tell it to end, as Ctrl-C does."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def end(self, *, show: bool = False) -> None:
        """Have it end, and wait for that: in order, or by force when it takes long."""
        self.interrupt(signal.SIGTERM)
        if not self.wait(show=show, seconds=_GRACE):
            self.process.kill()
            self.process.wait()

    async def end_async(self) -> None:
        """As `end`, without keeping others from running."""
        self.interrupt(signal.SIGTERM)
        ends = time.monotonic() + _GRACE
        while self.process.poll() is None:
            if time.monotonic() > ends:
                self.process.kill()
            await asyncio.sleep(_INTERVAL)

    def cleanup(self) -> None:
        """Remove the files of its output. What still runs goes on."""
        self.process.poll()
        self._remove()


class _Shown:
    """A stream of the program, copied to one of ours."""

    def __init__(self, path: str, target: IO[str] | None) -> None:
        self._path = path
        self._target = target
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def copy(self) -> None:
        """Write what is new."""
        with Path(self._path).open("rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        if new and self._target is not None:
            self._target.write(self._decoder.decode(new))
            self._target.flush()


def _remove(folder: str, maker: int) -> None:
    if os.getpid() == maker:  # and no fork of it
        shutil.rmtree(folder, ignore_errors=True)
