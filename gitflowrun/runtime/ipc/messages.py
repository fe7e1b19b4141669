"""The messages of a run, as frozen values and as the lists that `protocol` carries. No sockets here.

front -> scheduler      Order, Defaults, Interrupt
scheduler -> front      Adopted, Refusal, Ended
scheduler -> host       Begin, Launch, Twin, Kill
host, task -> scheduler Started, Result, Exited, NotLaunched

A *host* is whatever gives tasks their processes: the zygote, the scheduler's own starter of fresh
interpreters, or the front process for `inline`. A task sends its Result itself, on the host's socket,
before it exits; so a Result precedes the Exited of the same serial. Serials number launches, not tasks:
what is said of an old attempt can't be taken for a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord, InvalidPathspec
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest
from gitflowrun.runs.records import ArtifactRef, ForeachFrame, RunIdentity, TaskName, Transition
from gitflowrun.runtime.ipc.request import RunRequest
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "INCLUDED",
    "Adopted",
    "Begin",
    "Defaults",
    "Ended",
    "Exited",
    "Interrupt",
    "Kill",
    "Launch",
    "NotLaunched",
    "Order",
    "Parent",
    "Refusal",
    "Result",
    "Started",
    "Twin",
    "Value",
    "encode",
    "parse",
]


@frozen
class Value:
    """An encoded value on its way to a task: what `store.codecs.decode` takes, or an INCLUDED file."""

    codec: str
    type: str
    payload: bytes


INCLUDED = "included"
"""Codec of a Value that is a file's content: the payload only says which file, the task reads it (`FileContent`)."""


@frozen
class Parent:
    """A finished task and the blob of its record."""

    name: TaskName
    blob: Oid


@frozen
class Order:
    """The whole order for a run, as the front process places it.

    Attributes:
        flow: The flow's name.
        graph: Its `_graph_info`.
        request: The request; its parameters are in `parameters`.
        parameters: The parameter values; of a clone only those that were given.
        texts: The same values as text for people.
        script: The flow's file.
        command: How to start a fresh interpreter on it: program and arguments.
        path: The front process' `sys.path`.
        objection: Why tasks can't be forked, if they can't.
        hash_seed: The front process' PYTHONHASHSEED, or "random".
        seeds: What random generators are seeded from, by library (`seeds`).
    """

    flow: str
    graph: Mapping[str, Any]
    request: RunRequest
    parameters: Mapping[str, Value]
    texts: Mapping[str, str]
    script: str
    command: tuple[str, ...]
    path: tuple[str, ...]
    objection: str | None
    hash_seed: str
    seeds: Mapping[str, int]


@frozen
class Adopted:
    """To the front process: the origin has these parameters; resolve the defaults of all others."""

    names: tuple[str, ...]


@frozen
class Defaults:
    """The answer to Adopted."""

    parameters: Mapping[str, Value]
    texts: Mapping[str, str]


@frozen
class Interrupt:
    """The user wants the run to end: the signal that said so."""

    signal: int


@frozen
class Refusal:
    """The run can't be: an error of `gitflowrun.errors` by class name, and its fields."""

    error: str
    message: str
    hint: str | None


@frozen
class Ended:
    """The run is over; the exit code of the flow's program, and what stopped it if anything did."""

    code: int
    error: str | None


@frozen
class Begin:
    """What every task of the run is told.

    Attributes:
        run: The run.
        origin: The run it was resumed or cloned from.
        user: Who runs.
        namespace: The namespace that tasks see.
        tags: User tags given at the start.
        objects_dir: The repository's object directory.
        incoming: Where packs are written before they are moved there.
        git_dir: The repository, for objects that only git can read.
        durability: The setting of that name.
        untrusted: Tasks whose artifacts came from a run that isn't trusted.
        max_num_splits: The most items a foreach may have.
        tempdir: A directory for temporary files.
        seeds: What random generators are seeded from, by library (`seeds`).
    """

    run: RunIdentity
    origin: RunIdentity | None
    user: str
    namespace: str | None
    tags: tuple[str, ...]
    objects_dir: str
    incoming: str
    git_dir: str
    durability: str
    untrusted: frozenset[str]
    max_num_splits: int
    tempdir: str
    seeds: Mapping[str, int]


@frozen
class Launch:
    """One attempt of one task.

    Attributes:
        serial: Number of the launch.
        task: Which task.
        attempt: 0 for the first try.
        is_join: Whether the step takes `inputs`.
        frames: The foreach levels the task is in.
        parents: The tasks whose artifacts it sees, in the order of the split.
        parameters: The record of the `_parameters` task; None for that task itself and of no origin.
        values: For the `_parameters` task: the parameters to store.
    """

    serial: int
    task: TaskName
    attempt: int
    is_join: bool
    frames: tuple[ForeachFrame, ...]
    parents: tuple[Parent, ...]
    parameters: Parent | None
    values: Mapping[str, Value] = field(default_factory=dict)


@frozen
class Twin:
    """A launch that differs from the last whole one in these alone: another item of the same foreach."""

    serial: int
    number: int
    index: int
    value: str

    @classmethod
    def of(cls, launch: Launch, last: Launch | None) -> Twin | None:
        """What is left to say of a launch when `last` is known; None when it is no twin of that."""
        if (
            last is None
            or launch.parents is not last.parents
            or launch.task.step != last.task.step
            or launch.attempt != last.attempt
            or not launch.frames
            or launch.is_join
        ):
            return None
        frame = launch.frames[-1]
        return cls(launch.serial, int(launch.task.task), frame.index, frame.value)

    def launch(self, last: Launch) -> Launch:
        """The launch that `of` was asked about."""
        frame = last.frames[-1]
        own = ForeachFrame(frame.step, frame.var, frame.num_splits, self.index, self.value)
        return Launch(
            self.serial, TaskName(last.task.step, str(self.number)), last.attempt, last.is_join,
            (*last.frames[:-1], own), last.parents, last.parameters,
        )  # fmt: skip


@frozen
class Kill:
    """Send a signal to the process group of a launch."""

    serial: int
    signal: int


@frozen
class Started:
    """A task's process runs; its process group has the same number."""

    serial: int
    pid: int


@frozen
class NotLaunched:
    """The host could not make a process; nothing of the task ran."""

    serial: int
    reason: str


@frozen
class Exited:
    """A task's process has ended: its wait status, CPU seconds and peak resident bytes."""

    serial: int
    status: int
    cpu: float
    max_rss: int


@frozen
class Result:
    """What a task made.

    Attributes:
        serial: Number of the launch.
        artifacts: Name to payload, inherited ones included.
        inline: Payloads of chunks that the task has not written itself.
        packs: Kept packs that it has written.
        transition: What `self.next` said.
        split_values: Of a foreach: its items as text.
        error: `Type: message` of what ended the step.
    """

    serial: int
    artifacts: Mapping[str, ArtifactRef]
    inline: Mapping[Digest, bytes]
    packs: tuple[str, ...]
    transition: Transition | None
    split_values: tuple[str, ...] = ()
    error: str | None = None


Message = (
    Order | Adopted | Defaults | Interrupt | Refusal | Ended | Begin | Launch | Kill | Started
    | NotLaunched | Exited | Result | Twin
)  # fmt: skip
Fields = list[Any]


def encode(message: Message) -> Fields:
    """The message as a list of msgpack's types: its kind, then its fields in order."""
    kind = type(message).__name__
    pack = _PACKERS.get(kind, _plain)
    return [kind, *pack(message)]


def parse(body: Fields) -> Message:
    """The message in a received list.

    Raises:
        CorruptRecord: it is none.
    """
    try:
        kind, *fields = body
        message: Message = _PARSERS[kind](*fields)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidPathspec) as error:
        raise CorruptRecord(f"malformed message: {error!r}") from error
    return message


def _plain(message: Any) -> Fields:
    return [getattr(message, name) for name in message.__slots__]


def _pack_order(order: Order) -> Fields:
    flow, graph, request, parameters, *rest = _plain(order)
    return [flow, graph, request.to_map(), _values_to_map(parameters), *rest]


def _parse_order(*fields: Any) -> Order:
    flow, graph, request, parameters, texts, script, command, path, *rest = fields
    return Order(
        flow, graph, RunRequest.from_map(request), _values_from_map(parameters), texts, script,
        tuple(command), tuple(path), *rest,
    )  # fmt: skip


def _pack_begin(begin: Begin) -> Fields:
    run, origin, *rest = _plain(begin)
    rest[rest.index(begin.untrusted)] = sorted(begin.untrusted)
    return [run.to_map(), origin and origin.to_map(), *rest]


def _parse_begin(*fields: Any) -> Begin:
    run, origin, user, namespace, tags, objects, incoming, git_dir, durability, bad, *rest = fields
    return Begin(
        RunIdentity.from_map(run),
        None if origin is None else RunIdentity.from_map(origin),
        user, namespace, tuple(tags), objects, incoming, git_dir, durability, frozenset(bad), *rest,
    )  # fmt: skip


def _pack_launch(launch: Launch) -> Fields:
    return [
        launch.serial,
        str(launch.task),
        launch.attempt,
        launch.is_join,
        [frame.to_list() for frame in launch.frames],
        [item for parent in launch.parents for item in (str(parent.name), parent.blob)],
        launch.parameters and [str(launch.parameters.name), launch.parameters.blob],
        _values_to_map(launch.values),
    ]


def _parse_launch(*fields: Any) -> Launch:
    serial, task, attempt, is_join, frames, parents, parameters, values = fields
    return Launch(
        serial,
        TaskName.parse(task),
        attempt,
        is_join,
        tuple(ForeachFrame.from_list(frame) for frame in frames),
        tuple(map(_parent, parents[::2], parents[1::2])),
        None if parameters is None else _parent(*parameters),
        _values_from_map(values),
    )


def _pack_result(result: Result) -> Fields:
    return [
        result.serial,
        {name: ref.to_map() for name, ref in result.artifacts.items()},
        result.inline,
        result.packs,
        result.transition and result.transition.to_map(),
        result.split_values,
        result.error,
    ]


def _parse_result(*fields: Any) -> Result:
    serial, artifacts, inline, packs, transition, split_values, error = fields
    return Result(
        serial,
        {name: ArtifactRef.from_map(ref) for name, ref in artifacts.items()},
        {Digest(digest): payload for digest, payload in inline.items()},
        tuple(packs),
        None if transition is None else Transition.from_map(transition),
        tuple(split_values),
        error,
    )


def _parent(name: str, blob: bytes) -> Parent:
    return Parent(TaskName.parse(name), Oid(blob))


def _values_to_map(values: Mapping[str, Value]) -> dict[str, Fields]:
    return {name: [value.codec, value.type, value.payload] for name, value in values.items()}


def _values_from_map(data: Mapping[str, Fields]) -> dict[str, Value]:
    return {name: Value(*fields) for name, fields in data.items()}


_PACKERS: dict[str, Callable[[Any], Fields]] = {
    "Order": _pack_order,
    "Defaults": lambda message: [_values_to_map(message.parameters), message.texts],
    "Begin": _pack_begin,
    "Launch": _pack_launch,
    "Result": _pack_result,
}
_PARSERS: dict[str, Callable[..., Message]] = {
    "Order": _parse_order,
    "Adopted": lambda names: Adopted(tuple(names)),
    "Defaults": lambda parameters, texts: Defaults(_values_from_map(parameters), texts),
    "Interrupt": Interrupt,
    "Refusal": Refusal,
    "Ended": Ended,
    "Begin": _parse_begin,
    "Launch": _parse_launch,
    "Kill": Kill,
    "Started": Started,
    "Twin": Twin,
    "NotLaunched": NotLaunched,
    "Exited": Exited,
    "Result": _parse_result,
}
