"""Every test of the client starts as a fresh process does: no namespace chosen, no repository chosen or open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitflowrun.client import repository
from tests.client.samples import SCRIPT
from tests.helpers.repos import GitRepo


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    repository._namespace.clear()
    repository._chosen.clear()
    repository._open.clear()


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with a flow's file, which is the current directory."""
    repo.write("flow.py", SCRIPT)
    repo.commit("a flow")
    monkeypatch.chdir(repo.path)
    return repo
