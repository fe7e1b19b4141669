"""Executors over an engine that a test plays."""

from collections.abc import Iterator

import pytest

from tests.helpers.engine_driver import Driver
from tests.helpers.links import Meeting
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    """Where the links of agents and driver meet."""
    made = Meeting()
    yield made
    made.close()


@pytest.fixture
def narrow(repo: GitRepo, meeting: Meeting) -> Iterator[Driver]:
    """A driver that may have one agent."""
    repo.write("f.py", "1")
    repo.commit()
    made = Driver(open_repo(repo), meeting, most=1)
    yield made
    made.executor.close()


@pytest.fixture
def driver(repo: GitRepo, meeting: Meeting) -> Iterator[Driver]:
    """The driver of a run with as many agents as its tests need."""
    repo.write("f.py", "1")
    repo.commit()
    made = Driver(open_repo(repo), meeting)
    yield made
    made.executor.close()
