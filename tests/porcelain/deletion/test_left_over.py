"""What comes back of runs that were removed for good is freed, whatever is at work, or kills a fetch, meanwhile."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.porcelain.deletion import free as freeing
from gitflowrun.porcelain.deletion import trash
from gitflowrun.porcelain.deletion.free import has_unfinished
from gitflowrun.porcelain.deletion.left_over import left_over
from gitflowrun.porcelain.deletion.trash import RemovedRun, RemovedRuns
from gitflowrun.porcelain.transfer.sync import Outcome
from tests.helpers.clones import get, ids, outcomes, refs, send
from tests.helpers.flows import background, eventually
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

if TYPE_CHECKING:
    from pathlib import Path

RUNS = ("-m", "gitflowrun.cli.git_runs.main")


@pytest.fixture
def states(ada: GitRepo, bob: GitRepo) -> list[str]:
    """The states of a run that Bob has purged, and that went on then; the server has the last one."""
    with start_run(ada) as writer:
        writer.begin([])
        send(ada, "1")
        get(bob)
        assert bob.call("purge", "--force", "1").code == 0
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"secret"})])
        send(ada, "1")
    return ada.git("rev-list", "refs/runs/MyFlow/1").split()


@pytest.fixture
def gc_pid(bob: GitRepo) -> Path:
    """A `git gc` that is at work in Bob's clone, as git says it."""
    path = bob.path / ".git/gc.pid"
    path.write_text(f"{os.getpid()} {socket.gethostname()}")
    return path


def left(repo: GitRepo, commits: list[str]) -> int:
    """How many of some commits a repository has."""
    answers = repo.git("cat-file", "--batch-check", stdin="\n".join(commits).encode())
    return len(commits) - answers.count("missing")


@pytest.mark.parametrize("command", ["fetch", "gc"])
@pytest.mark.sample(1)
def test_what_came_while_nothing_can_be_freed(
    bob: GitRepo, states: list[str], gc_pid: Path, command: str
) -> None:
    """It stays as a copy, by which the next command finds it; each says so until it is freed."""
    for _ in range(2):
        report = get(bob)
        assert outcomes(report) == [Outcome.AWAY]
        assert any("not all is freed" in it and "`git gc`" in it for it in report.notices)
        assert ids(bob) == {}
        assert "not all is freed: a `git gc`" in bob.call("gc").out
        assert len(refs(bob, "refs/runs-remotes")) == 1
    gc_pid.unlink()
    assert bob.call(command).code == 0
    assert (left(bob, states), refs(bob, "refs/runs-remotes")) == (0, {})
    assert get(bob).notices == ()


def test_what_the_remote_does_not_have_any_more(
    server: GitRepo, bob: GitRepo, states: list[str], gc_pid: Path
) -> None:
    """The copy stays all the same, till it can be freed."""
    get(bob)
    server.git("update-ref", "-d", "refs/runs/MyFlow/1")
    get(bob)
    assert left(bob, states) == len(states)
    gc_pid.unlink()
    assert "freed 0 B" not in bob.call("gc").out
    assert (left(bob, states), refs(bob, "refs/runs-remotes")) == (0, {})


@pytest.mark.parametrize("place", ["free.noted", "free.unreferenced"])
@pytest.mark.parametrize("command", ["fetch", "gc"])
@pytest.mark.sample(1)
def test_a_fetch_that_is_killed(
    bob: GitRepo, states: list[str], monkeypatch: pytest.MonkeyPatch, place: str, command: str
) -> None:
    """The next command goes on: one more fetch, or a gc, as after all that was killed there."""

    def reached(name: str) -> None:
        if name == place:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(freeing, "reached", reached)
        with pytest.raises(KeyboardInterrupt):
            get(bob)
    assert left(bob, states) == len(states)
    assert bob.call(command).code == 0
    if place == "free.unreferenced":
        bob.call("gc")
    assert (left(bob, states), refs(bob, "refs/runs-remotes")) == (0, {})


def test_a_fetch_that_is_killed_before_a_copy_is_noted(bob: GitRepo, states: list[str]) -> None:
    """It leaves a pack that it kept: the next fetch, which finds all in there, frees it with what it holds."""
    bob.runs("fetch", env={"GITFLOWRUN_FAILPOINTS": "publish.visible=kill"})
    assert [*bob.path.glob(".git/objects/pack/*.keep")]
    assert left(bob, states) == len(states)
    assert get(bob).notices == ()
    assert (left(bob, states), refs(bob, "refs/runs-remotes")) == (0, {})


@pytest.mark.parametrize("ends", ["killed", "done"])
@pytest.mark.sample(1)
def test_what_another_fetch_of_ours_keeps(
    bob: GitRepo, states: list[str], tmp_path: Path, ends: str
) -> None:
    """It may be about to make a ref, or to die: a gc goes on when it is known; what is here then stays."""
    go, there = tmp_path / "go", tmp_path / "there"
    points = f"publish.durable=tell:{there}; publish.durable=pause:{go}"
    words = ("fetch", "origin", "MyFlow/1")
    other = background(bob, *RUNS, *words, env={"GITFLOWRUN_FAILPOINTS": points})
    assert eventually(there.exists)
    (notice,) = get(bob).notices
    assert re.search(r"process \d+, such as a fetch, keeps a pack that has \d+ of the obj", notice)
    assert "`git runs gc` goes on" in notice
    assert "keeps a pack" in bob.call("gc").out
    if ends == "killed":
        other.process.kill()
        other.wait()
    else:
        go.touch()
        assert other.wait() == 0, other.text()
    bob.call("gc")
    assert left(bob, states) == (0 if ends == "killed" else len(states))
    assert [*ids(bob)] == ([] if ends == "killed" else ["MyFlow/1"])
    if ends == "done":
        assert bob.call("purge", "--force", "MyFlow/1").code == 0
        assert left(bob, states) == 0
    assert not has_unfinished(open_repo(bob))


def test_what_comes_again_while_what_came_before_waits(
    bob: GitRepo, states: list[str], tmp_path: Path
) -> None:
    """A purge frees it, though it was written after what waits was noted."""
    go, there = tmp_path / "go", tmp_path / "there"
    points = f"publish.durable=tell:{there}; publish.durable=pause:{go}"
    words = ("fetch", "origin", "MyFlow/1")
    other = background(bob, *RUNS, *words, env={"GITFLOWRUN_FAILPOINTS": points})
    assert eventually(there.exists)
    get(bob)
    other.process.kill()
    other.wait()
    assert has_unfinished(open_repo(bob))
    assert bob.call(*words).code == 0
    time.sleep(0.02)  # more than a tick of the file system's clock
    assert bob.call("purge", "--force", "MyFlow/1").code == 0
    assert left(bob, states) == 0


def test_who_asks_for_it_by_name_gets_it(bob: GitRepo, states: list[str], gc_pid: Path) -> None:
    """Also where a copy waits to be freed; then it stays."""
    get(bob)
    assert bob.call("fetch", "origin", "MyFlow/1").code == 0
    gc_pid.unlink()
    bob.call("gc")
    assert [*ids(bob)] == ["MyFlow/1"]
    assert left(bob, states) == len(states)


def test_more_states_than_the_list_has_space_for(
    bob: GitRepo, states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remote may have any number: they come each time, and are freed, and the list can be read."""
    monkeypatch.setattr(
        trash, "MAX_REMOVED", 2 * (bob.path / ".git/gitflowrun-removed").stat().st_size
    )
    for _ in range(2):
        assert outcomes(get(bob)) == [Outcome.AWAY]
        assert (left(bob, states), refs(bob, "refs/runs-remotes")) == (0, {})


def test_copies_of_what_is_here_or_in_the_trash_stay(ada: GitRepo) -> None:
    """Though the list has them: a purge was killed, and the run restored, or a fetch that has brought it back was."""
    for run in (make_run(ada), make_run(ada)):
        lines = [RemovedRun(str(run.uid), str(run.uid), f"MyFlow/{run.id}")]
        RemovedRuns(open_repo(ada)).add(lines)
        ada.git("update-ref", f"refs/runs-remotes/elsewhere/MyFlow/{run.id}", str(run.uid))
    assert ada.call("rm", "--force", "2").code == 0
    assert left_over(open_repo(ada)) == {}
    ada.call("gc")
    assert len(refs(ada, "refs/runs-remotes")) == 2


def test_a_commit_that_merely_says_to_be_of_such_a_run(ada: GitRepo) -> None:
    """It goes by where its line begins; one of such a run goes whatever it says."""
    run, other = make_run(ada), make_run(ada)
    message = ada.git("log", "-1", "--format=%B", "refs/runs/MyFlow/1")
    tree = f"{other.uid}^{{tree}}"
    liar = ada.git("commit-tree", tree, "-p", str(other.uid), "-m", message)
    plain = ada.git("commit-tree", tree, "-p", "refs/runs/MyFlow/1", "-m", "mine")
    for name, commit in (("3", liar), ("4", plain)):
        ada.git("update-ref", f"refs/heads/{name}", commit)
    assert "not gone: refs/heads/4 still reaches" in ada.call("purge", "--force", "1").out
    for name, commit in (("3", liar), ("4", plain)):
        ada.git("update-ref", f"refs/runs-remotes/elsewhere/MyFlow/{name}", commit)
        ada.git("update-ref", "-d", f"refs/heads/{name}")
    found = left_over(open_repo(ada))
    assert {*found.values()} == {(Oid.from_hex(plain), run.uid)}
    ada.call("gc")
    assert (left(ada, [plain, str(run.uid)]), left(ada, [liar])) == (0, 1)
