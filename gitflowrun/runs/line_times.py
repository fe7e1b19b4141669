"""The times of the lines of a task's output as bytes: the `times` blob. The lines themselves are plain text.

The scheduler takes the times when output arrives (`runtime.scheduler.logs`). A msgpack map: for each stream the
deltas between its lines in microseconds, 8 bytes each, little-endian, the first counted from `start`. Deltas are
mostly zero bytes, which git's compression removes. Of millions of lines, only the first ones have times, so that the
blob stays small.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import MAX_TIME
from gitflowrun.schema import BINARY, COUNT, MapSchema, recorded_time
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = 1
_MAX_LINES = 250_000  # of each stream: 4 MB together
_MICROSECONDS = 1_000_000


@frozen
class _Deltas:
    start: int
    stdout: bytes
    stderr: bytes


_TIMES = MapSchema(
    _Deltas, "times", {"start": COUNT, "stdout": BINARY, "stderr": BINARY}, version=SCHEMA
)


def encode_times(stdout: Sequence[float], stderr: Sequence[float]) -> bytes:
    """The `times` blob of a task: one time (seconds since 1970) per line, of each stream's first 250,000.

    Empty when there are no lines: such a task has no `times` entry.
    """
    if not stdout and not stderr:
        return b""
    start = round(recorded_time(min([*stdout[:1], *stderr[:1]])) * _MICROSECONDS)
    deltas = _Deltas(start, _deltas(start, stdout), _deltas(start, stderr))
    return msgpack.pack_message(_TIMES.dump(deltas))  # of a size and depth that any limit allows


def decode_times(data: bytes) -> tuple[list[float], list[float]]:
    """The times in a `times` blob, of stdout's lines and of stderr's. Raises CorruptRecord."""
    if not data:
        return [], []
    record = _TIMES.load(msgpack.unpack(data))
    try:
        return _times(record.start, record.stdout), _times(record.start, record.stderr)
    except struct.error as error:
        raise CorruptRecord(f"malformed times record: {error}") from error


def _deltas(start: int, times: Sequence[float]) -> bytes:
    if not times:  # as one of the streams of most tasks
        return b""
    deltas = []
    last = start
    for time in times[:_MAX_LINES]:
        now = max(last, round(time * _MICROSECONDS))  # a clock set back must not make it negative
        deltas.append(now - last)
        last = now
    return struct.pack(f"<{len(deltas)}Q", *deltas)


def _times(start: int, raw: bytes) -> list[float]:
    moments = [*accumulate((delta for (delta,) in struct.iter_unpack("<Q", raw)), initial=start)]
    if moments[-1] > MAX_TIME * _MICROSECONDS:
        raise CorruptRecord("malformed times record: it has times that are none")
    return [moment / _MICROSECONDS for moment in moments[1:]]
