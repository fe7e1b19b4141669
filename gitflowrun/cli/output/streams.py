"""Standard output and standard error of a command: what is written to them arrives whole, or the command fails.

Python's own streams give up where a pipe or terminal is full that a process beside us has made non-blocking (node and
ssh do that to what they share). Where they are unbuffered, as PYTHONUNBUFFERED makes them in many container images,
they write a part of what is too long for a pipe, a disk or a limit, and tell the rest by nothing but a number.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS = {
    errno.ENOSPC: "free some space, or send it elsewhere",
    errno.EDQUOT: "free some space, or send it elsewhere",
    errno.EFBIG: "send it elsewhere: `ulimit -f`, or the file system, allows no larger file",
}


class OutputError(OSError):
    """Standard output can't be written, and not for want of a reader."""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return _HINTS.get(self.errno or 0, "send it elsewhere")


class _Whole(io.FileIO):
    """A descriptor that waits for slow readers until it has written all; after an error nothing arrives any more.

    So an error is told once, by the write that meets it, and not again by what else is flushed at the end.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self._is_lost = False

    def write(self, data: Any, /) -> int:
        """Write all of `data`. Raises BrokenPipeError where the reader has left, else OutputError."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and not self._is_lost:
            try:
                done: int | None = super().write(rest)
            except BrokenPipeError:
                self._is_lost = True
                raise
            except OSError as error:
                self._is_lost = True
                raise OutputError(error.errno, error.strerror) from error
            if done is None:
                wait_until_ready(self.fileno(), to_write=True)
            else:
                rest = rest[done:]
        return size


class _Asides(_Whole):
    """Standard error: no command ends for what can't be said about it."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(memoryview(data).cast("B"))


def wait_until_ready(fd: int, *, to_write: bool) -> None:
    """Wait until a descriptor, which may be non-blocking, can be written, or else read."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT if to_write else select.POLLIN)
    poll.poll()


def open_closed_streams() -> None:
    """Let streams that the caller has closed (`>&-`) lead nowhere: what is opened next would become them."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(fd, True)  # noqa: FBT003
        if getattr(sys, name) is None:
            mode = "w" if fd else "r"
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


@contextlib.contextmanager
def whole_streams() -> Iterator[None]:
    """Let `sys.stdout` and `sys.stderr` write whole, for as long as the context lasts, text as well as bytes."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _whole(before[0], _Whole), _whole(before[1], _Asides)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _whole(stream: TextIO, kind: type[_Whole]) -> TextIO:
    """A text stream like a standard one that writes whole; any other stream as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A repository may hold names that the locale's encoding lacks; showing them must not fail.
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:
        return stream
    stream.flush()
    whole = kind(stream.fileno())
    return io.TextIOWrapper(
        # An unbuffered stream stays one: its owner wants to see what is written, when it is written.
        whole if raw is stream.buffer else io.BufferedWriter(whole),
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
