"""The git objects of a growing run: its trees, the tasks' trees, and the view `data/` of the end task's artifacts.

Objects are made and checked here and written by `write`. A run's tree takes little memory for many tasks, and only
what has changed is made again. A task's tree is self-contained: whatever its own artifacts consist of is an entry of
it, or git would drop it sooner or later. An attempt that failed and is followed by another one is the task's tree until
that one has ended; then it moves below `attempts/` of the new tree, as the tree that it is: nothing of it is read or
written again.

    data/<name><suffix>            an artifact of one chunk: the payload's own blob, under a name
    data/<name><suffix>.chunks     a larger one: a text that says what it is and lists its chunks
    data/<name>.png, .html         beside that, the picture of a figure
    data/metrics.json              the scalars among them, see `metrics`

A text rather than a directory of chunks: `git diff runs/F/11 runs/F/12 -- data` then says in words that size or type
changed, and in which chunks the payloads differ. And stock tools can put a payload together:

    git show runs/F/12:data/model.npy.chunks | sed -n 's/^chunk //p' |
        while read b; do git show runs/F/12:steps/train/3/blake3/$b; done > model.npy

A `FinishedTask` is a task on its way into a run: its record, output and payloads, not written yet.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord, RepositoryError, UsageError
from gitflowrun.git.objects import (
    Mode,
    ObjectType,
    Oid,
    TreeEntry,
    hash_object,
    parse_tree,
    tree_bytes,
)
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.runs import layout
from gitflowrun.runs.metrics import dump_metrics, metrics_of
from gitflowrun.runs.records import TASK
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.names import Digest, TaskName
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import TaskRecord


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
        origin: The task of another run that has done this: its output, payloads and pictures are those of that one.
    """

    record: TaskRecord
    inline: Mapping[Digest, bytes]
    stdout: bytes = b""
    stderr: bytes = b""
    times: bytes = b""
    packs: tuple[str, ...] = ()
    blob: PackObject | None = None
    origin: StoredTask | None = None


@frozen
class TaskCards:
    """Cards of a task on their way into a run.

    Attributes:
        task: The task.
        files: What lies in its directory below `cards/`: the name of each file and its content.
    """

    task: TaskName
    files: Mapping[str, bytes]


def make_object(kind: ObjectType, data: bytes) -> tuple[Oid, PackObject]:
    """An object ready to be written, and its id."""
    oid = hash_object(kind, data)
    return oid, PackObject(kind, data, oid)


def task_blob(record: TaskRecord) -> tuple[Oid, PackObject]:
    """The TASK blob of a task, and its id."""
    packed = msgpack.pack(TASK.dump(record), msgpack.RECORD, is_flat=not record.extra)
    return make_object(ObjectType.BLOB, packed)


_CHANGED_ROWS, _ROWS_AT_ONCE = 8, 4096
"""Rows that are changed in a tree that was encoded; of more, all are encoded again, so many at a time."""


class StepTree:
    """The tasks of a step and the trees of each, as a directory that grows.

    A row is `name/` and the 20 bytes of the oid in one string: git sorts directories as if they ended in a
    slash, so sorted rows are in git's order, and 10,000 tasks take less than 1 MB. What is put waits beside the rows
    until they are needed: to put each in its place takes longer the more there are.

    A step that repeats itself gets one task with each commit. So where little has changed since the tree was encoded,
    its bytes are changed in those places alone: of 10,000 rows this takes a hundredth of the time.
    """

    __slots__ = ("_count", "_encoded", "_put", "_rows")

    def __init__(self, tasks: Mapping[str, Oid] | None = None) -> None:
        self._rows = sorted(
            [b"%s/%s" % (task.encode(), tree) for task, tree in (tasks or {}).items()]
        )
        self._count = len(self._rows)
        self._encoded: bytearray | None = None
        self._put: dict[bytes, Oid | None] = {}
        """What was put since the rows were sorted: the key of each row, and its tree, None where it is taken away."""

    def __len__(self) -> int:
        return self._count

    def put(self, task: str, tree: Oid | None) -> Oid | None:
        """Add a task, give it another tree, or take it away for None; the tree it had."""
        before = self.get(task)
        self._put[f"{task}/".encode()] = tree
        self._count += (tree is not None) - (before is not None)
        return before

    def get(self, task: str) -> Oid | None:
        """The tree of a task; None if it has none."""
        key = f"{task}/".encode()
        if key in self._put:
            return self._put[key]
        rows = self._rows[self._place(key)]
        return Oid(rows[0][-Oid.SIZE :]) if rows else None

    def __contains__(self, task: str) -> bool:
        return self.get(task) is not None

    def _place(self, key: bytes) -> slice:
        """Where the row that starts with `key` is; an empty slice, where it would be, if there is none."""
        place = bisect_left(self._rows, key)
        found = place < len(self._rows) and self._rows[place].startswith(key)
        return slice(place, place + found)

    def encode(self) -> bytes:
        """The content of the tree object."""
        if self._encoded is not None and len(self._put) <= _CHANGED_ROWS:
            for key, tree in self._put.items():
                self._change(self._encoded, key, tree)
        else:
            rows = [row for row in self._rows if row[: -Oid.SIZE] not in self._put]
            self._rows = rows + [key + tree for key, tree in self._put.items() if tree]
            self._rows.sort()
            self._encoded = bytearray()
            for start in range(0, len(self._rows), _ROWS_AT_ONCE):
                self._encoded += b"".join(
                    [_row(row) for row in self._rows[start : start + _ROWS_AT_ONCE]]
                )
        self._put.clear()
        return bytes(self._encoded)

    def _change(self, encoded: bytearray, key: bytes, tree: Oid | None) -> None:
        """Bring a row up to date, here and in the encoded rows."""
        place = self._place(key)
        behind = self._rows[place.stop : place.stop + 1]
        end = encoded.find(_row(behind[0])) if behind else len(encoded)
        start = end - sum(len(_row(row)) for row in self._rows[place])
        row = [key + tree] if tree else []
        encoded[start:end] = b"".join(map(_row, row))
        self._rows[place] = row


def _row(row: bytes) -> bytes:
    return b"40000 %s\0%s" % (row[: -Oid.SIZE - 1], row[-Oid.SIZE :])


class StepTrees:
    """A directory of a run's tree that has a directory for each step and in it one for each task.

    What is put is provisional until `accept`: objects that could not be written must not stay in the tree.
    """

    def __init__(self) -> None:
        self._steps: dict[str, StepTree] = {}
        self._oids: dict[str, Oid] = {}
        self._changed: set[str] = set()
        self._replaced: list[tuple[str, str, Oid | None]] = []

    def put(self, step: str, task: str, tree: Oid) -> None:
        """Add a task's tree."""
        tasks = self._steps.setdefault(step, StepTree())
        self._replaced.append((step, task, tasks.put(task, tree)))
        self._changed.add(step)

    def put_step(self, step: str, tree: Oid, tasks: Mapping[str, Oid]) -> None:
        """Add all tasks of a step that has none yet; `tree` holds them, and is in the repository."""
        self._steps[step] = StepTree(tasks)
        self._oids[step] = tree

    def get(self, step: str, task: str) -> Oid | None:
        """The tree of a task; None if it is not there."""
        return self._steps[step].get(task) if step in self._steps else None

    def has(self, step: str, task: str) -> bool:
        """Whether a task is there."""
        return step in self._steps and task in self._steps[step]

    def count(self) -> int:
        """How many tasks are there, not counting those of private steps."""
        return sum(len(tasks) for step, tasks in self._steps.items() if not step.startswith("_"))

    def build(self, objects: list[PackObject]) -> list[TreeEntry]:
        """The entries of the directory; what has changed since the last `published` is added to `objects`."""
        for step in sorted(self._changed):
            oid, item = make_object(ObjectType.TREE, self._steps[step].encode())
            self._oids[step] = oid
            objects.append(item)
        return [
            TreeEntry(Mode.TREE, step.encode(), self._oids[step])
            for step, tasks in self._steps.items()
            if len(tasks)
        ]

    def accept(self) -> None:
        """What was put is in the repository, or sure to be there."""
        self._replaced.clear()

    def published(self) -> None:
        """What `build` returned last is in the repository."""
        self.accept()
        self._changed.clear()

    def revert(self) -> None:
        """Forget what was put since the last `accept`."""
        for step, task, tree in reversed(self._replaced):
            self._steps[step].put(task, tree)
        self._replaced.clear()


class RunTree:
    """The root tree of a run, as far as it has grown; provisional as its parts are.

    Args:
        info: The INFO blob.
        code: The snapshot's tree.

    Attributes:
        steps: The trees of tasks.
        cards: The trees of their cards.
    """

    def __init__(self, info: Oid, code: Oid) -> None:
        self._fixed = (
            TreeEntry(Mode.BLOB, layout.INFO, info),
            TreeEntry(Mode.TREE, layout.CODE, code),
        )
        self.steps = StepTrees()
        self.cards = StepTrees()
        self._data: tuple[TreeEntry, ...] = ()
        self._accepted_data: tuple[TreeEntry, ...] = ()

    def put_data(self, entries: Iterable[TreeEntry]) -> None:
        """Set the entries of `data/`."""
        self._data = tuple(entries)

    def build(self) -> tuple[Oid, list[PackObject]]:
        """The root tree's id, and all trees that have changed since the last one that was published."""
        objects: list[PackObject] = []
        entries = list(self._fixed)
        parts = {
            layout.STEPS: self.steps.build(objects),
            layout.CARDS: self.cards.build(objects),
            layout.DATA: self._data,
        }
        entries += [_directory(name, objects, rows) for name, rows in parts.items() if rows]
        root, item = make_object(ObjectType.TREE, tree_bytes(entries))
        return root, [*objects, item]

    def accept(self) -> None:
        """What was put is in the repository, or sure to be there."""
        self.steps.accept()
        self.cards.accept()
        self._accepted_data = self._data

    def published(self) -> None:
        """What `build` returned last is in the repository."""
        self.steps.published()
        self.cards.published()
        self._accepted_data = self._data

    def revert(self) -> None:
        """Forget what was put since the last `accept`."""
        self.steps.revert()
        self.cards.revert()
        self._data = self._accepted_data


def _directory(name: bytes, objects: list[PackObject], entries: Iterable[TreeEntry]) -> TreeEntry:
    oid, item = make_object(ObjectType.TREE, tree_bytes(entries))
    objects.append(item)
    return TreeEntry(Mode.TREE, name, oid)


_MOST_REACHABLE = 20_000
"""Objects of a run that are remembered as written: 2 MB of memory at most."""


class ReachableObjects:
    """Objects that this run reaches already, and that need not be written again; of very many, the newest."""

    def __init__(self) -> None:
        self._oids: dict[Oid, None] = {}

    def __contains__(self, oid: Oid) -> bool:
        return oid in self._oids

    def add(self, oids: Iterable[Oid]) -> None:
        """Remember these."""
        self._oids.update(dict.fromkeys(oids))
        while len(self._oids) > _MOST_REACHABLE:
            del self._oids[next(iter(self._oids))]


_OF_ONE_RUN = frozenset({layout.TASK, layout.ATTEMPTS})
"""What a task that is taken from another run has not from there."""


class GroupObjects:
    """The objects of one group commit.

    Args:
        run: `Flow/id`, for messages.
        existing: The repository's objects, in which chunks written by tasks must be.
        reachable: What the run holds already and need not be written or looked for again.
    """

    def __init__(self, run: str, existing: ObjectStore, reachable: ReachableObjects) -> None:
        self._run = run
        self._existing = existing
        self._reachable = reachable
        self._new: dict[Oid, PackObject] = {}
        self._relied_on: dict[Oid, tuple[str, Chunk]] = {}
        self.repeatable: set[Oid] = set()
        """What other tasks may hold too, to be remembered once the group is published."""

    def objects(self) -> list[PackObject]:
        """What has to be written."""
        return list(self._new.values())

    def found(self, packs: Collection[str]) -> list[Chunk]:
        """What was relied on and is in none of these packs, which the group's tasks have written."""
        homes = self._existing.homes(self._relied_on) if self._relied_on else {}
        return [
            chunk
            for oid, (_, chunk) in self._relied_on.items()
            if oid not in homes or homes[oid].stem not in packs
        ]

    def add_task(self, task: FinishedTask, before: Oid | None = None) -> Oid:
        """The tree of a finished task.

        Args:
            task: The task.
            before: The tree that its attempt before this one has left, if there was one.

        Raises:
            CorruptRecord: a payload is not what the record says.
            RepositoryError: a payload is nowhere.
        """
        name = task.record.name
        if not (layout.is_safe_component(name.step) and layout.is_safe_component(name.task)):
            raise UsageError(f"{str(name)!r} can't name a task in git", hint="use [A-Za-z0-9_-]")
        blob = task.blob or task_blob(task.record)[1]
        oid = blob.identify()
        if oid not in self._reachable:
            self._new.setdefault(oid, blob)
        entries = [TreeEntry(Mode.BLOB, layout.TASK, oid)]
        if task.origin is not None:
            rows = self._existing.tree(task.origin.tree)
            entries += [row for row in rows if row.name not in _OF_ONE_RUN]
            return self._put(ObjectType.TREE, tree_bytes(entries))
        for stream, output in ((layout.STDOUT, task.stdout), (layout.STDERR, task.stderr)):
            for number, part in enumerate(_parts(output), start=1):
                oid = self._put(ObjectType.BLOB, part)
                self.repeatable.add(oid)
                entries.append(TreeEntry(Mode.BLOB, layout.output_part(stream, number), oid))
        if task.times:
            times = self._put(ObjectType.BLOB, task.times)
            entries.append(TreeEntry(Mode.BLOB, layout.TIMES, times))
        payloads = self._payloads(task.record, task.inline)
        if payloads:
            tree = self._put(ObjectType.TREE, tree_bytes(payloads))
            entries.append(TreeEntry(Mode.TREE, layout.PAYLOADS, tree))
        if pictures := self._pictures(task.record, task.inline):
            tree = self._put(ObjectType.TREE, tree_bytes(pictures))
            entries.append(TreeEntry(Mode.TREE, layout.PICTURES, tree))
        if before is not None:
            number = task.record.attempts[-2].number
            entries.append(TreeEntry(Mode.TREE, layout.ATTEMPTS, self._attempts(before, number)))
        return self._put(ObjectType.TREE, tree_bytes(entries))

    def add_cards(self, cards: TaskCards, before: Oid | None = None) -> Oid:
        """The tree of a task's cards: of those, and of what was there before under other names."""
        rows = {row.name: row for row in (self._rows(before) if before is not None else ())}
        for name, content in cards.files.items():
            oid = self._put(ObjectType.BLOB, content)
            rows[name.encode()] = TreeEntry(Mode.BLOB, name.encode(), oid)
        return self._put(ObjectType.TREE, tree_bytes(rows.values()))

    def _attempts(self, before: Oid, number: int) -> Oid:
        """The tree of earlier attempts: those that the tree of the last one has, and below its number that itself."""
        rows = self._rows(before)
        above = [row for row in rows if row.name == layout.ATTEMPTS]
        last, earlier = before, []
        for row in above:
            earlier = self._rows(row.oid)
            last = self._put(ObjectType.TREE, tree_bytes(it for it in rows if it is not row))
            for oid in (before, row.oid):  # if they are of this group, nobody needs them any more
                self._new.pop(oid, None)
        entry = TreeEntry(Mode.TREE, layout.attempt_name(number), last)
        return self._put(ObjectType.TREE, tree_bytes([*earlier, entry]))

    def _rows(self, tree: Oid) -> list[TreeEntry]:
        new = self._new.get(tree)
        return self._existing.tree(tree) if new is None else [*parse_tree(bytes(new.data))]

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

    def _pictures(self, record: TaskRecord, inline: Mapping[Digest, bytes]) -> list[TreeEntry]:
        """The entries of `pictures/`: those of the figures that this task made."""
        found = []
        for artifact, ref in record.artifacts.items():
            if ref.picture is not None and ref.producer == record.name:
                chunk = ref.picture.chunk
                self._secure(f"{self._run}/{record.name}/{artifact}", chunk, inline)
                name = layout.data_name(artifact, ref.picture.suffix)
                found.append(TreeEntry(Mode.BLOB, name, chunk.oid))
        return found

    def _secure(self, artifact: str, chunk: Chunk, inline: Mapping[Digest, bytes]) -> None:
        """Make sure that a chunk's blob is, or will be, in the repository."""
        data = inline.get(chunk.digest)
        if data is not None:
            if hash_object(ObjectType.BLOB, data) != chunk.oid or len(data) != chunk.size:
                raise CorruptRecord(f"the payload of {artifact} is not what its record says")
            self._put(ObjectType.BLOB, data, chunk.oid)
        elif chunk.oid not in self._reachable and chunk.oid not in self._new:
            self._check_exists(artifact, chunk.oid)
            self._relied_on[chunk.oid] = artifact, chunk
        self.repeatable.add(chunk.oid)

    def check_again(self) -> None:
        """Make sure, last thing before publication, that what was relied on is there still.

        It may have been found in a pack that no ref reaches any more, and a gc may have run since.

        Raises:
            RepositoryError: something is gone.
        """
        for oid, (artifact, _) in self._relied_on.items():
            self._check_exists(artifact, oid)

    def _check_exists(self, artifact: str, oid: Oid) -> None:
        if not self._existing.exists(oid):
            raise RepositoryError(
                f"the payload of {artifact} is not in the repository (blob {oid})",
                hint="was a pack removed from .git/objects/pack while the run went on?",
            )

    def _put(self, kind: ObjectType, data: bytes, oid: Oid | None = None) -> Oid:
        oid = oid or hash_object(kind, data)
        if oid not in self._reachable:
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


def data_entries(record: TaskRecord) -> tuple[list[TreeEntry], list[PackObject]]:
    """The entries of `data/` for the end task's record, and the objects made for them."""
    entries, objects = [], []
    for name, ref in record.artifacts.items():
        if name.startswith("_"):
            continue
        chunked = len(ref.chunks) > 1
        if len(ref.chunks) == 1:
            oid = ref.chunks[0].oid
        else:
            oid, item = make_object(ObjectType.BLOB, _description(ref) if chunked else b"")
            objects.append(item)
        entries.append(_entry(name, ref, oid, chunked=chunked))
        if ref.picture is not None:
            picture = layout.data_name(name, ref.picture.suffix)
            entries.append(TreeEntry(Mode.BLOB, picture, ref.picture.chunk.oid))
    metrics = dump_metrics(metrics_of(record))
    if metrics is not None:
        oid, item = make_object(ObjectType.BLOB, metrics)
        objects.append(item)
        entries.append(TreeEntry(Mode.BLOB, layout.METRICS, oid))
    return entries, objects


def _entry(name: str, ref: ArtifactRef, oid: Oid, *, chunked: bool) -> TreeEntry:
    from gitflowrun.artifacts.codecs import suffix

    return TreeEntry(Mode.BLOB, layout.data_name(name, suffix(ref.codec), chunked=chunked), oid)


def _description(ref: ArtifactRef) -> bytes:
    head = [
        f"type {ref.type}",
        f"codec {ref.codec}",
        f"size {ref.size}",
        f"blake3 {ref.digest}",
        f"task {ref.producer}",
    ]
    chunks = [f"chunk {chunk.digest}" for chunk in ref.chunks]
    return "\n".join([*head, *chunks, ""]).encode(errors="replace")
