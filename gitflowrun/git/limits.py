"""The limits of the git layer above packs: versions, times, counts and sizes."""

from __future__ import annotations

__all__ = [
    "FOLD_BEYOND",
    "FOLD_PACKS",
    "FOLD_SECONDS",
    "GC_PID_VALID",
    "LARGE_INDEX",
    "LARGE_PACK",
    "LOCK_ABANDONED",
    "LOCK_PATIENCE",
    "LOCK_PAUSES",
    "LOCK_STALE",
    "MAINTENANCE_LOCK_VALID",
    "MINIMUM_GIT",
    "REFS_A_COMMAND",
    "REFS_A_PUSH",
    "SNAPSHOT_ABANDONED",
    "SYMBOLIC_DEPTH",
    "TRANSACTION_GRACE",
    "USABLE_CPUS",
]

MINIMUM_GIT = (2, 30)
"""The oldest git that works: `git update-ref --stdin` takes several transactions since then."""

REFS_A_COMMAND = 1_000
"""Names of refs in one argument list."""
REFS_A_PUSH = 100
"""Refs that one push or fetch names: some hosts refuse more."""
SYMBOLIC_DEPTH = 5
"""Symbolic refs that are followed to one ref, as git follows them."""

LOCK_PATIENCE = 30.0
"""Seconds to wait for the lock of a ref."""
LOCK_PAUSES = (0.001, 0.1)
"""Seconds between two attempts to lock a ref: at first, and at most."""
LOCK_STALE = 10.0
"""Seconds after which a lock that does not change has no owner any more; git holds one for milliseconds."""
LOCK_ABANDONED = 3_600.0
"""The same for locks that nobody waits for."""
TRANSACTION_GRACE = 5.0
"""Seconds that git gets to end the transaction it has begun when we are interrupted."""

SNAPSHOT_ABANDONED = 86_400.0
"""Seconds after which the files of a snapshot are those of a process that was killed."""

GC_PID_VALID = 12 * 3_600.0
"""Seconds after which git itself takes `gc.pid` for a dead process's."""
MAINTENANCE_LOCK_VALID = 6 * 3_600.0
"""The same for `maintenance.lock`, which git believes for ever; a killed one would stop us for ever."""

FOLD_BEYOND = 16
"""Small packs that may gather before they are folded."""
LARGE_PACK = 128 << 20
"""Packs of this many bytes are never folded."""
LARGE_INDEX = 2 << 20
"""Packs whose index has this many bytes (75,000 objects) are never folded: their ids are compared in memory."""
FOLD_PACKS = 500
"""Packs that one fold takes at most; of their bytes, and of their indexes', it takes twice the above."""
FOLD_SECONDS = 120.0
"""A fold that takes longer is given up."""

USABLE_CPUS = 4
"""Threads that are worth starting: beyond that memory is the limit."""
