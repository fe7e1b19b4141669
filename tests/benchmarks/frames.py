"""What storing and loading frames of pandas costs, against pickle.

    python -m tests.benchmarks.frames [rounds]

CPU of encoding and decoding, against `pickle.dumps` and `pickle.loads` of protocol 5 in turn; the least of all rounds
counts.
"""

from __future__ import annotations

import pickle
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gitflowrun.artifacts.codecs import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 1_000


def frames() -> dict[str, Any]:
    """Frames of a thousand rows, by what is in them."""
    rng = np.random.default_rng(0)
    numbers = rng.random(ROWS)
    days = pd.date_range("2020-01-01", periods=ROWS, freq="h").to_series(index=range(ROWS))
    words = [f"word {number % 97}" for number in range(ROWS)]
    mixed: dict[str, Any] = {f"f{n}": numbers for n in range(34)}
    mixed |= {f"i{n}": np.arange(ROWS) for n in range(34)}
    mixed |= {f"b{n}": numbers > 0.5 for n in range(17)}
    mixed |= {f"t{n}": days.to_numpy() for n in range(17)}
    few = {
        "text": pd.Series(words, dtype=object),
        "strings": pd.Series(words, dtype="str"),
        "masked": pd.Series(np.arange(ROWS), dtype="Int64").where(numbers > 0.1),
        "zoned": days.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
        "categories": pd.Series(words).astype("category"),
        "numbers": pd.Series(numbers),
    }
    found = {
        "2,000 columns of float64": pd.DataFrame(rng.random((ROWS, 2_000))),
        "102 columns of numbers, truth values and times": pd.DataFrame(mixed),
        "one column of each": pd.DataFrame(few),
    }
    for name, column in few.items():
        found[f"10 columns of {name}"] = pd.DataFrame({f"c{n}": column for n in range(10)})
    return found


def _least(act: Callable[[], object], other: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of CPU of both, taken in turn."""
    best = [float("inf")] * 2
    for _ in range(rounds):
        for place, each in enumerate((act, other)):
            start = time.process_time()
            each()
            best[place] = min(best[place], 1e3 * (time.process_time() - start))
    return best


def main() -> None:
    """Print a line for each frame."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(f"{'ms':48}{'store':>8}{'pickle':>8}{'load':>8}{'pickle':>8}{'both':>8}")
    for name, frame in frames().items():
        made, pickled = encode(frame), pickle.dumps(frame, 5)
        payload = bytearray(made.payload())
        store = _least(partial(encode, frame), partial(pickle.dumps, frame, 5), rounds)
        ours = partial(decode, made.codec, payload, trusted=True)
        load = _least(ours, partial(pickle.loads, pickled), rounds)
        ratio = (store[0] + load[0]) / (store[1] + load[1])
        figures = "".join(f"{figure:8.2f}" for figure in (*store, *load))
        print(f"{name:48}{figures}{ratio:7.1f}x")


if __name__ == "__main__":
    main()
