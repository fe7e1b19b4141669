"""The driver's side of a run over an engine, whose agents say what a test has them say."""

# ruff: noqa: D102, D103  (what an engine and an agent do is said where these are)

import subprocess
from pathlib import Path
from typing import Any

from gitflowrun.artifacts.reference import ArtifactRef
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.engine_executor import EngineExecutor
from gitflowrun.runtime.ipc import events
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    Parent,
    Result,
    RunContext,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentStart,
    TaskPack,
    pack_remote,
    unpack_remote,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from tests.helpers.links import Meeting
from tests.helpers.repos import make_repo

PARENT = Parent(TaskName("_parameters", "0"), Oid(b"2" * 20))
RUN = RunIdentity("F", RunId("12"), NULL_OID)
BIG = bytes(range(256)) * 4_000


class FakeEngine:
    """An engine whose calls of agents are kept for the test."""

    name = "fake"
    host: str | None = None

    def __init__(self) -> None:
        self.calls: dict[int, tuple[bytes, Resources]] = {}
        self.cancelled: list[int] = []

    def start(self, number: int, call: bytes, resources: Resources) -> None:
        self.calls[number] = call, resources

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def where(self) -> str:
        return "nowhere"

    def close(self) -> None:
        pass


class FakeAgent:
    """An agent: what it was told, and a way to say something."""

    def __init__(self, meeting: Meeting, call: bytes) -> None:
        self._meeting = meeting
        self.link, self._side = meeting.agent(call)

    @property
    def told(self) -> list[Any]:
        return [unpack_remote(data) for data in self._side.messages]

    def hears(self, kind: type, count: int = 1) -> Any:
        """The last message of a kind, once there are so many."""
        self._meeting.turn_until(lambda: len(self.all_of(kind)) >= count)
        return self.all_of(kind)[-1]

    def all_of(self, kind: type) -> list[Any]:
        """The messages of a kind that have come."""
        return [it for it in self.told if isinstance(it, kind)]

    def says(self, *messages: Any) -> None:
        for message in messages:
            self.link.send(pack_remote(message))


class Driver:
    """A run's executor, and what it has told the scheduler."""

    def __init__(self, repo: Repository, meeting: Meeting, most: int = 4) -> None:
        self.meeting = meeting
        self.engine = FakeEngine()
        self.resources: dict[str, Resources] = {}
        self.messages: list[Any] = []
        self.notices: list[str] = []
        start = AgentStart(
            1, "0.1.0", _context(repo), Oid(b"1" * 20), ("python", "f.py"), "", (), {}, "fork", 1, {},
            "warn", "ab", (),
        )  # fmt: skip
        self.executor = EngineExecutor(
            meeting.loop, repo, self.engine, meeting.server, start, self.messages.append,
            self._notify, Path(repo.git_dir) / "gitflowrun" / "live" / "x", self.resources, most,
        )  # fmt: skip
        meeting.server._on_link = self.executor.connected

    def _notify(self, event: events.Event) -> None:
        assert isinstance(event, events.Notice)
        self.notices.append(event.text)

    def launch(self, serial: int, task: str = "start/1") -> Launch:
        step, _, number = task.partition("/")
        launch = Launch(serial, TaskName(step, number), 0, (), (PARENT,))
        self.executor.launch(launch, TaskPipes(self.meeting.loop))
        return launch

    def agent(self, number: int = 1, *, ready: bool = True) -> FakeAgent:
        """The agent that the engine was asked for."""
        self.meeting.turn_until(lambda: number in self.engine.calls)
        agent = FakeAgent(self.meeting, self.engine.calls[number][0])
        agent.hears(AgentStart)
        if ready:
            agent.says(AgentReady(f"h{number}", 33, "3.11.7", shares_disk=False))
        return agent

    def finish(self, agent: FakeAgent, serial: int) -> None:
        """Have an agent end the task of a launch."""
        self.meeting.turn_until(lambda: agent.hears(Launch).serial == serial)
        agent.says(result_of(serial), Exited(serial, 0, 0.0, 0))
        self.meeting.turn_until(
            lambda: any(isinstance(it, Exited) and it.serial == serial for it in self.messages)
        )

    def hears(self, kind: type, count: int = 1) -> Any:
        """The n-th message of a kind that the scheduler got."""
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = [it for it in self.messages if isinstance(it, kind)]
            return len(found) >= count

        self.meeting.turn_until(is_there)
        return found[count - 1]


def _context(repo: Repository) -> RunContext:
    return RunContext(
        RUN, None, "ada", None, (), str(repo.objects_dir), str(repo.packs.incoming), str(repo.git_dir),
        str(repo.work_tree), 0.0, "local@/w", "fast", None, frozenset(), 9, ".", {}, PARENT,
    )  # fmt: skip


def result_of(serial: int, **refs: ArtifactRef) -> Result:
    return Result(serial, refs, {}, (), None)


def pack_of(place: Path, *contents: bytes) -> bytes:
    """A pack of blobs that only another repository has."""
    other = make_repo(place / "other")
    oids = "".join(other.git("hash-object", "-w", "--stdin", stdin=it) for it in contents)
    command = ["git", "-C", str(other.path), "pack-objects", "--stdout", "-q"]
    return subprocess.run(command, input=oids.encode(), check=True, capture_output=True).stdout


def pieces_of(serial: int, pack: bytes, size: int = 100_000) -> list[TaskPack]:
    starts = range(0, len(pack), size)
    return [TaskPack(serial, "p", pack[it : it + size], it + size < len(pack)) for it in starts]
