"""Own runs are trusted, strangers' are not before the user says so, and nothing else changes that."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitflowrun.errors import NotFound, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.transport import label_of
from gitflowrun.names import RunId
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.trust import Trust
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, start_run

ZERO = Oid(bytes(20))


@pytest.fixture
def colleague(repo: GitRepo, tmp_path: Path) -> GitRepo:
    """A clone of the repository, in which runs can be made."""
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "clone"))
    return GitRepo(tmp_path / "clone")


def _trust(repo: GitRepo) -> Trust:
    return Trust(open_repo(repo))


def _fetch(repo: GitRepo, source: GitRepo, remote: str | None = None) -> None:
    """Fetch runs as people do by hand or, with the name of a remote, as the tool does."""
    repo.git("fetch", "-q", str(source.path), "refs/runs/*:refs/runs/*")
    if remote:
        target = f"refs/runs-remotes/{label_of(str(source.path))}/*"
        repo.git("fetch", "-q", str(source.path), f"+refs/runs/*:{target}")


def _extend(repo: GitRepo, run: RunIdentity, message: str | None = None) -> None:
    """Append a commit with another tree to a run, as anybody can."""
    ref = f"refs/runs/{run.flow}/{run.id}"
    message = message or repo.git("log", "-1", "--format=%B", ref)
    new = repo.git("commit-tree", "-p", ref, "-m", message, "HEAD^{tree}")
    repo.git("update-ref", ref, new)


def test_own_runs_are_trusted_in_every_state(repo: GitRepo) -> None:
    """From the first one on, each commit made here is."""
    run = make_run(repo)
    trust = _trust(repo)
    assert trust.is_trusted(run)
    commits = repo.git("rev-list", f"refs/runs/{run.flow}/{run.id}").split()
    assert len(commits) == 5
    assert all(trust.is_trusted(run, commit=Oid.from_hex(it)) for it in commits)


def test_own_runs_stay_trusted_without_local_state(repo: GitRepo) -> None:
    """`.git/gitflowrun/` may be deleted at any time."""
    run = make_run(repo)
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    assert _trust(repo).is_trusted(run)
    assert _trust(repo).is_trusted(make_run(repo))


def test_own_runs_are_trusted_in_linked_worktrees(repo: GitRepo, tmp_path: Path) -> None:
    """Worktrees are one clone."""
    run = make_run(repo)
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"))
    tree = GitRepo(tmp_path / "tree")
    assert _trust(tree).is_trusted(run)
    assert _trust(repo).is_trusted(make_run(tree))


def test_the_key_is_private(repo: GitRepo) -> None:
    """Nobody else reads it, and git does not track it."""
    make_run(repo)
    (key,) = (repo.path / ".git").glob("gitflowrun-key-*")
    assert key.stat().st_mode & 0o777 == 0o600
    assert repo.git("status", "--porcelain") == ""


def test_losing_the_key_loses_trust(repo: GitRepo) -> None:
    """Deleting never makes a run trusted; without the key own runs count as strangers'."""
    run = make_run(repo)
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    assert not _trust(repo).is_trusted(run)
    later = make_run(repo)
    assert _trust(repo).is_trusted(later)
    assert not _trust(repo).is_trusted(run)


def test_fetched_runs_are_not_trusted(repo: GitRepo, colleague: GitRepo) -> None:
    """Also when the clone has runs of its own, and when local state is gone."""
    run = make_run(colleague)
    _fetch(repo, colleague)
    assert not _trust(repo).is_trusted(run)
    make_run(repo, "Other")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    assert not _trust(repo).is_trusted(run)


def test_a_run_that_is_not_there_is_not_trusted(repo: GitRepo) -> None:
    """Neither an unknown run nor an unknown commit."""
    nobody = RunIdentity("MyFlow", RunId("7"), ZERO)
    assert not _trust(repo).is_trusted(nobody)
    assert not _trust(repo).is_trusted(make_run(repo), commit=ZERO)
    with pytest.raises(NotFound, match="MyFlow/7"):
        _trust(repo).trust_run(nobody)


def test_the_user_trusts_a_run(repo: GitRepo, colleague: GitRepo) -> None:
    """Trust holds for this run alone, in later processes, and can be taken back."""
    run, other = make_run(colleague), make_run(colleague)
    _fetch(repo, colleague)
    trust = _trust(repo)
    trust.trust_run(run)
    trust.trust_run(run)
    assert trust.is_trusted(run)
    assert not trust.is_trusted(other)
    assert _trust(repo).is_trusted(run)
    first = Oid.from_hex(repo.git("rev-list", f"refs/runs/{run.flow}/{run.id}").split()[-1])
    assert trust.is_trusted(run, commit=first)
    assert repo.git("config", "--local", "--get-all", "runs.trustedRun").count("\n") == 0
    assert trust.distrust_run(run)
    assert not trust.distrust_run(run)
    assert not trust.is_trusted(run)


def test_strangers_do_not_inherit_trust_in_own_runs(repo: GitRepo, colleague: GitRepo) -> None:
    """Whoever appends to a run of ours gets it fast-forwarded here, but not trusted."""
    run = make_run(repo)
    before = Oid.from_hex(repo.git("rev-parse", f"refs/runs/{run.flow}/{run.id}"))
    _fetch(colleague, repo)
    _extend(colleague, run)
    _fetch(repo, colleague)
    assert repo.git("rev-parse", f"refs/runs/{run.flow}/{run.id}") != str(before)
    trust = _trust(repo)
    assert not trust.is_trusted(run)
    assert trust.is_trusted(run, commit=before)


def test_strangers_do_not_inherit_trust_in_runs(repo: GitRepo, colleague: GitRepo) -> None:
    """A run that changes after the user trusted it must be trusted again."""
    run = make_run(colleague)
    _fetch(repo, colleague)
    trust = _trust(repo)
    trust.trust_run(run)
    _extend(colleague, run)
    _fetch(repo, colleague)
    assert not trust.is_trusted(run)
    trust.trust_run(run)
    assert trust.is_trusted(run)
    assert trust.distrust_run(run)
    assert not trust.is_trusted(run)


def test_seals_cannot_be_copied(repo: GitRepo, colleague: GitRepo) -> None:
    """A MAC on another tree, or of another clone, proves nothing."""
    own = make_run(repo)
    _fetch(colleague, repo)
    message = repo.git("log", "-1", "--format=%B", f"refs/runs/{own.flow}/{own.id}")
    assert "\nMac: " in message
    foreign = make_run(colleague, "Foreign")
    _extend(colleague, foreign, message)
    _fetch(repo, colleague)
    assert not _trust(repo).is_trusted(foreign)


def test_the_user_trusts_a_remote(repo: GitRepo, colleague: GitRepo) -> None:
    """All its runs are trusted as they were fetched from it, those of others are not."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    _fetch(repo, colleague, "team")
    trust = _trust(repo)
    assert not trust.is_trusted(run)
    trust.trust_remote("team")
    assert trust.is_trusted(run)
    assert _trust(repo).is_trusted(run)
    later = make_run(colleague)
    _fetch(repo, colleague)
    assert not trust.is_trusted(later)
    _fetch(repo, colleague, "team")
    assert _trust(repo).is_trusted(later)
    assert trust.distrust_remote("team")
    assert not trust.distrust_remote("team")
    assert not _trust(repo).is_trusted(run)


def test_trust_in_a_remote_belongs_to_where_it_is(
    repo: GitRepo, colleague: GitRepo, tmp_path: Path
) -> None:
    """A renamed remote stays trusted; another repository that gets its name does not become so."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    _fetch(repo, colleague, "team")
    _trust(repo).trust_remote("team")
    repo.git("remote", "rename", "team", "old")
    assert _trust(repo).is_trusted(run)
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "stranger"))
    stranger = GitRepo(tmp_path / "stranger")
    theirs = make_run(stranger, "Other")
    repo.git("remote", "add", "team", str(stranger.path))
    _fetch(repo, stranger, "team")
    assert not _trust(repo).is_trusted(theirs)
    assert _trust(repo).distrust_remote("old")


def test_trust_that_cannot_be_written_is_told(repo: GitRepo) -> None:
    """A lock that somebody left names itself and the way out."""
    run = make_run(repo)
    (repo.path / ".git/config.lock").touch()
    with pytest.raises(RepositoryError, match="can't write what you trust") as caught:
        _trust(repo).trust_run(run)
    assert "config.lock" in (caught.value.hint or "")


def test_an_earlier_state_of_a_remotes_run_is_trusted(repo: GitRepo, colleague: GitRepo) -> None:
    """What the remote has grown by since does not matter."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    _fetch(repo, colleague, "team")
    _extend(colleague, run)
    colleague_runs = f"+refs/runs/*:refs/runs-remotes/{label_of(str(colleague.path))}/*"
    repo.git("fetch", "-q", str(colleague.path), colleague_runs)
    trust = _trust(repo)
    trust.trust_remote("team")
    assert trust.is_trusted(run)


def test_hand_written_config_does_no_harm(repo: GitRepo) -> None:
    """What is no commit is passed over; global config vouches for nobody."""
    run = make_run(repo)
    repo.git("config", "--add", "runs.trustedRun", "nonsense")
    assert _trust(repo).is_trusted(run)
    assert _trust(repo).trusted.runs == ()
    repo.git("config", "--global", "--add", "runs.trustedRemote", "origin")
    assert _trust(repo).trusted.remotes == ()
    repo.git("config", "--global", "--unset-all", "runs.trustedRemote")


def test_one_key_among_many_processes(repo: GitRepo) -> None:
    """Whoever is first makes the key; all others use it."""
    stores = [_trust(repo) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        macs = set(pool.map(lambda it: it.mac(ZERO, ()), stores))
    assert len(macs) == 1
    assert len(list((repo.path / ".git").glob("gitflowrun-key*"))) == 1


@pytest.mark.parametrize("content", [b"short", b"", None], ids=["torn", "empty", "unreadable"])
def test_a_key_that_cannot_be_used_is_an_error(repo: GitRepo, content: bytes | None) -> None:
    """Neither is it replaced in silence nor are runs made that nobody trusts; the hint says what to do."""
    key = repo.path / ".git" / f"gitflowrun-key-{os.getuid()}"
    if content is None:
        key.mkdir()
    else:
        key.write_bytes(content)
    with pytest.raises(RepositoryError, match="this clone knows its own runs") as caught:
        start_run(repo)
    assert str(key) in caught.value.message
    assert caught.value.hint
    assert key.is_dir() or key.read_bytes() == content


def test_runs_are_made_where_no_key_can_be_kept(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key a run has no MAC, and nothing else is different."""
    real = os.open

    def refuse(path: object, *args: int) -> int:
        if "gitflowrun-key" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(str(path), *args)

    monkeypatch.setattr(os, "open", refuse)
    assert _trust(repo).mac(ZERO, ()) == ""
