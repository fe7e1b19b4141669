"""Signed runs, for tests of who has signed them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.signing import ADA, EVE, SshKey, make_signed_run, sign_by_ssh


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SshKey]:
    """A key of Ada's and one of Eve's."""
    folder = tmp_path_factory.mktemp("keys")
    return {who: SshKey.make(folder / who.partition("@")[0]) for who in (ADA, EVE)}


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, SshKey]) -> GitRepo:
    """A repository with two runs that Ada has signed; to be copied where something is changed."""
    repo = make_repo(tmp_path_factory.mktemp("signed") / "repo")
    sign_by_ssh(repo, keys[ADA], f"{ADA} {keys[ADA].public}")
    make_signed_run(repo)
    make_signed_run(repo)
    return repo


@pytest.fixture
def mine(signed: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    subprocess.run(["cp", "-r", signed.path, tmp_path / "mine"], check=True)
    repo = GitRepo(tmp_path / "mine")
    repo.git("config", "gpg.ssh.allowedSignersFile", str(repo.path / ".git" / "allowed"))
    return repo
