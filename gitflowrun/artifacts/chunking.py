"""The cutting of payloads into chunks, each of which becomes a blob.

A payload of up to 1 MiB stays whole. In larger ones a cut falls where the content says (FastCDC: 256 KiB to
4 MiB, 1 MiB on average), so inserted rows change a chunk or two and not everything behind them. Every part of
a value, such as a column, begins a chunk, so a changed column leaves its neighbours' chunks alone; only tiny
parts that follow one another share chunks, for a blob of a few bytes costs more than it could ever save.

Boundaries are data: manifests list them, and a reader needs none of this. Another version of pyfastcdc that
cut elsewhere would cost sharing with older payloads and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.owner import usable_cpus
from gitflowrun.limits import (
    AVERAGE_CHUNK,
    CUT_BY_THREADS,
    MAX_CHUNK,
    MAX_JOINED,
    MIN_CHUNK,
    TINY_PART,
    WHOLE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def cut(parts: Sequence[memoryview]) -> list[memoryview]:
    """Cut a payload into chunks.

    Args:
        parts: The payload in pieces that are cut independently.

    Returns:
        Views of the parts, in order; tiny parts that were joined are copies. One chunk for an empty payload.
    """
    if sum(part.nbytes for part in parts) <= WHOLE:
        return [parts[0] if len(parts) == 1 else memoryview(b"".join(parts))]
    chunks: list[memoryview] = []
    tiny: list[memoryview] = []
    joined = held = 0
    for part in parts:
        view = part if part.format == "B" and part.ndim == 1 else part.cast("B")
        is_tiny = len(view) < TINY_PART and joined < MAX_JOINED
        if tiny and (not is_tiny or held + len(view) > WHOLE):
            chunks.append(_joined(tiny))
            tiny, held = [], 0
        if is_tiny:
            tiny.append(view)
            held += len(view)
            joined += len(view)
        else:
            chunks += _cut_part(view)
    if tiny:
        chunks.append(_joined(tiny))
    return [chunk for chunk in chunks if len(chunk)]


def _joined(tiny: list[memoryview]) -> memoryview:
    return tiny[0] if len(tiny) == 1 else memoryview(b"".join(tiny))


def _cut_part(view: memoryview) -> list[memoryview]:
    if len(view) <= WHOLE:
        return [view]
    ends = _ends_by_threads(view)
    return [view[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _ends_by_threads(view: memoryview) -> list[int]:
    """The ends of the chunks of `view`; large views are searched by several threads at once.

    Each thread starts somewhere; where the chunks of one meet a boundary of the next, they go on alike, for
    nothing before a boundary matters behind it. So threads make no difference to the result.
    """
    count = max(1, min(len(view) // CUT_BY_THREADS, usable_cpus()))
    if count == 1:
        return list(_ends(view))
    starts = [len(view) * number // count for number in range(count)]

    def search(number: int) -> list[int]:
        start = starts[number]
        stop = starts[number + 1] if number + 1 < count else len(view)
        ends = []
        for end in _ends(view[start:]):
            ends.append(start + end)
            if start + end >= stop:
                break
        return ends

    from gitflowrun.utilities.threads import Workers  # only large payloads need it

    with Workers(count) as pool:
        found = list(pool.map(search, range(count)))
    ends = found[0]
    for segment in found[1:]:
        _continue(view, ends, segment)
    return ends


def _continue(view: memoryview, ends: list[int], segment: list[int]) -> None:
    """Go on from the last of `ends` until a boundary that `segment` has too, and take over the rest of it."""
    places = {end: place for place, end in enumerate(segment)}
    while ends[-1] < segment[-1]:
        place = places.get(ends[-1])
        if place is not None:
            ends += segment[place + 1 :]
            return
        ends.append(ends[-1] + next(_ends(view[ends[-1] :])))


def _ends(view: memoryview) -> Iterator[int]:
    """The ends of the chunks of `view`, searched one after the other."""
    from pyfastcdc import FastCDC  # only large payloads need it

    cutter = FastCDC(AVERAGE_CHUNK, min_size=MIN_CHUNK, max_size=MAX_CHUNK)
    for chunk in cutter.cut_buf(view):
        yield chunk.offset + chunk.length
