"""Remotes are read, fetched from and pushed to with explicit refspecs, leases and hardened options."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import RepositoryError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport import Remote, default_remote, parse_push
from tests.helpers.repos import GitRepo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`."""
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    return GitRepo(path)


@pytest.fixture
def oids(repo: GitRepo) -> list[Oid]:
    """Three commits in a row."""
    return [Oid.from_hex(repo.commit(f"{number}")) for number in range(3)]


def remote(repo: GitRepo, name: str = "origin") -> Remote:
    """A remote of `repo`."""
    return Remote(Repository.discover(repo.path), name)


def test_push_creates_moves_and_deletes(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """Each change happens from the value that was expected."""
    origin = remote(repo)
    names = ["refs/runs/F/1", "refs/runs/F/2"]
    assert all(it.ok for it in origin.push([RefUpdate(name, oids[0], None) for name in names]))
    assert origin.refs("refs/runs/*") == dict.fromkeys(names, oids[0])
    changes = [RefUpdate(names[0], oids[2], oids[0]), RefUpdate(names[1], None, oids[0])]
    assert all(it.ok for it in origin.push(changes))
    assert origin.refs() == {names[0]: oids[2]}
    assert server.git("for-each-ref", "--format=%(refname)") == names[0]


def test_push_never_overwrites(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """A ref with another value than expected stays, also when the push would be a fast-forward."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/1")
    origin = remote(repo)
    newer = Oid.from_hex(repo.commit("newer"))
    for change in (
        RefUpdate("refs/runs/F/1", newer, None),
        RefUpdate("refs/runs/F/1", newer, oids[0]),
        RefUpdate("refs/runs/F/1", None, oids[0]),
        RefUpdate("refs/runs/F/2", newer, oids[0]),
    ):
        (result,) = origin.push([change])
        assert (result.ok, result.stale) == (False, True)
    assert origin.refs() == {"refs/runs/F/1": oids[2]}


def test_atomic_push(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """One stale ref keeps an atomic push from changing anything."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/2")
    changes = [RefUpdate(f"refs/runs/F/{number}", oids[0], None) for number in (1, 2, 3)]
    results = remote(repo).push(changes, atomic=True)
    assert [it.ok for it in results] == [False] * 3
    assert set(remote(repo).refs()) == {"refs/runs/F/2"}
    server.git("config", "receive.advertiseAtomic", "false")
    results = remote(repo).push([changes[0], changes[2]], atomic=True)
    assert [it.ok for it in results] == [True] * 2


def test_many_refs_go_in_batches(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """More refs than one push may have all arrive."""
    del server
    changes = [RefUpdate(f"refs/runs/F/{number}", oids[0], None) for number in range(1, 251)]
    origin = remote(repo)
    assert [it.name for it in origin.push(changes)] == [change.name for change in changes]
    assert len(origin.refs("refs/runs/*")) == 250


def test_fetch_updates_what_is_named_and_nothing_else(
    repo: GitRepo, server: GitRepo, oids: list[Oid]
) -> None:
    """No tracking branch, tag or FETCH_HEAD changes with a fetch of runs."""
    server.git(
        "fetch", "-q", str(repo.path), "main:main", "main:refs/runs/F/1", "main:refs/tags/v1"
    )
    before = repo.git("for-each-ref")
    remote(repo).fetch(["+refs/runs/F/1:refs/runs-remotes/origin/F/1"])
    after = set(repo.git("for-each-ref").splitlines()) - set(before.splitlines())
    assert after == {f"{oids[2]} commit\trefs/runs-remotes/origin/F/1"}
    assert not (repo.path / ".git" / "FETCH_HEAD").exists()
    with pytest.raises(RepositoryError, match="couldn't find remote ref refs/runs/F/9"):
        remote(repo).fetch(["refs/runs/F/9:refs/x"])


@pytest.mark.parametrize("name", ["", "-x", "--upload-pack=touch canary", "a\nb", "a\0b"])
def test_options_are_no_remotes(repo: GitRepo, name: str) -> None:
    """A name that git could take for an option never reaches it."""
    with pytest.raises(UsageError, match="can't be a remote"):
        remote(repo, name)
    assert not (repo.path / "canary").exists()


def test_remotes_that_run_commands_are_refused(repo: GitRepo) -> None:
    """`ext::` runs nothing, not even where the config allows it."""
    repo.git("config", "protocol.ext.allow", "always")
    with pytest.raises(RepositoryError, match="not allowed"):
        remote(repo, "ext::sh -c touch% canary").refs()
    assert not (repo.path / "canary").exists()


def test_unknown_remotes(repo: GitRepo, server: GitRepo) -> None:
    """A misspelt name brings the nearest one; a path that is no repository brings git's words."""
    del server
    with pytest.raises(RepositoryError, match="no remote 'orign'") as caught:
        remote(repo, "orign")
    assert caught.value.hint == "did you mean 'origin'?"
    with pytest.raises(RepositoryError, match="does not appear to be a git repository"):
        remote(repo, "./nothing").refs()


def test_labels_are_parts_of_refs(repo: GitRepo) -> None:
    """Remotes with slashes keep them; odd names and URLs get a label that a ref can hold."""
    repo.git("config", "remote.team/fork.url", "x")
    repo.git("config", "remote.a b.url", "y")
    assert remote(repo, "team/fork").label == "team/fork"
    assert remote(repo, "a b").label == "a%20b"
    label = remote(repo, "https://example.org/x.git").label
    assert label.startswith("url-")
    assert label == remote(repo, "https://example.org/x.git").label


def test_default_remote(repo: GitRepo) -> None:
    """The remote is the one that git would use; without a choice the error says which there are."""

    def found(*, push: bool = False) -> str:
        return default_remote(Repository.discover(repo.path), push=push)

    with pytest.raises(RepositoryError, match="no remote"):
        found()
    repo.git("remote", "add", "only", "x")
    assert found() == "only"
    repo.git("remote", "add", "other", "x")
    with pytest.raises(RepositoryError, match="several") as caught:
        found()
    assert caught.value.hint == "name one of only, other"
    repo.git("remote", "add", "origin", "x")
    assert found() == "origin"
    repo.git("config", "branch.main.remote", "other")
    repo.git("config", "remote.pushDefault", "only")
    assert (found(), found(push=True)) == ("other", "only")
    repo.git("config", "branch.main.pushRemote", "origin")
    assert found(push=True) == "origin"


@given(st.binary())
def test_any_push_output_is_parsed(data: bytes) -> None:
    """Whatever a remote makes git print, parsing it ends with results."""
    for name, result in parse_push(data).items():
        assert result.name == name


def test_history(repo: GitRepo, oids: list[Oid]) -> None:
    """First parents lead to where a history began; what is no commit leads nowhere."""
    blob = Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"x"))
    repository = Repository.discover(repo.path)
    history = History(repository.git, [*oids, blob])
    assert history.root(oids[2]) == Oid.from_hex(repo.git("rev-list", "--max-parents=0", "HEAD"))
    assert history.leads_to(oids[2], oids[0])
    assert not history.leads_to(oids[0], oids[2])
    assert history.root(blob) is None
    assert History(repository.git, []).root(oids[0]) is None
