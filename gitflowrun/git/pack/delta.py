"""Applying git's deltas: copy and insert instructions against a base object. Pure bytes; see gitformat-pack(5)."""

from __future__ import annotations

from gitflowrun.errors import CorruptRecord

__all__ = ["apply_delta", "delta_sizes"]

_COPY = 0x80
_DEFAULT_COPY = 0x10000


def delta_sizes(delta: bytes) -> tuple[int, int, int]:
    """Size of the base, size of the result, and where the instructions begin.

    Raises:
        CorruptRecord: the delta ends within its header.
    """
    base, position = _varint(delta, 0)
    result, position = _varint(delta, position)
    return base, result, position


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The object that `delta` describes in terms of `base`.

    Raises:
        CorruptRecord: the delta is malformed, or made for another base.
    """
    base_size, size, position = delta_sizes(delta)
    if base_size != len(base):
        raise CorruptRecord(f"a delta is for a base of {base_size} bytes, not {len(base)}")
    view = memoryview(base)
    parts: list[bytes | memoryview] = []
    made = 0
    while position < len(delta) and made <= size:
        code = delta[position]
        position += 1
        if code & _COPY:
            start, length, position = _copy_instruction(delta, code, position)
            part = view[start : start + length]
        else:
            length = code
            part = memoryview(delta)[position : position + length]
            position += length
        if len(part) != length or not length:
            raise CorruptRecord("a delta has an instruction that points beyond its data")
        parts.append(part)
        made += length
    if made != size:
        raise CorruptRecord(f"a delta makes {made} bytes, not the {size} announced")
    return b"".join(parts)


def _copy_instruction(delta: bytes, code: int, position: int) -> tuple[int, int, int]:
    start = length = 0
    try:
        for bit in range(4):
            if code & (1 << bit):
                start |= delta[position] << (8 * bit)
                position += 1
        for bit in range(3):
            if code & (0x10 << bit):
                length |= delta[position] << (8 * bit)
                position += 1
    except IndexError as error:
        raise CorruptRecord("a delta ends within an instruction") from error
    return start, length or _DEFAULT_COPY, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:  # noqa: PLR2004  (64-bit sizes)
            raise CorruptRecord("a delta has a malformed size")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
