"""The live state of a run: which tasks its scheduler has started, and what they have written so far.

    .git/gitflowrun/live/<uid>/tasks                     a record for each attempt that was started, appended
    .git/gitflowrun/live/<uid>/<step>/<task>.<stream>    output, of tasks that run for longer than `LIVE_AFTER`
    .git/gitflowrun/live/<uid>/<step>/<task>.<n>.<stream>    the same of their n-th attempt after the first
    .git/gitflowrun/live/<uid>/cards/                    what tasks leave for their cards, see `cards.card_files`

It lies in the common git directory, so other processes and linked worktrees see it, and nobody else. The scheduler
writes it, without waiting for the disk; each record is in place before its task is launched, so that a task finds
itself. The record of one that was given to its process ahead is when the scheduler hears that it has begun: who asks
from there waits for that (`own_task`). A task is unfinished as long as no commit of its run has it as the attempt that
was started last has left it.
When the run has ended, git has all and the directory is removed; of a scheduler that was killed it stays for a week,
with all that was written until then.

`observe` gives a stored run its unfinished tasks. Verbs that show a run use it; what resumes, sends or compares
runs does not, for such tasks are not part of the run yet.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from gitflowrun import limits, msgpack
from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import (
    held_entries,
    make_directory,
    open_file,
    open_to_write,
    share_file,
)
from gitflowrun.names import TaskName
from gitflowrun.runs import layout
from gitflowrun.runs.read import StoredRun, StoredTask, in_task_order
from gitflowrun.runs.records import FOREACH_FRAME, ForeachLevel, TaskRecord
from gitflowrun.schema import COUNT, TASK_NAME, TEXT, TIME, ArraySchema, many
from gitflowrun.utilities import own_task
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository

_TASKS = "tasks"
_LENGTH = 4  # bytes that say how long a record is
_STREAMS = ("stdout", "stderr")


@frozen
class StartedTask:
    """A task that was started: which, when, after which tasks, in which foreach levels, for which attempt, and where.

    `host` is the machine, if it is another one than the scheduler's.
    """

    name: TaskName
    started: float
    parents: tuple[TaskName, ...]
    frames: tuple[ForeachLevel, ...]
    attempt: int = 0
    host: str = ""


_STARTED = ArraySchema(
    StartedTask, "started task", TASK_NAME, TIME, many(TASK_NAME), many(FOREACH_FRAME), COUNT, TEXT
)
_LATER: dict[int, list[object]] = {4: [0, ""], 5: [""]}
"""What lacks at the end of records of so many fields, as older releases wrote them."""


class LiveState:
    """Writes the live state of one run. What can't be written is left out: a run does not fail for it.

    Args:
        repo: The repository.
        uid: The run.

    Attributes:
        directory: Where it lies.
    """

    def __init__(self, repo: Repository, uid: Oid) -> None:
        self.directory = self._top = _directory(repo, uid)
        self._tasks = -1

    def start(self, task: StartedTask) -> None:
        """A task is about to be launched."""
        record = msgpack.pack_message(_STARTED.dump(task))
        entry = len(record).to_bytes(_LENGTH, "big") + record
        try:  # which takes less time than `suppress`
            if self._tasks < 0:  # it stays open: a foreach starts tasks by the thousand
                self._tasks = _open_shared(self._top / _TASKS)
            reached("live.started")
            written = os.write(self._tasks, entry)
            if written < len(entry):  # a disk got full: half an entry would hide all that follow
                os.ftruncate(self._tasks, os.fstat(self._tasks).st_size - written)
        except OSError:
            pass

    def write(self, task: TaskName, stream: str, data: bytes, attempt: int = 0) -> None:
        """An attempt of a task has written something."""
        with contextlib.suppress(OSError):
            fd = _open_shared(_output_file(self._top, task, attempt, stream))
            try:
                os.write(fd, data)
            finally:
                os.close(fd)

    def drop(self, task: TaskName, attempt: int = 0) -> None:
        """An attempt of a task is published: its output is in git now."""
        for stream in _STREAMS:
            with contextlib.suppress(OSError):
                _output_file(self._top, task, attempt, stream).unlink()

    def close(self) -> None:
        """The run has ended: git has all."""
        if self._tasks >= 0:
            os.close(self._tasks)
        _remove(self._top)


def observe(run: StoredRun) -> StoredRun:
    """A run with its unfinished tasks, where this repository's scheduler runs it, or ran it until it died."""
    if run.state.status.is_final:
        return run
    top = _directory(run.repo, run.identity.uid)
    try:
        size = (top / _TASKS).lstat().st_size
    except OSError:
        return run
    return run if top.is_symlink() else ObservedRun(run, top, size)


class ObservedRun(StoredRun):
    """A stored run and the tasks that its scheduler has started since.

    Args:
        run: The run as it is stored.
        top: Its live state.
        size: Bytes of the list of started tasks.
    """

    def __init__(self, run: StoredRun, top: Path, size: int) -> None:
        super().__init__(run.repo, run.flow, run.id, run.commit)
        self.top = top
        self._size = size

    @cached_property
    def _unfinished(self) -> dict[TaskName, StartedTask]:
        found = dict(_started_tasks(self.top / _TASKS, self._size))
        for step in super()._step_names():
            try:
                stored = {*super().tasks(step)}
            except CorruptRecord:  # which of them have finished is not known
                stored = {name.task for name in found if name.step == step}
            for task in stored:
                name = TaskName(step, task)
                if name in found and not self._is_further(found[name]):
                    del found[name]
        own = own_task.own_task_of(self.identity.uid)
        if isinstance(own, TaskName) and own not in found and not self._is_stored(own):
            found.update(self._await(own))
        return found

    def _is_stored(self, name: TaskName) -> bool:
        try:
            return name.step in super()._step_names() and name.task in super()._step(name.step)
        except CorruptRecord:
            return True

    def _await(self, name: TaskName) -> dict[TaskName, StartedTask]:
        """Wait until the scheduler has heard that the task that asks has begun; what has begun since."""
        until = time.monotonic() + own_task.HEARD
        while True:
            found = _read_started(self.top / _TASKS, self._size)
            if name in found or time.monotonic() > until:
                return found
            time.sleep(own_task.LOOK_AGAIN)

    def _is_further(self, started: StartedTask) -> bool:
        """Whether an attempt was started after the one that is stored."""
        if not started.attempt:  # as nearly always: very many records need not be read for that
            return False
        try:
            return super().task(started.name).number < started.attempt
        except CorruptRecord:
            return False

    def _step_names(self) -> set[str]:
        return {*super()._step_names(), *(name.step for name in self._unfinished)}

    def tasks(self, step: str) -> list[str]:
        """The ids of a step's tasks, unfinished ones included. Raises NotFound: no such step."""
        running = [name.task for name in self._unfinished if name.step == step]
        if not running:
            return super().tasks(step)
        stored = super().tasks(step) if step in super()._step_names() else []
        return in_task_order({*stored, *running})

    def task(self, name: TaskName) -> StoredTask:
        """A task. Raises NotFound."""
        started = self._unfinished.get(name)
        if started is not None:
            stored = super().task(name) if self._is_stored(name) else None
            return UnfinishedTask(self, started, stored)
        if name.step in self._step_names() - {*super()._step_names()}:
            raise self._no_task(name)
        return super().task(name)

    def tasks_of(self, step: str) -> Iterator[StoredTask]:
        """The tasks of a step; the records of unfinished ones have no attempts. Raises NotFound."""
        return (self.task(TaskName(step, task)) for task in self.tasks(step))


class UnfinishedTask(StoredTask):
    """A task, or a further attempt of one, that no commit of its run has yet: its place, and its output so far.

    Args:
        run: Its run.
        started: What is known of it.
        before: The task as its attempt before has left it, if that is published.
    """

    run: ObservedRun

    def __init__(
        self, run: ObservedRun, started: StartedTask, before: StoredTask | None = None
    ) -> None:
        super().__init__(run, started.name, run.commit)
        self._started = started
        self._before = before

    @property
    def is_over(self) -> bool:
        """It has not ended."""
        return False

    @property
    def started(self) -> float:
        """When its first attempt started."""
        attempts = self.record.attempts
        return attempts[0].started if attempts else self._started.started

    @cached_property
    def record(self) -> TaskRecord:
        """What is known of it: the attempts that have ended are those before."""
        started, before = self._started, self._before
        return TaskRecord(
            started.name,
            self.run.identity,
            parents=started.parents,
            attempts=before.record.attempts if before else (),
            frames=started.frames,
            again=before is not None,
        )

    @property
    def host(self) -> str:
        """The machine it runs on, if it is another one than the scheduler's; or else empty."""
        return self._started.host

    @property
    def number(self) -> int:
        """The number of the attempt that has not ended."""
        return self._started.attempt

    def at_attempt(self, number: int) -> StoredTask:
        """The task as one of its attempts has left it. Raises as that of its class."""
        if number == self.number:
            return self
        if self._before is None:
            raise self._no_attempt(number, [self.number])
        return self._before.at_attempt(number)

    @property
    def task_blob(self) -> Oid:
        """It has none. Raises NotFound."""
        raise NotFound(f"{self.pathspec} has not finished", hint="nothing of it is stored yet")

    def output_size(self, stream: str) -> int:
        """Bytes of what it has written so far."""
        try:
            return _output_file(self.run.top, self.name, self.number, stream).stat().st_size
        except OSError:
            task = self._published
            return task.output_size(stream) if task else 0

    def output_changed(self, stream: str) -> float | None:
        """When it has written to a stream last, in seconds since 1970; None where there is nothing."""
        try:
            return _output_file(self.run.top, self.name, self.number, stream).stat().st_mtime
        except OSError:
            return None

    def output_tail(self, stream: str, size: int) -> bytes:
        """The last bytes that it has written to a stream, from the beginning of a line where there is one."""
        try:
            with open_file(
                _output_file(self.run.top, self.name, self.number, stream), "the output"
            ) as file:
                start = max(file.seek(0, os.SEEK_END) - size, 0)
                file.seek(start)
                data = file.read(size)
        except (OSError, RepositoryError):
            return b""
        return data.partition(b"\n")[2] if start and b"\n" in data else data

    def output_pieces(self, stream: str) -> Iterator[bytes]:
        """What it has written to `stdout` or `stderr` so far."""
        try:
            file = open_file(
                _output_file(self.run.top, self.name, self.number, stream), "the output of a task"
            )
        except (OSError, RepositoryError):
            if task := self._published:
                yield from task.output_pieces(stream)
            return
        with file:
            yield from iter(lambda: file.read(limits.INFLATE_STEP), b"")

    @property
    def _published(self) -> StoredTask | None:
        """The task as git has it, if it has finished in the meantime."""
        run = self.run
        commit = run.repo.refs.get(layout.run_ref(run.flow, run.id))
        if commit is None or commit == run.commit:
            return None
        try:
            return (
                StoredRun(run.repo, run.flow, run.id, commit)
                .task(self.name)
                .at_attempt(self.number)
            )
        except NotFound:
            return None

    @cached_property
    def _times(self) -> tuple[list[float], list[float]]:
        return [], []


@lru_cache(maxsize=4)
def _started_tasks(path: Path, size: int) -> dict[TaskName, StartedTask]:
    """The tasks that a list of them names."""
    return _read_started(path, 0, size)


def _read_started(path: Path, start: int, size: int = -1) -> dict[TaskName, StartedTask]:
    """The tasks that a part of such a list names; what was torn off at its end is passed over."""
    try:
        with open_file(path, "the list of started tasks") as file:
            file.seek(start)
            data = file.read(size)
    except (OSError, RepositoryError):
        return {}
    found = {}
    place = 0
    while place + _LENGTH < len(data):
        begin = place + _LENGTH
        place = begin + int.from_bytes(data[place:begin], "big")
        try:
            task = _STARTED.load(_completed(msgpack.unpack(data[begin:place])))
        except CorruptRecord:
            break
        found[task.name] = task
    return found


def _completed(fields: Any) -> Any:
    return [*fields, *_LATER.get(len(fields), [])] if isinstance(fields, list) else fields


def sweep_live_states(repo: Repository) -> None:
    """Remove what runs that were killed left behind, and have not written to for a week."""
    oldest = time.time() - limits.LIVE_KEPT
    with contextlib.suppress(OSError):
        for directory in held_entries(repo.state_dir / layout.LIVE):
            if max(path.stat().st_mtime for path in (directory, *directory.rglob("*"))) < oldest:
                _remove(directory)


def remove_live_state(repo: Repository, uid: Oid) -> None:
    """Remove what a run that is gone has left behind."""
    _remove(_directory(repo, uid))


def _directory(repo: Repository, uid: Oid) -> Path:
    return layout.live_directory(repo.state_dir, uid)


def _open_shared(path: Path) -> int:
    """Open a file to append to, for all who share the repository."""
    is_new = not path.exists()
    if is_new:
        make_directory(path.parent)
    fd = open_to_write(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    if is_new:
        share_file(path)
    return fd


def _output_file(top: Path, task: TaskName, attempt: int, stream: str) -> Path:
    number = f".{attempt}" * (attempt > 0)
    return top / task.step / f"{task.task}{number}.{stream}"


def _remove(directory: Path) -> None:
    if directory.exists():
        import shutil  # an import of 3 ms, for runs that have live logs

        shutil.rmtree(directory, ignore_errors=True)
