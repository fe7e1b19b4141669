"""The trees of a growing run: little memory for many tasks, and work only where something changed.

Which entries there are is `layout`'s business; objects are made here and written by `writer`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, hash_object, tree_bytes
from gitflowrun.git.pack.publish import PackObject
from gitflowrun.runs import layout

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RunTree", "StepTree", "make_object"]


def make_object(kind: ObjectType, data: bytes) -> tuple[Oid, PackObject]:
    """An object ready to be written, and its id."""
    oid = hash_object(kind, data)
    return oid, PackObject(kind, data, oid)


class StepTree:
    """The tasks of a step and the trees of each, as a directory that grows.

    A row is `name/` and the 20 bytes of the oid in one string: git sorts directories as if they ended in a
    slash, so sorted rows are in git's order, and 10,000 tasks take less than 1 MB.
    """

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, task: str) -> Oid | None:
        """The tree of a task; None when it is not there."""
        key = f"{task}/".encode()
        place = bisect_left(self._rows, key)
        if place < len(self._rows) and self._rows[place].startswith(key):
            return Oid(self._rows[place][-Oid.SIZE :])
        return None

    def put(self, task: str, tree: Oid) -> None:
        """Add a task, or give it another tree."""
        key = f"{task}/".encode()
        place = bisect_left(self._rows, key)
        if place < len(self._rows) and self._rows[place].startswith(key):
            self._rows[place] = key + tree
        else:
            self._rows.insert(place, key + tree)

    def remove(self, task: str) -> None:
        """Take a task away."""
        key = f"{task}/".encode()
        place = bisect_left(self._rows, key)
        if place < len(self._rows) and self._rows[place].startswith(key):
            del self._rows[place]

    def encode(self) -> bytes:
        """The content of the tree object."""
        end = -Oid.SIZE
        return b"".join([b"40000 %s\0%s" % (row[: end - 1], row[end:]) for row in self._rows])


class RunTree:
    """The root tree of a run, as far as it has grown.

    What is put is provisional until `accept`: objects that could not be written must not stay in the tree.

    Args:
        info: The INFO blob.
        code: The snapshot's tree.
    """

    def __init__(self, info: Oid, code: Oid) -> None:
        self._fixed = (
            TreeEntry(Mode.BLOB, layout.INFO, info),
            TreeEntry(Mode.TREE, layout.CODE, code),
        )
        self._steps: dict[str, StepTree] = {}
        self._step_oids: dict[str, Oid] = {}
        self._changed: set[str] = set()
        self._data: tuple[TreeEntry, ...] = ()
        self._accepted_data: tuple[TreeEntry, ...] = ()
        self._replaced: list[tuple[str, str, Oid | None]] = []

    def put(self, step: str, task: str, tree: Oid) -> None:
        """Add a task's tree."""
        tasks = self._steps.setdefault(step, StepTree())
        self._replaced.append((step, task, tasks.get(task)))
        tasks.put(task, tree)
        self._changed.add(step)

    def put_data(self, entries: Iterable[TreeEntry]) -> None:
        """Set the entries of `data/`."""
        self._data = tuple(entries)

    def has(self, step: str, task: str) -> bool:
        """Whether a task is there."""
        return step in self._steps and self._steps[step].get(task) is not None

    def count(self) -> int:
        """How many tasks are there, not counting those of private steps."""
        return sum(len(tasks) for step, tasks in self._steps.items() if not step.startswith("_"))

    def build(self) -> tuple[Oid, list[PackObject]]:
        """The root tree's id, and all trees that have changed since the last one that was published."""
        objects = []
        for step in sorted(self._changed):
            oid, item = make_object(ObjectType.TREE, self._steps[step].encode())
            self._step_oids[step] = oid
            objects.append(item)
        entries = list(self._fixed)
        steps = [
            TreeEntry(Mode.TREE, step.encode(), self._step_oids[step])
            for step, tasks in self._steps.items()
            if len(tasks)
        ]
        if steps:
            entries.append(_directory(layout.STEPS, objects, steps))
        if self._data:
            entries.append(_directory(layout.DATA, objects, self._data))
        root, item = make_object(ObjectType.TREE, tree_bytes(entries))
        return root, [*objects, item]

    def accept(self) -> None:
        """What was put is in the repository, or sure to be there."""
        self._replaced.clear()
        self._accepted_data = self._data

    def published(self) -> None:
        """What `build` returned last is in the repository."""
        self.accept()
        self._changed.clear()

    def revert(self) -> None:
        """Forget what was put since the last `accept`."""
        for step, task, tree in reversed(self._replaced):
            if tree is None:
                self._steps[step].remove(task)
            else:
                self._steps[step].put(task, tree)
        self._replaced.clear()
        self._data = self._accepted_data


def _directory(name: bytes, objects: list[PackObject], entries: Iterable[TreeEntry]) -> TreeEntry:
    oid, item = make_object(ObjectType.TREE, tree_bytes(entries))
    objects.append(item)
    return TreeEntry(Mode.TREE, name, oid)
