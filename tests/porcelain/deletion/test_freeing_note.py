"""What is noted of space that is to be freed, and what objects name and weigh."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitflowrun.errors import MissingObject
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.limits import COMMIT_SIZE, TREE_SIZE
from gitflowrun.porcelain.deletion import free as freeing
from tests.helpers.repos import make_repo
from tests.helpers.runs import (
    open_repo,
)


def test_who_goes_on_knows_what_was_to_be_freed(tmp_path: Path) -> None:
    """Packs, runs and objects, each of which there may be none; a note that was cut short says nothing."""
    opened = open_repo(make_repo(tmp_path / "r"))
    uid, pack, wanted = Oid(b"u" * 20), f"pack-{'a' * 40}", str(Oid(b"w" * 20)).encode()

    def begun() -> Any:
        return freeing._Freeing(opened, -1, {}, ())

    for packs, uids in (({pack}, ()), (set(), (uid,)), ({pack}, (uid,))):
        first = freeing._Freeing(opened, -1, {}, uids)
        first._packs, first._wanted = packs, {wanted}
        first._write_note()
        again = begun()
        assert (again._packs, again._uids, again._wanted) == (packs, first._uids, {wanted})
    assert again._uids == {str(uid).encode()}
    note = opened.state_dir / "freeing"
    note.write_bytes(note.read_bytes()[:-1])
    assert (begun()._packs, begun()._uids, begun()._wanted) == (set(), set(), set())


def test_a_note_that_has_seconds_is_read(tmp_path: Path) -> None:
    """As they had when only seconds were compared."""
    opened = open_repo(make_repo(tmp_path / "r"))
    freeing._Freeing(opened, -1, {}, ())._write_note()
    note = opened.state_dir / "freeing"
    now = int(note.read_bytes())
    assert freeing._Freeing(opened, -1, {}, ())._begun == now > 10**18
    note.write_bytes(b"1795931107\n")
    assert freeing._Freeing(opened, -1, {}, ())._begun == 1795931107 * 10**9


def test_what_is_left_of_packs_goes_first(tmp_path: Path) -> None:
    """Of those that lost their index when they were being deleted, and which nobody has touched since."""
    opened = open_repo(make_repo(tmp_path / "r"))
    names = [f"pack-{digit * 40}" for digit in "abcd"]
    for name, suffixes in zip(
        names, [(".pack", ".rev"), (".pack",), (".pack", ".idx"), (".rev",)], strict=True
    ):
        for suffix in suffixes:
            (opened.packs.pack_dir / f"{name}{suffix}").touch()
    time.sleep(0.02)  # more than a tick of the file system's clock
    first = freeing._Freeing(opened, -1, {}, ())
    first._packs = {*names}
    first._write_note()
    os.utime(opened.packs.pack_dir / f"{names[1]}.pack")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(freeing, "check_free", lambda _: None)  # an empty index is none
        assert freeing.free(opened, {}).objects == 0
    left = {path.name for path in opened.packs.pack_dir.iterdir()}
    assert left == {f"{names[1]}.pack", f"{names[2]}.pack", f"{names[2]}.idx", f"{names[3]}.rev"}
    assert not freeing.has_unfinished(opened)


def test_what_is_not_there_names_and_weighs_nothing(tmp_path: Path) -> None:
    """Directories and packs may go while they are looked at, and anything may be in their place."""
    opened = open_repo(make_repo(tmp_path / "r"))
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "gone.idx").symlink_to("nowhere")
    (packs / "bad.idx").write_bytes(b"junk")
    gone = tmp_path / "gone"
    for found in (freeing._packed(packs), freeing._loose(gone), freeing._entries(gone)):
        assert list(found) == []
    assert (freeing._size(gone), freeing._size(packs)) == (0, 4 + len("nowhere"))
    assert freeing._existing(opened, []) == set()
    head = opened.git.run("rev-parse", "HEAD").strip()
    assert freeing._existing(opened, [head, b"1" * 40]) == {head}
    linked = tmp_path / "linked"
    linked.symlink_to(packs)
    assert (freeing._below(linked), len(freeing._below(packs))) == ([], 2)


def test_what_an_object_names() -> None:
    """A tree its rows, a commit its tree and parents, a tag its object; what can't be read, or is a blob, nothing."""
    tree, top, tag, commit = (str(Oid(name * 20)).encode() for name in (b"t", b"u", b"v", b"c"))
    head = b"tree %s\nparent %s\nauthor a <b> 1 +0000\ncommitter a <b> 1 +0000\n\nm" % (tree, top)
    stored: dict[bytes, tuple[ObjectType, bytes]] = {
        tree: (ObjectType.TREE, b"40000 x\0" + b"u" * 20),
        commit: (ObjectType.COMMIT, head),
        tag: (ObjectType.TAG, b"object %s\ntype commit\n\n%s" % (commit, tree)),
    }  # fmt: skip

    def read(oid: Oid, limit: int) -> tuple[ObjectType, bytes]:
        limits.add(limit)
        if (found := stored.get(str(oid).encode())) is None:
            raise MissingObject("it is gone")
        return found

    limits = set[int]()
    dangling: Any = object.__new__(freeing._Dangling)
    dangling._repo = SimpleNamespace(objects=SimpleNamespace(read=read))
    kinds = {tree: b"tree", commit: b"commit", tag: b"tag", top: b"tree"}
    dangling._types = kinds
    named = {oid: [*dangling._children(oid)] for oid in (*kinds, b"1" * 40)}
    assert named == {
        tree: [top], commit: [tree, top], tag: [commit], top: [], b"1" * 40: [],
    }  # fmt: skip
    assert limits == {TREE_SIZE, COMMIT_SIZE}
