"""Payloads that somebody may still change while they are stored: pages of a file, memory that a thread writes to.

What is stored of them is a copy whose BLAKE3 was computed after it was made, so that no blob, id or digest is
ever of bytes that came and went. A copy is a chunk long; the payload as a whole is never copied.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.digest import digest, hasher
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.git.cpus import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.names import Digest

__all__ = ["changed", "chunk_digests", "may_change", "settled"]

_TOGETHER = 8  # chunks, of 4 MiB at most
_BY_NUMPY = 64 << 10


def may_change(value: Encoded) -> bool:
    """Whether a value's payload may change under our hands: it views a file, or other threads run."""
    threading = sys.modules.get("threading")
    return value.is_volatile or (threading is not None and threading.active_count() > 1)


def chunk_digests(chunks: Sequence[memoryview], payload: Digest, artifact: str) -> list[Digest]:
    """BLAKE3 of each chunk, of copies that together are `payload`.

    Raises:
        UnserializableArtifact: they are not.
    """
    from concurrent.futures import ThreadPoolExecutor

    whole = hasher(sum(chunk.nbytes for chunk in chunks))
    digests: list[Digest] = []
    largest = max(chunk.nbytes for chunk in chunks)
    targets = [memoryview(bytearray(largest)) for _ in chunks[:_TOGETHER]]
    # Threads of this call alone: they are gone when it returns, and a later fork is safe.
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for start in range(0, len(chunks), _TOGETHER):
            group = chunks[start : start + _TOGETHER]
            copies = [target[: chunk.nbytes] for target, chunk in zip(targets, group, strict=False)]
            for name, copy in zip(pool.map(_copied, group, copies), copies, strict=True):
                digests.append(name)
                whole.update(copy)
    if whole.digest() != payload:
        raise changed(artifact)
    return digests


def settled(chunk: memoryview, name: Digest, artifact: str) -> memoryview:
    """A copy of a chunk.

    Raises:
        UnserializableArtifact: its digest is not `name`, as it was.
    """
    copy = memoryview(bytearray(chunk.nbytes))
    if _copied(chunk, copy) != name:
        raise changed(artifact)
    return copy


def changed(artifact: str) -> UnserializableArtifact:
    """The error to raise."""
    return UnserializableArtifact(
        f"artifact {artifact!r} changed while it was being stored",
        hint="let the step end only when nothing writes to its value, or its file, any more",
    )


def _copied(chunk: memoryview, target: memoryview) -> Digest:
    """BLAKE3 of a chunk's copy, which is made in `target`."""
    np: Any = sys.modules.get("numpy")
    if np is not None and chunk.nbytes >= _BY_NUMPY:
        # Other threads go on meanwhile, though the bytes may have to come from a disk first.
        np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(chunk, np.uint8))
    else:
        target[:] = chunk
    return digest(target)
