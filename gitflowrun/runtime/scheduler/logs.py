"""The output of tasks: bytes up to a limit, and the times of lines.

The kept bytes are exactly what was written, but for secrets; they are decoded only to be shown. A line without an
end is shown in pieces, and counted once.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.runs.line_times import encode_times

if TYPE_CHECKING:
    from gitflowrun.masking import Mask, MaskedStream

STDOUT = "stdout"
STDERR = "stderr"
TRUNCATED = b"[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]\n"


class _Stream:
    """One stream of one task."""

    def __init__(self, limit: int, mask: MaskedStream | None) -> None:
        self._limit = limit
        self._mask = mask
        self.kept = bytearray()
        self.times: array[float] = array("d")
        self._partial = b""
        self._is_full = False
        self._taken = 0

    @property
    def unfinished(self) -> str:
        """The last line, if it has no end yet; of one that draws itself again and again, how it looks now."""
        if not self._partial:
            return ""
        return self._partial.decode(errors="replace").rstrip("\r").rpartition("\r")[2]

    def take(self) -> bytes:
        """What was kept since this was asked last."""
        taken, self._taken = self._taken, len(self.kept)
        return bytes(self.kept[taken:])

    def feed(self, data: bytes, now: float) -> list[str]:
        """Add what was written; the lines it completes."""
        return self._add(data if self._mask is None else self._mask.feed(data), now)

    def _add(self, data: bytes, now: float) -> list[str]:
        self._keep(data, now)
        lines = (self._partial + data).split(b"\n") if self._partial else data.split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > limits.LONGEST_LINE:
            lines.append(self._partial)
            self._partial = b""
        return [line.decode(errors="replace") for line in lines]

    def end(self, now: float) -> list[str]:
        """The last line, where nothing ended it."""
        lines = self._add(self._mask.end(), now) if self._mask else []
        return [*lines, self._partial.decode(errors="replace")] if self._partial else lines

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
        mask: What hides secrets; None where there are none.
    """

    def __init__(self, limit: int, mask: Mask | None = None) -> None:
        self._limit = limit
        self._mask = mask
        self._streams: dict[str, _Stream] = {}

    def _stream(self, name: str) -> _Stream:
        """A stream, which is made when there is something in it: most tasks write to one of them or to none."""
        found = self._streams.get(name)
        if found is None:
            mask = self._mask.stream() if self._mask else None
            found = self._streams[name] = _Stream(self._limit, mask)
        return found

    def feed(self, stream: str, data: bytes, now: float) -> list[str]:
        """Add what the task wrote to a stream; the lines it completes, as text."""
        return self._stream(stream).feed(data, now)

    def end(self, stream: str, now: float) -> list[str]:
        """The last line of a stream, which is closed, where nothing ended it."""
        found = self._streams.get(stream)
        return found.end(now) if found else []

    def say(self, text: str, now: float) -> None:
        """Add a line of the scheduler's to the task's standard error."""
        shown = self._mask.text(text) if self._mask else text
        self._stream(STDERR).say(shown.encode(errors="replace"), now)

    def unfinished(self, stream: str) -> str:
        """The line that a stream has begun, as it looks now."""
        found = self._streams.get(stream)
        return found.unfinished if found else ""

    def take(self, stream: str) -> bytes:
        """What was kept of a stream since this was asked last."""
        found = self._streams.get(stream)
        return found.take() if found else b""

    def output(self, stream: str) -> bytes:
        """What is kept of a stream."""
        found = self._streams.get(stream)
        return bytes(found.kept) if found else b""

    @property
    def size(self) -> int:
        """Bytes kept of both streams."""
        return sum([len(stream.kept) for stream in self._streams.values()])

    def times(self) -> bytes:
        """The `times` blob of the task."""
        if not self._streams:
            return b""
        times = [found.times if (found := self._streams.get(it)) else () for it in (STDOUT, STDERR)]
        return encode_times(*times)
