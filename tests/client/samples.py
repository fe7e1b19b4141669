"""A run with a foreach, made through the store, as the runtime leaves it: values encoded, graph, output."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import Digest, TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.line_times import encode_times
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import (
    Attempt,
    ForeachLevel,
    RunIdentity,
    RunInfo,
    RunOrigin,
    TaskRecord,
    Transition,
)
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.trust import Trust
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo

GRAPH = {
    "start_step": "start",
    "end_step": "end",
    "steps": {
        "start": {"type": "split-foreach", "next": ["train"]},
        "train": {"type": "linear", "next": ["join"]},
        "join": {"type": "join", "next": ["end"]},
        "end": {"type": "end", "next": []},
    },
}
SCRIPT = "print('a flow')\n"


@dataclass
class Tasks:
    """The finished tasks of a run, collected with what they hand on."""

    run: RunIdentity
    done: list[FinishedTask] = field(default_factory=list)
    refs: dict[str, ArtifactRef] = field(default_factory=dict)

    def add(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        parents: Sequence[str] = (),
        goes_to: Transition | None = None,
        frames: Sequence[ForeachLevel] = (),
        stdout: str = "",
        stderr: str = "",
        error: str | None = None,
        hand_on: bool = True,
    ) -> None:
        """A task that made `values` and inherited what earlier ones handed on."""
        task, now, inline = TaskName.parse(name), time.time(), {}
        own: dict[str, ArtifactRef] = {}
        for key, value in values.items():
            encoded = encode(value)
            payload = encoded.payload()
            digest = Digest(blake3(payload).digest())
            chunk = Chunk(digest, hash_object(ObjectType.BLOB, payload), len(payload))
            own[key] = ArtifactRef(
                digest, len(payload), encoded.codec, encoded.type, (chunk,), task
            )
            inline[digest] = payload
        record = TaskRecord(
            name=task,
            run=self.run,
            parents=tuple(map(TaskName.parse, parents)),
            attempts=(Attempt(0, now - 1, now, error is None, int(bool(error)), error=error),),
            frames=tuple(frames),
            transition=goes_to,
            artifacts={**self.refs, **own},
        )
        times = encode_times(*[[now] * text.count("\n") for text in (stdout, stderr)])
        self.done.append(FinishedTask(record, inline, stdout.encode(), stderr.encode(), times))
        if hand_on:
            self.refs.update(own)


def open_repo(repo: GitRepo) -> Repository:
    """The repository as the package opens it."""
    return Repository.discover(repo.path)


def start(
    repo: GitRepo,
    flow: str = "MyFlow",
    *,
    user: str = "ada",
    tags: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    origin: RunOrigin | None = None,
) -> RunWriter:
    """Create a run."""
    repository = open_repo(repo)
    info = RunInfo(
        flow=flow,
        user=user,
        host="testhost",
        versions={"gitflowrun": "0.1.0", "metaflow": "2.19.39", "python": "3.11.7"},
        parameters={"alpha": "0.5"} if parameters is None else parameters,
        environment={"platform": "test"},
        graph=GRAPH,
        tags=tuple(tags),
        system_tags=(f"user:{user}", "runtime:dev", "python_version:3.11.7"),
        origin=origin,
        script="flow.py",
        git={"remote": "https://example.org/repo.git"},
    )
    return create_run(repository, info, take_snapshot(repository))


def sample_tasks(run: RunIdentity, result: object = 42) -> Tasks:
    """`_parameters/0`, `start/1`, `train/2`, `train/3`, `join/4`, `end/5`."""
    tasks = Tasks(run)
    tasks.add("_parameters/0", {"alpha": 0.5})
    fork = Transition(("train",), "items", 2)
    tasks.add("start/1", {"items": [10, 20]}, goes_to=fork, stdout="hello\nthere\n")
    for index in (0, 1):
        frame = ForeachLevel("start", "items", 2, index, str((index + 1) * 10))
        tasks.add(
            f"train/{index + 2}", {"score": index}, parents=["start/1"], frames=[frame],
            goes_to=Transition(("join",)), hand_on=False,
        )  # fmt: skip
    tasks.refs = {"alpha": tasks.refs["alpha"]}
    tasks.add("join/4", {"result": result, "name": "net"}, parents=["train/2", "train/3"],
              goes_to=Transition(("end",)))  # fmt: skip
    tasks.add("end/5", {"_hidden": 1}, parents=["join/4"])
    return tasks


def make_run(repo: GitRepo, flow: str = "MyFlow", *, result: object = 42, **more: Any) -> StoredRun:
    """A run that is done."""
    with start(repo, flow, **more) as writer:
        writer.commit(sample_tasks(writer.identity, result).done, status=Status.DONE)
        return RunStore(open_repo(repo)).get(flow, writer.identity.id)


def make_failed_run(repo: GitRepo, flow: str = "MyFlow") -> StoredRun:
    """A run whose start failed."""
    with start(repo, flow) as writer:
        tasks = Tasks(writer.identity)
        tasks.add("_parameters/0", {"alpha": 0.5})
        trace = {"type": "builtins.ValueError", "message": "boom", "stacktrace": "ValueError: boom"}
        tasks.add("start/1", {"_exception": trace}, stderr="oh\n", error="ValueError: boom")
        writer.commit(tasks.done, status=Status.FAILED)
        return RunStore(open_repo(repo)).get(flow, writer.identity.id)


def make_resumed_run(repo: GitRepo, origin: StoredRun, *, user: str = "ada") -> StoredRun:
    """A run that took over all but the end of `origin`."""
    trusted = Trust(open_repo(repo)).executors(origin)
    of = RunOrigin("resume", origin.identity, tuple(sorted(trusted)))
    with start(repo, origin.flow, origin=of, user=user) as writer:
        joined = origin.task(TaskName("join", "4")).record
        strange = joined.run.uid not in trusted
        refs = {name: replace(ref, untrusted=strange) for name, ref in joined.artifacts.items()}
        tasks = Tasks(writer.identity, refs=refs)
        tasks.add("end/5", {"_hidden": 1}, parents=["join/4"])
        names = [task.name for task in origin.all_tasks() if task.name.step != "end"]
        writer.adopt(origin, names)
        writer.commit(tasks.done, status=Status.DONE)
        return RunStore(open_repo(repo)).get(origin.flow, writer.identity.id)


CANARY: list[str] = []


def sing() -> None:
    """What loading `Pickled` calls."""
    CANARY.append("it sang")


class Pickled:
    """A value that only pickle stores, and whose loading shows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sing, ())
