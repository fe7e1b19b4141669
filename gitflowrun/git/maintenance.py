"""Maintenance of the object directory: the fold of small packs into one, and no search for deltas in payloads.

Every lookup asks pack after pack, and each pack costs whoever reads it a file or two. So when many small ones
have gathered they are folded into one. Objects that no ref reaches yet are folded like any other, and readers
go on with what they have open. Large packs stay as they are: copying gigabytes would save nobody anything.

**No fold deletes a pack unless a younger pack of ours holds every object of it.** git's own repacks do not
keep to that, and two of them at once lose objects: a `git repack -a -d` of the user's that began while our
pack was kept leaves out what ours holds, a `git repack --geometric -d` of ours leaves out what the user's old
pack holds, and then each deletes the pack that the other relied on. A fold goes like this:

1. Take `fold.lock`: one fold at a time. git inherits it, so that a fold goes on to count when whoever began
   it is killed. Nothing is folded while a `git gc` or `git maintenance run` is at work, which fold themselves
   and fail when packs vanish under them; nor in a partial clone, where git would lose track of which objects
   the remote has promised; nor where git may delete no pack (`extensions.preciousObjects`); nor beside a chain of
   multi-pack-indexes, which is not read here.
2. Choose the inputs: small packs that have an index and that nobody has marked (`_MARKS`) nor named in a
   multi-pack-index, for that one is the user's and would point nowhere. One that names packs which are gone
   is removed, as git does when it deletes a pack of it.
3. `git pack-objects` writes all their objects, and excludes none, to a pack in `incoming/`. It copies entries
   and searches deltas in trees alone: each commit of a long run has the same directory with one row more.
4. Check that the new pack holds every object of the inputs, and more objects than each of them: a geometric
   repack of the user's deletes the packs with the fewest objects, so it never deletes the new pack in trust
   of one that is about to be deleted here.
5. Publish: set the pack's time beyond those of the inputs (a multi-pack-index takes an object from the newest
   pack that has it), fsync the files, rename pack and reverse index and then the index to a random name, fsync
   the directory. A name that is a checksum could be on a list of packs that somebody is about to delete.
6. Ask for gc and maintenance again, look whether inputs have been marked or named meanwhile, and delete the
   others, the index first. What has to stay is a duplicate, and an input of the next fold. Then look at the
   multi-pack-index as in 2.

Why no repack beside this loses an object X of input K, which went into the new pack N: a repack that keeps
all that is reachable lists packs, reads refs, writes, and deletes packs from its list that were not kept. If K
was kept when it listed, it may leave X out, but it deletes neither K nor N, which is not on its list; later
folds of N hold X as well. If K was not kept, K's ref was there (refs are published before packs are released),
so it writes X itself, whatever it deletes. A crash anywhere leaves duplicates, which the next gc drops, and
files in `incoming/`, which `PackStore.sweep` removes.

A **rewrite** takes objects out of packs, where a repack of git's would do it by time, and would, in any version that we
know of, delete packs before the new one's name is on the disk. It has the steps of a fold but for these:

- Its inputs are all packs that hold one of those objects, of any size, unless somebody keeps them; the multi-pack-index
  goes before them, as git does it. Loose files and all other packs stay as they are.
- The new pack has fewer objects than an input, so a geometric repack might delete it in trust of that. Hence it has a
  `.keep` of ours until the inputs are gone: repacks leave it alone, and rely on it.
- The caller decides when the inputs go, and whether: one that somebody has written to meanwhile stays.
- Each step is on the disk before the next, on any file system: the new pack, the end of the multi-pack-index, theirs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import heapq
import mmap
import os
import shutil
import struct
import subprocess
import time
from binascii import hexlify
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.command import git_message
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import gc_is_running, maintenance_is_running
from gitflowrun.git.pack.index import PackIndex, names_in_multi_pack_index
from gitflowrun.git.pack.publish import files_of, suffixed
from gitflowrun.git.pack.reader import quarantine
from gitflowrun.git.pack.writer import sync_directory, sync_file
from gitflowrun.git.permissions import (
    add_lines,
    held_directory,
    hint_of,
    lock_file,
    open_to_write,
    share_file,
)
from gitflowrun.limits import FOLD_PACKS, FOLD_SECONDS, LARGE_INDEX, LARGE_PACK
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import IO

    from gitflowrun.git.repository import Repository

_MARKS = (".keep", ".promisor", ".mtimes", ".bitmap")
"""What lies beside a pack that is somebody's, holds promised objects or cruft, or carries a bitmap."""
_PINS = (".keep", ".promisor", ".mtimes")
"""Those of a pack that is not rewritten either."""
PACK_FILES = (".idx", ".pack", ".rev", ".bitmap")
"""What is deleted of a pack, the index first."""
_TREES = frozenset({2, 6, 7})
"""The types of trees in packs, and of deltas, which are those of trees."""
_NO_DELTA = b"steps/a/1/blake3/0"
"""A path of which git's attributes say so, as a run's payloads have it."""
_LINE_ENDS = tuple(
    b"\n" if head >> 4 & 7 in _TREES else b" %s\n" % _NO_DELTA for head in range(256)
)
"""What follows an object's id as git is told of it, by the first byte of its entry in a pack."""
_MULTI = "multi-pack-index"
_MULTI_CHAIN = "multi-pack-index.d"
_GRAPH, _GRAPH_CHAIN = "commit-graph", "commit-graphs/commit-graph-chain"
_OPTIONS = (
    # Without the multi-pack-index: one that names a pack which is gone stands in the way of its objects.
    "-c", "core.multiPackIndex=false",
    # Tasks may want the processors.
    "-c", "pack.threads=1", "-c", "pack.packSizeLimit=0",
    "pack-objects", "--quiet", "--window=0", "--delta-base-offset", "--index-version=2",
)  # fmt: skip


@frozen
class _SmallPack:
    """A pack that may be folded: its name without suffix, its bytes and its index's, when it was changed."""

    name: str
    size: int
    index_size: int
    time: float


@frozen
class _Input:
    """A pack that is folded, the ids and places of its objects, and whether its name is random: not git's checksum."""

    pack: _SmallPack
    ids: bytes
    offsets: Sequence[int]
    has_random_name: bool

    @property
    def count(self) -> int:
        return len(self.ids) // Oid.SIZE


@frozen
class _Listing:
    """The directory of packs at one instant.

    Attributes:
        path: The directory.
        names: The files in it.
        indexed: The packs named in the multi-pack-index; None when that can't be read.
    """

    path: Path
    names: frozenset[str]
    indexed: frozenset[str] | None

    @classmethod
    def read(cls, path: Path) -> _Listing:
        try:
            names = frozenset(os.listdir(path))  # noqa: PTH208  (names, not paths)
        except FileNotFoundError:
            names = frozenset()
        return cls(path, names, None if _MULTI_CHAIN in names else _indexed(path / _MULTI))

    @property
    def packs(self) -> frozenset[str]:
        """The packs, without suffix."""
        return frozenset(name[:-4] for name in self.names if name.endswith(".idx"))

    def is_free(self, name: str) -> bool:
        """Whether nobody but us has a say in a pack."""
        marked = any(name + mark in self.names for mark in _MARKS)
        return self.indexed is not None and name not in self.indexed and not marked

    def is_pinned(self, name: str) -> bool:
        """Whether a pack is somebody's, or gone."""
        return f"{name}.idx" not in self.names or any(name + pin in self.names for pin in _PINS)

    def small(self) -> Iterator[_SmallPack]:
        """The packs that may be folded."""
        for index in self.names:
            name, _, suffix = index.rpartition(".")
            if suffix != "idx" or f"{name}.pack" not in self.names or not self.is_free(name):
                continue
            with contextlib.suppress(FileNotFoundError):  # somebody's repack has just taken it
                status = (self.path / f"{name}.pack").stat()
                index_size = (self.path / index).stat().st_size
                if status.st_size < LARGE_PACK and index_size < LARGE_INDEX:
                    yield _SmallPack(name, status.st_size, index_size, status.st_mtime)


class Folding:
    """A fold that has been begun: git is at step 3, in a process of its own.

    Exactly one of `finish` and `stop` must be called.

    Args:
        repo: The repository.
        lock: A descriptor of `fold.lock`; closed at the end.
        inputs: The packs that are folded.
    """

    def __init__(self, repo: Repository, lock: int, inputs: Sequence[_Input]) -> None:
        self._repo = repo
        self._lock = lock
        self._inputs = inputs
        self._pack_dir = repo.packs.pack_dir
        self._name = f"pack-{os.urandom(20).hex()}"
        self._place = repo.packs.temporary_directory(
            self._name, (given.pack.name for given in inputs if given.has_random_name)
        )
        self._deadline = time.monotonic() + FOLD_SECONDS
        try:
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self._place, ignore_errors=True)
            raise

    @property
    def is_over(self) -> bool:
        """Whether git has ended, or had its time; `finish` does not wait then."""
        return self._process.poll() is not None or time.monotonic() > self._deadline

    def finish(self) -> None:
        """Wait for git to end, and put its pack in the place of the inputs.

        Raises:
            RepositoryError: it failed. Nothing is lost, and the next fold tries again.
        """
        try:
            written = self._written()
            reached("fold.written")
            self._check(written)
            reached("fold.checked")
            self._publish(written)
            reached("fold.durable")
            self._delete_inputs()
        except OSError as error:
            where = error.filename or self._pack_dir
            raise RepositoryError(f"cannot fold packs: {where}: {error.strerror}") from error
        finally:
            self.stop()

    def stop(self) -> None:
        """End git if it is still at work, and leave all packs as they are."""
        try:
            self._process.kill()
            self._process.communicate()
            shutil.rmtree(self._place, ignore_errors=True)
        finally:
            os.close(self._lock)

    def _start(self) -> subprocess.Popen[bytes]:  # 3
        # git makes its temporary files in the object directory it is given. In the repository's own, a
        # `git prune` removes them while it writes.
        directories = quarantine(self._place, self._repo.objects_dir)
        # A file and not a pipe: nobody waits until git has read it.
        with (self._place / "ids").open("w+b") as ids:
            for given in self._inputs:
                ids.writelines(_with_names(self._pack_dir / f"{given.pack.name}.pack", given))
            ids.seek(0)
            return self._repo.git.start(
                *_OPTIONS, "--window=10", str(self._place / "new"),
                env=directories, stdin=ids, stderr=subprocess.PIPE, inherited=(self._lock,),
            )  # fmt: skip

    def _written(self) -> Path:
        """The pack that git has written, without suffix."""
        try:
            out, err = self._process.communicate(timeout=max(0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise RepositoryError(
                f"git pack-objects: not done after {FOLD_SECONDS:.0f} seconds"
            ) from error
        return self._place / f"new-{_digest(self._process.returncode, out, err)}"

    def _check(self, written: Path) -> None:  # 4
        held = set(_ids(_read_index(suffixed(written, ".idx")).id_table))
        for given in self._inputs:
            if given.count >= len(held) or not held.issuperset(_ids(given.ids)):
                raise RepositoryError(
                    f"git pack-objects left out objects of {given.pack.name}; nothing was folded"
                )

    def _publish(self, written: Path) -> None:  # 5
        newest = max(time.time(), *(given.pack.time for given in self._inputs)) + 1
        with contextlib.suppress(PermissionError):  # a share that sets times itself: to now
            os.utime(suffixed(written, ".pack"), (newest, newest))
        new = self._pack_dir / self._name
        files = [(path, suffixed(new, suffix)) for suffix, path in files_of(written)]
        # Whatever `runs.durability` says: the inputs may have been durable.
        for path, _ in files:
            sync_file(path)
        for path, target in files:
            path.rename(target)
        reached("fold.visible")
        sync_directory(self._pack_dir)

    def _delete_inputs(self) -> None:  # 6
        listing = _Listing.read(self._pack_dir)
        # A new pack that is gone already was taken by a repack that saw the inputs too; it looks after them.
        if git_repacks(self._repo) or f"{self._name}.idx" not in listing.names:
            return
        for given in self._inputs:
            if listing.is_free(given.pack.name):
                for suffix in (".idx", ".pack", ".rev"):
                    path = suffixed(self._pack_dir / given.pack.name, suffix)
                    path.unlink(missing_ok=True)
                    reached("fold.deleting")
        # Somebody may have written it meanwhile.
        _drop_stale_multi_pack_index(_Listing.read(self._pack_dir))


class Rewrite:
    """A new pack with what some packs hold but for some objects; `delete` puts it in their place.

    Until then it lies on the disk, apart: once git has seen a pack, it can't be taken back, and who has to wait would
    leave all of it twice. `close` must be called.

    Args:
        repo: The repository, which is not a partial clone.
        lock: A descriptor of `fold.lock`, which stays the caller's.
        without: The objects.

    Raises:
        RepositoryError: git failed, or the disk did. Nothing has changed.
    """

    def __init__(self, repo: Repository, lock: int, without: Collection[Oid]) -> None:
        self._repo = repo
        self._pack_dir = repo.packs.pack_dir
        self._name = f"pack-{os.urandom(20).hex()}"
        self._place: Path | None = None
        self._written: Path | None = None
        self._is_kept = False
        self.inputs: list[str] = []
        """The packs that it stands for."""
        self.without: set[bytes] = set()
        """Of the objects, those that go with the packs."""
        listing = _Listing.read(self._pack_dir)
        self._seen = listing.packs
        tables = list(self._choose(listing, without))
        rest = (oid for oid, _ in groupby(heapq.merge(*map(_ids, tables))))
        try:
            self._write((oid for oid in rest if oid not in self.without), lock)
        except OSError as error:
            where = error.filename or self._pack_dir
            raise RepositoryError(
                f"cannot rewrite packs: {where}: {error.strerror}",
                hint=hint_of(error, "the repository's object directory must be writable"),
            ) from error

    @property
    def is_current(self) -> bool:
        """Whether the packs are those from which the inputs were chosen: a repack may have moved the objects."""
        return _Listing.read(self._pack_dir).packs - {self._name} == self._seen

    def delete(self, is_free: Callable[[Path], bool]) -> None:
        """Delete the packs that the new one stands for.

        Args:
            is_free: Whether one of them may go.

        Raises:
            OSError: the disk failed. Nothing is lost.
        """
        listing = _Listing.read(self._pack_dir)
        inputs = [
            name
            for name in self.inputs
            if not listing.is_pinned(name) and is_free(self._pack_dir / f"{name}.pack")
        ]
        if not inputs:
            return
        self._publish()
        listing = _Listing.read(self._pack_dir)
        if self._is_kept and f"{self._name}.idx" not in listing.names:
            return
        if listing.indexed is None or not listing.indexed.isdisjoint(inputs):
            self._drop_multi_pack_index()
        for name in inputs:
            for suffix in PACK_FILES:
                (self._pack_dir / f"{name}{suffix}").unlink(missing_ok=True)
                reached("free.deleting")
        sync_directory(self._pack_dir)
        # Somebody may have written it meanwhile.
        _drop_stale_multi_pack_index(_Listing.read(self._pack_dir))

    def close(self) -> None:
        """Leave the new pack to git, if it has taken the place of others; else remove it."""
        if self._is_kept:
            self._repo.packs.release([self._name])
        if self._place:
            shutil.rmtree(self._place, ignore_errors=True)

    def _publish(self) -> None:
        if self._written and not self._is_kept:
            self._repo.packs.publish(self._written, self._name)
            self._is_kept = True
            reached("free.durable")

    def _choose(self, listing: _Listing, without: Collection[Oid]) -> Iterator[bytes]:
        """The tables of ids of the inputs."""
        for index in sorted(listing.names):
            name, _, suffix = index.rpartition(".")
            if suffix == "idx" and f"{name}.pack" in listing.names and not listing.is_pinned(name):
                with contextlib.suppress(FileNotFoundError, CorruptRecord):
                    found = _read_index(self._pack_dir / index)
                    if held := found.offsets(without):
                        self.inputs.append(name)
                        self.without.update(held)
                        yield found.id_table

    def _write(self, oids: Iterator[bytes], lock: int) -> None:
        # Not in `.git/gitflowrun`, which may be deleted at any time.
        self._place = place = self._repo.packs.receiving_directory()
        try:
            with (place / "ids").open("w+b") as ids:
                expected = hashlib.sha1(usedforsecurity=False)
                for oid in oids:
                    ids.write(oid.hex().encode() + b"\n")
                    expected.update(oid)
                if not ids.tell():
                    return
                ids.seek(0)
                written = place / f"new-{self._pack(place, ids, lock)}"
            table = _read_index(suffixed(written, ".idx")).id_table
            if hashlib.sha1(table, usedforsecurity=False).digest() != expected.digest():
                message = "git pack-objects left out objects; nothing was rewritten"
                raise RepositoryError(message)  # noqa: TRY301
            newest = max(self._times(), default=0.0) + 1
            with contextlib.suppress(PermissionError):  # a share that sets times itself: to now
                os.utime(suffixed(written, ".pack"), (newest, newest))
            for suffix in (".pack", ".idx"):  # now, for `delete` keeps others waiting
                sync_file(suffixed(written, suffix))
            self._written = written
            reached("free.written")
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _times(self) -> Iterator[float]:
        """When the inputs were changed."""
        for name in self.inputs:
            with contextlib.suppress(FileNotFoundError):  # a repack of the user's has just taken it
                yield (self._pack_dir / f"{name}.pack").stat().st_mtime

    def _pack(self, place: Path, ids: IO[bytes], lock: int) -> str:
        """Let git write the new pack; its digest."""
        process = self._repo.git.start(
            *_OPTIONS, str(place / "new"),
            env=quarantine(place, self._repo.objects_dir),
            stdin=ids, stderr=subprocess.PIPE, inherited=(lock,),
        )  # fmt: skip
        try:
            out, err = process.communicate()
        finally:
            process.kill()
            process.wait()
        return _digest(process.returncode, out, err)

    def _drop_multi_pack_index(self) -> None:
        """Remove it, or the chain of them: it speaks of packs that are about to go."""
        listing = _Listing.read(self._pack_dir)
        (self._pack_dir / _MULTI).unlink(missing_ok=True)
        if _MULTI_CHAIN in listing.names:
            (self._pack_dir / _MULTI_CHAIN / f"{_MULTI}-chain").unlink(missing_ok=True)
            sync_directory(self._pack_dir / _MULTI_CHAIN)
        sync_directory(self._pack_dir)
        for name in listing.names:
            if name.startswith(f"{_MULTI}-"):
                (self._pack_dir / name).unlink(missing_ok=True)
        shutil.rmtree(self._pack_dir / _MULTI_CHAIN, ignore_errors=True)


def rewrite_commit_graph(repo: Repository) -> None:
    """Have git write its commit-graph anew, where it keeps one: it names commits that are about to go.

    Written elsewhere, so that no lock of git's is left if it is killed, and durable before it takes its place.

    Raises:
        RepositoryError: git failed.
        OSError: the disk failed.
    """
    info = repo.objects_dir / "info"
    is_split = not (info / _GRAPH).exists()  # git reads that one where there are both
    if is_split and not (info / _GRAPH_CHAIN).exists():
        return
    place = repo.packs.temporary_directory(f"pack-{os.urandom(20).hex()}")
    try:
        options = ("--reachable", *(("--split=replace",) if is_split else ()))
        repo.git.run(
            "-c", "core.commitGraph=true", "commit-graph", "write", *options,
            env=quarantine(place, repo.objects_dir),
        )  # fmt: skip
        made = place / "info"
        graphs = sorted(made.glob("*/*.graph")) if is_split else []
        last = _GRAPH_CHAIN if is_split else _GRAPH
        for path in (*graphs, made / last):
            if path.exists():  # else there is no commit
                sync_file(path)
                target = info / path.relative_to(made)
                path.rename(target)
                sync_directory(target.parent)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _digest(code: int, out: bytes, err: bytes) -> str:
    """What names the pack that `git pack-objects` has written. Raises RepositoryError: it has not."""
    digests = out.decode(errors="replace").split()
    if code or len(digests) != 1:
        message = git_message(err.decode(errors="replace"))
        raise RepositoryError(f"git pack-objects: {message or f'status {code}'}")
    return digests[0]


def fold(repo: Repository, *, beyond: int = 1) -> bool:
    """Fold small packs into few, if there are more than `beyond`, and wait for it.

    Returns:
        False when nothing was due, or somebody else is at it.

    Raises:
        RepositoryError: it failed. Nothing is lost, and the next call tries again.
    """
    folding = start_fold(repo, beyond=beyond)
    if folding:
        folding.finish()
    return folding is not None


def start_fold(repo: Repository, *, beyond: int = 1) -> Folding | None:
    """Begin to fold small packs into few, if there are more than `beyond`. None where `fold` returns False.

    Raises:
        RepositoryError: git can't be started, or there is no place for its files.
    """
    if sum(1 for _ in _Listing.read(repo.packs.pack_dir).small()) <= beyond:
        return None
    lock = fold_lock(repo)  # 1
    if lock is None:
        return None
    folding = None
    try:
        folding = _begin(repo, beyond, lock)
    finally:
        if folding is None:
            os.close(lock)
    return folding


def _begin(repo: Repository, beyond: int, lock: int) -> Folding | None:
    """Steps 1 to 3, under the lock."""
    listing = _Listing.read(repo.packs.pack_dir)
    is_partial = any(name.endswith(".promisor") for name in listing.names)
    if is_partial or repo.is_precious or git_repacks(repo):
        return None
    if _drop_stale_multi_pack_index(listing):
        listing = _Listing.read(listing.path)
    packs = list(listing.small())
    if len(packs) <= beyond:
        return None
    inputs = [given for pack in _choose(packs) if (given := _input(listing.path, pack))]  # 2
    objects = set[bytes]().union(*[_ids(given.ids) for given in inputs])
    if all(given.count < len(objects) for given in inputs) and len(inputs) > 1:
        return Folding(repo, lock, inputs)
    return None  # one of them holds all the others': step 4 would refuse


def _choose(packs: Sequence[_SmallPack]) -> list[_SmallPack]:
    """The packs to fold: the smallest ones, up to the last that is no larger than all before it together.

    Those that stay more than double from one to the next, so there are few of them; and each object comes
    into a pack of at least twice the size, so it is copied only a few times however many runs there are.
    """
    chosen = sorted(packs, key=lambda pack: (pack.size, pack.name))[:FOLD_PACKS]
    sums = list(accumulate(pack.size for pack in chosen))
    while chosen and (len(chosen) == 1 or chosen[-1].size > sums[len(chosen) - 2]):
        chosen.pop()
    # Two small packs are always within these limits.
    while (
        sum(pack.size for pack in chosen) > 2 * LARGE_PACK
        or sum(pack.index_size for pack in chosen) > 2 * LARGE_INDEX
    ):
        chosen.pop()
    return chosen


def _input(pack_dir: Path, pack: _SmallPack) -> _Input | None:
    """A pack with its ids; None when it is gone, or its index is one that only git can read."""
    try:
        index = _read_index(pack_dir / f"{pack.name}.idx")
        has_random_name = not pack.name.endswith(index.pack_trailer.hex())
        return _Input(pack, index.id_table, index.offset_table, has_random_name)
    except (FileNotFoundError, CorruptRecord):
        return None


def _with_names(path: Path, given: _Input) -> Iterator[bytes]:
    """The objects of a pack as git is told of them: all but trees under a name in which it searches no deltas."""
    data: mmap.mmap | bytes = (
        b""  # of one that a repack of the user's has just deleted, or that is empty
    )
    with contextlib.suppress(FileNotFoundError, ValueError), path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = len(data)
    for oid, offset in zip(_ids(given.ids), given.offsets, strict=True):
        yield hexlify(oid) + _LINE_ENDS[data[offset] if offset < size else 0]


def _read_index(path: Path) -> PackIndex:
    return PackIndex(path.read_bytes(), str(path))


def _ids(table: bytes) -> Iterator[bytes]:
    return map(itemgetter(0), struct.iter_unpack(f"{Oid.SIZE}s", table))


def git_repacks(repo: Repository) -> bool:
    """Whether a gc or maintenance of the user's is at work."""
    return gc_is_running(repo.common_dir) or maintenance_is_running(repo.objects_dir)


def _indexed(path: Path) -> frozenset[str] | None:
    """The packs that the multi-pack-index names, if there is one; None when it can't be read."""
    try:
        with path.open("rb") as file:
            return names_in_multi_pack_index(file)
    except FileNotFoundError:
        return frozenset()
    except (CorruptRecord, OSError):
        return None


def _drop_stale_multi_pack_index(listing: _Listing) -> bool:
    """Remove the multi-pack-index, its bitmap and reverse index if it names packs that are gone; whether it did."""
    if all(f"{name}.pack" in listing.names for name in listing.indexed or ()):
        return False
    for name in listing.names:
        if name == _MULTI or name.startswith(f"{_MULTI}-"):
            (listing.path / name).unlink(missing_ok=True)
    return True


def exempt_from_deltas(repo: Repository, *patterns: str) -> None:
    """Have git not search deltas in files of those patterns: `info/attributes` gets a line for each.

    What the file says already stays as it is, and so does a file elsewhere that it is a link to.

    Raises:
        RepositoryError: the file can't be written.
    """
    path = repo.common_dir / "info" / "attributes"
    add_lines(path, [f"{pattern} -delta".encode() for pattern in patterns], repo.shared_mode)


def fold_lock(repo: Repository) -> int | None:
    """A descriptor of the lock that whoever folds must hold open; None when somebody does."""
    path = repo.state() / "fold.lock"
    try:
        fd = open_to_write(path, os.O_RDWR | os.O_CREAT)
        share_file(path)
    except OSError as error:
        raise RepositoryError(f"cannot lock {path}: {error.strerror}") from error
    try:
        lock_file(fd, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except RepositoryError:
        os.close(fd)
        raise
    return fd


def sweep_locks(common_dir: Path, stale_locks: Path, *prefixes: str, age: float) -> int:
    """Move away locks of refs that nobody has touched for long; how many there were.

    Args:
        common_dir: The git directory that all worktrees share.
        stale_locks: A directory for them, on the same file system.
        prefixes: Below which refs; that of packed refs is looked at in any case.
        age: After how many seconds.
    """
    from gitflowrun.git.ref_locks import remove_old_lock

    packed = common_dir / "packed-refs.lock"
    removed = [remove_old_lock(packed, stale_locks, age)]
    for place in (stale_locks, *(common_dir / prefix for prefix in prefixes)):
        with contextlib.suppress(OSError), held_directory(place) as top:
            # `os.walk` and not `rglob`, which gives up at a directory that is removed while it looks.
            found = (Path(at, name) for at, _, names in os.walk(top) for name in names)
            locks = [path for path in found if path.suffix == ".lock"]
            removed += [remove_old_lock(path, stale_locks, age) for path in locks]
    half = packed.with_suffix(".new")
    if not packed.exists():  # else its holder writes it; without one, git packs no refs
        removed.append(remove_old_lock(half, stale_locks, age))
    return sum(removed)
