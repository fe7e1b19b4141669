"""The words codecs share: an encoded value, how to load one, and how a codec declines. No codec."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OUT_OF_BAND", "Buffer", "Encoded", "Loading", "Unencodable", "flat", "type_name"]

Buffer = bytes | bytearray | memoryview

OUT_OF_BAND = 4096  # bytes from which a buffer is handed on uncopied, as a part of its own


class Unencodable(Exception):
    """A codec can't give this value back exactly; the next one is asked."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as bytes.

    Attributes:
        codec: Id of the codec, such as `plain/1`.
        type: The value's type, such as `builtins.dict`.
        parts: The payload in pieces: it is their concatenation. Chunks never span two parts, so a
            changed buffer leaves its neighbours' chunks alone. Parts view the value's own memory:
            store them before the value changes.
        is_volatile: Whether parts view a file that others may change meanwhile, whatever the codec.
    """

    codec: str
    type: str
    parts: tuple[memoryview, ...]
    is_volatile: bool = False

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(part.nbytes for part in self.parts)

    def payload(self) -> bytes:
        """The payload in one piece; a copy, for small values and tests."""
        return b"".join(self.parts)


@dataclass(frozen=True, slots=True)
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
