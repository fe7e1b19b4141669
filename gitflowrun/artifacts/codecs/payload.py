"""What all codecs share: an encoded value, how to load one, how to decline one, and payloads of several parts.

A payload may consist of a head, in which a value is described, and large buffers that were not copied:

    0xC9 LENGTH(4, big-endian) 0x46 CONTENT     one msgpack extension value, LENGTH bytes of CONTENT
        CONTENT = [head, [size, ...], notes, padding]
    buffer, buffer, ...                         sizes as listed, nothing between them

One without large buffers and notes is the head alone, so that small values stay readable by stock tools. The
padding lets the first buffer begin at a multiple of 64: arrays can view it in place.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord, UntrustedArtifact
from gitflowrun.limits import GC_PAUSE
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.names import Digest

TOO_DEEP = "it is nested too deeply for pickle"
"""Why a value of very many levels within one another is declined."""

Buffer = bytes | bytearray | memoryview


class Unencodable(Exception):
    """A codec can't give this value back exactly; the next one is asked."""


def needs_trust(why: str) -> UntrustedArtifact:
    """The refusal of a value.

    Args:
        why: What it has, that only values of trusted runs may have.
    """
    return UntrustedArtifact(
        f"{why}, and its run isn't trusted",
        hint="if you trust where it came from: git runs trust <run or remote>",
    )


@frozen
class Encoded:
    """A value as bytes.

    Attributes:
        codec: Id of the codec, such as `plain/1`.
        type: The value's type, such as `builtins.dict`.
        parts: The payload in pieces: it is their concatenation. Chunks never span two parts, so a
            changed buffer leaves its neighbours' chunks alone. Parts view the value's own memory:
            store them before the value changes.
        is_volatile: Whether parts view a file that others may change meanwhile, whatever the codec.
        digest: BLAKE3 of the payload where it has been computed, so that nobody does it again.
        preview: What manifests say of the value, see `artifacts.preview`.
        scalar: The value itself, where it is a scalar (`artifacts.scalar`); otherwise nothing.
    """

    codec: str
    type: str
    parts: tuple[memoryview, ...]
    is_volatile: bool = False
    digest: Digest | None = None
    preview: bytes = b""
    scalar: tuple[Scalar, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(part.nbytes for part in self.parts)

    def payload(self) -> bytes:
        """The payload in one piece; a copy, for small values and tests."""
        return b"".join(self.parts)


@frozen
class Loading:
    """How a payload is to be decoded.

    Attributes:
        trusted: Whether code that the payload names may be imported and run.
        writable: Whether arrays must be writable; where not, they may be read-only views.
        depth: How many values the payload lies within.
    """

    trusted: bool
    writable: bool = True
    depth: int = 0


def type_name(value: object) -> str:
    """The value's type as people read it."""
    cls = type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


def flat(buffer: Buffer) -> memoryview:
    """The bytes of a contiguous buffer."""
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def writable(view: memoryview) -> memoryview:
    """The same bytes where they may be changed: a copy if they may not be here."""
    return memoryview(bytearray(view)) if view.readonly else view


@contextmanager
def no_deeper(most: int) -> Iterator[None]:
    """Lower the recursion limit to what fits on the stack: a program that has raised it would crash, not fail."""
    limit = sys.getrecursionlimit()
    if limit > most:
        with suppress(RecursionError):  # we are deeper already
            sys.setrecursionlimit(most)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@contextmanager
def collector_paused(size: int) -> Iterator[None]:
    """Let no collection of garbage look at a growing value again and again, where its payload has this size."""
    pause = size >= GC_PAUSE and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


_EXTENSION = 0xC9  # msgpack's byte for an extension value with a length of four bytes
_FRAME = 0x46
_PREFIX = 6
_ALIGNMENT = 64
_LIMITS = msgpack.Limits(total=1 << 32, depth=4, nodes=1 << 24, text=1 << 16, binary=1 << 32)


def join(
    head: Buffer, buffers: Sequence[Buffer], notes: Mapping[str, str] | None = None
) -> tuple[memoryview, ...]:
    """The parts of a payload.

    Args:
        head: What is not in buffers.
        buffers: Large pieces, not copied.
        notes: A few words for the decoder.
    """
    if not buffers and not notes:
        return (memoryview(head),)
    views = [flat(buffer) for buffer in buffers]
    fields = [bytes(head), [view.nbytes for view in views], dict(notes or {})]
    # The padding is a binary of up to 63 bytes; a binary of that size has a header of two bytes.
    bare = len(msgpack.pack([*fields, b""], _LIMITS))
    content = msgpack.pack([*fields, bytes(-(_PREFIX + bare) % _ALIGNMENT)], _LIMITS)
    if len(content) >= 1 << 32:
        raise Unencodable("more than 4 GiB outside of buffers")
    prefix = bytes([_EXTENSION]) + len(content).to_bytes(4, "big") + bytes([_FRAME])
    return (memoryview(prefix + content), *views)


def split(
    payload: memoryview, most: int | None = None
) -> tuple[memoryview | bytes, list[memoryview], dict[str, str]]:
    """Head, buffers and notes of a payload that `join` made.

    Args:
        payload: The payload.
        most: How many buffers and notes it may have; None for those of a trusted run.

    Raises:
        CorruptRecord: it is none.
    """
    if payload.nbytes < _PREFIX or payload[0] != _EXTENSION or payload[5] != _FRAME:
        return payload, [], {}
    start = _PREFIX + int.from_bytes(payload[1:5], "big")
    limits = _LIMITS if most is None else replace(_LIMITS, nodes=most)
    content = msgpack.unpack(payload[_PREFIX:start], limits)
    try:
        head, sizes, notes, _ = content
        if start + sum(sizes) != payload.nbytes or any(size < 0 for size in sizes):
            raise CorruptRecord("a payload's buffers do not add up to its size")
        if not isinstance(head, bytes) or not isinstance(notes, dict):
            raise CorruptRecord("malformed frame of a payload")
    except (TypeError, ValueError) as error:
        raise CorruptRecord(f"malformed frame of a payload: {error}") from error
    buffers = []
    for size in sizes:
        buffers.append(payload[start : start + size])
        start += size
    return head, buffers, notes
