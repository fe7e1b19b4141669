"""Pack indexes, version 2: from entries to bytes, and lookups in a mapped index. No packs are opened here.

Layout (gitformat-pack(5)): magic, fanout of 256 counts, sorted ids, CRC-32 of each entry, 31-bit offsets,
64-bit offsets for those that do not fit, the pack's trailer, the index's own trailer.

Of a multi-pack-index, version 1, only the names of its packs are read: header, table of chunks (each a word
of four letters and where it begins; the last row says where the last chunk ends), chunk `PNAM`.
"""

from __future__ import annotations

import struct
from collections import Counter
from itertools import accumulate, count
from math import isqrt
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.limits import MAX_PACK_NAMES, ROWS_A_FIND, ROWS_AT_A_GLANCE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from typing import BinaryIO

_MAGIC = b"\xfftOc\x00\x00\x00\x02"
_FANOUT = struct.Struct(">256I")
_OIDS = len(_MAGIC) + _FANOUT.size
_WIDE = 0x8000_0000
_TRAILERS = 2 * Oid.SIZE
_ID = struct.Struct(f"{Oid.SIZE}s")
_OFFSET = struct.Struct(">I")
_MULTI_HEADER = struct.Struct(">4sBBBBI")
_MULTI_ROW = struct.Struct(">4sQ")


class IndexEntry(NamedTuple):
    """One object of a pack: its id, the CRC-32 of its entry as written, and where the entry begins."""

    oid: Oid
    crc: int
    offset: int


def index_bytes(entries: Sequence[IndexEntry], pack_trailer: bytes) -> bytes:
    """The index of a pack with `entries`."""
    # By lists all the way: a commit of a run may have 20,000 small objects.
    rows = sorted(entries)
    oids, crcs, offsets = zip(*rows, strict=True) if rows else ((), (), ())
    counts = Counter([oid[0] for oid in oids])
    wide = [offset for offset in offsets if offset >= _WIDE]
    if wide:
        places = count(_WIDE)
        offsets = tuple(it if it < _WIDE else next(places) for it in offsets)
    body = b"".join(
        (
            _MAGIC,
            _FANOUT.pack(*accumulate([counts[first] for first in range(256)])),
            *oids,
            struct.pack(f">{len(rows)}I", *crcs),
            struct.pack(f">{len(rows)}I", *offsets),
            struct.pack(f">{len(wide)}Q", *wide),
            pack_trailer,
        )
    )
    import hashlib  # readers should not wait for OpenSSL to be loaded

    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def names_in_multi_pack_index(file: BinaryIO) -> frozenset[str]:
    """The packs that a multi-pack-index speaks of, without `.idx`.

    Args:
        file: The open file, at its beginning. Only its head is read: it has 36 bytes for each object.

    Raises:
        CorruptRecord: it is damaged, of another version, or goes on from another one.
    """
    try:
        magic, version, hash_version, chunks, bases, _ = _MULTI_HEADER.unpack(
            file.read(_MULTI_HEADER.size)
        )
        if (magic, version, hash_version, bases) != (b"MIDX", 1, 1, 0):
            raise CorruptRecord("the multi-pack-index is of a kind that can't be read")
        rows = list(_MULTI_ROW.iter_unpack(file.read((chunks + 1) * _MULTI_ROW.size)))
        starts = dict(rows)
        start, end = starts[b"PNAM"], min(at for _, at in rows if at > starts[b"PNAM"])
    except (struct.error, KeyError, ValueError) as error:
        raise CorruptRecord("the multi-pack-index is damaged") from error
    file.seek(start)
    data = file.read(min(end - start, MAX_PACK_NAMES))
    if len(data) != end - start:
        raise CorruptRecord("the multi-pack-index is cut short")
    names = data.decode(errors="surrogateescape").split("\0")
    return frozenset(name.removesuffix(".idx") for name in names if name)


def is_readable(path: Path) -> bool:
    """Whether a file looks like an index of version 2; only git reads another. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class PackIndex:
    """Lookups in the bytes of an index.

    Args:
        data: The whole index; a mapping is best.
        name: What to call it in errors.

    Raises:
        CorruptRecord: it is no version 2 index, or is cut short.
    """

    __slots__ = ("_data", "_fanout", "_offsets", "_wide", "count", "name")

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        if bytes(data[: len(_MAGIC)]) != _MAGIC or len(data) < _OIDS + _TRAILERS:
            raise CorruptRecord(f"{name} is not a version 2 pack index")
        self.name = name
        self._data = data
        fanout = [0, *_FANOUT.unpack_from(data, len(_MAGIC))]
        self._fanout = fanout
        self.count: int = fanout[256]
        self._offsets = _OIDS + self.count * (Oid.SIZE + 4)
        self._wide = self._offsets + self.count * 4
        # `sorted` compares in C: a loop over the counts was half of all Python calls of a client's read.
        if self._wide + _TRAILERS > len(data) or fanout != sorted(fanout):
            raise CorruptRecord(f"pack index {name} is cut short or has a bad fanout table")

    def find(self, oid: bytes) -> int | None:
        """The offset of an object's entry in the pack; None when it is not there."""
        low, high = self._fanout[oid[0]], self._fanout[oid[0] + 1]
        first, last = low, high
        if high - low > ROWS_AT_A_GLANCE:
            # Ids are spread evenly, so its own digits say where it lies, give or take the root of their number.
            around = low + (int.from_bytes(oid[1:4], "big") * (high - low) >> 24)
            margin = ROWS_AT_A_GLANCE // 2 + isqrt(high - low)
            first = max(low, around - margin)
            last = min(high, around + margin)
        size = _ID.size
        rows = bytes(self._data[_OIDS + first * size : _OIDS + last * size])
        if (first > low and oid < rows[:size]) or (last < high and oid > rows[-size:]):
            first, rows = self._narrowed(oid, low, high)
        at = rows.find(oid)
        while at >= 0:
            if not at % size:
                return self._offset(first + at // size)
            at = rows.find(oid, at + 1)  # it was the end of an id and the beginning of the next
        return None

    def offsets(self, oids: Collection[bytes]) -> dict[bytes, int]:
        """The offsets of those of some objects that are here, as `find` says them."""
        if len(oids) * ROWS_A_FIND < self.count:
            found = ((oid, self.find(oid)) for oid in oids)
            return {oid: offset for oid, offset in found if offset is not None}
        wanted = frozenset(oids)
        rows = enumerate(_ID.iter_unpack(self.id_table))
        return {oid: self._offset(row) for row, (oid,) in rows if oid in wanted}

    def _narrowed(self, oid: bytes, low: int, high: int) -> tuple[int, bytes]:
        """The few of some rows among which an id is, if it is there, and the first of them, by halving."""
        # By hand: `bisect` takes twice as long, for it calls a function of ours at each step.
        while high - low > ROWS_AT_A_GLANCE:
            middle = (low + high) >> 1
            start = _OIDS + middle * Oid.SIZE
            if bytes(self._data[start : start + Oid.SIZE]) <= oid:
                low = middle
            else:
                high = middle
        return low, bytes(self._data[_OIDS + low * Oid.SIZE : _OIDS + high * Oid.SIZE])

    @property
    def id_table(self) -> bytes:
        """The ids of all objects, sorted, `Oid.SIZE` bytes each and nothing between them."""
        return bytes(self._data[_OIDS : _OIDS + self.count * Oid.SIZE])

    @property
    def offset_table(self) -> Sequence[int]:
        """The offsets of all objects, in the order of `id_table`. Raises CorruptRecord: one of them lies nowhere."""
        rows = struct.unpack_from(f">{self.count}I", self._data, self._offsets)
        if max(rows, default=0) < _WIDE:
            return rows
        return [self._offset(row) for row in range(self.count)]

    @property
    def pack_trailer(self) -> bytes:
        """The trailer of the pack that this index belongs to."""
        return bytes(self._data[len(self._data) - _TRAILERS : len(self._data) - Oid.SIZE])

    def _offset(self, row: int) -> int:
        offset: int = _OFFSET.unpack_from(self._data, self._offsets + 4 * row)[0]
        if offset < _WIDE:
            return offset
        start = self._wide + 8 * (offset - _WIDE)
        if start + 8 + _TRAILERS > len(self._data):
            raise CorruptRecord(f"pack index {self.name} points beyond its table of 64-bit offsets")
        return int.from_bytes(self._data[start : start + 8], "big")
