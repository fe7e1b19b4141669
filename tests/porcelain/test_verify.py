"""What verification makes of a history and a tree, in a repository that is a dictionary; tests/security has keys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import CorruptRecord, MissingObject, TooLarge
from gitflowrun.git.objects import Commit, Mode, ObjectType, Oid, Signature, TreeEntry
from gitflowrun.git.signing.signature_check import SignatureReport, SignatureState
from gitflowrun.names import RunId
from gitflowrun.porcelain.checks import verify
from gitflowrun.porcelain.checks.verify import RunVerifier
from gitflowrun.runs.commit_message import Status

INFO, OTHER, CODE = (Oid(letter.encode() * 20) for letter in "iok")
ADA = Signature("Ada Lovelace", "ada@example.org", 1)


def oid(name: str) -> Oid:
    """The id of an object, by a letter."""
    return Oid(name.encode() * 20)


class Objects:
    """Commits, trees and blobs, by the letters of their ids; what is read is noted."""

    def __init__(self) -> None:
        self.commits: dict[Oid, bytes] = {}
        self.trees: dict[Oid, list[TreeEntry]] = {}
        self.blobs: dict[Oid, bytes] = {}
        self.read_blobs: list[Oid] = []
        self.large: set[Oid] = set()
        self.pieces_read = 0

    def add_commit(self, name: str, tree: str, *parents: str) -> None:
        """Add a commit."""
        commit = Commit(oid(tree), tuple(map(oid, parents)), ADA, ADA, b"words\n")
        self.commits[oid(name)] = commit.encode()

    def add_tree(self, name: str, **rows: Oid) -> None:
        """Add a tree."""
        self.trees[oid(name)] = [TreeEntry(Mode.BLOB, it.encode(), row) for it, row in rows.items()]

    def read(self, it: Oid, _: int) -> tuple[ObjectType, bytes]:
        """An object."""
        if it in self.commits:
            return ObjectType.COMMIT, self.commits[it]
        if it in self.blobs:
            return ObjectType.BLOB, self.blobs[it]
        raise MissingObject(f"object {it} is missing")

    def tree(self, it: Oid) -> list[TreeEntry]:
        """A tree's rows."""
        return self.trees[it]

    def tree_oids(self, it: Oid) -> dict[bytes, Oid]:
        """The same by name."""
        return {row.name: row.oid for row in self.trees[it]}

    def blob(self, it: Oid, _: int) -> bytes:
        """A blob."""
        self.read_blobs.append(it)
        if it in self.large:
            raise TooLarge("large")
        return self.read(it, 1)[1]

    def pieces(self, it: Oid) -> Any:
        """The same in pieces."""
        for piece in (self.blobs[it], b"more"):
            self.pieces_read += 1
            yield piece


@pytest.fixture
def objects() -> Objects:
    """A run of three states: `a` has INFO alone, `b` and `c` also code."""
    found = Objects()
    found.add_tree("A", INFO=INFO)
    found.add_tree("B", INFO=INFO, code=CODE)
    found.add_commit("a", "A")
    found.add_commit("b", "B", "a")
    found.add_commit("c", "B", "b")
    found.blobs = {INFO: b"info", CODE: b"code"}
    return found


def verifier(objects: Objects, **fields: Any) -> Any:
    """A verifier of such a repository."""
    found = cast("Any", object.__new__(RunVerifier))
    found.__dict__.update({"_repo": SimpleNamespace(objects=objects), "_whole": set()} | fields)
    return found


def run_of(
    commit: str, uid: str = "a", name: str = "F/1", info: str = "F/1", status: Status = Status.DONE
) -> Any:
    """A run at a commit, as it was read."""
    flow, _, run = name.partition("/")
    own, _, number = info.partition("/")
    return SimpleNamespace(
        commit=oid(commit), flow=flow, id=RunId(run), pathspec=name, state=SimpleNamespace(status=status),
        info=SimpleNamespace(flow=own, id=RunId(number)), identity=SimpleNamespace(uid=oid(uid)),
    )  # fmt: skip


def test_a_history_with_one_info_is_whole(objects: Objects) -> None:
    """From its first commit, which is that alone, to the last."""
    found = verifier(objects)
    assert [it for it, _ in found._states(oid("c"))] == [oid("c"), oid("b"), oid("a")]
    found._check_history(run_of("c"))
    found._check_history(run_of("a"))


def test_histories_that_no_run_has(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each for its own reason."""
    found = verifier(objects)
    with pytest.raises(CorruptRecord, match=f"its first commit is {oid('a')}, and it says to be"):
        found._check_history(run_of("c", "b"))
    objects.add_tree("C", INFO=OTHER, code=CODE)
    objects.add_commit("d", "C", "c")
    with pytest.raises(CorruptRecord, match="its INFO is not what its first commit consists of"):
        found._check_history(run_of("d"))
    objects.add_commit("e", "B")
    with pytest.raises(CorruptRecord, match="its INFO is not what its first commit consists of"):
        found._check_history(run_of("e", "e"))
    objects.add_commit("m", "B", "c", "e")
    with pytest.raises(CorruptRecord, match="has a merge"):
        found._check_history(run_of("m"))
    objects.add_commit("n", "B", "i")
    with pytest.raises(CorruptRecord, match=f"object {INFO} is no commit"):
        found._check_history(run_of("n"))
    monkeypatch.setattr(verify, "MAX_STATES", 3)
    found._check_history(run_of("c"))
    objects.add_commit("f", "B", "c")
    with pytest.raises(CorruptRecord, match="more than 3 commits"):
        found._check_history(run_of("f"))


def test_all_below_a_tree_is_read_once(objects: Objects) -> None:
    """Large files piece by piece to the end; a commit of a submodule is not here."""
    below = TreeEntry(Mode.TREE, b"sub", oid("B"))
    link = TreeEntry(Mode.GITLINK, b"link", oid("~"))
    objects.trees[oid("R")] = [below, link, *objects.trees[oid("B")]]
    objects.large = {CODE}
    found = verifier(objects)
    found._check_tree(oid("R"))
    assert sorted(objects.read_blobs) == [INFO, CODE]
    assert objects.pieces_read == 2
    found._check_tree(oid("R"))
    assert len(objects.read_blobs) == 2
    assert found._whole == {oid("R"), oid("B"), CODE, INFO}
    del objects.blobs[CODE]
    objects.large.clear()
    with pytest.raises(MissingObject):
        verifier(objects)._check_tree(oid("B"))


@pytest.mark.parametrize(
    ("name", "info", "is_its"),
    [
        ("F/1", "F/1", True),
        (f"F/1-{str(oid('a'))[:7]}", "F/1", True),
        ("F/1-1234567", "F/1", False),
        ("F/2", "F/1", False),
        ("G/1", "F/1", False),
    ],
)
def test_a_run_is_filed_under_its_own_name(name: str, info: str, is_its: bool) -> None:
    """By its INFO and its first commit."""
    run = run_of("c", name=name, info=info)
    if is_its:
        verify._check_name(run)
        return
    with pytest.raises(CorruptRecord, match=f"it is F/1, filed as {name}"):
        verify._check_name(run)


def test_why_a_run_is_not_signed(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on; or an earlier state is, of the last few; or nobody signed it."""
    found = verifier(objects)
    assert found._why_unsigned(run_of("c", status=Status.RUNNING)) == "a run is signed when it ends"
    assert found._why_unsigned(run_of("c")) == ""
    signed = objects.commits[oid("b")]
    monkeypatch.setattr(
        verify, "split_signature", lambda data: (data, b"x" if data == signed else b"")
    )
    told = f"its state {oid('b').short} is signed; what was added since is not"
    assert found._why_unsigned(run_of("c")) == told
    monkeypatch.setattr(verify, "SIGNED_STATES", 1)
    assert found._why_unsigned(run_of("c")) == ""


@pytest.mark.parametrize(
    ("state", "made_here", "is_read"),
    [
        (SignatureState.GOOD, False, True),
        (SignatureState.UNSIGNED, True, True),
        (SignatureState.UNSIGNED, False, False),
        (SignatureState.TAMPERED, False, False),
    ],
)
def test_what_is_said_of_a_run(
    objects: Objects, state: SignatureState, made_here: bool, is_read: bool
) -> None:
    """What its signature is, who says to have made it; only where that matters all of it is read."""
    report = SignatureReport(state, format="ssh", signer="ada", key="k", why="w", hint="h")
    check = SimpleNamespace(check=lambda _: report)
    found = verifier(objects, _check=check, _trust=SimpleNamespace(made_here=lambda _: made_here))
    said = found.verify(run_of("c"))
    assert (said.run, said.commit, said.state, said.made_here) == (
        "F/1",
        oid("c"),
        state,
        made_here,
    )
    assert (said.format, said.signer, said.key, said.hint) == ("ssh", "ada", "k", "h")
    assert said.committer == "Ada Lovelace <ada@example.org>"
    assert said.why == ("" if state is SignatureState.UNSIGNED else "w")
    assert bool(objects.read_blobs) is is_read


def test_what_is_not_whole_is_tampered_with(objects: Objects) -> None:
    """Whatever its signature says: a name that is another one's, a lost file, a tip that is not here."""
    check = SimpleNamespace(check=lambda _: SignatureReport(SignatureState.GOOD))
    found = verifier(objects, _check=check, _trust=SimpleNamespace(made_here=lambda _: True))
    wrong = found.verify(run_of("c", name="F/2"))
    assert (wrong.state, wrong.committer) == (
        SignatureState.TAMPERED,
        "Ada Lovelace <ada@example.org>",
    )
    assert wrong.why == "it is F/1, filed as F/2"
    del objects.blobs[CODE]
    assert found.verify(run_of("c")).state is SignatureState.TAMPERED
    lost = found.verify(run_of("x"))
    assert (lost.state, lost.committer) == (SignatureState.TAMPERED, "")
    assert lost.made_here
