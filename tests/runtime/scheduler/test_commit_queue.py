"""When finished tasks are committed, and what is said of them, with a writer that writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun import limits
from gitflowrun.git.objects import Oid
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.records import Attempt, ForeachLevel, RunIdentity, Transition
from gitflowrun.runs.trees import task_blob
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Event, ForeachSplit, Notice, TaskEnded
from gitflowrun.runtime.ipc.messages import Parent, Result
from gitflowrun.runtime.scheduler.attempt import Job, TaskAttempt
from gitflowrun.runtime.scheduler.card_queue import CardQueue
from gitflowrun.runtime.scheduler.commit_queue import CommitQueue
from gitflowrun.runtime.scheduler.logs import TaskLog
from gitflowrun.runtime.scheduler.plan import PlannedTask
from tests.helpers.runs import artifact

RUN = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20))
FRAMES = (ForeachLevel("start", "items", 2, 1, "y"),)
PARENT = Parent(TaskName("start", "1"), Oid(b"p" * 20))


class Fakes:
    """A queue, its writer, and what it has asked of others."""

    def __init__(self) -> None:
        self.commits: list[tuple[Any, ...]] = []
        self.dropped: list[tuple[TaskName, int]] = []
        self.timers: list[float] = []
        self.writer = SimpleNamespace(
            identity=RUN, status=Status.RUNNING, unsigned=None, last_commit_cost=0.0, commit_oid=None,
            commit=lambda tasks, status, cards: self.commits.append((tasks, status, *cards)),
        )  # fmt: skip
        loop = SimpleNamespace(after=self._after)
        live = SimpleNamespace(drop=lambda *it: self.dropped.append(it))
        cards = CardQueue(cast("Any", None), Path("/nowhere"), None)
        self.queue = CommitQueue(
            cast("Any", loop), cast("Any", self.writer), cast("Any", live), cards
        )

    def _after(self, seconds: float, _: Callable[[], None]) -> None:
        self.timers.append(seconds)

    def commit(self, status: Status = Status.RUNNING) -> list[Event]:
        """Commit what waits."""
        return self.queue.commit(status)


@pytest.fixture
def fakes() -> Fakes:
    """A queue with nothing in it."""
    return Fakes()


def ended(result: Result | None, *, ok: bool = True, is_live: bool = False) -> TaskAttempt:
    """An attempt whose process has ended."""
    job = Job(PlannedTask("train", (PARENT,), FRAMES), TaskName("train", "2"))
    job.attempts.append(Attempt(1, 10.0, 12.5, ok=ok))
    attempt = TaskAttempt(cast("EventLoop", None), job, 1, TaskLog(1000), lambda *_: None)
    attempt.pid, attempt.result, attempt.is_live = 7, result, is_live
    attempt.log.feed("stdout", b"out\n", 1.0)
    attempt.log.feed("stderr", b"err\n", 2.0)
    return attempt


def test_a_record_has_what_the_task_made(fakes: Fakes) -> None:
    """Parents, frames, transition, items of a foreach, other code, output by stream, packs; who follows has its id."""
    jump = Transition(("end",), "items", 2)
    value = artifact(b"value", TaskName("train", "2"))
    attempt = ended(Result(1, {"x": value}, {}, ("a.pack",), jump, ("x", "y")))
    attempt.other_code = {"f.py": "why"}
    record, parent = fakes.queue.add(attempt)
    assert (record.name, record.run, record.parents) == (attempt.job.name, RUN, (PARENT.name,))
    assert (record.frames, record.artifacts) == (FRAMES, {"x": value})
    assert (record.transition, record.other_code) == (jump, {"f.py": "why"})
    assert [*record.extra.values()] == [["x", "y"]]
    oid, blob = task_blob(record)
    assert parent == Parent(record.name, oid)
    fakes.commit()
    (((task,), status),) = fakes.commits
    assert status is Status.RUNNING
    assert (task.record, task.packs, task.blob) == (record, ("a.pack",), blob)
    assert (task.stdout, task.stderr, task.times) == (b"out\n", b"err\n", attempt.log.times())


def test_a_task_that_failed_or_said_nothing_leads_nowhere(fakes: Fakes) -> None:
    """What it said of the next step is not recorded; one whose process died made nothing."""
    failed, _ = fakes.queue.add(ended(Result(1, {}, {}, (), Transition(("end",))), ok=False))
    silent, _ = fakes.queue.add(ended(None))
    assert failed.transition is silent.transition is None
    assert failed.extra == silent.extra == silent.artifacts == {}


def test_an_attempt_that_is_followed_is_committed_without_a_word(fakes: Fakes) -> None:
    """Its record says that another one follows."""
    record, _ = fakes.queue.add(ended(None, ok=False, is_live=True), again=True)
    assert (record.again, record.ok) == (True, False)
    assert fakes.commit() == []
    assert (fakes.queue.finished, fakes.dropped) == (0, [(record.name, 1)])


def test_events_come_when_tasks_are_published(fakes: Fakes) -> None:
    """Those that succeeded count and are told, with a foreach before its task's end; live output is given up."""
    queue = fakes.queue
    queue.add(ended(Result(1, {}, {}, (), Transition(("end",), "items", 2)), is_live=True))
    queue.add(ended(Result(1, {}, {}, (), Transition(("end",)))))
    queue.add(ended(None, ok=False))
    assert queue.waiting
    name = TaskName("train", "2")
    end = TaskEnded(name, 7, ok=True, attempt=1, seconds=2.5)
    assert fakes.commit() == [ForeachSplit(name, 7, "end", 2), end, end]
    assert (queue.finished, fakes.dropped, queue.waiting) == (2, [(name, 1)], False)


def test_nothing_new_is_not_committed(fakes: Fakes) -> None:
    """No task and no other status is no commit; one of them is enough."""
    assert fakes.commit() == []
    assert fakes.commits == []
    fakes.commit(Status.DONE)
    fakes.writer.status = Status.DONE
    fakes.queue.add(ended(None))
    fakes.commit(Status.DONE)
    assert [(len(tasks), status) for tasks, status in fakes.commits] == [
        (0, Status.DONE),
        (1, Status.DONE),
    ]


def test_who_can_not_sign_is_told(fakes: Fakes) -> None:
    """The run is recorded all the same, and how to vouch for it later is said."""
    fakes.writer.unsigned = "no key"
    (notice,) = fakes.commit(Status.DONE)
    assert isinstance(notice, Notice)
    assert notice.bad
    assert notice.text.startswith("Run 3 is recorded, but not signed: no key\n")
    assert "runs/MyFlow/3" in notice.text


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 0.25), (0.5, 2.0)])
def test_commits_never_take_more_than_a_share_of_a_run(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, cost: float, pause: float
) -> None:
    """One is due after a pause since the last, the longer the more that cost; the loop is woken then, once."""
    monkeypatch.setattr(limits, "COMMIT_INTERVAL", 0.25)
    monkeypatch.setattr(limits, "COMMIT_SHARE", 4)
    now = 1024.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    fakes.commit(Status.DONE)
    fakes.writer.status, fakes.writer.last_commit_cost = Status.DONE, cost
    now += pause / 4
    for _ in range(2):
        fakes.queue.add(ended(None))
    assert fakes.timers == [pause * 3 / 4]
    assert not fakes.queue.is_due
    now += pause / 2
    assert not fakes.queue.is_due
    now += pause / 4
    assert fakes.queue.is_due
    fakes.commit(Status.DONE)
    now += 2 * pause
    assert not fakes.queue.is_due  # nothing waits
    fakes.queue.add(ended(None))
    assert fakes.timers[1:] == [0]
    assert fakes.queue.is_due


def test_much_output_does_not_wait_in_memory(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a limit is heavy, until it is committed."""
    monkeypatch.setattr(limits, "UNCOMMITTED_OUTPUT", 16)
    monkeypatch.setattr(limits, "TASK_MEMORY", 0)
    for _ in range(2):
        for heavy in (False, False, True):
            fakes.queue.add(ended(None))
            assert fakes.queue.is_heavy is heavy
        fakes.commit()
        assert not fakes.queue.is_heavy


def test_payloads_and_records_do_not_wait_in_memory(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What travels with a result counts, and what each task takes besides."""
    monkeypatch.setattr(limits, "UNCOMMITTED_OUTPUT", 1000)
    monkeypatch.setattr(limits, "TASK_MEMORY", 100)
    value = artifact(b"v" * 500, TaskName("train", "2"))
    result = Result(1, {"x": value}, {value.digest: b"v" * 500}, (), None)
    for wanted in (False, True):
        fakes.queue.add(ended(result))
        assert fakes.queue.is_heavy is wanted
    fakes.commit()
    for number in range(1, 12):
        fakes.queue.add(ended(None))
        assert fakes.queue.is_heavy is (number > 9)  # each has written 8 bytes


def test_how_many_tasks_may_wait_grows_with_their_run(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So neither is much lost with the scheduler, nor is a large tree written too often."""
    monkeypatch.setattr(limits, "LEAST_GROUP", 3)
    monkeypatch.setattr(limits, "GROUP_SHARE", 2)
    sizes = []
    for _ in range(4):
        size = 0
        while not fakes.queue.is_heavy:
            fakes.queue.add(ended(None))
            size += 1
        sizes.append(size)
        fakes.commit()
    assert sizes == [3, 3, 3, 4]
    assert fakes.queue.finished == sum(sizes)
