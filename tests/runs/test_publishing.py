from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitflowrun.errors import RefConflict
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run, store_of


@pytest.fixture
def _told_of_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of refs happens, and is reported as a conflict."""
    transaction = Refs.transaction

    def lie(self: Refs, updates: Sequence[RefUpdate]) -> None:
        transaction(self, updates)
        raise RefConflict(f"{updates[0].name} is at {updates[0].new}; somebody else changed it")

    monkeypatch.setattr(Refs, "transaction", lie)


@pytest.mark.usefixtures("_told_of_failure")
def test_a_run_goes_on_when_its_own_move_looks_like_a_conflict(repo: GitRepo) -> None:
    """First commits, later ones and tags that happened count as done: one run, one number, all its tasks."""
    with start_run(repo, tags=["best"]) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        writer.commit([finished_task(writer.identity, "train/2")], status=Status.DONE)
    (run,) = store_of(repo).summaries()
    assert (run.pathspec, run.status, run.tasks, run.tags) == (
        "MyFlow/1",
        Status.DONE,
        2,
        ("best",),
    )
    repo.fsck()


def test_a_real_conflict_is_one(repo: GitRepo) -> None:
    """A ref that somebody else moved is still a conflict, and stays where it is."""
    with start_run(repo) as writer:
        head = repo.git("rev-parse", "HEAD")
        repo.git("update-ref", "refs/runs/MyFlow/1", head)
        with pytest.raises(RefConflict):
            writer.commit([])
    assert repo.git("rev-parse", "refs/runs/MyFlow/1") == head
