"""Whether runs are what was stored: history, layout, records, and all objects that they name, each looked at once.

Neither keys nor trust are asked: this tells of disks, power cuts and mistakes, `verify` of people. Nothing is changed,
and nothing fetched unless data is to be read. Of a run is checked:

1. its commits: one line of at most `MAX_STATES`, each with the message of a run, all of one uid and one INFO, which is
   all that the first one has;
2. the tree of the newest: entries are what `runs.layout` says, INFO and each TASK can be read and are filed under their
   own names, output and line times are there; so is, below a task that was tried again, what each attempt has left;
3. artifacts: the chunks that a record lists are in the tree of the task that made them, here, and of the size that it
   says; with `read_data` their content and that of the whole have their BLAKE3;
4. whatever else its commits reach.

And of the repository: refs that hold no id, tags of runs, tracking copies and removed runs; with `read_data` the
checksums of packs. Memory is bounded, however many runs there are: they are told of one after the other.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from gitflowrun import msgpack
from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.digest import digest
from gitflowrun.artifacts.reference import chunk_rows
from gitflowrun.errors import CorruptRecord, MissingObject
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.limits import (
    FSCK_FAULTS,
    FSCK_PRODUCERS,
    MAX_STATES,
    RECORD_SIZE,
    TIMES_SIZE,
    WHOLE,
)
from gitflowrun.names import TaskName
from gitflowrun.porcelain.checks.object_check import ObjectCheck, ObjectFault, object_fault
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.line_times import decode_times
from gitflowrun.runs.metrics import dump_metrics, metrics_of
from gitflowrun.runs.records import INFO, TASK
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.objects import Commit, TreeEntry
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.runs.records import TaskRecord

_Rows: TypeAlias = "Mapping[bytes, TreeEntry]"

_Unreadable = (MissingObject, CorruptRecord)
_STEPS = layout.STEPS.decode()
_ATTEMPTS = layout.ATTEMPTS.decode()
_LIST = b".chunks"
_EMPTY = hash_object(ObjectType.BLOB, b"")
# Entries, and whether they are directories.
_DIRECTORIES = (layout.CODE, layout.STEPS, layout.CARDS, layout.DATA)
_ENTRIES = {layout.INFO: False, **dict.fromkeys(_DIRECTORIES, True)}
_TASK_ENTRIES = {
    layout.TASK: False, layout.STDOUT: False, layout.STDERR: False, layout.TIMES: False,
    layout.PAYLOADS: True, layout.PICTURES: True, layout.ATTEMPTS: True,
}  # fmt: skip


class FaultKind(str, Enum):
    """What is wrong."""

    MISSING = "missing object"
    DAMAGED = "damaged object"
    HISTORY = "history"
    LAYOUT = "layout"
    RECORD = "record"
    ARTIFACT = "artifact"
    REF = "ref"
    TAG = "tag"
    PACK = "pack"


@frozen
class Fault:
    """Something that is wrong.

    Attributes:
        kind: What.
        run: `Flow/id` of the run that it is wrong with; empty where it is none.
        step: The step, where it is in one.
        task: The task in that step, likewise.
        artifact: The artifact of that task, likewise.
        where: All of that, or the ref or file, with the path below it.
        object: The object that is missing or damaged.
        why: What is wrong, in one line.
    """

    kind: FaultKind
    run: str
    step: str
    task: str
    artifact: str
    where: str
    object: str
    why: str


class RunsCheck:
    """Checks the runs of a repository.

    Args:
        repo: The repository.
        read_data: Whether artifacts, output and code are read.

    Attributes:
        runs: How many runs were checked so far.
        damaged: Those among them that have faults, as `Flow/id`.
    """

    def __init__(self, repo: Repository, *, read_data: bool = False) -> None:
        self.runs = 0
        self.damaged: list[str] = []
        self._repo = repo
        self._read_data = read_data
        self._objects = ObjectCheck(repo, read_data=read_data)

    @property
    def left_out(self) -> int:
        """How many objects were not looked at, because the clone was made without them."""
        return self._objects.left_out

    def one(self, flow: str, run: RunId, tip: Oid) -> Iterator[Fault]:
        """What is wrong with a run.

        Args:
            flow: Its flow.
            run: Its id.
            tip: Its newest commit.
        """
        checked = _RunCheck(self._repo, self._objects, flow, run, read_data=self._read_data)
        self.runs += 1
        for count, fault in enumerate(checked.faults(tip)):
            if count == 0:
                self.damaged.append(fault.run)
            if count == FSCK_FAULTS:
                yield checked.fault(FaultKind.LAYOUT, f"more than {FSCK_FAULTS} faults")
                return
            yield fault

    def all(self) -> Iterator[Fault]:
        """What is wrong with any run, and with the refs and packs that are ours."""
        others: dict[str, Oid] = {}
        tips: dict[tuple[str, RunId], Oid] = {}
        for ref, text in self._repo.refs.rows(
            layout.RUNS, layout.REMOTES, layout.TRASH, layout.SPINS
        ):
            oid, name = Oid.from_hex(text), layout.parse_run_ref(ref)
            if name is None:
                others[ref] = oid
            else:
                tips[name] = oid
                yield from self.one(*name, oid)
        for ref in sorted(self._repo.refs.damaged):
            yield self._ref_fault(ref, "it does not hold the id of an object")
        known = {*tips.values()}
        for ref, oid in others.items():
            if layout.parse_tag_ref(ref):
                yield from self._tag(ref, oid, tips)
            if layout.is_trashed_note(ref):
                yield from self._note(ref, oid)
            elif oid not in known:
                yield from self._reached(ref, oid)
        if self._read_data:
            for path, why in self._repo.objects.pack_faults():
                yield Fault(FaultKind.PACK, "", "", "", "", str(path), "", why)

    def _ref_fault(self, ref: str, why: str, kind: FaultKind = FaultKind.REF) -> Fault:
        name = layout.parse_run_ref(ref)
        run = "/".join(name) if name else ""
        if run and run not in self.damaged:
            self.runs += 1
            self.damaged.append(run)
        return Fault(kind, run, "", "", "", ref, "", why)

    def _tag(self, ref: str, oid: Oid, tips: Mapping[tuple[str, RunId], Oid]) -> Iterator[Fault]:
        """A tag is at the first commit of a run that is here."""
        parsed = layout.parse_tag_ref(ref)
        assert parsed is not None  # or nobody would ask
        flow, _, run = parsed
        tip = tips.get((flow, run))
        if tip is None and f"{layout.RUNS}{flow}/{run}" in self._repo.refs.damaged:
            return  # its run is there, and comes back with it
        if tip is None:
            yield self._ref_fault(ref, f"there is no run {flow}/{run}", FaultKind.TAG)
            return
        try:
            state = parse_message(self._objects.commit(tip).message.decode(errors="replace"))
        except _Unreadable:
            return  # which is said of the run
        if state is not None and (state.uid or tip) != oid:
            why = f"it is at {oid.short}, which is not the first commit of {flow}/{run}"
            yield self._ref_fault(ref, why, FaultKind.TAG)

    def _note(self, ref: str, oid: Oid) -> Iterator[Fault]:
        """The note on a run in the trash is text."""
        try:
            self._objects.blob(oid)
        except _Unreadable as error:
            yield self._object_fault(ref, object_fault(oid, "", error))

    def _reached(self, ref: str, tip: Oid) -> Iterator[Fault]:
        """What is wrong with the commits of a ref that is not that of a run, and what they reach."""
        oid, told = tip, set[Oid]()
        for _ in range(MAX_STATES):
            if oid in self._objects.sound:
                return
            try:
                commit = self._objects.commit(oid)
            except _Unreadable as error:
                yield self._object_fault(ref, object_fault(oid, f"commit {oid.short}", error))
                return
            faults = self._objects.below(commit.tree, oid)
            yield from (self._object_fault(ref, it) for it in faults if it.oid not in told)
            told.update(it.oid for it in faults)
            if not faults:
                self._objects.sound.add([oid])
            if not commit.parents:
                return
            oid = commit.parents[0]

    def _object_fault(self, ref: str, fault: ObjectFault) -> Fault:
        where = f"{ref}:{fault.path}" if fault.path else ref
        return Fault(_kind(fault), "", "", "", "", where, str(fault.oid), fault.why)


class _RunCheck:
    """Checks one run."""

    def __init__(
        self, repo: Repository, objects: ObjectCheck, flow: str, run: RunId, *, read_data: bool
    ) -> None:
        self._flow = flow
        self._id = run
        self._repo = repo
        self._objects = objects
        self._reader = ArtifactReader(repo.objects) if read_data else None
        self._index = DedupIndex(repo.state_dir, repo.objects)
        self._tasks: dict[TaskName, Oid] = {}
        self._chunks: OrderedDict[Oid, Mapping[bytes, Oid] | None] = OrderedDict()
        self._told: set[Oid] = set()
        self._end_step = "end"
        self._final: set[Oid] = set()

    # ---- faults ----

    def fault(
        self, kind: FaultKind, why: str, path: str = "", oid: Oid | None = None, artifact: str = ""
    ) -> Fault:
        """A fault of this run.

        Args:
            kind: What it is.
            why: What is wrong.
            path: Where in its tree; empty where that is not known.
            oid: The object.
            artifact: The artifact of the task.
        """
        step, task = "", ""
        parts = path.split("/")
        if parts[0] == _STEPS:
            step, task = [*parts[1:3], "", ""][:2]
            attempt = parts[3:5] if parts[3:4] == [_ATTEMPTS] else []
            path = "/".join([*parts[1:3], *attempt] if artifact else parts[1:])
        run = f"{self._flow}/{self._id}"
        where = "/".join(filter(None, (run, path, artifact)))
        return Fault(kind, run, step, task, artifact, where, str(oid or ""), why)

    def _object_fault(self, fault: ObjectFault, path: str = "", artifact: str = "") -> Fault:
        self._told.add(fault.oid)
        at = "/".join(filter(None, (path, fault.path)))
        return self.fault(_kind(fault), fault.why, at, fault.oid, artifact)

    def _new(self, faults: Iterable[ObjectFault], path: str = "") -> Iterator[Fault]:
        """Faults of objects of which none was told yet."""
        for fault in faults:
            if fault.oid not in self._told:
                yield self._object_fault(fault, path)

    def _unread(self, error: MissingObject | CorruptRecord, oid: Oid, path: str) -> Iterator[Fault]:
        return self._new([object_fault(oid, "", error)], path)

    # ---- history ----

    def faults(self, tip: Oid) -> Iterator[Fault]:
        """All that is wrong with it, as it is found."""
        history = _History(self._objects, self._repo.common_dir)
        for kind, why, fault in history.read(tip):
            yield self.fault(kind, why) if fault is None else self._object_fault(fault)
        infos: dict[Oid | None, Oid] = {}
        for oid, tree in history.states:
            root = yield from self._directory(tree, oid, "")
            if root is None:
                continue
            info = root.get(layout.INFO)
            infos.setdefault(info.oid if info else None, oid)
            if oid == tip:
                yield from self._tree(root, tree, history.first)
            if oid == history.first and {*root} != {layout.INFO}:
                why = f"its first commit {oid.short} does not consist of INFO"
                yield self.fault(FaultKind.LAYOUT, why)
        if len(infos) > 1:
            named = " and ".join(oid.short for oid in infos.values())
            yield self.fault(FaultKind.HISTORY, f"its INFO is not the same in commits {named}")
        # The newest one first: it has most of what the others have.
        for oid, tree in history.states:
            yield from self._new(self._objects.below(tree, oid))
        if not self._told:
            self._objects.sound.add(oid for oid, _ in history.states)

    # ---- layout and records ----

    def _directory(
        self, oid: Oid, listed_by: Oid, path: str
    ) -> Generator[Fault, None, _Rows | None]:
        """The rows of a tree by name; None where it can't be read, which is told, or was left out."""
        try:
            rows = self._objects.rows(oid, listed_by)
        except _Unreadable as error:
            yield from self._unread(error, oid, path)
            return None
        return None if rows is None else {row.name: row for row in rows}

    def _shape(self, rows: _Rows, kinds: Mapping[bytes, bool], path: str = "") -> Iterator[Fault]:
        """Entries that we know are what they must be: a directory or not. Newer releases may make others."""
        for name in kinds.keys() & rows.keys():
            if rows[name].is_tree != kinds[name]:
                at = "/".join(filter(None, (path, name.decode())))
                yield self.fault(FaultKind.LAYOUT, f"it is {_a_thing(rows[name])}", at)

    def _tree(self, root: _Rows, tree: Oid, first: Oid | None) -> Iterator[Fault]:
        """The tree of the newest commit."""
        yield from self._shape(root, _ENTRIES)
        yield from self._info(root, tree, first)
        for name, row in root.items():
            if name == layout.CODE:
                yield from self._new(self._objects.below(row.oid, tree, code=True), "code")
            elif name == layout.STEPS:
                yield from self._steps(row.oid, tree)
        if layout.DATA in root:
            yield from self._data(root[layout.DATA].oid, tree)

    def _info(self, root: _Rows, tree: Oid, first: Oid | None) -> Iterator[Fault]:
        row = root.get(layout.INFO)
        if row is None:
            yield self.fault(FaultKind.LAYOUT, "there is no entry INFO")
            return
        data = yield from self._record(row.oid, tree, "INFO")
        if data is None:
            return
        try:
            info = INFO.load(msgpack.unpack(data))
        except CorruptRecord as error:
            yield self.fault(FaultKind.RECORD, error.message, "INFO", row.oid)
            return
        self._end_step = str(info.graph.get("end_step") or self._end_step)
        number, _, suffix = self._id.partition("-")
        if (self._flow, number) != (info.flow, str(info.id)):
            yield self.fault(FaultKind.HISTORY, f"by its INFO it is {info.flow}/{info.id}")
        elif first is not None and not str(first).startswith(suffix):
            yield self.fault(FaultKind.HISTORY, f"its first commit is {first.short}")

    def _record(
        self, oid: Oid, listed_by: Oid, path: str, limit: int = RECORD_SIZE
    ) -> Generator[Fault, None, bytes | None]:
        try:
            return self._objects.record(oid, listed_by, limit)
        except _Unreadable as error:
            yield from self._unread(error, oid, path)
            return None

    def _steps(self, oid: Oid, tree: Oid) -> Iterator[Fault]:
        steps = yield from self._directory(oid, tree, _STEPS)
        listed_by: dict[str, Oid] = {}
        for name, row in (steps or {}).items():
            step = name.decode(errors="replace")
            path = f"{_STEPS}/{step}"
            if not (row.is_tree and layout.is_safe_component(step)):
                yield self.fault(FaultKind.LAYOUT, f"{_a_thing(row)} is not a step", path)
                continue
            tasks = yield from self._directory(row.oid, oid, path)
            for entry, found in (tasks or {}).items():
                task = entry.decode(errors="replace")
                if found.is_tree and layout.is_safe_component(task):
                    self._tasks[TaskName(step, task)] = found.oid
                else:
                    why = f"{_a_thing(found)} is not a task"
                    yield self.fault(FaultKind.LAYOUT, why, f"{path}/{task}")
            listed_by[step] = row.oid
        for task_name in self._tasks:
            yield from self._task(task_name, listed_by[task_name.step])

    def _task(self, name: TaskName, listed_by: Oid) -> Iterator[Fault]:
        """What is wrong with a task: its objects, its record, what that says of its artifacts, earlier attempts."""
        path, oid = f"{_STEPS}/{name}", self._tasks[name]
        found = self._objects.below(oid, listed_by)
        if found and not found[0].path:
            yield from self._new(found[:1], path)
            return
        broken = {fault.path: fault for fault in found}
        seen = yield from self._attempt(name, oid, listed_by, path, broken)
        if seen is not None:
            record, rows = seen
            if name.step == self._end_step:
                metrics = dump_metrics(metrics_of(record)) or b""
                self._final.update((_EMPTY, hash_object(ObjectType.BLOB, metrics)))
                for ref in record.artifacts.values():
                    pictures = [ref.picture.chunk] if ref.picture else []
                    self._final.update(chunk.oid for chunk in (*ref.chunks, *pictures))
            yield from self._attempts(record, rows, oid, path, broken)
        yield from self._new(found, path)

    def _attempt(
        self, name: TaskName, oid: Oid, listed_by: Oid, path: str, broken: Mapping[str, ObjectFault]
    ) -> Generator[Fault, None, tuple[TaskRecord, _Rows] | None]:
        """What is wrong with what an attempt of a task has left; its record and entries, if they can be read."""
        rows = yield from self._directory(oid, listed_by, path)
        if rows is None:
            return None
        yield from self._shape(rows, _TASK_ENTRIES, path)
        if layout.TIMES in rows:
            yield from self._times(rows[layout.TIMES].oid, oid, f"{path}/times")
        record = yield from self._task_record(name, rows, oid, path)
        if record is None:
            return None
        yield from self._artifacts(record, rows, oid, path, broken)
        return record, rows

    def _attempts(
        self,
        record: TaskRecord,
        rows: _Rows,
        oid: Oid,
        path: str,
        broken: Mapping[str, ObjectFault],
    ) -> Iterator[Fault]:
        """Each attempt before the last one is there, as the one that it is; nothing else is. Arguments as above."""
        missing = {attempt.number for attempt in record.attempts[:-1]}
        row, path = rows.get(layout.ATTEMPTS), f"{path}/{_ATTEMPTS}"
        entries: _Rows | None = {}
        if row is not None and row.is_tree:
            entries = yield from self._directory(row.oid, oid, path)
        for entry, found in (entries or {}).items():
            number, at = layout.parse_attempt(entry), f"{path}/{entry.decode(errors='replace')}"
            if row is None or number not in missing or not found.is_tree:
                why = f"{_a_thing(found)} is not an earlier attempt of the task"
                yield self.fault(FaultKind.LAYOUT, why, at)
                continue
            missing.discard(number)
            begin = f"{_ATTEMPTS}/{number}/"
            own = {
                it.removeprefix(begin): fault
                for it, fault in broken.items()
                if it.startswith(begin)
            }
            seen = yield from self._attempt(record.name, found.oid, row.oid, at, own)
            if seen is None:
                continue
            if not seen[0].attempts or seen[0].attempts[-1].number != number:
                yield self.fault(FaultKind.RECORD, "its record is that of another attempt", at)
            if layout.ATTEMPTS in seen[1]:
                yield self.fault(
                    FaultKind.LAYOUT, "an attempt has no attempts", f"{at}/{_ATTEMPTS}"
                )
        if entries is not None:
            for number in sorted(missing):
                yield self.fault(FaultKind.LAYOUT, f"there is no entry {number}", path)

    def _times(self, oid: Oid, listed_by: Oid, path: str) -> Iterator[Fault]:
        data = yield from self._record(oid, listed_by, path, TIMES_SIZE)
        if data is not None:
            try:
                decode_times(data)
            except CorruptRecord as error:
                yield self.fault(FaultKind.RECORD, error.message, path, oid)

    def _task_record(
        self, name: TaskName, rows: _Rows, oid: Oid, path: str
    ) -> Generator[Fault, None, TaskRecord | None]:
        row = rows.get(layout.TASK)
        if row is None:
            yield self.fault(FaultKind.LAYOUT, "there is no entry TASK", path)
            return None
        data = yield from self._record(row.oid, oid, f"{path}/TASK")
        if data is None:
            return None
        try:
            record = TASK.load(msgpack.unpack(data))
        except CorruptRecord as error:
            yield self.fault(FaultKind.RECORD, error.message, f"{path}/TASK", row.oid)
            return None
        if record.name != name:
            why = f"its record is that of task {record.name}"
            yield self.fault(FaultKind.RECORD, why, path, row.oid)
            return None
        return record

    # ---- artifacts ----

    def _artifacts(
        self,
        record: TaskRecord,
        rows: _Rows,
        tree: Oid,
        path: str,
        broken: Mapping[str, ObjectFault],
    ) -> Iterator[Fault]:
        """What a record says of artifacts is so.

        Args:
            record: The record.
            rows: The entries of the task, or of what an attempt has left.
            tree: The tree that has them.
            path: Where that is.
            broken: Objects in it that have faults, by their paths below it.
        """
        for artifact, ref in record.artifacts.items():
            is_own, count = ref.producer == record.name, 0
            if ref.producer not in self._tasks:
                why = f"task {ref.producer}, which made it, is not in the run"
                yield self.fault(FaultKind.ARTIFACT, why, path, None, artifact)
                continue
            holder = tree if is_own else self._tasks[ref.producer]
            for chunk in ref.chunks:
                fault = broken.get(f"blake3/{chunk.digest.hex()}") if is_own else None
                why = "" if fault else self._chunk_fault(holder, ref.producer, chunk)
                if is_own and not (fault or why):
                    why = self._size_fault(holder, chunk)
                if fault is not None:
                    self._told.add(fault.oid)
                    yield self.fault(_kind(fault), fault.why, path, fault.oid, artifact)
                elif why:
                    yield self.fault(FaultKind.ARTIFACT, why, path, chunk.oid, artifact)
                count += bool(fault or why)
            if is_own and count:
                self._index.forget(ref)  # who makes it again stores it
            elif is_own:
                yield from self._own(artifact, ref, rows, path)

    def _chunk_fault(self, tree: Oid, producer: TaskName, chunk: Chunk) -> str:
        """Why a chunk is not reached through the tree of the task that made it; empty where it is."""
        key = (tree, chunk.digest, chunk.oid)
        if key in self._objects.sound:
            return ""
        stored = self._payloads(tree)
        name = layout.chunk_name(chunk.digest)
        if stored is not None and stored.get(name) != chunk.oid:
            return f"its chunk blake3/{name.decode()[:12]} is not in the tree of task {producer}"
        self._objects.sound.add([key])  # also where that can't be read, which is said there
        return ""

    def _size_fault(self, tree: Oid, chunk: Chunk) -> str:
        key = (chunk.oid, chunk.size)
        if key in self._objects.sound:
            return ""
        try:
            why = self._objects.size_fault(chunk.oid, tree, chunk.size)
        except _Unreadable as error:
            return error.message
        if not why:
            self._objects.sound.add([key])
        return why

    def _payloads(self, tree: Oid) -> Mapping[bytes, Oid] | None:
        """The chunks in the tree of a task; None where that can't be read."""
        if tree not in self._chunks:
            found = None
            with contextlib.suppress(*_Unreadable):
                found = self._payload_rows(tree)
            if len(self._chunks) >= FSCK_PRODUCERS:
                self._chunks.popitem(last=False)
            self._chunks[tree] = found
        return self._chunks[tree]

    def _payload_rows(self, tree: Oid) -> Mapping[bytes, Oid] | None:
        rows = self._objects.rows(tree, tree)
        below = next((row.oid for row in rows or () if row.name == layout.PAYLOADS), None)
        if below is None:
            return {}
        chunks = self._objects.rows(below, tree)
        return None if chunks is None else {row.name: row.oid for row in chunks}

    def _own(self, artifact: str, ref: ArtifactRef, rows: _Rows, path: str) -> Iterator[Fault]:
        """An artifact, and its picture, that the task has made."""
        if ref.picture is not None and layout.PICTURES not in rows:
            yield self.fault(
                FaultKind.ARTIFACT, "its picture is not in the tree", path, None, artifact
            )
        key = (ref.digest, digest(chunk_rows(ref.chunks)))
        if self._reader is None or key in self._objects.sound:
            return
        try:
            with self._reader.open(ref) as stream:
                while stream.read(WHOLE):
                    pass
            self._reader.picture(ref)
        except _Unreadable as error:
            self._index.forget(ref)  # who makes it again stores it
            yield self.fault(FaultKind.ARTIFACT, error.message, path, None, artifact)
        else:
            self._objects.sound.add([key])

    def _data(self, oid: Oid, tree: Oid) -> Iterator[Fault]:
        """`data/` shows the artifacts of the end task, and nothing else."""
        rows = yield from self._directory(oid, tree, "data")
        for name, row in (rows or {}).items():
            if self._final and row.oid not in self._final and not name.endswith(_LIST):
                path = f"data/{name.decode(errors='replace')}"
                yield self.fault(
                    FaultKind.LAYOUT, "it is no artifact of the end task", path, row.oid
                )


class _History:
    """The commits of a run.

    Attributes:
        states: The commits and their trees, the newest first, as far as they could be read.
        first: The first commit; None where it could not be reached.
    """

    def __init__(self, objects: ObjectCheck, common_dir: Path) -> None:
        self.states: list[tuple[Oid, Oid]] = []
        self.first: Oid | None = None
        self._objects = objects
        self._common_dir = common_dir
        self._uids: set[Oid] = set()

    def read(self, tip: Oid) -> Iterator[tuple[FaultKind, str, ObjectFault | None]]:
        """Follow the commits; what is wrong with them."""
        oid = tip
        for _ in range(MAX_STATES):
            try:
                commit = self._objects.commit(oid)
            except _Unreadable as error:
                fault = object_fault(oid, f"commit {oid.short}", error)
                yield _kind(fault), fault.why, fault
                return
            yield from self._message(oid, commit)
            self.states.append((oid, commit.tree))
            if not commit.parents:
                self.first = oid
                if self._uids - {oid}:
                    yield (
                        FaultKind.HISTORY,
                        f"its first commit is {oid.short}, not what it says",
                        None,
                    )
                return
            if len(commit.parents) > 1:
                yield FaultKind.HISTORY, f"its commit {oid.short} is a merge", None
            if self._ends_at(oid, commit.parents[0]):
                self._objects.left_out += 1
                return
            oid = commit.parents[0]
        yield FaultKind.HISTORY, f"it has more than {MAX_STATES:,} commits", None

    def _message(
        self, oid: Oid, commit: Commit
    ) -> Iterator[tuple[FaultKind, str, ObjectFault | None]]:
        state = parse_message(commit.message.decode(errors="replace"))
        if state is None:
            why = f"the message of its commit {oid.short} is not that of a run"
            yield FaultKind.HISTORY, why, None
        elif state.uid is not None:
            self._uids.add(state.uid)
        elif commit.parents:
            yield FaultKind.HISTORY, f"its commit {oid.short} does not say of which run it is", None

    def _ends_at(self, oid: Oid, parent: Oid) -> bool:
        """Whether a shallow clone has cut the history here."""
        if self._objects.is_here(parent):
            return False
        try:
            return str(oid) in (self._common_dir / "shallow").read_text().split()
        except OSError:
            return False


def _kind(fault: ObjectFault) -> FaultKind:
    return FaultKind.MISSING if fault.is_missing else FaultKind.DAMAGED


def _a_thing(row: TreeEntry) -> str:
    return "a directory" if row.is_tree else "a file"
