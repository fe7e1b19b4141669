"""Packs that git would not make, entry by entry; a limit of memory."""

from __future__ import annotations

import contextlib
import hashlib
import tracemalloc
import zlib
from collections.abc import Iterator

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo

ABSENT = Oid(b"\x12" * 20)


def deltas(*results: int) -> list[bytes]:
    """Entries of a pack: 64 KiB of zeros, and deltas that make so many zeros of what is before them."""
    entries = [entry(ObjectType.BLOB, bytes(0x10000))]
    before = 0x10000
    for size in results:
        delta = varint(before) + varint(size) + b"\x80" * (size // 0x10000)
        entries.append(entry(6, delta, back=len(entries[-1])))
        before = size
    return entries


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(kind: int, data: bytes, *, back: int | None = None) -> bytes:
    """An entry of a pack; a delta says how far `back` its base begins."""
    head = varint(len(data) >> 4) if len(data) > 15 else b""
    first = bytes([kind << 4 | len(data) & 15 | (0x80 if head else 0)])
    place = b""
    if back is not None:
        place = bytes([back & 0x7F])
        while back := back >> 7:
            back -= 1
            place = bytes([back & 0x7F | 0x80]) + place
    return first + head + place + zlib.compress(data)


def planted(repo: GitRepo, entries: list[bytes], sizes: list[int]) -> list[Oid]:
    """A pack of these entries, which are zeros, with an index that git would not make."""
    oids = [hash_object(ObjectType.BLOB, bytes(size)) for size in sizes]
    body = b"PACK" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big")
    rows: list[tuple[Oid, int, int]] = []
    for oid, entry in zip(oids, entries, strict=True):
        rows.append((oid, zlib.crc32(entry), len(body)))
        body += entry
    trailer = hashlib.sha1(body).digest()
    rows.sort()
    fan = [sum(row[0][0] <= first for row in rows) for first in range(256)]
    index = b"\xfftOc" + (2).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in fan)
    index += b"".join(row[0] for row in rows)
    index += b"".join(row[1].to_bytes(4, "big") for row in rows)
    index += b"".join(row[2].to_bytes(4, "big") for row in rows)
    index += trailer
    path = objects_dir(repo) / "pack" / f"pack-{trailer.hex()}.pack"
    path.write_bytes(body + trailer)
    path.with_suffix(".idx").write_bytes(index + hashlib.sha1(index).digest())
    return oids


def ref_delta(base: Oid, delta: bytes) -> bytes:
    """An entry of a pack that names its base by its id."""
    return bytes([7 << 4 | len(delta)]) + base + zlib.compress(delta)


@contextlib.contextmanager
def used_memory(most: int) -> Iterator[None]:
    """Fail if more than `most` bytes are allocated by Python at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
