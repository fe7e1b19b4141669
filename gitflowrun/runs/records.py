"""The records of a run as frozen values, and their maps on the wire.

No bytes (`wire`), no paths (`layout`). Every record is a map with a `schema` number. A reader takes what it
knows, keeps what it does not know in `extra` and writes it back unchanged, so a newer release's fields
survive an older one's rewrite.

Times are seconds since 1970, UTC, as floats. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitflowrun import schema
from gitflowrun.errors import CorruptRecord, InvalidPathspec
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, PayloadIdentity, RunId
from gitflowrun.values import field, frozen

__all__ = [
    "ArtifactRef",
    "Attempt",
    "Chunk",
    "ForeachFrame",
    "Metadatum",
    "RunIdentity",
    "RunInfo",
    "RunOrigin",
    "TaskName",
    "TaskRecord",
    "Transition",
]

SCHEMA = 1
Map = Mapping[str, Any]


@frozen
class RunIdentity:
    """Which run: its flow, its id in this repository and, clone-independent, its birth commit's oid."""

    flow: str
    id: RunId
    uid: Oid

    @property
    def pathspec(self) -> str:
        """`Flow/id`."""
        return f"{self.flow}/{self.id}"

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {"flow": self.flow, "id": str(self.id), "uid": bytes(self.uid)}

    @classmethod
    def from_map(cls, data: Map) -> RunIdentity:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        with schema.reading("run identity"):
            return cls(
                schema.flow_name(data["flow"]),
                RunId(schema.text(data["id"])),
                schema.oid(data["uid"]),
            )


@frozen(order=True)
class TaskName:
    """Which task of a run: `step/task`."""

    step: str
    task: str

    @classmethod
    def parse(cls, text: str) -> TaskName:
        """The name written `step/task`. Raises InvalidPathspec when it is none."""
        step, _, task = text.partition("/")
        if not step or not task or "/" in task:
            raise InvalidPathspec(f"{text!r} is not a task", hint="a task is written step/task")
        return cls(step, task)

    def __str__(self) -> str:
        return f"{self.step}/{self.task}"


@frozen
class Chunk:
    """A piece of an artifact's payload: its BLAKE3, the oid of the blob that holds it, its size."""

    digest: Digest
    oid: Oid
    size: int


@frozen
class ArtifactRef:
    """Where an artifact's payload lies and how to turn it back into a value.

    Attributes:
        digest: BLAKE3 of the whole payload.
        size: Bytes of the whole payload.
        codec: Id of the codec that wrote it, such as `plain/1` or `pickle/5`.
        type: The value's type as people read it, such as `builtins.dict`.
        chunks: The payload's pieces in order; one for a payload of up to 1 MiB.
        producer: The task that wrote it. An inherited artifact names an earlier task of the run.
    """

    digest: Digest
    size: int
    codec: str
    type: str
    chunks: tuple[Chunk, ...]
    producer: TaskName

    @property
    def identity(self) -> PayloadIdentity:
        """Which value it is, wherever the payload lies and whoever wrote it."""
        return PayloadIdentity(self.digest, self.codec, self.type)

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {
            "blake3": bytes(self.digest),
            "size": self.size,
            "codec": self.codec,
            "type": self.type,
            "task": str(self.producer),
            "chunks": chunk_rows(self.chunks),
        }

    @classmethod
    def from_map(cls, data: Map) -> ArtifactRef:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        with schema.reading("artifact"):
            ref = cls(
                digest=schema.digest(data["blake3"]),
                size=schema.count(data["size"]),
                codec=schema.text(data["codec"]),
                type=schema.text(data["type"]),
                chunks=read_chunk_rows(schema.binary(data["chunks"])),
                producer=TaskName.parse(schema.text(data["task"])),
            )
            if sum(chunk.size for chunk in ref.chunks) != ref.size:
                raise CorruptRecord("an artifact's chunks do not add up to its size")
            return ref


_CHUNK_BYTES = Digest.SIZE + Oid.SIZE + 8


def chunk_rows(chunks: Iterable[Chunk]) -> bytes:
    """Chunks as bytes: digest, oid and size of each."""
    return b"".join(chunk.digest + chunk.oid + chunk.size.to_bytes(8, "big") for chunk in chunks)


def read_chunk_rows(raw: bytes) -> tuple[Chunk, ...]:
    """The chunks that `chunk_rows` wrote. Raises CorruptRecord: it did not."""
    if len(raw) % _CHUNK_BYTES:
        raise CorruptRecord("a chunk list is cut short")
    rows = [raw[i : i + _CHUNK_BYTES] for i in range(0, len(raw), _CHUNK_BYTES)]
    return tuple(
        Chunk(Digest(row[:32]), Oid(row[32:52]), int.from_bytes(row[52:], "big")) for row in rows
    )


@frozen
class ForeachFrame:
    """One level of a foreach that a task is in; `value` is its item as text, cut to 30 characters."""

    step: str
    var: str
    num_splits: int
    index: int
    value: str = ""

    def to_list(self) -> list[Any]:
        """The frame as a list of msgpack's types."""
        return [self.step, self.var, self.num_splits, self.index, self.value]

    @classmethod
    def from_list(cls, row: list[Any]) -> ForeachFrame:
        """The frame in a decoded list. Raises CorruptRecord when it is none."""
        with schema.reading("foreach frame"):
            step, var, splits, index, value = row
            return cls(
                schema.text(step),
                schema.text(var),
                schema.count(splits),
                schema.count(index),
                schema.text(value),
            )


@frozen
class Transition:
    """What `self.next` said: target steps and, for a foreach, its variable and number of items."""

    targets: tuple[str, ...] = ()
    foreach: str | None = None
    num_splits: int | None = None

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {
            "targets": list(self.targets), "foreach": self.foreach, "num_splits": self.num_splits
        }  # fmt: skip

    @classmethod
    def from_map(cls, data: Map) -> Transition:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        with schema.reading("transition"):
            splits = data["num_splits"]
            return cls(
                schema.texts(data["targets"]),
                schema.optional_text(data["foreach"]),
                None if splits is None else schema.count(splits),
            )


@frozen
class Metadatum:
    """One entry of a task's metadata, in Metaflow's sense."""

    name: str
    value: str
    type: str
    time: float
    attempt: int = 0

    def to_list(self) -> list[Any]:
        """The entry as a list of msgpack's types."""
        return [self.name, self.value, self.type, self.time, self.attempt]

    @classmethod
    def from_list(cls, row: list[Any]) -> Metadatum:
        """The entry in a decoded list. Raises CorruptRecord when it is none."""
        with schema.reading("metadata entry"):
            name, value, kind, time, attempt = row
            return cls(
                schema.text(name),
                schema.text(value),
                schema.text(kind),
                schema.real(time),
                schema.count(attempt),
            )


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
    """

    number: int
    started: float
    finished: float
    ok: bool
    exit_code: int = 0
    cpu: float = 0.0
    max_rss: int = 0
    error: str | None = None

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {
            "number": self.number,
            "started": self.started,
            "finished": self.finished,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "cpu": self.cpu,
            "max_rss": self.max_rss,
            "error": self.error,
        }

    @classmethod
    def from_map(cls, data: Map) -> Attempt:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        with schema.reading("attempt"):
            return cls(
                number=schema.count(data["number"]),
                started=schema.real(data["started"]),
                finished=schema.real(data["finished"]),
                ok=bool(data["ok"]),
                exit_code=schema.integer(data["exit_code"]),
                cpu=schema.real(data["cpu"]),
                max_rss=schema.count(data["max_rss"]),
                error=schema.optional_text(data["error"]),
            )


@frozen
class TaskRecord:
    """Everything about a task but its payloads and output: the content of its TASK blob.

    Attributes:
        name: Which task.
        run: The run that executed it; a clone's differs from the run it is found in.
        parents: The tasks whose artifacts it saw.
        attempts: All tries, oldest first; the last one counts.
        frames: The foreach levels it is in, outermost first.
        transition: What its step said with `self.next`; None at the end or on failure.
        artifacts: Name to payload, inherited ones included.
        metadata: Metaflow's metadata entries.
        extra: Fields of a newer schema, kept as they are.
    """

    name: TaskName
    run: RunIdentity
    parents: tuple[TaskName, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    frames: tuple[ForeachFrame, ...] = ()
    transition: Transition | None = None
    artifacts: Mapping[str, ArtifactRef] = field(default_factory=dict)
    metadata: tuple[Metadatum, ...] = ()
    extra: Map = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the last attempt succeeded."""
        return bool(self.attempts) and self.attempts[-1].ok

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {
            **self.extra,
            "schema": SCHEMA,
            "step": self.name.step,
            "task": self.name.task,
            "run": self.run.to_map(),
            "parents": [str(parent) for parent in self.parents],
            "attempts": [attempt.to_map() for attempt in self.attempts],
            "foreach": [frame.to_list() for frame in self.frames],
            "transition": self.transition.to_map() if self.transition else None,
            "artifacts": {name: ref.to_map() for name, ref in sorted(self.artifacts.items())},
            "metadata": [entry.to_list() for entry in self.metadata],
        }

    @classmethod
    def from_map(cls, data: Map) -> TaskRecord:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        schema.check_schema(data, "TASK", SCHEMA)
        with schema.reading("task"):
            jump = data["transition"]
            return cls(
                name=TaskName.parse(f"{schema.text(data['step'])}/{schema.text(data['task'])}"),
                run=RunIdentity.from_map(data["run"]),
                parents=tuple(map(TaskName.parse, schema.texts(data["parents"]))),
                attempts=tuple(Attempt.from_map(row) for row in schema.sequence(data["attempts"])),
                frames=tuple(
                    ForeachFrame.from_list(row) for row in schema.sequence(data["foreach"])
                ),
                transition=None if jump is None else Transition.from_map(jump),
                artifacts={
                    name: ArtifactRef.from_map(row)
                    for name, row in schema.mapping(data["artifacts"]).items()
                },
                metadata=tuple(
                    Metadatum.from_list(row) for row in schema.sequence(data["metadata"])
                ),
                extra={key: value for key, value in data.items() if key not in _TASK_FIELDS},
            )


_TASK_FIELDS = frozenset({
    "schema", "step", "task", "run", "parents", "attempts", "foreach", "transition", "artifacts", "metadata",
})  # fmt: skip


@frozen
class RunOrigin:
    """The run that a run was made from, and how: `resume` or `clone`."""

    kind: str
    run: RunIdentity

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types."""
        return {"kind": self.kind, "run": self.run.to_map()}

    @classmethod
    def from_map(cls, data: Map) -> RunOrigin:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        with schema.reading("origin"):
            return cls(schema.text(data["kind"]), RunIdentity.from_map(data["run"]))


@frozen
class RunInfo:
    """What is known when a run is born: the content of its INFO blob, which never changes.

    Attributes:
        flow: The flow's name.
        id: The run's id in the repository it was born in.
        nonce: Random text that makes two births distinct.
        created: When the run was born.
        user: Who runs.
        host: Where.
        versions: `gitflowrun`, `metaflow` (API level) and `python`.
        parameters: Parameter name to value as text for people; the values themselves are artifacts
            of the `_parameters` task.
        git: `commit`, `branch`, `remote`, `dirty` (paths), `left_out` (path, size, reason).
        environment: platform, cpu, packages, lock files' digests, environment variables, hash seed,
            argv.
        graph: The flow's graph (METAFLOW's `_graph_info`).
        tags: User tags given at the start.
        system_tags: Tags that describe the run.
        origin: The run it was resumed or cloned from.
        script: Path of the flow's file within the repository's code tree.
        extra: Fields of a newer schema, kept as they are.
    """

    flow: str
    id: RunId
    nonce: str
    created: float
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
    extra: Map = field(default_factory=dict)

    def to_map(self) -> dict[str, Any]:
        """The record as a map of msgpack's types, its first fields named as the seed names them."""
        return {
            **self.extra,
            "schema": SCHEMA,
            "flow_name": self.flow,
            "run_id": str(self.id),
            "gitflowrun_version": self.versions.get("gitflowrun", ""),
            "metaflow_version": self.versions.get("metaflow", ""),
            "python_version": self.versions.get("python", ""),
            "nonce": self.nonce,
            "created": self.created,
            "user": self.user,
            "host": self.host,
            "script": self.script,
            "parameters": dict(self.parameters),
            "tags": list(self.tags),
            "system_tags": list(self.system_tags),
            "origin": self.origin.to_map() if self.origin else None,
            "git": dict(self.git),
            "environment": dict(self.environment),
            "graph": dict(self.graph),
        }

    @classmethod
    def from_map(cls, data: Map) -> RunInfo:
        """The record in a decoded map. Raises CorruptRecord when it is none."""
        schema.check_schema(data, "INFO", SCHEMA)
        with schema.reading("INFO"):
            origin = data["origin"]
            return cls(
                flow=schema.flow_name(data["flow_name"]),
                id=RunId(schema.text(data["run_id"])),
                nonce=schema.text(data["nonce"]),
                created=schema.real(data["created"]),
                user=schema.text(data["user"]),
                host=schema.text(data["host"]),
                versions={
                    "gitflowrun": schema.text(data["gitflowrun_version"]),
                    "metaflow": schema.text(data["metaflow_version"]),
                    "python": schema.text(data["python_version"]),
                },
                parameters=schema.text_map(data["parameters"]),
                git=schema.mapping(data["git"]),
                environment=schema.mapping(data["environment"]),
                graph=schema.mapping(data["graph"]),
                tags=schema.texts(data["tags"]),
                system_tags=schema.texts(data["system_tags"]),
                origin=None if origin is None else RunOrigin.from_map(origin),
                script=schema.text(data["script"]),
                extra={key: value for key, value in data.items() if key not in _INFO_FIELDS},
            )


_INFO_FIELDS = frozenset(
    {
        "schema", "flow_name", "run_id", "gitflowrun_version", "metaflow_version", "python_version",
        "nonce", "created", "user", "host", "script", "parameters", "tags", "system_tags", "origin",
        "git", "environment", "graph",
    }
)  # fmt: skip
