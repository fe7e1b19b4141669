"""Whether two artifacts hold the same value though their bytes differ: both are loaded and written once more.

What else is in a pickle than the value is gone then: caches, what was one object and what two. Used for trusted
values alone, and only where bytes differ: most values are told apart by their digests. Plain values of which the
order of keys differs, or what is one object, are the same to a join that merges them, and two to a task that changes
what it has loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs import PLAIN, decode, encode, is_safe, same_plain
from gitflowrun.artifacts.codecs.payload import Encoded, split
from gitflowrun.artifacts.digest import digest_parts
from gitflowrun.limits import MERGE_PLAIN

if TYPE_CHECKING:
    from gitflowrun.artifacts.reference import ArtifactRef


def may_be_same(first: Encoded | ArtifactRef, second: Encoded | ArtifactRef) -> bool:
    """Whether two artifacts of different payloads can have the same value: pickles of one type."""
    same_type = first.type == second.type
    return same_type and not is_safe(first.codec) and not is_safe(second.codec)


def may_be_equal(first: ArtifactRef, second: ArtifactRef) -> bool:
    """Whether two artifacts of different payloads can have values that `are_equal`: pickles, or plain and not large."""
    are_plain = first.codec == second.codec == PLAIN and first.type == second.type
    return may_be_same(first, second) or (are_plain and max(first.size, second.size) <= MERGE_PLAIN)


def is_same(made: Encoded, stored: Encoded) -> bool:
    """Whether two trusted pickles hold the same value.

    Args:
        made: One whose parts may be memory that is in use: it isn't changed.
        stored: One in memory of its own, in one part.
    """
    try:
        if _large_buffers(made) != sorted(map(_digest, split(stored.parts[0])[1])):
            return False  # no writing it again would change them
        again = _again(stored)
        return again in {made.payload(), _again(made)}
    except Exception:  # noqa: BLE001  (a user's class may fail in any way: then nothing is known)
        return False


def are_equal(first: Any, second: Any) -> bool:
    """Whether two values of one type are equal: they are written alike, are plain and equal, or their class says so."""
    try:
        made, other = encode(first), encode(second)
        payloads = made.payload(), other.payload()
        if made.codec == other.codec == PLAIN:
            return payloads[0] == payloads[1] or same_plain.are_same(*payloads)
        return payloads[0] == payloads[1] or (first == second) is True
    except Exception:  # noqa: BLE001  (likewise)
        return False


def _again(pickled: Encoded) -> bytes:
    # A copy: arrays view the payload that they are loaded from.
    return encode(decode(pickled.codec, bytearray(pickled.payload()), trusted=True)).payload()


def _large_buffers(pickled: Encoded) -> list[bytes]:
    return sorted(map(_digest, pickled.parts[1:]))


def _digest(buffer: memoryview) -> bytes:
    return digest_parts([buffer])
