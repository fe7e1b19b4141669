"""The limits of packs that are indexed without git."""

from __future__ import annotations

INDEXED_OBJECT = 64 << 20
"""Bytes of an object that is held while it is looked at; a pack that has a larger one is git's to index."""
INDEXED_COUNT = 1_000
"""Objects of a pack, beyond which git is faster unless they are large."""
INDEXED_AVERAGE = 64 << 10
"""Bytes that objects of longer packs have on average, at least."""
SENT_TO_DISK = 4 << 20
"""Bytes of a pack that arrives, in steps of which it is sent to the disk: the last fsync finds little to do."""
