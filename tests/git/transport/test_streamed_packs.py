"""Packs that come and go in pieces: what git has looked at is published, anything else is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gitflowrun.errors import CorruptRecord, GitflowrunError, RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.writer import Output, PackObject, write_pack
from gitflowrun.git.transport.streamed_packs import IncomingPack, start_pack
from gitflowrun.settings import Durability
from tests.helpers.repos import GitRepo, make_repo


def tree_of(repo: GitRepo) -> Oid:
    """The tree of what is committed."""
    return Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))


def packed(repo: GitRepo, **options: object) -> bytes:
    """The tree with all that it leads to."""
    packing = start_pack(Git(repo.path / ".git", None), [tree_of(repo)], closure=True, **options)  # type: ignore[arg-type]
    out, err = packing.communicate()
    assert (packing.returncode, err) == (0, b"")
    return out


def incoming(repo: GitRepo) -> tuple[PackStore, IncomingPack]:
    """A pack that is to arrive in a repository."""
    git_dir = repo.path / ".git"
    packs = PackStore(
        git_dir / "objects", git_dir / "gitflowrun/incoming", durability=Durability.SAFE
    )
    return packs, IncomingPack(Git(git_dir, None), packs)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[GitRepo, GitRepo]:
    """A repository that has files, and one that lacks them."""
    return make_repo(tmp_path / "a", files={"f": "one", "d/g": "two"}), make_repo(tmp_path / "b")


def test_a_pack_is_published_kept(pair: tuple[GitRepo, GitRepo]) -> None:
    """Its objects can be read once it is, and nothing else is left."""
    here, there = pair
    packs, pack = incoming(there)
    data = packed(here)
    for place in range(0, len(data), 10):
        pack.write(data[place : place + 10])
    assert pack.size == len(data)
    pack.publish(pack.index())
    assert there.git("cat-file", "-p", f"{tree_of(here)}:d/g") == "two"
    assert list(packs.kept_by_us()) == [pack.name]
    assert list(packs.incoming.iterdir()) == []


def test_a_small_pack_becomes_loose_objects(pair: tuple[GitRepo, GitRepo]) -> None:
    """Where it is unpacked, no pack is made."""
    here, there = pair
    packs, pack = incoming(there)
    pack.write(packed(here))
    pack.unpacked(pack.unpack(Git(there.path / ".git", None)))
    assert there.git("cat-file", "-p", f"{tree_of(here)}:d/g") == "two"
    assert list(packs.pack_dir.glob("*.pack")) == []
    assert list(packs.incoming.iterdir()) == []


@pytest.mark.parametrize("unpacks", [False, True])
def test_a_damaged_pack_is_none(pair: tuple[GitRepo, GitRepo], unpacks: bool) -> None:
    """One byte that is another, and there is no such pack."""
    here, there = pair
    packs, pack = incoming(there)
    data = bytearray(packed(here))
    data[-30] ^= 1
    pack.write(bytes(data))
    process = pack.unpack(Git(there.path / ".git", None)) if unpacks else pack.index()
    end = pack.unpacked if unpacks else pack.publish
    with pytest.raises(CorruptRecord, match="git can't take a pack that has arrived: "):
        end(process)
    assert list(packs.pack_dir.glob("*.pack")) == []
    assert list(packs.incoming.iterdir()) == []


@pytest.mark.parametrize("unpacks", [False, True])
def test_a_full_disk_is_no_damage(
    pair: tuple[GitRepo, GitRepo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacks: bool
) -> None:
    """What git says of the disk is the repository's error, with what to do."""
    here, there = pair
    _, pack = incoming(there)
    pack.write(packed(here))
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *pack*) echo "fatal: write error: No space left on device" >&2; exit 128;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    process = pack.unpack(Git(there.path / ".git", None)) if unpacks else pack.index()
    with pytest.raises(RepositoryError, match="No space left on device") as caught:
        (pack.unpacked if unpacks else pack.publish)(process)
    assert caught.value.hint is not None
    assert "free some space" in caught.value.hint


def test_what_the_other_side_has_is_left_out(pair: tuple[GitRepo, GitRepo]) -> None:
    """Of a tree that differs in one file, that file and the tree alone."""
    here, _ = pair
    before = tree_of(here)
    here.write("f", "another")
    here.commit()
    data = packed(here, have=[before])
    assert int.from_bytes(data[8:12], "big") == 2


def pack_of_blobs(place: Path, *contents: bytes) -> bytes:
    """A pack as tasks write it."""
    path = place / "blobs.pack"
    output = Output(path, sync=False, expected=0, readable_as=place)
    write_pack([PackObject(ObjectType.BLOB, content) for content in contents], output)
    return path.read_bytes()


def test_a_pack_of_blobs_is_taken_in(pair: tuple[GitRepo, GitRepo], tmp_path: Path) -> None:
    """Without git: it is published, kept and durable, and of each blob something is known."""
    _, there = pair
    packs, pack = incoming(there)
    data = pack_of_blobs(tmp_path, b"one", bytes(6 << 20), os.urandom(6 << 20))
    for place in range(0, len(data), 1 << 20):
        pack.write(data[place : place + (1 << 20)])
    blobs = pack.take_in(lambda content: bytes(content[:3]), lambda: True)
    assert blobs is not None
    oid = hash_object(ObjectType.BLOB, b"one")
    assert blobs[oid] == (3, b"one")
    assert len(blobs) == 3
    pack.discard()
    assert there.git("cat-file", "-p", str(oid)) == "one"
    assert there.git("fsck", "--no-dangling") == ""
    assert list(packs.kept_by_us()) == [pack.name]
    assert list(packs.incoming.iterdir()) == []


def test_other_packs_are_left_to_git(pair: tuple[GitRepo, GitRepo]) -> None:
    """Such as one with trees: nothing is published before git has looked at it."""
    here, there = pair
    packs, pack = incoming(there)
    pack.write(packed(here))
    assert pack.take_in(lambda _: b"", lambda: True) is None
    assert list(packs.pack_dir.glob("*.pack")) == []
    pack.publish(pack.index())
    assert there.git("cat-file", "-p", f"{tree_of(here)}:d/g") == "two"


@pytest.mark.parametrize("why", ["damaged", "not wanted"])
def test_what_is_not_taken_in_leaves_nothing(
    pair: tuple[GitRepo, GitRepo], tmp_path: Path, why: str
) -> None:
    """A pack with a byte that is another, and one of a task that was given up meanwhile."""
    _, there = pair
    packs, pack = incoming(there)
    data = bytearray(pack_of_blobs(tmp_path, b"one", b"two"))
    data[-30] ^= why == "damaged"
    pack.write(bytes(data))
    with pytest.raises(GitflowrunError, match=why):
        pack.take_in(lambda _: b"", lambda: why == "damaged")
    pack.discard()
    assert list(packs.pack_dir.glob("*.pack")) == []
    assert list(packs.incoming.iterdir()) == []
