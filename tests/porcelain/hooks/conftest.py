"""`git-runs` on PATH, as hooks look for it, and a server that hooks push to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitflowrun.porcelain.hooks import (
    install,
)
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import open_repo
from tests.helpers.warm_programs import write_program


@pytest.fixture(autouse=True)
def _git_runs_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a `git-runs` of this source tree on PATH."""
    program = write_program(
        tmp_path / "programs" / "git-runs", "-m", "gitflowrun.cli.git_runs.main"
    )
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def shared(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`, to which hooks push runs."""
    path = tmp_path / "shared.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    repo.git("push", "-q", "-u", "origin", "main")
    install(open_repo(repo))
    return GitRepo(path)
