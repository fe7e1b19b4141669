"""Removing runs, to the trash or for good: what is told before and after, and what stays."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from gitflowrun.errors import NotFound, RepositoryError
from gitflowrun.porcelain.deletion import removal
from gitflowrun.porcelain.deletion.removal import collect, find_runs, objections, purge, remove
from gitflowrun.porcelain.deletion.trash import RemovedRuns, Trash
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.read import StoredRun
from tests.helpers.clones import refs
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo, start_run, store_of


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with two runs, of which the first has a tag."""
    found = make_repo(tmp_path / "r")
    make_run(found, tags=["best"])
    make_run(found, result=b"another")
    return found


def run_of(repo: GitRepo, number: str) -> StoredRun:
    """A run of the repository."""
    return store_of(repo).get("MyFlow", number)


def test_what_is_told_of_a_run_that_moves_to_the_trash(repo: GitRepo) -> None:
    """What only it reaches, which its tag and that one's git tag do not count against."""
    opened, run = open_repo(repo), run_of(repo, "1")
    own, others = (
        {*repo.git("rev-list", "--objects", "--no-object-names", *names).split()}
        for names in (["refs/runs/MyFlow/1"], ["HEAD", "refs/runs/MyFlow/2"])
    )
    found = remove(opened, [run])
    assert (found.runs, found.objects, found.exact) == (("MyFlow/1",), len(own - others), True)
    assert found.size > 0
    assert found.copies == ()


def test_a_run_moves_to_the_trash_of_a_damaged_repository(repo: GitRepo) -> None:
    """How much that is can't be told then."""
    repo.git("update-ref", "refs/heads/x", repo.git("commit-tree", "HEAD^{tree}", "-m", "x"))
    x = repo.git("rev-parse", "x")
    (repo.path / ".git/objects" / x[:2] / x[2:]).unlink()
    found = remove(open_repo(repo), [run_of(repo, "1")])
    assert (found.objects, found.size, found.exact) == (0, 0, False)
    assert [run.pathspec for run in Trash(open_repo(repo)).runs()] == ["MyFlow/1"]


def test_a_run_that_is_back_is_not_purged_with_what_the_trash_has_of_it(repo: GitRepo) -> None:
    """A fetch may have brought it: it stays whole, a copy of it as well, and further fetches may bring it."""
    opened, run = open_repo(repo), run_of(repo, "1")
    copy = "refs/runs-remotes/0123456789abcdef/MyFlow/1"
    repo.git("update-ref", copy, str(run.commit))
    remove(opened, [run])
    repo.git("update-ref", "refs/runs/MyFlow/1", str(run.commit))
    opened = open_repo(repo)
    found = purge(opened, [], Trash(opened).runs())
    assert (found.runs, found.copies, found.reached_by) == (("MyFlow/1",), (), ())
    assert refs(repo, "refs/runs-trash/") == {}
    assert refs(repo, copy) == {copy: str(run.commit)}
    assert RemovedRuns(opened).read() == []
    assert repo.call("fsck", "--read-data", "MyFlow/1").code == 0


def test_a_purged_run_is_listed_with_the_places_that_it_had(repo: GitRepo) -> None:
    """A fetch brings none of these; which remotes have it is told."""
    opened, run = open_repo(repo), run_of(repo, "1")
    uid, tip, earlier = run.identity.uid, run.commit, run.objects.commit(run.commit).parents[0]
    label = "0123456789abcdef/MyFlow/1"
    repo.git("update-ref", f"refs/runs-remotes/{label}", str(earlier))
    states = {*repo.git("rev-list", str(tip)).split()}
    found = purge(opened, [run], [])
    assert [(copy.uid, copy.oid) for copy in found.copies] == [(uid, earlier)]
    listed = {(it.uid, it.commit, it.place) for it in RemovedRuns(opened).read()}
    assert {(str(uid), str(tip), "MyFlow/1"), (str(uid), str(earlier), label)} <= listed
    # By each of its states: a remote may have any, and none is fetched.
    assert {commit for of, commit, _ in listed if of == str(uid)} == states
    assert refs(repo, "refs/runs-remotes/") == {}


def test_the_lock_of_a_run_that_is_gone_goes(repo: GitRepo) -> None:
    """Unless somebody holds it: then it is another run's."""
    opened, run = open_repo(repo), run_of(repo, "1")
    with Locks(opened.state_dir).run(run.id):
        pass
    remove(opened, [run])
    (gone,) = Trash(opened).runs()
    with Locks(opened.state_dir).run(run.id):
        removal._forget(opened, gone.uid, gone.id)
        assert Locks(opened.state_dir).runs() == {"1"}
    removal._forget(opened, gone.uid, gone.id)
    assert Locks(opened.state_dir).runs() == set()
    removal._forget(opened, gone.uid, gone.id)
    assert Locks(opened.state_dir).runs() == set()


def test_words_are_looked_for_among_runs_and_then_in_the_trash(repo: GitRepo) -> None:
    """All that the trash has of such a run; who finds nothing in either is told of the runs."""
    opened = open_repo(repo)
    first, second = run_of(repo, "1"), run_of(repo, "2")
    remove(opened, [first])
    repo.git("update-ref", "refs/runs-trash/20200101T000000-1/MyFlow/1", str(first.commit))
    runs, trashed = find_runs(opened, ["2", "1", "2"])
    assert [run.pathspec for run in runs] == [second.pathspec]
    assert [run.uid for run in trashed] == [first.identity.uid] * 2
    with pytest.raises(NotFound) as caught:
        find_runs(opened, ["2", "9"])
    assert caught.value.message == "there is no run '9'"
    assert caught.value.hint == "the newest is MyFlow/2"


def test_so_old_runs_leave_the_trash(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no younger ones; nothing else is asked where none is."""
    opened = open_repo(repo)
    remove(opened, [run_of(repo, "1")])
    (gone,) = Trash(opened).runs()
    monkeypatch.setattr(time, "time", lambda: gone.when + 100)
    with start_run(repo):
        assert collect(opened, 101).runs == ()
        with pytest.raises(RepositoryError, match="run 3 is running"):
            collect(opened, 100)
    assert collect(opened, 100).runs == ("MyFlow/1",)
    assert Trash(opened).runs() == []


def test_why_runs_may_be_missed(repo: GitRepo) -> None:
    """Each reason once, of each run; those that leave together keep one another here no more."""
    opened = open_repo(repo)
    first, second = run_of(repo, "1"), run_of(repo, "2")
    assert objections(opened, [first]) == ["MyFlow/1 is tagged best"]
    assert objections(opened, [second]) == []
    with start_run(repo):
        running = run_of(repo, "3")
        assert objections(opened, [second, running]) == ["MyFlow/3 is running"]


def test_nothing_is_freed_in_a_partial_clone(repo: GitRepo, tmp_path: Path) -> None:
    """Git keeps track there of what the remote has: runs go to the trash, and no further."""
    repo.git("config", "uploadpack.allowFilter", "true")
    words = ("clone", "-q", "--no-local", "--filter=blob:none", str(repo.path), "partial")
    GitRepo(tmp_path).git(*words)
    partial = GitRepo(tmp_path / "partial")
    run = make_run(partial)
    for command in (("purge", "--force", str(run.id)), ("gc", "--prune=now")):
        if command[0] == "gc":
            assert partial.call("rm", "--force", str(run.id)).code == 0
        done = partial.call(*command)
        assert done.code == 128
        assert "fatal: this is a partial clone, in which git keeps track" in done.err
        assert "its space is freed in a whole clone only" in done.err
    assert partial.call("restore", str(run.id)).code == 0
    assert partial.call("fsck", str(run.id)).code == 0


def test_directories_of_reflogs_have_the_modes_of_gits(repo: GitRepo) -> None:
    """After one `sudo git runs rm` they are root's, and git's own gc and fsck go through them as the user."""
    logs = repo.path / ".git/logs"
    shutil.rmtree(logs, ignore_errors=True)
    old = os.umask(0o022)
    try:
        remove(open_repo(repo), [run_of(repo, "1")])
    finally:
        os.umask(old)
    found = [logs, *(it for it in logs.rglob("*") if it.is_dir())]
    assert len(found) > 3
    assert {stat.S_IMODE(it.stat().st_mode) for it in found} == {0o755}


@pytest.mark.parametrize("removed", [3e9, 4e8, None])
@pytest.mark.sample(1)
def test_the_age_of_what_was_removed_by_a_wrong_clock(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, removed: float | None
) -> None:
    """An age of nothing takes all; what seems to have been removed before it was made was not removed long ago."""
    opened = open_repo(repo)
    with monkeypatch.context() as patched:
        if removed is not None:
            patched.setattr(time, "time", lambda: removed)
        remove(opened, [run_of(repo, "1")])
    assert collect(opened, 30 * 86_400.0).runs == ()
    assert collect(opened, 0.0).runs == ("MyFlow/1",)
