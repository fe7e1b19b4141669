"""The records of a run, INFO and TASK, as frozen values, and the tables of their maps.

INFO and TASK are maps with a `schema` number. A reader takes what
it knows, keeps what it does not know in `extra` and writes it back unchanged, so a newer release's fields
survive an older one's rewrite.

Times are seconds since 1970, UTC, as floats. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.reference import ARTIFACT_REF, ArtifactRef
from gitflowrun.git.objects import Oid
from gitflowrun.limits import PARAMETER_TEXT
from gitflowrun.schema import (
    BINARY,
    COUNT,
    FLAG,
    FLOW_NAME,
    INTEGER,
    MAP,
    REAL,
    RUN_ID,
    TASK_NAME,
    TEXT,
    TEXT_MAP,
    TEXTS,
    TIME,
    ArraySchema,
    Kind,
    MapSchema,
    many,
    map_of,
    map_with,
    optional,
)
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from gitflowrun.names import RunId, TaskName

SCHEMA = 2
SPIN = "spin"
"""The `kind` of the origin of a spun task: the run whose task is executed once more."""
CAUGHT = "_catch_exception"
"""The artifact of a task whose step has raised what `@catch` has caught."""
Map = Mapping[str, Any]


@frozen
class RunIdentity:
    """Which run: its flow, its id in this repository and, clone-independent, its first commit's oid."""

    flow: str
    id: RunId
    uid: Oid

    @property
    def pathspec(self) -> str:
        """`Flow/id`."""
        return f"{self.flow}/{self.id}"


GANG = "_parallel_ubf_iter"
"""What stands for the variable of a foreach where its tasks are the nodes of a gang, in Metaflow's word."""
CONTROL_TASK = "control_task"
"""The `internal_task_type` of a task that controls others, in Metaflow's word."""
CONFIG_CASE = "config:"
"""How the key of a switch's case begins, in a graph, where a config has the key."""


@frozen
class ForeachLevel:
    """One level of a foreach that a task is in; `value` is its item as text, cut to 30 characters.

    Of a gang, `num_splits` is the number of its nodes and `index` that of the task.
    """

    step: str
    var: str
    num_splits: int
    index: int
    value: str = ""

    @property
    def is_gang(self) -> bool:
        """Whether the tasks of this level are the nodes of a gang."""
        return self.var == GANG


@frozen
class Transition:
    """What `self.next` said.

    Attributes:
        targets: The steps that follow.
        foreach: Of a foreach: the variable; of a gang `GANG`.
        num_splits: Of a foreach: the number of items; of a gang, that of nodes.
        case: Of a switch: the key of the case that was chosen, as text.
    """

    targets: tuple[str, ...] = ()
    foreach: str | None = None
    num_splits: int | None = None
    case: str | None = None

    @property
    def is_gang(self) -> bool:
        """Whether it leads to a gang."""
        return self.foreach == GANG


@frozen
class Metadatum:
    """One entry of a task's metadata, in Metaflow's sense."""

    name: str
    value: str
    type: str
    time: float
    attempt: int = 0


@frozen
class Attempt:
    """One try of a task.

    Attributes:
        number: 0 for the first.
        started: When its process started.
        finished: When its process ended.
        ok: Whether the step returned and its artifacts were stored.
        exit_code: Exit status; minus the signal number when a signal ended it.
        cpu: CPU seconds, user and system.
        max_rss: Peak resident bytes.
        error: `Type: message` of the exception that ended it, or what killed it.
        where: Which machine and agent executed it, where an engine placed it; else empty.
        lost: Why it was launched again, for each time that its worker was lost: part of it may have run then, too.
    """

    number: int
    started: float
    finished: float
    ok: bool
    exit_code: int = 0
    cpu: float = 0.0
    max_rss: int = 0
    error: str | None = None
    where: str = ""
    lost: tuple[str, ...] = ()


@frozen
class Reuse:
    """What the step cache knows of a task, see `runtime.scheduler.step_cache`.

    Attributes:
        parts: Digests of all that was known of the task before it was executed, by the names of these parts.
        files: The files of the snapshot that it has loaded or opened. Directories, which it has listed, end in a slash.
        others: Files that it has loaded or opened and that the snapshot has not: the size and the time of the last
            change of each.
        unfit: Why no other run can have it; empty where one can.
        why: Why it was executed, in a run that would have taken it from another one.
        run: The run that executed it, where it was taken from there.
        task: What it is called there.
    """

    parts: Mapping[str, bytes] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    why: str = ""
    run: RunIdentity | None = None
    task: TaskName | None = None


@frozen
class TaskRecord:
    """Everything about a task but its payloads and output: the content of its TASK blob.

    Attributes:
        name: Which task.
        run: The run that executed it, or has taken it out of the step cache (`executor`); a resumed run's differs
            from the run it is found in.
        parents: The tasks whose artifacts it saw.
        attempts: All tries, oldest first; the last one counts.
        frames: The foreach levels it is in, outermost first.
        iterations: Of a task of a step that leads to itself: how often the step has run before it, counted since it
            was entered.
        transition: What its step said with `self.next`; None at the end or on failure.
        artifacts: Name to payload, inherited ones included.
        metadata: Metaflow's metadata entries.
        other_code: Files whose code it ran and that the snapshot has not so, and what is known of each.
        again: Whether its last attempt failed and another one was to follow, unless the run ended before.
        not_kept: The names of what it has set and nobody has stored: of a spun task.
        given: The values that the user has put in the place of inherited ones, as texts: of a spun task.
        reuse: What the step cache knows of it; None where the cache was off.
        extra: Fields of a newer schema, kept as they are.
    """

    name: TaskName
    run: RunIdentity
    parents: tuple[TaskName, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    frames: tuple[ForeachLevel, ...] = ()
    transition: Transition | None = None
    artifacts: Mapping[str, ArtifactRef] = field(default_factory=dict)
    metadata: tuple[Metadatum, ...] = ()
    other_code: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    iterations: tuple[int, ...] = ()
    not_kept: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    reuse: Reuse | None = None
    extra: Map = field(default_factory=dict)

    @property
    def executor(self) -> RunIdentity:
        """The run whose processes executed it."""
        return self.run if self.reuse is None or self.reuse.run is None else self.reuse.run

    @property
    def gang(self) -> ForeachLevel | None:
        """The level of the gang that it is a node of."""
        return self.frames[-1] if self.frames and self.frames[-1].is_gang else None

    @property
    def place(self) -> tuple[int, ...]:
        """Where it is among the tasks of its step: its foreach levels and iterations, by which runs are compared."""
        return (*(frame.index for frame in self.frames), *self.iterations)

    @property
    def place_texts(self) -> tuple[str, ...]:
        """The same for people: `items[2]=c`, `node 1 of 4`, `iteration 7`."""
        return (
            *(
                f"node {it.index} of {it.num_splits}"
                if it.is_gang
                else f"{it.var}[{it.index}]={it.value}"
                for it in self.frames
            ),
            *(f"iteration {number}" for number in self.iterations),
        )

    @property
    def ok(self) -> bool:
        """Whether the last attempt succeeded."""
        return bool(self.attempts) and self.attempts[-1].ok


def other_code(records: Iterable[TaskRecord]) -> dict[str, str]:
    """The files whose code ran otherwise than the snapshot has them; what is known of each, and in which steps."""
    steps: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        for item in record.other_code.items():
            steps.setdefault(item, {})[str(record.name.step)] = None
    return {path: f"{reason} in {', '.join(names)}" for (path, reason), names in steps.items()}


@frozen
class RunOrigin:
    """The run that a run was made from.

    Attributes:
        kind: How: `resume`, `clone`, `rerun` or `spin`.
        run: Which run.
        trusted_runs: The uids of the runs whose tasks count as trusted where they are taken over: none if that run
            was not trusted in the state it had, else its own and those that it names itself. None in runs of older
            releases, which did not say.
    """

    kind: str
    run: RunIdentity
    trusted_runs: tuple[Oid, ...] | None = None


@frozen
class RunInfo:
    """What is known when a run is created: the content of its INFO blob, which never changes.

    Attributes:
        flow: The flow's name.
        user: Who runs.
        host: Where.
        versions: `gitflowrun`, `metaflow` (API level) and `python`.
        parameters: Parameter name to value as text for people; the values themselves are artifacts
            of the `_parameters` task.
        git: `commit`, `branch`, `remote`, `dirty` (paths), `left_out` (path, size, reason).
        environment: platform, cpu, packages, lock files' digests, environment variables, hash seed,
            argv, modules from `outside` of the work tree.
        graph: The flow's graph (METAFLOW's `_graph_info`).
        tags: User tags given at the start.
        system_tags: Tags that describe the run.
        origin: The run it was resumed or cloned from.
        script: Path of the flow's file within the repository's code tree.
        id: The run's id in the repository it was created in; None before it has one (`create`).
        nonce: Random text that tells two runs with equal descriptions apart.
        created: When the run was created.
        secrets: Of parameters that are secret, and whose text is `***`, the keyed hashes of their values.
        extra: Fields of a newer schema, kept as they are.
    """

    flow: str
    user: str
    host: str
    versions: Mapping[str, str]
    parameters: Mapping[str, str]
    git: Map
    environment: Map
    graph: Map
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    origin: RunOrigin | None = None
    script: str = ""
    id: RunId | None = None
    nonce: str = ""
    created: float = 0.0
    secrets: Mapping[str, str] = field(default_factory=dict)
    extra: Map = field(default_factory=dict)

    @property
    def is_spin(self) -> bool:
        """Whether it describes a spun task."""
        return self.origin is not None and self.origin.kind == SPIN

    @property
    def files_left_out(self) -> dict[str, str]:
        """The first of the files that are not in the snapshot of the code, and what is known of each."""
        found = {}
        for row in _items(self.git.get("left_out")):
            match row:
                case [str(path), int(size), str(reason)]:
                    found[path] = f"{size:,} byte{'s' * (size > 1)}, {reason}" if size else reason
        return found

    @property
    def left_out(self) -> dict[str, str]:
        """What ran and is not in the snapshot of the code: files and modules, and what is known of each."""
        found = self.files_left_out
        count = self.git.get("left_out_count")
        if isinstance(count, int) and count > len(found):
            found[f"{count - len(found):,} more files"] = "not listed"
        for module in _items(self.environment.get("outside")):
            found[str(module)] = "it lies outside of the work tree"
        return found


def _without(data: Map, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}


def _upgrade_task(data: Map) -> dict[str, Any]:
    """A TASK of schema 1, which had step and task as two fields."""
    return {**_without(data, "step", "task"), "name": "/".join((data["step"], data["task"]))}


def _upgrade_info(data: Map) -> dict[str, Any]:
    """An INFO of schema 1, in which each version was a field."""
    names = {it: f"{it}_version" for it in ("gitflowrun", "metaflow", "python")}
    versions = {it: data[key] for it, key in names.items()}
    return {**_without(data, *names.values()), "versions": versions}


OID = Kind(lambda value: Oid(BINARY.load(value)), bytes)
RUN_IDENTITY = MapSchema(RunIdentity, "run identity", {"flow": FLOW_NAME, "id": RUN_ID, "uid": OID})
FOREACH_FRAME = ArraySchema(ForeachLevel, "foreach frame", TEXT, TEXT, COUNT, COUNT, TEXT)
TRANSITION = MapSchema(
    Transition,
    "transition",
    {
        "targets": TEXTS,
        "foreach": optional(TEXT),
        "num_splits": optional(COUNT),
        "case": optional(TEXT),
    },
    sparse=("case",),
)
METADATUM = ArraySchema(Metadatum, "metadata entry", TEXT, TEXT, TEXT, TIME, COUNT)
_ATTEMPT = MapSchema(
    Attempt,
    "attempt",
    {
        "number": COUNT,
        "started": TIME,
        "finished": TIME,
        "ok": FLAG,
        "exit_code": INTEGER,
        "cpu": REAL,
        "max_rss": COUNT,
        "error": optional(TEXT),
        "where": TEXT,
        "lost": TEXTS,
    },
    sparse=("where", "lost"),
)
_REUSE = MapSchema(
    Reuse,
    "step cache",
    {
        "parts": map_of(BINARY),
        "files": TEXTS,
        "others": TEXT_MAP,
        "unfit": TEXT,
        "why": TEXT,
        "run": optional(RUN_IDENTITY),
        "task": optional(TASK_NAME),
    },
    sparse=("parts", "files", "others", "unfit", "why", "run", "task"),
)
TASK = MapSchema(
    TaskRecord,
    "TASK",
    {
        "name": TASK_NAME,
        "run": RUN_IDENTITY,
        "parents": many(TASK_NAME),
        "attempts": many(_ATTEMPT),
        "frames": many(FOREACH_FRAME),
        "transition": optional(TRANSITION),
        "artifacts": map_of(ARTIFACT_REF),
        "metadata": many(METADATUM),
        "other_code": TEXT_MAP,
        "again": FLAG,
        "iterations": many(COUNT),
        "not_kept": TEXTS,
        "given": TEXT_MAP,
        "reuse": optional(_REUSE),
    },
    sparse=("other_code", "again", "iterations", "not_kept", "given", "reuse"),
    keys={"frames": "foreach"},
    version=SCHEMA,
    upgrade=_upgrade_task,
)
_ORIGIN = MapSchema(
    RunOrigin,
    "origin",
    {"kind": TEXT, "run": RUN_IDENTITY, "trusted_runs": optional(many(OID))},
    added=("trusted_runs",),
)
INFO = MapSchema(
    RunInfo,
    "INFO",
    {
        "flow": FLOW_NAME,
        "id": RUN_ID,
        "versions": TEXT_MAP,
        "nonce": TEXT,
        "created": TIME,
        "user": TEXT,
        "host": TEXT,
        "script": TEXT,
        "parameters": TEXT_MAP,
        "tags": TEXTS,
        "system_tags": TEXTS,
        "origin": optional(_ORIGIN),
        "git": map_with(commit=optional(TEXT), branch=optional(TEXT), remote=optional(TEXT)),
        "environment": MAP,
        "graph": map_with(steps=map_of(map_with(type=TEXT, next=TEXTS))),
        "secrets": TEXT_MAP,
    },
    sparse=("secrets",),
    keys={"flow": "flow_name", "id": "run_id"},
    version=SCHEMA,
    upgrade=_upgrade_info,
)


def parameter_options(graph: Map) -> dict[str, str]:
    """The parameters of a flow's `_graph_info`: attribute to the name of its option.

    Runs of 0.1.0 have the option as `name`, and the attribute beside it.
    """
    named = [
        row
        for row in _items(graph.get("parameters"))
        if isinstance(row, Mapping)
        and isinstance(row.get("name"), str)
        and row.get("type") != "Config"
    ]
    return {
        str(row.get("attribute", row["name"])): str(row.get("option", row["name"])) for row in named
    }


def parameter_text(value: object) -> str:
    """A parameter's value as people read it."""
    text = str(value)
    if isinstance(value, list | dict | bool) or value is None:
        import json  # few parameters are

        with suppress(TypeError, ValueError):
            text = json.dumps(value, ensure_ascii=False)
    return text[:PARAMETER_TEXT]


def _items(value: Any) -> Iterable[Any]:
    """The items of a list in a map that anybody may have written."""
    return value if isinstance(value, list | tuple) else ()
