"""A repository and three commits, for tests of its refs."""

from __future__ import annotations

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from tests.helpers.refs import forget_git_children
from tests.helpers.repos import GitRepo


@pytest.fixture(autouse=True)
def _git_children_of_its_own() -> None:
    forget_git_children()


@pytest.fixture
def repository(repo: GitRepo) -> Repository:
    """The repository, opened."""
    return Repository.discover(repo.path)


@pytest.fixture
def commits(repo: GitRepo) -> list[Oid]:
    """Three commits."""
    return [Oid.from_hex(repo.commit(f"commit {number}")) for number in range(3)]
