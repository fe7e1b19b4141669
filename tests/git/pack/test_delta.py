"""Git's deltas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.pack.format import apply_delta, delta_sizes


def _size(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def _copy(start: int, length: int) -> bytes:
    code, fields = 0x80, bytearray()
    for bit, byte in enumerate(start.to_bytes(4, "little")):
        if byte:
            code |= 1 << bit
            fields.append(byte)
    for bit, byte in enumerate(length.to_bytes(3, "little")):
        if byte:
            code |= 0x10 << bit
            fields.append(byte)
    return bytes((code,)) + bytes(fields)


@given(
    st.binary(min_size=1, max_size=500),
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=127), st.tuples(st.integers(0), st.integers(0)))
    ),
)
def test_copies_and_inserts_make_the_object(
    base: bytes, steps: list[bytes | tuple[int, int]]
) -> None:
    """A delta's result is its copies from the base and its inserts, in order."""
    result, delta = b"", b""
    for step in steps:
        if isinstance(step, bytes):
            result += step
            delta += bytes((len(step),)) + step
        else:
            start = step[0] % len(base)
            length = step[1] % (len(base) - start) + 1
            result += base[start : start + length]
            delta += _copy(start, length)
    whole = _size(len(base)) + _size(len(result)) + delta
    assert apply_delta(base, whole) == result
    assert delta_sizes(whole)[:2] == (len(base), len(result))


def test_a_copy_without_length_copies_64_kib() -> None:
    """An absent length means 0x10000 bytes."""
    base = bytes(range(256)) * 512
    delta = _size(len(base)) + _size(0x10000) + b"\x80"
    assert apply_delta(base, delta) == base[:0x10000]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_junk_is_corruption(base: bytes, delta: bytes) -> None:
    """Arbitrary bytes are a delta for the base, or CorruptRecord."""
    try:
        result = apply_delta(base, delta)
    except CorruptRecord:
        return
    assert len(result) == delta_sizes(delta)[1]


def test_a_delta_cannot_blow_up() -> None:
    """Copies beyond the announced size are refused before they are made."""
    base = bytes(1 << 20)
    delta = _size(len(base)) + _size(10) + _copy(0, 0xFFFFFF & (1 << 20)) * 100_000
    with pytest.raises(CorruptRecord):
        apply_delta(base, delta)
