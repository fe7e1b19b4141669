"""The only writer of refs: transactions of one resident `git update-ref --stdin`; many new refs by one file.

A transaction changes several refs, all or none:

1. Every name is a `RefName`, and each ref is compared with its expected old value: a conflict that can be seen
   costs git no process.
2. `start`, one command a ref, `prepare`. git locks the refs, compares them with their old values again, sees that
   each target exists and that no ref would have to be a directory and a file at once, and writes the lock files.
3. The lock files are fsynced (`runs.durability = safe`) before they become refs: an empty ref, which is what a
   power cut can leave, makes the user's own `git gc` and `git clone` fail. Ours to do, since git syncs refs from
   2.36 on only. Many are synced at once, with their file system: a disk takes as long for that as for two files.
4. `commit`. git renames the lock files.
5. The directory of each ref is fsynced, and that of each directory that is new.

git ends at a transaction that it refuses; its message becomes the error, and the next transaction starts
another. A lock that somebody else holds is waited for. Which locks are ours stands in a journal, whose file we and our
git hold a lock of: where it is free, whoever reads refs next moves away what a killed one has left (`recover_locks`).
A lock of somebody else who was killed is told by its not changing while no git lives that may hold it (`LockWatch`).

*Many new refs* become lines of `packed-refs`, whose next version is written elsewhere and takes its place under git's
own lock: one file to write and to sync, where git makes one for each ref. Who makes a loose ref locks it first, and
then looks for its name among the packed ones. So whoever begins after the new file is there sees our refs in it.
Whoever began before has a loose ref, or a lock, which we look for last; if it becomes one, all of ours is taken back.
Whatever is unusual (somebody's lock, a target that is no commit, a file of an old git) is left to `git update-ref`.

The process runs with the user's `reference-transaction` hook off, which would see half of the updates or veto
them, and makes no reflogs. It ends when we close it or die.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
import time
from functools import cached_property
from typing import IO, TYPE_CHECKING

from gitflowrun.errors import MissingObject, RefConflict, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.command import BOUNDED, Git, Resident, git_message
from gitflowrun.git.permissions import allow, is_in_place, make_directory, share_file
from gitflowrun.git.ref_locks import (
    PACKED,
    Identity,
    LockJournal,
    LockWatch,
    file_identity,
    jittered,
    recover_locks,
)
from gitflowrun.git.refs import RefReader, RefUpdate, folders_of, packed_with
from gitflowrun.limits import (
    FEW_REFS,
    LOCK_OURS,
    LOCK_PATIENCE,
    LOCK_PAUSES,
    LOCK_STALE,
    TRANSACTION_GRACE,
    TRANSACTIONS_A_PROCESS,
)
from gitflowrun.names import RefName
from gitflowrun.settings import Durability, Settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.git.objects import Oid

_OPTIONS = ("-c", "core.logAllRefUpdates=false")
# Off, because each file is synced once, by us.
_NO_SYNC = ("-c", "core.fsync=none")
FIRST_ANSWER = 5.0
"""Seconds after which a git that has not answered yet is asked for its version."""

# How git tells that somebody holds a lock, or that a `git pack-refs --prune` has just removed its empty directory; or
# that a git that stays took another `packed-refs` of one second, size and, by chance, inode for the one it knew...
_LOCKED_SIGNS = ("file exists", "no such file or directory", "but expected")
# ... that a ref would have to be a directory and a file at once...
_CONFLICT_SIGNS = ("cannot create", "not a directory", "non-empty directory", "at the same time")
# ... that the new target is not there, and that all was locked and a part has moved when a disk failed: no conflict.
_MISSING_SIGN, _MOVING_SIGN = "nonexistent object", "commit:"

# ... that the content of a lock was not written; where fewer blocks than these are left, there were too few for it.
_UNWRITTEN_SIGNS, _FREE_BLOCKS = ("couldn't write", "could not write", "unable to write"), 8


class Refs(RefReader):
    """The refs of a repository, shared by its worktrees: reads, and the only writes. Safe to use by threads.

    Args:
        git: Runs git there.
        common_dir: The git directory that all worktrees share.
        stale_locks: A directory for locks that are moved away, on the same file system. Need not exist.
        patience: Seconds to wait for a lock.
        stale_after: Seconds after which an unchanged lock counts as left behind.
    """

    def __init__(
        self,
        git: Git,
        common_dir: Path,
        stale_locks: Path,
        *,
        patience: float = LOCK_PATIENCE,
        stale_after: float = LOCK_STALE,
    ) -> None:
        super().__init__(git, common_dir)
        self._stale_locks = stale_locks
        self._patience = patience
        self._stale_after = stale_after
        self._unsynced: set[Path] = set()
        """Directories that have, or may get, an entry that a power cut would lose."""

    @cached_property
    def _syncs(self) -> bool:
        # Not asked before the first change: who only reads refs needs no config.
        return Settings.parse(self._git.config, os.environ).durability is Durability.SAFE

    @cached_property
    def _update_ref(self) -> _UpdateRef:
        journal = LockJournal(self._root, self._stale_locks)
        return _UpdateRef(journal, self._git, *_OPTIONS, *(_NO_SYNC if self._syncs else ()))

    def transaction(self, updates: Sequence[RefUpdate]) -> None:
        """Change several refs, all or none.

        As with git's own transactions, a reader may see a part of them for a moment, and a power cut may
        leave a part of them.

        Raises:
            RefConflict: one of them has not its expected old value, or its name can't exist beside others.
            MissingObject: a new target does not exist.
            RepositoryError: the repository can't be written to, or a lock was not free in time.
        """
        if not updates:
            return
        for update in updates:
            RefName(update.name)
        watches: list[LockWatch] = []
        deadline = time.monotonic() + self._patience
        (pause, longest), look = LOCK_PAUSES, 0.0
        while True:
            try:
                self._attempt(updates)
            except _Locked as locked:
                watches = watches or [self._watch(it.name) for it in updates]
                if locked.was_killed or time.monotonic() > look:
                    recover_locks(self._root, self._stale_locks)
                    look = time.monotonic() + LOCK_OURS
                if locked.was_killed:  # before its last step, in the middle of it, or after it
                    updates = [it for it in updates if self.get(it.name) != it.new]
                held = [watch for watch in watches if not watch.remove_if_stale()]
                if time.monotonic() > deadline:
                    raise self._busy(held, locked) from locked
                time.sleep(jittered(pause))
                pause = min(pause * 2, longest)
            else:
                return

    def drop_damaged(self, name: str, new: Oid | None = None) -> None:
        """Remove the file of a ref that holds no object id: git deletes no such ref, and makes none in its place.

        Args:
            name: The ref.
            new: What it shall hold instead, an object that is here. That is one step, for a ref that is removed first
                is gone for good where a kill or a disk keeps the second step from being done.

        Raises:
            RepositoryError: somebody holds its lock, or the file can't be removed or lies elsewhere.
        """
        what = f"{new}\n" if new else None
        self._replace_file(name, what)
        self.damaged.discard(name)

    def _replace_file(self, name: str, content: str | None) -> None:
        """Replace the file of a ref that holds no object id, or remove it where there is no content."""
        path = self._root / RefName(name)
        if not is_in_place(self._root, path):
            there = os.path.realpath(path.parent)
            raise RepositoryError(f"{path} is in {there}, where a link leads")
        scratch = self._stale_locks / f"{os.getpid()}-{time.monotonic_ns()}.lock"
        instead = scratch.with_name(f"new-{scratch.name}")
        try:
            make_directory(self._stale_locks)
            scratch.touch(exist_ok=False)
            if content is not None:
                self._write_ref(instead, content, like=path)
            with self._locked(name, scratch):
                held = self._loose(name)
                if held is not None and not _holds_id(held):  # nobody has mended it meanwhile
                    if content is None:
                        path.unlink(missing_ok=True)
                    else:
                        instead.replace(path)
            if content is not None:
                self.sync(name)
        except OSError as error:
            raise RepositoryError(f"can't lock {name}: {error.strerror}") from error
        finally:
            for left in (instead, scratch):
                with contextlib.suppress(OSError):
                    left.unlink()

    def _write_ref(self, path: Path, content: str, *, like: Path) -> None:
        from gitflowrun.git.pack.writer import sync_file

        path.write_text(content, encoding="ascii")
        share_file(path)
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
            allow(path, stat.S_IMODE(like.stat().st_mode))
        if self._syncs:
            sync_file(path)

    def sync(self, name: str) -> None:
        """Have what a ref says outlast a power cut; who moved it may have died before. Raises RepositoryError."""
        if self._syncs:
            self._unsynced.add((self._root / RefName(name)).parent)
            try:
                self._sync_directories()
            except OSError as error:
                raise self._unwritable([RefUpdate(name, None, None)], str(error)) from error

    def close(self) -> None:
        """End git, if it runs; the next transaction starts it again."""
        if "_update_ref" in vars(self):
            self._update_ref.close()

    def _attempt(self, updates: Sequence[RefUpdate]) -> None:
        try:
            if len(updates) > FEW_REFS and self._create_packed(updates):
                return
            self._compare(updates)  # 1
            if self._syncs:
                self._unsynced.update(self._touched(updates))
            self._update_ref.run(updates, lambda: self._sync_locks(updates))  # 2, 3, 4
            self._sync_directories()  # 5
            reached("ref.durable")
        except _Refused as refused:
            if str(refused).startswith(_MOVING_SIGN):
                self._take_back(updates)
            raise self._judged(updates, str(refused)) from None
        except OSError as error:
            raise self._unwritable(updates, error.strerror or str(error)) from error

    def _take_back(self, updates: Sequence[RefUpdate]) -> None:
        """Undo what has happened of a transaction; where even that fails, a part of it stays."""
        done = [it.reversed for it in updates if self.get(it.name) == it.new]
        with contextlib.suppress(_Refused, OSError):
            self._update_ref.run(done, lambda: self._sync_locks(done))

    def _create_packed(self, updates: Sequence[RefUpdate]) -> bool:
        """Create refs by a new version of `packed-refs`; whether that is done, else nothing has changed.

        Raises:
            RefConflict: somebody made one of them at the same moment.
        """
        path = self._root / "packed-refs"
        new = {os.fsencode(it.name): it.new for it in updates if it.new and not it.old}
        before = file_identity(path)
        table = packed_with(self._packed_refs(), new) if len(new) == len(updates) else None
        if table is None or self._rivals(updates) or not self._are_commits(updates):
            return False
        make_directory(self._stale_locks)
        scratch = self._stale_locks / f"packed-refs-{os.getpid()}-{time.monotonic_ns()}.lock"
        try:
            with scratch.open("xb") as file:
                file.write(table)
                file.flush()
                if self._syncs:
                    os.fsync(file.fileno())
            reached("packed.written")
            share_file(scratch)
            with self._locked(PACKED, scratch):
                if path.is_symlink() or file_identity(path) != before:
                    return False
                reached("packed.locked")
                scratch.rename(path)
                reached("packed.replaced")
        except FileExistsError:
            return False
        finally:
            scratch.unlink(missing_ok=True)
        if self._syncs:
            self._unsynced.add(self._root)
            self._sync_directories()
        if rivals := self._rivals(updates):
            self._settle(updates, rivals)
        return True

    @contextlib.contextmanager
    def _locked(self, name: str, scratch: Path) -> Iterator[None]:
        """Hold git's lock of a ref, or of the packed ones, as another name of a file of ours: it tells whose it is.

        Raises:
            FileExistsError: somebody holds it.
        """
        lock = self._root / f"{name}.lock"
        with self._update_ref.claiming(name, scratch):
            try:
                os.link(scratch, lock)
            except FileExistsError:
                raise
            except OSError:  # FAT and its like have no links
                lock.touch(exist_ok=False)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # then the journal tells whose it is
                    lock.unlink()

    def _settle(self, updates: Sequence[RefUpdate], rivals: Collection[str]) -> None:
        """Wait for those who make one of the refs that were just created; if they do, take back all of ours.

        Raises:
            RefConflict: they do.
        """
        deadline = time.monotonic() + self._patience
        watches = [self._watch(name) for name in rivals]
        while watches and time.monotonic() < deadline:
            watches = [watch for watch in watches if not watch.remove_if_stale()]
            time.sleep(jittered(LOCK_PAUSES[0]))
        if rivals := self._rivals(updates):
            ours = [it.reversed for it in updates if it.name not in rivals]
            self._update_ref.run(ours, lambda: None)
            raise RefConflict(f"{min(rivals)} was made by somebody else at the same moment")

    def _watch(self, name: str) -> LockWatch:
        return LockWatch(self._root / f"{name}.lock", self._stale_locks, self._stale_after)

    def _rivals(self, updates: Sequence[RefUpdate]) -> set[str]:
        """The names, and those above them, that are loose or locked, or are a directory that should be none."""
        names = {update.name for update in updates}
        folders = folders_of(names, "/")
        found = set()
        for folder in folders:
            try:
                inside = os.listdir(self._root / folder)  # noqa: PTH208  (names alone)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                found.add(folder)
                continue
            places = {f"{folder}/{entry}" for entry in inside}
            found |= names & places
            found |= (names | folders) & {
                it.removesuffix(".lock") for it in places if it.endswith(".lock")
            }
        return found

    def _are_commits(self, updates: Sequence[RefUpdate]) -> bool:
        """Whether all targets are commits: `packed-refs` says of others what they lead to."""
        lines = "".join(f"{update.new}\n" for update in updates).encode()
        options = ("cat-file", "--batch-check=%(objecttype)")
        return {*self._git.run(*options, stdin=lines).splitlines()} == {b"commit"}

    def _compare(self, updates: Sequence[RefUpdate]) -> None:
        current = self.many(update.name for update in updates)
        for update in updates:
            if current[update.name] != update.old:
                raise update.conflict(current[update.name])

    def _judged(self, updates: Sequence[RefUpdate], message: str) -> Exception:
        """The error for what git said about a transaction."""
        if not message:
            return _Locked("git update-ref was killed", was_killed=True)
        lower, names = message.lower(), _names(updates)
        if not message.startswith(_MOVING_SIGN):
            self._compare(updates)
        if _MISSING_SIGN in lower:
            return MissingObject(f"{names} can't point to an object that is missing: {message}")
        if any(sign in lower for sign in _LOCKED_SIGNS):
            return _Locked(message)
        if any(sign in lower for sign in _CONFLICT_SIGNS):
            return RefConflict(f"{names} can't be created beside other refs: {message}")
        return self._unwritable(updates, message)

    def _unwritable(self, updates: Sequence[RefUpdate], message: str) -> RepositoryError:
        cause = ""
        full = os.strerror(errno.ENOSPC)
        if full not in message:
            # git does not say it where the content of a lock file could not be written, and has removed that file.
            needed = _FREE_BLOCKS if any(it in message.lower() for it in _UNWRITTEN_SIGNS) else 1
            disk = os.statvfs(self._root)
            has_files = disk.f_favail >= needed or not disk.f_files
            cause = "" if disk.f_bavail >= needed and has_files else f": {full}"
        hint = "recording runs needs a repository that you may write to"
        if full in f"{message}{cause}":
            hint = "free some space and try again"
        return RepositoryError(
            f"can't write {_names(updates)} in {self._root}: {message}{cause}", hint=hint
        )

    def _busy(self, held: list[LockWatch], locked: _Locked) -> RepositoryError:
        where = f"{held[0].path} is held by somebody" if held else str(locked)
        hint = "if no git command is running there, remove the lock file"
        if holder := next((watch.holder for watch in held if watch.holder), ""):
            hint = f"{holder} is at work there and may hold it, also if it is suspended: let it go on, or end it"
        return RepositoryError(
            f"can't lock the refs of {self._root} for {self._patience:.0f} s: {where}", hint=hint
        )

    def _touched(self, updates: Sequence[RefUpdate]) -> set[Path]:
        """The directories whose entries a transaction changes, those in which it makes directories included."""
        # The root is that of `packed-refs`.
        touched = {self._root} if any(update.new is None for update in updates) else set()
        for folder in {update.name.rpartition("/")[0] for update in updates}:
            directory = self._root / folder
            touched.add(directory)
            while not directory.exists():
                directory = directory.parent
                touched.add(directory)
        return touched

    def _sync_locks(self, updates: Sequence[RefUpdate]) -> None:
        if not self._syncs:
            return
        from gitflowrun.git.pack.writer import sync_file, sync_file_system

        written = [update.name for update in updates if update.new is not None]
        if len(written) <= FEW_REFS or not sync_file_system(self._root / "refs"):
            for name in written:
                sync_file(self._root / f"{name}.lock")
        if any(update.new is None for update in updates):
            with contextlib.suppress(FileNotFoundError):  # none of them is packed
                sync_file(self._root / "packed-refs.new")

    def _sync_directories(self) -> None:
        from gitflowrun.git.pack.writer import sync_directory

        pending = list(self._unsynced)
        for directory in pending:
            # The nearest that exists: git removes the directory of the last ref that is deleted, or packed.
            for existing in (directory, *directory.parents):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    sync_directory(existing)
                    break
        self._unsynced.difference_update(pending)


class _UpdateRef(Resident):
    """A resident `git update-ref --stdin`."""

    def __init__(self, journal: LockJournal, git: Git, *options: str) -> None:
        super().__init__(git, *options, "update-ref", "--stdin")
        self._messages = -1
        self._journal = journal
        self._done = 0

    def run(self, updates: Sequence[RefUpdate], before_commit: Callable[[], None]) -> None:
        """Execute one transaction.

        Args:
            updates: What to do.
            before_commit: Called when all is locked and written, and nothing published.

        Raises:
            _Refused: nothing has changed; or, without a message, git was killed; or it could not finish.
        """
        # Each value ends at a space or a newline, which no `RefName` contains.
        commands = [update.command for update in updates]
        with self._lock:
            # The journal that it holds was deleted, or it holds too many packs.
            if self._journal.is_lost or self._done >= TRANSACTIONS_A_PROCESS:
                self._end(TRANSACTION_GRACE)
            self._journal.begin(updates)
            reached("ref.claimed")
            taken: dict[Path, Identity | None] = {}
            try:
                self._ask(["start", *commands, "prepare"], [b"start: ok\n", b"prepare: ok\n"])
                reached("ref.locked")
                taken = self._journal.prepared(updates)
                before_commit()
                self._ask(["commit"], [b"commit: ok\n"])
                reached("ref.moved")
            except BaseException as error:
                # git drops the transaction at the end of its input, or has gone on to its end.
                self._end(TRANSACTION_GRACE)
                self._journal.release(
                    taken, was_killed=isinstance(error, _Refused) and not str(error)
                )
                raise
            self._journal.release(taken)
            self._done += 1

    @contextlib.contextmanager
    def claiming(self, name: str, file: Path) -> Iterator[None]:
        """Have it in the journal that a lock is ours if it is another name of a file."""
        with self._lock:
            taken = self._journal.claim_file(name, file)
            try:
                yield
            finally:
                self._journal.release(taken)

    def close(self) -> None:
        """End git, and with it the journal."""
        super().close()
        self._journal.close()

    def _ask(self, lines: Sequence[str], answers: Sequence[bytes]) -> None:
        pipe_in, pipe_out = self._pipes()
        try:
            pipe_in.write(os.fsencode("\n".join(lines) + "\n"))
            pipe_in.flush()
            self._await_first(pipe_out)
            ended = any(pipe_out.readline() != answer for answer in answers)
        except BrokenPipeError:
            ended = True
        if ended:
            messages = os.dup(self._messages)
            self._end(TRANSACTION_GRACE)
            with os.fdopen(messages, "rb") as file:
                file.seek(0)
                raise _Refused(git_message(file.read().decode(errors="replace")))

    def _await_first(self, answers: IO[bytes]) -> None:
        """See that git answers at all. Raises RepositoryError: it does not, as old ones."""
        ready = select.poll()  # `select.select` knows no descriptors above 1,023
        ready.register(answers, select.POLLIN)
        if self._done or ready.poll(FIRST_ANSWER * 1000):
            return
        if hint := self._git.too_old():
            self._end()
            raise RepositoryError("git update-ref --stdin does not answer", hint=hint)

    def _start(self) -> subprocess.Popen[bytes]:
        # A file and not a pipe: with GIT_TRACE git may say more than a pipe holds while nobody reads it.
        self._messages = os.memfd_create("git update-ref")
        held = self._journal.inherited
        self._done = 0
        return self._git.start(
            *self._args, env=BOUNDED, stderr=self._messages, new_session=True, inherited=held
        )

    def _end(self, patience: float = 0.0) -> None:
        super()._end(patience)
        if self._messages >= 0:
            os.close(self._messages)
            self._messages = -1


class _Refused(Exception):
    """git did not execute a transaction; its message, empty if it was killed."""


class _Locked(Exception):
    """Another attempt may succeed: somebody holds the lock of a ref right now, or git was killed."""

    def __init__(self, message: str, *, was_killed: bool = False) -> None:
        super().__init__(message)
        self.was_killed = was_killed


def _holds_id(value: bytes | None) -> bool:
    return value is not None and bool(re.match(rb"ref: |[0-9a-f]{40}\s*\Z", value))


def _names(updates: Sequence[RefUpdate]) -> str:
    return updates[0].name if len(updates) == 1 else f"{len(updates)} refs"
