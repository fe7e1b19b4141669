"""What passes through the one msgpack module is a value; everything else is refused before it costs memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import limits
from gitflowrun.errors import CorruptRecord, UnserializableArtifact
from gitflowrun.msgpack import (
    MESSAGE,
    RECORD,
    Limits,
    pack,
    pack_message,
    pack_message_around,
    unpack,
    unpack_message,
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(PLAIN)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    """Every value of msgpack's types comes back as it was."""
    assert unpack(pack(value)) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_corrupt(data: bytes) -> None:
    """Whatever the bytes, nothing but CorruptRecord is raised."""
    try:
        value = unpack(data)
    except CorruptRecord:
        return
    assert pack(unpack(pack(value))) == pack(value)


@given(
    st.binary(max_size=300)
    | PLAIN.map(pack)
    | st.integers(60, 70).map(lambda n: b"\x91" * n + b"\xc0")
)
def test_short_records_are_judged_as_long_ones(data: bytes) -> None:
    """What the library's parser looks through is taken or refused as what is scanned."""
    outcomes = []
    for shortest in (limits.SKIPPED_IN_C, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gitflowrun.msgpack.SKIPPED_IN_C", shortest)
            try:
                outcomes.append(repr(unpack(data)))
            except CorruptRecord as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(PLAIN, st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_is_a_value_or_corrupt(value: Any, place: int, byte: int) -> None:
    """A damaged record is a value or CorruptRecord."""
    data = bytearray(pack(value))
    data[place % len(data)] = byte
    try:
        unpack(data)
    except CorruptRecord:
        return


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "cut short"),
        (b"\x92\x01", "cut short|more values"),
        (b"\xc1", "begins no msgpack value"),
        (b"\x01\x01", "after the end"),
        (b"\x82\xa1a\x01\xa1a\x02", "repeats a key"),
        (b"\x81\x01\x02", "strict_map_key|int is not allowed"),
        (b"\xa2\xff\xff", "utf-8"),
        (b"\xd4\x01\x02", "extension"),
        (msgpack.packb(msgpack.Timestamp(1)), "extension"),
        (b"\xc7\x00\x01", "extension"),
        (b"\xdd\xff\xff\xff\xff", "more values"),
        (b"\x91" * 65 + b"\xc0", "deeper than 64"),
        (b"\xdc\x00\x01" * 65 + b"\xc0", "deeper than 64"),
        (b"\xdf\x00\x00\x00\x01\xa0" * 65 + b"\xc0", "deeper than 64"),
        (b"\xc6\xff\xff\xff\xff", "more than allowed"),
        (b"\xdb\x00\x00\x00\x05abc", "cut short"),
    ],
)
def test_malformed_data_is_named(data: bytes, complaint: str) -> None:
    """Each kind of malformed data is refused, and the message says why."""
    with pytest.raises(CorruptRecord, match=complaint):
        unpack(data)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\x00\x01\x00\x00" * 13_000,
        b"\xdd\x7f\xff\xff\xff" + b"\x80" * 10_000_000,
        b"\xdd\x00\x98\x96\x80" + b"\x80" * 10_000_000,
        b"\xdf\x00\x4c\x4b\x40" + b"\x01\x80" * 5_000_000,
        b"\x91" * 1_000_000,
    ],
    ids=["nested headers", "long array", "honest array of maps", "map", "depth"],
)
def test_bombs_cost_no_memory(bomb: bytes) -> None:
    """Input that would decode to hundreds of megabytes is refused before anything is allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecord):
            unpack(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_messages_are_what_was_sent_or_corrupt() -> None:
    """Messages are not walked first, and still nothing but a value or CorruptRecord comes out."""
    body = ["Kill", 7, {"a": [b"x", None, 1.5]}]
    assert unpack_message(pack_message(body)) == body
    for data in (
        b"",
        b"\xc1",
        pack_message(body)[:-1],
        pack_message(body) + b"\0",
        b"\x91" * 2_000,
    ):
        with pytest.raises(CorruptRecord):
            unpack_message(data)
    with pytest.raises(UnserializableArtifact):
        pack_message([object()])


def test_limits_differ_for_messages() -> None:
    """A message may carry a payload that no record may hold."""
    data = pack({"payload": bytes(RECORD.binary + 1)})
    assert len(unpack(data, MESSAGE)["payload"]) == RECORD.binary + 1
    with pytest.raises(CorruptRecord, match="more than"):
        unpack(data)


def test_text_of_undecodable_names_survives() -> None:
    """A file name that is no UTF-8 does not stop a run."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert unpack(pack([name])) == [name]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": [1, {2}]}, r"set \{2\} at \['a'\]\[1\]"),
        ({"a": {"b": object()}}, r"object .* at \['a'\]\['b'\]"),
        (2**64, "int 18446744073709551616"),
        ({"k": -(2**63) - 1}, r"at \['k'\]"),
        ({object(): 1}, "a key of the map"),
    ],
)
def test_what_cannot_be_packed_is_named(value: Any, complaint: str) -> None:
    """The message names the value and where it is."""
    with pytest.raises(UnserializableArtifact, match=complaint):
        pack(value)


@pytest.mark.parametrize("rest", [b"", b"\xd6\xff", bytes(40_000)])
@pytest.mark.parametrize(
    "value", [msgpack.ExtType(5, b"a"), msgpack.Timestamp(1), msgpack.Timestamp(1, 1)]
)
def test_no_extension_is_packed(value: Any, rest: bytes) -> None:
    """However long the record is, and whatever else it holds."""
    with pytest.raises(UnserializableArtifact, match="extension"):
        pack({"a": [value], "b": rest})
    assert unpack(pack({"b": rest})) == {"b": rest}


def test_bytes_that_look_like_containers_are_no_depth() -> None:
    """How deep a value is decides its structure, not how many bytes could begin a container."""
    value = {"digest": b"\x91" * 200, "flat": [[]] * 100}
    assert unpack(pack(value)) == value


def test_nothing_is_packed_that_cannot_be_read() -> None:
    """A value deeper than readers go is refused when it is written."""
    deep: list[Any] = []
    for _ in range(64):
        deep = [deep]
    with pytest.raises(UnserializableArtifact, match="deeper than 64"):
        pack(deep)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnserializableArtifact, match="deeper than 64"):
        pack(endless)
    with pytest.raises(UnserializableArtifact, match="more than"):
        pack(b"12345", Limits(total=4, depth=1, nodes=1, text=1, binary=10))


@pytest.mark.parametrize("size", [0, 1, 255, 70_000])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_message_around_bytes_is_that_message(size: int, place: int) -> None:
    """In pieces of which one is the bytes themselves."""
    values: list[object] = ["word", 7, True]
    values[place] = data = bytes(size)
    parts = pack_message_around(values, place)
    assert parts[1] is data
    assert unpack_message(b"".join(parts)) == values
