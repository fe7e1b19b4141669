"""The limits of artifacts and codecs: where payloads are cut, when threads pay off, what is never believed.

Sizes are bytes. None of them is part of a format: payloads and manifests say themselves how they are divided.
"""

from __future__ import annotations

INLINE_LIMIT = 64 << 10
"""Payloads of a task that are, together, sent to the scheduler instead of being written as a pack."""

# Chunks: far below the 100 MB that hosts of repositories accept for a blob, far above what a tree entry costs.
WHOLE = 1 << 20
"""A payload, and a part of one, of up to this size is not cut."""
MIN_CHUNK = 256 << 10
AVERAGE_CHUNK = 1 << 20
MAX_CHUNK = 4 << 20
CREDIBLE_CHUNK = 64 << 20
"""The largest chunk that a manifest may list: memory is set aside by what it says."""
TINY_PART = 64 << 10
"""Parts below this share a chunk with their neighbours."""
MAX_JOINED = 32 << 20
"""Tiny parts of a payload that are joined; more would be a copy of the whole."""

# From these sizes on, threads pay for being started.
CUT_BY_THREADS = 64 << 20
"""Bytes a thread that looks for boundaries."""
HASH_BY_THREADS = 4 << 20
READ_BY_THREADS = 8 << 20
COPIES_AT_A_TIME = 8
"""Chunks of which stable copies are hashed together; each takes up to `MAX_CHUNK`."""
COPY_BY_NUMPY = 64 << 10
"""Copying by numpy lets other threads go on, but takes longer to begin."""

# Parts of payloads.
OUT_OF_BAND = 4096
"""A buffer from this size on is a part of its own and not copied."""
LONE_BUFFER = 256 << 10
"""An Arrow buffer from this size on is a part of its own; smaller neighbours are joined."""
ARROW_ROWS = 1 << 16
"""Rows that are looked at, or rewritten, at a time."""
SMALL_FILE = 1 << 20
"""A file up to this size is read: nobody can change it while it is being stored. Larger ones are mapped."""
COPY_PIECE = 4 << 20
"""Bytes of a file that are copied at a time."""

# Python's values.
MAX_DEPTH = 64
"""Levels of values within one another; deeper ones are pickled."""
MAX_COPIES = 1_000_000
"""Parts that may be written again because an immutable object is met again; beyond, the value is pickled."""
MAX_OBJECTS_IN_A_COLUMN = 100_000
"""Python objects in a column of a frame that are stored one by one; frames with more are pickled."""
GC_PAUSE = 1 << 20
"""Payloads from which the collector would look at the growing value again and again."""
MAX_UNTRUSTED_PARTS = 4_000_000
"""Values within a stranger's value: the costliest, empty containers of a byte each, take 300 MB."""
MAX_NPY_HEADER = 1 << 20
MAX_TENSORS_HEADER = 100 << 20

# The index of what is stored.
PATIENCE = 0.5
"""Seconds to wait for another process; storing something twice is cheaper than waiting longer."""
DIGESTS_AT_A_TIME = 500
"""Digests in a query; SQLite allows 999 variables at least."""
