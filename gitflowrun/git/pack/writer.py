"""From objects to the bytes of one pack in an open file. Where the file goes is the business of `packs`.

A pack's header holds the number of objects and its trailer hashes everything, header included. So equal
objects are found before anything is written. Small packs are made here, in one thread; large ones by
`assembly`, which is only imported for them: threads and buffers are dear in a forked task.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gitflowrun.git.pack.entry import Item, PackObject, each_once, first_of_equals
from gitflowrun.git.pack.format import pack_header, stored_size
from gitflowrun.git.pack.index import IndexEntry
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.output import Output

__all__ = ["PackContents", "PackObject", "expected_size", "write_pack"]

_ONE_THREAD = 1 << 20
_FEW_BYTES = 32 << 10
_JOIN = 1 << 20


@frozen
class PackContents:
    """A written pack.

    Attributes:
        oids: The id of each object given, in that order, equal ones included.
        entries: What the pack holds, in the order written.
        trailer: The SHA-1 that ends it.
        size: Its bytes.
    """

    oids: tuple[Oid, ...]
    entries: tuple[IndexEntry, ...]
    trailer: bytes
    size: int


def expected_size(objects: Sequence[PackObject]) -> int:
    """About the size of a pack of `objects` if nothing in it shrinks."""
    return sum(stored_size(memoryview(item.data).nbytes) for item in objects)


def write_pack(objects: Sequence[PackObject], output: Output) -> PackContents:
    """Write a pack of `objects` to `output` and close it; on errors it is left to the caller.

    Raises:
        OSError: the file could not be written.
    """
    given = [Item(item) for item in objects]
    total = sum(len(item.data) for item in given)
    if total < _ONE_THREAD or total < _FEW_BYTES * len(given):
        written, trailer, size = _write_small(given, output)
    else:
        from gitflowrun.git.pack.parallel import write_large

        written, trailer, size = write_large(given, output)
    output.close(size)
    entries = tuple(
        IndexEntry(item.identify(), item.crc, item.offset) for item in each_once(written)
    )
    return PackContents(tuple(item.identify() for item in written), entries, trailer, size)


def _write_small(given: list[Item], output: Output) -> tuple[list[Item], bytes, int]:
    """The whole pack in this thread, its writes joined. Returns as `assembly.write_large`."""
    for item in given:
        item.settle()
        item.identify()
    written = first_of_equals(given)
    items = each_once(written)
    sha = hashlib.sha1(usedforsecurity=False)
    waiting = [pack_header(len(items))]
    position = held = len(waiting[0])
    for item in items:
        entry = item.small_entry()
        item.offset = position
        waiting.append(entry)
        position += len(entry)
        held += len(entry)
        if held >= _JOIN:
            _append(waiting, sha, output)
            held = 0
    _append(waiting, sha, output)
    trailer = sha.digest()
    output.append(trailer)
    return written, trailer, output.size


def _append(waiting: list[bytes], sha: hashlib._Hash, output: Output) -> None:
    joined = b"".join(waiting)
    waiting.clear()
    sha.update(joined)
    output.append(joined)
