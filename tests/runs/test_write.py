"""What writing a run does besides its commits: locks, packs, the index of payloads, what is undone when it fails."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import TaskName
from gitflowrun.runs.found import FoundObjects
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.maintenance import RunMaintenance
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import TaskCards
from tests.helpers.packs import blob, noise
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact, finished_task, open_repo, start_run, store_of, with_packs

PAYLOAD = noise(100_000, 3)


def test_a_lock_that_was_deleted_is_there_again_with_the_next_commit(repo: GitRepo) -> None:
    """`.git/gitflowrun` may be deleted at any time: whoever looks at locks sees the run again."""
    opened = open_repo(repo)
    with start_run(repo) as writer:
        shutil.rmtree(opened.state_dir)
        assert Locks(opened.state_dir).runs() == set()
        writer.commit([])
        assert Locks(opened.state_dir).runs() == {"1"}
        writer.commit([], status=Status.DONE)
    assert Locks(opened.state_dir).runs() == set()


def test_who_stops_writing_stops_all_that_goes_on(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold of packs and git's process for refs end with it; what a commit cost is known."""
    ended: list[str] = []
    with start_run(repo) as writer:
        assert writer.last_commit_cost == 0
        writer.commit([])
        assert writer.last_commit_cost > 0
        stop, close = RunMaintenance.stop, Refs.close

        def stopped(fold: RunMaintenance) -> None:
            ended.append("fold")
            stop(fold)

        def closed(refs: Refs) -> None:
            ended.append("refs")
            close(refs)

        monkeypatch.setattr(RunMaintenance, "stop", stopped)
        monkeypatch.setattr(Refs, "close", closed)
    assert ended == ["fold", "refs"]


def test_packs_are_counted_and_large_payloads_are_made_known(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once they are released; of small payloads, which travel with the commit, nothing is noted."""
    opened = open_repo(repo)
    counts: list[int] = []
    noted: list[list[Any]] = []
    monkeypatch.setattr(RunMaintenance, "packs_released", lambda _, count: counts.append(count))
    with start_run(repo) as writer:
        assert counts == [1]
        DedupIndex(opened.state_dir, opened.objects).rebuild([])
        monkeypatch.setattr(DedupIndex, "add", lambda _, refs, ref: noted.append([*refs, ref]))
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"small"})])
        assert (counts, noted) == ([1, 1], [])
        pack = opened.packs.write([blob(PAYLOAD)])
        writer.commit([
            with_packs(finished_task(writer.identity, "a/2", {"x": PAYLOAD}), pack.name)
        ])  # fmt: skip
        ref = artifact(PAYLOAD, TaskName("a", "2"))
        assert (counts, noted) == ([1, 1, 2], [[ref, "refs/runs/MyFlow/1"]])
        # What was found is of this run from now on, too.
        writer.commit([with_packs(finished_task(writer.identity, "a/3", {"x": PAYLOAD}))])
        assert counts == [1, 1, 2, 1]
        DedupIndex(opened.state_dir, opened.objects).remove()
        before = len(noted)
        writer.commit([with_packs(finished_task(writer.identity, "a/4", {"x": PAYLOAD}))])
        assert len(noted) == before
    assert not [*opened.packs.pack_dir.glob("*.keep")]


def test_cards_come_with_a_later_commit_and_go_along_with_their_tasks(repo: GitRepo) -> None:
    """Stock git writes them to files; a run that adopts tasks, or whole steps, has their cards."""
    with start_run(repo) as writer:
        tasks = [
            finished_task(writer.identity, name, {"x": b"x"}) for name in ("a/1", "a/2", "b/3")
        ]
        writer.commit(tasks)
        writer.commit([], cards=[
            TaskCards(TaskName("a", "1"), {"0-default.html": b"one", "0-default.json": b"{}"}),
            TaskCards(TaskName("b", "3"), {"0-blank-x.html": b"three"}),
        ])  # fmt: skip
        writer.commit(
            [], status=Status.DONE, cards=[TaskCards(TaskName("a", "1"), {"1-new.html": b"2"})]
        )
    assert repo.git("show", "runs/MyFlow/1:cards/a/1/0-default.html") == "one"
    run = store_of(repo).find("1")
    cards = run.task(TaskName("a", "1")).cards
    assert [*cards] == ["0-default.html", "0-default.json", "1-new.html"]
    assert run.objects.blob(cards["1-new.html"], 10) == b"2"
    assert run.task(TaskName("a", "2")).cards == {}
    assert repo.call("fsck").code == 0
    with start_run(repo) as writer:
        writer.adopt(run, [TaskName("b", "3")], ["a"])
        writer.commit([], status=Status.DONE)
    for name in ("a/1/1-new.html", "b/3/0-blank-x.html"):
        assert repo.git("rev-parse", f"runs/MyFlow/2:cards/{name}") == repo.git(
            "rev-parse", f"runs/MyFlow/1:cards/{name}"
        )
    repo.fsck()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_fails_leaves_the_run_as_it_was(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its ref, its tags and its tasks; no pack is kept, and the same task can be written again."""
    opened = open_repo(repo)
    with start_run(repo, tags=["best"]) as writer:
        before = repo.git("for-each-ref")
        looks = iter([when == "before", True])

        def gone(_: FoundObjects) -> Sequence[str]:
            if next(looks):
                raise RepositoryError("it was removed meanwhile")
            return []

        with monkeypatch.context() as patched:
            patched.setattr(FoundObjects, "copy_unheld", gone)
            with pytest.raises(RepositoryError, match="removed meanwhile"):
                writer.commit([finished_task(writer.identity, "end/1", {"x": b"1"}, ok=False)])
        assert repo.git("for-each-ref") == before
        assert not [*opened.packs.pack_dir.glob("*.keep")]
        assert store_of(repo).get("MyFlow", "1").steps() == []
        writer.commit([finished_task(writer.identity, "end/2", {"x": b"2"})], status=Status.DONE)
    run = store_of(repo).get("MyFlow", "1")
    assert (run.tasks("end"), run.state.tasks, run.state.failed_step) == (["2"], 1, "")
    repo.fsck()


def test_a_ref_that_can_not_be_put_back_hides_no_error(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody else has moved it by then, what went wrong first is told."""
    with start_run(repo) as writer:
        transaction, looks, moves = Refs.transaction, iter([False, True]), list[int]()

        def once(refs: Refs, updates: Sequence[RefUpdate]) -> None:
            moves.append(len(updates))
            if len(moves) > 1:
                raise RefConflict("somebody was faster")
            transaction(refs, updates)

        def gone(_: FoundObjects) -> Sequence[str]:
            if next(looks):
                raise RepositoryError("it was removed meanwhile")
            return []

        monkeypatch.setattr(Refs, "transaction", once)
        monkeypatch.setattr(FoundObjects, "copy_unheld", gone)
        with pytest.raises(RepositoryError, match="removed meanwhile"):
            writer.commit([])
        assert moves == [1, 1]
