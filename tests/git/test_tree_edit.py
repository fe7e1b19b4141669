"""A tree with some files changed is the tree that git would make of all files, and a snapshot rests on it."""

from __future__ import annotations

import shutil
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.git.objects import Mode, Oid, TreeEntry, parse_tree
from gitflowrun.git.odb import ObjectStore
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import Snapshot, take_snapshot
from gitflowrun.git.tree_edit import EMPTY_TREE, edit_tree
from tests.helpers.repos import GitRepo, make_repo

PATHS = st.lists(st.sampled_from([b"a", b"a.b", b"a-", b"b"]), min_size=1, max_size=3).map(
    b"/".join
)
CHANGES = st.dictionaries(PATHS, st.sampled_from([None, b"1", b"2"]), max_size=6)


class Trees:
    """The trees that were made."""

    def __init__(self) -> None:
        self.made: dict[Oid, PackObject] = {}

    def tree(self, oid: Oid) -> list[TreeEntry]:
        """As of an object store."""
        return [] if oid == EMPTY_TREE else list(parse_tree(self.made[oid].data))

    def edit(self, tree: Oid, changes: dict[bytes, bytes | None]) -> Oid:
        """The tree with some files changed; each is made of a letter."""
        files = {
            path: TreeEntry(Mode.BLOB, path.rpartition(b"/")[2], Oid(letter * 20))
            if letter
            else None
            for path, letter in changes.items()
        }
        result, made = edit_tree(cast("ObjectStore", self), tree, files)
        self.made |= made
        return result

    def files(self, tree: Oid, prefix: bytes = b"") -> dict[bytes, bytes]:
        """The files of a tree; none of its directories is empty."""
        found: dict[bytes, bytes] = {}
        for row in self.tree(tree):
            inside = {prefix + row.name: row.oid[:1]}
            if row.is_tree:
                inside = self.files(row.oid, prefix + row.name + b"/")
                assert inside
            found |= inside
        return found


def without_conflicts(changes: dict[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """The changes without files below what is a file itself."""
    return {
        path: letter
        for path, letter in changes.items()
        if not any(changes.get(parent) for parent in parents(path))
    }


def parents(path: bytes) -> list[bytes]:
    """The directories that a path lies in."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


@given(CHANGES.map(without_conflicts), CHANGES.map(without_conflicts))
def test_any_change(before: dict[bytes, bytes | None], changes: dict[bytes, bytes | None]) -> None:
    """Files come, change and go; a file takes the place of a directory and the other way round."""
    trees = Trees()
    files = {path: letter for path, letter in before.items() if letter}
    for path, letter in changes.items():
        if letter is None:
            files.pop(path, None)
    for path, letter in changes.items():
        if letter:
            for other in [it for it in files if path in parents(it) or it in parents(path)]:
                del files[other]
            files[path] = letter
    base = trees.edit(EMPTY_TREE, {**before})
    assert trees.files(trees.edit(base, changes)) == files
    assert trees.edit(EMPTY_TREE, {**files}) == trees.edit(base, changes)


def _untidy(repo: GitRepo, other: GitRepo) -> None:
    """Change the work tree and the index in every way at once."""
    repo.git("config", "core.autocrlf", "true")
    repo.git("config", "filter.up.clean", "tr a-z A-Z")
    for name in (
        "crlf", "mixed", "x", "gone", "staged/gone", "rm", "file", "dir/in/x", "dir/y", "link", "a.up", "b.up",
        "deep/er/file", "same",
    ):  # fmt: skip
        repo.write(name, f"{name}\n")
    repo.write(".gitattributes", "*.up filter=up\n")
    repo.write("sub.x/.gitattributes", "* -text\n")
    repo.write("sub.x/file", "1\n")
    repo.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "module"
    )
    repo.git("-c", "core.autocrlf=false", "add", "-A")
    for name in ("crlf", "mixed"):
        repo.write(name, "1\r\n")
        repo.git("-c", "core.autocrlf=false", "add", name)
    repo.git("commit", "-q", "-m", "all")
    repo.write("crlf", "1\r\n2\r\n")
    repo.write("mixed", "1\n2\n")
    (repo.path / "x").chmod(0o755)
    (repo.path / "gone").unlink()
    repo.write("staged/gone", "2")
    repo.git("add", "staged/gone")
    (repo.path / "staged/gone").unlink()
    repo.git("rm", "-q", "rm")
    (repo.path / "file").unlink()
    repo.write("file/in/side", "1")
    shutil.rmtree(repo.path / "dir")
    repo.write("dir", "1\r\n")
    (repo.path / "link").unlink()
    (repo.path / "link").symlink_to("nowhere")
    repo.write("a.up", "abc")
    repo.git("add", "a.up")
    repo.write("a.up", "def")
    repo.write("new.up", "abc")
    repo.git("add", "-N", "new.up")
    (repo.path / "sub.x/.gitattributes").unlink()
    repo.write("sub.x/file", "1\r\n")
    repo.write("server.pem", "secret")
    repo.write("staged/again", "1\r\n")
    repo.write("same", "other")
    repo.git("add", "same")
    repo.write("same", "same\n")
    GitRepo(repo.path / "module").write("more", "1")
    GitRepo(repo.path / "module").commit()


@pytest.mark.parametrize("module_dirty", [False, True])
@pytest.mark.sample(1)
def test_few_changes_make_the_tree_that_all_files_make(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, *, module_dirty: bool
) -> None:
    """Whether the index of a snapshot holds the changed files or all, the snapshot is one."""
    other = make_repo(repo.path.parent / "other")
    _untidy(repo, other)
    if module_dirty:
        repo.write("module/README", "changed")
    found: list[tuple[Snapshot, set[Oid | None]]] = []
    for few in (1_000, 0):
        monkeypatch.setattr("gitflowrun.git.snapshot.SNAPSHOT_FEW_CHANGES", few)
        snapshot = take_snapshot(Repository.discover(repo.path))
        found.append((snapshot, {item.oid for item in snapshot.objects}))
    (one, of_one), (all_, of_all) = found
    assert (one.tree, one.left_out, of_one) == (all_.tree, all_.left_out, of_all)
    assert sorted(one.dirty) == sorted(all_.dirty)
    assert set(one.dirty) == {
        "a.up", "crlf", "dir", "dir/in/x", "dir/y", "file", "file/in/side", "gone", "link", "mixed",
        "module", "new.up", "rm", "staged/again", "staged/gone", "sub.x/.gitattributes", "x",
    }  # fmt: skip
    assert [it.path for it in one.left_out] == ["module"] * module_dirty + ["server.pem"]


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_hidden_file_beside_a_changed_one(repo: GitRepo, flag: str) -> None:
    """A file that the index says not to look at is taken as it is, whatever else has changed.

    Attributes that were deleted count only where the checkout is sparse.
    """
    repo.write("hidden", "1\n")
    repo.write(".gitattributes", "*.t text\n")
    repo.commit()
    repo.git("update-index", flag, "hidden", ".gitattributes")
    repo.write("hidden", "2\n")
    (repo.path / ".gitattributes").unlink()
    repo.write("a.t", "1\r\n")
    repository = Repository.discover(repo.path)
    snapshot = take_snapshot(repository)
    assert set(snapshot.dirty) >= {"hidden", "a.t"}
    content = b"1\n" if flag == "--skip-worktree" else b"1\r\n"
    assert content in {bytes(it.data) for it in snapshot.objects}
