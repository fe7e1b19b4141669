"""Packs in real repositories, for tests of the storage engine."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from gitflowrun.git.objects import ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.settings import Durability
from tests.helpers.repos import GitRepo

__all__ = ["blob", "loose_objects", "noise", "objects_dir", "pack_store", "publish"]

EDGES = (0, 1, 65_534, 65_535, 65_536, 131_070, 4 << 20)
"""Sizes at which a stored framing changes shape."""


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that nothing can compress."""
    return random.Random(seed).randbytes(size)


def blob(data: bytes | memoryview) -> PackObject:
    """A blob to be written."""
    return PackObject(ObjectType.BLOB, data)


def objects_dir(repo: GitRepo) -> Path:
    """The object directory of a repository with a work tree."""
    return repo.path / ".git" / "objects"


def pack_store(repo: GitRepo, durability: Durability = Durability.SAFE) -> PackStore:
    """A pack store for `repo`."""
    incoming = repo.path / ".git" / "gitflowrun" / "incoming"
    return PackStore(objects_dir(repo), incoming, durability=durability)


def publish(repo: GitRepo, ref: str, payloads: Iterable[bytes]) -> list[Oid]:
    """Store blobs with a tree and a commit, point `ref` to it, release the pack; returns the blobs' ids."""
    store = pack_store(repo)
    blobs = [blob(data) for data in payloads]
    pack = store.write(blobs)
    rows = [TreeEntry(0o100644, b"%d" % i, oid) for i, oid in enumerate(pack.oids)]
    who = "Ada Lovelace <ada@example.org> 1700000000 +0000"
    tree_pack = store.write([PackObject(ObjectType.TREE, tree_bytes(rows))])
    text = f"tree {tree_pack.oids[0]}\nauthor {who}\ncommitter {who}\n\n{ref}\n"
    commit = store.write([PackObject(ObjectType.COMMIT, text.encode())])
    repo.git("update-ref", ref, str(commit.oids[0]))
    store.release([pack.name, tree_pack.name, commit.name])
    return list(pack.oids)


def loose_objects(repo: GitRepo) -> list[Path]:
    """The files of loose objects."""
    return [path for path in objects_dir(repo).glob("[0-9a-f][0-9a-f]/*") if path.is_file()]
