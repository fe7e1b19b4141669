"""An object as it is given to a pack writer, and the bytes of its entry in the pack.

Making an entry takes nothing but the object, so several threads can do it at once.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack.format import entry_header, zlib_stream
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.git.objects import Buffer

__all__ = ["PackObject", "PackedObject"]


@frozen
class PackObject:
    """An object to be written.

    Attributes:
        kind: Commit, tree, blob or tag.
        data: Its content; a view of any shape, which must not change while it is being written.
        oid: Its id if the caller has computed it already; it is trusted.
        stable_copy: Copies `data` where somebody may change it meanwhile. Called once, in any thread; what it
            raises ends the writing. Such an object is never taken for equal to another.
    """

    kind: ObjectType
    data: bytes | memoryview
    oid: Oid | None = None
    stable_copy: Callable[[memoryview], memoryview] | None = None

    @property
    def view(self) -> memoryview:
        """The content as bytes."""
        view = memoryview(self.data)
        return view if view.format == "B" and view.ndim == 1 else view.cast("B")

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return memoryview(self.data).nbytes

    def identify(self) -> Oid:
        """Its id, computed unless it was given."""
        return self.oid or hash_object(self.kind, self.view)


@frozen
class PackedObject:
    """An object whose entry is ready to be written.

    Attributes:
        oid: Its id.
        pieces: The bytes of its entry, to be taken once. Of data that was not deflated they are views.
    """

    oid: Oid
    pieces: Iterable[Buffer]

    @classmethod
    def of(cls, given: PackObject) -> PackedObject:
        """Make the entry of an object."""
        data = given.view if given.stable_copy is None else given.stable_copy(given.view)
        # Before the id: see `format` on SHA-1 after isal.
        stream = zlib_stream(data)
        oid = given.oid or hash_object(given.kind, data)
        return cls(oid, chain((entry_header(given.kind, len(data)),), stream))
