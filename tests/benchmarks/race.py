"""Interleaved timing: every contender once a round, best of all rounds, so that a busy moment hits all alike.

The order is another one each round: who comes after somebody that filled the page cache pays for emptying it.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Best", "Contender", "peak_of", "race", "timed"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Contender:
    """Something to be timed: `run` does it once and returns the seconds that count.

    Slow ones take part in the first `rounds` rounds only.
    """

    name: str
    run: Callable[[], float]
    rounds: int | None = None


@dataclass(frozen=True)
class Best:
    """The least seconds, and the largest growth of this process's memory in MB, of all rounds."""

    seconds: float
    peak: float


def timed(work: Callable[[], object]) -> float:
    """The seconds that `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def peak_of(work: Callable[[], float]) -> tuple[float, float]:
    """What `work` returns, and by how many MB the resident memory of this process grew at most meanwhile."""
    gc.collect()
    with suppress(OSError):
        _CLEAR.write_text("5")  # the high-water mark begins anew
    before = _kilobytes("VmRSS")
    result = work()
    return result, max(0.0, (_kilobytes("VmHWM") - before) * 1024 / 1e6)


def race(contenders: list[Contender], rounds: int) -> dict[str, Best]:
    """Time all contenders in turn. One that can't run is left out, with its reason printed."""
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}
    broken: set[str] = set()
    order = random.Random(0)
    for number in range(rounds):
        for contender in order.sample(contenders, len(contenders)):
            if contender.name in broken or number >= (contender.rounds or rounds):
                continue
            try:
                took, peak = peak_of(contender.run)
            except Exception as error:  # noqa: BLE001  (a peer that fails is not measured)
                print(f"  ({contender.name}: {type(error).__name__}: {str(error)[:200]})")
                broken.add(contender.name)
            else:
                seconds.setdefault(contender.name, []).append(took)
                peaks.setdefault(contender.name, []).append(peak)
    names = [contender.name for contender in contenders if contender.name in seconds]
    return {name: Best(min(seconds[name]), max(peaks[name])) for name in names}


def _kilobytes(field: str) -> int:
    return int(_STATUS.read_text().split(field + ":")[1].split()[0])
