"""The git objects of a group of finished tasks, checked before anybody relies on them. Nothing is written here.

A task's tree is self-contained: whatever its own artifacts consist of is an entry of it, or git would drop
it sooner or later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord, RepositoryError, UsageError
from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, hash_object, tree_bytes
from gitflowrun.git.pack.publish import PackObject
from gitflowrun.runs import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.names import Digest
    from gitflowrun.runs.records import Chunk, TaskRecord
    from gitflowrun.runs.write import FinishedTask

__all__ = ["GroupObjects", "Remembered", "pack_record"]

_REMEMBERED = 20_000


class Remembered:
    """Objects that are known to be reachable from this run; forgets the oldest of very many."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._oids: dict[Oid, None] = {}

    def __contains__(self, oid: Oid) -> bool:
        return oid in self._oids

    def add(self, oids: Iterable[Oid]) -> None:
        """Remember these."""
        self._oids.update(dict.fromkeys(oids))
        while len(self._oids) > self._limit:
            del self._oids[next(iter(self._oids))]


def pack_record(record: TaskRecord) -> bytes:
    """The content of a task's TASK blob."""
    return msgpack.pack(record.to_map(), msgpack.RECORD)


class GroupObjects:
    """The objects of one group commit.

    Args:
        run: `Flow/id`, for messages.
        existing: The repository's objects, in which chunks written by tasks must be.
        remembered: What the run holds already and need not be written or looked for again.
    """

    def __init__(self, run: str, existing: ObjectStore, remembered: Remembered) -> None:
        self._run = run
        self._existing = existing
        self._remembered = remembered
        self._new: dict[Oid, PackObject] = {}
        self._relied_on: dict[Oid, str] = {}
        self.repeatable: set[Oid] = set()
        """What other tasks may hold too, to be remembered once the group is published."""

    def objects(self) -> list[PackObject]:
        """What has to be written."""
        return list(self._new.values())

    def add_task(self, task: FinishedTask) -> Oid:
        """The tree of a finished task.

        Raises:
            CorruptRecord: a payload is not what the record says.
            RepositoryError: a payload is nowhere.
        """
        name = task.record.name
        if not (layout.is_safe_component(name.step) and layout.is_safe_component(name.task)):
            raise UsageError(f"{str(name)!r} can't name a task in git", hint="use [A-Za-z0-9_-]")
        packed = pack_record(task.record) if task.packed is None else task.packed
        entries = [self._unique_blob(layout.TASK, packed)]
        for stream, output in ((layout.STDOUT, task.stdout), (layout.STDERR, task.stderr)):
            for number, part in enumerate(_parts(output), start=1):
                entries.append(self._blob(layout.output_part(stream, number), part))
        if task.times:
            entries.append(self._unique_blob(layout.TIMES, task.times))
        payloads = self._payloads(task.record, task.inline)
        if payloads:
            tree = self._put(ObjectType.TREE, tree_bytes(payloads))
            entries.append(TreeEntry(Mode.TREE, layout.PAYLOADS, tree))
        return self._put(ObjectType.TREE, tree_bytes(entries))

    def _payloads(self, record: TaskRecord, inline: Mapping[Digest, bytes]) -> list[TreeEntry]:
        """The entries of `blake3/`: the chunks of the artifacts that this task made."""
        found: dict[bytes, TreeEntry] = {}
        for artifact, ref in record.artifacts.items():
            if ref.producer != record.name:
                continue
            for chunk in ref.chunks:
                name = layout.chunk_name(chunk.digest)
                if name not in found:
                    self._secure(f"{self._run}/{record.name}/{artifact}", chunk, inline)
                    found[name] = TreeEntry(Mode.BLOB, name, chunk.oid)
        return list(found.values())

    def _secure(self, artifact: str, chunk: Chunk, inline: Mapping[Digest, bytes]) -> None:
        """Make sure that a chunk's blob is, or will be, in the repository."""
        data = inline.get(chunk.digest)
        if data is not None:
            if hash_object(ObjectType.BLOB, data) != chunk.oid or len(data) != chunk.size:
                raise CorruptRecord(f"the payload of {artifact} is not what its record says")
            self._put(ObjectType.BLOB, data, chunk.oid)
        elif chunk.oid not in self._remembered and chunk.oid not in self._new:
            self._check_exists(artifact, chunk.oid)
            self._relied_on[chunk.oid] = artifact
        self.repeatable.add(chunk.oid)

    def check_again(self) -> None:
        """Make sure, last thing before publication, that what was relied on is there still.

        It may have been found in a pack that no ref reaches any more, and a gc may have run since.

        Raises:
            RepositoryError: something is gone.
        """
        for oid, artifact in self._relied_on.items():
            self._check_exists(artifact, oid)

    def _check_exists(self, artifact: str, oid: Oid) -> None:
        if not self._existing.exists(oid):
            raise RepositoryError(
                f"the payload of {artifact} is not in the repository (blob {oid})",
                hint="was a pack removed from .git/objects/pack while the run went on?",
            )

    def put(self, objects: Iterable[PackObject]) -> None:
        """Add objects made elsewhere."""
        for item in objects:
            self._put(item.kind, bytes(item.data), item.oid)

    def _blob(self, name: bytes, data: bytes) -> TreeEntry:
        oid = self._put(ObjectType.BLOB, data)
        self.repeatable.add(oid)
        return TreeEntry(Mode.BLOB, name, oid)

    def _unique_blob(self, name: bytes, data: bytes) -> TreeEntry:
        return TreeEntry(Mode.BLOB, name, self._put(ObjectType.BLOB, data))

    def _put(self, kind: ObjectType, data: bytes, oid: Oid | None = None) -> Oid:
        oid = oid or hash_object(kind, data)
        if oid not in self._remembered:
            self._new.setdefault(oid, PackObject(kind, data, oid))
        return oid


def _parts(output: bytes) -> Iterator[bytes]:
    """Output in pieces, cut at the ends of lines where there are any."""
    start = 0
    while start < len(output):
        end = start + layout.MAX_OUTPUT_PART
        if end < len(output):
            end = output.rfind(b"\n", start, end) + 1 or end
        yield output[start:end]
        start = end
