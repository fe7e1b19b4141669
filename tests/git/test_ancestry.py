"""Where commits stand in the history."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.errors import NotFound, RepositoryError
from gitflowrun.git.ancestry import (
    AheadBehind,
    ahead_behind,
    commit_of,
    descendants,
    reachable,
)
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository whose main has three commits, and a branch `side` from the first with two of its own."""
    made = make_repo(tmp_path / "r")
    made.git("commit", "-q", "--allow-empty", "-m", "1")
    made.git("branch", "side")
    made.git("commit", "-q", "--allow-empty", "-m", "2")
    made.git("tag", "v1")
    made.git("commit", "-q", "--allow-empty", "-m", "3")
    made.git("checkout", "-q", "side")
    for number in range(2):
        made.git("commit", "-q", "--allow-empty", "-m", f"side {number}")
    return made


def _oid(repo: GitRepo, revision: str) -> Oid:
    return Oid.from_hex(repo.git("rev-parse", revision).strip())


def test_what_is_in_a_history(repo: GitRepo) -> None:
    """Commits of the history of a tip, itself included; what is elsewhere or nowhere is not."""
    opened = Repository.discover(repo.path)
    names = ["main", "main~1", "main~2", "side", "side~1"]
    oids = {name: _oid(repo, name) for name in names}
    found = reachable(opened, {*oids.values(), Oid(b"\7" * 20)}, _oid(repo, "side"))
    assert {name for name, oid in oids.items() if oid in found} == {"side", "side~1", "main~2"}
    assert reachable(opened, set(), _oid(repo, "side")) == set()


def test_what_came_after(repo: GitRepo) -> None:
    """Commits that have another one in their history, that one included; what is nowhere came after nothing."""
    opened = Repository.discover(repo.path)
    oids = {name: _oid(repo, name) for name in ("main", "main~1", "main~2", "side")}
    found = descendants(opened, {*oids.values(), Oid(b"\7" * 20)}, _oid(repo, "v1"))
    assert {name for name, oid in oids.items() if oid in found} == {"main", "main~1"}


def test_a_replaced_commit_is_the_one_that_was_made(repo: GitRepo) -> None:
    """`git replace` changes what people see of the history, not what a run's code came from."""
    old, new = _oid(repo, "main~2"), _oid(repo, "main")
    repo.git("replace", "--graft", str(new))
    opened = Repository.discover(repo.path)
    assert reachable(opened, {old}, new) == {old}
    assert descendants(opened, {new}, old) == {new}
    assert ahead_behind(opened, new, old) == AheadBehind(2, 0)


def test_a_history_that_was_cut(repo: GitRepo, tmp_path: Path) -> None:
    """In a shallow clone the history ends where it was cut."""
    repo.git("clone", "-q", "--depth=2", f"file://{repo.path}", str(tmp_path / "cut"))
    opened = Repository.discover(tmp_path / "cut")
    commits = [_oid(repo, name) for name in ("side", "side~1", "side~2")]
    assert reachable(opened, set(commits), commits[0]) == set(commits[:2])
    assert ahead_behind(opened, commits[0], commits[1]) == AheadBehind(1, 0)


def test_a_history_in_which_a_commit_is_missing(repo: GitRepo) -> None:
    """Git is to bring it, and says which one it is."""
    tip, gone, base = (_oid(repo, name) for name in ("main", "main~1", "main~2"))
    (repo.path / ".git/objects" / str(gone)[:2] / str(gone)[2:]).unlink()
    opened = Repository.discover(repo.path)
    for ask in (
        lambda: reachable(opened, {base}, tip),
        lambda: descendants(opened, {tip}, base),
        lambda: ahead_behind(opened, tip, base),
    ):
        with pytest.raises(RepositoryError, match=f"git rev-list: .*{gone}"):
            ask()


def test_ahead_and_behind(repo: GitRepo) -> None:
    """As `git rev-list --left-right --count` counts them."""
    opened = Repository.discover(repo.path)
    counted = ahead_behind(opened, _oid(repo, "main"), _oid(repo, "side"))
    assert counted == AheadBehind(2, 2)
    assert repo.git("rev-list", "--left-right", "--count", "main...side").split() == ["2", "2"]


@pytest.mark.parametrize("revision", ["nothing", "--all", "", "v1^{tree}", "main:nothing"])
def test_what_names_no_commit(repo: GitRepo, revision: str) -> None:
    """Options, trees and unknown names are refused with a hint."""
    with pytest.raises(NotFound, match="names no commit"):
        commit_of(Repository.discover(repo.path), revision)


def test_tags_branches_and_ids_name_commits(repo: GitRepo) -> None:
    """A tag stands for its commit."""
    assert commit_of(Repository.discover(repo.path), "v1") == _oid(repo, "main~1")
