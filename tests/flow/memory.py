"""A flow run in memory: schedules from the graph's plain data, keeps payloads in a dictionary."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs import Encoded, decode, encode
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.artifacts.same_value import is_same, may_be_same
from gitflowrun.flow.execute import StepOutcome, execute_step
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.lint import lint
from gitflowrun.flow.members import constants
from gitflowrun.flow.parameter_values import resolve
from gitflowrun.flow.task_state import ArtifactSource
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.runs.records import GANG, ForeachLevel, RunIdentity, TaskRecord

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec

__all__ = ["CodecRun", "MemoryRun", "StepFailedError", "run_flow"]

NO_OID = Oid(bytes(20))


class StepFailedError(AssertionError):
    """A step of the flow failed; `outcome` says how."""

    def __init__(self, outcome: StepOutcome) -> None:
        super().__init__(outcome.report)
        self.outcome = outcome


FACTS = {
    "run_id": "1",
    "retry_count": 0,
    "namespace": "user:ada",
    "username": "ada",
    "tags": {"a tag"},
    "tempdir": ".",
}
"""What the steps of a run see of it in `current`."""


@dataclass
class MemoryRun:
    """A run. `loads` lists what was loaded and `encoded` what was stored, as `step/task/name`."""

    flow_cls: type[FlowSpec]
    given: dict[str, object] = field(default_factory=dict)
    max_num_splits: int = 100
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    records: dict[str, list[TaskRecord]] = field(default_factory=dict)
    outcomes: dict[str, list[StepOutcome]] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    encoded: list[str] = field(default_factory=list)
    count: int = 0
    attempt: int = 0

    def __post_init__(self) -> None:
        self.identity = RunIdentity(self.flow_cls.__name__, RunId("1"), NO_OID)
        values = {**resolve(self.flow_cls, self.given, environ={}), **constants(self.flow_cls)}
        name = TaskName("_parameters", "0")
        refs = {key: self.encode(value, name, key) for key, value in values.items()}
        self.parameters = TaskRecord(name, self.identity, artifacts=refs)

    def encode(self, value: object, task: TaskName, name: str) -> ArtifactRef:
        """Store a value."""
        payload = pickle.dumps(value)
        digest = Digest(hashlib.blake2b(payload, digest_size=32).digest())
        self.payloads[digest] = payload
        self.encoded.append(f"{task}/{name}")
        chunk = Chunk(digest, NO_OID, len(payload))
        return ArtifactRef(digest, len(payload), "pickle/5", type(value).__name__, (chunk,), task)

    def load(self, ref: ArtifactRef) -> Any:
        """The value of an artifact, anew."""
        return pickle.loads(self.payloads[ref.digest])

    def is_unchanged(self, value: object, ref: ArtifactRef) -> bool:
        """Whether a value that was loaded is what it was."""
        return pickle.dumps(value) == self.payloads[ref.digest]

    def source(self, record: TaskRecord) -> ArtifactSource:
        """A finished task as a source."""

        def load(name: str, ref: ArtifactRef) -> object:
            self.loads.append(name)
            return self.load(ref)

        return ArtifactSource(record.name, lambda: record, load)

    def execute(
        self,
        step: str,
        parents: list[TaskRecord],
        frames: tuple[ForeachLevel, ...] = (),
        iterations: tuple[int, ...] = (),
    ) -> StepOutcome:
        """Execute one task; keep its outcome and its record."""
        node = frames[-1].index if frames and frames[-1].is_gang else 0
        self.count += not node
        task = TaskName(step, f"{self.count}_node_{node}" if node else str(self.count))
        outcome = execute_step(
            self.flow_cls,
            task,
            [self.source(parent) for parent in parents],
            self.source(self.parameters),
            frames=frames,
            iterations=iterations,
            max_num_splits=self.max_num_splits,
            facts={**FACTS, "retry_count": self.attempt},
        )
        self.outcomes.setdefault(step, []).append(outcome)
        if outcome.error is not None:
            raise StepFailedError(outcome)
        refs = dict(outcome.inherited)
        for name, value in {**outcome.values, **outcome.loaded}.items():
            if name in outcome.loaded and self.is_unchanged(value, refs[name]):
                continue
            refs[name] = self.encode(value, task, name)
        record = TaskRecord(task, self.identity, frames=frames, artifacts=refs)
        self.records.setdefault(step, []).append(record)
        return outcome

    def run(self) -> MemoryRun:
        """Run from start to end."""
        graph = FlowGraph.of(self.flow_cls)
        lint(graph)
        self.steps: dict[str, Any] = graph.to_map()["steps"]
        self._path(str(graph.start_step), [], (), stop=None)
        return self

    def _path(
        self,
        step: str,
        parents: list[TaskRecord],
        frames: tuple[ForeachLevel, ...],
        stop: str | None,
    ) -> TaskRecord:
        """Run from `step` up to the join `stop`; return the last task's record."""
        rounds: tuple[int, ...] = ()
        while True:
            is_loop = step in self.steps[step]["next"]
            is_again = [parent.name.step for parent in parents] == [step]
            rounds = ((rounds[0] + 1 if is_again else 0),) if is_loop else ()
            outcome = self.execute(step, parents, frames, rounds)
            record = self.records[step][-1]
            jump = outcome.transition
            if jump is None:
                return record
            join = self.steps[step].get("matching_join")
            if join is not None:
                parents = [
                    self._path(target, [record], frames + levels, join)
                    for target, levels in _children(step, outcome)
                ]
                step = join
            elif jump.targets[0] == stop:
                return record
            else:
                step, parents = jump.targets[0], [record]

    def value(self, step: str, name: str, task: int = -1) -> Any:
        """An artifact's value."""
        return self.load(self.records[step][task].artifacts[name])

    def names(self, step: str, task: int = -1) -> set[str]:
        """The names of a task's artifacts."""
        return set(self.records[step][task].artifacts)


class CodecRun(MemoryRun):
    """A run whose artifacts are the bytes that repositories have of them, and are compared as tasks compare them.

    A step that has failed is tried once more.
    """

    def execute(
        self,
        step: str,
        parents: list[TaskRecord],
        frames: tuple[ForeachLevel, ...] = (),
        iterations: tuple[int, ...] = (),
    ) -> StepOutcome:
        """Execute one task, in two attempts if need be."""
        try:
            return super().execute(step, parents, frames, iterations)
        except StepFailedError:
            self.attempt = 1
            return super().execute(step, parents, frames, iterations)
        finally:
            self.attempt = 0

    def encode(self, value: object, task: TaskName, name: str) -> ArtifactRef:
        """Store a value."""
        made = encode(value)
        payload = made.payload()
        digest = Digest(hashlib.blake2b(payload, digest_size=32).digest())
        self.payloads[digest] = payload
        self.encoded.append(f"{task}/{name}")
        chunk = Chunk(digest, NO_OID, len(payload))
        return ArtifactRef(digest, len(payload), made.codec, made.type, (chunk,), task)

    def load(self, ref: ArtifactRef) -> Any:
        """The value of an artifact, anew."""
        return decode(ref.codec, bytearray(self.payloads[ref.digest]), trusted=True)

    def is_unchanged(self, value: object, ref: ArtifactRef) -> bool:
        """Whether a value that was loaded is what it was."""
        made, payload = encode(value), self.payloads[ref.digest]
        if (made.codec, made.type) == (ref.codec, ref.type) and made.payload() == payload:
            return True
        stored = Encoded(ref.codec, ref.type, (memoryview(bytearray(payload)),))
        return may_be_same(made, ref) and is_same(made, stored)


def _children(step: str, outcome: StepOutcome) -> list[tuple[str, tuple[ForeachLevel, ...]]]:
    jump = outcome.transition
    assert jump is not None
    if jump.is_gang:
        nodes = jump.num_splits or 0
        return [
            (jump.targets[0], (ForeachLevel(step, GANG, nodes, node),)) for node in range(nodes)
        ]
    if jump.foreach is None:
        return [(target, ()) for target in jump.targets]
    target, total = jump.targets[0], len(outcome.split_values)
    return [
        (target, (ForeachLevel(step, jump.foreach, total, index, text),))
        for index, text in enumerate(outcome.split_values)
    ]


def run_flow(flow_cls: type[FlowSpec], **given: object) -> MemoryRun:
    """Run a flow in memory to its end."""
    return MemoryRun(flow_cls, given).run()
