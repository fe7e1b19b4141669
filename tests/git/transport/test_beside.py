"""Where refs lead to what is lost, git fetches beside them, with all else that it is told of the repository."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport.beside import walkable
from gitflowrun.git.transport.remote import Remote
from tests.git.transport.wire import remote
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo

LOST = "1" * 40


@pytest.fixture
def hub(tmp_path: Path) -> GitRepo:
    """A repository with three commits."""
    found = GitRepo(tmp_path / "hub")
    GitRepo(tmp_path).git("init", "-q", "hub")
    for number in range(3):
        found.write("f.txt", f"{number}\n" * 100)
        found.write(f"{number}.bin", bytes([number]) * 1000)
        found.commit(f"{number}")
    return found


def lose(repo: GitRepo, name: str = "refs/runs/F/1") -> None:
    """Have a ref lead to a commit that is not here."""
    path = repo.path / ".git" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{LOST}\n")


def clone(hub: GitRepo, name: str, *options: str) -> GitRepo:
    """A clone of the first two commits, beside the hub, by a relative path."""
    place = hub.path.parent / name
    GitRepo(hub.path.parent).git("clone", "-q", *options, f"file://{hub.path}", str(place))
    found = GitRepo(place)
    found.git("remote", "set-url", "origin", "../hub")
    hub.write("f.txt", "newest\n")
    hub.commit("newest")
    return found


def fetched(repo: GitRepo, hub: GitRepo) -> list[str]:
    """Fetch the newest commit of the hub; the ids of what came."""
    repository = Repository.discover(repo.path)
    before = {*objects_dir(repo).glob("pack/*.idx")}
    place = Remote(repository, "origin")
    repository.packs.release(place.fetch([hub.git("rev-parse", "main")]))
    new = {*objects_dir(repo).glob("pack/*.idx")} - before
    assert repo.git("cat-file", "-t", hub.git("rev-parse", "main")) == "commit"
    return [
        it for index in new for it in repo.git("show-index", stdin=index.read_bytes()).split("\n")
    ]


@pytest.mark.parametrize(
    "name", ["plain", 'with "quotes" and\nlines', "back\\slash", "#;=", "ünder"]
)
def test_a_fetch_beside_a_ref_that_leads_nowhere(hub: GitRepo, name: str) -> None:
    """Only what is new comes, whatever the repository is called; git itself fetches nothing there."""
    repo = clone(hub, name)
    lose(repo)
    with pytest.raises(AssertionError, match="refs/runs/F/1"):
        repo.git("fetch", "-q")
    assert len(fetched(repo, hub)) == 3  # commit, tree, file
    assert (repo.path / ".git/refs/runs/F/1").read_text() == f"{LOST}\n"
    assert not [*repo.path.rglob("beside.git")]


def test_config_that_is_included_from_elsewhere(hub: GitRepo) -> None:
    """By a path that is relative to the config of the repository."""
    repo = clone(hub, "clone")
    lose(repo)
    repo.write("team.config", '[remote "origin"]\n\turl = ../hub\n')
    repo.git("config", "include.path", "../team.config")
    repo.git("config", "--unset", "remote.origin.url")
    fetched(repo, hub)


def test_a_linked_work_tree_with_config_of_its_own(hub: GitRepo) -> None:
    """Which counts there."""
    repo = clone(hub, "clone")
    repo.git("worktree", "add", "-q", "../linked")
    linked = GitRepo(hub.path.parent / "linked")
    repo.git("config", "extensions.worktreeConfig", "true")
    linked.git("config", "--worktree", "remote.mine.url", "../hub")
    lose(repo)
    repository = Repository.discover(linked.path)
    place = Remote(repository, "mine")
    repository.packs.release(place.fetch([hub.git("rev-parse", "main")]))
    assert repo.git("cat-file", "-t", hub.git("rev-parse", "main")) == "commit"


def test_a_relative_path_from_a_bare_repository(hub: GitRepo) -> None:
    """It is relative to that one, as ever."""
    repo = clone(hub, "clone.git", "--bare")
    path = repo.path / "refs/runs/F/1"
    path.parent.mkdir(parents=True)
    path.write_text(f"{LOST}\n")
    repository = Repository.discover(repo.path)
    place = Remote(repository, "origin")
    repository.packs.release(place.fetch([hub.git("rev-parse", "main")]))
    assert repo.git("cat-file", "-t", hub.git("rev-parse", "main")) == "commit"


def test_config_that_is_included_for_a_branch(hub: GitRepo) -> None:
    """The one that is checked out; the config of a work tree counts where git is told so, and only there."""
    repo = clone(hub, "clone")
    lose(repo)
    repo.git("remote", "set-url", "origin", "hub:x")
    repo.write("branch.config", '[url "../hub"]\n\tinsteadOf = hub:x\n')
    repo.git("config", "includeIf.onbranch:main.path", "../branch.config")
    (repo.path / ".git/config.worktree").write_text('[url "/nowhere"]\n\tinsteadOf = ../hub\n')
    fetched(repo, hub)


@pytest.mark.parametrize("option", ["--depth=1", "--filter=blob:none", "--filter=tree:0", "--bare"])
def test_kinds_of_clones(hub: GitRepo, option: str) -> None:
    """What was left out of them is no damage."""
    hub.git("config", "uploadpack.allowFilter", "true")
    repo = clone(hub, "clone", option)
    git_dir = repo.path if option == "--bare" else repo.path / ".git"
    repo.git("remote", "set-url", "origin", f"file://{hub.path}")
    path = git_dir / "refs/runs/F/1"
    path.parent.mkdir(parents=True)
    path.write_text(f"{LOST}\n")
    shallow = repo.git("rev-parse", "--is-shallow-repository")
    repository = Repository.discover(repo.path)
    place = Remote(repository, "origin")
    repository.packs.release(place.fetch([hub.git("rev-parse", "main")]))
    assert repo.git("cat-file", "-t", hub.git("rev-parse", "main")) == "commit"
    assert repo.git("rev-parse", "--is-shallow-repository") == shallow


def test_refs_from_which_git_can_walk(hub: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those that have lost a commit, their own or one before it; fewer where very many have."""
    repository = Repository.discover(hub.path)
    assert walkable(repository) is None
    lost = hub.git("commit-tree", "-m", "first", "main^{tree}")
    later = hub.git("commit-tree", "-m", "later", "-p", lost, "main^{tree}")
    for number in range(40):
        hub.git("update-ref", f"refs/runs/F/{number}", later if number % 8 == 0 else "main")
    lose(hub, "refs/runs/F/50")
    (hub.path / ".git/refs/runs/F/51").write_text("")
    (hub.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    whole = {f"refs/runs/F/{number}" for number in range(40) if number % 8} | {"refs/heads/main"}
    found = walkable(Repository.discover(hub.path))
    assert found is not None
    assert {name for name, _ in found} == whole
    monkeypatch.setattr("gitflowrun.git.transport.beside.WALKS_BESIDE", 12)
    some = walkable(Repository.discover(hub.path))
    assert some is not None
    assert {name for name, _ in some} < whole


def test_a_network_that_fails_is_no_reason_to_look(
    hub: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no ref leads to what is lost, git is asked as often as ever."""
    repo = clone(hub, "clone")
    asked: list[Any] = []

    def converse(self: Git, *words: str, **_: Any) -> Completed:
        asked.append((self.git_dir, words))
        return Completed(128, b"", "fatal: remote did not send all necessary objects\n")

    monkeypatch.setattr(Git, "converse", converse)
    with pytest.raises(Exception, match="all necessary objects"):
        remote(repo).fetch([str(Oid(b"\1" * 20))])
    assert [git_dir.name for git_dir, _ in asked] == [".git", ".git"]


def test_a_full_disk_is_named(hub: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made beside may not fit."""
    repo = clone(hub, "clone")
    lose(repo)

    def fill(self: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    repository = Repository.discover(repo.path)
    repository.refs.rows("refs/runs/", fields=("refname", "contents"))
    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(RepositoryError, match="No space left on device"):
        Remote(repository, "origin").fetch([hub.git("rev-parse", "main")])
