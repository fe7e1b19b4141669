"""An agent's work tree: the run's code as files, each made of an object whose content was compared with its id.

Each agent has its own: tasks run in it, and what one writes there must neither be taken for code by another run nor
disturb another agent. To make one takes about 0.1 ms a file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Mode, ObjectType, Oid, parse_tree
from gitflowrun.git.pack.publish import explained
from gitflowrun.limits import MAX_DELTA_BLOB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.git.objects import TreeEntry
    from gitflowrun.git.pack.reader import PackReader

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMES = frozenset({b"", b".", b"..", b".git"})


def write_code(reader: PackReader, tree: Oid, top: Path) -> Iterator[None]:
    """Write the files of a tree into a directory, which must not be there; one for each step of the iterator.

    Args:
        reader: Reads the objects.
        tree: The tree.
        top: The directory.

    Raises:
        MissingObject: an object is not there.
        CorruptRecord: one is not what its id says.
        RepositoryError: a file can't be written.
    """
    with explained(top):
        top.mkdir(0o700)
        yield from _write_tree(reader, tree, os.fsencode(top))


def _write_tree(reader: PackReader, tree: Oid, directory: bytes) -> Iterator[None]:
    kind, data = reader.read(tree, MAX_DELTA_BLOB)
    if kind is not ObjectType.TREE:
        raise CorruptRecord(f"object {tree} is a {kind.name.lower()}, not a tree")
    for entry in parse_tree(data):
        if entry.name in _NO_NAMES or b"/" in entry.name:
            raise CorruptRecord(f"tree {tree} has an entry that is no file's name: {entry.name!r}")
        path = b"%s/%s" % (directory, entry.name)
        if entry.is_tree:
            os.mkdir(path)  # noqa: PTH102  (names are bytes)
            yield from _write_tree(reader, entry.oid, path)
        elif entry.mode == Mode.GITLINK:
            os.mkdir(path)  # noqa: PTH102  (as git does with a submodule that is not checked out)
        elif entry.mode == Mode.LINK:
            os.symlink(reader.blob(entry.oid), path)  # noqa: PTH211  (names are bytes)
        else:
            _write_file(reader, entry, path)
        yield


def _write_file(reader: PackReader, entry: TreeEntry, path: bytes) -> None:
    mode = 0o777 if entry.mode == Mode.EXECUTABLE else 0o666
    with open(os.open(path, _NEW, mode), "wb") as file:  # noqa: PTH123  (a descriptor)
        file.writelines(reader.pieces(entry.oid))
