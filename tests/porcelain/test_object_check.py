"""Looking at objects once, in a repository that is a dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import CorruptRecord, MissingObject
from gitflowrun.git.objects import Mode, Oid, TreeEntry
from gitflowrun.porcelain.checks import object_check
from gitflowrun.porcelain.checks.object_check import ObjectCheck, ObjectFault, Remembered

COMMIT = Oid(b"c" * 20)


def oid(name: str) -> Oid:
    """The id of an object, by a letter."""
    return Oid(name.encode() * 20)


class Objects:
    """Trees as `name: oid` and blobs, of which some are lost or damaged; what was read is noted."""

    def __init__(self, trees: dict[str, str], blobs: str, damaged: str = "") -> None:
        self.trees = {oid(name): [self._row(it) for it in rows] for name, rows in trees.items()}
        self.blobs = {oid(name): b"data" for name in blobs}
        self.damaged = {oid(name) for name in damaged}
        self.read: list[str] = []
        self.pack: Path | None = None

    @staticmethod
    def _row(name: str) -> TreeEntry:
        mode = Mode.TREE if name.isupper() else Mode.GITLINK if name == "~" else Mode.BLOB
        return TreeEntry(mode, name.encode(), oid(name))

    def _note(self, how: str, it: Oid) -> None:
        self.read.append(f"{how} {bytes(it)[:1].decode()}")
        if it in self.damaged:
            raise CorruptRecord(f"object {it} is damaged")
        if it not in self.trees and it not in self.blobs:
            raise MissingObject(f"object {it} is missing")

    def tree(self, it: Oid) -> list[TreeEntry]:
        """A tree's rows."""
        self._note("tree", it)
        return self.trees[it]

    def size(self, it: Oid) -> int:
        """A blob's size."""
        self._note("size", it)
        return len(self.blobs[it])

    def blob(self, it: Oid, limit: int) -> bytes:
        """A blob's content."""
        self._note("blob", it)
        assert len(self.blobs[it]) <= limit
        return self.blobs[it]

    def pieces(self, it: Oid) -> Iterator[bytes]:
        """The same, of a large one."""
        self._note("pieces", it)
        yield self.blobs[it]
        self.read.append("end")

    def commit(self, it: Oid) -> str:
        """A commit."""
        return f"commit {it.short}"

    def stored_size(self, it: Oid) -> int | None:
        """Whether it is here."""
        if it in self.damaged:
            raise CorruptRecord("damaged")
        return 1 if it in self.trees or it in self.blobs else None

    def home(self, it: Oid) -> Path | None:
        """The pack of an object."""
        del it
        return self.pack


def check_of(objects: Objects, *, read_data: bool = False, is_partial: bool = False) -> ObjectCheck:
    """The check of a repository with these objects."""
    repo = SimpleNamespace(objects=objects, is_partial=is_partial)
    return ObjectCheck(cast("Any", repo), read_data=read_data)


TREES = {"A": "xB~", "B": "yxC", "C": "z"}


def test_whole_trees_are_looked_at_once() -> None:
    """Each object in them as well; a commit of a submodule is not here."""
    objects = Objects(TREES, "xyz")
    check = check_of(objects)
    assert check.below(oid("A"), COMMIT) == ()
    looks = ["size x", "size y", "size z", "tree A", "tree B", "tree C"]
    assert sorted(objects.read) == looks
    assert check.below(oid("A"), COMMIT) == check.below(oid("C"), COMMIT) == ()
    assert len(objects.read) == 6
    assert check_of(Objects({"A": ""}, "")).below(oid("A"), COMMIT) == ()


def test_what_is_wrong_is_named_by_its_path() -> None:
    """All of it, once; what is broken is not looked at again, and its parts are not taken for whole."""
    objects = Objects({"A": "xB~", "B": "yxC"}, "x", damaged="y")
    check = check_of(objects)
    faults = check.below(oid("A"), COMMIT)
    assert {(it.path, it.oid, it.is_missing) for it in faults} == {
        ("B/y", oid("y"), False),
        ("B/C", oid("C"), True),
    }
    count = len(objects.read)
    assert check.below(oid("A"), COMMIT) == faults
    assert len(objects.read) == count
    assert oid("x") not in check.sound
    (fault,) = check.below(oid("Z"), COMMIT)
    assert fault == ObjectFault(oid("Z"), "", f"object {oid('Z')} is missing", is_missing=True)


def test_many_faults_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for all of them."""
    monkeypatch.setattr(object_check, "FSCK_FAULTS", 2)
    objects = Objects({"A": "BCDE"}, "")
    assert len(check_of(objects).below(oid("A"), COMMIT)) == 2
    assert len(objects.read) == 3


@pytest.mark.parametrize(("limit", "how"), [(4, ["blob x"]), (3, ["pieces x", "end"])])
def test_blobs_are_read_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, limit: int, how: list[str]
) -> None:
    """Large ones piece by piece, to the end."""
    monkeypatch.setattr(object_check, "MAX_CHUNK", limit)
    objects = Objects({"A": "x"}, "x")
    check = check_of(objects, read_data=True)
    assert check.below(oid("A"), COMMIT) == ()
    assert objects.read == ["tree A", "size x", *how]
    objects.damaged.add(oid("x"))
    with pytest.raises(CorruptRecord):
        check.blob(oid("x"))


def test_sizes_are_compared() -> None:
    """With what the record says."""
    check = check_of(Objects({}, "x"))
    assert check.size_fault(oid("x"), COMMIT, 4) == ""
    assert check.size_fault(oid("x"), COMMIT, 5_000) == "its chunk has 4 bytes, not 5,000"
    assert check.record(oid("x"), COMMIT) == b"data"
    assert check.commit(oid("x")) == cast("Any", f"commit {oid('x').short}")


@pytest.mark.parametrize("promised", [True, False])
def test_what_a_partial_clone_was_made_without_is_left_out(tmp_path: Path, promised: bool) -> None:
    """Of what a tree of the remote's lists, and of code; all else is missing. It is never fetched."""
    objects = Objects({"A": "xB"}, "")
    objects.pack = tmp_path / "p.pack"
    if promised:
        objects.pack.with_suffix(".promisor").touch()
    check = check_of(objects, is_partial=True)
    faults = check.below(oid("A"), COMMIT)
    assert (len(faults), check.left_out) == ((0, 2) if promised else (2, 0))
    assert objects.read == ["tree A"]
    again = check_of(objects, is_partial=True)
    assert again.below(oid("A"), COMMIT, code=True) == ()
    assert again.left_out == 2
    assert again.rows(oid("B"), COMMIT, code=True) is None
    if promised:
        assert again.record(oid("x"), COMMIT) is None
        assert again.size_fault(oid("x"), COMMIT, 7) == ""
        assert again.left_out == 5
    objects.pack = None
    for ask in (again.commit, again.blob):
        with pytest.raises(MissingObject, match=f"object {oid('x')} is missing"):
            ask(oid("x"))
    with pytest.raises(MissingObject):
        again.record(oid("x"), COMMIT)
    assert objects.read.count("size x") == 0


def test_where_data_is_read_or_nothing_is_left_out_objects_are_asked_for() -> None:
    """Git fetches them, or they are missing."""
    for options in ({"read_data": True, "is_partial": True}, {}):
        objects = Objects({"A": "x"}, "")
        check = check_of(objects, **options)
        (fault,) = check.below(oid("A"), COMMIT)
        assert fault.is_missing
        assert (objects.read, check.left_out) == (["tree A", "size x"], 0)


def test_a_damaged_object_is_here() -> None:
    """What is not is not."""
    check = check_of(Objects({}, "x", damaged="y"))
    assert [check.is_here(oid(it)) for it in "xyz"] == [True, True, False]


def test_the_last_things_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least as many as are to be, and at most twice as many."""
    monkeypatch.setattr(object_check, "FSCK_REMEMBERED", 2)
    seen = Remembered()
    for number in range(6):
        seen.add([number])
        assert number in seen
        assert number == 0 or number - 1 in seen
    assert [number for number in range(6) if number in seen] == [4, 5]
    seen.add([6])
    assert [number for number in range(7) if number in seen] == [4, 5, 6]
    assert 0 not in seen
