"""Refs are read as git reads them, one by one, in lists, and many at once."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.git import refs as refs_module
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import loose_names, packed_stamp, packed_with
from gitflowrun.git.repository import Repository
from tests.helpers.refs import NAME, create_ref
from tests.helpers.repos import GitRepo


def test_rows_keep_newlines_and_odd_bytes(repo: GitRepo, repository: Repository) -> None:
    """Fields may hold anything but NUL; sort and count are git's."""
    message = "subject é\n\nbody\n\n  more\nStatus: done\n"
    for name in ("9", "10", "caf\udce9"):
        repo.git("commit", "-q", "--allow-empty", "-F", "-", stdin=message.encode())
        repo.git("update-ref", f"refs/runs/F/{name}", "HEAD")
    rows = repository.refs.rows(
        "refs/runs/", fields=("refname", "contents", "objecttype"), sort="-version:refname", count=2
    )
    assert rows == [
        ("refs/runs/F/caf\udce9", message, "commit"), ("refs/runs/F/10", message, "commit")
    ]  # fmt: skip
    assert repository.refs.rows("refs/nothing/") == []


ODD = {
    "loose": "true",
    "packed": "git pack-refs --all",
    "both": "git pack-refs --all; git update-ref refs/runs/F/2 HEAD~; git update-ref refs/runs/F/9-abcdef0 HEAD",
    "many loose": "for n in $(seq 10 99); do git update-ref refs/runs/F/$n$n HEAD; done",
    "symbolic": "git pack-refs --all; git symbolic-ref refs/runs/F/7 refs/runs/F/1",
    "damaged": "git pack-refs --all; echo rubbish >.git/refs/runs/F/1",
    "no object": f"git pack-refs --all; echo {'0' * 40} >.git/refs/runs/F/1",
    "empty": "git pack-refs --all; : >.git/refs/runs/F/8",
    "odd names": "git update-ref refs/runs/F/a.b HEAD; git update-ref refs/runs/é/ü HEAD; git pack-refs --all",
    "bad name": "git pack-refs --all; git rev-parse HEAD >.git/refs/runs/F/x..y",
    "lock": "touch .git/refs/runs/F/1.lock",
    "linked": "git pack-refs --all; mkdir -p .git/refs/runs; ln -s ../heads .git/refs/runs/L",
    "annotated": "git tag -am x t; git update-ref refs/runs/F/5 t; git pack-refs --all",
    "neighbours": "git update-ref refs/runs-remotes/F/1 HEAD; git update-ref refs/run/F/1 HEAD; git pack-refs --all",
    "not sorted": "git pack-refs --all; sed -i 's/ sorted//' .git/packed-refs",
    "cut short": "git pack-refs --all; truncate -s -5 .git/packed-refs",
    "without": "rm -rf .git/refs/runs",
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.sample(8)
def test_refs_below_a_prefix_are_those_that_git_lists(
    repo: GitRepo, repository: Repository, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are stored, and whatever is wrong with them: packed ones without git, where all is as usual."""
    repo.git("commit", "-q", "--allow-empty", "-m", "one more")
    for name in ("F/1", "F/2", "Other/3", "@tags/F/x/1"):
        repo.git("update-ref", f"refs/runs/{name}", "HEAD")
    monkeypatch.setattr("gitflowrun.git.refs.FEW_LOOSE", 20)
    script = ODD[kind].replace("--all;", "--all; mkdir -p .git/refs/runs/F;")
    subprocess.run(script, cwd=repo.path, shell=True, check=True, stderr=subprocess.DEVNULL)
    try:
        listed = {row[0]: row[1] for row in repository.refs.rows("refs/runs/")}
    except RepositoryError as error:
        with pytest.raises(RepositoryError, match=re.escape(error.message)):
            repository.refs.below("refs/runs/")
        return
    assert repository.refs.below("refs/runs/") == listed
    if kind in {"loose", "packed", "both", "lock", "neighbours", "without"}:
        monkeypatch.setattr(type(repository.refs), "rows", None)
        assert repository.refs.below("refs/runs/") == listed


def test_symbolic_and_damaged_refs(repo: GitRepo, repository: Repository) -> None:
    """Symbolic refs are followed, circles and empty files are errors that name the ref."""
    head = repo.git("rev-parse", "HEAD")
    assert str(repository.refs.get("HEAD")) == head
    repo.git("symbolic-ref", "refs/runs/a", "refs/runs/b")
    repo.git("symbolic-ref", "refs/runs/b", "refs/runs/a")
    with pytest.raises(RepositoryError, match="leads nowhere"):
        repository.refs.get("refs/runs/a")
    repo.write(".git/refs/runs/c", "")
    with pytest.raises(RepositoryError, match="refs/runs/c is damaged"):
        repository.refs.get("refs/runs/c")


def test_a_missing_object_hides_only_its_own_ref(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """A ref whose object is gone is left out of a listing that needs it; the others keep their order."""
    for number, oid in enumerate(commits, 1):
        create_ref(repository.refs, f"refs/runs/F/{number}", oid)
    repo.write(".git/refs/runs/F/10", "1" * 40 + "\n")
    rows = repository.refs.rows("refs/runs/", fields=("subject",), sort="-version:refname")
    assert rows == [("commit 2",), ("commit 1",), ("commit 0",)]
    assert len(repository.refs.rows("refs/runs/")) == 4


def test_a_git_that_dies_of_a_missing_object(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git 2.55 does where it is asked for what objects hold: all other refs are listed."""
    create_ref(repository.refs, "refs/runs/F/1", commits[0])
    repo.write(".git/refs/runs/F/2", "1" * 40 + "\n")
    read = Git.read

    def dies(self: Git, *words: str, **options: Any) -> Completed:
        done = read(self, *words, **options)
        return Completed(-6, b"", "free(): double free detected in tcache 2") if done.code else done

    monkeypatch.setattr(Git, "read", dies)
    rows = repository.refs.rows("refs/runs/", fields=("refname", "contents"))
    assert [row[0] for row in rows] == ["refs/runs/F/1"]
    assert repository.refs.damaged == {"refs/runs/F/2"}


def test_an_empty_loose_ref_does_not_show_an_older_value(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """What a power cut leaves of a ref is damage, not a reason to go back to its packed value."""
    create_ref(repository.refs, NAME, commits[0])
    repo.git("pack-refs", "--all", "--prune")
    repo.write(f".git/{NAME}", "")
    with pytest.raises(RepositoryError, match="damaged"):
        repository.refs.get(NAME)


def test_many_are_read_at_once(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Loose, packed, repacked, symbolic and absent refs are read together as they are one by one."""
    names = [f"refs/runs/F/{number}" for number in range(1, 5)]
    for name in names[:3]:
        repo.git("update-ref", name, str(commits[0]))
    repo.git("pack-refs", "--all")
    repo.git("update-ref", names[1], str(commits[1]))
    repo.git("symbolic-ref", "refs/runs/F/link", names[1])
    asked = [*names, "refs/runs/F/link", "refs/runs"]
    found = repository.refs.many(asked)
    assert found == {name: repository.refs.get(name) for name in asked}
    assert [found[name] for name in asked] == [
        commits[0],
        commits[1],
        commits[0],
        None,
        commits[1],
        None,
    ]
    (repo.path / ".git" / names[3]).write_bytes(b"")
    with pytest.raises(RepositoryError, match="is damaged"):
        repository.refs.many(asked)


def test_linked_worktrees_share_refs(
    repo: GitRepo, repository: Repository, commits: list[Oid], tmp_path: Path
) -> None:
    """A linked worktree sees, and does not overwrite, a loose ref of the main one."""
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = Repository.discover(tmp_path / "linked")
    create_ref(repository.refs, NAME, commits[0])
    assert linked.refs.get(NAME) == commits[0]
    with pytest.raises(RefConflict):
        create_ref(linked.refs, NAME, commits[1])
    create_ref(linked.refs, "refs/runs/F/2", commits[1])
    assert repository.refs.get("refs/runs/F/2") == commits[1]


def test_what_tells_that_packed_refs_changed(repo: GitRepo) -> None:
    """Another file, another size or another time; without one there is no stamp."""
    top = repo.path / ".git"
    assert packed_stamp(top) == "none"
    path = top / "packed-refs"
    stamps = set()
    for text, second in (("a", 1), ("ab", 1), ("ab", 2)):
        path.write_text(text)
        os.utime(path, (second, second))
        stamps.add(packed_stamp(top))
    (top / "other").write_text("ab")
    os.utime(top / "other", (2, 2))
    (top / "other").rename(path)
    assert len(stamps | {packed_stamp(top)}) == 4


def test_a_place_that_can_not_be_listed_or_read_is_told(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names stand for it, so that whoever reads them finds out why."""
    create_ref(repository.refs, NAME, commits[0])
    (repo.path / ".git" / f"{NAME}.lock").touch()
    assert [*loose_names(repository.common_dir, "refs/runs/")] == [NAME]
    assert [*loose_names(repository.common_dir, "refs/nothing/")] == []

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        assert [*loose_names(repository.common_dir, "refs/runs/")] == ["refs/runs"]
    path = repo.path / ".git" / NAME
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(RepositoryError, match=f"can't read .*{NAME}: Too many levels"):
        repository.refs.get(NAME)


def test_listings_that_would_be_too_large_leave_out_what_is(
    repo: GitRepo, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs whose commits are as large as none is are damaged; the others are listed."""
    for number, size in ((1, 10), (2, 9_000), (3, 10)):
        repo.git("commit", "-q", "--allow-empty", "-F", "-", stdin=b"x" * size)
        repo.git("update-ref", f"refs/runs/F/{number}", "HEAD")
    monkeypatch.setattr(refs_module, "LISTED", 5_000)
    monkeypatch.setattr(refs_module, "LISTED_SHARE", 0)
    monkeypatch.setattr(refs_module, "LISTED_COMMIT", 4_000)
    rows = repository.refs.rows("refs/runs/", fields=("refname", "contents"))
    assert rows == [(f"refs/runs/F/{number}", "x" * 10 + "\n") for number in (1, 3)]
    assert repository.refs.damaged == {"refs/runs/F/2"}
    monkeypatch.setattr(refs_module, "LISTED", 300)
    assert repository.refs.rows("refs/runs/", fields=("refname", "contents")) == rows[:1]
    with pytest.raises(RepositoryError, match="git for-each-ref: "):
        repository.refs.rows("refs/runs/", fields=("nonsense",))
    with pytest.raises(RepositoryError, match="git for-each-ref: "):
        repository.refs.rows("refs/runs/", sort="nonsense")


def test_the_next_version_of_packed_refs() -> None:
    """Sorted, with what tags lead to behind them; none where a name is taken, or in the way, or the file is odd."""
    head, one = b"# pack-refs with: peeled fully-peeled sorted \n", b"1" * 40
    table = head + one + b" refs/b\n^" + b"2" * 40 + b"\n" + one + b" refs/d/e\n"
    new = Oid(b"\3" * 20)
    line = str(new).encode()
    assert packed_with(b"", {b"refs/a": new}) == head + line + b" refs/a\n"
    assert packed_with(table, {b"refs/c": new, b"refs/a": new}) == (
        head
        + line
        + b" refs/a\n"
        + one
        + b" refs/b\n^"
        + b"2" * 40
        + b"\n"
        + line
        + b" refs/c\n"
        + one
        + b" refs/d/e\n"
    )
    for name in (b"refs/b", b"refs/b/x", b"refs/d", b"refs/d/e/f"):
        assert packed_with(table, {name: new}) is None
    for odd in (table[:-1], table.replace(b" sorted", b""), table.replace(b" fully-peeled", b"")):
        assert packed_with(odd, {b"refs/a": new}) is None


def test_what_git_passes_over_is_an_error_for_who_asks_for_every_ref(
    repo: GitRepo, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref without an id, one that can't be read, a directory that can't be listed; but no link that leads nowhere."""
    repo.git("update-ref", "refs/heads/more/other", "HEAD")
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
    (repo.path / ".git/refs/heads/.DS_Store").write_bytes(b"of another program")
    listed = {row[0]: row[1] for row in repository.refs.rows("refs/")}
    assert repository.refs.every() == listed
    bad = repo.path / ".git/refs/heads/bad"
    bad.touch()
    with pytest.raises(RepositoryError, match="heads/bad is damaged"):
        repository.refs.every()
    bad.unlink()
    bad.symlink_to("bad")
    with pytest.raises(RepositoryError, match=r"can't read .*heads/bad: Too many levels"):
        repository.refs.every()
    bad.unlink()
    scandir = os.scandir

    def refused(place: Path) -> object:
        if str(place).endswith("more"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(RepositoryError, match=r"can't read .*heads/more"):
        repository.refs.every()
