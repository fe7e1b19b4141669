"""Payloads as bytes: read from their chunks, and copied where they may change while they are stored.

Reading: chunks are read straight into the one buffer that holds the payload, by a few threads where there are
many: finding, copying and hashing all release the interpreter. No byte is returned before its digest was
checked, and no value before that of all of it was: the chunks that a stranger's manifest lists may be whole, and
together another payload than it names.

Storing: a payload may view pages of a file, or memory that another thread writes to. What is stored is then a
*stable copy*, whose BLAKE3 was computed after it was made, so that no blob, id or digest is ever of bytes that
came and went. Copies are made chunk by chunk; the payload as a whole is never copied.
"""

from __future__ import annotations

import io
import sys
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from gitflowrun.artifacts.digest import digest, hasher
from gitflowrun.errors import CorruptRecord, UnserializableArtifact
from gitflowrun.git.owner import usable_cpus
from gitflowrun.limits import (
    COPIES_AT_A_TIME,
    COPY_BY_NUMPY,
    CREDIBLE_CHUNK,
    READ_AT_A_TIME,
    READ_BY_THREADS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blake3 import blake3

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.objects import ObjectType, Oid
    from gitflowrun.names import Digest


class Blobs(Protocol):
    """Where chunks are read from: an ObjectStore or a PackReader. Threads may share it."""

    def read_into(self, oid: Oid, target: memoryview, /) -> None:
        """Fill a buffer of a blob's exact size; its content is not checked."""

    def read(self, oid: Oid, limit: int, /) -> tuple[ObjectType, bytes]:
        """An object of up to `limit` bytes, whose content was checked to be what its id says."""


def read_payload(blobs: Blobs, ref: ArtifactRef) -> memoryview:
    """The payload in a writable buffer of its own.

    Raises:
        CorruptRecord: a chunk is not what the manifest says.
        MissingObject: a chunk is nowhere.
    """
    _check_claims(ref)
    buffer = _allocate(ref.size)
    _fill(blobs, ref, buffer)
    return buffer


def read_bytes(blobs: Blobs, ref: ArtifactRef) -> bytes:
    """The payload as a bytes object, with no second copy of it at any time. Raises as `read_payload`."""
    _check_claims(ref)
    if not ref.size:
        return b""
    # `getvalue` returns the bytes object that the stream wrote into, if nothing else views it.
    stream = io.BytesIO()
    try:
        stream.seek(ref.size - 1)
        stream.write(b"\0")
    except (MemoryError, OverflowError) as error:
        raise _too_large(ref.size) from error
    with stream.getbuffer() as view:
        try:
            _fill(blobs, ref, view)
        except BaseException as error:
            _clear_frames(error)  # their views would keep the stream from being closed
            raise
    return stream.getvalue()


def _clear_frames(error: BaseException | None) -> None:
    """Drop the local variables of the functions that an error has come through."""
    import traceback

    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _check_claims(ref: ArtifactRef) -> None:
    for chunk in ref.chunks:
        if chunk.size > CREDIBLE_CHUNK:
            raise CorruptRecord(f"payload {_short(ref)} lists a chunk larger than chunks are")
    if len(ref.chunks) == 1 or not ref.size:
        _check(ref, ref.chunks[0].digest if ref.size else digest(b""), ref.digest)


def _allocate(size: int) -> memoryview:
    """Memory that is not cleared first where numpy can be had for nothing."""
    try:
        np: Any = sys.modules.get("numpy") if size >= READ_BY_THREADS else None
        return memoryview(bytearray(size) if np is None else np.empty(size, np.uint8))
    except (MemoryError, OverflowError, ValueError) as error:
        raise _too_large(size) from error


def _too_large(size: int) -> CorruptRecord:
    return CorruptRecord(
        f"a payload of {size} bytes, as its manifest says, does not fit into memory",
        hint="if that is its size, `open()` reads it piece by piece",
    )


def _fill(blobs: Blobs, ref: ArtifactRef, buffer: memoryview) -> None:
    """Read all chunks. The digest of the whole says more than theirs, which are looked at when it is another."""
    chunks = ref.chunks
    if len(chunks) == 1:
        _read_chunk(blobs, ref, chunks[0], buffer)
        return
    starts = [0, *accumulate(chunk.size for chunk in chunks)]

    def read(first: int) -> memoryview:
        group = chunks[first : first + READ_AT_A_TIME]
        for start, chunk in zip(starts[first:], group, strict=False):
            blobs.read_into(chunk.oid, buffer[start : start + chunk.size])
        return buffer[starts[first] : starts[first + len(group)]]

    whole = hasher(0)
    for piece in _in_order(read, range(0, len(chunks), READ_AT_A_TIME), ref.size):
        whole.update(piece)  # while threads read on
    if whole.digest() != ref.digest:
        for start, chunk in zip(starts, chunks, strict=False):
            _mend(blobs, ref, chunk, buffer[start : start + chunk.size])
        _check(ref, digest(buffer), ref.digest)


def _in_order(
    read: Callable[[int], memoryview], places: Sequence[int], size: int
) -> Iterator[memoryview]:
    """What is read at some places, in their order; of much, a few threads read."""
    threads = usable_cpus() if size >= READ_BY_THREADS else 1
    if threads == 1:
        yield from map(read, places)
        return
    from gitflowrun.utilities.threads import Workers

    # Threads of this call alone: they are gone when it returns, and a later fork is safe.
    with Workers(threads) as pool:
        yield from pool.map(read, places)


def _read_chunk(blobs: Blobs, ref: ArtifactRef, chunk: Chunk, target: memoryview) -> None:
    blobs.read_into(chunk.oid, target)
    _mend(blobs, ref, chunk, target)


def _mend(blobs: Blobs, ref: ArtifactRef, chunk: Chunk, target: memoryview) -> None:
    """Check a chunk that was read, and take another copy of it if it is damaged."""
    if digest(target) != chunk.digest:
        _read_other(blobs, chunk, target)
        _check(ref, digest(target), chunk.digest)


def _read_other(blobs: Blobs, chunk: Chunk, target: memoryview) -> None:
    """Look for an undamaged copy in another pack: slower, for every copy's id is checked."""
    try:
        data = blobs.read(chunk.oid, len(target))[1]
    except CorruptRecord:
        return  # the caller says it better
    if len(data) == len(target):
        target[:] = data


def _check(ref: ArtifactRef, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise CorruptRecord(
            f"payload {_short(ref)} is damaged: its content has BLAKE3 {found.hex()[:12]}, "
            f"not {expected.hex()[:12]}",
            hint="`git fsck --full` lists damaged objects; another clone or a remote may have them whole",
        )


def _short(ref: ArtifactRef) -> str:
    return f"blake3/{ref.digest.hex()[:12]}"


class PayloadFile(io.RawIOBase):
    """A payload as a read-only file: seeking reads only the chunks that are asked for.

    Each chunk is checked. That they together are what the manifest names is known once all are read, in order; it
    takes half as long again, and what this clone wrote itself was put together once, so there it is not asked.

    Args:
        blobs: Where chunks are read from.
        ref: The artifact.
        trusted: Whether its run is trusted.
    """

    def __init__(self, blobs: Blobs, ref: ArtifactRef, *, trusted: bool = False) -> None:
        super().__init__()
        _check_claims(ref)
        self._blobs = blobs
        self._ref = ref
        self._starts = [0, *accumulate(chunk.size for chunk in ref.chunks)]
        self._position = 0
        self._cached: tuple[int, memoryview] = (-1, memoryview(b""))
        self._whole = None if trusted or len(ref.chunks) == 1 else hasher(0)
        self._hashed = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; beyond the end there is nothing to read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ref.size}
        if whence not in base:
            msg = f"invalid whence: {whence}"
            raise ValueError(msg)
        position = base[whence] + offset
        if position < 0:
            msg = f"negative seek position: {position}"
            raise ValueError(msg)
        self._position = position
        return position

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` as far as the payload goes; returns the number of bytes.

        Raises:
            CorruptRecord: a chunk is not what the manifest says.
        """
        target = memoryview(buffer).cast("B")
        wanted = max(0, min(target.nbytes, self._ref.size - self._position))
        done = 0
        while done < wanted:
            start = self._position
            piece = target[done : done + self._read_some(target[done:wanted])]
            done += len(piece)
            if self._whole is not None and start == self._hashed:
                self._hash(self._whole, piece)
        return done

    def _hash(self, whole: blake3, piece: memoryview) -> None:
        """Take in what was read next, and check the whole once that was the last of it."""
        whole.update(piece)
        self._hashed += len(piece)
        if self._hashed == self._ref.size:
            _check(self._ref, whole.digest(), self._ref.digest)

    def _read_some(self, target: memoryview) -> int:
        """Read from the chunk at the position, at least a byte; a chunk wanted whole goes uncached."""
        index = bisect_right(self._starts, self._position) - 1
        chunk = self._ref.chunks[index]
        offset = self._position - self._starts[index]
        size = min(target.nbytes, chunk.size - offset)
        if size == chunk.size and self._cached[0] != index:
            _read_chunk(self._blobs, self._ref, chunk, target[:size])
        else:
            target[:size] = self._chunk(index, chunk)[offset : offset + size]
        self._position += size
        return size

    def _chunk(self, index: int, chunk: Chunk) -> memoryview:
        if self._cached[0] != index:
            data = memoryview(bytearray(chunk.size))
            _read_chunk(self._blobs, self._ref, chunk, data)
            self._cached = (index, data.toreadonly())
        return self._cached[1]


def may_change(value: Encoded) -> bool:
    """Whether a value's payload may change while it is stored: it views a file, or other threads run."""
    threading = sys.modules.get("threading")
    return value.is_volatile or (threading is not None and threading.active_count() > 1)


def chunk_digests(chunks: Sequence[memoryview], payload: Digest, artifact: str) -> list[Digest]:
    """BLAKE3 of each chunk, computed of copies that together have the digest of the payload.

    Args:
        chunks: The payload in pieces, which may be changing.
        payload: Its digest as it was found before.
        artifact: The artifact's name, for the error.

    Raises:
        UnserializableArtifact: the copies together have another digest.
    """
    from gitflowrun.utilities.threads import Workers

    whole = hasher(sum(chunk.nbytes for chunk in chunks))
    digests: list[Digest] = []
    largest = max(chunk.nbytes for chunk in chunks)
    targets = [memoryview(bytearray(largest)) for _ in chunks[:COPIES_AT_A_TIME]]
    # Threads of this call alone: they are gone when it returns, and a later fork is safe.
    with Workers(usable_cpus()) as pool:
        for start in range(0, len(chunks), COPIES_AT_A_TIME):
            group = chunks[start : start + COPIES_AT_A_TIME]
            copies = [target[: chunk.nbytes] for target, chunk in zip(targets, group, strict=False)]
            for name, copy in zip(pool.map(_copied, group, copies), copies, strict=True):
                digests.append(name)
                whole.update(copy)
    if whole.digest() != payload:
        raise changed(artifact)
    return digests


def stable_copy(chunk: memoryview, expected: Digest, artifact: str) -> memoryview:
    """A copy of a chunk.

    Args:
        chunk: The chunk, which may be changing.
        expected: Its digest as it was found before.
        artifact: The artifact's name, for the error.

    Raises:
        UnserializableArtifact: the copy has another digest.
    """
    copy = memoryview(bytearray(chunk.nbytes))
    if _copied(chunk, copy) != expected:
        raise changed(artifact)
    return copy


def changed(artifact: str) -> UnserializableArtifact:
    """The error for an artifact whose payload changed while it was stored."""
    return UnserializableArtifact(
        f"artifact {artifact!r} changed while it was being stored",
        hint="let the step end only when nothing writes to its value, or its file, any more",
    )


def _copied(chunk: memoryview, target: memoryview) -> Digest:
    """BLAKE3 of a chunk's copy, which is made in `target`."""
    np: Any = sys.modules.get("numpy")
    if np is not None and chunk.nbytes >= COPY_BY_NUMPY:
        # Other threads go on meanwhile, though the bytes may have to come from a disk first.
        np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(chunk, np.uint8))
    else:
        target[:] = chunk
    return digest(target)
