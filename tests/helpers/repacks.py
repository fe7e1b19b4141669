"""The user's own repacks beside our packs, and whether they lost an object."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gitflowrun.git.objects import ObjectType, Oid, TreeEntry, hash_object, tree_bytes
from gitflowrun.git.pack.index import PackIndex
from gitflowrun.git.pack.writer import PackObject
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo

__all__ = [
    "add_bulk",
    "ids_of_packs",
    "kept_run",
    "missing",
    "stopped_while_listing",
    "stopped_while_writing",
]

WHO = "Ada Lovelace <ada@example.org> 1700000000 +0000"
_SLOW = ("-c", "core.compression=9", "-c", "pack.window=0")
_PATIENCE = 120.0
_TRIES = 5


def kept_run(repo: GitRepo, ref: str, payloads: Iterable[bytes]) -> str:
    """Write a run in one pack and point `ref` to it. The pack, whose name is returned, is still kept."""
    blobs = [blob(data) for data in payloads]
    rows = [
        TreeEntry(0o100644, b"%d" % number, hash_object(ObjectType.BLOB, item.data))
        for number, item in enumerate(blobs)
    ]
    tree = tree_bytes(rows)
    text = f"tree {hash_object(ObjectType.TREE, tree)}\nauthor {WHO}\ncommitter {WHO}\n\n{ref}\n"
    commit = PackObject(ObjectType.COMMIT, text.encode())
    pack = pack_store(repo).write([*blobs, PackObject(ObjectType.TREE, tree), commit])
    repo.git("update-ref", ref, str(pack.oids[-1]))
    return pack.name


def add_bulk(repo: GitRepo, size: int = 8 << 20) -> None:
    """Commit so much in loose objects that a repack writes for a while."""
    for number in range(4):
        repo.write(f"bulk/{number}", noise(size // 4, number))
    repo.git("-c", "core.compression=0", "add", "-A")
    repo.git("commit", "-q", "-m", "bulk")


@contextmanager
def stopped_while_writing(repo: GitRepo, *command: str) -> Iterator[None]:
    """Run a git command of the user's; stop it once it writes a pack, and let it go on after the block.

    By then it has listed the packs and read the refs, and has not deleted anything yet.
    """
    for _ in range(_TRIES):
        process = subprocess.Popen(
            ["git", *_SLOW, *command], cwd=repo.path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if _stop_while_writing(repo, process):
            break
    else:
        raise AssertionError(f"git {command} is always over too early")
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        process.wait()


@contextmanager
def stopped_while_listing(repo: GitRepo, place: str, *command: str) -> Iterator[None]:
    """Run a git command of the user's; it stops where it reads `refs/<place>/x`, and goes on after the block.

    Git reads refs by their names, and packed ones last. Whoever lists all refs within the block stops there, too.
    """
    ref = repo.path / ".git" / "refs" / place / "x"
    ref.parent.mkdir()
    os.mkfifo(ref)
    process = subprocess.Popen(["git", *command], cwd=repo.path, start_new_session=True)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            pipe = os.open(ref, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads it yet
            assert process.poll() is None, f"git {command} read no refs"
            assert time.monotonic() < end, f"git {command} read no refs in time"
            time.sleep(0.002)
    try:
        yield
    finally:
        ref.unlink()
        os.write(pipe, repo.git("rev-parse", "HEAD").encode() + b"\n")
        os.close(pipe)
        assert process.wait() == 0


def _stop_while_writing(repo: GitRepo, process: subprocess.Popen[bytes]) -> bool:
    """Stop a git that writes a pack; False where it was over before anybody had looked: the machine is busy."""
    end = time.monotonic() + _PATIENCE
    while not list(objects_dir(repo).glob("pack/tmp_pack_*")):
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "git took too long to write a pack"
        time.sleep(0.0005)
    os.killpg(process.pid, signal.SIGSTOP)
    return process.poll() is None


def missing(repo: GitRepo) -> list[str]:
    """The objects that refs reach and nobody has any more."""
    rows = repo.git("rev-list", "--objects", "--all", "--missing=print").splitlines()
    return [row for row in rows if row.startswith("?")]


def ids_of_packs(pack_dir: Path) -> dict[str, set[bytes]]:
    """The ids of the objects of each pack, by its name."""
    tables = {
        path.stem: PackIndex(path.read_bytes(), path.name).id_table
        for path in pack_dir.glob("*.idx")
    }
    return {
        pack: {table[start : start + Oid.SIZE] for start in range(0, len(table), Oid.SIZE)}
        for pack, table in tables.items()
    }
