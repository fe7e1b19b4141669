"""The files of a run's snapshot, as the step cache compares them with what tasks have read and other runs have."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.limits import TREE_SIZE
from gitflowrun.runs.lookup.cache_limits import MENTIONS_SEARCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.objects import Oid, TreeEntry
    from gitflowrun.git.odb import ObjectStore

_MODULE = ".py"
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
        self._changes: dict[Oid, frozenset[str]] = {}
        self._names: dict[Oid, frozenset[str]] = {}
        """Of these changes, the files that are new or gone."""
        self._mentioned: dict[tuple[Oid, tuple[str, ...]], frozenset[str]] = {}

    def within(self, path: str) -> str | None:
        """A path from the top of the work tree, which is `/` itself; None where it lies outside."""
        return (path[len(self._top) :] or "/") if path.startswith(self._top) else None

    def oid(self, path: str) -> Oid | None:
        """The id of a file or directory of the snapshot; None where it has none of that name."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if not name:
            return self._tree  # the top itself
        row = self._directory(folder).get(os.fsencode(name))
        return row.oid if row is not None and row.is_tree == path.endswith("/") else None

    def sorted_out(
        self, read: Mapping[str, str], own: Iterable[str]
    ) -> tuple[tuple[str, ...], dict[str, str], str]:
        """What a task has loaded and opened, as its record has it.

        Args:
            read: What the task says, see `worker.read_files`.
            own: The files of the flow, which are compared step by step.

        Returns:
            Files of the snapshot; others, with size and time; and why the task can't serve, if it can't.
        """
        files, others, unfit = [], {}, ""
        ours = {os.path.realpath(file) for file in own}
        for path, mark in sorted(read.items()):
            if path in ours:
                continue
            inside = self.within(path)
            stored = None if inside is None else self.oid(inside)
            size_and_time, _, loaded = (
                mark.rpartition(" ") if mark.count(" ") > 1 else (mark, "", "")
            )
            if inside is None or stored is None:
                others[path] = size_and_time
                continue
            if loaded and loaded != str(stored):
                unfit = f"{inside} was changed when the run had begun"
            files.append(inside)
        return tuple(files), others, unfit

    def changed(self, other: Oid, files: Sequence[str], code: Sequence[bytes]) -> str | None:
        """What of a task's files differs from another snapshot; None where nothing does.

        Args:
            other: The snapshot of the run that has executed the task.
            files: What it has loaded and opened.
            code: The code of its step. What this, or a module that it has loaded, calls by its name counts as opened:
                it may have been read when the module was imported.
        """
        if other == self._tree:
            return None
        changes = self._changes_of(other)
        for file in files:
            if file in changes:
                return file
            folder = file.removeprefix("/") if file.endswith("/") else None
            if folder is not None and any(it.startswith(folder) for it in self._names[other]):
                return file
        return next(iter(sorted(self._mentioned_in(other, changes, tuple(files), code))), None)

    def _changes_of(self, other: Oid) -> frozenset[str]:
        if other not in self._changes:
            found: dict[str, bool] = {}
            self._compare(self._tree, other, "", found)
            self._changes[other] = frozenset(found)
            self._names[other] = frozenset(path for path, is_name in found.items() if is_name)
        return self._changes[other]

    def _compare(
        self, ours: Oid | None, theirs: Oid | None, folder: str, found: dict[str, bool]
    ) -> None:
        """Note the files that differ, and whether they are only on one side."""
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

    def _mentioned_in(
        self, other: Oid, changes: frozenset[str], files: tuple[str, ...], code: Sequence[bytes]
    ) -> frozenset[str]:
        """The changed files whose names stand in the code of a step or in the modules that it has loaded.

        A module counts if it is new or gone: another one of its name may have been loaded, or none.
        """
        names = {
            path: re.compile(rb"(?<!\w)%s(?!\w)" % re.escape(os.fsencode(_called(path))))
            for path in changes
            if not path.endswith(_MODULE) or path in self._names[other]
        }
        own = {path for path, name in names.items() if any(map(name.search, code))}
        key = other, files
        if key not in self._mentioned:
            texts = [self._text(file) for file in files if file.endswith(_MODULE)]
            is_all = len(names) > MENTIONS_SEARCHED and bool(texts)
            self._mentioned[key] = frozenset(
                path for path, name in names.items() if is_all or any(map(name.search, texts))
            )
        return self._mentioned[key] | own

    def _text(self, file: str) -> bytes:
        oid = self.oid(file)
        with suppress(GitflowrunError):
            return self._objects.blob(oid, min(_TOO_LARGE, TREE_SIZE)) if oid else b""
        return b""


def _called(path: str) -> str:
    """What code calls a file: a module without its suffix, a package by its directory."""
    folder, _, name = path.rpartition("/")
    if name == "__init__.py":
        return folder.rpartition("/")[2] or name
    return name.removesuffix(_MODULE)


def changed_since(others: Mapping[str, str]) -> str | None:
    """The first of some files that is not what it was, by size and time of change; None where all are."""
    for path, mark in others.items():
        try:
            stat = os.stat(path)  # noqa: PTH116  (as the task has looked)
        except (OSError, ValueError):
            return path
        size = 0 if path.endswith("/") else stat.st_size
        if f"{size} {stat.st_mtime_ns}" != mark:
            return path
    return None
