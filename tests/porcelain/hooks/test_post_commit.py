"""A commit of what a run ran is noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.porcelain.hooks import (
    install,
    post_commit,
)
from gitflowrun.runs.lookup.listing import list_runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo
from tests.porcelain.hooks.scripts import dirty_run, hook, run_git


def test_a_commit_of_what_a_run_ran_is_noted(repo: GitRepo) -> None:
    """Committing the work tree that a run saw says so, and leaves a git note."""
    install(open_repo(repo))
    own_text = hook(repo, "post-commit").read_text()
    hook(repo, "post-commit").write_text(own_text + "touch .git/mine\n")
    dirty_run(repo)
    repo.git("add", "-A")
    done = run_git(repo, "commit", "-q", "-m", "tune")
    assert done.returncode == 0
    assert done.stderr == "git runs: this commit is what run MyFlow/1 ran\n"
    assert (repo.path / ".git/mine").exists()
    assert repo.git("notes", "--ref=runs", "show", "HEAD").startswith("Run: MyFlow/1 ")
    assert "Notes (runs):" in repo.git("log", "-1", "--notes=runs")


def test_the_first_commit_of_all_may_be_what_a_run_ran(tmp_path: Path) -> None:
    """A run from before it had no commit to be clean against, and is listed as such."""
    repo = GitRepo(tmp_path / "young")
    repo.path.mkdir()
    repo.git("init", "-q")
    dirty_run(repo)
    (run,) = list_runs(open_repo(repo))
    assert (run.state.code_commit, run.state.dirty) == (None, True)
    repo.commit("first")
    assert post_commit(open_repo(repo)) == ["MyFlow/1"]


def test_other_commits_are_not_noted(repo: GitRepo) -> None:
    """A clean run, or a commit of something else, is no snapshot of a run."""
    make_run(repo)
    repo.commit("again")
    assert post_commit(open_repo(repo)) == []
    dirty_run(repo)
    repo.write("more.py", "")
    repo.commit("more than the run had")
    assert post_commit(open_repo(repo)) == []
    assert repo.git("for-each-ref", "refs/notes") == ""


def test_what_others_say_they_ran_is_not_noted(repo: GitRepo) -> None:
    """A run of a stranger's that has the code of one's commit is no reason to put its name there."""
    dirty_run(repo)
    first, tip = repo.git("rev-list", "refs/runs/MyFlow/1").split()[-1], "refs/runs/MyFlow/1"
    message = repo.git("show", "-s", "--format=%B", tip).partition("\nMac: ")[0]
    forged = repo.git("commit-tree", f"{tip}^{{tree}}", "-p", first, "-m", message)
    repo.git("update-ref", "refs/runs/MyFlow/2", forged)
    repo.git("add", "-A")
    repo.commit("tune")
    assert post_commit(open_repo(repo)) == ["MyFlow/1"]


def test_without_runs_no_python_is_started(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository without runs a hook ends in sh."""
    install(open_repo(repo))
    repo.git("config", "runs.autoPush", "true")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    done = run_git(repo, "commit", "-q", "--allow-empty", "-m", "x")
    assert (done.returncode, done.stderr) == (0, "")


def test_post_commit_in_a_rebase_stays_silent(repo: GitRepo) -> None:
    """Replaying commits starts no Python for each of them."""
    install(open_repo(repo))
    dirty_run(repo)
    base = repo.commit("one")
    repo.write("b", "1")
    repo.commit("two")
    repo.git("notes", "--ref=runs", "remove", base)
    done = run_git(
        repo, "-c", "sequence.editor=sed -i s/^pick/reword/", "rebase", "-q", "-i", "HEAD~1"
    )
    assert "this commit is" not in done.stderr


@pytest.mark.parametrize("noted", ["HEAD", "HEAD~"])
def test_whoever_writes_notes_at_that_moment_loses_none(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, noted: str
) -> None:
    """On this commit or on another one: what both wrote is there, as `git notes append` puts it together."""
    dirty_run(repo)
    repo.git("add", "-A")
    repo.commit("tune")
    theirs = f"theirs on {noted}"

    def meanwhile(name: str) -> None:
        if name == "note.written":
            monkeypatch.setattr("gitflowrun.porcelain.notes.reached", lambda _: None)
            repo.git("notes", "--ref=runs", "append", "-m", theirs, noted)

    repo.git("notes", "--ref=runs", "add", "-m", "before", "HEAD")
    monkeypatch.setattr("gitflowrun.porcelain.notes.reached", meanwhile)
    assert post_commit(open_repo(repo)) == ["MyFlow/1"]
    found = repo.git("notes", "--ref=runs", "show", "HEAD").split("\n\n")
    assert found[0] == "before"
    assert found[-1].startswith("Run: MyFlow/1 ")
    assert theirs in repo.git("notes", "--ref=runs", "show", noted)
    assert len(found) == (3 if noted == "HEAD" else 2)
    repo.fsck()


def test_a_hook_that_can_not_note_fails_no_commit(repo: GitRepo) -> None:
    """It says what it could not write."""
    install(open_repo(repo))
    dirty_run(repo)
    repo.git("add", "-A")
    (repo.path / ".git/refs/notes").mkdir(exist_ok=True)
    (repo.path / ".git/refs/notes/runs").write_text("1" * 40 + "\n")
    done = run_git(repo, "commit", "-q", "-m", "tune")
    assert done.returncode == 0
    assert "this commit is what" not in done.stderr
    assert done.stderr
