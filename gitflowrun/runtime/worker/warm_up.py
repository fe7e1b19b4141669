"""The warm-up of a zygote: before tasks are forked from it, it imports and computes what each would do for itself.

Whatever Python does for the first time in a
process changes memory: modules, caches, the bytecode it adapts to the types it meets. In a fork each of these writes
copies a page, which takes longer than the work itself.
So the zygote runs a task of its own, in memory: it stores and fetches nothing, starts no thread and opens no
file, and nothing of the user's code runs in it. Codecs of libraries that the flow has loaded are imported, but
not used.

One round costs 20 ms and saves each task as much. Twelve rounds cost 5 ms more; they and the codecs that
only some values need pay off where a foreach makes many tasks.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.msgpack import pack_message, unpack_message
from gitflowrun.names import PARAMETERS_STEP, Digest, RunId, TaskName
from gitflowrun.runs.records import ForeachLevel, RunIdentity, TaskRecord
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.messages import (
    Launch,
    Message,
    Parent,
    RunContext,
    TaskDone,
    encode,
    parse,
)
from gitflowrun.runtime.worker.sample import Sample
from gitflowrun.runtime.worker.task import TaskRunner
from gitflowrun.schema import USES, prepare_for_forks

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec

_CODECS = {"numpy": "numpy", "pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}
_SAMPLE = ({"a": [1, 2.5, None, True, b"b", (1 << 70, {2})]}, "text", b"bytes")


def warm_up(rounds: int, *, has_decorators: bool = False) -> None:
    """Import and run what tasks will need. What can't be imported is left to them.

    Args:
        rounds: How often a task is run: once for a few tasks, more often for many of one step.
        has_decorators: Whether tasks will call decorators of their steps.
    """
    used = [codec for library, codec in _CODECS.items() if library in sys.modules]
    if rounds > 1:
        used.append("pickle")
    for name in ("flow.merge", *(f"artifacts.codecs.{codec}" for codec in used)):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"gitflowrun.{name}")
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
        run, None, "", None, (), "/", "/", "/", "", 0.0, "", "fast", None, frozenset(), 9, ".", {},
        parameters,
    )  # fmt: skip
    flow_cls: type[FlowSpec] = Sample
    if has_decorators:
        from gitflowrun.runtime.worker.decorated_sample import DecoratedSample  # few flows have any

        flow_cls = DecoratedSample
    runner = TaskRunner(flow_cls, context)
    for parent, record in zip((parameters, start), records, strict=True):
        runner.keep_record(parent, record)
    frames = (ForeachLevel("start", "items", 2, 0, "1"),)
    launch = Launch(1, TaskName("work", "2"), 0, frames, (start,))
    for _ in range(rounds):
        found = _sent(launch)
        assert isinstance(found, Launch)
        runner.preload(_ref("items", "start/1"), [1, 2])
        runner.preload(_ref("factor", f"{PARAMETERS_STEP}/0"), 2)
        _sent(TaskDone(0.0, 0.0, 1, runner.run(found, process.tell)))
    # Whatever each task uses was used in each round; the functions of a foreach's many tasks are compiled once.
    prepare_for_forks(rounds if rounds > 1 else USES)


def _ref(name: str, task: str) -> ArtifactRef:
    digest = Digest(name.encode().ljust(Digest.SIZE))
    chunk = Chunk(digest, NULL_OID, 1)
    return ArtifactRef(digest, 1, "plain/1", "builtins.int", (chunk,), TaskName.parse(task))


def _sent(message: Message) -> Message:
    """A message as it arrives at the other end of a channel."""
    return parse(unpack_message(pack_message(encode(message))))
