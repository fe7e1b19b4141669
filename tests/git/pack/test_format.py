"""How objects lie in packs: headers, streams, deltas."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.pack import format as pack_format
from gitflowrun.git.pack.format import apply_delta, delta_sizes, varint
from tests.helpers.packs import EDGES, noise


@pytest.mark.parametrize("size", EDGES)
def test_stored_streams_are_zlib_streams(size: int) -> None:
    """Any zlib inflates a stored stream to the data, and it is the data's own memory but for the frames."""
    data = noise(size)
    pieces = pack_format.stored_stream(memoryview(data))
    assert zlib.decompress(b"".join(pieces)) == data
    assert (
        sum(len(piece) for piece in pieces if not isinstance(piece, memoryview))
        < 12 + size // 10_000
    )


@given(st.binary(max_size=300), st.integers(1, 400))
def test_streams_are_zlib_streams(data: bytes, repeat: int) -> None:
    """Objects round-trip, and are never larger than their stored form."""
    view = memoryview(data * repeat)
    stream = b"".join(pack_format.zlib_stream(view))
    assert zlib.decompress(stream) == view
    assert len(stream) <= sum(map(len, pack_format.stored_stream(view)))


@given(st.sampled_from(ObjectType), st.integers(0, 1 << 60))
def test_entry_headers_hold_type_and_size(kind: ObjectType, size: int) -> None:
    """An entry's header says its type and size, low bits first."""
    header = pack_format.entry_header(kind, size)
    found, shift = header[0] & 15, 4
    for byte in header[1:]:
        found |= (byte & 0x7F) << shift
        shift += 7
    assert (header[0] >> 4) & 7 == kind
    assert found == size
    assert [bool(byte & 0x80) for byte in header] == [True] * (len(header) - 1) + [False]


@pytest.mark.parametrize("size", [500, 20_000, 1 << 20, 9 << 20])
def test_noise_is_stored_and_text_is_deflated(size: int) -> None:
    """What is worth compressing is, and nothing else, whatever the size."""
    for data in (b"id,name,value\n" * (size // 14), bytes(size)):
        assert sum(map(len, pack_format.zlib_stream(memoryview(data)))) < size / 4
    assert sum(map(len, pack_format.zlib_stream(memoryview(noise(size))))) > size


def test_large_objects_are_deflated_in_steps() -> None:
    """A large object is never held a second time, not even compressed."""
    pieces = iter(pack_format.zlib_stream(memoryview(bytes(range(256)) * (64 << 10))))
    assert len(next(pieces)) < 1 << 20
    assert len(list(pieces)) > 1


@given(st.binary(max_size=200), st.integers(0, 200))
def test_checksums_go_on_where_others_ended(data: bytes, cut: int) -> None:
    """The CRC-32 of an entry is that of its pieces, short or long."""
    for whole in (data, data * 1000):
        first = pack_format.crc32(whole[:cut])
        assert pack_format.crc32(whole[cut:], first) == zlib.crc32(whole)


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
    assert apply_delta(base, whole)[0] == result
    assert delta_sizes(whole)[:2] == (len(base), len(result))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_sizes_are_read_back(value: int, rest: bytes) -> None:
    """Any size of 64 bits, and where it ends."""
    data = _size(value)
    assert varint(b"xy" + data + rest, 2) == (value, 2 + len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 10 + b"\0", b"\x80" * 100_000])
def test_a_size_ends(data: bytes) -> None:
    """One that goes on behind the data, or for more than 64 bits, is none."""
    with pytest.raises(ValueError, match="does not end"):
        varint(data, 0)


def test_a_copy_without_length_copies_64_kib() -> None:
    """An absent length means 0x10000 bytes."""
    base = bytes(range(256)) * 512
    delta = _size(len(base)) + _size(0x10000) + b"\x80"
    assert apply_delta(base, delta) == (base[:0x10000], 1)


def test_instructions_that_point_beyond_their_data() -> None:
    """Each is told for what it is, and none is taken for a shorter one."""
    base, head = b"0123456789", _size(10) + _size(4)
    assert apply_delta(base, head + b"\x90\x04") == (b"0123", 1)
    for rest, why in (
        (b"\x91", "ends within an instruction"), (b"\x91\x01", "ends within an instruction"),
        (b"\x91\x07\x04", "points beyond its data"), (b"\x04abc", "points beyond its data"),
        (b"\x00", "points beyond its data"), (b"\x90\x04\x01x", "makes 5 bytes, not the 4 announced"),
    ):  # fmt: skip
        with pytest.raises(CorruptRecord, match=why):
            apply_delta(base, head + rest)
    with pytest.raises(CorruptRecord, match="for a base of 10 bytes, not 11"):
        apply_delta(base + b"a", head + b"\x90\x04")


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
