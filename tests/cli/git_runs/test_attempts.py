"""What `git runs` shows of tasks that were tried again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gitflowrun.cli.git_runs.look import logs
from gitflowrun.names import TaskName
from gitflowrun.porcelain.progress import ProgressWatch
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState, StartedTask
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run, store_of

NAME = TaskName("train", "2")


def tried(writer: RunWriter, number: int, name: str = "train/2") -> FinishedTask:
    """What an attempt has left; the third one succeeds."""
    ok = number == 2
    task = finished_task(
        writer.identity, name, stdout=f"{name} {number}\n", ok=ok, attempt=number, again=not ok
    )
    attempts = task.record.attempts
    last = replace(attempts[-1], error=None if ok else f"ValueError: \x1b[2J{number}")
    return replace(task, record=replace(task.record, attempts=(*attempts[:-1], last)))


@pytest.fixture
def writer(repo: GitRepo) -> Iterator[RunWriter]:
    """A run whose first task is there, and a second one that was tried once."""
    with start_run(repo) as writer:
        start = finished_task(writer.identity, "start/1", stdout="started\n")
        writer.commit([start, tried(writer, 0)])
        yield writer


@pytest.fixture
def ended(writer: RunWriter) -> None:
    """The same, at its end: one task of two was tried three times."""
    other = finished_task(writer.identity, "train/3", stdout="at once\n")
    writer.commit([tried(writer, 1), tried(writer, 2), other], status=Status.DONE)


@pytest.mark.usefixtures("ended")
def test_show_lists_the_attempts(runs: Runs) -> None:
    """Of a run how many there were, of a task each with its end, and the command that prints what one wrote."""
    assert "  train      2  " in runs("show", "1").out
    assert runs("show", "1").out.count("2 retries") == 1
    out = runs("show", "1/train/2").out
    assert ", 3 attempts\n" in out
    rows = out.partition("\nAttempts\n")[2].splitlines()
    assert [row.split()[:2] for row in rows[1:4]] == [
        ["0", "failed"],
        ["1", "failed"],
        ["2", "done"],
    ]
    assert rows[2].endswith("ValueError: 1")
    words = rows[4].split("`")[1].split()
    assert words[:2] == ["git", "runs"]
    assert runs(*words[2:]).out == "train/2 0\n"
    assert "Attempts" not in runs("show", "1/train/3").out
    rows = runs("show", "1/train").out.splitlines()
    assert rows[1].split()[:3] == ["TASK", "STATUS", "ATTEMPTS"]
    assert [row.split()[2] == "3" for row in rows[2:]] == [True, False]
    assert "ATTEMPTS" not in runs("show", "1/start").out


@pytest.mark.usefixtures("ended")
def test_show_as_json(runs: Runs) -> None:
    """Every attempt has its numbers."""
    task = json.loads(runs("show", "--json", "1/train/2").out)
    assert [(it["number"], it["ok"], it["exit_code"]) for it in task["tries"]] == [
        (0, False, 1), (1, False, 1), (2, True, 0),
    ]  # fmt: skip
    assert task["attempts"] == 3
    run = json.loads(runs("show", "--json", "1").out)
    assert [(it["name"], it["retries"]) for it in run["steps"]] == [("start", 0), ("train", 2)]


def test_show_of_a_run_that_goes_on(repo: GitRepo, runs: Runs, writer: RunWriter) -> None:
    """A failed attempt that is followed is no failure, whether the next one has begun or not."""
    for _ in range(2):
        out = runs("show", "1").out
        assert "1 running, 1 retry" in out
        assert "Failed" not in out
        out = runs("show", "1/train/2").out
        assert "Status:   running, attempt 1\n" in out
        assert "0  failed" in out
        LiveState(open_repo(repo), writer.identity.uid).start(StartedTask(NAME, 9.0, (), (), 1))


def test_progress_of_a_run_that_goes_on(repo: GitRepo, writer: RunWriter) -> None:
    """The task runs until its last attempt has ended."""
    look = ProgressWatch(open_repo(repo), store_of(repo).get("MyFlow", "1")).look
    for number in (1, 2):
        seen = look()
        (train,) = [it for it in seen.steps if it.step == "train"]
        assert (train.done, train.running, train.failed, seen.failed) == (0, 1, 0, None)
        writer.commit([tried(writer, number)])
    (train,) = [it for it in look().steps if it.step == "train"]
    assert (train.done, train.running, train.failed) == (1, 0, 0)


@pytest.mark.usefixtures("ended")
def test_logs_of_an_attempt(runs: Runs) -> None:
    """Of the tasks that had it; the last one without the option. What nobody had is an error."""
    assert runs("logs", "1").out == "started\ntrain/2 2\nat once\n"
    assert runs("logs", "1", "--attempt", "0").out == "started\ntrain/2 0\nat once\n"
    assert runs("logs", "1/train", "--attempt=1").out == "train/2 1\n"
    none = runs("logs", "1/train/2", "--attempt", "3")
    assert (none.code, none.out) == (128, "")
    assert "MyFlow/1/train/2 has no attempt 3\nhint: it has 0, 1, 2" in none.err
    assert runs("logs", "1", "--attempt", "-1").code == 129
    both = runs("logs", "1", "--attempt", "1", "-f")
    assert both.code == 129
    assert "--follow and --attempt don't go together" in both.err


def test_following_shows_every_attempt_once(
    repo: GitRepo, runs: Runs, writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order and to its end, though one is published after the next has begun."""
    live = LiveState(open_repo(repo), writer.identity.uid)

    def begin() -> None:
        live.start(StartedTask(NAME, 9.0, (), (), 1))
        live.write(NAME, "stdout", b"train", 1)

    def next_one() -> None:
        live.write(NAME, "stdout", b"/2 1\n", 1)
        live.start(StartedTask(NAME, 9.5, (), (), 2))
        live.write(NAME, "stdout", b"train/2 2\n", 2)

    def publish() -> None:
        writer.commit([tried(writer, 1)])
        live.drop(NAME, 1)

    def end() -> None:
        writer.commit([tried(writer, 2)], status=Status.DONE)
        live.drop(NAME, 2)
        live.close()

    _then(monkeypatch, begin, next_one, publish, end)
    shown = runs("logs", "-f", "1")
    assert shown.out == "started\ntrain/2 0\ntrain/2 1\ntrain/2 2\n"


def _then(monkeypatch: pytest.MonkeyPatch, *moves: Callable[[], None]) -> None:
    """Each time that `logs -f` waits, the next thing happens."""
    waiting: Any = iter(moves)
    fake = SimpleNamespace(sleep=lambda _: next(waiting)(), time=time.time)
    monkeypatch.setattr(logs, "time", fake)


def test_following_a_run_whose_scheduler_was_killed(repo: GitRepo, runs: Runs) -> None:
    """What was not published of an earlier attempt is gone; that of the last one is there."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", stdout="started\n")])
        live = LiveState(open_repo(repo), writer.identity.uid)
        live.start(StartedTask(NAME, 9.0, (), ()))
        live.start(StartedTask(NAME, 9.5, (), (), 1))
        live.write(NAME, "stdout", b"second\n", 1)
    assert runs("logs", "-f", "1").out == "started\nsecond\n"
    assert "Status:   unfinished\n" in runs("show", "1/train/2").out
