"""The files of a run's snapshot, as the step cache compares them with what tasks have read and other runs have."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import GitflowrunError
from gitflowrun.limits import TREE_SIZE
from gitflowrun.runtime.ipc.file_marks import id_of, is_as_noted, without_id
from gitflowrun.runtime.scheduler.mentions import Mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.objects import Oid, TreeEntry
    from gitflowrun.git.odb import ObjectStore

_TOO_LARGE = 4 << 20  # of a module that is searched


class SnapshotFiles:
    """The snapshot of one run.

    Args:
        objects: The repository's objects.
        tree: The snapshot.
        top: The top of the work tree.
    """

    def __init__(self, objects: ObjectStore, tree: Oid, top: Path | None) -> None:
        self._objects = objects
        self._tree = tree
        self._top = f"{top}/" if top is not None else "\0"
        self._rows: dict[str, dict[bytes, TreeEntry]] = {}
        self._changes: dict[Oid, dict[str, bool]] = {}
        self._mentions = Mentions(self._text)
        self._mentioned: dict[tuple[Oid, bytes], str | None] = {}

    def within(self, path: str) -> str | None:
        """A path from the top of the work tree, which is `./` itself; None where it lies outside."""
        return (path[len(self._top) :] or "./") if path.startswith(self._top) else None

    def oid(self, path: str) -> Oid | None:
        """The id of a file of the snapshot, or of a directory, whose path ends in a slash; None where it has none."""
        folder, _, name = path.rstrip("/").rpartition("/")
        row = self._directory(folder).get(os.fsencode(name))
        return row.oid if row is not None and row.is_tree == path.endswith("/") else None

    def sorted_out(
        self, read: Mapping[str, str], own: Iterable[str]
    ) -> tuple[tuple[str, ...], dict[str, str], str]:
        """What a task has loaded and opened, as its record has it.

        Args:
            read: What the task says, see `ipc.file_marks`.
            own: The files of the flow, which are compared step by step.

        Returns:
            Files of the snapshot; what is noted of others, those of the work tree by their paths in it, so that they
            are looked for in the work tree of whoever asks; and why the task can't serve, if it can't.
        """
        files, others, unfit = [], {}, ""
        ours = {os.path.realpath(file) for file in own}
        for path, mark in sorted(read.items()):
            if path in ours:
                continue
            inside = self.within(path)
            stored = None if inside is None or path.endswith("/") else self.oid(inside)
            if inside is None or stored is None:
                others[path if inside is None else inside] = without_id(mark)
                continue
            if id_of(mark) not in {"", str(stored)}:
                unfit = f"{inside} was changed when the run had begun"
            files.append(inside)
        return tuple(files), others, unfit

    def changed(self, other: Oid, files: Sequence[str], code: Sequence[bytes]) -> str | None:
        """What of a task's files differs from another snapshot; None where nothing does.

        Args:
            other: The snapshot of the run that has executed the task.
            files: What it has loaded and opened.
            code: The code of its step. What this, or a module that it has loaded, speaks of counts as opened: it may
                have been read when the module was imported (`Mentions`).
        """
        if other == self._tree:
            return None
        changes = self._changes_of(other)
        found = next((file for file in files if file in changes), None)
        if found is not None or not changes:
            return found
        key = other, digest(b"\0".join([*code, *map(os.fsencode, files)]))
        if key not in self._mentioned:
            modules = [file for file in files if file.endswith(".py")]
            self._mentioned[key] = self._mentions.first(changes, modules, code)
        return self._mentioned[key]

    def changed_since(self, others: Mapping[str, str]) -> str | None:
        """The first of some files outside of the snapshot that is not what was noted of it; None where all are."""
        for path, mark in others.items():
            if not is_as_noted(path if path.startswith("/") else self._top + path, mark):
                return path
        return None

    def _changes_of(self, other: Oid) -> dict[str, bool]:
        """The files that differ, and whether they are only on one side."""
        if other not in self._changes:
            found: dict[str, bool] = {}
            self._compare(self._tree, other, "", found)
            self._changes[other] = found
        return self._changes[other]

    def _compare(
        self, ours: Oid | None, theirs: Oid | None, folder: str, found: dict[str, bool]
    ) -> None:
        left, right = self._entries(ours), self._entries(theirs)
        for name in left.keys() | right.keys():
            one, two = left.get(name), right.get(name)
            if one is not None and two is not None and (one.oid, one.mode) == (two.oid, two.mode):
                continue
            path = folder + os.fsdecode(name)
            one_tree, other_tree = (
                it.oid if it is not None and it.is_tree else None for it in (one, two)
            )
            if one_tree or other_tree:
                self._compare(one_tree, other_tree, f"{path}/", found)
            files = [it is not None and not it.is_tree for it in (one, two)]
            if any(files):
                found[path] = not all(files)

    def _entries(self, tree: Oid | None) -> dict[bytes, TreeEntry]:
        return {row.name: row for row in self._objects.tree(tree)} if tree is not None else {}

    def _directory(self, folder: str) -> dict[bytes, TreeEntry]:
        if folder not in self._rows:
            tree = self._tree if not folder else self.oid(f"{folder}/")
            self._rows[folder] = self._entries(tree)
        return self._rows[folder]

    def _text(self, file: str) -> bytes:
        oid = self.oid(file)
        with suppress(GitflowrunError):
            return self._objects.blob(oid, min(_TOO_LARGE, TREE_SIZE)) if oid else b""
        return b""
