"""The only writer of refs. What the refs mean is the store's business.

Creating and updating (`create`, `update`, `transaction` without deletions), by libgit2:

1. Every name is a `RefName` (libgit2's transactions accept `a..b`, `x.lock` and newlines) and every new
   target is an object that can be read (libgit2 does not look).
2. Lock every ref, in the order of their names, so that two transactions can't wait for each other. libgit2
   does not wait for a lock: let go of all, sleep a little, try again, for 30 s. A lock that a killed process
   left is moved away (`git.locks`).
3. Under the locks, read every ref afresh and compare it with the expected old value; a new ref also must
   not be a directory of others, or the reverse (libgit2 does not look into packed refs).
4. Write all targets and let go. With `runs.durability = safe` every ref and its directory are fsynced.

Never `references.create` (it looks before it locks, and in a linked worktree not even at the right place),
`Reference.delete` and `rename` (they lose *other* refs while anybody packs refs). Deletions, what is mixed
with them and more than a hundred refs at once go to `git update-ref --stdin`: start, every command with its
old value, prepare, commit.

Neither way runs the repository's `reference-transaction` hook, see `git.plumbing`; neither writes a reflog.

Reading (`get`) follows git's order for its files backend: the loose file, then `packed-refs`, then the loose
file again in case it was packed between the two. A listing (`rows`) is one `git for-each-ref`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.git.locks import StaleLock
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.names import RefName
from gitflowrun.settings import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.git.repository import Repository

__all__ = ["RefUpdate", "Refs"]

_PATIENCE = 30.0
_STALE_AFTER = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1
_MANY = 100  # libgit2 keeps every lock file of a transaction open
_SYMBOLIC = b"ref: "

# How libgit2 and git tell that somebody holds the lock (or that a `git pack-refs --prune` has just removed
# the empty directory in which it was to be made)...
_LOCKED_SIGNS = (
    "failed to lock file", "file exists", "unable to lock", "reference is locked", "no such file or directory"
)  # fmt: skip
# ... and that a ref would have to be a directory and a file at once.
_CONFLICT_SIGNS = (
    "refs beneath", "not directory", "not a directory", "exists; cannot create", "non-empty directory"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref's part of a transaction: from `old` (None: it must not exist) to `new` (None: delete it)."""

    name: str
    new: Oid | None
    old: Oid | None


class _Locked(Exception):
    """Somebody holds the lock of a ref right now."""


class Refs:
    """The refs of a repository, shared by its worktrees.

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
        self._repository = repository
        self._root = repository.common_dir
        self._patience = patience
        self._stale_after = stale_after

    # Reading

    def get(self, name: str) -> Oid | None:
        """What a ref points to; None when there is no such ref.

        Raises:
            RepositoryError: the ref is damaged.
        """
        for _ in range(5):  # symbolic refs, as deep as git follows them
            value = self._loose(name) or self._packed(name) or self._loose(name)
            if value is None or not value.startswith(_SYMBOLIC):
                return None if value is None else _parse_oid(value, self._root / name)
            name = RefName(os.fsdecode(value.removeprefix(_SYMBOLIC).strip()))
        raise RepositoryError(f"the symbolic ref {name} leads nowhere")

    def rows(
        self,
        *prefixes: str,
        fields: tuple[str, ...] = ("refname", "objectname"),
        sort: str | None = None,
        count: int | None = None,
    ) -> list[tuple[str, ...]]:
        """The refs below `prefixes`, read by one `git for-each-ref`.

        Args:
            prefixes: Whole refs, or prefixes that end in a slash.
            fields: What to tell of each, as git-for-each-ref(1) names it, without `%(...)`.
            sort: Its key to sort by.
            count: How many rows at most.

        Returns:
            A row per ref. Bytes that are not UTF-8 become lone surrogates.
        """
        options = [f"--sort={sort}"] if sort else []
        options += [f"--count={count}"] if count is not None else []
        form = "".join(f"%({field})%00" for field in fields)
        out = self._repository.git.run("for-each-ref", f"--format={form}", *options, *prefixes)
        cells = out.decode(errors="surrogateescape").split("\0")
        width = len(fields)
        columns = [cells[column:-1:width] for column in range(width)]
        columns[0] = [cell.removeprefix("\n") for cell in columns[0]]
        return list(zip(*columns, strict=True))

    # Writing

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
        deletes = any(update.new is None for update in ordered)
        if deletes or len(ordered) > _MANY or not hasattr(self._libgit2, "transaction"):
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

    # By libgit2

    @cached_property
    def _libgit2(self) -> Any:
        import pygit2

        if self._repository.settings.durability is Durability.SAFE:
            # For the whole process, and before the repository opens its refs.
            pygit2.settings.enable_fsync_gitdir(True)  # noqa: FBT003  (pygit2's signature)
        try:
            # The common directory: in a linked worktree libgit2 looks for loose refs in the wrong place.
            return pygit2.Repository(str(self._root))
        except pygit2.GitError as error:
            raise RepositoryError(f"can't open the repository {self._root}: {error}") from error

    def _update_by_libgit2(self, updates: Sequence[RefUpdate]) -> None:
        import pygit2

        transaction = self._libgit2.transaction()
        try:
            for update in updates:
                transaction.lock_ref(update.name)  # 2
            for update in updates:
                self._check_old(update)  # 3
            for update in updates:
                transaction.set_target(update.name, str(update.new))  # 4
            transaction.commit()
        except (pygit2.GitError, OSError) as error:
            raise self._explained(updates, str(error)) from error
        finally:
            # Lets go of what is still locked. (Leaving the `with` block by an error does not, at once.)
            transaction.__exit__(RepositoryError, None, None)

    def _check_old(self, update: RefUpdate) -> None:
        current = self.get(update.name)
        if current != update.old:
            raise _moved(update, current)
        if current is None and (other := self._in_the_way(update.name)):
            raise RefConflict(f"{update.name} can't be created: {other} exists")

    def _in_the_way(self, name: str) -> str | None:
        """A packed ref whose name needs `name` to be a directory, or is a directory of `name`."""
        parts = name.split("/")
        parents = ["/".join(parts[:length]) for length in range(3, len(parts))]
        with self._packed_refs() as table:
            if table is None:
                return None
            for parent in parents:
                if _find_packed(table, parent):
                    return parent
            below = table.find(os.fsencode(f" {name}/"))
            if below < 0:
                return None
            end = table.find(b"\n", below)
            return os.fsdecode(table[below + 1 : end])

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

    # Files

    def _explained(self, updates: Sequence[RefUpdate], words: str) -> Exception:
        """What to raise for the words of libgit2 or git about a transaction."""
        lower = words.lower()
        if any(sign in lower for sign in _LOCKED_SIGNS):
            return _Locked(words)
        names = updates[0].name if len(updates) == 1 else f"{len(updates)} refs"
        if any(sign in lower for sign in _CONFLICT_SIGNS):
            return RefConflict(f"{names} can't be created beside other refs: {words}")
        return RepositoryError(f"can't write {names} in {self._root}: {words}")

    def _loose(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise RepositoryError(f"can't read {self._root / name}: {error.strerror}") from error

    def _packed(self, name: str) -> bytes | None:
        with self._packed_refs() as table:
            return None if table is None else _find_packed(table, name)

    @contextlib.contextmanager
    def _packed_refs(self) -> Iterator[mmap.mmap | None]:
        try:
            file = (self._root / "packed-refs").open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            try:
                table = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # an empty file
                yield None
                return
            with table:
                yield table


def _find_packed(table: mmap.mmap, name: str) -> bytes | None:
    position = table.find(os.fsencode(f" {name}\n"))
    return None if position < 0 else table[position - 2 * Oid.SIZE : position]


def _parse_oid(value: bytes, path: Path) -> Oid:
    try:
        return Oid.from_hex(value.strip())
    except ValueError as error:
        raise RepositoryError(
            f"the ref {path} is damaged: it does not hold an object id",
            hint="`git fsck` lists such refs; after a power cut, remove the empty file",
        ) from error


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
