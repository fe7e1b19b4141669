"""The output of tasks: bytes up to a limit, times of lines, and live copies of what long tasks have written so far.

The kept bytes are exactly what was written; they are decoded only to be shown. A line without an end is shown
in pieces, and counted once.

Live logs: `.git/gitflowrun/live/<uid>/<step>/<task>.<stream>`, for tasks that run for more than a second,
until they are published. `live_output` reads them.
"""

from __future__ import annotations

import contextlib
import time
from array import array
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.git.permissions import make_directory, share_file
from gitflowrun.runs.line_times import encode_times

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import RunIdentity

STDOUT = "stdout"
STDERR = "stderr"
TRUNCATED = b"[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]\n"
_LIVE = "live"


class _Stream:
    """One stream of one task."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.times: array[float] = array("d")
        self._partial = b""
        self._is_full = False

    def feed(self, data: bytes, now: float) -> list[str]:
        """Add what was written; the lines it completes."""
        self._keep(data, now)
        lines = (self._partial + data).split(b"\n") if self._partial else data.split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > limits.LONGEST_LINE:
            lines.append(self._partial)
            self._partial = b""
        return [line.decode(errors="replace") for line in lines]

    def end(self) -> list[str]:
        """The last line, where nothing ended it."""
        return [self._partial.decode(errors="replace")] if self._partial else []

    def say(self, line: bytes, now: float) -> None:
        """Add a line of the scheduler's, whatever the limit."""
        if self.kept and not self.kept.endswith(b"\n"):
            self.kept += b"\n"
        self.kept += line + b"\n"
        self.times.append(now)

    def _keep(self, data: bytes, now: float) -> None:
        if self._is_full:
            return
        begun = bool(self.kept) and not self.kept.endswith(b"\n")
        space = self._limit - len(self.kept)
        kept = data if len(data) <= space else data[:space]
        self.kept += kept
        # Lines begun before keep the time of their beginning.
        lines = kept.count(b"\n") + (not kept.endswith(b"\n")) - begun if kept else 0
        self.times.extend([now] * lines)
        if len(data) > space:
            self._is_full = True
            self.say(TRUNCATED[:-1], now)


class TaskLog:
    """The output of one attempt of a task.

    Args:
        limit: Bytes kept of each stream.
    """

    def __init__(self, limit: int) -> None:
        self._streams = {STDOUT: _Stream(limit), STDERR: _Stream(limit)}

    def feed(self, stream: str, data: bytes, now: float) -> list[str]:
        """Add what the task wrote to a stream; the lines it completes, as text."""
        return self._streams[stream].feed(data, now)

    def end(self, stream: str) -> list[str]:
        """The last line of a stream, which is closed, where nothing ended it."""
        return self._streams[stream].end()

    def say(self, text: str, now: float) -> None:
        """Add a line of the scheduler's to the task's standard error."""
        self._streams[STDERR].say(text.encode(errors="replace"), now)

    def output(self, stream: str) -> bytes:
        """What is kept of a stream."""
        return bytes(self._streams[stream].kept)

    @property
    def size(self) -> int:
        """Bytes kept of both streams."""
        return sum(len(stream.kept) for stream in self._streams.values())

    def times(self) -> bytes:
        """The `times` blob of the task."""
        return encode_times(self._streams[STDOUT].times, self._streams[STDERR].times)


class LiveLogs:
    """Copies of what running tasks write, for other processes to read.

    What can't be written is left out: a run does not fail for it.
    """

    def __init__(self, repo: Repository, run: RunIdentity) -> None:
        self._top = _live_directory(repo, run)

    def begin(self, task: TaskName, log: TaskLog) -> None:
        """Begin the copy with what a task has written so far."""
        for stream in (STDOUT, STDERR):
            self._write(task, stream, log.output(stream), "wb")

    def add(self, task: TaskName, stream: str, data: bytes) -> None:
        """Add what it goes on to write."""
        self._write(task, stream, data, "ab")

    def drop(self, task: TaskName) -> None:
        """The task is published: its logs are in git now."""
        for stream in (STDOUT, STDERR):
            with contextlib.suppress(OSError):
                _live_file(self._top, task, stream).unlink()

    def close(self) -> None:
        """Remove all: the run is over."""
        _remove(self._top)

    def _write(self, task: TaskName, stream: str, data: bytes, mode: str) -> None:
        path = _live_file(self._top, task, stream)
        with contextlib.suppress(OSError):
            make_directory(path.parent)
            with path.open(mode) as file:
                file.write(data)
            share_file(path)


def live_output(repo: Repository, run: RunIdentity, task: TaskName, stream: str) -> bytes | None:
    """What a running task has written to `stdout` or `stderr` so far; None where no live log is kept.

    A run that was killed leaves the live logs of its unfinished tasks behind for a week.
    """
    try:
        return _live_file(_live_directory(repo, run), task, stream).read_bytes()
    except OSError:
        return None


def sweep_live_logs(repo: Repository) -> None:
    """Remove what runs that were killed left behind more than a week ago."""
    oldest = time.time() - limits.LIVE_KEPT
    with contextlib.suppress(OSError):
        for directory in (repo.state_dir / _LIVE).iterdir():
            if directory.stat().st_mtime < oldest:
                _remove(directory)


def _live_directory(repo: Repository, run: RunIdentity) -> Path:
    return repo.state_dir / _LIVE / str(run.uid)


def _live_file(top: Path, task: TaskName, stream: str) -> Path:
    return top / task.step / f"{task.task}.{stream}"


def _remove(directory: Path) -> None:
    if directory.exists():
        import shutil  # an import of 3 ms, for runs that have live logs

        shutil.rmtree(directory, ignore_errors=True)
