"""From objects to the bytes of one pack, written into an open output. Publishing is the work of `packs`."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gitflowrun.git.framing import entry_header, frame_small, frame_stored, is_compressible, tools
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.packindex import IndexEntry

__all__ = ["PackContents", "PackObject", "Sink", "write_pack"]


@dataclass(frozen=True, slots=True)
class PackObject:
    """An object to be written.

    Attributes:
        kind: Commit, tree, blob or tag.
        data: Its content; a view of any size, which must not change while it is being written.
        oid: Its id if the caller has computed it already; it is trusted.
    """

    kind: ObjectType
    data: bytes | memoryview
    oid: Oid | None = None


@dataclass(frozen=True, slots=True)
class PackContents:
    """What a written pack holds: its entries in the order written, its trailer and its size in bytes."""

    entries: tuple[IndexEntry, ...]
    trailer: bytes
    size: int


class Sink(Protocol):
    """Where a pack's bytes go, in order."""

    def write(self, data: bytes | memoryview) -> None:
        """Take all of `data`."""


def write_pack(objects: Sequence[PackObject], sink: Sink) -> PackContents:
    """Write a pack of `objects`, whose ids are known and all different, to `sink`."""
    sha = hashlib.sha1(usedforsecurity=False)
    position = 0

    def put(data: bytes) -> None:
        nonlocal position
        sha.update(data)
        sink.write(data)
        position += len(data)

    put(struct.pack(">4sII", b"PACK", 2, len(objects)))
    entries = []
    for item in objects:
        entry = entry_header(item.kind, len(item.data)) + _frame(item.data)
        assert item.oid is not None
        entries.append(IndexEntry(item.oid, tools().crc32(entry), position))
        put(entry)
    trailer = sha.digest()
    sink.write(trailer)
    return PackContents(tuple(entries), trailer, position + len(trailer))


def _frame(data: bytes | memoryview) -> bytes:
    if len(data) > 1 << 16 and not is_compressible(memoryview(data)):
        return frame_stored(data)
    return frame_small(data)


def identify(objects: Iterable[PackObject]) -> list[PackObject]:
    """The same objects, each with its id."""
    return [
        item if item.oid else PackObject(item.kind, item.data, hash_object(item.kind, item.data))
        for item in objects
    ]
