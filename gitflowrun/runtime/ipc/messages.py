"""The messages between the processes of a run: frozen values, and how they become lists that `channel` carries.

launcher process -> scheduler    StartRun, StoredParameters, Interrupt
scheduler -> launcher process    InheritedParameters, RunRefused, RunNamed, RunFinished
scheduler -> executor            RunContext, Launch, LaunchItem, Kill
executor, task -> scheduler      Started, Result, Exited, LaunchFailed, LaunchLost, TaskDone
flow's program -> agent          FlowImported

1. The launcher process says StartRun. Of a resumed run and a clone the scheduler answers InheritedParameters, and
   the launcher process sends the others as StoredParameters. Until the run exists, RunRefused may end it.
2. RunContext goes to the executor once, then Launch, or LaunchItem for more items of the same foreach.
3. The executor says Started or LaunchFailed. The task itself sends its Result on the executor's socket before it
   exits, so a Result precedes the Exited of the same serial.
4. RunNamed says which run it is, before there is one; RunFinished gives the exit code. Of a scheduler that dies
   between them the launcher process asks git how far the run has come. Interrupt may come at any time after 1.

Serials number launches, not tasks: what arrives late from one attempt is never taken for another's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.reference import ARTIFACT_REF, ArtifactRef
from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, TaskName
from gitflowrun.runs.records import (
    FOREACH_FRAME,
    METADATUM,
    OID,
    RUN_IDENTITY,
    TRANSITION,
    ForeachLevel,
    Metadatum,
    RunIdentity,
    Transition,
)
from gitflowrun.runtime.ipc.request import RUN_REQUEST, SPIN, RunRequest, Spin
from gitflowrun.schema import (
    ANY,
    BINARY,
    COUNT,
    DIGEST,
    FLAG,
    INTEGER,
    MAP,
    REAL,
    TASK_NAME,
    TEXT,
    TEXT_MAP,
    TEXTS,
    ArraySchema,
    Kind,
    many,
    map_of,
    optional,
)
from gitflowrun.values import field, field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen
class Parent:
    """A finished task and where its record is: the TASK blob, or the task's tree."""

    name: TaskName
    record: Oid


@frozen
class SecretValue:
    """The value of a secret parameter, which travels between the processes of a run and is stored nowhere.

    Attributes:
        codec: What its payload was made by.
        payload: The value as bytes.
        texts: The texts that must not be seen.
    """

    codec: str
    payload: bytes
    texts: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "<SecretValue>"


@frozen
class StoredParameters:
    """A run's parameters and constants, evaluated and stored before the run exists.

    Attributes:
        texts: The values that were given or resolved, as text for people, by the parameters' names.
        artifacts: Where the values lie, by attribute.
        inherited: Attributes whose values are those of the run's origin.
        inline: Payloads of chunks that are not written yet.
        packs: Kept packs that hold the others.
        started: When their evaluation began.
        finished: When all of them were stored.
        secrets: The values of secret parameters, of which nothing is stored, by attribute.
        hashes: The keyed hashes of these, by the parameters' names.
        notices: What the user should know of them.
        metadata: What the flow's decorators note about the run.
    """

    texts: Mapping[str, str]
    artifacts: Mapping[str, ArtifactRef]
    inherited: tuple[str, ...]
    inline: Mapping[Digest, bytes]
    packs: tuple[str, ...]
    started: float
    finished: float
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@frozen
class Retries:
    """How often a step's task is tried again when it fails.

    Attributes:
        own: How often the step's own code is.
        further: Attempts after those, in which decorators handle that the process of the last one was lost.
    """

    own: int = 0
    further: int = 0

    @property
    def all(self) -> int:
        """How many attempts may follow the first one."""
        return self.own + self.further


@frozen
class Resources:
    """What one task of a step takes, as `@resources` says.

    Attributes:
        cpu: Processors.
        gpu: Graphics processors.
        memory: Megabytes; 0 when nothing is said.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    memory: float = 0.0


AROUND = ""
"""Stands in `StartRun.step_code` for what the files of the flow have outside of its steps."""


@frozen
class StartRun:
    """All that the scheduler needs to know for a run.

    Attributes:
        flow: The flow's name.
        graph: Its `_graph_info`.
        request: The request.
        parameters: The run's parameters. None of a resumed run and a clone, which ask for those that their
            origin lacks once it was read.
        script: The flow's file.
        command: How to start a fresh interpreter on it: program and arguments.
        typed: The command that was typed, without what came behind it, for hints.
        directory: Where it was typed; None when that is not there any more.
        outside: The user's modules that are not in the work tree.
        path: The flow program's `sys.path`.
        why_not_fork: Why tasks can't be forked; None if they can.
        hash_seed: The flow program's PYTHONHASHSEED, or "random".
        seeds: What random generators are seeded from, by library (`seeds`).
        repository: Where the repository is, as `git.repository.REPOSITORY` dumps it. (The zygote, which reads
            messages too, need not load what runs git.)
        config: All of its git config.
        retries: How often tasks are tried again, by step; of others never.
        system_tags: Tags that the flow's decorators give to its runs.
        step_code: For the step cache, where it is used: the code of each step, and under `AROUND` what
            all have in common.
        step_files: The files that this code is from.
        surroundings: For the step cache: the interpreter's flags, the directory that the program is in, and those in
            which the user's modules are looked for.
        resources: What tasks take, by step; those of others what `Resources` says.
    """

    flow: str
    graph: Mapping[str, Any]
    request: RunRequest
    parameters: StoredParameters | None
    script: str
    command: tuple[str, ...]
    typed: tuple[str, ...]
    directory: str | None
    outside: tuple[str, ...]
    path: tuple[str, ...]
    why_not_fork: str | None
    hash_seed: str
    seeds: Mapping[str, int]
    repository: Mapping[str, Any]
    config: Mapping[str, str]
    retries: Mapping[str, Retries] = field(default_factory=dict)
    system_tags: tuple[str, ...] = ()
    step_code: Mapping[str, bytes] = field(default_factory=dict)
    step_files: tuple[str, ...] = ()
    surroundings: tuple[str, ...] = ()
    resources: Mapping[str, Resources] = field(default_factory=dict)


@frozen
class InheritedParameters:
    """What a resumed run or a clone has from its origin.

    Attributes:
        origin: The run's id here.
        names: Parameters and, of a resumed run, constants, by attribute.
        secrets: The keyed hashes of those that are secret, by attribute.
    """

    origin: str
    names: tuple[str, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)


@frozen
class Interrupt:
    """The run is to end.

    Attributes:
        signal: The signal by which the user has said so to the launcher process.
        failure: Why the run has failed, where it is not the user who wants it to end.
    """

    signal: int
    failure: str = ""


@frozen
class RunRefused:
    """An error that kept the run from being made: its class in `gitflowrun.errors`, and its fields."""

    error: str
    message: str
    hint: str | None


@frozen
class RunNamed:
    """Which run the request becomes, if its first commits get published; sent again where another number is taken."""

    run: RunIdentity


@frozen
class RunFinished:
    """The end of the run: the exit code of the flow's program, and what stopped the run if anything did."""

    code: int
    error: str | None


@frozen
class RunContext:
    """What all tasks of a run have in common.

    Attributes:
        run: The run.
        origin: The run it was resumed or cloned from.
        user: Who runs.
        namespace: The namespace that tasks see through the client; None for all runs.
        tags: User tags given at the start.
        objects_dir: The repository's object directory.
        incoming: Where packs are written before they are moved there.
        git_dir: The repository, for objects that only git can read.
        work_tree: The top of the work tree; empty where there is none.
        snapshot_begun: When the run's snapshot of it was begun, in seconds since 1970.
        metadata: The same as the client names it.
        durability: The setting of that name.
        shared: The permissions of a shared repository's directories; None where it is not shared.
        trusted_runs: The uids of the runs whose tasks count as trusted in what this run takes over.
        max_num_splits: The most items a foreach may have.
        tempdir: A directory for temporary files.
        seeds: What random generators are seeded from, by library (`seeds`).
        parameters: The run's `_parameters` task.
        secrets: The values of secret parameters by attribute: what that task has of them says nothing.
        decospecs: Decorators that the command line has added to all steps, as text.
        options: What the options of the flow's own decorators were given.
        configs: The flow's configs by attribute, packed (`flow.config.known`).
        spin: Of a spun task: how it is executed.
        cache: Whether tasks take note of the files that they load and open, for the step cache.
        agent: Where tasks ask for objects that are not here (`absent_objects`); empty where the repository is.
        told_tree: What tracebacks call the work tree, where it is an agent's copy of the code; else empty.
    """

    run: RunIdentity
    origin: RunIdentity | None
    user: str
    namespace: str | None
    tags: tuple[str, ...]
    objects_dir: str
    incoming: str
    git_dir: str
    work_tree: str
    snapshot_begun: float
    metadata: str
    durability: str
    shared: int | None
    trusted_runs: frozenset[Oid]
    max_num_splits: int
    tempdir: str
    seeds: Mapping[str, int]
    parameters: Parent
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    decospecs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    configs: Mapping[str, bytes] = field(default_factory=dict)
    spin: Spin | None = None
    cache: bool = False
    agent: str = ""
    told_tree: str = ""

    @property
    def origin_run_id(self) -> str | None:
        """The origin's id as tasks are told it: as in Metaflow, a spun task has none."""
        return str(self.origin.id) if self.origin and self.spin is None else None

    @property
    def only_step(self) -> str | None:
        """The step whose decorators count alone, none where it is empty; None where those of all steps do."""
        return self.spin.only_step if self.spin is not None else None


@frozen
class Launch:
    """One attempt of one task.

    Attributes:
        serial: Number of the launch.
        task: Which task.
        attempt: 0 for the first try.
        frames: The foreach levels the task is in.
        parents: The tasks whose artifacts it sees, in the order of the split.
        iterations: How often its step has run before it in a loop, as `TaskRecord` has it.
        failure: How the attempt before this one has ended; empty in the first.
    """

    serial: int
    task: TaskName
    attempt: int
    frames: tuple[ForeachLevel, ...]
    parents: tuple[Parent, ...]
    iterations: tuple[int, ...] = ()
    failure: str = ""


@frozen
class LaunchItem:
    """A launch that differs from the last Launch in these fields alone: another item of the same foreach."""

    serial: int
    number: int
    index: int
    value: str

    @classmethod
    def of(cls, launch: Launch, last: Launch | None) -> LaunchItem | None:
        """The difference between a launch and the last whole one; None when they differ in more.

        Tasks that follow one tuple of parents are either the children of one foreach or one task, launched again.
        """
        if (
            last is None
            or launch.parents is not last.parents
            or launch.task.step != last.task.step
            or launch.attempt != last.attempt
            or launch.iterations != last.iterations
            or launch.failure != last.failure
            or not launch.frames
            or not launch.task.task.isdecimal()  # the node of a gang
        ):
            return None
        frame = launch.frames[-1]
        return cls(launch.serial, int(launch.task.task), frame.index, frame.value)

    def launch(self, last: Launch) -> Launch:
        """The whole launch again."""
        frame = last.frames[-1]
        own = ForeachLevel(frame.step, frame.var, frame.num_splits, self.index, self.value)
        return Launch(
            self.serial, TaskName(last.task.step, str(self.number)), last.attempt,
            (*last.frames[:-1], own), last.parents, last.iterations, last.failure,
        )  # fmt: skip


@frozen
class Kill:
    """Send a signal to the process group of a launch."""

    serial: int
    signal: int


@frozen
class Started:
    """A task's process runs; its process group has the same number.

    Attributes:
        serial: Number of the launch.
        pid: Number of the process.
        at: When it has begun, in seconds since 1970, where it had to wait for the end of another one; else 0.
    """

    serial: int
    pid: int
    at: float = 0.0


@frozen
class LaunchFailed:
    """The executor could not make a process; nothing of the task ran."""

    serial: int
    reason: str


@frozen
class LaunchLost:
    """The process that was to run a task ended before it had read of it; nothing of the task ran."""

    serial: int


@frozen
class Exited:
    """A task's process has ended.

    Attributes:
        serial: Number of the launch.
        status: Its wait status.
        cpu: CPU seconds that it took.
        max_rss: Its peak resident bytes.
        at: When the task has ended, in seconds since 1970 of the machine that it ran on, where its process goes on
            and has said so; else 0.
    """

    serial: int
    status: int
    cpu: float
    max_rss: int
    at: float = 0.0


@frozen
class Result:
    """What a task has computed and stored.

    Attributes:
        serial: Number of the launch.
        artifacts: Name to payload, inherited ones included.
        inline: Payloads of chunks that the task has not written itself.
        packs: Kept packs that it has written.
        transition: What `self.next` said.
        split_values: Of a foreach: its items as text.
        error: `Type: message` of what ended the step.
        code: Files of the work tree whose code it has loaded and that may have changed since the snapshot: the
            ids of what it has loaded.
        metadata: What decorators have noted about the task.
        exit_code: The exit status of its process, where the step has failed.
        not_kept: The names of what it has set or inherited and was told not to store.
        given: The values that the user has put in the place of inherited ones, as texts.
        cards: The requests for cards that it has written (`cards.card_files`): their files' names.
        read: The files that it has loaded or opened, for the step cache, and what is known of each
            (`worker.read_files`).
        unfit: Why no other run can have what it did.
    """

    serial: int
    artifacts: Mapping[str, ArtifactRef]
    inline: Mapping[Digest, bytes]
    packs: tuple[str, ...]
    transition: Transition | None
    split_values: tuple[str, ...] = ()
    error: str | None = None
    code: Mapping[str, Oid] = field(default_factory=dict)
    metadata: tuple[Metadatum, ...] = ()
    exit_code: int = 1
    not_kept: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    cards: tuple[str, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""


@frozen
class TaskDone:
    """A task has ended well in a process that goes on.

    Attributes:
        ended: When, in seconds since 1970.
        cpu: CPU seconds that it took.
        max_rss: Peak resident bytes of the process meanwhile.
        result: What it has computed.
    """

    ended: float
    cpu: float
    max_rss: int
    result: Result


@frozen
class FlowImported:
    """The flow's program, which an agent has started as a zygote, has imported the flow.

    Attributes:
        why_not_fork: Why it can't be forked, so that it ends; empty where it can.
    """

    why_not_fork: str


@frozen
class OpenRepository:
    """Where the repository is and all of its git config, for a process that reads runs: as `StartRun` has them."""

    repository: Mapping[str, Any]
    config: Mapping[str, str]


@frozen
class RenderCards:
    """The cards of a task that is published are to be rendered.

    Attributes:
        serial: Number of the request.
        task: The task.
        attempt: The attempt that counts.
        directory: Where the requests are, and the cards are to be (`cards.card_files`).
    """

    serial: int
    task: TaskName
    attempt: int
    directory: str


@frozen
class CardsRendered:
    """All cards of a request are done, each in a file if there is one; why the others are not what they should be."""

    serial: int
    errors: tuple[str, ...]


Message = (
    StartRun | InheritedParameters | StoredParameters | Interrupt | RunRefused | RunNamed | RunFinished | RunContext
    | Launch | LaunchItem | Kill | Started | LaunchFailed | LaunchLost | Exited | Result
    | TaskDone | FlowImported | OpenRepository | RenderCards | CardsRendered
)  # fmt: skip


def _dump_parents(parents: Iterable[Parent]) -> tuple[str, bytes]:
    """The names and the oids of tasks, each in one piece: as values of their own those of 100,000 take 20 MB."""
    names = "/".join([f"{it.name.step}/{it.name.task}" for it in parents])
    return names, b"".join([it.record for it in parents])


def _load_parents(data: Any) -> tuple[Parent, ...]:
    names, records = data
    steps: dict[str, str] = {}
    words = TEXT.load(names).split("/") if names else []
    if len(words) * Oid.SIZE != 2 * len(BINARY.load(records)) or not all(words):
        raise ValueError("the names of its parents do not fit to their records")
    return tuple(
        Parent(
            TaskName(steps.setdefault(step, step), task),
            Oid(records[at * Oid.SIZE : (at + 1) * Oid.SIZE]),
        )
        for at, (step, task) in enumerate(zip(words[::2], words[1::2], strict=True))
    )


def _wait_status(value: Any) -> int:
    """How a process has ended, as it is told by `wait`."""
    status = INTEGER.load(value)
    os.waitstatus_to_exitcode(status)  # a ValueError or an OverflowError: it is none
    return status


_PARENT = ArraySchema(Parent, "parent", TASK_NAME, OID)
_PARENTS = Kind(_load_parents, _dump_parents)
_INLINE = Kind(
    lambda data: {DIGEST.load(digest): BINARY.load(payload) for digest, payload in data.items()},
    lambda value: value,
)
_WAIT_STATUS = Kind(_wait_status, plain="type({}) is int and v == 0")
_UIDS = Kind(lambda uids: frozenset(map(OID.load, uids)), lambda uids: sorted(map(bytes, uids)))
_RESOURCES = map_of(ArraySchema(Resources, "resources", REAL, REAL, REAL))
_RETRIES = map_of(ArraySchema(Retries, "retries", COUNT, COUNT))
_SECRETS = map_of(ArraySchema(SecretValue, "secret", TEXT, BINARY, many(BINARY)))
_PARAMETER_KINDS = (
    TEXT_MAP, map_of(ARTIFACT_REF), TEXTS, _INLINE, TEXTS, REAL, REAL, _SECRETS, TEXT_MAP, TEXTS,
    TEXT_MAP,
)  # fmt: skip
_PARAMETERS = ArraySchema(StoredParameters, "parameters", *_PARAMETER_KINDS)
_RUN_CONTEXT_KINDS = (
    RUN_IDENTITY, optional(RUN_IDENTITY), TEXT, optional(TEXT), TEXTS, TEXT, TEXT,
    TEXT, TEXT, REAL, TEXT, TEXT, optional(COUNT),
    _UIDS, COUNT, TEXT, MAP, _PARENT, _SECRETS, TEXTS, MAP, map_of(BINARY),
    optional(SPIN), FLAG, TEXT, TEXT,
)  # fmt: skip
RUN_CONTEXT = ArraySchema(RunContext, "run context", *_RUN_CONTEXT_KINDS)
_RESULT_KINDS = (
    COUNT, map_of(ARTIFACT_REF), _INLINE, TEXTS, optional(TRANSITION), TEXTS, optional(TEXT),
    map_of(OID), many(METADATUM), COUNT, TEXTS, TEXT_MAP, TEXTS, TEXT_MAP, TEXT,
)  # fmt: skip
_SCHEMAS: dict[str, ArraySchema[Any]] = {
    cls.__name__: ArraySchema(cls, cls.__name__, *kinds)
    for cls, *kinds in (
        (
            StartRun, TEXT, MAP, RUN_REQUEST, optional(_PARAMETERS), TEXT, TEXTS, TEXTS,
            optional(TEXT), TEXTS, TEXTS, optional(TEXT), TEXT, MAP, MAP, TEXT_MAP, _RETRIES, TEXTS,
            map_of(BINARY), TEXTS, TEXTS, _RESOURCES,
        ),
        (InheritedParameters, TEXT, TEXTS, TEXT_MAP),
        (StoredParameters, *_PARAMETER_KINDS),
        (Interrupt, COUNT, TEXT),
        (RunRefused, TEXT, TEXT, optional(TEXT)),
        (RunNamed, RUN_IDENTITY),
        (RunFinished, INTEGER, optional(TEXT)),
        (RunContext, *_RUN_CONTEXT_KINDS),
        (Launch, COUNT, TASK_NAME, COUNT, many(FOREACH_FRAME), _PARENTS, many(COUNT), TEXT),
        (LaunchItem, COUNT, COUNT, COUNT, TEXT),
        (Kill, COUNT, COUNT),
        (Started, COUNT, COUNT, REAL),
        (LaunchFailed, COUNT, TEXT),
        (LaunchLost, COUNT),
        (Exited, COUNT, _WAIT_STATUS, REAL, COUNT, REAL),
        (FlowImported, TEXT),
        (OpenRepository, MAP, TEXT_MAP),
        (RenderCards, COUNT, TASK_NAME, COUNT, TEXT),
        (CardsRendered, COUNT, TEXTS),
        (Result, *_RESULT_KINDS),
    )
}  # fmt: skip
_SCHEMAS[TaskDone.__name__] = ArraySchema(
    TaskDone, "TaskDone", REAL, REAL, COUNT, _SCHEMAS["Result"]
)
_LOOKED_AT = {"serial", "packs", "error", "cards", "read"}


def pass_results_on() -> None:
    """Leave most fields of Results as they are packed, from now on in this process: an agent looks at few of them.

    The driver, which gets them, reads all.
    """
    kinds: list[Kind[Any]] = [*_RESULT_KINDS]
    passed = [
        kind if name in _LOOKED_AT else ANY
        for name, kind in zip(field_names(Result), kinds, strict=True)
    ]
    result = _SCHEMAS[Result.__name__] = ArraySchema(Result, "Result", *passed)
    _SCHEMAS[TaskDone.__name__] = ArraySchema(TaskDone, "TaskDone", REAL, REAL, COUNT, result)


def encode(message: Message) -> list[Any]:
    """The message as a list of msgpack's types: its kind, then its fields in order."""
    kind = type(message).__name__
    return [kind, *_SCHEMAS[kind].dump(message)]


def parse(body: Any) -> Message:
    """The message in a received list.

    Raises:
        CorruptRecord: it is none.
    """
    try:
        kind, *fields = body
        schema = _SCHEMAS[kind]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecord(f"malformed message: {error!r}") from error
    message: Message = schema.load(fields)
    return message
