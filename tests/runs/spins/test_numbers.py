"""The numbers of spun tasks: a sequence beside that of the runs."""

from __future__ import annotations

import pytest

from gitflowrun.errors import InvalidPathspec
from gitflowrun.limits import NUMBERS_AHEAD
from gitflowrun.names import RunId, SpinId, any_id
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.spins.numbers import SpinIds
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


def test_ids_of_spun_tasks() -> None:
    """They are none of runs, and the other way round."""
    assert (SpinId("spin-12").number, SpinId.of(7), any_id("spin-3").number) == (12, "spin-7", 3)
    assert isinstance(any_id("12"), RunId)
    assert not isinstance(any_id("12-3fa29c1"), SpinId)
    assert not RunId.matches("spin-3")
    for wrong in (
        "spin-",
        "spin-0",
        "spin-03",
        "spin-3-3fa29c1",
        "spin-x",
        "3",
        "spin-" + "9" * 19,
        "spin-3\n",
    ):
        with pytest.raises(InvalidPathspec):
            SpinId(wrong)


def test_each_sequence_counts_for_itself(repo: GitRepo) -> None:
    """Neither uses up numbers of the other; those that are reserved are not given again."""
    opened = open_repo(repo)
    first, second, run = (
        SpinIds(opened).reserve(),
        SpinIds(opened).reserve(),
        RunIds(opened).reserve(),
    )
    assert (first.id, second.id, run.id) == ("spin-1", "spin-2", "1")
    locks = Locks(opened.state_dir)
    assert locks.held() == ["1", "spin-1", "spin-2"]
    assert locks.any_run()
    for path in (opened.state_dir / "locks").iterdir():  # as anybody may, at any time
        path.unlink()
    assert locks.held() == ["1", "spin-1", "spin-2"]
    assert locks.run(SpinId("spin-1")).state() is LockState.HELD
    for it in (first, second, run):
        it.lock.release(remove=True)
    assert locks.held() == []


def test_made_up_numbers_use_up_nothing(repo: GitRepo) -> None:
    """A ref that anybody's fetch has brought counts where it is near, and refs of other forms are passed over."""
    head = repo.git("rev-parse", "HEAD")
    for name in ("F/4", f"F/{NUMBERS_AHEAD + 5}", "F/x", "F/1/2", "@x/9", "a-b/9", "F/012"):
        repo.git("update-ref", f"refs/runs-spin/{name}", head)
    assert SpinIds(open_repo(repo)).reserve().id == "spin-5"
