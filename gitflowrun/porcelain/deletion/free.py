"""Frees the space of removed runs: exactly the objects that nothing but they reached, and never what is somebody's.

git frees space by age: what nothing reaches goes when it is two weeks old, the user's own lost commits with it. Here
no object goes that was not a removed run's:

1. Take `fold.lock`, so that no fold of packs is at work; nothing is freed while a gc, a maintenance or a run is, nor
   in a partial clone, where git keeps track of what the remote has. Packs that dead processes of ours kept are kept no
   more.
2. List the candidates: what the removed runs reach, and nothing else does, be it a ref, a reflog, an index, HEAD and
   the like, or a rebase under way, in any work tree.
3. Write them to `freeing`, in the state directory: whatever kills us from here on, the next `git runs gc` goes on.
4. Delete the refs of the runs: in the trash, and the copies of what remotes have.
5. Where git keeps a commit-graph, write it anew: git complains of one that names commits which are gone.
6. Add the commits that a killed scheduler of these runs had written and not published, with what they alone hold.
   Look again at all of 2. Leave out what a dangling object of somebody else's leads to. Where packs hold what is left,
   write all else that they hold to a pack, a `Rewrite`, which git sees at 8: nothing is
   repacked, and nobody's lost objects are unpacked.
7. Take the lock of run ids, under which no run can begin, and see that none has, that git is about to write no index,
   for which it may have found objects before 1, and that no ref, reflog, index or pack has changed since 6; else look
   once more.
8. Change `freed`, note which packs go, then unlink the loose files of what is left, and the packs that were written
   anew, but for those that somebody has touched since 1: git touches an object, or its pack, where it would otherwise
   write it. When 1 was, the file system says: its clock may be another than ours. Remove `freeing`.

Each of 3 to 8 is on the disk before the next one begins (`runs.durability=safe`).

A run that begins meanwhile waits at 7 for its number, and looks for what it has found here once it has it, after 8:
for objects out of the dedup index always, for those of its code where `freed`, in the state directory, has changed. Of
code that is gone it takes another snapshot.
One that began before 7 stops us there: then `freeing` stays, and a later gc looks again; as for what is in a pack that
a process of ours keeps until it makes a ref, or dies.

Repositories that borrow objects of this one (`objects/info/alternates` of theirs) can't be known.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import time
from itertools import chain
from typing import TYPE_CHECKING

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    RepositoryError,
)
from gitflowrun.failpoints import reached
from gitflowrun.git.command import BOUNDED
from gitflowrun.git.maintenance import (
    PACK_FILES,
    Rewrite,
    fold_lock,
    git_repacks,
    rewrite_commit_graph,
)
from gitflowrun.git.objects import ObjectType, Oid, parse_commit, parse_tree
from gitflowrun.git.pack.index import PackIndex, is_readable
from gitflowrun.git.pack.writer import sync_directory
from gitflowrun.git.permissions import open_file, read_file, replace_file
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import (
    COMMIT_SIZE,
    FREEING_LOOKS,
    FREEING_PATIENCE,
    MAX_CANDIDATES,
    PSEUDO_REF,
    TREE_SIZE,
)
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.maintenance import pack_grace
from gitflowrun.settings import Durability
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from gitflowrun.git.repository import Repository

_NOTE = "freeing"
_PACK = re.compile(rb"pack-[0-9a-f]{40}")
_HEX = re.compile(rb"\b[0-9a-f]{40}\b")
_PSEUDO_REF = re.compile(r"[A-Z][A-Z_]*\Z")
_NO_ROOT = re.compile(r"FETCH_HEAD|[A-Z_]*EDITMSG")
"""What was fetched last, which git does not keep for that, and what was last written in an editor."""
_OPERATIONS = ("rebase-merge", "rebase-apply", "sequencer", "refs")
_SECOND = 10**9
"""Nanoseconds."""
_KINDS = {kind: kind for kind in (b"commit", b"tree", b"tag")}
_WALK = ("rev-list", "--objects", "--no-object-names")


@frozen
class Freed:
    """What became of the space of removed runs.

    Attributes:
        objects: How many objects were freed.
        size: By how many bytes the object directory became smaller.
        shared: How many stay because something else reaches them.
        kept: How many stay in packs that somebody keeps, or were touched meanwhile.
        waits: Why objects could not be freed now, where that is so; a later gc looks again.
    """

    objects: int = 0
    size: int = 0
    shared: int = 0
    kept: int = 0
    waits: str = ""

    def and_also(self, other: Freed) -> Freed:
        """What became of the space of these runs and of others."""
        return Freed(
            self.objects + other.objects,
            self.size + other.size,
            self.shared + other.shared,
            self.kept + other.kept,
            self.waits or other.waits,
        )


def exclusive_size(
    repo: Repository, refs: Mapping[str, Oid], seconds: float
) -> tuple[int, int, bool]:
    """What only some refs reach.

    Args:
        repo: The repository.
        refs: The refs.
        seconds: For which is looked what else reaches it.

    Returns:
        How many objects, their bytes on disk, and whether that is exact: else it is at most so much.
    """
    wanted = _objects_of(repo, refs.values())
    exact = _leave_reached(repo, wanted, refs, time.monotonic() + seconds)
    lines = b"".join(oid + b"\n" for oid in wanted)
    out = repo.git.run("cat-file", "--batch-check=%(objectsize:disk)", stdin=lines, env=BOUNDED)
    return len(wanted), sum(int(size) for size in out.split() if size.isdigit()), exact


def free(repo: Repository, refs: Mapping[str, Oid], uids: Collection[Oid] = ()) -> Freed:
    """Delete refs and free what nothing but they reached; without any, go on with what was interrupted.

    Args:
        repo: The repository.
        refs: The refs of removed runs, and what they hold.
        uids: These runs.

    Raises:
        RepositoryError: space can't be freed now, or git failed. Nothing but the refs is gone, if they are.
    """
    if not refs and not has_unfinished(repo):
        return Freed()
    lock = _lock(repo)  # 1
    try:
        check_free(repo)
        # A fetch that was killed has left the packs kept that it brought, and nothing goes out of those.
        with contextlib.suppress(GitflowrunError, OSError):
            repo.packs.sweep(pack_grace(repo))
        return _Freeing(repo, lock, refs, uids).run()
    finally:
        os.close(lock)


def has_unfinished(repo: Repository) -> bool:
    """Whether a `free` was interrupted, or had to wait."""
    return (repo.state_dir / _NOTE).exists()


def check_free(repo: Repository) -> None:
    """Raise RepositoryError where space can't be freed now, and say why."""
    if git_repacks(repo):
        raise RepositoryError(
            "a `git gc` or `git maintenance run` is at work here",
            hint="try again when it is done",
        )
    if live := Locks(repo.state_dir).held():
        raise RepositoryError(
            f"run {live[0]} is running, and may be about to use what is to be freed",
            hint="try again when it has ended",
        )
    if any((repo.objects_dir / "pack").glob("*.promisor")):
        raise RepositoryError(
            "this is a partial clone, in which git keeps track of what the remote has",
            hint="remove the run with `git runs rm`; its space is freed in a whole clone only",
        )
    if repo.is_precious:
        raise RepositoryError(
            "nothing is deleted in a repository of precious objects, which others may borrow",
            hint="remove the run with `git runs rm`; `git config extensions.preciousObjects` says so",
        )
    for path in sorted((repo.objects_dir / "pack").glob("*.idx")):
        with contextlib.suppress(FileNotFoundError):  # a repack has just taken it
            if not is_readable(path):
                raise RepositoryError(
                    f"{path} is an index that only git reads",
                    hint="`git -c pack.indexVersion=2 repack -a -d` writes it anew; then try again",
                )


def _lock(repo: Repository) -> int:
    deadline = time.monotonic() + FREEING_PATIENCE
    while (lock := fold_lock(repo)) is None:
        if time.monotonic() > deadline:
            raise RepositoryError(
                "packs are being folded, or space is being freed, by another process",
                hint="try again in a minute",
            )
        time.sleep(0.05)
    return lock


class _Freeing:
    """One `free`, under its lock."""

    def __init__(
        self, repo: Repository, lock: int, refs: Mapping[str, Oid], uids: Collection[Oid]
    ) -> None:
        self._repo = repo
        self._lock = lock
        self._refs = refs
        self._note = repo.state_dir / _NOTE
        self._packs: set[str] = set()
        """That are about to be deleted, by name."""
        self._ahead: dict[Path, int] = {}
        self._now = _now(lock)
        self._begun, self._uids, self._left = self._read_note()
        self._wanted = set(self._left)
        self._uids |= {str(uid).encode("ascii") for uid in uids}
        self._shared = 0
        self._is_safe = repo.settings.durability is Durability.SAFE

    def run(self) -> Freed:
        self._delete_halves()
        self._list()  # 2
        self._write_note()  # 3
        reached("free.noted")
        self._delete_refs()  # 4
        reached("free.unreferenced")
        if not self._wanted:
            self._remove_note()
            return Freed(shared=self._shared)
        before = _size(self._repo.objects_dir)
        self._ahead = self._find_ahead()
        try:
            rewrite_commit_graph(self._repo)  # 5
            count, kept, waits = self._free()
        except OSError as error:
            where = error.filename or self._repo.objects_dir
            raise RepositoryError(
                f"cannot free space: {where}: {error.strerror}",
                hint="nothing else is gone; `git runs gc` goes on",
            ) from error
        except GitflowrunError as error:  # the runs are gone, and no command finds them any more
            raise RepositoryError(
                f"not everything is freed yet: {error.message}",
                hint=f"{error.hint + '; ' if error.hint else ''}`git runs gc` goes on",
            ) from error
        size = max(0, before - _size(self._repo.objects_dir))
        return Freed(count, size, self._shared, kept, waits)

    def _free(self) -> tuple[int, int, str]:
        """Steps 6 to 8: how many objects are gone, how many stay, and why others have to wait."""
        for attempt in range(1, FREEING_LOOKS + 1):
            seen = _roots(self._repo)
            freed = self._look()  # 6
            rewrite = self._rewrite(freed)
            locks = Locks(self._repo.state_dir)
            try:
                with locks.ids() as lock:  # 7
                    if live := locks.held():
                        return 0, 0, f"run {live[0]} has begun meanwhile"
                    if git_repacks(self._repo):
                        return 0, 0, "a `git gc` or `git maintenance run` has begun meanwhile"
                    writing = _index_locks(self._repo)
                    is_same = _roots(self._repo) == seen and rewrite.is_current
                    if writing and attempt == FREEING_LOOKS:
                        return 0, 0, f"git is about to write an index, as {writing[0]} says"
                    if writing or not (is_same and lock.is_current):
                        if attempt < FREEING_LOOKS:
                            continue
                        freed &= self._look()
                    reached("free.locked")
                    ours = self._repo.packs.kept_by_us()
                    count, left = self._unlink(freed, rewrite)  # 8
                    reached("free.unlinked")
                    if why := self._told_kept(left, ours):
                        return count, 0, why
                    self._remove_note()
                    return count, len(left), ""
            finally:
                rewrite.close()
        raise AssertionError  # the last attempt returns

    def _list(self) -> None:
        found = _objects_of(self._repo, self._refs.values())
        self._wanted |= found
        self._left -= found  # a ref held that until now
        self._begun = self._begun if self._left else self._now
        _leave_reached(self._repo, self._wanted, self._refs)
        self._shared = len(found - self._wanted)

    def _read_note(self) -> tuple[int, set[bytes], set[bytes]]:
        """When an interrupted `free` began, in nanoseconds, its runs, and its candidates."""
        begun = self._now
        data = read_file(self._note, "what is to be freed", limit=MAX_CANDIDATES) or b""
        head, _, rest = data.partition(b"\n")
        words = head.split(b" ")
        if not data.endswith(b"\n") or not words[0].isdigit():
            return begun, set(), set()
        self._packs = {word.decode("ascii") for word in words[1:] if _PACK.fullmatch(word)}
        uids = {word for word in words[1:] if _HEX.fullmatch(word)}
        noted = int(words[0])
        # Notes had seconds, once.
        return noted if noted > _SECOND * _SECOND else noted * _SECOND, uids, set(rest.split())

    def _write_note(self) -> None:
        packs = (name.encode("ascii") for name in sorted(self._packs))
        head = b" ".join([b"%d" % self._begun, *sorted(self._uids), *packs])
        self._repo.state()
        try:
            content = b"\n".join([head, *sorted(self._wanted), b""])
            replace_file(self._note, content, self._repo.shared_mode)
            if self._is_safe:
                sync_directory(self._note.parent)
        except OSError as error:
            raise RepositoryError(f"cannot write {self._note}: {error.strerror}") from error

    def _delete_halves(self) -> None:
        """Delete what is left of packs that have lost their index when an interrupted `free` deleted them."""
        for name in self._packs:
            files = {it: self._repo.packs.pack_dir / f"{name}{it}" for it in PACK_FILES}
            with contextlib.suppress(OSError):  # the pack is gone
                if not files[".idx"].exists() and self._is_untouched(files[".pack"]):
                    for path in files.values():
                        path.unlink(missing_ok=True)

    def _delete_refs(self) -> None:
        self._repo.refs.transaction(
            [RefUpdate(name, None, oid) for name, oid in self._refs.items()]
        )

    def _remove_note(self) -> None:
        self._note.unlink(missing_ok=True)

    def _find_ahead(self) -> dict[Path, int]:
        """Files of candidates, and packs, that a clock was ahead of, or new ones since an interrupted `free`; when."""
        fresh = self._wanted - self._left
        homes = self._repo.objects.homes(Oid.from_hex(oid.decode("ascii")) for oid in fresh)
        packs = () if self._left else (self._repo.objects_dir / "pack").glob("*.pack")
        now, found = _now(self._lock), {}
        left = [Oid.from_hex(oid.decode("ascii")) for oid in self._left]
        for path in {*homes.values(), *packs}:
            with contextlib.suppress(OSError):
                touched = _touched(path)
                is_new = self._begun <= touched < self._now
                if touched > now or (is_new and not self._repo.packs.held(path.stem, left)):
                    found[path] = touched
        return found

    def _rewrite(self, freed: set[bytes]) -> Rewrite:
        oids = [Oid.from_hex(oid.decode("ascii")) for oid in freed]
        return Rewrite(self._repo, self._lock, oids)

    def _look(self) -> set[bytes]:
        """The candidates that may go."""
        dangling = _Dangling(self._repo, self._wanted)
        freed = dangling.wanted | dangling.of_runs(self._uids)
        dangling.leave_reached(freed)
        self._shared += len(self._wanted - freed)
        self._wanted &= freed
        return freed

    def _unlink(self, freed: set[bytes], rewrite: Rewrite) -> tuple[int, Collection[Oid]]:
        """Unlink what nobody has touched; how many objects are gone, and which are not."""
        try:
            stamp = self._repo.state() / "freed"
            replace_file(stamp, os.urandom(8).hex().encode("ascii"), self._repo.shared_mode)
        except OSError as error:
            raise RepositoryError(f"cannot write {stamp}: {error.strerror}") from error
        oids = {oid: Oid.from_hex(oid.decode("ascii")) for oid in freed}
        here = len(self._repo.objects.homes(oids.values()))
        folders = set()
        for oid in oids:
            text = oid.decode("ascii")
            path = self._repo.objects_dir / text[:2] / text[2:]
            with contextlib.suppress(FileNotFoundError):
                if self._is_untouched(path):
                    path.unlink()
                    reached("free.unlinking")
                    folders.add(path.parent)
        if rewrite.without <= set(oids.values()):
            self._packs = {*rewrite.inputs}
            self._write_note()
            rewrite.delete(self._is_untouched)
        if self._is_safe:
            for folder in folders:
                sync_directory(folder)
        left = self._repo.objects.homes(oids.values())
        return here - len(left), left

    def _told_kept(self, left: Collection[Oid], ours: Mapping[str, int]) -> str:
        """Why what is left can't go yet, where it lies in packs that processes of ours keep; else nothing."""
        packs = self._repo.packs
        for name, pid in {**ours, **packs.kept_by_us()}.items() if left else ():
            if held := packs.held(name, left):
                return (
                    f"process {pid}, such as a fetch, keeps a pack that has {held:,} of the objects"
                )
        return ""

    def _is_untouched(self, path: Path) -> bool:
        touched = _touched(path)
        return touched < self._begun or touched == self._ahead.get(path)


class _Dangling:
    """The commits, trees and tags here that nothing reaches.

    Args:
        repo: The repository.
        wanted: Objects that are looked for in the same walk.

    Attributes:
        wanted: Those of them that nothing reaches.
    """

    def __init__(self, repo: Repository, wanted: Collection[bytes]) -> None:
        self._repo = repo
        self._types = _with_children(repo)
        unreached = {*self._types, *wanted}
        _leave_reached(repo, unreached)
        self.wanted = unreached.intersection(wanted)
        self._types = {oid: self._types[oid] for oid in unreached & self._types.keys()}

    def of_runs(self, uids: Collection[bytes]) -> set[bytes]:
        """Commits that these runs' schedulers wrote and did not publish, and what is dangling below them."""
        kinds = self._types
        commits = {it for it in kinds if kinds[it] == b"commit" and it not in uids}
        commits = {oid for oid in commits if self._run_of(oid) in uids}
        # Without their parents, of which an interrupted `free` may have deleted some: each is one of these.
        trees = {it for oid in commits for it in self._children(oid) if kinds.get(it) != b"commit"}
        found = commits | _objects_of(self._repo, map(Oid.from_hex, map(bytes.decode, trees)))
        if not found <= self.wanted:
            _leave_reached(self._repo, found)
        return found

    def leave_reached(self, wanted: set[bytes]) -> None:
        """Take from `wanted` what the other dangling objects lead to."""
        others = self._types.keys() - wanted
        todo = list({child for oid in others for child in self._children(oid)} & wanted)
        while todo:
            oid = todo.pop()
            if oid in wanted:
                wanted.discard(oid)
                todo += self._children(oid)

    def _run_of(self, oid: bytes) -> bytes:
        """The run that a commit says to be of."""
        with contextlib.suppress(CorruptRecord, MissingObject):
            commit = self._repo.objects.commit(Oid.from_hex(oid.decode("ascii")))
            state = parse_message(commit.message.decode(errors="replace"))
            return str(state.uid or "").encode("ascii") if state else b""
        return b""

    def _children(self, oid: bytes) -> Iterator[bytes]:
        """The objects that one names; of a blob none, nor of what can't be read."""
        kind = self._types.get(oid)
        if kind is None:
            return
        limit = TREE_SIZE if kind == b"tree" else COMMIT_SIZE
        try:
            found, data = self._repo.objects.read(Oid.from_hex(oid.decode("ascii")), limit)
        except (MissingObject, CorruptRecord):
            return
        if found is ObjectType.TREE:
            yield from (str(row.oid).encode("ascii") for row in parse_tree(data))
        elif found is ObjectType.COMMIT:
            commit = parse_commit(data)
            for other in (commit.tree, *commit.parents):
                yield str(other).encode("ascii")
        else:
            yield from _HEX.findall(data.partition(b"\n")[0])


def _loose(objects_dir: Path) -> Iterator[bytes]:
    for first in range(256):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(objects_dir / f"{first:02x}"):  # noqa: PTH208  (names alone)
                if _HEX.fullmatch(oid := f"{first:02x}{name}".encode(errors="replace")):
                    yield oid


def _packed(pack_dir: Path) -> Iterator[bytes]:
    size = Oid.SIZE
    for path in pack_dir.glob("*.idx"):
        with contextlib.suppress(FileNotFoundError, CorruptRecord):
            table = PackIndex(path.read_bytes(), path.name).id_table
            for at in range(0, len(table), size):
                yield table[at : at + size].hex().encode("ascii")


def _with_children(repo: Repository) -> dict[bytes, bytes]:
    """The types of all objects here that name others: all but blobs."""
    found: dict[bytes, bytes] = {}
    with tempfile.TemporaryFile() as file:
        for oid in chain(_loose(repo.objects_dir), _packed(repo.objects_dir / "pack")):
            file.write(oid + b"\n")
        file.seek(0)
        options = ("--buffer", "--batch-check=%(objectname) %(objecttype)")
        process = repo.git.start("cat-file", *options, stdin=file, env=BOUNDED)
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                oid, _, kind = line.rstrip().partition(b" ")
                if kind in _KINDS:
                    found[oid] = _KINDS[kind]
        if code := process.wait():
            raise RepositoryError(f"git cat-file: status {code}")
    return found


def _objects_of(repo: Repository, tips: Iterable[Oid]) -> set[bytes]:
    """All that some objects reach, as far as it is here."""
    here = _existing(repo, {str(tip).encode("ascii") for tip in tips})
    if not here:
        return set()
    lines = b"".join(oid + b"\n" for oid in here)
    out = repo.git.run(*_WALK, "--missing=allow-any", "--stdin", stdin=lines)
    return set(out.split())


def _leave_reached(
    repo: Repository, wanted: set[bytes], but: Collection[str] = (), deadline: float | None = None
) -> bool:
    """Take from `wanted` what anything but some refs reaches; False when there was no time to look at all.

    Raises:
        RepositoryError: something that a ref or an index names is missing, or one of them can't be read: then nobody
            can tell.
    """
    if not wanted:
        return True
    try:
        tips = {oid for name, oid in repo.refs.every().items() if name not in but}
        tips |= {oid.decode("ascii") for oid in _pseudo_refs(repo)}
        _check_reflogs(repo)
    except (OSError, GitflowrunError) as error:
        raise _untold(error) from error
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as messages:
        file.write("".join(f"{tip}\n" for tip in tips).encode("ascii"))
        file.seek(0)
        walk = (*_WALK, "--reflog", "--indexed-objects", "--stdin")
        process = repo.git.start(*walk, stdin=file, stderr=messages.fileno())
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                wanted.discard(line[:40])
                if deadline is not None and time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    return False
        if process.wait():
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip().splitlines()
            raise RepositoryError(
                f"git rev-list: {said[-1] if said else process.returncode}",
                hint="`git fsck` says what is missing; nothing is freed in a damaged repository",
            )
    return True


def _untold(error: OSError | GitflowrunError) -> RepositoryError:
    """The error that it can't be told what is in use."""
    if isinstance(error, GitflowrunError):
        reason, hint = error.message, error.hint
    else:
        reason, hint = f"can't read {error.filename}: {error.strerror}", None
    return RepositoryError(
        f"nobody can tell what is in use here: {reason}",
        hint=hint or "`ls -l` tells who may read it; nothing is freed until then",
    )


def _work_trees(repo: Repository) -> list[Path]:
    """The git directories of all work trees."""
    return [repo.common_dir, *_entries(repo.common_dir / "worktrees")]


def _below(directory: Path) -> list[Path]:
    """All files below a directory of git's; a link that stands there may lead to a whole disk."""
    found: list[Path] = []
    todo = [directory]
    while todo:
        place = todo.pop()
        for path in [] if place.is_symlink() else _entries(place):
            (todo if path.is_dir() else found).append(path)
    return sorted(found)


def _entries(directory: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(directory.iterdir())
    return []


def _check_reflogs(repo: Repository) -> None:
    """Raise OSError where a reflog can't be read: git passes over it without a word."""
    for place in _work_trees(repo):
        for path in _below(place / "logs"):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(path.stat().st_mode):
                    path.open("rb").close()


def _pseudo_files(repo: Repository) -> Iterator[Path]:
    """The files that name objects and are no refs for `git for-each-ref`: HEAD, ORIG_HEAD, a rebase's."""
    for place in _work_trees(repo):
        for path in _entries(place):
            if _PSEUDO_REF.match(path.name) and not _NO_ROOT.fullmatch(path.name):
                yield path
        for name in _OPERATIONS:
            if place != repo.common_dir or name != "refs":
                yield from _below(place / name)


def _pseudo_refs(repo: Repository) -> set[bytes]:
    """The objects that such files name and that are here."""
    found: set[bytes] = set()
    for path in _pseudo_files(repo):
        if path.is_symlink() or not path.is_file():  # a link, as HEAD once was, leads to a ref
            continue
        with (
            contextlib.suppress(FileNotFoundError),
            open_file(path, "a ref of git's") as file,
        ):
            found.update(_HEX.findall(file.read(PSEUDO_REF)))
    return _existing(repo, found)


def _existing(repo: Repository, oids: Iterable[bytes]) -> set[bytes]:
    lines = b"".join(oid + b"\n" for oid in oids)
    if not lines:
        return set()
    out = repo.git.run("cat-file", "--batch-check=%(objectname)", stdin=lines, env=BOUNDED)
    return {line for line in out.splitlines() if _HEX.fullmatch(line)}


def _roots(repo: Repository) -> tuple[object, ...]:
    """What changes whenever a ref, a reflog, an index or HEAD does."""
    files = [*_pseudo_files(repo)]
    for place in _work_trees(repo):
        files += [place / "index", *_below(place / "logs")]
    stamps = []
    for path in files:
        with contextlib.suppress(OSError):
            found = path.stat()
            stamps.append((path, found.st_ino, found.st_size, found.st_mtime_ns))
    return (repo.refs.rows("refs/"), stamps)


def _index_locks(repo: Repository) -> list[Path]:
    """The locks under which git is about to write an index: what it names there, it may have found already."""
    return [path for it in _work_trees(repo) if (path := it / "index.lock").exists()]


def _now(lock: int) -> int:
    """The time in nanoseconds, by the clock by which git touches files: that of a server, on a share."""
    try:
        os.utime(lock)
        return os.fstat(lock).st_mtime_ns
    except OSError:
        return time.time_ns()


def _touched(path: Path) -> int:
    """When somebody has touched a file, in nanoseconds: that changes both of its times to now.

    A fold of packs sets the one ahead, and a link, another name or a copy changes the other alone.
    """
    found = path.stat()
    return min(found.st_mtime_ns, found.st_ctime_ns)


def _size(directory: Path) -> int:
    """Bytes of the files below a directory."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total
