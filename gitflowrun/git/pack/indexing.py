"""The index of a pack of blobs that somebody else has written, whose every byte is looked at.

It says what `git index-pack` says, whose SHA-1 detects collisions and takes four times the CPU. Nothing in the pack is
believed: each entry must inflate to the size that it announces, ids are computed, and the SHA-1 at its end must be that
of all before. What a pack of artifacts does not have (deltas, objects of other types, very large ones) and what git
does faster (very many small ones) is left to git.

A stream of stored blocks, as we write them, is taken apart without a decompressor. All that takes long are a few calls
for each object that work on all of it and let other threads run meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack.format import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    FULL_BLOCK,
    PACK_HEADER,
    ZLIB_HEADER,
    adler32,
    block_header,
    crc32,
    varint,
)
from gitflowrun.git.pack.index import IndexEntry, index_bytes
from gitflowrun.git.pack.indexing_limits import INDEXED_AVERAGE, INDEXED_COUNT, INDEXED_OBJECT
from gitflowrun.limits import INFLATE_AT_ONCE
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HEAD = 16  # bytes of an entry's header, at least as many as the longest has
_MORE = 0x80
_SLACK = 64  # by which streams of other forms are longer than what they hold


@frozen
class IndexedPack:
    """What is in a pack.

    Attributes:
        index: Its index, version 2.
        blobs: The size of each blob, and what was computed of its content.
    """

    index: bytes
    blobs: dict[Oid, tuple[int, bytes]]


def index_pack(pack: Path, digest: Callable[[memoryview], bytes]) -> IndexedPack | None:
    """Look at all of a pack.

    Args:
        pack: The file, which nobody writes to any more.
        digest: Computes something more of the content of each blob.

    Returns:
        Its index, or None where that is for git to make.

    Raises:
        CorruptRecord: it is no whole pack.
        OSError: it can't be read.
    """
    with pack.open("rb", buffering=0) as file:
        return _Reading(file.fileno(), digest).index()


class _Reading:
    """A pack that is being looked at, from its beginning to its end.

    Args:
        fd: The open file.
        digest: As in `index_pack`.
    """

    def __init__(self, fd: int, digest: Callable[[memoryview], bytes]) -> None:
        self._fd = fd
        self._digest = digest
        self._end = os.fstat(fd).st_size - Oid.SIZE  # of the last entry
        self._sha = hashlib.sha1(usedforsecurity=False)
        self._raw = self._content = memoryview(bytearray())

    def index(self) -> IndexedPack | None:
        """As `index_pack`."""
        word, version, count = PACK_HEADER.unpack(self._taken(0, PACK_HEADER.size))
        if word != b"PACK" or version not in {2, 3}:
            raise CorruptRecord("it does not begin as a pack")
        if count > INDEXED_COUNT and self._end < count * INDEXED_AVERAGE:
            return None
        at, entries = PACK_HEADER.size, []
        blobs: dict[Oid, tuple[int, bytes]] = {}
        for _ in range(count):
            found = self._entry(at)
            if found is None:
                return None
            raw, content = found
            crc = crc32(raw)  # before the id: see `format` on SHA-1 after isal
            oid = hash_object(ObjectType.BLOB, content)
            entries.append(IndexEntry(oid, crc, at))
            blobs[oid] = len(content), self._digest(content)
            self._sha.update(raw)
            at += len(raw)
        if len(blobs) != count:  # which packs of ours are not
            return None
        if at != self._end:
            raise CorruptRecord(f"it has {self._end - at} bytes behind its last entry")
        trailer = bytes(self._read(at, Oid.SIZE))
        if trailer != self._sha.digest():
            raise CorruptRecord("its checksum does not fit")
        return IndexedPack(index_bytes(entries, trailer), blobs)

    def _entry(self, at: int) -> tuple[memoryview, memoryview] | None:
        """The entry that begins at `at` and the content of its object, valid until the next; None: it is for git."""
        head = bytes(self._read(at, max(0, min(_HEAD, self._end - at))))
        try:
            size, length = head[0] & 15, 1
            if head[0] & _MORE:
                rest, length = varint(head, 1)
                size |= rest << 4
        except (IndexError, ValueError) as error:
            raise CorruptRecord(f"the entry at {at} has no whole header") from error
        if (head[0] >> 4) & 7 != ObjectType.BLOB or size > INDEXED_OBJECT:
            return None
        if len(self._content) < size:
            self._content = memoryview(bytearray(size))
        content = self._content[:size]
        raw = self._stored(at, length, content)
        if raw is None:
            raw = self._inflated(at, length, content)
        return None if raw is None else (raw, content)

    def _stored(self, at: int, skip: int, content: memoryview) -> memoryview | None:
        """The entry, where it is a stream of full stored blocks and a last one: their bytes go to `content`."""
        full = max(0, (len(content) - 1) // BLOCK)
        rest = len(content) - full * BLOCK
        skip += len(ZLIB_HEADER)
        size = skip + full * BLOCK_FRAME + BLOCK_HEADER + rest + CHECKSUM
        if at + size > self._end:
            return None
        begin = bytes(self._read(at, skip + BLOCK_HEADER))
        if begin[skip:] != (FULL_BLOCK if full else block_header(rest, last=True)):
            return None
        raw = self._read(at, size)
        place = skip
        for start in range(0, full * BLOCK, BLOCK):
            if raw[place : place + BLOCK_HEADER] != FULL_BLOCK:
                return None
            place += BLOCK_FRAME
            content[start : start + BLOCK] = raw[place - BLOCK : place]
        if raw[place : place + BLOCK_HEADER] != block_header(rest, last=True):
            return None
        place += BLOCK_HEADER
        content[full * BLOCK :] = raw[place : place + rest]
        if adler32(content).to_bytes(CHECKSUM, "big") != raw[place + rest :]:
            raise CorruptRecord(f"the entry at {at} has another checksum than its content")
        return raw

    def _inflated(self, at: int, skip: int, content: memoryview) -> memoryview | None:
        """The entry, whose stream is inflated to `content`; None where it is far longer than what it holds."""
        wanted = skip + len(content) + len(content) // 512 + _SLACK
        while True:
            raw = self._read(at, min(wanted, self._end - at))
            used = _inflate(raw[skip:], content, at)
            if used is not None:
                return raw[: skip + used]
            if len(raw) == self._end - at:
                raise CorruptRecord(f"the entry at {at} is cut short")
            if len(raw) > 2 * INDEXED_OBJECT:
                return None
            wanted *= 2  # an unusual framing, such as many empty blocks

    def _taken(self, at: int, size: int) -> bytes:
        """As `_read`, of what is a part of the pack's checksum."""
        data = bytes(self._read(at, size))
        self._sha.update(data)
        return data

    def _read(self, at: int, size: int) -> memoryview:
        """Bytes of the file, valid until the next call."""
        if len(self._raw) < size:
            self._raw = memoryview(bytearray(size))
        view = self._raw[:size]
        done = 0
        while done < size:
            got = os.preadv(self._fd, [view[done:]], at + done)
            if not got:
                raise CorruptRecord("it is cut short")
            done += got
        return view


def _inflate(stream: memoryview, content: memoryview, at: int) -> int | None:
    """Inflate a stream that fills `content`; how long it is, or None where it goes on behind these bytes."""
    library: Any = zlib
    if len(content) > INFLATE_AT_ONCE:  # as in `stream`
        from isal import isal_zlib as library
    inflating = library.decompressobj()
    try:
        data = inflating.decompress(stream, len(content) + 1)
        if not inflating.eof and len(data) == len(content) and inflating.unconsumed_tail:
            data += inflating.decompress(inflating.unconsumed_tail, 1)  # its end alone is left
    except library.error as error:
        raise CorruptRecord(f"the entry at {at} is damaged: {error}") from error
    if len(data) > len(content) or (inflating.eof and len(data) < len(content)):
        raise CorruptRecord(f"the entry at {at} does not have the size that it announces")
    if not inflating.eof:
        return None
    content[:] = data
    return len(stream) - len(inflating.unused_data)
