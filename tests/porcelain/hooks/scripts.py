"""The scripts of hooks, and what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run


def hook(repo: GitRepo, name: str) -> Path:
    """The script of a hook."""
    return repo.path / ".git" / "hooks" / name


def own_hook(repo: GitRepo, name: str, text: str, mode: int = 0o755) -> Path:
    """A hook of the user's."""
    path = hook(repo, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def run_git(repo: GitRepo, *args: str) -> subprocess.CompletedProcess[str]:
    """Run git and keep what it said."""
    return subprocess.run(
        ["git", *args], cwd=repo.path, capture_output=True, text=True, check=False
    )


def dirty_run(repo: GitRepo, content: str = "x = 2\n") -> None:
    """A run of uncommitted changes."""
    repo.write("model.py", content)
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)


def runs_in(repo: GitRepo) -> list[str]:
    """The refs of runs."""
    return repo.git("for-each-ref", "--format=%(refname)", "refs/runs").split()
