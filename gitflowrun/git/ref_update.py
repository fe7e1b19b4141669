"""The only writer of refs. What the refs mean is the store's business.

Creating and updating one ref, by libgit2:

1. Every name is a `RefName` (libgit2's transactions accept `a..b`, `x.lock` and newlines) and every new
   target is an object that can be read (libgit2 does not look).
2. Lock the ref. libgit2 does not wait for a lock: sleep a little, try again, for 30 s. A lock that a killed
   process left is moved away (`git.locks`).
3. Under the lock, read the ref afresh and compare it with the expected old value; a new ref also must not be
   a directory of others, or the reverse (libgit2 does not look into packed refs).
4. Write the target and let go. With `runs.durability = safe` the ref and its directory are fsynced.

Deleting, and changing several refs at once, by `git update-ref --stdin`: start, every command with its old
value, prepare, commit. libgit2's transactions are no match for it: they write the second target after the first
is published, so a full disk leaves a half.

Never `references.create` (it looks before it locks, and in a linked worktree not even at the right place),
`Reference.delete` and `rename` (they lose *other* refs while anybody packs refs).

Neither way runs the repository's `reference-transaction` hook, see `git.plumbing`; neither writes a reflog.

Lock files of refs that their owner left behind: tells them from live ones and moves them out of the way.

git's protocol: `<ref>.lock`, created exclusively, is the right to change the ref. A writer that is killed
while it holds one leaves it, and nobody ever removes it: neither git nor libgit2 knows whether its owner
lives. git holds such a lock for milliseconds, so one that stays the same file (inode, time, size) for ten
seconds has no owner. It is renamed away, never unlinked: of two processes that judge at once one finds
nothing to rename, and neither takes away the fresh lock of a third.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.git.refs import RefReader
from gitflowrun.names import RefName
from gitflowrun.settings import Durability
from gitflowrun.values import frozen, mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitflowrun.git.repository import Repository

__all__ = ["RefUpdate", "Refs", "StaleLock", "bury_old_locks", "warm_up"]


_Identity = tuple[int, int, int]


@mutable
class StaleLock:
    """Watches one lock file over the attempts of a writer that it keeps waiting.

    Args:
        path: The lock file.
        graveyard: Where stale locks go: a directory on the same file system.
        patience: Seconds for which it must not change.
    """

    path: Path
    graveyard: Path
    patience: float
    _seen: _Identity | None = None
    _since: float = 0.0

    def remove_if_stale(self) -> bool:
        """Look at the lock; whether it is gone."""
        identity = _identity(self.path)
        if identity is None:
            return True
        now = time.monotonic()
        if identity != self._seen:
            self._seen, self._since = identity, now
            return False
        return now - self._since >= self.patience and _bury(self.path, identity, self.graveyard)


def bury_old_locks(directory: Path, graveyard: Path, age: float) -> int:
    """Move away the lock files below a directory that are older than `age` seconds; how many there were."""
    buried = 0
    # `os.walk` and not `rglob`, which gives up at a directory that is removed while it looks.
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            identity = _identity(path) if name.endswith(".lock") else None
            if identity and time.time() - identity[1] / 1e9 > age:
                buried += _bury(path, identity, graveyard)
    return buried


def _bury(path: Path, identity: _Identity, graveyard: Path) -> bool:
    """Move a lock away, if it still is the one that was judged; whether it is gone."""
    graveyard.mkdir(mode=0o700, parents=True, exist_ok=True)
    grave = graveyard / f"{os.getpid()}-{time.monotonic_ns()}.lock"
    try:
        path.rename(grave)
    except FileNotFoundError:
        return True
    if _identity(grave) == identity:
        grave.unlink(missing_ok=True)
        return True
    # Somebody else had buried the stale one and a third had made a new lock, all since we looked. Give it
    # back; if even its owner's successor is there by now, that one's lock stands.
    with contextlib.suppress(OSError):
        os.link(grave, path)
    grave.unlink(missing_ok=True)
    return False


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size  # not ctime: a rename changes it


_PATIENCE = 30.0
_STALE_AFTER = 10.0
_ABANDONED = 3600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1

# How libgit2 and git tell that somebody holds the lock (or that a `git pack-refs --prune` has just removed
# the empty directory in which it was to be made)...
_LOCKED_SIGNS = (
    "failed to lock file", "file exists", "unable to lock", "reference is locked", "no such file or directory"
)  # fmt: skip
# ... and that a ref would have to be a directory and a file at once.
_CONFLICT_SIGNS = (
    "refs beneath", "not directory", "not a directory", "exists; cannot create", "non-empty directory"
)  # fmt: skip


@frozen
class RefUpdate:
    """One ref's part of a transaction: from `old` (None: it must not exist) to `new` (None: delete it)."""

    name: str
    new: Oid | None
    old: Oid | None


class _Locked(Exception):
    """Somebody holds the lock of a ref right now."""


class Refs(RefReader):
    """The refs of a repository, shared by its worktrees: reads, and the only writes.

    Args:
        repository: The repository.
        patience: Seconds to wait for a lock.
        stale_after: Seconds after which an unchanged lock counts as left behind.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        patience: float = _PATIENCE,
        stale_after: float = _STALE_AFTER,
    ) -> None:
        super().__init__(repository)
        self._patience = patience
        self._stale_after = stale_after

    def create(self, name: str, oid: Oid) -> None:
        """Make a new ref.

        Raises:
            RefConflict: it exists.
        """
        self.transaction([RefUpdate(name, oid, None)])

    def update(self, name: str, new: Oid, old: Oid) -> None:
        """Move a ref from `old` to `new`.

        Raises:
            RefConflict: it points elsewhere, or does not exist.
        """
        self.transaction([RefUpdate(name, new, old)])

    def delete(self, name: str, old: Oid) -> None:
        """Delete a ref that points to `old`.

        Raises:
            RefConflict: it points elsewhere, or does not exist.
        """
        self.transaction([RefUpdate(name, None, old)])

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
        ordered = sorted(updates, key=lambda update: update.name)
        for update in ordered:
            RefName(update.name)  # 1
        self._check_targets(ordered)
        if len(ordered) > 1 or ordered[0].new is None or self._libgit2 is None:
            self._retry(ordered, self._update_by_git)
        else:
            self._retry(ordered, self._update_by_libgit2)

    def _check_targets(self, updates: Sequence[RefUpdate]) -> None:
        objects = self._repository.objects
        for oid in {update.new for update in updates if update.new is not None}:
            if not objects.exists(oid):
                objects.read(oid)

    def _retry(
        self, updates: Sequence[RefUpdate], attempt: Callable[[Sequence[RefUpdate]], None]
    ) -> None:
        import random

        graveyard = self._repository.state_dir / "stale-locks"
        watches = [
            StaleLock(self._root / f"{update.name}.lock", graveyard, self._stale_after)
            for update in updates
        ]
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                attempt(updates)
            except _Locked as locked:
                held = [watch.path for watch in watches if not watch.remove_if_stale()]
                if time.monotonic() > deadline:
                    raise self._busy(held, locked) from locked
                time.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return

    def _busy(self, held: list[Path], locked: _Locked) -> RepositoryError:
        where = f"{held[0]} is held by somebody" if held else str(locked)
        return RepositoryError(
            f"can't lock the refs of {self._root} for {self._patience:.0f} s: {where}",
            hint="if no git command is running there, remove the lock file",
        )

    def sweep_locks(self, *prefixes: str, age: float = _ABANDONED) -> int:
        """Move away the lock files below `prefixes` that nobody has touched for `age` seconds.

        A lock of a ref that nobody writes any more bothers only `git pack-refs`, which complains of it.

        Returns:
            How many there were.
        """
        graveyard = self._repository.state_dir / "stale-locks"
        return sum(bury_old_locks(self._root / prefix, graveyard, age) for prefix in prefixes)

    # By libgit2

    @cached_property
    def _libgit2(self) -> Any:
        import pygit2

        if not hasattr(pygit2.Repository, "transaction"):  # before pygit2 1.19
            return None
        if self._repository.settings.durability is Durability.SAFE:
            # For the whole process, and before the repository opens its refs.
            pygit2.settings.enable_fsync_gitdir(True)  # noqa: FBT003  (pygit2's signature)
        try:
            # The common directory: in a linked worktree libgit2 looks for loose refs in the wrong place.
            return pygit2.Repository(str(self._root))
        except pygit2.GitError:  # a newer extension, or another owner; git could open it
            return None

    def _update_by_libgit2(self, updates: Sequence[RefUpdate]) -> None:
        import pygit2

        (update,) = updates
        transaction = self._libgit2.transaction()
        try:
            transaction.lock_ref(update.name)  # 2
            self._check_old(update)  # 3
            transaction.set_target(update.name, str(update.new))  # 4
            transaction.commit()
        except (pygit2.GitError, OSError) as error:
            raise self._explained(updates, str(error)) from error
        finally:
            # Lets go of what is still locked. (Leaving a `with` block by an error does not, at once.)
            transaction.__exit__(RepositoryError, None, None)

    def _check_old(self, update: RefUpdate) -> None:
        current = self.get(update.name)
        if current != update.old:
            raise _moved(update, current)
        if current is None and (other := self.in_the_way(update.name)):
            raise RefConflict(f"{update.name} can't be created: {other} exists")

    # By git

    def _update_by_git(self, updates: Sequence[RefUpdate]) -> None:
        commands = ["start", *(_command(update) for update in updates), "prepare", "commit"]
        # without -z each value ends at a space or newline, which no RefName contains.
        flush = ["-c", "core.fsync=reference"] if self._syncs else []
        done = self._repository.git.attempt(
            *flush, "update-ref", "--stdin", stdin="\n".join([*commands, ""]).encode()
        )
        if done.code == 0:
            return
        for update in updates:
            current = self.get(update.name)
            if current != update.old:
                raise _moved(update, current)
        raise self._explained(updates, done.words)

    @property
    def _syncs(self) -> bool:
        return self._repository.settings.durability is Durability.SAFE

    def _explained(self, updates: Sequence[RefUpdate], words: str) -> Exception:
        """What to raise for the words of libgit2 or git about a transaction."""
        lower = words.lower()
        if any(sign in lower for sign in _LOCKED_SIGNS):
            return _Locked(words)
        names = updates[0].name if len(updates) == 1 else f"{len(updates)} refs"
        if any(sign in lower for sign in _CONFLICT_SIGNS):
            return RefConflict(f"{names} can't be created beside other refs: {words}")
        cause = self._unsaid_cause(words)
        return RepositoryError(f"can't write {names} in {self._root}: {words}{cause}")

    def _unsaid_cause(self, words: str) -> str:
        """What git leaves out when the content of a lock file could not be written."""
        full = os.strerror(errno.ENOSPC)
        if full in words:
            return ""
        disk = os.statvfs(self._root)
        return "" if disk.f_bavail and (disk.f_favail or not disk.f_files) else f": {full}"


def warm_up() -> None:
    """Import libgit2 before it is needed: for a thread, while others wait for git."""
    import pygit2  # noqa: F401


def _moved(update: RefUpdate, current: Oid | None) -> RefConflict:
    if update.old is None:
        return RefConflict(f"{update.name} exists already, at {current}")
    now = f"is at {current}" if current else "does not exist"
    return RefConflict(f"{update.name} {now}, not at {update.old}; somebody else changed it")


def _command(update: RefUpdate) -> str:
    old = update.old or NULL_OID
    if update.new is None:
        return f"delete {update.name} {old}"
    return f"update {update.name} {update.new} {old}"
