"""A finished task on its way into a run, and git objects that are made but not written yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.pack.publish import PackObject
from gitflowrun.runs.records import TASK
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.names import Digest
    from gitflowrun.runs.records import TaskRecord

__all__ = ["FinishedTask", "make_object", "task_blob"]


@frozen
class FinishedTask:
    """A task that ended, as its process and the scheduler left it.

    Attributes:
        record: Everything about it.
        inline: Small payload chunks that travelled with the record, by their digest.
        stdout: Its output, as far as it is kept.
        stderr: Its error stream, as far as it is kept.
        times: When the lines were written, as `line_times.encode_times` says it.
        packs: The kept packs that its process wrote.
        blob: The record's blob, where its oid was needed before.
    """

    record: TaskRecord
    inline: Mapping[Digest, bytes]
    stdout: bytes = b""
    stderr: bytes = b""
    times: bytes = b""
    packs: tuple[str, ...] = ()
    blob: PackObject | None = None


def make_object(kind: ObjectType, data: bytes) -> tuple[Oid, PackObject]:
    """An object ready to be written, and its id."""
    oid = hash_object(kind, data)
    return oid, PackObject(kind, data, oid)


def task_blob(record: TaskRecord) -> tuple[Oid, PackObject]:
    """The TASK blob of a task, and its id."""
    return make_object(ObjectType.BLOB, msgpack.pack(TASK.dump(record), msgpack.RECORD))
