"""Runs for tests, made through the store: drafts, finished tasks, whole runs. No scheduler, no flow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.artifacts.scalar import scalar_of
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import Digest, TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.line_times import encode_times
from gitflowrun.runs.records import Attempt, RunIdentity, RunInfo, TaskRecord
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo

__all__ = [
    "GRAPH",
    "artifact",
    "digest",
    "draft",
    "finished_task",
    "make_measured_run",
    "make_run",
    "open_repo",
    "start_run",
    "store_of",
]

GRAPH = {
    "start_step": "start",
    "end_step": "end",
    "steps": {
        "start": {"next": ["train"]},
        "train": {"next": ["end"]},
        "end": {"next": []},
    },
}


def open_repo(repo: GitRepo) -> Repository:
    """The repository as the package opens it."""
    return Repository.discover(repo.path)


def store_of(repo: GitRepo) -> RunStore:
    """The runs of a repository."""
    return RunStore(open_repo(repo))


def draft(flow: str = "MyFlow", *, tags: Sequence[str] = (), user: str = "ada") -> RunInfo:
    """What describes a run to be created."""
    return RunInfo(
        flow=flow,
        user=user,
        host="testhost",
        versions={"gitflowrun": "0.1.0", "metaflow": "2.19.39", "python": "3.11.7"},
        parameters={"alpha": "0.5"},
        git={},
        environment={"platform": "test"},
        graph=GRAPH,
        tags=tuple(tags),
        system_tags=(f"user:{user}", "runtime:dev"),
        script="flow.py",
    )


def start_run(
    repo: GitRepo | Repository, flow: str = "MyFlow", *, tags: Sequence[str] = (), user: str = "ada"
) -> RunWriter:
    """Create a run."""
    repository = repo if isinstance(repo, Repository) else open_repo(repo)
    return create_run(repository, draft(flow, tags=tags, user=user), take_snapshot(repository))


def digest(data: bytes) -> Digest:
    """The BLAKE3 of `data`."""
    return Digest(blake3(data).digest())


def artifact(data: bytes, producer: TaskName, *pieces: bytes) -> ArtifactRef:
    """The artifact whose payload is `data`, or the concatenation of `data` and `pieces` as chunks."""
    parts = (data, *pieces)
    chunks = [Chunk(digest(it), hash_object(ObjectType.BLOB, it), len(it)) for it in parts]
    whole = b"".join(parts)
    return ArtifactRef(
        digest(whole), len(whole), "bytes/1", "builtins.bytes", tuple(chunks), producer
    )


def finished_task(
    run: RunIdentity,
    name: str,
    values: Mapping[str, bytes] | None = None,
    *,
    inherited: Mapping[str, ArtifactRef] | None = None,
    parents: Sequence[str] = (),
    stdout: str = "",
    stderr: str = "",
    ok: bool = True,
    attempt: int = 0,
    again: bool = False,
) -> FinishedTask:
    """A task `step/id` that made `values`, small enough to travel with its record; those before `attempt` failed.

    Args:
        run: Its run.
        name: Which task.
        values: What it made.
        inherited: What it has besides.
        parents: The tasks that it followed.
        stdout: Its output.
        stderr: Its error stream.
        ok: Whether it succeeded.
        attempt: In which attempt.
        again: Whether it is to be tried again.
    """
    task = TaskName.parse(name)
    now = time.time()
    earlier = [
        Attempt(
            number, now - 9, now - 8 + number, ok=False, exit_code=1, error=f"ValueError: {number}"
        )
        for number in range(attempt)
    ]
    refs = {key: artifact(data, task) for key, data in (values or {}).items()}
    record = TaskRecord(
        name=task,
        run=run,
        parents=tuple(map(TaskName.parse, parents)),
        attempts=(*earlier, Attempt(attempt, now - 1, now, ok, exit_code=0 if ok else 1)),
        artifacts={**(inherited or {}), **refs},
        again=again,
    )
    lines = [[now] * text.count("\n") for text in (stdout, stderr)]
    return FinishedTask(
        record=record,
        inline={digest(data): data for data in (values or {}).values()},
        stdout=stdout.encode(),
        stderr=stderr.encode(),
        times=encode_times(*lines),
    )


def make_measured_run(
    repo: GitRepo | Repository,
    parameters: Mapping[str, str],
    metrics: Mapping[str, Any],
    *,
    flow: str = "MyFlow",
    status: Status = Status.DONE,
    tags: Sequence[str] = (),
    user: str = "ada",
    stdout: str = "",
) -> RunIdentity:
    """A run of one task, with these parameters, and scalars among its artifacts."""
    repository = repo if isinstance(repo, Repository) else open_repo(repo)
    info = replace(draft(flow, tags=tags, user=user), parameters=parameters)
    with create_run(repository, info, take_snapshot(repository)) as writer:
        values = {name: repr(value).encode() for name, value in metrics.items()}
        task = finished_task(
            writer.identity, "end/1", values, stdout=stdout, ok=status is Status.DONE
        )
        artifacts = {
            name: replace(ref, scalar=scalar_of(metrics[name]))
            for name, ref in task.record.artifacts.items()
        }
        writer.commit([replace(task, record=replace(task.record, artifacts=artifacts))])
        writer.commit([], status=status)
        return writer.identity


def with_packs(task: FinishedTask, *packs: str) -> FinishedTask:
    """The same task, its payloads in packs that its process wrote."""
    return replace(task, inline={}, packs=packs)


def make_run(
    repo: GitRepo | Repository,
    flow: str = "MyFlow",
    *,
    tags: Sequence[str] = (),
    status: Status = Status.DONE,
    result: bytes = b"42",
) -> RunIdentity:
    """A whole small run: `_parameters`, `start`, two of `train`, `end`."""
    with start_run(repo, flow, tags=tags) as writer:
        run = writer.identity
        first = [
            finished_task(run, "_parameters/0", {"alpha": b"0.5"}),
            finished_task(run, "start/1", {"x": b"one"}, stdout="hello\n"),
        ]
        writer.commit(first)
        writer.commit([finished_task(run, f"train/{n}", {"y": b"%d" % n}) for n in (2, 3)])
        last = [finished_task(run, "end/4", {"result": result, "_private": b"p"})]
        writer.commit(last if status is Status.DONE else [], status=status)
    return run
