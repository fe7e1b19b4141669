"""A repository with runs to remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with two runs, the first of which has two tags and a note."""
    found = make_repo(tmp_path_factory.mktemp("trash") / "made")
    first = make_run(found, tags=["best", "a b"])
    make_run(found, "Other")
    found.git("notes", "--ref=runs", "add", "-m", "a good one", str(first.uid))
    return found


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "r")
