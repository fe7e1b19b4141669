"""A server beside the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.repos import GitRepo


@pytest.fixture
def server(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`."""
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    return GitRepo(path)
