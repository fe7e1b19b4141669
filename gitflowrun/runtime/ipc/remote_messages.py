"""The messages between the driver of a run, which is its scheduler's process, and agents on workers of an engine.

An agent is to the driver what the zygote is to the scheduler on one machine: it is given Launch and Kill, and answers
with Started, Result, Exited and LaunchFailed, as in `messages`. These are beside them:

driver -> agent    AgentStart, Objects, WantObjects, Recall, AgentStop
agent -> driver    AgentReady, AgentRefused, WantObjects, TaskOutput, TaskNote, TaskPack, CardRequested, TaskBegins,
                   Recalled

1. The driver says AgentStart. The agent gets what it lacks of the code by WantObjects, makes its zygote, and says
   AgentReady; or AgentRefused, and ends.
2. Launch and Kill come as they do on one machine. Objects that a task reads and that are not here are asked for by
   WantObjects; each request is answered by one or more Objects, the last of which has no `more`.
3. What a task writes comes as TaskOutput; its time is when it arrives, by the driver's clock. Before a Result come the
   pack that the task has written, in pieces (TaskPack), and the files of its cards (CardRequested), which also come
   when a card is refreshed. After it comes Exited, once the agent has ended what the process has left behind.
   Where its artifacts have parts that the driver lacks all the same (the agent had them from a task whose results
   never arrived), the driver asks by WantObjects, its request being the serial, and TaskPack answers.
4. A Launch may come ahead, and begins when the task before it has ended: the driver hears of it by Exited of that one,
   or by TaskBegins where Exited still waits to be sent. Recall wants such a launch back. If it has begun, it goes on as
   if nothing was said; else the agent drops it and says Recalled, and passes over whatever comes about it later.
5. AgentStop, or the end of the link, ends the agent and kills its tasks.

Each is one message of a link, which keeps their order, and at most `limits.REMOTE_MESSAGE` bytes long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.msgpack import pack_message, pack_message_around, unpack_message
from gitflowrun.runs.records import OID
from gitflowrun.runtime.ipc import messages
from gitflowrun.runtime.ipc.task_pipes import STREAMS
from gitflowrun.schema import BINARY, COUNT, FLAG, TEXT, TEXT_MAP, TEXTS, ArraySchema, many, one_of
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.runtime.ipc.messages import Message, RunContext

PROTOCOL = 4
"""Agents and drivers of other numbers refuse each other."""


@frozen
class AgentStart:
    """What an agent is told first.

    Attributes:
        protocol: The driver's `PROTOCOL`.
        version: The driver's version of this package.
        run: What all tasks have in common, with the driver's directories, in whose place the agent puts its own.
        code: The tree of the run's snapshot.
        command: How the driver starts a fresh interpreter on the flow: program and arguments. In the agent's own
            command the interpreter is its own, and words that lie below `run.work_tree` lie below its copy of the code.
        directory: The directory in which the program is started, below the top of the work tree; empty for the top.
        path: The directories below the work tree that the program has in `sys.path` beside that of its file.
        environ: Variables for the flow's program, such as METAFLOW_ ones and those that `runs.env` names.
        isolation: How tasks get their processes, by the setting's words.
        slots: Tasks that may run at the same time.
        packages: The driver's packages and their versions, with which the agent compares its own.
        other_packages: What to do when they differ: `refuse`, `warn` or `ignore`.
        repository: What the driver's repository is called in the agent's cache: hexadecimal digits.
        shared: A file in the driver's repository, and its content. An agent that finds it so shares the driver's disk,
            and works in its repository itself; empty where it must not.
        batched: The steps whose tasks may share processes (`executors.batch`).
    """

    protocol: int
    version: str
    run: RunContext
    code: Oid
    command: tuple[str, ...]
    directory: str
    path: tuple[str, ...]
    environ: Mapping[str, str]
    isolation: str
    slots: int
    packages: Mapping[str, str]
    other_packages: str
    repository: str
    shared: tuple[str, ...] = ()
    batched: tuple[str, ...] = ()


@frozen
class AgentReady:
    """An agent can run tasks.

    Attributes:
        host: The name of its machine.
        pid: Its process there.
        python: The version of its interpreter.
        shares_disk: Whether it works in the driver's repository: then packs are named by Result alone.
        notices: What the user is to be told.
    """

    host: str
    pid: int
    python: str
    shares_disk: bool
    notices: tuple[str, ...] = ()


@frozen
class AgentRefused:
    """An agent can't run tasks of this run; no other one on its machine could, either."""

    host: str
    reason: str
    hint: str = ""


@frozen
class AgentStop:
    """An agent is not needed any more."""


@frozen
class WantObjects:
    """Objects are lacking, mostly to an agent.

    Attributes:
        request: Number of the request; where the driver asks, the serial of the task that names them.
        oids: Which ones. Of a tree with `closure`, all that it leads to.
        closure: Whether what they lead to is wanted, too.
        have: Trees whose closure the agent has.
    """

    request: int
    oids: tuple[Oid, ...]
    closure: bool = False
    have: tuple[Oid, ...] = ()


@frozen
class Objects:
    """A piece of the pack that answers a request; empty and without more when the driver has not got them either.

    Attributes:
        request: Number of the request.
        data: The next bytes of a pack as `git pack-objects --stdout` writes it.
        more: Whether others follow.
        error: Why the driver can't send them.
    """

    request: int
    data: bytes
    more: bool
    error: str = ""


@frozen
class TaskOutput:
    """What a task has written to a stream, `stdout` or `stderr`."""

    serial: int
    stream: str
    data: bytes


@frozen
class TaskNote:
    """A line for a task's log that is the agent's own, not the task's."""

    serial: int
    text: str


@frozen
class TaskPack:
    """A piece of a pack that a task has written.

    Attributes:
        serial: Number of the launch.
        name: The pack.
        data: Its next bytes.
        more: Whether others follow.
        error: Why the rest of it can't be sent.
    """

    serial: int
    name: str
    data: bytes
    more: bool
    error: str = ""


@frozen
class CardRequested:
    """A request for a card of a task that its process has written (`cards.card_files`): the file's name and content."""

    serial: int
    name: str
    data: bytes


@frozen
class TaskBegins:
    """A launch that was given ahead begins, before all that was said of the one before it was sent."""

    serial: int


@frozen
class Recall:
    """A launch that was given ahead is wanted back, unless it has begun."""

    serial: int


@frozen
class Recalled:
    """A launch that was wanted back has not begun and never will, on this agent."""

    serial: int


@frozen
class TaskPlaced:
    """A launch was given to an agent. It goes from the executor to the scheduler alone, as TaskLost does.

    Attributes:
        serial: Number of the launch.
        host: The machine.
        where: Which agent on which machine, for people.
    """

    serial: int
    host: str
    where: str


@frozen
class TaskLost:
    """A task's agent was lost or can't begin it, or its result can't be used: it was not its fault."""

    serial: int
    reason: str


@frozen
class EngineFailed:
    """No agent can begin, so the run can't go on: the executor says so to the scheduler.

    LaunchFailed follows for each launch that waits.
    """

    reason: str


RemoteMessage = (
    AgentStart | AgentReady | AgentRefused | AgentStop | WantObjects | Objects | TaskOutput | TaskNote
    | TaskPack | CardRequested | TaskBegins | Recall | Recalled | TaskPlaced | TaskLost | EngineFailed
)  # fmt: skip

_SCHEMAS: dict[str, ArraySchema[Any]] = {
    cls.__name__: ArraySchema(cls, cls.__name__, *kinds)
    for cls, *kinds in (
        (
            AgentStart, COUNT, TEXT, messages.RUN_CONTEXT, OID, TEXTS, TEXT, TEXTS, TEXT_MAP, TEXT, COUNT,
            TEXT_MAP, TEXT, TEXT, TEXTS, TEXTS,
        ),
        (AgentReady, TEXT, COUNT, TEXT, FLAG, TEXTS),
        (AgentRefused, TEXT, TEXT, TEXT),
        (AgentStop,),
        (WantObjects, COUNT, many(OID), FLAG, many(OID)),
        (Objects, COUNT, BINARY, FLAG, TEXT),
        (TaskOutput, COUNT, one_of(*STREAMS), BINARY),
        (TaskNote, COUNT, TEXT),
        (TaskPack, COUNT, TEXT, BINARY, FLAG, TEXT),
        (CardRequested, COUNT, TEXT, BINARY),
        (TaskBegins, COUNT),
        (Recall, COUNT),
        (Recalled, COUNT),
    )
}  # fmt: skip


def pack_remote(message: Message | RemoteMessage) -> bytes:
    """A message as the bytes that a link carries."""
    kind = type(message).__name__
    schema = _SCHEMAS.get(kind)
    body = messages.encode(message) if schema is None else [kind, *schema.dump(message)]  # type: ignore[arg-type]
    return pack_message(body)


def pack_piece(piece: TaskPack) -> list[bytes]:
    """The same of a piece of a pack, in parts, so that its bytes are not copied."""
    fields = [TaskPack.__name__, *_SCHEMAS[TaskPack.__name__].dump(piece)]
    return pack_message_around(fields, fields.index(piece.data))


def unpack_remote(data: bytes | memoryview) -> Message | RemoteMessage:
    """The message in bytes that a link has carried.

    Raises:
        CorruptRecord: it is none.
    """
    body = unpack_message(data)
    try:
        kind, *fields = body
        schema = _SCHEMAS.get(kind)
    except (TypeError, ValueError) as error:
        raise CorruptRecord(f"malformed message: {error!r}") from error
    if schema is None:
        return messages.parse(body)
    message: RemoteMessage = schema.load(fields)
    return message


def driver_of(data: bytes | memoryview) -> tuple[int, str] | None:
    """Protocol and version of the driver whose AgentStart can't be parsed, for it may be another one; None: no such."""
    try:
        kind, protocol, version, *_ = unpack_message(data)
    except (CorruptRecord, TypeError, ValueError):
        return None
    is_start = kind == AgentStart.__name__ and isinstance(protocol, int)
    return (protocol, version) if is_start and isinstance(version, str) else None
