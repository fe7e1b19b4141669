"""Whether what a resumed run takes over is whole, before it does: what is not is done again.

Of a task that means its tree, its record, its output, and its artifacts, which are read and compared with the BLAKE3
that their chunks are filed under, and all that of its earlier attempts: a run that takes over a damaged value would
end with one. Records need not be decoded for that, so a task costs what its objects cost. Of very large runs the first
`REUSE_READ` bytes are read, and the rest is looked for: a step that needs a value compares it once more in any case.
What a partial clone was made without is left to whoever needs it.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import CorruptRecord, MissingObject
from gitflowrun.git.objects import Mode, ObjectType, Oid, hash_object, tree_rows
from gitflowrun.limits import CREDIBLE_CHUNK, RECORD_SIZE, REUSE_READ, TASKS_AT_ONCE
from gitflowrun.runs import layout
from gitflowrun.runs.read import StoredAttempt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gitflowrun.git.objects import TreeEntry
    from gitflowrun.runs.read import StoredRun, StoredTask

_Rows = list[tuple[bytes, bytes, bytes]]
_TREE = b"%o" % Mode.TREE


class ReuseCheck:
    """Looks at the tasks of a run that may be taken over, each once.

    Args:
        origin: The run.

    Attributes:
        broken: What is not whole of them, and how: run, step, task and artifact, in one line each.
    """

    def __init__(self, origin: StoredRun) -> None:
        self.broken: list[str] = []
        self._origin = origin
        self._objects = origin.objects
        self._is_partial = origin.repo.is_partial
        self._left = REUSE_READ
        self._known: dict[Oid, bool] = {}

    def is_whole(self, task: StoredTask) -> bool:
        """Whether all of a task is here and undamaged; if not, its values are no longer taken for stored."""
        found = self._known.get(task.tree)
        if found is None:
            found = self._known[task.tree] = self._look(task)
        return found

    def are_whole(self, tasks: Iterable[StoredTask]) -> bool:
        """Whether all of some tasks are whole: of very many this takes a fraction of what `is_whole` of each does."""
        waiting = iter(tasks)
        while some := list(islice(waiting, TASKS_AT_ONCE)):
            self._glance({task.tree for task in some} - self._known.keys())
            if not all(map(self.is_whole, some)):
                return False
        return True

    def _glance(self, trees: Collection[Oid]) -> None:
        """Note which tasks are plainly whole: of small objects, which are read in the order in which they lie.

        Of the others nothing is noted: whoever asks for such a one looks at each of its objects.
        """
        tasks, _ = self._undamaged(trees)
        lists = {
            tree: oid
            for tree, rows in tasks.items()
            for _, name, oid in rows
            if name == layout.ATTEMPTS
        }
        listed, _ = self._undamaged(set(lists.values()))
        attempts, _ = self._undamaged(_named_in(listed))
        whole = self._plainly_whole(
            {
                tree: [row for row in rows if row[1] != layout.ATTEMPTS]
                for tree, rows in tasks.items()
            }
            | attempts
        )
        of_attempts = {
            tree
            for tree in whole & attempts.keys()
            if all(name != layout.ATTEMPTS for _, name, _ in attempts[tree])
        }
        for tree in whole & tasks.keys():
            found = listed.get(lists[tree]) if tree in lists else []
            if found is not None and all(
                mode == _TREE and oid in of_attempts and layout.parse_attempt(name) is not None
                for mode, name, oid in found
            ):
                self._known[Oid(tree)] = True

    def _plainly_whole(self, tasks: Mapping[bytes, _Rows]) -> set[bytes]:
        """Which of some tasks, or attempts, whose rows are given consist of small objects that are all undamaged."""
        # Whoever starts a new run does not load BLAKE3.
        from gitflowrun.artifacts.digest import digest

        parts, blobs = self._undamaged(_named_in(tasks))
        names: dict[bytes, bytes] = {}
        for oid, kind, data in self._objects.small_ones(_named_in(parts)):
            if kind is ObjectType.BLOB:
                names[oid] = digest(data).hex().encode()
                self._left -= len(data)
        payloads = {
            tree
            for tree, rows in parts.items()
            if all(names.get(oid) == name for _, name, oid in rows)
        }
        return {
            tree
            for tree, rows in tasks.items()
            if all(oid in (payloads if mode == _TREE else blobs) for mode, _, oid in rows)
        }

    def _undamaged(self, oids: Collection[bytes]) -> tuple[dict[bytes, _Rows], set[bytes]]:
        """The small, undamaged ones of some objects: the rows of trees, and the ids of blobs."""
        trees: dict[bytes, _Rows] = {}
        blobs: set[bytes] = set()
        for oid, kind, data in self._objects.small_ones(oids):
            if hash_object(kind, data) != oid:
                continue
            if kind is ObjectType.BLOB:
                blobs.add(oid)
            elif kind is ObjectType.TREE:
                with suppress(CorruptRecord):
                    trees[oid] = list(tree_rows(data))
        return trees, blobs

    def _look(self, task: StoredTask) -> bool:
        try:
            attempts = self._earlier_attempts(task)
        except (MissingObject, CorruptRecord) as error:
            self.broken.append(f"{task.pathspec}: {error.message}")
            return False
        looked = [*map(self._look_at, (task, *attempts))]  # all are told of
        return all(looked)

    def _earlier_attempts(self, task: StoredTask) -> list[StoredAttempt]:
        """What the attempts of a task but the last one have left. Raises as `_check_objects`."""
        found = []
        for row in self._objects.tree(task.tree):
            for entry in self._objects.tree(row.oid) if row.name == layout.ATTEMPTS else ():
                number = layout.parse_attempt(entry.name)
                if number is None or not entry.is_tree:
                    raise CorruptRecord(f"{_text(entry.name)} is none of its attempts")
                found.append(StoredAttempt(task, number, entry.oid))
        return found

    def _look_at(self, task: StoredTask) -> bool:
        """Whether what an attempt has left is whole."""
        try:
            chunks = self._check_objects(task)
        except (MissingObject, CorruptRecord) as error:
            self.broken.append(f"{task.told}: {error.message}")
            return False
        if chunks:
            self._tell(task, chunks)
        return not chunks

    def _check_objects(self, task: StoredTask) -> dict[bytes, str]:
        """The chunks of a task, as an attempt has left it, that are not whole, by name, and why.

        Raises:
            MissingObject: something else is not here.
            CorruptRecord: something else is damaged.
        """
        broken: dict[bytes, str] = {}
        for row in self._objects.tree(task.tree):
            if row.name == layout.TASK:
                self._objects.blob(row.oid, RECORD_SIZE)
            elif not row.is_tree:
                self._check_file(row.oid)
            elif row.name == layout.ATTEMPTS:
                if isinstance(task, StoredAttempt):
                    raise CorruptRecord("an attempt has no attempts")
            else:
                for chunk in self._objects.tree(row.oid):
                    try:
                        self._check_chunk(chunk, is_payload=row.name == layout.PAYLOADS)
                    except (MissingObject, CorruptRecord) as error:
                        broken[chunk.name] = error.message
        return broken

    def _check_file(self, oid: Oid) -> None:
        """Read output, or a picture, which git's id alone tells; a very large one is only looked for."""
        size = self._look_for(oid)
        if size is not None and size <= CREDIBLE_CHUNK and self._left > 0:
            self._left -= size
            for _ in self._objects.pieces(oid):
                pass

    def _check_chunk(self, row: TreeEntry, *, is_payload: bool) -> None:
        if not is_payload:
            self._check_file(row.oid)
            return
        size = self._look_for(row.oid)
        if size is None or self._left <= 0:
            return
        if size > CREDIBLE_CHUNK:
            raise CorruptRecord(f"object {row.oid} is larger than chunks are")
        # Whoever starts a new run does not load BLAKE3.
        from gitflowrun.artifacts.digest import digest

        self._left -= size
        content = memoryview(bytearray(size))
        self._objects.read_into(row.oid, content)
        if digest(content).hex().encode() != row.name:
            content = memoryview(self._objects.blob(row.oid, size))  # which looks for another copy
            if digest(content).hex().encode() != row.name:
                raise CorruptRecord(f"object {row.oid} is not what its BLAKE3 says")

    def _look_for(self, oid: Oid) -> int | None:
        """The size of an object here; None where the clone was made without it. Raises as `_check_objects`."""
        if self._is_partial and oid not in self._objects:
            return None
        return self._objects.size(oid)

    def _tell(self, task: StoredTask, chunks: dict[bytes, str]) -> None:
        """Say which artifacts are not whole. Whoever makes the same ones must store them again."""
        index = DedupIndex(self._origin.repo.state_dir, self._objects)
        named = dict(chunks)
        with suppress(CorruptRecord):
            for artifact, ref in task.record.artifacts.items():
                pictures = [ref.picture.chunk] if ref.picture else []
                names = [layout.chunk_name(it.digest) for it in (*ref.chunks, *pictures)]
                if ref.producer != task.name or chunks.keys().isdisjoint(names):
                    continue
                index.forget(ref)
                first = next(name for name in names if name in chunks)
                self.broken.append(f"{task.told}/{artifact}: {chunks[first]}")
                for name in names:
                    named.pop(name, None)
        for name, why in named.items():
            self.broken.append(f"{task.told}/{_text(name)}: {why}")


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _named_in(trees: Mapping[bytes, _Rows]) -> set[bytes]:
    return {oid for rows in trees.values() for _, _, oid in rows}
