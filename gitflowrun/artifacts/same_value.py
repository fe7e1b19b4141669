"""Whether two artifacts hold the same value though their bytes differ: both are loaded and written once more.

What else is in a pickle than the value is gone then: caches, what was one object and what two. Used for trusted
values alone, and only where bytes differ: most values are told apart by their digests. Plain values of which the
order of keys differs, or what is one object, are the same to a join that merges them, and two to a task that changes
what it has loaded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs import PLAIN, decode, encode, is_pickle, same_plain
from gitflowrun.artifacts.codecs.payload import Encoded, split
from gitflowrun.artifacts.digest import digest_parts
from gitflowrun.artifacts.reading import is_read
from gitflowrun.limits import MERGE_PLAIN, READ_PLAIN

if TYPE_CHECKING:
    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.names import Digest

_SPARSE = b"scipy.sparse."  # in a pickle of anything that has such a matrix


def may_be_same(first: Encoded | ArtifactRef, second: Encoded | ArtifactRef) -> bool:
    """Whether two artifacts of different payloads can have the same value.

    Pickles of one type can, and small plain values: an object may be either, and keep what its properties compute.
    """
    pickles = {first.codec, second.codec} - {PLAIN}
    is_small = max(first.size, second.size) <= READ_PLAIN
    are_known = all(map(is_pickle, pickles)) and bool(pickles or is_small)
    return are_known and first.type == second.type


def may_be_equal(first: ArtifactRef, second: ArtifactRef) -> bool:
    """Whether two artifacts of different payloads can have values that `are_equal`: pickles, or plain and not large."""
    if first.type != second.type:
        return False
    if first.codec == second.codec == PLAIN:
        return max(first.size, second.size) <= MERGE_PLAIN
    return is_pickle(first.codec) and is_pickle(second.codec)


def is_same(made: Encoded, stored: Encoded) -> bool:
    """Whether two trusted artifacts that `may_be_same` hold the same value.

    Args:
        made: One whose parts may be memory that is in use: it isn't changed.
        stored: One in memory of its own, in one part.
    """
    try:
        is_sparse = _SPARSE in bytes(split(stored.parts[0])[0])  # reading may put elements in order
        if not is_sparse and not _large_buffers(stored) <= _large_buffers(made):
            return False  # no writing it again would change them
        is_plain = made.codec == stored.codec == PLAIN
        is_rewritten = not is_plain and _again(stored) in {made.payload(), _again(made)}
        return is_rewritten or is_read(_loaded(stored), _loaded(made), _rewritten)
    except Exception:  # noqa: BLE001  (a user's class may fail in any way: then nothing is known)
        return False


def are_equal(first: Any, second: Any) -> bool:
    """Whether two values of one type are equal: they are the same, or are not plain and their class says so."""
    try:
        made, other = encode(first), encode(second)
        return _are_alike(made, other) or (
            not _are_plain(made, other) and (first == second) is True
        )
    except Exception:  # noqa: BLE001  (likewise)
        return False


def are_same(first: Any, second: Any) -> bool:
    """Whether two values of one type are written alike, or are plain and equal part by part.

    No class is asked: many say that two objects of one name are equal, whatever else these have.
    """
    try:
        return _are_alike(encode(first), encode(second))
    except Exception:  # noqa: BLE001  (likewise)
        return False


def _are_alike(made: Encoded, other: Encoded) -> bool:
    payloads = made.payload(), other.payload()
    return payloads[0] == payloads[1] or (
        _are_plain(made, other) and same_plain.are_same(*payloads)
    )


def _are_plain(made: Encoded, other: Encoded) -> bool:
    return made.codec == other.codec == PLAIN


def _again(pickled: Encoded) -> bytes:
    return encode(_loaded(pickled)).payload()


def _rewritten(value: Any) -> bytes:
    return _again(encode(value))


def _loaded(pickled: Encoded) -> Any:
    # A copy: arrays view the payload that they are loaded from.
    return decode(pickled.codec, bytearray(pickled.payload()), trusted=True)


def _large_buffers(pickled: Encoded) -> Counter[Digest]:
    parts = pickled.parts[1:] or split(pickled.parts[0])[1]
    return Counter(digest_parts([buffer]) for buffer in parts)
