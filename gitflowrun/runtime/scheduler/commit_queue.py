"""The queue of finished tasks that wait for the next commit, and when that is due.

An attempt that has failed and is followed by another one is a finished task as any: it is committed with the others,
and needs no commit of its own. So nothing of it is lost with the scheduler, and nothing is kept of it in memory.
Cards are rendered once their task is published, and come with a later commit.

Whether a commit would let something follow is for the scheduler to judge; without that one is made at most
every max(0.2 s, 20 x what a commit costs), so that commits never take more than 5 % of a run, unless very much is
ready by then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.runs.records import TaskRecord
from gitflowrun.runs.trees import FinishedTask, task_blob
from gitflowrun.runtime.ipc.events import (
    Event,
    ForeachSplit,
    Notice,
    TaskEnded,
    TasksTaken,
    TaskTaken,
)
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.runtime.scheduler.resume import SPLIT_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitflowrun.git.pack.writer import PackObject
    from gitflowrun.names import TaskName
    from gitflowrun.runs.commit_message import Status
    from gitflowrun.runs.live import LiveState
    from gitflowrun.runs.records import Reuse
    from gitflowrun.runs.trees import TaskCards
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.scheduler.attempt import TaskAttempt
    from gitflowrun.runtime.scheduler.card_queue import CardQueue


class CommitQueue:
    """The finished tasks of a run that are not published yet.

    Args:
        loop: The event loop, which wakes when a commit is due.
        writer: Writes the run.
        live: The live state of the run.
        cards: The cards of its tasks.

    Attributes:
        finished: How many tasks are published.
    """

    def __init__(
        self, loop: EventLoop, writer: RunWriter, live: LiveState, cards: CardQueue
    ) -> None:
        self._loop = loop
        self._writer = writer
        self._live = live
        self._cards = cards
        self._has_cards: set[TaskName] = set()
        # With each task its process' number, and whether its output is in the live state.
        self._entries: list[tuple[FinishedTask, int, bool]] = []
        self._output = 0
        self._committed = time.monotonic()
        self.finished = 0

    @property
    def waiting(self) -> bool:
        """Whether anything waits for a commit."""
        return bool(self._entries)

    @property
    def is_heavy(self) -> bool:
        """Whether so much waits that a commit should not wait, for it takes memory, and is lost with this process.

        The more tasks are published, the more the tree of their step takes to be written again, so the more may wait.
        """
        most = max(limits.LEAST_GROUP, self.finished // limits.GROUP_SHARE)
        return self._output > limits.UNCOMMITTED_OUTPUT or len(self._entries) >= most

    @property
    def is_due(self) -> bool:
        """Whether it is time for a commit."""
        return (self.waiting or self._cards.is_ready) and self._wait() <= 0

    @property
    def lacks_cards(self) -> bool:
        """Whether tasks wait whose cards are to be rendered once they are published."""
        return bool(self._has_cards)

    def wake(self) -> None:
        """Have the loop turn when a commit is due."""
        self._loop.after(max(self._wait(), 0), lambda: None)  # that it turns is enough

    def _wait(self) -> float:
        pause = max(limits.COMMIT_INTERVAL, limits.COMMIT_SHARE * self._writer.last_commit_cost)
        return self._committed + pause - time.monotonic()

    def add(
        self, attempt: TaskAttempt, *, again: bool = False, reuse: Reuse | None = None
    ) -> tuple[TaskRecord, Parent]:
        """Add a task of which an attempt has ended: what that has left is kept until it is committed, and no longer.

        Args:
            attempt: The attempt.
            again: Whether another one follows.
            reuse: What the step cache knows of it.

        Returns:
            Its record, and the task as those that follow it refer to it.
        """
        job, result, log = attempt.job, attempt.result, attempt.log
        values = result.split_values if result else ()
        record = TaskRecord(
            name=job.name,
            run=self._writer.identity,
            parents=tuple([parent.name for parent in job.planned.parents]),
            attempts=tuple(job.attempts),
            frames=job.planned.frames,
            iterations=job.planned.iterations,
            transition=result.transition if result and job.attempts[-1].ok else None,
            artifacts=result.artifacts if result else {},
            metadata=result.metadata if result else (),
            other_code=attempt.other_code,
            again=again,
            not_kept=result.not_kept if result else (),
            given=result.given if result else {},
            reuse=reuse,
            extra={SPLIT_VALUES: list(values)} if values else {},
        )
        _, blob = task_blob(record)
        inline, packs = (result.inline, result.packs) if result else ({}, ())
        output = log.output("stdout"), log.output("stderr"), log.times()
        task = FinishedTask(record, inline, *output, packs, blob)
        self._output += log.size + sum([len(it) for it in inline.values()]) + limits.TASK_MEMORY
        if result and result.cards and not again:  # of one that has failed, what it has refreshed
            self._has_cards.add(record.name)
        return record, self._append(task, blob, attempt.pid, is_live=attempt.is_live)

    def add_taken(self, task: FinishedTask) -> Parent:
        """Add a task that another run has done: as those that follow it refer to it."""
        blob = task.blob or task_blob(task.record)[1]
        return self._append(task, blob, 0, is_live=False)

    def _append(self, task: FinishedTask, blob: PackObject, pid: int, *, is_live: bool) -> Parent:
        if not self._entries:
            self.wake()
        self._entries.append((task, pid, is_live))
        assert blob.oid is not None
        return Parent(task.record.name, blob.oid)

    def commit(self, status: Status) -> list[Event]:
        """Publish what waits, and the run's status; the events of what is published.

        Raises:
            RepositoryError: the run can't be recorded any more.
        """
        cards = [*self._cards.take()]
        if not self._entries and not cards and self._writer.status is status:
            return []
        entries, self._entries, self._output = self._entries, [], 0
        self._publish([task for task, _, _ in entries], status, cards)
        self._committed = time.monotonic()
        self._cards.published()
        told: list[Event] = [Notice(text, bad=True) for text in self._cards.take_problems()]
        told += _taken(task.record for task, _, _ in entries if task.origin is not None)
        for task, pid, is_live in entries:
            record = task.record
            if is_live:
                self._live.drop(record.name, record.attempts[-1].number)
            if record.name in self._has_cards:
                self._cards.render(record.name, record.attempts[-1].number)
            if record.ok:
                self.finished += 1
                told += _announced(record, pid if task.origin is None else None)
        self._has_cards.clear()
        if (error := self._writer.unsigned) is not None:
            run = self._writer.identity
            later = f"hint: `git tag -s NAME runs/{run.pathspec}` vouches for it later"
            told.append(
                Notice(f"Run {run.id} is recorded, but not signed: {error}\n{later}", bad=True)
            )
        return told

    def _publish(
        self, tasks: Sequence[FinishedTask], status: Status, cards: Sequence[TaskCards]
    ) -> None:
        """Publish tasks with cards of earlier ones; without these where that fails: no card costs a run its record."""
        before = self._writer.commit_oid
        try:
            self._writer.commit(tasks, status=status, cards=cards)
        except RepositoryError as error:
            is_published = self._writer.commit_oid != before
            if not cards or is_published or isinstance(error, RefConflict):
                raise
            self._cards.lose(error.message)  # their files go, which frees space on a full disk
            try:
                self._writer.commit(tasks, status=status, cards=())
            except RepositoryError:
                raise error from None


def _taken(records: Iterable[TaskRecord]) -> Iterator[Event]:
    """Say which tasks were taken from earlier runs: each by its name, unless they are very many of a step."""
    steps: dict[str, list[tuple[TaskName, str, str]]] = {}
    for record in records:
        if record.reuse is not None and record.reuse.run is not None:
            run = record.reuse.run.pathspec
            row = record.name, run, f"{run}/{record.reuse.task}"
            steps.setdefault(record.name.step, []).append(row)
    for step, rows in steps.items():
        if len(rows) > limits.CLONED_BY_NAME:
            yield TasksTaken(step, len(rows), tuple(dict.fromkeys(run for _, run, _ in rows)))
        else:
            yield from (TaskTaken(name, origin) for name, _, origin in rows)


def _announced(record: TaskRecord, pid: int | None) -> list[Event]:
    """The events of a task that is published; of one that no process has executed in this run, without one."""
    told: list[Event] = []
    jump, last = record.transition, record.attempts[-1]
    if jump is not None and jump.foreach is not None and not jump.is_gang:
        told.append(ForeachSplit(record.name, pid, jump.targets[0], jump.num_splits or 0))
    if pid is not None:
        seconds = last.finished - last.started
        told.append(TaskEnded(record.name, pid, ok=True, attempt=last.number, seconds=seconds))
    return told
