"""How many threads are worth starting here. What they do is others' business."""

from __future__ import annotations

import os

__all__ = ["usable_cpus"]

_MAX = 4


def usable_cpus() -> int:
    """Processors that this process may use; no more than 4, for beyond that memory is the limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(_MAX, len(affinity(0)) if affinity else os.cpu_count() or 1)
