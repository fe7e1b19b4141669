"""Objects on their way into a pack: what is given, what becomes known, and the forms of one entry.

Which objects go where in the pack, and by how many threads, is decided by those who write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack.format import (
    entry_header,
    fill_stored,
    frame_small,
    is_compressible,
    is_worth_keeping,
    tools,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Item", "PackObject", "each_once", "first_of_equals"]


@frozen
class PackObject:
    """An object to be written.

    Attributes:
        kind: Commit, tree, blob or tag.
        data: Its content; a view of any size, which must not change while it is being written.
        oid: Its id if the caller has computed it already; it is trusted.
        settle: Makes a copy of `data` where somebody may change it meanwhile. Called once, in any thread;
            what it raises ends the writing. Such an object is never taken for equal to another.
    """

    kind: ObjectType
    data: bytes | memoryview
    oid: Oid | None = None
    settle: Callable[[memoryview], memoryview] | None = None


class Item:
    """An object on its way: its id, and its entry's offset and CRC-32, are filled in as they become known."""

    __slots__ = ("_settle", "crc", "data", "kind", "offset", "oid", "size")

    def __init__(self, given: PackObject) -> None:
        self.kind = given.kind
        view = memoryview(given.data)
        self.data = view if view.format == "B" and view.ndim == 1 else view.cast("B")
        self.size = len(self.data)
        self.oid = given.oid
        self.offset = self.crc = 0
        self._settle = given.settle

    @property
    def header(self) -> bytes:
        """The header of its entry."""
        return entry_header(self.kind, self.size)

    @property
    def is_settled(self) -> bool:
        """Whether the data stays as it is."""
        return self._settle is None

    def settle(self) -> None:
        """Make sure that the data stays as it is, by a copy if need be; to be done before anything else."""
        if self._settle is not None:
            self.data, self._settle = self._settle(self.data), None

    def let_go(self) -> None:
        """Forget the data: the entry is written, and a copy would only take memory."""
        self.data = memoryview(b"")

    def identify(self) -> Oid:
        """The id, computed if it is not known yet."""
        self.oid = self.oid or hash_object(self.kind, self.data)
        return self.oid

    def small_entry(self) -> bytes:
        """The whole entry of a small object, once it is settled and identified."""
        entry = self.header + frame_small(self.data)
        self.crc = tools().crc32(entry)
        return entry

    def deflated(self) -> bytes | None:
        """The deflated form, if it is worth having; the id is computed along with it. Settles the data."""
        self.settle()
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
        self.let_go()


def first_of_equals(items: Sequence[Item]) -> list[Item]:
    """For each item the one that is written in its place: itself, or an equal one before it.

    Items whose ids are not known yet count as different from all others.
    """
    first: dict[Oid, Item] = {}
    return [first.setdefault(item.oid, item) if item.oid else item for item in items]


def each_once(items: Sequence[Item]) -> list[Item]:
    """The items without repetitions, in order."""
    return list(dict.fromkeys(items))
