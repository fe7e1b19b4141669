"""Values that could run code are loaded from this clone's own runs, and from whom the user trusts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitflowrun import Flow, Run
from gitflowrun.client.flow import rows
from gitflowrun.errors import UntrustedArtifact
from gitflowrun.git.transport.remote import Remote
from gitflowrun.names import TaskName
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunOrigin, TaskRecord
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.trust import Trust
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.client.samples import (
    CANARY,
    SCRIPT,
    Pickled,
    Tasks,
    make_resumed_run,
    make_run,
    open_repo,
    sample_tasks,
    start,
)
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture(autouse=True)
def _quiet_canary() -> Iterator[None]:
    CANARY.clear()
    yield
    CANARY.clear()


@pytest.fixture
def clone(here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A clone that has fetched a stranger's run with a pickle; the current directory."""
    make_run(here, result=Pickled())
    here.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = GitRepo(tmp_path / "clone")
    clone.git("fetch", "-q", "origin", "refs/runs/*:refs/runs/*")
    monkeypatch.chdir(clone.path)
    return clone


def stored(repo: GitRepo, run: str) -> StoredRun:
    """A run as the store has it."""
    return RunStore(open_repo(repo)).get("MyFlow", run)


def test_ones_own_pickles_load(here: GitRepo) -> None:
    """A run made in this clone is trusted, whatever it holds."""
    make_run(here, result=Pickled())
    assert Run("1").data is not None
    _ = Run("1").data.result  # type: ignore[union-attr]
    assert CANARY == ["it sang"]


def test_a_strangers_pickle_is_refused_until_it_is_trusted(clone: GitRepo) -> None:
    """Everything else reads; the pickle says how to trust, and then loads in the same process."""
    data = Run("1").data
    assert data is not None
    assert (data.name, data.alpha) == ("net", 0.5)
    with pytest.raises(UntrustedArtifact, match="MyFlow/1/end/5/result") as caught:
        _ = data.result
    assert "git runs trust" in (caught.value.hint or "")
    assert Run("1").end_task["result"].size > 0  # type: ignore[index]
    assert CANARY == []
    Trust(open_repo(clone)).vouch_for_run(stored(clone, "1"))
    _ = data.result
    assert CANARY == ["it sang"]


def test_a_trusted_remote_is_enough(clone: GitRepo) -> None:
    """Runs load that the next fetch finds at a URL that the user trusts."""
    repo = open_repo(clone)
    Trust(repo).vouch_for_url(Remote(repo, "origin").place)
    with pytest.raises(UntrustedArtifact):
        _ = Run("1").data.result  # type: ignore[union-attr]
    fetch(repo, "origin")
    _ = Run("1").data.result  # type: ignore[union-attr]
    assert CANARY == ["it sang"]


def test_taking_a_task_over_does_not_launder_it(clone: GitRepo) -> None:
    """A run made here that resumed a stranger's holds the stranger's pickles; trusted later, it is resumed again."""
    make_resumed_run(clone, stored(clone, "1"))
    for step in ("join", "end"):
        with pytest.raises(UntrustedArtifact):
            _ = Run("2")[step].task["result"].data  # type: ignore[index]
    assert CANARY == []
    Trust(open_repo(clone)).vouch_for_run(stored(clone, "1"))
    with pytest.raises(UntrustedArtifact, match="result") as caught:
        _ = Run("2")["join"].task["result"].data  # type: ignore[index]
    assert "git runs trust MyFlow/1, and resume it again" in (caught.value.hint or "")
    make_resumed_run(clone, stored(clone, "1"))
    for step in ("join", "end"):
        _ = Run("3")[step].task["result"].data  # type: ignore[index]
    assert CANARY == ["it sang"] * 2


def test_neither_does_a_chain_of_resumes(clone: GitRepo) -> None:
    """However often it was taken over."""
    second = make_resumed_run(clone, stored(clone, "1"))
    make_resumed_run(clone, second)
    with pytest.raises(UntrustedArtifact):
        _ = Run("3")["join"].task["result"].data  # type: ignore[index]


def forge(task: FinishedTask, **changes: Any) -> FinishedTask:
    """A finished task whose record tells something else."""
    record: TaskRecord = replace(task.record, **changes)
    return replace(task, record=record)


def test_forged_records_are_not_believed(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's task that claims to be executed by one of our runs, once taken over, stays refused."""
    ours = make_run(here)
    other = make_repo(tmp_path / "stranger")
    other.write("flow.py", SCRIPT)
    with start(other) as writer:
        done = sample_tasks(writer.identity, Pickled()).done
        writer.commit([forge(task, run=ours.identity) for task in done], status=Status.DONE)
    here.git("fetch", "-q", str(other.path), "refs/runs/MyFlow/1:refs/runs/MyFlow/7")
    make_resumed_run(here, stored(here, "7"))
    monkeypatch.chdir(here.path)
    newest = Run("MyFlow/@latest")
    for run in (Run("7"), newest):
        with pytest.raises(UntrustedArtifact):
            _ = run["join"].task["result"].data  # type: ignore[index]
    assert CANARY == []


def test_a_forged_maker_is_not_believed(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's list that names a task of ours as the maker of its pickle stays refused."""
    other = make_repo(tmp_path / "stranger")
    other.write("flow.py", SCRIPT)
    with start(other) as writer:
        tasks = sample_tasks(writer.identity, Pickled())
        join = tasks.done[4].record
        forged = replace(join.artifacts["result"], producer=tasks.done[5].record.name)
        lie = forge(tasks.done[0], artifacts={"alpha": join.artifacts["alpha"], "result": forged})
        writer.commit(tasks.done)
        writer.commit([lie], status=Status.DONE)
    here.git("fetch", "-q", str(other.path), "refs/runs/MyFlow/1:refs/runs/MyFlow/7")
    make_resumed_run(here, stored(here, "7"))
    monkeypatch.chdir(here.path)
    with pytest.raises(UntrustedArtifact):
        _ = Run("MyFlow/@latest")["_parameters"].task["result"].data  # type: ignore[index]
    assert CANARY == []


def test_what_one_inherits_is_the_makers(clone: GitRepo) -> None:
    """A task executed here that only hands on a stranger's pickle does not vouch for it."""
    make_resumed_run(clone, stored(clone, "1"))
    data = Run("2").data
    assert data is not None
    assert Run("2").end_task["_hidden"].data == 1  # type: ignore[index]
    with pytest.raises(UntrustedArtifact, match="MyFlow/2/end/5/result"):
        _ = data.result
    assert CANARY == []


def test_what_an_older_release_passed_on_is_refused(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older releases recorded neither whose tasks count nor what of others a task of ours handed on."""
    other = make_repo(tmp_path / "stranger")
    other.write("flow.py", SCRIPT)
    with start(other) as writer:
        done = sample_tasks(writer.identity, Pickled()).done
        join = done[4].record
        lie = replace(join.artifacts["result"], producer=TaskName("end", "9"))
        writer.commit(done)
        # Our writer refuses such a record; a stranger has one of their own.
        monkeypatch.setattr(RunWriter, "_check_inherited", lambda *_: None)
        writer.commit([forge(done[4], artifacts={"result": lie})], status=Status.FAILED)
        monkeypatch.undo()
    monkeypatch.chdir(here.path)
    here.git("fetch", "-q", str(other.path), "refs/runs/MyFlow/1:refs/runs/MyFlow/7")
    origin = stored(here, "7")
    with start(here, origin=RunOrigin("resume", origin.identity)) as writer:
        names = [task.name for task in origin.all_tasks() if task.name.step != "end"]
        monkeypatch.setattr(RunWriter, "_check_inherited", lambda *_: None)
        writer.adopt(origin, names)
        tasks = Tasks(writer.identity, refs={"result": lie})
        tasks.add("end/9", {"mine": 1}, parents=["join/4"])
        writer.commit(tasks.done, status=Status.DONE)
    end = Run("MyFlow/@latest")["end"].task
    assert end is not None
    assert end.data.mine == 1
    with pytest.raises(UntrustedArtifact):
        _ = end.data.result
    assert CANARY == []


def test_looking_never_loads(clone: GitRepo) -> None:
    """Listing, showing, table and notebook views of a stranger's run run nothing of it."""
    run = Run("1")
    assert clone.path
    assert list(rows(Flow("MyFlow")))
    assert run._repr_html_()
    assert run.end_task is not None
    assert run.end_task._repr_html_()
    assert run.end_task.metadata_dict
    assert [artifact.type for artifact in run.end_task]
    assert run.code.flowspec
    assert CANARY == []


@pytest.mark.parametrize("kind", ["resume", "clone"])
def test_parameters_that_one_adds_do_not_vouch_for_a_strangers(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A run made here whose own parameters stand beside those of a stranger's run loads none of their pickles."""
    other = make_repo(tmp_path / "stranger")
    other.write("flow.py", SCRIPT)
    with start(other) as writer:
        tasks = Tasks(writer.identity)
        tasks.add("_parameters/0", {"alpha": Pickled()})
        writer.commit(tasks.done, status=Status.FAILED)
    here.git("fetch", "-q", str(other.path), "refs/runs/MyFlow/1:refs/runs/MyFlow/7")
    origin = stored(here, "7")
    with start(here, origin=RunOrigin(kind, origin.identity)) as writer:
        theirs = dict(origin.task(TaskName("_parameters", "0")).record.artifacts)
        tasks = Tasks(writer.identity, refs=theirs)
        tasks.add("_parameters/0", {"beta": 2})
        writer.commit(tasks.done)
        tasks.add("end/1", {})
        writer.commit(tasks.done[1:], status=Status.DONE)
    monkeypatch.chdir(here.path)
    for step in ("_parameters", "end"):
        data = Run("MyFlow/@latest")[step].task.data  # type: ignore[union-attr]
        assert data.beta == 2
        with pytest.raises(UntrustedArtifact):
            _ = data.alpha
    assert CANARY == []
