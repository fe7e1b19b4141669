"""The warm-up of the zygote: what every task would import and compute for itself, done before any is forked.

Whatever Python does for the first time in a process changes memory: modules, caches, the bytecode it adapts
to the types it meets. In a fork each of these writes copies a page, which takes longer than the work itself.
So the zygote runs a task of its own, in memory: it stores and fetches nothing, starts no thread and opens no
file, and nothing of the user's code runs in it. Codecs of libraries that the flow has loaded are imported, but
not used.

One round costs 20 ms and saves each task as much. Twelve rounds cost 5 ms more; they and the codecs that
only some values need pay off where a foreach makes many tasks.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.flow import FlowSpec, step
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.msgpack import pack_message, unpack_message
from gitflowrun.names import PARAMETERS_STEP, Digest, RunId, TaskName
from gitflowrun.runs.records import ForeachFrame, RunIdentity, TaskRecord
from gitflowrun.runtime.ipc.messages import Launch, Parent, RunContext, encode, parse
from gitflowrun.runtime.worker.task import TaskRunner

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.messages import Message

__all__ = ["warm_up"]

_ALWAYS = (
    "gitflowrun.flow.execute",
    "gitflowrun.flow.task_state",
    "gitflowrun.flow.merge",
)
_FOR_MANY = ("gitflowrun.artifacts.codecs.pickle",)
_WITH = {
    "numpy": ("gitflowrun.artifacts.codecs.numpy",),
    "pandas": ("gitflowrun.artifacts.codecs.pandas",),
    "polars": ("gitflowrun.artifacts.codecs.polars",),
    "pyarrow": ("gitflowrun.artifacts.codecs.arrow",),
}
_SAMPLE = ({"a": [1, 2.5, None, True, b"b", (1 << 70, {2})]}, "text", b"bytes")


class _Sample(FlowSpec):
    """A flow whose middle step is run."""

    factor = 2

    @step
    def start(self) -> None:
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self) -> None:
        self.x = self.input * self.factor
        self.text = "x"
        self.next(self.join)

    @step
    def join(self, inputs: object) -> None:  # noqa: ARG002  (what makes it a join)
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


def warm_up(rounds: int) -> None:
    """Import and run what tasks will need. What can't be imported is left to them.

    Args:
        rounds: How often a task is run: once for a few tasks, more often for many of one step.
    """
    names = [name for library, more in _WITH.items() if library in sys.modules for name in more]
    for name in (*_ALWAYS, *(_FOR_MANY if rounds > 1 else ()), *names):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    for value in _SAMPLE:
        made = codecs.encode(value)
        codecs.decode(made.codec, made.payload(), trusted=True)
    run = RunIdentity("Sample", RunId("1"), NULL_OID)
    records = [
        TaskRecord(TaskName.parse(task), run, artifacts={name: _ref(name, task)})
        for task, name in ((f"{PARAMETERS_STEP}/0", "factor"), ("start/1", "items"))
    ]
    parameters, start = (
        Parent(record.name, Oid(bytes([number]) * Oid.SIZE))
        for number, record in enumerate(records)
    )
    context = RunContext(
        run, None, "", None, (), "/", "/", "/", "fast", frozenset(), 9, ".", {}, parameters
    )
    runner = TaskRunner(_Sample, context)
    for parent, record in zip((parameters, start), records, strict=True):
        runner.keep_record(parent, record)
    frames = (ForeachFrame("start", "items", 2, 0, "1"),)
    launch = Launch(1, TaskName("work", "2"), 0, False, frames, (start,))  # noqa: FBT003
    for _ in range(rounds):
        found = _sent(launch)
        assert isinstance(found, Launch)
        runner.preload(_ref("items", "start/1"), [1, 2])
        runner.preload(_ref("factor", f"{PARAMETERS_STEP}/0"), 2)
        _sent(runner.run(found))


def _ref(name: str, task: str) -> ArtifactRef:
    digest = Digest(name.encode().ljust(Digest.SIZE))
    chunk = Chunk(digest, NULL_OID, 1)
    return ArtifactRef(digest, 1, "plain/1", "builtins.int", (chunk,), TaskName.parse(task))


def _sent(message: Message) -> Message:
    """A message as it arrives at the other end of a channel."""
    return parse(unpack_message(pack_message(encode(message))))
