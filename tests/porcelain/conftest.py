"""A bare repository that two people share, and their clones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.clones import clone
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture
def server(tmp_path: Path) -> GitRepo:
    """A bare repository that two people share."""
    project = make_repo(tmp_path / "project")
    path = tmp_path / "server.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(project.path), str(path)], check=True)
    return GitRepo(path)


@pytest.fixture
def ada(server: GitRepo) -> GitRepo:
    """Ada's clone."""
    return clone(server, "ada")


@pytest.fixture
def bob(server: GitRepo) -> GitRepo:
    """Bob's clone."""
    return clone(server, "bob")
