"""Which spun tasks have expired, by clocks that went wrong as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gitflowrun.runs.commit_message import RunState, Status, format_message
from gitflowrun.runs.spins.store import expired_spins
from tests.helpers.runs import open_repo

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo

DAY = 86_400.0
WEEKS = 14 * DAY


def spun(repo: GitRepo, number: int, age: float, origin: str = "") -> None:
    """A ref of a spun task that says to be so old."""
    started = time.time() - age
    state = RunState(f"F/spin-{number}", Status.DONE, started, started, origin=origin)
    made = repo.git("commit-tree", "HEAD^{tree}", "-m", format_message(state).decode())
    repo.git("update-ref", f"refs/runs-spin/F/{number}", made)


def expired(repo: GitRepo, seconds: float = WEEKS) -> list[str]:
    """The ids of those that are to go."""
    return [*map(str, expired_spins(open_repo(repo), seconds).ids)]


@pytest.fixture
def work(repo: GitRepo) -> GitRepo:
    """A repository with a commit, and a spun task that is new."""
    repo.write("a", "b")
    repo.commit()
    spun(repo, 9, 0.0)
    return repo


def made(repo: GitRepo, age: float) -> str:
    """The uid of a run that was made so long ago."""
    who = f"Ada <ada@example.org> {int(time.time() - age)} +0000"
    text = f"tree {repo.git('rev-parse', 'HEAD^{tree}')}\nauthor {who}\ncommitter {who}\n\nfirst\n"
    return repo.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=text.encode())


@pytest.mark.parametrize(
    ("age", "of_run", "goes"),
    [
        (15, 16, True), (13, 16, False), (40, 0, False), (40, 13, False), (40, 15, True),
        (15, -400, True), (-400, 0, False), (15, None, True),
    ],
)  # fmt: skip
def test_the_age_by_a_wrong_clock(work: GitRepo, age: int, of_run: int | None, goes: bool) -> None:
    """What seems to be older than its run is as old as that; no age at all takes it in any case."""
    origin = f"spin F/1 {'f' * 40 if of_run is None else made(work, of_run * DAY)}"
    spun(work, 1, age * DAY, origin)
    assert expired(work) == ["spin-1"] * goes
    assert expired(work, 0.0) == ["spin-1"]


def test_what_was_spun_later_is_no_older(work: GitRepo) -> None:
    """The numbers tell the order: of those after a new one none is old, nor is one that can't be read."""
    for number, age in ((1, 30), (2, 20), (3, 13), (4, 40), (6, -400)):
        spun(work, number, age * DAY)
    work.git("update-ref", "refs/runs-spin/F/5", work.git("rev-parse", "HEAD"))
    assert expired(work) == ["spin-1", "spin-2"]
    assert expired(work, 0.0) == [f"spin-{number}" for number in range(1, 7)]


def test_the_newest_one_is_that_of_the_highest_number_that_counts(work: GitRepo) -> None:
    """A number that somebody has made up keeps none from coming again, so it may go, and the real one stays."""
    spun(work, 999_999_999_999, 30 * DAY)
    spun(work, 9, 30 * DAY)
    assert expired(work, 0.0) == ["spin-999999999999"]
