from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import MAX_TIME
from gitflowrun.runs.line_times import decode_times, encode_times

TIMES = st.lists(st.floats(min_value=0, max_value=4e9), max_size=20).map(sorted)


@given(stdout=TIMES, stderr=TIMES)
def test_times_come_back_to_the_microsecond(stdout: list[float], stderr: list[float]) -> None:
    """Every line of both streams gets its time back."""
    for given_times, found in zip(
        (stdout, stderr), decode_times(encode_times(stdout, stderr)), strict=True
    ):
        assert found == pytest.approx(given_times, abs=2e-6)


def test_the_form_of_every_release() -> None:
    """What is stored has the form that earlier releases wrote, and read."""
    assert encode_times([1.0], []).startswith(b"\x84\xa6schema\x01\xa5start\xce\x00\x0fB@")


def test_no_lines_no_blob() -> None:
    """A silent task has no times at all."""
    assert encode_times([], []) == b""
    assert decode_times(b"") == ([], [])


def test_a_clock_set_back_keeps_the_order() -> None:
    """Times never go backwards within a stream."""
    assert decode_times(encode_times([5.0, 3.0, 6.0], []))[0] == [5.0, 5.0, 6.0]


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        msgpack.pack([]),
        msgpack.pack({"schema": 9}),
        msgpack.pack({"schema": 1, "start": -1, "stdout": b"", "stderr": b""}),
        msgpack.pack({"schema": 1, "start": 0, "stdout": b"123", "stderr": b""}),
        msgpack.pack({"schema": 1, "start": 0, "stdout": "", "stderr": b""}),
    ],
)
def test_malformed_times_are_corrupt(data: bytes) -> None:
    """What is no times blob says so."""
    with pytest.raises(CorruptRecord):
        decode_times(data)


def test_times_after_the_last_year_are_refused() -> None:
    """Deltas that add up to a time that nobody can show are no times."""
    whole = msgpack.unpack(encode_times([1.0, 2.0], []))
    for start, deltas in ((1 << 63, b""), (1, b"\xff" * 16), (10**18, bytes(8))):
        with pytest.raises(CorruptRecord):
            decode_times(msgpack.pack({**whole, "start": start, "stdout": deltas}))
    last = msgpack.pack({**whole, "start": MAX_TIME * 1_000_000, "stdout": bytes(8)})
    assert decode_times(last) == ([MAX_TIME], [])
