"""A git process that stays is one at a time: threads wait for one another, and its end is nobody's error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from gitflowrun.git.command import CatFile, Git, Resident
from gitflowrun.git.objects import Oid
from tests.helpers.refs import git_children
from tests.helpers.repos import GitRepo


@pytest.fixture
def git(repo: GitRepo) -> Git:
    """Runs git in the repository."""
    return Git(repo.path / ".git", repo.path)


@pytest.mark.parametrize("what", ["read", "close"])
def test_threads_wait_for_one_another(repo: GitRepo, git: Git, what: str) -> None:
    """Whoever comes while another has the process neither asks it nor ends it."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    with closing(CatFile(git)) as cat:
        cat.read(head)
        work: dict[str, Callable[[], object]] = {"read": lambda: cat.read(head), "close": cat.close}
        other = threading.Thread(target=work[what])
        with cat._lock:
            other.start()
            other.join(0.2)
            assert (other.is_alive(), len(git_children())) == (True, 1)
        other.join()


def test_a_process_that_ends_as_it_is_ended(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to be told to end, and that is well."""
    resident = Resident(git, "-c", "alias.x=!sleep 0.3", "x")
    resident._pipes()

    def gone(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", gone)
    resident.close()
    assert git_children() == []
