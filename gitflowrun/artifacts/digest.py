"""BLAKE3 of payloads: one pass over their parts, by several threads where that is safe.

BLAKE3's threads are a pool that lives until its process ends, and a child forked after that would wait for
threads that it does not have. So a process from which tasks are forked never hashes large payloads, and a
child of a process that did hashes with one thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blake3 import blake3

from gitflowrun.git.owner import usable_cpus
from gitflowrun.limits import HASH_BY_THREADS
from gitflowrun.names import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_pool_owner: list[int] = []


def digest(data: bytes | bytearray | memoryview) -> Digest:
    """BLAKE3 of a buffer, by one thread: for pieces, of which callers hash several at a time."""
    return Digest(blake3(data).digest())


def digest_parts(parts: Iterable[memoryview]) -> Digest:
    """BLAKE3 of the concatenation of `parts`, which is not made."""
    views = list(parts)
    if len(views) == 1 and views[0].nbytes < HASH_BY_THREADS:
        return digest(views[0])
    whole = hasher(sum(view.nbytes for view in views))
    for view in views:
        whole.update(view)
    return Digest(whole.digest())


def digest_all(views: Sequence[memoryview]) -> list[Digest]:
    """BLAKE3 of each, by a few threads where they are large."""
    threads = min(usable_cpus(), len(views))
    if threads < 2 or sum(view.nbytes for view in views) < HASH_BY_THREADS:  # noqa: PLR2004
        return [digest(view) for view in views]
    from gitflowrun.utilities.threads import Workers

    # Threads of this call alone: they are gone when it returns, and a later fork is safe.
    with Workers(threads) as pool:
        return list(pool.map(digest, views))


def keyed_hasher(key: bytes) -> blake3:
    """A BLAKE3 with a key of 32 bytes, which only who has the key can compute; by one thread."""
    return blake3(key=key)


def hasher(size: int) -> blake3:
    """A BLAKE3 that takes `size` bytes piece by piece."""
    return blake3(max_threads=_threads(size))


def _threads(size: int) -> int:
    if size < HASH_BY_THREADS:
        return 1
    if not _pool_owner:
        if not _may_have_a_pool():
            return 1
        _pool_owner.append(os.getpid())
    return blake3.AUTO if _pool_owner[0] == os.getpid() else 1


def _may_have_a_pool() -> bool:
    """Whether the system gives as many threads as BLAKE3 starts: with fewer it would end the process."""
    from gitflowrun.utilities.threads import Workers

    wanted = len(os.sched_getaffinity(0))
    with Workers(wanted) as pool:
        return pool.count == wanted
