"""Runs and tasks as they are stored: read lazily, each part once, and checked, for a stranger may have written them.

A part that is missing or malformed is a `CorruptRecord` that names the run, the step and the task. Whose values may be
loaded is decided in `trust`.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.preview import Preview, read_preview
from gitflowrun.errors import CorruptRecord, GitflowrunError, MissingObject, NotFound, TooLarge
from gitflowrun.git.objects import Oid
from gitflowrun.limits import (
    LISTED_COMMIT,
    MAX_PREVIEW,
    MAX_STATES,
    OUTPUT_NOTES,
    PREVIEW_TEXT,
    RECORD_SIZE,
    RUN_TREE_SIZE,
    TIMES_SIZE,
)
from gitflowrun.names import TaskName, did_you_mean
from gitflowrun.printing import shown
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status, parse_message
from gitflowrun.runs.line_times import decode_times
from gitflowrun.runs.locks import current_status
from gitflowrun.runs.records import INFO, TASK, RunIdentity, RunInfo, TaskRecord, other_code
from gitflowrun.values import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Commit
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import PayloadIdentity, RunId
    from gitflowrun.runs.commit_message import RunState
    from gitflowrun.runs.lookup.run_summary import RunSummary

_DIGITS = 18  # of a task that is sorted as a number; Python refuses thousands of them
_NUMBER = re.compile("[1-9][0-9]{0,17}")  # such a one, in its shortest form
_END = "end"
_STREAMS = {"stdout": layout.STDOUT, "stderr": layout.STDERR}
_DAMAGE = (CorruptRecord, MissingObject, KeyError)


class StoredRun:
    """A run at one of its commits; what is written later is seen by another `StoredRun`.

    Args:
        repo: The repository.
        flow: The run's flow.
        run: Its id here.
        commit: The commit to read.
        row: The run in a list that was made of this commit.
    """

    def __init__(
        self, repo: Repository, flow: str, run: RunId, commit: Oid, row: RunSummary | None = None
    ) -> None:
        self.flow = flow
        self.id = run
        self.commit = commit
        self.repo = repo
        self._row = row
        self._step_tasks: dict[str, dict[str, Oid]] = {}
        self._step_cards: dict[str, dict[str, Oid]] = {}
        self._made: dict[TaskName, dict[PayloadIdentity, bytes]] = {}

    def __repr__(self) -> str:
        return f"StoredRun({self.pathspec!r} at {self.commit.short})"

    @property
    def pathspec(self) -> str:
        """`Flow/id`."""
        return f"{self.flow}/{self.id}"

    @lazy
    def identity(self) -> RunIdentity:
        """Which run, independent of ids: the oid of its first commit, looked up, not believed."""
        return RunIdentity(self.flow, self.id, self._first_commit())

    @lazy
    def state(self) -> RunState:
        """What the commit's message says."""
        if self._row is not None:
            return self._row.state
        state = parse_message(self._commit.message.decode(errors="replace"))
        if state is None:
            raise CorruptRecord(
                f"{self.pathspec} is damaged: the message of its commit is not that of a run",
                hint=f"`git log -1 {self.commit}` shows what it is",
            )
        return state

    @property
    def status(self) -> Status:
        """How far the run is now: `INTERRUPTED` if it says `running` and nobody runs it."""
        return current_status(self.repo, self.id, self.commit, self.state.status)

    @lazy
    def info(self) -> RunInfo:
        """Its INFO."""
        try:
            return INFO.load(
                msgpack.unpack(self.objects.blob(self._root[layout.INFO], RECORD_SIZE))
            )
        except _DAMAGE as error:
            raise _about(f"INFO of {self.pathspec}", error) from error

    @property
    def tree(self) -> Oid:
        """The tree that it is read from: its commit's."""
        # Git has not compared a listed commit with its id: one that speaks of another run is read again.
        row = self._row
        if row is None or row.state.run != f"{self.flow}/{self.id.number}":
            return self._commit.tree
        return Oid.from_hex(row.tree)

    @property
    def code_tree(self) -> Oid:
        """The snapshot of the work tree."""
        try:
            return self._root[layout.CODE]
        except _DAMAGE as error:
            raise _about(f"code of {self.pathspec}", error) from error

    @property
    def objects(self) -> ObjectStore:
        """The objects it is read from."""
        return self.repo.objects

    def steps(self) -> list[str]:
        """The steps that have tasks, in the graph's order."""
        return order_steps(self.info.graph, self._step_names())

    def known_steps(self) -> list[str]:
        """The same; in alphabetical order where INFO, which has the graph, can't be read."""
        try:
            return self.steps()
        except CorruptRecord:
            return order_steps({}, self._step_names())

    def has_step(self, step: str) -> bool:
        """Whether it is among `known_steps`; to be asked of very many."""
        return step in self._step_names()

    @property
    def end_step(self) -> str:
        """The step that ends the flow."""
        # In every flow that can run, a step called `end` is the last one: INFO need not be read for it.
        return _END if _END in self._steps else str(self.info.graph.get("end_step") or _END)

    def tasks(self, step: str) -> list[str]:
        """The ids of a step's tasks, in the order of their numbers. Raises NotFound: no such step."""
        return list(self._step(step))

    def task(self, name: TaskName) -> StoredTask:
        """A task. Raises NotFound."""
        tree = self._step(name.step).get(name.task)
        if tree is None:
            raise self._no_task(name)
        return StoredTask(self, name, tree)

    def tasks_of(self, step: str) -> Iterator[StoredTask]:
        """The tasks of a step, in the order of their numbers. Raises NotFound: no such step."""
        for task, tree in self._step(step).items():
            yield StoredTask(self, TaskName(step, task), tree)

    def all_tasks(self) -> Iterator[StoredTask]:
        """Every task, step by step."""
        return itertools.chain.from_iterable(map(self.tasks_of, self.steps()))

    def records(self, step: str) -> Iterator[TaskRecord]:
        """The records of a step's tasks, one at a time. Raises NotFound: no such step."""
        return (task.record for task in self.tasks_of(step))

    def other_code(self) -> dict[str, str]:
        """The files whose code tasks have run and that the snapshot has not so, and what is known of each."""
        return other_code(record for step in self.steps() for record in self.records(step))

    def left_out(self) -> dict[str, str]:
        """What ran and is not in the snapshot of the code, from the start on and later; what is known of each."""
        return {**self.info.left_out, **self.other_code()}

    def step_tree(self, step: str) -> tuple[Oid, Mapping[str, Oid]]:
        """The tree of a step, and in it those of its tasks. Raises NotFound: no such step."""
        tasks = self._step(step)
        return self._steps[step], tasks

    @lazy
    def card_trees(self) -> dict[str, Oid]:
        """The trees of the steps whose tasks have cards."""
        tree = self._root.get(layout.CARDS)
        found = self._directory(tree) if tree else {}
        return {name.decode(errors="replace"): oid for name, oid in found.items()}

    def cards_of(self, step: str) -> Mapping[str, Oid]:
        """The trees of the cards of a step's tasks, by the tasks' ids; those without cards are not there."""
        if step not in self._step_cards:
            self._step_cards[step] = self._rows_of(self.card_trees.get(step), step)
        return self._step_cards[step]

    def _rows_of(self, tree: Oid | None, step: str) -> dict[str, Oid]:
        try:
            rows = self.objects.tree_rows(tree, RUN_TREE_SIZE) if tree else ()
            return {name.decode(errors="replace"): oid for name, oid in rows}
        except _DAMAGE as error:
            raise _about(f"{self.pathspec}/{step}", error) from error

    def preview(self, ref: ArtifactRef) -> Preview | None:
        """What the task that made an artifact noted down of it; None where that is nothing.

        Args:
            ref: The artifact, as a task of this run lists it: it may have another name there.
        """
        if ref.preview:
            return read_preview(ref.preview)
        if ref.producer not in self._made:
            made = self._artifacts_of(ref.producer).values()
            self._made[ref.producer] = {it.identity: it.preview for it in made}
        return read_preview(self._made[ref.producer].get(ref.identity, b""))

    def shown(self, ref: ArtifactRef) -> Preview | None:
        """What is shown of an artifact, without running code: of a small value the value, else what its task noted.

        What a task noted is its word: a stranger's may be of something else than what is stored.
        """
        # A run is mostly read without its values.
        from gitflowrun.artifacts.artifacts import ArtifactReader
        from gitflowrun.artifacts.codecs import is_safe

        noted, is_small = self.preview(ref), ref.size <= MAX_PREVIEW and is_safe(ref.codec)
        if not is_small:
            return noted
        try:
            value = ArtifactReader(self.objects).load(ref, trusted=False)
        except GitflowrunError:  # damaged, or of a codec that is not here: the others are shown
            return noted
        if noted is not None:
            from gitflowrun.artifacts.summary import preview_of

            noted = read_preview(preview_of(value, ref))
        return noted or Preview(*shown(value, PREVIEW_TEXT))

    def picture_path(self, name: str, ref: ArtifactRef) -> str | None:
        """The path, in the run's tree, of the picture of a figure; None for values without.

        Args:
            name: The figure's name; it may have another one where it was made.
            ref: The figure, as a task of this run lists it.
        """
        if ref.picture is None:
            return None
        made = self._artifacts_of(ref.producer)
        for own in (name, *made):
            if own in made and made[own].picture == ref.picture:
                return layout.picture_path(ref.producer, own, ref.picture.suffix)
        return None

    def final_task(self) -> StoredTask | None:
        """The task that holds what the run ended up with: the only one of its last step.

        Of a run that did not get to its end, that of the last step which has one task, and succeeded. Without INFO,
        which has the graph, nobody can tell which one that is.
        """
        try:
            steps = self.steps()
        except CorruptRecord:
            steps = [_END] if _END in self._steps else []
        for step in reversed(steps):
            tasks = self.tasks(step)
            if step.startswith("_") or len(tasks) != 1:
                continue
            task = self.task(TaskName(step, tasks[0]))
            if task.record.ok:
                return task
        return None

    def _no_task(self, name: TaskName) -> NotFound:
        return NotFound(
            f"{self.pathspec}/{name.step} has no task {name.task!r}",
            hint=_tasks_hint(self.tasks(name.step)),
        )

    def _artifacts_of(self, task: TaskName) -> Mapping[str, ArtifactRef]:
        try:
            return self.task(task).record.artifacts
        except (NotFound, CorruptRecord):  # whoever asks shows the value without
            return {}

    @lazy
    def _commit(self) -> Commit:
        try:
            return self.objects.commit(self.commit, LISTED_COMMIT)
        except _DAMAGE as error:
            raise _about(self.pathspec, error) from error

    @lazy
    def _root(self) -> dict[bytes, Oid]:
        return self._directory(self.tree)

    @lazy
    def _steps(self) -> dict[str, Oid]:
        tree = self._root.get(layout.STEPS)
        found = self._directory(tree) if tree else {}
        return {name.decode(errors="replace"): oid for name, oid in found.items()}

    def _step_names(self) -> Iterable[str]:
        return self._steps

    def _step(self, step: str) -> dict[str, Oid]:
        known = self._step_tasks.get(step)
        if known is not None:
            return known
        if step not in self._steps:
            hint = did_you_mean(step, self._steps, _steps_hint(self.steps()))
            raise NotFound(f"{self.pathspec} has no step {step!r}", hint=hint)
        found = self._rows_of(self._steps[step], step)
        tasks = {name: found[name] for name in in_task_order(found)} if len(found) > 1 else found
        self._step_tasks[step] = tasks
        return tasks

    def _directory(self, tree: Oid) -> dict[bytes, Oid]:
        try:
            return self.objects.tree_oids(tree)
        except _DAMAGE as error:
            raise _about(self.pathspec, error) from error

    def _first_commit(self) -> Oid:
        """The oid of the first commit.

        The message names it; to be believed, that commit must have no parent and the same INFO, whose nonce
        nobody shares. Otherwise the history tells.
        """
        if not self._commit.parents:
            return self.commit
        claimed = self.state.uid
        if claimed is not None and self._is_first_commit(claimed):
            return claimed
        oid, commit = self.commit, self._commit
        try:
            for _ in range(MAX_STATES):
                if not commit.parents:
                    return oid
                oid = commit.parents[0]
                commit = self.objects.commit(oid, LISTED_COMMIT)
            raise TooLarge(f"it has more than {MAX_STATES:,} commits")
        except _DAMAGE as error:
            raise _about(f"history of {self.pathspec}", error) from error

    def _is_first_commit(self, oid: Oid) -> bool:
        try:
            commit = self.objects.commit(oid, LISTED_COMMIT)
            info = self.objects.entry(commit.tree, layout.INFO)
        except (MissingObject, CorruptRecord):
            return False
        return not commit.parents and info is not None and info.oid == self._root.get(layout.INFO)


class StoredTask:
    """A task of a stored run.

    Args:
        run: The run it is found in, which a clone's record does not name.
        name: Which task.
        tree: Its tree.
    """

    def __init__(self, run: StoredRun, name: TaskName, tree: Oid) -> None:
        self.run = run
        self.name = name
        self.tree = tree

    def __repr__(self) -> str:
        return f"StoredTask({self.pathspec!r})"

    @property
    def pathspec(self) -> str:
        """`Flow/id/step/task`."""
        return f"{self.run.pathspec}/{self.name}"

    @lazy
    def record(self) -> TaskRecord:
        """Its TASK."""
        try:
            record = TASK.load(msgpack.unpack(self.run.objects.blob(self.task_blob, RECORD_SIZE)))
            self._check(record)
        except _DAMAGE as error:
            raise _about(self.told, error) from error
        return record

    def _check(self, record: TaskRecord) -> None:
        if record.name != self.name:
            raise CorruptRecord(f"its record is that of task {record.name}")

    @property
    def cards(self) -> dict[str, Oid]:
        """The blobs of its cards and of their data, by their names (`cards.card_files.card_name`)."""
        tree = self.run.cards_of(self.name.step).get(self.name.task)
        try:
            found = self.run.objects.tree_oids(tree) if tree else {}
        except _DAMAGE as error:
            raise _about(f"the cards of {self.told}", error) from error
        return {name.decode(errors="replace"): oid for name, oid in found.items()}

    @property
    def task_blob(self) -> Oid:
        """The blob of its TASK."""
        try:
            return self._entries[layout.TASK]
        except _DAMAGE as error:
            raise _about(self.told, error) from error

    @property
    def told(self) -> str:
        """What errors call it."""
        return self.pathspec

    @property
    def status(self) -> str:
        """`done` or `failed`; of a task that has not ended, `running`, or `unfinished` if nobody runs it any more."""
        if not self.is_over:
            return "running" if self.run.status is Status.RUNNING else "unfinished"
        return "done" if self.record.ok else "failed"

    @property
    def is_over(self) -> bool:
        """Whether no other attempt follows: one was to follow, but the run has ended before, counts as well."""
        return not self.record.again or self.record.ok or self.run.state.status.is_final

    @property
    def number(self) -> int:
        """The number of the attempt that it is seen as: of its last one."""
        attempts = self.record.attempts
        return attempts[-1].number if attempts else 0

    def at_attempt(self, number: int) -> StoredTask:
        """The task as one of its attempts has left it, with that one's record, artifacts and output.

        Raises:
            NotFound: there was no such attempt.
            CorruptRecord: nothing is there of it.
        """
        attempts = self.record.attempts
        if number not in [attempt.number for attempt in attempts]:
            raise self._no_attempt(number, [attempt.number for attempt in attempts])
        if number == self.number:
            return self
        try:
            attempts_tree = self._entries[layout.ATTEMPTS]
            tree = self.run.objects.tree_oids(attempts_tree)[layout.attempt_name(number)]
        except _DAMAGE as error:
            raise _about(f"attempt {number} of {self.pathspec}", error) from error
        return StoredAttempt(self, number, tree)

    def _no_attempt(self, number: int, known: Sequence[int]) -> NotFound:
        there = f"it has {', '.join(map(str, known))}" if known else "none of it has ended"
        return NotFound(f"{self.pathspec} has no attempt {number}", hint=there)

    @property
    def started(self) -> float | None:
        """When its first attempt started; None of a task that never got to one."""
        attempts = self.record.attempts
        return attempts[0].started if attempts else None

    def output(self, stream: str) -> bytes:
        """What it wrote to `stdout` or `stderr`.

        Raises:
            TooLarge: it is more than tasks here may write; `output_pieces` reads that.
        """
        size, most = self.output_size(stream), self.run.repo.settings.max_log_size + OUTPUT_NOTES
        if size > most:
            raise TooLarge(
                f"{stream} of {self.told} has {size:,} bytes, and no more than {most:,} are read at once",
                hint=f"`git runs logs --{stream} {self.pathspec}{self._option}` prints it piece by piece; the limit "
                "is runs.maxLogSize",
            )
        return b"".join(self.output_pieces(stream))

    def output_size(self, stream: str) -> int:
        """Bytes of what it wrote, found without reading it."""
        parts = self._output_parts(stream)
        try:
            return sum(map(self.run.objects.size, parts))
        except _DAMAGE as error:
            raise _about(f"{stream} of {self.told}", error) from error

    def output_pieces(self, stream: str) -> Iterator[bytes]:
        """What it wrote, however much, in pieces of up to 1 MiB."""
        parts = self._output_parts(stream)
        try:
            for oid in parts:
                yield from self.run.objects.pieces(oid)
        except _DAMAGE as error:
            raise _about(f"{stream} of {self.told}", error) from error

    @property
    def _option(self) -> str:
        """What commands of hints need besides its address."""
        return ""

    def _output_parts(self, stream: str) -> list[Oid]:
        entries = self._entries
        names = (layout.output_part(_STREAMS[stream], part) for part in itertools.count(1))
        return [entries[name] for name in itertools.takewhile(entries.__contains__, names)]

    def lines(self, stream: str) -> Iterator[tuple[float | None, str]]:
        """The lines of a stream, each with the time at which it was written, if that is known. Raises as `output`."""
        text = io.StringIO(self.output(stream).decode(errors="replace"), newline="\n")
        lines = (line.removesuffix("\n") for line in text)  # millions may be empty
        return zip(self.line_times(stream), lines, strict=False)

    def line_times(self, stream: str) -> Iterator[float | None]:
        """When the lines of a stream were written, and None for every later one."""
        times = self._times[0 if stream == "stdout" else 1]
        return itertools.chain(times, itertools.repeat(None))

    @lazy
    def _times(self) -> tuple[list[float], list[float]]:
        oid = self._entries.get(layout.TIMES)
        try:
            return decode_times(self.run.objects.blob(oid, TIMES_SIZE)) if oid else ([], [])
        except _DAMAGE as error:
            raise _about(f"line times of {self.told}", error) from error

    @lazy
    def _entries(self) -> dict[bytes, Oid]:
        try:
            return self.run.objects.tree_oids(self.tree)
        except _DAMAGE as error:
            raise _about(self.told, error) from error


class StoredAttempt(StoredTask):
    """A task as an attempt has left it that was followed by another one.

    Args:
        task: The task.
        number: The attempt.
        tree: Its tree.
    """

    def __init__(self, task: StoredTask, number: int, tree: Oid) -> None:
        super().__init__(task.run, task.name, tree)
        self._number = number

    def _check(self, record: TaskRecord) -> None:
        super()._check(record)
        if not record.attempts or record.attempts[-1].number != self._number:
            raise CorruptRecord("its record is that of another attempt")

    @property
    def told(self) -> str:
        """What errors call it."""
        return f"attempt {self._number} of {self.pathspec}"

    @property
    def is_over(self) -> bool:
        """It has ended."""
        return True

    @property
    def number(self) -> int:
        """The number of the attempt."""
        return self._number

    @property
    def _option(self) -> str:
        return f" --attempt {self._number}"


def order_steps(graph: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Steps in the order in which their graph lists them: each after those that lead to it.

    Private steps come first, those that the graph does not have last.

    Args:
        graph: A run's `_graph_info`. It may be anybody's data: what does not look like a graph is passed over.
        names: The steps.
    """
    steps = graph.get("steps")
    listed = list(steps) if isinstance(steps, Mapping) else []
    place = {name: number for number, name in enumerate(listed)}
    return sorted(
        names, key=lambda name: (not name.startswith("_"), place.get(name, len(place)), name)
    )


def _about(what: str, error: Exception) -> CorruptRecord:
    """What is missing or malformed, as an error about a part of a run."""
    if isinstance(error, CorruptRecord | MissingObject):
        known = error.message.startswith(what)  # a record that needed another one of the task
        message = error.message if known else f"{what}: {error.message}"
        kind = TooLarge if isinstance(error, TooLarge) else CorruptRecord
        return kind(message, hint=error.hint)
    entry = error.args[0]
    name = entry.decode() if isinstance(entry, bytes) else entry
    return CorruptRecord(f"{what}: there is no entry {name}")


def in_task_order(tasks: Iterable[str]) -> list[str]:
    """Tasks by `task_order`. There may be 100,000, so no key is made for each where all are plain numbers."""
    names = sorted(tasks)
    if names and all(map(_NUMBER.fullmatch, names)):
        names.sort(key=len)
    else:
        names.sort(key=task_order)
    return names


def task_order(task: str) -> tuple[int, int, str]:
    """Numbers in their order, before everything else."""
    is_number = task.isascii() and task.isdecimal() and len(task) <= _DIGITS
    return (0, int(task), task) if is_number else (1, 0, task)


def _steps_hint(steps: list[str]) -> str:
    return f"its steps are {', '.join(steps)}" if steps else "none of its tasks has finished yet"


def _tasks_hint(tasks: list[str]) -> str:
    if len(tasks) > 3:  # noqa: PLR2004
        return f"its tasks are {tasks[0]} … {tasks[-1]}"
    return f"its tasks are {', '.join(tasks)}"
