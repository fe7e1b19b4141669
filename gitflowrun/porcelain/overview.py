"""Runs, steps, tasks and artifacts as people want to see them: plain values, gathered from records.

No artifact is loaded, with one exception: a small value whose codec runs no code is shown as text, because
which number became which is what people look for.
"""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, GitflowrunError, RepositoryError
from gitflowrun.limits import (
    COMMIT_SIZE,
    FAILURES_SHOWN,
    MAX_NOTICES,
    TASK_ARTIFACTS_SHOWN,
    TASKS_COUNTED,
    TASKS_SECONDS,
    TASKS_SHOWN,
)
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.porcelain.notes import Notes
from gitflowrun.porcelain.parts import final_artifacts, is_private
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import UnfinishedTask, observe
from gitflowrun.runs.records import RunInfo, other_code
from gitflowrun.runs.spins.given import parameters_as_given
from gitflowrun.runs.trust import Trust
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.cards.found_cards import FoundCard
    from gitflowrun.git.objects import Oid
    from gitflowrun.names import Digest
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import Reuse, TaskRecord


_ATTEMPTS_SHOWN = 100
"""Of a task: a stranger's record may list thousands."""


@frozen
class ArtifactRow:
    """An artifact in a list.

    Attributes:
        name: Its name.
        type: Its value's type.
        size: Bytes of its payload.
        codec: How the payload is written.
        blake3: The payload's digest.
        task: The task that made it, as `step/task`.
        preview: The value as text, as its task or, of a small one, Python shows it; cut where it is long. None
            where nothing is known of it: no pickle is loaded here, and no module for a class.
        facts: What its task noted of it besides: shape, columns, statistics.
        picture: The path of a figure's picture in the run's tree.
    """

    name: str
    type: str
    size: int
    codec: str
    blake3: Digest
    task: str
    preview: str | None
    facts: Mapping[str, str]
    picture: str | None


@frozen
class AttemptRow:
    """An attempt of a task that has ended.

    Attributes:
        number: Which, from 0.
        ok: Whether it succeeded.
        started: When it began.
        seconds: How long it took.
        cpu: CPU seconds.
        max_rss: Its peak of resident bytes.
        exit_code: How its process ended; minus the signal number when a signal ended it.
        error: What ended it.
        where: Which machine and agent executed it, where an engine placed it; else empty.
        lost: Why it was launched again, for each time that its worker was lost.
    """

    number: int
    ok: bool
    started: float
    seconds: float
    cpu: float
    max_rss: int
    exit_code: int
    error: str | None
    where: str
    lost: tuple[str, ...]


@frozen
class CardRow:
    """A card of a task.

    Attributes:
        task: The task, as `step/task`.
        type: The name of its type.
        id: The id that the user has given to it.
        hash: Git's id of it as HTML; of one that its task still changes, of its place.
        path: Where it lies: what `git show` understands, or a file.
    """

    task: str
    type: str
    id: str | None
    hash: str
    path: str


@frozen
class CacheRow:
    """What the step cache has done about a task.

    Attributes:
        taken_from: The address of the task of an earlier run that has done it; None of one that was executed.
        executed: Why it was executed; empty where nothing was looked for, and of one that was taken.
        unfit: Why no other run can have it; empty where one can.
    """

    taken_from: str | None
    executed: str
    unfit: str


@frozen
class TaskOverview:
    """A task.

    Attributes:
        pathspec: `Flow/run/step/task`.
        status: `done`, `failed`, `running`, or `unfinished` where nobody runs it any more.
        ok: Whether its last attempt succeeded.
        started: When its last attempt began.
        seconds: How long its last attempt took.
        attempts: How many have ended.
        tries: These, the first one first.
        cpu: CPU seconds of the last attempt.
        max_rss: Its peak of resident bytes.
        exit_code: How its process ended; minus the signal number when a signal ended it.
        error: What ended it.
        foreach: `variable[index]=value` of each foreach it is in, its node of a gang, and its iteration of a loop.
        parents: The tasks whose artifacts it saw.
        goes_to: The steps it chose to go on with.
        host: The machine on which it runs, while it does, if that is another one than the scheduler's.
        origin: The run that executed it, if this run has it from there.
        cache: What the step cache has done about it; None where the cache was off.
        other_code: Files whose code it ran and that the snapshot has not so, and what is known of each.
        not_kept: The names of what it has set or inherited and nobody stored: of a spun task.
        given: The values that were put in the place of inherited ones, as texts: of a spun task.
        cards: Its cards.
        artifacts: What it made, and what it inherited.
    """

    pathspec: str
    status: str
    ok: bool
    started: float | None
    seconds: float | None
    attempts: int
    tries: tuple[AttemptRow, ...]
    cpu: float
    max_rss: int
    exit_code: int | None
    error: str | None
    foreach: tuple[str, ...]
    parents: tuple[str, ...]
    goes_to: tuple[str, ...]
    host: str
    origin: str | None
    cache: CacheRow | None
    other_code: Mapping[str, str]
    not_kept: tuple[str, ...]
    given: Mapping[str, str]
    cards: tuple[CardRow, ...]
    artifacts: tuple[ArtifactRow, ...]


@frozen
class StepOverview:
    """A step of a run: how many tasks it has, how many failed, were adopted, have not ended; how long they took.

    `retries` are the attempts that followed a failed one.

    `seconds` spans from the first start to the last end of tasks that ran in this run; None when none did. Of a run
    with very many tasks, `not_counted` are those of which nothing but their number was looked at.

    `decorators` are the names of its decorators, the uppermost first. Where the step cache was on, `taken` has the runs
    from which tasks were taken, `executed` why others were executed, and how many each.
    """

    name: str
    tasks: int
    failed: int
    unfinished: int
    adopted: int
    retries: int
    seconds: float | None
    not_counted: int
    decorators: tuple[str, ...] = ()
    taken: Mapping[str, int] = field(default_factory=dict)
    executed: Mapping[str, int] = field(default_factory=dict)


@frozen
class StepDetails:
    """A step of a run and its tasks, the first ones of very many; `more` is how many others it has."""

    pathspec: str
    tasks: tuple[TaskOverview, ...]
    more: int


@frozen
class Failure:
    """A task that failed, or can't be read, and why."""

    task: str
    error: str


@frozen
class CodeState:
    """Which code a run used: the commit below it, what had changed since, and the command that started it where.

    `directory` is relative to the work tree; None where that is not known.

    `dirty` and `left_out` name some of the files, `dirty_count` and `left_out_count` say how many there were.
    `other_code` has the files that ran otherwise than the snapshot has them, what is known of each, and the steps.
    """

    commit: str | None
    branch: str | None
    remote: str | None
    script: str
    command: tuple[str, ...]
    directory: str | None
    dirty: tuple[str, ...]
    dirty_count: int
    left_out: tuple[str, ...]
    left_out_count: int
    other_code: Mapping[str, str]


@frozen
class RunOverview:
    """A run; `note` is the git note on it, `signed_by` what it says itself of its signature, if it has one.

    `configs` says of each config where it came from. Of a spun task that was given other values `given` has these, and
    `given_by` the file that they are from; `parameters` are what the task had, or, as it ended before that was known,
    those of its origin. Of tasks whose records are damaged or too large to be read,
    `unreadable` has the first twenty; `failures` has the first hundred. Where INFO, the history or the list of steps
    is damaged, the status is `DAMAGED`, `unreadable` says why, and what only they tell is empty.
    """

    pathspec: str
    uid: Oid
    commit: Oid
    note: str | None
    signed_by: str | None
    status: Status
    started: float
    finished: float | None
    user: str
    host: str
    tags: tuple[str, ...]
    system_tags: tuple[str, ...]
    origin: str | None
    parameters: Mapping[str, str]
    configs: Mapping[str, str]
    given: Mapping[str, str]
    given_by: str | None
    code: CodeState
    versions: Mapping[str, str]
    platform: str
    packages: int
    steps: tuple[StepOverview, ...]
    failures: tuple[Failure, ...]
    unreadable: tuple[Failure, ...]
    artifacts: tuple[ArtifactRow, ...]


def _configs(sources: object) -> dict[str, str]:
    """Where the configs of a run come from, in what anybody may have written."""
    rows = sources.items() if isinstance(sources, dict) else ()
    return {name: it for name, it in rows if isinstance(name, str) and isinstance(it, str)}


def run_overview(run: StoredRun, tags: tuple[str, ...]) -> RunOverview:
    """A run with its steps, failures and final artifacts."""
    lost: list[Failure] = []
    info, uid = _info(run, lost), _uid(run, lost)
    tally = _Tally(_observed(run), uid, lost)
    origin, packages = info.origin, info.environment.get("packages")
    return RunOverview(
        pathspec=run.pathspec,
        uid=uid,
        commit=run.commit,
        note=Notes(run.repo).shown(uid),
        signed_by=_signed_by(run),
        status=Status.DAMAGED if lost else run.status,
        started=info.created,
        finished=run.state.finished,
        user=info.user,
        host=info.host,
        tags=tags,
        system_tags=info.system_tags,
        origin=f"{origin.kind} {origin.run.pathspec}" if origin else None,
        parameters=parameters_as_given(info, tally.given),
        configs=_configs(info.environment.get("configs")),
        given=tally.given,
        given_by=str(info.environment.get("artifacts_module") or "") or None,
        code=_code(
            info,
            tally.other_code,
            trusted=is_trusted(run),
        ),
        versions=dict(info.versions),
        platform=str(info.environment.get("platform") or ""),
        packages=len(packages) if isinstance(packages, dict) else 0,
        steps=tuple(tally.steps),
        failures=tuple(tally.failures),
        unreadable=(*lost, *tally.unreadable),
        artifacts=result_rows(run, _final_artifacts(run)),
    )


def _info(run: StoredRun, lost: list[Failure]) -> RunInfo:
    """A run's INFO; where it can't be read, what the message of the commit has of it."""
    try:
        return run.info
    except CorruptRecord as error:
        lost.append(Failure("INFO", error.message))
        state = run.state
        git = {"commit": str(state.code_commit)} if state.code_commit else {}
        return RunInfo(run.flow, state.user, "", {}, {}, git, {}, {}, created=state.started)


def _uid(run: StoredRun, lost: list[Failure]) -> Oid:
    """A run's uid; where its history can't be read, what the message of the commit says."""
    try:
        return run.identity.uid
    except CorruptRecord as error:
        lost.append(Failure("history", error.message))
        return run.state.uid or run.commit


def _observed(run: StoredRun) -> StoredRun:
    try:
        return observe(run)
    except (
        CorruptRecord
    ):  # a run is under way and its history is lost: what has not ended is not known
        return run


def _signed_by(run: StoredRun) -> str | None:
    """What a run says of its signature. To check that would cost a process: `porcelain.checks.verify` does."""
    _, content = run.objects.read(run.commit, COMMIT_SIZE)
    if b"\ngpgsig" not in content:
        return None
    from gitflowrun.git.signing.signature import claim  # few runs have one

    return claim(content) or None


def step_overview(run: StoredRun, step: str) -> StepDetails:
    """A step and its tasks, in the order of their numbers. Raises NotFound."""
    run = observe(run)
    names = run.tasks(step)
    tasks: list[TaskOverview] = []
    artifacts = 0
    for name in names[:TASKS_SHOWN]:
        tasks.append(task_overview(run.task(TaskName(step, name))))
        artifacts += len(tasks[-1].artifacts)
        if artifacts > TASK_ARTIFACTS_SHOWN:
            break
    return StepDetails(f"{run.pathspec}/{step}", tuple(tasks), len(names) - len(tasks))


def task_overview(task: StoredTask) -> TaskOverview:
    """A task with its artifacts, private ones left out."""
    record = task.record
    attempts = record.attempts[:_ATTEMPTS_SHOWN]
    last = record.attempts[-1] if record.attempts and task.is_over else None
    adopted = record.executor.uid != task.run.identity.uid
    return TaskOverview(
        pathspec=task.pathspec,
        status=task.status,
        ok=record.ok,
        started=last.started if last else task.started,
        seconds=last.finished - last.started if last else None,
        attempts=len(record.attempts),
        tries=tuple(
            AttemptRow(
                it.number,
                it.ok,
                it.started,
                it.finished - it.started,
                it.cpu,
                it.max_rss,
                it.exit_code,
                it.error,
                it.where,
                it.lost,
            )
            for it in attempts
        ),
        cpu=last.cpu if last else 0.0,
        max_rss=last.max_rss if last else 0,
        exit_code=last.exit_code if last else None,
        error=last.error if last else None,
        foreach=record.place_texts,
        parents=tuple(map(str, record.parents)),
        goes_to=record.transition.targets if record.transition else (),
        host=task.host if isinstance(task, UnfinishedTask) else "",
        origin=record.executor.pathspec if adopted else None,
        cache=_cache_row(record.reuse),
        other_code=dict(record.other_code),
        not_kept=record.not_kept,
        given=dict(record.given),
        cards=_card_rows(task),
        artifacts=result_rows(task.run, record.artifacts),
    )


def card_row(card: FoundCard) -> CardRow:
    """A card in a list. Raises CorruptRecord: it is a file that can't be read."""
    return CardRow(str(card.task.name), card.type, card.id, card.hash, card.path)


def _card_rows(task: StoredTask) -> tuple[CardRow, ...]:
    """The cards of a task; none where what lists them can't be read, which `fsck` tells."""
    from gitflowrun.cards.found_cards import (
        find_cards,  # a run is mostly looked at without its tasks
    )

    try:
        cards = find_cards(task)
        return tuple(map(card_row, cards))
    except GitflowrunError:
        return ()


def _cache_row(reuse: Reuse | None) -> CacheRow | None:
    if reuse is None:
        return None
    taken = f"{reuse.run.pathspec}/{reuse.task}" if reuse.run is not None else None
    return CacheRow(taken, reuse.why, reuse.unfit)


def _count_cached(record: TaskRecord, taken: dict[str, int], executed: dict[str, int]) -> None:
    """Count a task among those that were taken from one run, or executed for one reason."""
    if record.reuse is None:
        return
    run = record.reuse.run
    counts, key = (executed, record.reuse.why) if run is None else (taken, run.pathspec)
    if key and (key in counts or len(counts) < _REASONS):
        counts[key] = counts.get(key, 0) + 1


_REASONS = 20
_MOST_DECORATORS = 20
_DECORATOR_NAME = 100


class _Tally:
    """What there is to say of a run's tasks, counted record by record: a record may take megabytes.

    Of very many tasks some are passed over: of each large step those between its first and its last ones, for it is
    among the last ones that a run fails.

    Args:
        run: The run, unfinished tasks included.
        uid: Its uid: tasks that another run executed were adopted.
        lost: Is told if the run's steps can't be listed.
    """

    def __init__(self, run: StoredRun, uid: Oid, lost: list[Failure]) -> None:
        self._lost = lost
        self.steps: list[StepOverview] = []
        self.failures: list[Failure] = []
        self.unreadable: list[Failure] = []
        self.given: dict[str, str] = {}
        self._run = run
        self._uid = uid
        self._end = time.process_time() + TASKS_SECONDS
        try:
            self._graph = run.info.graph
        except CorruptRecord:  # which the overview of the run says
            self._graph = {}
        steps = [step for step in self._steps() if not is_private(step)]
        self._shares = _shares({step: self._count(step) for step in steps})
        self.other_code = other_code(it for step in steps for it in self._of_step(step))

    def _of_step(self, step: str) -> Iterator[TaskRecord]:
        """The records of a step that can be read, each counted; the others are noted."""
        tasks = failed = unfinished = adopted = retries = passed = 0
        started, finished = inf, -inf
        taken: dict[str, int] = {}
        executed: dict[str, int] = {}
        first = self._shares[step] // 2
        last = self._count(step) - (self._shares[step] - first)
        for task in self._tasks(step):
            tasks += 1
            if len(self.unreadable) >= MAX_NOTICES:
                continue  # it is not worth it to look at 100,000 more
            if first < tasks <= last or (tasks > 1 and time.process_time() > self._end):
                passed += 1
                continue
            try:
                record = task.record
            except CorruptRecord as error:
                self.unreadable.append(Failure(str(task.name), error.message))
                continue
            is_over = bool(record.attempts) and task.is_over
            unfinished += not is_over
            retries += len(record.attempts) - is_over
            if is_over and not record.ok:
                failed += 1
                if len(self.failures) < FAILURES_SHOWN:
                    error_text = record.attempts[-1].error or "failed"
                    self.failures.append(Failure(str(record.name), error_text))
            _count_cached(record, taken, executed)
            if record.executor.uid == self._uid:
                self.given |= record.given
                started = min([started, *(it.started for it in record.attempts)])
                finished = max([finished, *(it.finished for it in record.attempts)])
            else:
                adopted += 1
            yield record
        seconds = finished - started if started < inf else None
        marks = _decorators(self._graph, step)
        counts = (tasks, failed, unfinished, adopted, retries, seconds, passed)
        self.steps.append(StepOverview(step, *counts, marks, taken, executed))

    def _count(self, step: str) -> int:
        try:
            return len(self._run.tasks(step))
        except CorruptRecord:  # which is told when its tasks are read
            return 0

    def _steps(self) -> list[str]:
        try:
            return self._run.known_steps()
        except CorruptRecord as error:
            self._lost.append(Failure("steps", error.message))
            return []

    def _tasks(self, step: str) -> Iterator[StoredTask]:
        try:
            yield from self._run.tasks_of(step)
        except CorruptRecord as error:
            self.unreadable.append(Failure(step, error.message))


def _decorators(graph: Mapping[str, Any], step: str) -> tuple[str, ...]:
    """The names of a step's decorators, the uppermost first. The graph may be anybody's data."""
    found: Any = graph
    for key in ("steps", step, "decorators"):
        found = found.get(key) if isinstance(found, dict) else None
    rows = found[:_MOST_DECORATORS] if isinstance(found, list | tuple) else ()
    names = [str(row.get("name"))[:_DECORATOR_NAME] for row in rows if isinstance(row, dict)]
    return tuple(name.removeprefix("__main__.") for name in reversed(names))


def _shares(counts: Mapping[str, int]) -> dict[str, int]:
    """Of how many tasks of each step the records are read: of small steps all, and large ones share what is left."""
    left, found = TASKS_COUNTED, {}
    for place, step in enumerate(sorted(counts, key=counts.__getitem__)):
        found[step] = min(counts[step], left // (len(counts) - place))
        left -= found[step]
    return found


def _final_artifacts(run: StoredRun) -> Mapping[str, ArtifactRef]:
    try:
        return final_artifacts(run)
    except CorruptRecord:  # which the list of tasks that can't be read has
        return {}


def is_trusted(run: StoredRun) -> bool:
    """Whether a run is trusted as it is; not where that can't be known."""
    try:
        return Trust(run.repo).trusts_run(run)
    except (RepositoryError, CorruptRecord):  # a run is shown all the same
        return False


def _code(info: RunInfo, other: Mapping[str, str], *, trusted: bool) -> CodeState:
    git = info.git
    dirty = _texts(git.get("dirty"))
    left_out = tuple(info.files_left_out)
    # What a stranger says that was typed is not offered to be typed again.
    directory = info.environment.get("directory") if trusted else None
    return CodeState(
        commit=git.get("commit") or None,
        branch=git.get("branch") or None,
        remote=git.get("remote") or None,
        script=info.script,
        command=_texts(info.environment.get("command")) if trusted else (),
        directory=directory if isinstance(directory, str) else None,
        dirty=dirty,
        dirty_count=_count(git.get("dirty_count"), len(dirty)),
        left_out=left_out,
        left_out_count=_count(git.get("left_out_count"), len(left_out)),
        other_code=other,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else ()


def _count(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def is_result(name: str, ref: ArtifactRef) -> bool:
    """Whether a step made an artifact; bookkeeping, parameters and constants are shown elsewhere."""
    return not is_private(name) and ref.producer.step != PARAMETERS_STEP


def make_row(run: StoredRun, name: str, ref: ArtifactRef) -> ArtifactRow:
    """An artifact for a list."""
    known = run.shown(ref)
    return ArtifactRow(
        name, ref.type, ref.size, ref.codec, ref.digest, str(ref.producer),
        known.text if known else None, known.facts if known else {}, run.picture_path(name, ref),
    )  # fmt: skip


def result_rows(run: StoredRun, artifacts: Mapping[str, ArtifactRef]) -> tuple[ArtifactRow, ...]:
    """What steps made, in alphabetical order."""
    return tuple(
        make_row(run, name, ref) for name, ref in sorted(artifacts.items()) if is_result(name, ref)
    )
