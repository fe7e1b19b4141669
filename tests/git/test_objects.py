"""Objects are written and read exactly as git does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import (
    Commit,
    Mode,
    ObjectType,
    Oid,
    Signature,
    TreeEntry,
    checked_pieces,
    hash_object,
    parse_commit,
    parse_tree,
    tree_bytes,
    tree_oids,
)
from gitflowrun.limits import SMALL_ENTRY
from tests.helpers.repos import GitRepo

OIDS = st.binary(min_size=20, max_size=20).map(Oid)
NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"\0" not in name and b"/" not in name
)
ENTRIES = st.builds(TreeEntry, st.sampled_from([*map(int, Mode)]), NAMES, OIDS)
SIGNATURES = st.builds(
    Signature,
    st.text(max_size=20),
    st.text(max_size=20),
    st.integers(0, 2**40),
    st.integers(-720, 840),
)


@given(st.lists(ENTRIES, unique_by=lambda entry: entry.name))
def test_trees_survive(entries: list[TreeEntry]) -> None:
    """A tree read back has the entries it was written with."""
    assert sorted(parse_tree(tree_bytes(entries)), key=repr) == sorted(entries, key=repr)


def test_bytes_between_the_rows_of_a_tree_are_malformed() -> None:
    """Nothing in a tree is passed over, wherever it lies."""
    for name in (b"a", b"a" * SMALL_ENTRY):  # few rows are found in another way than many
        rows = [tree_bytes([TreeEntry(Mode.BLOB, it, Oid(bytes(20)))]) for it in (name, b"b")]
        assert list(tree_oids(b"".join(rows))) == [name, b"b"]
        for data in (b"x".join(rows), b"x" + rows[0], rows[0] + b"x", rows[0][:-1]):
            with pytest.raises(CorruptRecord):
                tree_oids(data)


def test_git_agrees_about_trees(repo: GitRepo) -> None:
    """Entries are sorted and hashed as git does, directories as if they ended in a slash."""
    for name in ("a.b", "a/x", "a0", "z"):
        repo.write(name, name)
    repo.commit()
    data = tree_bytes(
        TreeEntry(int(mode, 8), name.encode(), Oid.from_hex(oid))
        for mode, _, oid, name in (
            line.split(None, 3) for line in repo.git("ls-tree", "HEAD").splitlines()
        )
    )
    assert hash_object(ObjectType.TREE, data).hex() == repo.git("rev-parse", "HEAD^{tree}")


@given(OIDS, st.lists(OIDS, max_size=3), SIGNATURES, st.binary(max_size=50))
def test_commits_survive(tree: Oid, parents: list[Oid], who: Signature, message: bytes) -> None:
    """A commit read back says what was written; only characters that would break the line are lost."""
    try:
        commit = Commit(tree, tuple(parents), who, who, message)
        data = commit.encode()
    except UnicodeEncodeError:
        return
    again = parse_commit(data)
    assert (again.tree, again.parents, again.message) == (tree, tuple(parents), message)
    assert (again.author.seconds, again.author.offset) == (who.seconds, who.offset)


def test_git_agrees_about_commits(repo: GitRepo) -> None:
    """A commit made by git is parsed, and encoded to the same oid again."""
    raw = repo.git("cat-file", "commit", "HEAD") + "\n"
    commit = parse_commit(raw.encode())
    assert commit.author.name == "Ada Lovelace"
    assert hash_object(ObjectType.COMMIT, commit.encode()).hex() == repo.git("rev-parse", "HEAD")


def test_names_can_not_inject_lines() -> None:
    """A user's name with a newline or brackets stays within its line."""
    line = Signature("a\nparent x <y>", "e\0>", 1, 0).encode()
    assert line == b"aparent x y <e> 1 +0000"


@given(st.binary(max_size=200))
def test_garbage_is_a_corrupt_record(data: bytes) -> None:
    """Bytes that are no tree or commit raise CorruptRecord and nothing else."""
    for parse in (lambda: list(parse_tree(data)), lambda: parse_commit(data)):
        try:
            parse()
        except CorruptRecord:
            continue


def test_oids_have_20_bytes() -> None:
    """Anything else is no object id."""
    with pytest.raises(ValueError, match="20 bytes"):
        Oid(b"short")


@pytest.mark.parametrize(
    "line", [b"", b"a", b"a <b> ", b"a <b> x +0000", b"a <b> 1", b"a <b> 1 +x"]
)
def test_what_is_no_signature(line: bytes) -> None:
    """It is named, and nothing is made up for what it lacks."""
    with pytest.raises(CorruptRecord, match="malformed signature"):
        Signature.decode(line)


def test_pieces_of_a_blob_are_compared_with_its_id() -> None:
    """After the last one; of another size as well."""
    oid = hash_object(ObjectType.BLOB, b"abcd")
    assert [*checked_pieces(oid, 4, [b"ab", b"cd"])] == [b"ab", b"cd"]
    for size, pieces in ((4, [b"ab", b"ce"]), (5, [b"ab", b"cd"]), (4, [b"ab"])):
        came = list[bytes]()
        with pytest.raises(CorruptRecord, match=f"object {oid} .*another id"):
            came.extend(checked_pieces(oid, size, pieces))


@pytest.mark.parametrize(
    "data",
    [b"", b"tree " + b"1" * 40, b"tree x\nauthor a <b> 1 +0000\ncommitter a <b> 1 +0000\n\nx"],
)
def test_what_is_no_commit(data: bytes) -> None:
    """Without a tree, or without who wrote it, and when."""
    with pytest.raises(CorruptRecord, match="malformed commit object"):
        parse_commit(data)
