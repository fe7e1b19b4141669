"""Snapshots in repositories of every kind: young, bare, sparse, partial, in the middle of a merge."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.git.status import Unstable, WorkTreeStatus, read_status
from tests.helpers.repos import GitRepo, make_repo

if TYPE_CHECKING:
    from pathlib import Path


from tests.helpers.shots import Shot, shoot


def test_unborn_head(tmp_path: Path) -> None:
    """Before the first commit everything is dirty, and HEAD has no commit but a branch."""
    repo = GitRepo(tmp_path / "new")
    repo.path.mkdir()
    repo.git("init", "-q")
    empty = shoot(repo)
    assert (empty.snapshot.head, empty.snapshot.branch, empty.files) == (None, "main", {})
    assert len(empty.snapshot.objects) == 1
    repo.write("staged", "1")
    repo.git("add", "staged")
    repo.write("d/other", "2")
    shot = shoot(repo)
    assert shot.files == {b"staged": b"1", b"d/other": b"2"}
    assert shot.snapshot.dirty == ("d/other", "staged")


def test_detached_head(repo: GitRepo) -> None:
    """A detached HEAD has a commit and no branch."""
    repo.git("checkout", "-q", "--detach")
    shot = shoot(repo).snapshot
    assert (str(shot.head), shot.branch) == (repo.git("rev-parse", "HEAD"), None)


def test_merge_with_conflicts(repo: GitRepo) -> None:
    """In a stopped merge the tree holds what lies in the work tree, conflict markers included."""
    for name in ("text", "gone", "left"):
        repo.write(name, "base\n")
    base = repo.commit()
    for side in ("ours", "theirs"):
        repo.git("checkout", "-q", "-B", side, base)
        for name in ("text", "gone"):
            repo.write(name, side + "\n")
        if side == "ours":
            repo.git("rm", "-q", "left")
        else:
            repo.write("left", "theirs\n")
        repo.commit()
    repo.git("merge", "ours", check=False)
    assert "UU text" in repo.git("status", "--short")
    (repo.path / "gone").unlink()
    shot = shoot(repo)
    assert b"<<<<<<<" in shot.files[b"text"]
    assert b"gone" not in shot.files
    assert shot.files[b"left"] == b"theirs\n"


def test_sparse_checkout_keeps_what_is_not_checked_out(repo: GitRepo) -> None:
    """Files outside the sparse cone are part of the tree, with a full and with a sparse index."""
    repo.write("in/a", "1")
    repo.write("out/b", "1")
    repo.commit()
    for option in ("--no-sparse-index", "--sparse-index"):
        repo.git("sparse-checkout", "set", "--cone", option, "in")
        assert not (repo.path / "out").exists()
        repo.write("in/a", "2")
        shot = shoot(repo)
        assert shot.files == {b"README": b"a project\n", b"in/a": b"2", b"out/b": b"1"}
        assert shot.snapshot.dirty == ("in/a",)


def test_split_index(repo: GitRepo) -> None:
    """A split index is read, and stays as it is."""
    repo.git("update-index", "--split-index")
    repo.write("new", "1")
    repo.git("add", "new")
    repo.write("README", "2")
    assert shoot(repo).files == {b"README": b"2", b"new": b"1"}


def test_intent_to_add(repo: GitRepo) -> None:
    """A file announced with `git add -N` is taken with its content."""
    repo.write("planned", "1")
    repo.git("add", "-N", "planned")
    shot = shoot(repo)
    assert shot.files[b"planned"] == b"1"
    assert shot.snapshot.dirty == ("planned",)


@pytest.mark.parametrize("written", [False, True])
def test_edits_that_git_was_told_to_ignore(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Edits of assume-unchanged and skip-worktree files are what runs, so they are taken; a sparse checkout is none.

    Also where somebody writes a file at that moment, and all are taken without git's looking at them.
    """
    for name in ("assumed", "skipped", "absent", "both", "quiet", "log", "gone", "sub/gone"):
        repo.write(name, "1")
    repo.commit()
    repo.git("update-index", "--assume-unchanged", "assumed", "quiet", "gone", "sub/gone", "both")
    repo.git("update-index", "--skip-worktree", "skipped", "absent", "both")
    repo.write("assumed", "2")
    repo.write("skipped", "2")
    repo.write("log", "2")
    for name in ("absent", "both", "gone", "sub/gone"):
        (repo.path / name).unlink()
    (repo.path / "sub").rmdir()
    repo.write("sub", "a file now")
    seen: list[str] = []

    def status(*args: Any) -> WorkTreeStatus:
        seen.append("")
        if written and len(seen) == 1:
            raise Unstable("git status: short read")
        return read_status(*args)

    monkeypatch.setattr("gitflowrun.git.snapshot.read_status", status)
    shot = shoot(repo)
    assert {shot.files[name] for name in (b"assumed", b"skipped", b"log")} == {b"2"}
    assert {shot.files[name] for name in (b"absent", b"both", b"quiet")} == {b"1"}
    assert shot.snapshot.dirty == ("assumed", "gone", "log", "skipped", "sub", "sub/gone")
    assert not {b"gone", b"sub/gone"} & shot.files.keys()
    assert shot.reasons() == {}


def test_a_deletion_alone_that_git_was_told_to_ignore(repo: GitRepo) -> None:
    """It is seen also where nothing else has changed."""
    repo.write("dir/a", "1")
    repo.write("dir/b", "1")
    repo.commit()
    repo.git("update-index", "--assume-unchanged", "dir/a", "dir/b")
    (repo.path / "dir/a").unlink()
    shot = shoot(repo)
    assert shot.snapshot.dirty == ("dir/a",)
    assert shot.files.keys() == {b"README", b"dir/b"}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_few_edits_that_git_was_told_to_ignore(repo: GitRepo, option: str, count: int) -> None:
    """One is seen as well as many, whatever else there is."""
    names = ("a", "b", "c")
    for name in names:
        repo.write(name, "1")
    repo.commit()
    repo.git("update-index", option, *names[:count])
    for name in names[:count]:
        repo.write(name, "2")
    shot = shoot(repo)
    assert shot.snapshot.dirty == names[:count]
    assert {shot.files[name.encode()] for name in names[:count]} == {b"2"}


def test_submodules(repo: GitRepo, tmp_path: Path) -> None:
    """A submodule is the commit it is at; its uncommitted changes are reported."""
    other = make_repo(tmp_path / "other")
    repo.git("submodule", "--quiet", "add", str(other.path), "sub")
    repo.commit()
    inner = GitRepo(repo.path / "sub")
    inner.write("more", "1")
    moved = inner.commit()
    inner.write("README", "dirty")
    repo.git("config", "diff.ignoreSubmodules", "all")
    repo.git("config", "submodule.sub.ignore", "all")
    shot = shoot(repo)
    assert shot.files[b"sub"].decode() == moved
    assert shot.snapshot.dirty == ("sub",)
    assert shot.reasons() == {"sub": "the submodule has uncommitted changes"}


def test_broken_submodule_is_no_failure(repo: GitRepo, tmp_path: Path) -> None:
    """A submodule that git can't enter is reported; the rest is taken."""
    other = make_repo(tmp_path / "other")
    repo.git("submodule", "--quiet", "add", str(other.path), "sub")
    repo.commit()
    GitRepo(repo.path / "sub").commit("moved")
    repo.git("add", "sub")
    (repo.path / "sub" / ".git").write_text("gitdir: /nonexistent\n")
    repo.write("new", "1")
    before = shoot_without_checks(repo)
    assert before.files[b"new"] == b"1"
    assert before.snapshot.dirty == ("new", "sub")
    assert "submodules can't be read" in before.reasons()[".gitmodules"]


def test_a_broken_submodule_beside_a_broken_filter(repo: GitRepo, tmp_path: Path) -> None:
    """Each is told, and neither keeps the other from being passed over."""
    other = make_repo(tmp_path / "other")
    repo.git("submodule", "--quiet", "add", str(other.path), "sub")
    repo.write(".gitattributes", "*.big filter=big\n")
    repo.write("a.big", "1")
    repo.commit()
    repo.git("config", "filter.big.required", "true")
    repo.git("config", "filter.big.clean", "no-such-program")
    (repo.path / "sub" / ".git").write_text("gitdir: /nonexistent\n")
    repo.write("a.big", "2")
    repo.write("new", "1")
    shot = shoot_without_checks(repo)
    assert (shot.files[b"new"], shot.files[b"a.big"]) == (b"1", b"1")
    assert {*shot.reasons()} == {".gitmodules", "a.big"}


def shoot_without_checks(repo: GitRepo) -> Shot:
    """`shoot` for a repository that git itself has trouble with."""
    repository = Repository.discover(repo.path)
    snapshot = take_snapshot(repository)
    repository.packs.write(snapshot.objects)
    names = repository.git.run("ls-tree", "-r", "-z", "--name-only", str(snapshot.tree)).split(
        b"\0"
    )[:-1]
    blobs = [name for name in names if name != b"sub"]
    read = {
        name: repository.git.run("show", b"%s:%s" % (str(snapshot.tree).encode(), name))
        for name in blobs
    }
    return Shot(snapshot, read, {})


def test_embedded_repositories_are_reported(repo: GitRepo) -> None:
    """A repository inside the work tree that is no submodule stays out."""
    make_repo(repo.path / "inner")
    shot = shoot(repo)
    assert shot.files == {b"README": b"a project\n"}
    assert shot.reasons() == {"inner/": "a git repository of its own"}


def test_linked_worktree(repo: GitRepo, tmp_path: Path) -> None:
    """A linked worktree has its own index and HEAD."""
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = GitRepo(tmp_path / "linked")
    linked.write("new", "1")
    shot = shoot(linked)
    assert shot.files == {b"README": b"a project\n", b"new": b"1"}
    assert shot.snapshot.branch == "side"


def test_bare_repository(tmp_path: Path) -> None:
    """Without a work tree the tree is empty."""
    path = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    snapshot = take_snapshot(Repository.discover(path))
    assert str(snapshot.tree) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert len(snapshot.objects) == 1


def test_partial_and_sparse_clone(repo: GitRepo, tmp_path: Path) -> None:
    """Blobs that a partial clone has never fetched are part of the tree, and are not fetched for it."""
    repo.write("in/a", "1")
    repo.write("out/b", "never fetched")
    repo.commit()
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = GitRepo(tmp_path / "clone")
    url = f"file://{repo.path}"
    command = ["git", "clone", "-q", "--filter=blob:none", "--sparse", url, str(clone.path)]
    subprocess.run(command, check=True)
    clone.git("sparse-checkout", "set", "in")
    clone.write("in/a", "2")
    snapshot = take_snapshot(Repository.discover(clone.path))
    assert snapshot.dirty == ("in/a",)
    assert [bytes(item.data) for item in snapshot.objects].count(b"never fetched") == 0
    missing = clone.git("rev-list", "--objects", "--missing=print", "HEAD")
    assert "?" in missing


def test_what_only_looks_like_a_git_directory(repo: GitRepo) -> None:
    """Directories called as git's are a project's own: without a HEAD beside them, or with one that is tracked."""
    repo.write("data/HEAD", "1")
    repo.commit()
    for name in ("data/objects/x", "data/refs/x", "site/objects/x", "site/refs/x", "site/page"):
        repo.write(name, "1")
    repo.write("data/HEAD", "2")
    shot = shoot(repo)
    assert shot.snapshot.left_out == ()
    assert (shot.files[b"data/HEAD"], len(shot.files)) == (b"2", 7)


def test_a_git_directory_of_another_name(tmp_path: Path) -> None:
    """Where the git directory lies in the work tree, nothing of it is in the snapshot."""
    repo = GitRepo(tmp_path / "work")
    repo.path.mkdir()
    (repo.path / "sub").mkdir()
    repo.git("init", "-q", "--separate-git-dir=sub/store", ".")
    repo.write("file", "1")
    repo.commit()
    assert take_snapshot(Repository.discover(repo.path)).dirty == ()
    repo.write("sub/storehouse", "2")
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert (snapshot.dirty, snapshot.left_out) == (("sub/storehouse",), ())


def test_a_git_directory_behind_a_link(tmp_path: Path) -> None:
    """`.git` may be a link to a directory of the work tree."""
    repo = make_repo(tmp_path / "work")
    (repo.path / ".git").rename(repo.path / "store")
    (repo.path / ".git").symlink_to("store")
    assert take_snapshot(Repository.discover(repo.path)).dirty == ()


def test_a_bare_repository_in_the_work_tree(repo: GitRepo) -> None:
    """Git takes its files for ordinary ones; they are another repository's, with its config and its objects."""
    repo.git("init", "-q", "--bare", "deep/other.git")
    repo.write("deep/new", "1")
    shot = shoot(repo)
    assert set(shot.files) == {b"README", b"deep/new"}
    assert shot.reasons() == {"deep/other.git/": "a git repository of its own"}
