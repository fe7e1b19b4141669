"""`profile`: how long a block of code takes, as a line of text or as an entry of a dictionary."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping


@contextmanager
def profile(label: str, stats_dict: MutableMapping[str, int] | None = None) -> Iterator[None]:
    """Measure the time of a `with` block, or of each call of a function that it decorates.

    Args:
        label: What is measured.
        stats_dict: Where to add the milliseconds, under the label. When None, two lines on standard output
            say when it starts and how long it took.
    """
    if stats_dict is None:
        sys.stdout.write(f"PROFILE: {label} starting\n")
    began = time.monotonic()
    try:
        yield
    finally:
        took = int((time.monotonic() - began) * 1000)
        if stats_dict is None:
            sys.stdout.write(f"PROFILE: {label} completed in {took}ms\n")
        else:
            stats_dict[label] = stats_dict.get(label, 0) + took
