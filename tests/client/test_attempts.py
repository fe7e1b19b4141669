"""A task that was tried again, as the client shows each of its attempts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitflowrun.client import DataArtifact, Step, Task, namespace
from gitflowrun.errors import NotFound, UntrustedArtifact
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState, StartedTask
from gitflowrun.runs.records import Metadatum
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run

PATH = "MyFlow/1/train/2"
TRACE = "Traceback (most recent call last):\n  at some place\nValueError: {}\n"


def tried(writer: RunWriter, number: int) -> FinishedTask:
    """What an attempt has left; the third one succeeds."""
    ok = number == 2
    task = finished_task(
        writer.identity, "train/2", {"n": b"%d" % number}, stdout=f"attempt {number}\n",
        stderr="" if ok else TRACE.format(number), ok=ok, attempt=number, again=not ok,
    )  # fmt: skip
    record = task.record
    last = replace(record.attempts[-1], error=None if ok else f"ValueError: {number}")
    noted = Metadatum("noted", f"[{number}]", "noted", last.started, number)
    attempts = (*record.attempts[:-1], last)
    return replace(task, record=replace(record, attempts=attempts, metadata=(noted,)))


@pytest.fixture
def writer(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunWriter]:
    """A run whose first task is there."""
    monkeypatch.chdir(repo.path)
    namespace(None)
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        yield writer


def test_each_attempt_is_there(writer: RunWriter) -> None:
    """Artifacts, output, times, exception and metadata are those of the attempt that was asked for, or of the last."""
    writer.commit([tried(writer, number) for number in range(3)])
    writer.commit([], status=Status.DONE)
    last = Task(PATH)
    assert (last.current_attempt, last.successful, last.exception) == (2, True, None)
    assert last.data.n == b"2"
    noted = [entry.value for entry in last.metadata if entry.name == "noted"]
    assert sorted(noted) == ["[0]", "[1]", "[2]"]
    assert [it.value for it in last.metadata if it.name == "attempt"] == ["0", "1", "2"]
    ends = [it.value for it in last.metadata if it.name == "attempt_ok"]
    assert sorted(ends) == ["False", "False", "True"]
    for number in range(3):
        task = Task(PATH, attempt=number)
        assert task.current_attempt == number
        assert (task.data.n, task["n"].data) == (b"%d" % number, b"%d" % number)
        assert DataArtifact(f"{PATH}/n", attempt=number).data == b"%d" % number
        assert task.stdout == f"attempt {number}\n"
        assert task.stdout_size == len(task.stdout)
        assert [line for _, line in task.loglines("stdout")] == [f"attempt {number}"]
        assert task.finished is task.successful is (number == 2)
        assert task["_task_ok"].data is (number == 2)
        known = {entry.name: entry.value for entry in task.metadata}
        assert (known["attempt"], known["noted"]) == (str(number), f"[{number}]")
        assert len([entry for entry in task.metadata if entry.name == "attempt"]) == 1
        assert task.created_at == last.created_at
    first = Task(PATH, attempt=0)
    assert first.finished_at is not None
    assert last.finished_at is not None
    assert first.finished_at < last.finished_at
    assert (first.exception.type, first.exception.exception) == ("ValueError", "0")  # type: ignore[union-attr]
    assert "at some place" in str(first.exception)
    assert "attempt 0: failed" in first._repr_html_()
    with pytest.raises(NotFound, match="has no attempt 3"):
        Task(PATH, attempt=3)


def test_an_attempt_that_runs(repo: GitRepo, writer: RunWriter) -> None:
    """The task has not ended; what was before can be asked for."""
    live = LiveState(open_repo(repo), writer.identity.uid)
    name = TaskName.parse("train/2")
    writer.commit([tried(writer, 0)])
    between = Task(PATH)
    assert (between.finished, between.finished_at, between.current_attempt) == (False, None, 0)
    live.start(StartedTask(name, 9.0, (), (), 1))
    live.write(name, "stdout", b"going\n", 1)
    task = Task(PATH)
    assert (task.current_attempt, task.stdout) == (1, "going\n")
    assert (task.finished, task.finished_at, task.exception) == (False, None, None)
    assert Task(PATH, attempt=1).stdout == "going\n"
    assert Task(PATH, attempt=0).stdout == "attempt 0\n"
    assert Task(PATH, attempt=0).exception is not None
    assert Step("MyFlow/1/train").finished_at is None
    writer.commit([tried(writer, 1), tried(writer, 2)])
    assert Step("MyFlow/1/train").finished_at is not None


def test_values_of_an_attempt_are_trusted_as_others_are(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle of a stranger's attempt is not loaded."""
    monkeypatch.chdir(repo.path)
    namespace(None)
    with start_run(repo) as writer:
        task = tried(writer, 0)
        ref = replace(task.record.artifacts["n"], codec="pickle/1", type="x.Y")
        record = replace(task.record, artifacts={"n": ref})
        writer.commit([replace(task, record=record), tried(writer, 1)])
        writer.commit([], status=Status.DONE)
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    assert Task(PATH, attempt=1).data.n == b"1"
    with pytest.raises(UntrustedArtifact):
        _ = Task(PATH, attempt=0).data.n
