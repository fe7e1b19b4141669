"""Pack indexes: what we write git reads, and the reverse."""

from __future__ import annotations

import hashlib
import io
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.index import (
    IndexEntry,
    PackIndex,
    index_bytes,
    is_readable,
    names_in_multi_pack_index,
)
from tests.helpers.packs import noise, objects_dir, publish
from tests.helpers.repos import GitRepo

OIDS = st.binary(min_size=20, max_size=20).map(Oid)
ENTRIES = st.lists(
    st.builds(IndexEntry, OIDS, st.integers(0, 2**32 - 1), st.integers(12, 2**62)),
    max_size=50,
    unique_by=lambda entry: entry.oid,
)


@given(ENTRIES, OIDS)
def test_every_entry_is_found_and_nothing_else(entries: list[IndexEntry], other: Oid) -> None:
    """Lookups give each object's offset, also beyond 2 and 4 GiB, and None for an absent one."""
    index = PackIndex(index_bytes(entries, noise(20)), "an index")
    assert index.count == len(entries)
    assert [index.find(entry.oid) for entry in entries] == [entry.offset for entry in entries]
    assert index.id_table == b"".join(sorted(entry.oid for entry in entries))
    places: dict[bytes, int] = {entry.oid: entry.offset for entry in entries}
    assert index.offsets([*places, other]) == places | index.offsets([other])
    assert list(index.offset_table) == [places[oid] for oid in sorted(places)]
    if other not in places:
        assert index.find(other) is None
    assert index.pack_trailer == noise(20)


def test_the_end_of_an_id_and_the_beginning_of_the_next_are_no_id() -> None:
    """What looks like an id across two rows is not found."""
    first, second = b"\xab" * 20, b"\xab" * 10 + b"\xac" * 10
    index = PackIndex(
        index_bytes([IndexEntry(Oid(it), 0, 12) for it in (first, second)], noise(20)), "an index"
    )
    assert index.find(first[19:] + second[:19]) is None
    assert index.find(second) == 12


@pytest.mark.parametrize("spread", ["even", "low", "high", "two"])
def test_ids_are_found_wherever_they_crowd(spread: str) -> None:
    """In thousands that begin alike, few or many at once, whether or not they are as even as digests are."""
    draw = random.Random(spread)
    middle = {"even": None, "low": 0, "high": 0xFFFF, "two": 0x8000}[spread]
    oids = {
        Oid(b"\x07" + draw.randbytes(19))
        if middle is None or (spread == "two" and draw.random() < 0.5)
        else Oid(b"\x07" + middle.to_bytes(2, "big") + draw.randbytes(17))
        for _ in range(4_000)
    }
    places = {oid: 12 + number for number, oid in enumerate(sorted(oids))}
    data = index_bytes([IndexEntry(oid, 0, at) for oid, at in places.items()], noise(20))
    for form in (data, memoryview(data)):
        index = PackIndex(form, "an index")
        assert {oid: index.find(oid) for oid in oids} == places
        few = sorted(oids)[::1000]
        absent = [Oid(oid[:19] + bytes([oid[19] ^ 1])) for oid in few]
        assert index.offsets([*few, *absent]) == {oid: places[oid] for oid in few}
        assert index.offsets(oids) == places


def test_gits_own_index_is_read(repo: GitRepo) -> None:
    """An index that git wrote holds what git says it holds."""
    for number in range(40):
        repo.write(f"file{number}", f"content {number}\n" * number)
    repo.commit()
    repo.git("repack", "-adq")
    path = next(objects_dir(repo).glob("pack/*.idx"))
    index = PackIndex(path.read_bytes(), path.name)
    for line in repo.git("show-index", stdin=path.read_bytes()).splitlines():
        offset, oid, _ = line.split()
        assert index.find(Oid.from_hex(oid)) == int(offset)


@given(st.binary(max_size=2000))
def test_junk_is_no_index(junk: bytes) -> None:
    """Arbitrary bytes are refused when the index is opened."""
    with pytest.raises(CorruptRecord):
        PackIndex(junk, "junk")


def test_a_cut_index_is_refused() -> None:
    """An index that ends early is refused, not searched."""
    entries = [IndexEntry(Oid(hashlib.sha1(b"%d" % i).digest()), i, 12 + i) for i in range(100)]
    whole = index_bytes(entries, noise(20))
    for length in (0, 7, 8, 1031, 1032, 2000, len(whole) - 41):
        with pytest.raises(CorruptRecord):
            PackIndex(whole[:length], "cut")


def test_a_fanout_that_falls_is_refused() -> None:
    """An index whose counts of objects do not rise from row to row is refused when it is opened."""
    whole = bytearray(index_bytes([IndexEntry(Oid(noise(20)), 0, 12)], noise(20)))
    whole[8:12] = (2).to_bytes(4, "big")
    with pytest.raises(CorruptRecord, match="fanout"):
        PackIndex(bytes(whole), "bent")


def test_an_offset_beyond_the_wide_table_is_corruption() -> None:
    """A 64-bit offset that is not there is CorruptRecord, not garbage."""
    oid = Oid(noise(20))
    whole = bytearray(index_bytes([IndexEntry(oid, 0, 12)], noise(20)))
    whole[-44:-40] = (0x80000005).to_bytes(4, "big")
    with pytest.raises(CorruptRecord):
        PackIndex(bytes(whole), "bent").find(oid)


def test_the_packs_of_a_multi_pack_index(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are read, and nothing where its head is not what it should be."""
    for number in range(2):
        publish(repo, f"refs/runs/F/{number}", [noise(99, number)])
    repo.git("multi-pack-index", "write")
    directory = objects_dir(repo) / "pack"
    whole = (directory / "multi-pack-index").read_bytes()
    packs = {path.stem for path in directory.glob("*.idx")}
    assert len(packs) == 6
    assert names_in_multi_pack_index(io.BytesIO(whole)) == packs
    for place in (0, 4, 5, 7):  # magic, version, hash, bases
        other = bytearray(whole)
        other[place] ^= 3
        with pytest.raises(CorruptRecord, match="of a kind"):
            names_in_multi_pack_index(io.BytesIO(other))
    at = whole.index(b"PNAM")
    (start,) = struct.unpack(">Q", whole[at + 4 : at + 12])
    for text in (b"", whole[:11], whole[:30], whole.replace(b"PNAM", b"XNAM")):
        with pytest.raises(CorruptRecord, match="is damaged"):
            names_in_multi_pack_index(io.BytesIO(text))
    with pytest.raises(CorruptRecord, match="cut short"):
        names_in_multi_pack_index(io.BytesIO(whole[: start + 40]))
    monkeypatch.setattr("gitflowrun.git.pack.index.MAX_PACK_NAMES", 60)
    with pytest.raises(CorruptRecord, match="cut short"):
        names_in_multi_pack_index(io.BytesIO(whole))


def test_which_indexes_are_read(repo: GitRepo, tmp_path: Path) -> None:
    """Those of version 2; others are git's."""
    publish(repo, "refs/runs/F/1", [noise(100)])
    (index, *_) = objects_dir(repo).glob("pack/*.idx")
    assert is_readable(index)
    (tmp_path / "old").write_bytes(bytes(2000))
    assert not is_readable(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        is_readable(tmp_path / "none")
