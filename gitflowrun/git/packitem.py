"""Objects on their way into a pack: what is given, what becomes known, and the forms of one entry.

Which objects go where in the pack, and by how many threads, is decided by those who write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.git.framing import (
    entry_header,
    fill_stored,
    frame_small,
    is_compressible,
    is_worth_keeping,
    tools,
)
from gitflowrun.git.objects import ObjectType, Oid, hash_object

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Item", "PackObject", "each_once", "first_of_equals"]


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


class Item:
    """An object on its way: its id, and its entry's offset and CRC-32, are filled in as they become known."""

    __slots__ = ("crc", "data", "kind", "offset", "oid")

    def __init__(self, given: PackObject) -> None:
        self.kind = given.kind
        view = memoryview(given.data)
        self.data = view if view.format == "B" and view.ndim == 1 else view.cast("B")
        self.oid = given.oid
        self.offset = self.crc = 0

    @property
    def header(self) -> bytes:
        """The header of its entry."""
        return entry_header(self.kind, len(self.data))

    def identify(self) -> Oid:
        """The id, computed if it is not known yet."""
        self.oid = self.oid or hash_object(self.kind, self.data)
        return self.oid

    def small_entry(self) -> bytes:
        """The whole entry of a small object."""
        entry = self.header + frame_small(self.data)
        self.crc = tools().crc32(entry)
        return entry

    def deflated(self) -> bytes | None:
        """The deflated form, if it is worth having; the id is computed along with it."""
        if not is_compressible(self.data):
            return None
        packed = tools().deflate(self.data)
        if not is_worth_keeping(len(packed), len(self.data)):
            return None
        self.identify()
        return packed

    def fill(self, region: memoryview) -> None:
        """Write the entry as stored blocks into `region`, which has its size, and compute the id."""
        header = self.header
        region[: len(header)] = header
        fill_stored(self.data, region[len(header) :])
        self.crc = tools().crc32(region)
        self.identify()


def first_of_equals(items: Sequence[Item]) -> list[Item]:
    """For each item the one that is written in its place: itself, or an equal one before it.

    Items whose ids are not known yet count as different from all others.
    """
    first: dict[Oid, Item] = {}
    return [first.setdefault(item.oid, item) if item.oid else item for item in items]


def each_once(items: Sequence[Item]) -> list[Item]:
    """The items without repetitions, in order."""
    return list(dict.fromkeys(items))
