"""Where payloads are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.artifacts import chunking
from gitflowrun.artifacts.chunking import cut
from gitflowrun.limits import MAX_CHUNK
from tests.helpers.packs import noise

MIB = 1 << 20


def _views(*parts: bytes) -> tuple[memoryview, ...]:
    return tuple(memoryview(part) for part in parts)


def _bytes(chunks: list[memoryview]) -> list[bytes]:
    return [bytes(chunk) for chunk in chunks]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB])
def test_up_to_a_mebibyte_stays_whole(size: int) -> None:
    """Small payloads are one chunk, the very view given where it was one."""
    data = memoryview(noise(size))
    assert cut([data]) == [data]
    assert cut([data])[0] is data
    assert _bytes(cut(_views(noise(size), b""))) == [noise(size)]
    half = size // 2
    assert _bytes(cut(_views(noise(size)[:half], noise(size)[half:]))) == [noise(size)]


@settings(max_examples=20)
@given(
    st.lists(
        st.sampled_from([0, 1, 100, 60_000, 70_000, MIB, MIB + 1, 3 * MIB, 9 * MIB]), max_size=7
    )
)
def test_chunks_are_the_payload_and_small_enough(sizes: list[int]) -> None:
    """Whatever the parts, their chunks concatenate to the payload, and none is empty or above 4 MiB."""
    parts = [noise(size, number) for number, size in enumerate(sizes)]
    chunks = _bytes(cut(_views(*parts)))
    assert b"".join(chunks) == b"".join(parts)
    assert all(len(chunk) <= MAX_CHUNK for chunk in chunks)
    assert all(chunks) or chunks == [b""]


def test_data_without_cut_points_is_cut_all_the_same() -> None:
    """Zeros and short periods fall to the largest chunk."""
    for data in (bytes(20 * MIB), b"0123456789abcdef" * MIB):
        chunks = cut(_views(data))
        assert b"".join(chunks) == data
        assert max(map(len, chunks)) <= MAX_CHUNK


def test_inserted_bytes_change_a_chunk_or_two() -> None:
    """After an insertion all but a few chunks are the same."""
    data = noise(24 * MIB)
    changed = data[: 10 * MIB] + b"inserted rows" * 100 + data[10 * MIB :]
    before, after = (set(_bytes(cut(_views(version)))) for version in (data, changed))
    assert sum(map(len, after - before)) < 6 * MIB


def test_a_changed_part_leaves_the_others_alone() -> None:
    """Every part begins a chunk: a longer first column moves nothing in the second."""
    columns = [noise(3 * MIB, number) for number in range(4)]
    before = _bytes(cut(_views(*columns)))
    after = _bytes(cut(_views(b"longer" + columns[0], *columns[1:])))
    tail = (
        len(cut(_views(columns[1]))) + len(cut(_views(columns[2]))) + len(cut(_views(columns[3])))
    )
    assert before[-tail:] == after[-tail:]


def test_tiny_parts_share_chunks() -> None:
    """Headers between columns make no dust, and do not disturb the columns."""
    columns = [noise(2 * MIB, number) for number in range(3)]
    headers = [b"header %d" % number for number in range(50)]
    parts = [*headers, columns[0], b"a", b"b", columns[1], b"c", columns[2], b"d"]
    chunks = _bytes(cut(_views(*parts)))
    assert b"".join(headers) in chunks
    assert b"ab" in chunks
    assert len([chunk for chunk in chunks if len(chunk) < 1000]) == 4
    assert b"".join(chunks) == b"".join(parts)


def test_tiny_parts_share_chunks_of_a_mebibyte() -> None:
    """As many as fit into one, to the byte."""
    for last, sizes in (
        (MIB - 16 * 60_000 - 40_000, [MIB]),
        (MIB - 16 * 60_000 - 39_999, [MIB + 1 - 48_577, 48_577]),
    ):
        tiny = [noise(60_000, number) for number in range(16)] + [noise(40_000), noise(last)]
        chunks = cut(_views(*tiny, noise(70_000)))
        assert [len(chunk) for chunk in chunks] == [*sizes, 70_000]


def test_many_tiny_parts_are_not_all_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond some megabytes parts are handed on uncopied, however small."""
    monkeypatch.setattr(chunking, "MAX_JOINED", 2 * MIB)
    parts = _views(*(noise(50_000, number) for number in range(100)))
    chunks = cut(parts)
    assert b"".join(chunks) == b"".join(parts)
    assert chunks[-1] is parts[-1]
    assert len(chunks) < 65


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.sample(1)
def test_threads_make_no_difference(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload is cut alike by one thread and by several, also where nothing is to be found."""
    for data in (
        noise(30 * MIB),
        bytes(13 * MIB) + noise(9 * MIB),
        noise(999_999) * 20,
        bytes(9 * MIB),
    ):
        one = _bytes(cut(_views(data)))
        with monkeypatch.context() as patch:
            patch.setattr(chunking, "CUT_BY_THREADS", 2 * MIB)
            patch.setattr(chunking, "usable_cpus", lambda: threads)
            assert _bytes(cut(_views(data))) == one


def test_views_of_other_types_are_cut_as_bytes() -> None:
    """A view of doubles is cut as its bytes."""
    np = pytest.importorskip("numpy")
    array = np.random.default_rng(0).random(500_000)
    assert b"".join(cut([memoryview(array)])) == array.tobytes()
    matrix = array.view(np.uint8).reshape(-1, 1000)
    chunks = cut([memoryview(matrix[:3]), memoryview(matrix)])
    assert [chunk.ndim for chunk in chunks] == [1] * len(chunks)
    assert b"".join(chunks) == matrix[:3].tobytes() + matrix.tobytes()
