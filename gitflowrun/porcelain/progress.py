"""How far a run is: of each step how many tasks there are, how many have ended and run, how fast it goes on.

How many tasks a step will have follows from the graph and from the items of each foreach that has been reached; of
what nobody can know yet there is no number. `ProgressWatch` looks again and again, and reads each task's record once.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.limits import OUTPUT_TAIL, RATE_TASKS, TASKS_SECONDS, WATCHED_OUTPUTS
from gitflowrun.names import TaskName
from gitflowrun.porcelain.overview import Failure
from gitflowrun.porcelain.parts import is_private
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import UnfinishedTask, observe
from gitflowrun.runs.read import order_steps
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen, mutable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import TaskRecord


@frozen
class StepProgress:
    """A step of a run.

    Attributes:
        step: Its name.
        done: Its tasks that are done, those of another run that this one has adopted included.
        running: Its tasks that run.
        failed: Its tasks that failed.
        total: How many it will have; None where that is not known yet.
        rate: Tasks a second lately; None where too few have ended.
        left: Seconds until all of a foreach have ended, if it goes on so; None where nobody can tell.
    """

    step: str
    done: int
    running: int
    failed: int
    total: int | None
    rate: float | None
    left: float | None


@frozen
class RunProgress:
    """A run at one moment.

    Attributes:
        run: `Flow/id`.
        status: How far it is.
        seconds: How long it has run, or ran; None where its end is not known.
        tasks: Tasks that are done.
        steps: Its steps in the order of the graph, those to come included.
        failed: The first task that failed, or that can't be read, and why; None where there is none.
        output: The last lines of what running tasks have written, each with its task.
        hosts: Other machines than the scheduler's, and how many tasks run there.
    """

    run: str
    status: Status
    seconds: float | None
    tasks: int
    steps: tuple[StepProgress, ...]
    failed: Failure | None
    output: tuple[tuple[str, str], ...]
    hosts: Mapping[str, int]

    def counts(self) -> tuple[Any, ...]:
        """What is equal of two moments between which nothing has happened."""
        return self.status, [(it.step, it.done, it.running, it.failed) for it in self.steps]


@mutable
class _Step:
    """What is known of a step's tasks that have ended: their names, how many failed, items, and the times of some."""

    ended: set[str]
    failed: int
    splits: int
    times: deque[tuple[float, float]]


class ProgressWatch:
    """Looks at a run as often as it is asked.

    Args:
        repo: The repository.
        run: The run.
    """

    def __init__(self, repo: Repository, run: StoredRun) -> None:
        self._store = RunStore(repo)
        self._flow, self._id = run.flow, run.id
        self._uid = run.identity.uid
        self._steps: dict[str, _Step] = {}
        self._failed: Failure | None = None
        self._hosts: Counter[str] = Counter()

    def look(self) -> RunProgress:
        """How far the run is now.

        Raises:
            NotFound: it is gone.
            CorruptRecord: it can't be read.
        """
        run = self._store.get(self._flow, self._id)
        status, now = run.status, time.time()
        observed = observe(run)
        end = time.process_time() + TASKS_SECONDS
        self._hosts.clear()
        running = {
            step: self._count(observed, step, end)
            for step in observed.known_steps()
            if not is_private(step)
        }
        if status is not Status.RUNNING:
            running = dict.fromkeys(running, 0)
        totals = _totals(run.info.graph, self._steps)
        steps = order_steps(run.info.graph, {*running, *totals})
        state = run.state
        last = state.finished if status is not Status.RUNNING else now
        return RunProgress(
            run=run.pathspec,
            status=status,
            seconds=None if last is None else max(last - state.started, 0.0),
            tasks=state.tasks,
            steps=tuple(
                self._progress(it, running.get(it, 0), totals.get(it), now) for it in steps
            ),
            failed=self._failed,
            output=_last_output(observed) if status is Status.RUNNING else (),
            hosts=dict(sorted(self._hosts.items())) if status is Status.RUNNING else {},
        )

    def _count(self, run: StoredRun, name: str, end: float) -> int:
        """Note the tasks of a step that have ended since the last time; how many have not."""
        step = self._steps.setdefault(name, _Step(set(), 0, 0, deque(maxlen=RATE_TASKS)))
        unfinished = 0
        for task in run.tasks(name):
            if task in step.ended:
                continue
            stored = run.task(TaskName(name, task))
            if isinstance(stored, UnfinishedTask) or not self._is_over(stored):
                unfinished += 1
                if isinstance(stored, UnfinishedTask) and stored.host:
                    self._hosts[stored.host] += 1
                continue
            step.ended.add(task)
            if time.process_time() > end and len(step.ended) > 1:
                continue  # of very many tasks, all that counts is that they have ended
            try:
                self._note(step, stored.record)
            except CorruptRecord as error:
                self._failed = self._failed or Failure(str(stored.name), error.message)
        return unfinished

    def _is_over(self, task: StoredTask) -> bool:
        """Whether no other attempt of it follows; what can't be read is not looked at again."""
        try:
            return task.is_over
        except CorruptRecord:
            return True

    def _note(self, step: _Step, record: TaskRecord) -> None:
        last = record.attempts[-1] if record.attempts else None
        if last is not None and not last.ok:
            step.failed += 1
            self._failed = self._failed or Failure(str(record.name), last.error or "failed")
        if record.transition is not None:
            step.splits += record.transition.num_splits or 0
        if last is not None and record.executor.uid == self._uid:
            step.times.append((last.started, last.finished))

    def _progress(self, name: str, running: int, total: int | None, now: float) -> StepProgress:
        step = self._steps.get(name) or _Step(set(), 0, 0, deque())
        done = len(step.ended) - step.failed
        rate, left = _rate(step.times), None
        if rate and running and total is not None and total > len(step.ended):
            left = max(
                (total - len(step.ended)) / rate - (now - max(end for _, end in step.times)), 0.0
            )
        return StepProgress(name, done, running, step.failed, total, rate, left)


def _rate(times: Sequence[tuple[float, float]]) -> float | None:
    """Tasks a second, from the first start to the last end among the last tasks that have ended."""
    if len(times) < 2:  # noqa: PLR2004  (one says nothing of others)
        return None
    span = max(end for _, end in times) - min(start for start, _ in times)
    return len(times) / span if span > 0 else None


def _totals(graph: Mapping[str, Any], known: Mapping[str, _Step]) -> dict[str, int | None]:
    """How many tasks each step of a graph has in the end; None where that depends on what comes.

    The graph may be anybody's data: what is none has no numbers.
    """
    rows = graph.get("steps")
    items = rows.items() if isinstance(rows, Mapping) else ()
    steps = {name: row for name, row in items if isinstance(row, Mapping)}
    totals: dict[str, int | None] = {str(graph.get("start_step")): 1} if steps else {}
    for name in order_steps(graph, steps):
        total, row = totals.setdefault(name, None), steps[name]
        targets = [str(it) for it in row.get("next") or ()]
        of_each: int | None = total
        if row.get("type") in {"split-foreach", "split-parallel"}:
            found = known.get(name)
            is_known = found is not None and total == len(found.ended) and not found.failed
            of_each = found.splits if found is not None and is_known else None
        elif row.get("type") == "split-switch":
            of_each = None
        for target in targets:
            if target in steps and steps[target].get("type") != "join":
                totals[target] = None if target in totals else of_each
        if (join := str(row.get("matching_join"))) in steps:
            totals[join] = total
    return totals


def _last_output(run: StoredRun) -> tuple[tuple[str, str], ...]:
    """The end of what a running task has written last."""
    newest: tuple[float, UnfinishedTask, str] | None = None
    looked = 0
    for step in run.known_steps():
        for task in reversed(run.tasks(step)):
            stored = run.task(TaskName(step, task))
            if not isinstance(stored, UnfinishedTask) or looked > WATCHED_OUTPUTS:
                break
            looked += 1
            for stream in ("stdout", "stderr"):
                when = stored.output_changed(stream)
                if when is not None and (newest is None or when > newest[0]):
                    newest = when, stored, stream
    if newest is None:
        return ()
    _, stored, stream = newest
    lines = stored.output_tail(stream, OUTPUT_TAIL).decode(errors="replace").split("\n")
    return tuple((str(stored.name), line) for line in lines if line.strip())


def running_run(repo: Repository) -> StoredRun:
    """The newest run that is running, or else the newest one.

    Raises:
        NotFound: there are no runs.
    """
    store = RunStore(repo)
    for row in store.summaries():
        if row.status is Status.RUNNING:
            return store.get(row.flow, row.id)
    latest = store.latest()
    if latest is None:
        raise NotFound(
            "there are no runs in this repository yet", hint="`python FLOW.py run` makes one"
        )
    return latest
