"""Agents as processes of their own, and a driver for them that serves the objects of a real repository."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gitflowrun._version import __version__
from gitflowrun.artifacts.reference import ArtifactRef
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.transport.streamed_packs import start_pack
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.runs.records import Attempt, RunIdentity, TaskRecord
from gitflowrun.runs.trees import task_blob
from gitflowrun.runtime.executors.engines.run_agent import WORKER_FD
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.link import Link
from gitflowrun.runtime.ipc.link_server import LinkServer
from gitflowrun.runtime.ipc.messages import Exited, Launch, Parent, Result, RunContext
from gitflowrun.runtime.ipc.remote_messages import (
    PROTOCOL,
    AgentReady,
    AgentRefused,
    AgentStart,
    Objects,
    TaskOutput,
    TaskPack,
    WantObjects,
    pack_remote,
    unpack_remote,
)
from gitflowrun.values import replace
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.warm_popen import WarmPopen

M = TypeVar("M")
_PIECE = 256 << 10
_LONG = 30.0


class AgentProcess:
    """An agent and the driver's side of its link.

    Args:
        repo: The driver's repository.
        start: What the agent is told first; nothing when None.
        env: Variables for it.
    """

    def __init__(
        self, repo: GitRepo, start: AgentStart | None, env: Mapping[str, str] | None = None
    ) -> None:
        self.repo = repo
        self.heard: list[Any] = []
        self.served: list[WantObjects] = []
        self.lost: str | None = None
        self.link: Link | None = None
        self.hold = False
        """Whether requests are noted and not answered."""
        self._start = start
        self._loop = EventLoop()
        self._server = LinkServer(self._loop, self._connected, "127.0.0.1")
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        alive, self.worker = os.pipe2(os.O_CLOEXEC)
        self.process = WarmPopen(
            [sys.executable, "-m", "gitflowrun.runtime.remote.agent_main"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, WORKER_FD: str(alive), **(env or {})}, pass_fds=(alive,),
        )  # fmt: skip
        os.close(alive)
        assert self.process.stdin is not None
        self.process.stdin.write(self._server.invite(1))
        self.process.stdin.close()

    def _connected(self, _number: int, link: Link) -> None:
        self.link = link
        link.on_message = self._hear
        link.on_close = self._lose
        if self._start is not None:
            self.say(self._start)

    def _lose(self, reason: str) -> None:
        self.lost = reason

    def say(self, message: Any) -> None:
        """Send a message."""
        assert self.link is not None
        self.link.send(pack_remote(message))

    def say_bytes(self, data: bytes) -> None:
        """Send what may be no message."""
        assert self.link is not None
        self.link.send(data)

    def _hear(self, data: bytes | memoryview) -> None:
        message = unpack_remote(data)
        self.heard.append(message)
        if isinstance(message, WantObjects):
            self.served.append(message)
            if not self.hold:
                self.serve(message)

    def serve(self, want: WantObjects) -> None:
        """Answer a request as a driver does."""
        git = Git(self.repo.path / ".git", None)
        packing = start_pack(git, want.oids, closure=want.closure, have=want.have)
        out, err = packing.communicate()
        for place in range(0, len(out), _PIECE) if not packing.returncode else ():
            self.say(Objects(want.request, out[place : place + _PIECE], more=True))
        error = err.decode().strip() if packing.returncode else ""
        self.say(Objects(want.request, b"", more=False, error=error))

    def until(self, condition: Callable[[], object], seconds: float = _LONG) -> None:
        """Turn the loop until something holds."""
        deadline = time.monotonic() + seconds
        ticks = self._loop.after(0, lambda: None)
        while not condition():
            assert time.monotonic() < deadline, (self.heard[-5:], self.lost, self.words())
            ticks.cancel()
            ticks = self._loop.after(0.02, lambda: None)
            self._loop.turn()

    def turn(self) -> None:
        """Turn the loop once, and wait for little."""
        self._loop.after(0.01, lambda: None)
        self._loop.turn()

    def words(self) -> str:
        """What it has said on standard error, once it has ended."""
        if self.process.poll() is None or self.process.stderr is None:
            return ""
        said: bytes = self.process.stderr.read()
        return said.decode()

    def next(self, kind: type[M], count: int = 1, seconds: float = _LONG) -> M:
        """Wait for the n-th message of a kind."""
        self.until(lambda: len(self.of(kind)) >= count, seconds)
        return self.of(kind)[count - 1]

    def of(self, kind: type[M]) -> list[M]:
        """The messages of a kind that have come."""
        return [it for it in self.heard if isinstance(it, kind)]

    def ready(self) -> AgentReady:
        """Wait until it is."""
        self.until(lambda: self.of(AgentReady) or self.of(AgentRefused) or self.lost)
        assert not self.of(AgentRefused), self.of(AgentRefused)
        return self.next(AgentReady)

    def refused(self) -> AgentRefused:
        """Wait until it refuses."""
        return self.next(AgentRefused)

    def run(self, launch: Launch) -> tuple[Result | None, Exited]:
        """Have a task executed; its result, if any came, and its end."""
        self.say(launch)
        self.until(lambda: self._exited(launch) is not None)
        exited = self._exited(launch)
        assert exited is not None
        results = [it for it in self.of(Result) if it.serial == launch.serial]
        return (results[-1] if results else None), exited

    def _exited(self, launch: Launch) -> Exited | None:
        return next((it for it in self.of(Exited) if it.serial == launch.serial), None)

    def output(self, serial: int, stream: str = "stdout") -> str:
        """What a task has written."""
        parts = [
            it.data for it in self.of(TaskOutput) if (it.serial, it.stream) == (serial, stream)
        ]
        return b"".join(parts).decode()

    def packs(self, serial: int) -> dict[str, bytes]:
        """The packs of a task, each of which must have come whole."""
        found: dict[str, bytes] = {}
        ended = set()
        for piece in self.of(TaskPack):
            if piece.serial == serial:
                assert piece.name not in ended
                found[piece.name] = found.get(piece.name, b"") + piece.data
                if not piece.more:
                    ended.add(piece.name)
        assert ended == found.keys()
        return found

    def wait(self, seconds: float = _LONG) -> int:
        """Wait for its end; the exit status."""
        self.until(lambda: self.process.poll() is not None, seconds)
        return self.process.returncode

    def lose_worker(self) -> None:
        """Let the worker of the engine, which has started it, be gone."""
        if self.worker >= 0:
            os.close(self.worker)
            self.worker = -1

    def close(self) -> None:
        """End it."""
        if self.link is not None:
            self.link.close()
        self._server.close()
        self.lose_worker()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self._loop.close()


def agent_start(repo: GitRepo, script: str = "flow.py", **changes: Any) -> AgentStart:
    """What a driver tells an agent first, of a run of what is committed.

    Args:
        repo: The driver's repository.
        script: The flow's file, whose flow is called `F`.
        changes: Fields that are others, those of the run's context included.
    """
    run = RunIdentity("F", RunId("1"), Oid(bytes(range(20))))
    name = TaskName("_parameters", "0")
    secrets = {
        it: ArtifactRef(Digest(bytes(Digest.SIZE)), 0, "plain/1", "str", (), name)
        for it in changes.get("secrets", ())
    }
    parameters = TaskRecord(
        name=name, run=run, attempts=(Attempt(0, 1.0, 1.0, ok=True),), artifacts=secrets
    )
    record = store(repo, parameters)
    top = str(repo.path)
    context = RunContext(
        run=run, origin=None, user="ada", namespace=None, tags=(),
        objects_dir=f"{top}/.git/objects", incoming=f"{top}/.git/gitflowrun/incoming",
        git_dir=f"{top}/.git", work_tree=top, snapshot_begun=time.time(), metadata=f"local@{top}",
        durability="safe", shared=None, trusted_runs=frozenset(), max_num_splits=100, tempdir=".",
        seeds={}, parameters=Parent(parameters.name, record), cache=changes.pop("cache_steps", False),
    )  # fmt: skip
    names = {*RunContext.__match_args__} - {*AgentStart.__match_args__}
    context = replace(
        context, **{name: changes.pop(name) for name in list(changes) if name in names}
    )
    start = AgentStart(
        protocol=PROTOCOL, version=__version__, run=context,
        code=Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}")),
        command=("/driver/bin/python", f"{top}/{script}", "run"), directory="", path=(), environ={},
        isolation="fork", slots=1, packages={}, other_packages="warn", repository="c0ffee",
    )  # fmt: skip
    return replace(start, **changes)


def store(repo: GitRepo, record: TaskRecord) -> Oid:
    """Store a task's record in a repository; the id of its blob."""
    oid, made = task_blob(record)
    data = bytes(made.data)
    assert repo.git("hash-object", "-w", "--stdin", stdin=data) == str(oid)
    return oid


def launch(serial: int, step: str = "start", **fields: Any) -> Launch:
    """A launch of a task that follows none."""
    return replace(Launch(serial, TaskName(step, str(serial)), 0, (), ()), **fields)


def cache_of(home: Path) -> Path:
    """An agent's cache."""
    return home / "gitflowrun" / "agents" / "c0ffee"


def record_of(
    agent: AgentProcess, made: Launch, result: Result, run: RunIdentity, **fields: Any
) -> Parent:
    """Keep what a task has made in the driver's repository, as its scheduler does; where its record is."""
    repo = agent.repo
    for data in result.inline.values():
        repo.git("hash-object", "-w", "--stdin", stdin=data)
    for data in agent.packs(made.serial).values():
        repo.git("index-pack", "--stdin", stdin=data)
    record = TaskRecord(
        name=made.task, run=run, attempts=(Attempt(0, 1.0, 1.0, ok=True),),
        artifacts=result.artifacts, frames=made.frames, **fields,
    )  # fmt: skip
    return Parent(made.task, store(repo, record))
