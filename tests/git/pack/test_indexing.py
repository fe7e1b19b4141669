"""Indexes of packs that somebody else has written: as git makes them, and of whole packs only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack import indexing
from gitflowrun.git.pack.format import BLOCK
from gitflowrun.git.pack.indexing import IndexedPack, index_pack
from gitflowrun.git.pack.writer import Output, PackObject, write_pack
from tests.helpers.repos import make_repo

SIZES = (0, 1, 14, 15, 16, 127, 2047, 2048, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7)


def noise(size: int) -> bytes:
    """Bytes that can't be compressed, and always the same."""
    return random.Random(size).randbytes(size)


def written(path: Path, contents: list[bytes]) -> Path:
    """A pack of blobs as we write it."""
    output = Output(path, sync=False, expected=0, readable_as=path.parent)
    write_pack([PackObject(ObjectType.BLOB, content) for content in contents], output)
    return path


def by_git(path: Path, contents: list[bytes], window: int = 0) -> Path:
    """A pack of blobs as git writes it."""
    repo = make_repo(path.parent / "repo")
    oids = []
    for content in contents:
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=repo.path, input=content,
            capture_output=True, check=True,
        )  # fmt: skip
        oids.append(done.stdout)
    with path.open("wb") as file:
        subprocess.run(
            ["git", "pack-objects", "-q", "--stdout", f"--window={window}"], cwd=repo.path,
            input=b"".join(oids), stdout=file, check=True,
        )  # fmt: skip
    return path


def index_by_git(pack: Path) -> bytes:
    """What `git index-pack` makes of it."""
    index = pack.with_suffix(".other")
    subprocess.run(
        ["git", "index-pack", "-o", index, pack], cwd=pack.parent, capture_output=True, check=True
    )
    return index.read_bytes()


def indexed(pack: Path) -> IndexedPack | None:
    """What it is found to be."""
    return index_pack(pack, digest)


@pytest.mark.parametrize("make", [written, by_git])
@pytest.mark.parametrize("byte", [None, b"a"], ids=["noise", "compressible"])
def test_it_is_the_index_that_git_makes(tmp_path: Path, make: object, byte: bytes | None) -> None:
    """Whoever wrote the pack, for objects of all sizes, stored and deflated; contents are known by id."""
    contents = [byte * size if byte else noise(size) for size in SIZES]
    pack = make(tmp_path / "some.pack", contents)  # type: ignore[operator]
    found = indexed(pack)
    assert found is not None
    assert found.index == index_by_git(pack)
    assert found.blobs == {
        hash_object(ObjectType.BLOB, it): (len(it), digest(it)) for it in contents
    }


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_byte_may_be_another(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Nor may any be lacking or too many: such a pack is none, or git is to look at it."""
    place = tmp_path_factory.mktemp("packs")
    contents = [noise(300), b"b" * 70_000, noise(70_000), b"", noise(5)]
    whole = written(place / "whole.pack", contents).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from(["other", "cut", "more"]))
    changed = bytearray(whole)
    if change == "other":
        changed[at] ^= data.draw(st.integers(1, 255))
    elif change == "cut":
        del changed[at : at + data.draw(st.integers(1, 40))]
    else:
        changed[at:at] = os.urandom(data.draw(st.integers(1, 40)))
    pack = place / "changed.pack"
    pack.write_bytes(changed)
    with contextlib.suppress(CorruptRecord):
        assert indexed(pack) is None


def sealed(pack: Path, data: bytes) -> Path:
    """A pack whose checksum fits, whatever is in it."""
    pack.write_bytes(data + hashlib.sha1(data, usedforsecurity=False).digest())
    return pack


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda it: it[:-1] + bytes([it[-1] ^ 1]), "another checksum", id="adler"),
        pytest.param(lambda it: it + b"x", "1 bytes behind its last entry", id="behind"),
        pytest.param(lambda it: b"PACK\0\0\0\2\0\0\0\2" + it[12:], "no whole header", id="fewer"),
        pytest.param(lambda it: b"PACC" + it[4:], "does not begin as a pack", id="word"),
        pytest.param(lambda it: b"PACK\0\0\0\4" + it[8:], "does not begin as a pack", id="version"),
        pytest.param(lambda it: it[:-4], "cut short", id="cut"),
        pytest.param(lambda it: it[:0], "does not begin as a pack", id="empty"),
    ],
)  # fmt: skip
def test_a_pack_whose_checksum_fits_is_not_believed(
    tmp_path: Path, change: object, words: str
) -> None:
    """Whoever makes a damaged pack can compute its SHA-1, too."""
    whole = written(tmp_path / "whole.pack", [noise(70_000)]).read_bytes()[:-20]
    pack = sealed(tmp_path / "some.pack", change(whole))  # type: ignore[operator]
    with pytest.raises(CorruptRecord, match=words):
        indexed(pack)


def test_no_more_comes_out_than_was_announced(tmp_path: Path) -> None:
    """A stream that holds a gigabyte of zeros where a few bytes are announced is damage, and costs no memory."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    head = b"PACK\0\0\0\2\0\0\0\1" + bytes([(3 << 4) | 15])
    with pytest.raises(CorruptRecord, match="does not have the size that it announces"):
        indexed(sealed(tmp_path / "some.pack", head + bomb))


def test_a_stream_that_is_far_longer_than_its_content_is_for_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of empty blocks may be as long as the pack, of which no more is held than of a large object."""
    head = b"PACK\0\0\0\2\0\0\0\1" + bytes([(3 << 4) | 1])
    end = zlib.compress(b"x", 0)[2:]
    pack = sealed(tmp_path / "some.pack", head + b"\x78\x01" + b"\0\0\0\xff\xff" * 1000 + end)
    found = indexed(pack)
    assert found is not None
    assert [size for size, _ in found.blobs.values()] == [1]
    monkeypatch.setattr(indexing, "INDEXED_OBJECT", 1000)
    assert indexed(pack) is None


@pytest.mark.parametrize("why", ["deltas", "a tree", "a large one", "very many"])
def test_other_packs_are_for_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """What packs of artifacts do not hold is not looked at here."""
    pack = tmp_path / "some.pack"
    text = b"".join(b"line %d\n" % number for number in range(2_000))
    if why == "deltas":
        by_git(pack, [text, text + b"more\n"], window=10)
    elif why == "a tree":
        output = Output(pack, sync=False, expected=0, readable_as=tmp_path)
        write_pack([PackObject(ObjectType.TREE, b"")], output)
    elif why == "a large one":
        monkeypatch.setattr(indexing, "INDEXED_OBJECT", 99)
        written(pack, [noise(100)])
    else:
        monkeypatch.setattr(indexing, "INDEXED_COUNT", 2)
        written(pack, [b"1", b"2", b"3"])
    assert indexed(pack) is None


def test_many_large_ones_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the many small ones that git does faster."""
    monkeypatch.setattr(indexing, "INDEXED_COUNT", 2)
    contents = [noise(70_000 + number) for number in range(3)]
    found = indexed(written(tmp_path / "some.pack", contents))
    assert found is not None
    assert set(found.blobs) == {Oid(hash_object(ObjectType.BLOB, it)) for it in contents}
