"""A tree in which some files are others: only the directories on their paths are made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, hash_object, tree_bytes
from gitflowrun.git.pack.writer import PackObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.odb import ObjectStore

    Files = Mapping[bytes, TreeEntry | None]

EMPTY_TREE = hash_object(ObjectType.TREE, b"")


def edit_tree(objects: ObjectStore, tree: Oid, files: Files) -> tuple[Oid, dict[Oid, PackObject]]:
    """A tree like another one, but for some files.

    Args:
        objects: Reads the other one.
        tree: The other one.
        files: What shall be at each path; None for nothing. A file takes the place of a directory, and a directory
            without files goes.

    Returns:
        The tree, and the objects of the trees that are new.

    Raises:
        MissingObject: a tree on one of the paths is not there.
        CorruptRecord: it is no tree.
    """
    made: dict[Oid, PackObject] = {}
    new = _edit(objects, tree, files, made)
    if new is None:
        new = EMPTY_TREE
        made[new] = PackObject(ObjectType.TREE, b"", new)
    return new, made


def _edit(
    objects: ObjectStore,
    tree: Oid | None,
    files: Files,
    made: dict[Oid, PackObject],
) -> Oid | None:
    """The tree; None where nothing is left of it."""
    rows = {row.name: row for row in objects.tree(tree)} if tree else {}
    here, below = _split(files)
    for name, inside in below.items():
        old = rows[name].oid if name in rows and rows[name].is_tree else None
        new = _edit(objects, old, inside, made)
        if new:
            rows[name] = TreeEntry(Mode.TREE, name, new)
        elif old:
            del rows[name]
    for name, file in here.items():
        if file:
            rows[name] = file
        elif name in rows and not rows[name].is_tree:
            del rows[name]
    if not rows:
        return None
    data = tree_bytes(rows.values())
    oid = hash_object(ObjectType.TREE, data)
    if oid != tree:
        made[oid] = PackObject(ObjectType.TREE, data, oid)
    return oid


def _split(files: Files) -> tuple[Files, dict[bytes, dict[bytes, TreeEntry | None]]]:
    """The files of a directory itself, and those of each directory in it, by their paths from there."""
    here: dict[bytes, TreeEntry | None] = {}
    below: dict[bytes, dict[bytes, TreeEntry | None]] = {}
    for path, file in files.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(name, {})[rest] = file
        else:
            here[name] = file
    return here, below
