"""Locks of refs: which ones are ours, told by a journal; which have no owner any more; how these are moved away.

git's protocol: `<ref>.lock`, created exclusively, is the right to change the ref, and `packed-refs.lock` that to change
the packed ones. git holds such a lock for milliseconds. Who is killed leaves it, and git never removes it. Who is
suspended holds it for longer, and goes on as if it still had it: so before one is moved away, the journals are asked
whether it is of one of ours that lives, and /proc whether it may be of another git that does (`lock_holder`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.owner import gits_at_work
from gitflowrun.git.permissions import is_in_place, make_directory, open_file, read_file, share_file
from gitflowrun.limits import LOCK_OURS, LOCK_STALE, MAX_JOURNAL
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.git.refs import RefUpdate

PACKED = "packed-refs"
Identity = tuple[int, int, int]
"""Inode, time of change in nanoseconds, and size of a file, whatever it is called."""
_JOURNALS = "ref-locks"
_JOURNAL_LINE = re.compile(
    rb"(?m)^(refs/(?!\S*\.\.)[^\s\0]+|packed-refs) (-|[0-9a-f]{40})(?: (\d{1,20}) (\d{1,20}))?$"
)


class LockJournal:
    """A file that says which locks this process is about to take, and has; whoever holds a lock of it lives.

    Args:
        root: The common git directory.
        stale_locks: Beside this directory it is made.
    """

    def __init__(self, root: Path, stale_locks: Path) -> None:
        self._root = root
        self._stale_locks = stale_locks
        self._directory = self._path = stale_locks.with_name(_JOURNALS)
        self._held = -1
        self._owner = 0

    @property
    def inherited(self) -> tuple[int, ...]:
        """What git holds open."""
        return () if self._held < 0 else (self._held,)

    @property
    def is_lost(self) -> bool:
        """Whether it is another process's, or was deleted."""
        return self._owner != os.getpid() or not self._path.exists()

    def begin(self, updates: Sequence[RefUpdate]) -> None:
        """Git is about to take the locks of some refs."""
        self.claim("".join(f"{name} {new}\n" for name, new in _locks_of(updates)))

    def prepared(self, updates: Sequence[RefUpdate]) -> dict[Path, Identity | None]:
        """Git has taken them; which files they are."""
        taken, lines = {}, []
        for name, new in _locks_of(updates):
            lock = self.lock_of(name)
            taken[lock] = found = file_identity(lock)
            lines.append(_line(name, new, found))
        self._write("".join(lines))
        return taken

    def lock_of(self, name: str) -> Path:
        """Git's lock of a ref."""
        return self._root / f"{name}.lock"

    def claim_file(self, name: str, file: Path) -> Mapping[Path, Identity | None]:
        """A lock is about to be taken as another name of a file of ours, which is returned."""
        found = file_identity(file)
        self.claim(_line(name, "-", found))
        return {self.lock_of(name): found}

    def claim(self, text: str) -> None:
        """Some locks are about to be taken; what `recover_locks` reads says so."""
        with contextlib.suppress(OSError):
            if self.is_lost:
                self._make()
        self._write(text)

    def release(self, locks: Mapping[Path, Identity | None], *, was_killed: bool = False) -> None:
        """Git, if it was not killed, holds none of them any more.

        One that is there all the same, for a disk did not unlink it, is moved away now, or by whoever reads refs next.
        """
        for path, taken in () if was_killed else locks.items():
            if taken and file_identity(path) == taken:
                try:
                    _remove(path, taken, self._stale_locks)
                except OSError:
                    was_killed = True
        if was_killed:
            self._let_go()
        else:
            self._write("")

    def close(self) -> None:
        """Remove it."""
        if self._owner == os.getpid():
            with contextlib.suppress(OSError):  # whoever reads the refs next removes it
                self._path.unlink()
            self._let_go()

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
        self._held, self._owner = -1, 0

    def _make(self) -> None:
        self._let_go()
        make_directory(self._directory)
        self._path = self._directory / f"{os.getpid()}-{time.monotonic_ns()}"
        # It appears locked: who finds it free takes its owner for dead.
        hidden = self._path.with_suffix(".new")
        self._held = os.open(hidden, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        share_file(hidden)
        hidden.rename(self._path)
        self._owner = os.getpid()

    def _write(self, text: str) -> None:
        if self._owner == os.getpid():
            held = f"/proc/self/fd/{self._held}"  # at its name somebody may have put a link
            with contextlib.suppress(OSError), open(held, "r+b", buffering=0) as file:  # noqa: PTH123
                file.write(os.fsencode(text)) if text else file.truncate()


def _line(name: str, new: str, lock: Identity | None) -> str:
    """A lock in a journal."""
    inode, time_of_change, _ = lock or (0, 0, 0)
    return f"{name} {new} {inode} {time_of_change}\n"


def _locks_of(updates: Sequence[RefUpdate]) -> list[tuple[str, str]]:
    """What git locks for a transaction, and what it writes into the locks."""
    packed = [(PACKED, "-")] if any(it.new is None for it in updates) else []
    return [*((it.name, str(it.new or "-")) for it in updates), *packed]


def jittered(seconds: float) -> float:
    """A pause of about that length: two that wait for one another would meet again and again."""
    import random  # only who has to wait pays for it

    return seconds * (0.5 + random.random())


_LeftLock = tuple[Path, Identity, bool]


@mutable
class LockWatch:
    """Watches one lock file over the attempts of a writer that it keeps waiting.

    One that stays the same file (inode, time, size) for ten seconds has no owner, unless somebody lives who may hold
    it: that one may be suspended, and would go on. It is renamed away, never unlinked: of two processes that judge at
    once one finds nothing to rename, and neither takes away the fresh lock of a third.

    Args:
        path: The lock file.
        stale_locks: Where stale locks go: a directory on the same file system.
        patience: Seconds for which it must not change.

    Attributes:
        holder: Who lives and may hold it, for people; empty where nobody was asked for, or found.
    """

    path: Path
    stale_locks: Path
    patience: float
    holder: str = ""
    _seen: Identity | None = None
    _since: float = 0.0
    _first: float = 0.0

    def remove_if_stale(self) -> bool:
        """Look at the lock; whether it is gone."""
        identity = file_identity(self.path)
        if identity is None:
            return True
        now = time.monotonic()
        if identity != self._seen:
            # However old it seems to be: clocks of two machines differ, and one that wakes has its clock set.
            self._seen, self._since, self._first = identity, now, _since_boot()
            return False
        if now - self._since < self.patience:
            return False
        self.holder = lock_holder(self.path, identity, self.stale_locks, since=self._first)
        return not self.holder and _remove(self.path, identity, self.stale_locks)


def lock_holder(
    path: Path, lock: Identity | None, stale_locks: Path, *, since: float = float("inf")
) -> str:
    """Who lives and may hold a lock, as it is, in words for people; empty for nobody.

    Args:
        path: The lock.
        lock: Which file it is.
        stale_locks: The directory that stale locks go to.
        since: A time by the clock of this boot at which it was there.
    """
    if lock is None:
        return ""
    return _writer_of(path, lock, stale_locks) or _git_of(path, stale_locks, since)


def _writer_of(path: Path, lock: Identity, stale_locks: Path, but: Path | None = None) -> str:
    """The process of ours that lives, and has written down that a lock is its own, or that it was about to take it."""
    with contextlib.suppress(OSError):
        for journal in stale_locks.with_name(_JOURNALS).iterdir():
            if journal == but:  # a dead one's, which the caller holds
                continue
            with (
                contextlib.suppress(OSError, RepositoryError),
                open_file(journal, "a journal") as file,
            ):
                if not _is_held(file.fileno()):
                    continue
                began = os.fstat(file.fileno()).st_mtime_ns
                for line in _JOURNAL_LINE.finditer(file.read(MAX_JOURNAL)):
                    name, _, *taken = line.groups()
                    if not str(path).endswith(f"/{os.fsdecode(name)}.lock"):
                        continue
                    # Who was suspended right after git took it has not written yet which file it is.
                    if lock[:2] == (*map(int, taken),) if all(taken) else lock[1] >= began:
                        return f"process {journal.name.partition('-')[0]}"
    return ""


def _git_of(path: Path, stale_locks: Path, since: float) -> str:
    """A git that lives and may hold a lock; of ours the journals tell."""
    try:
        user = path.lstat().st_uid
    except OSError:
        return ""
    gits = gits_at_work(stale_locks.parent.parent, user=user, since=since)
    return next((str(git) for git in gits if not _has_journal(git.pid, stale_locks)), "")


def _has_journal(pid: int, stale_locks: Path) -> bool:
    """Whether a process holds a journal open, as our resident git does."""
    top = os.path.realpath(stale_locks.with_name(_JOURNALS))
    try:
        files = [it.readlink() for it in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(str(it.parent) == top and not it.name.endswith(" (deleted)") for it in files)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def recover_locks(root: Path, stale_locks: Path) -> list[Path]:
    """Move away the locks that killed processes of ours have left, in directories as `Refs` has them; which it were."""
    try:
        journals = [it for it in stale_locks.with_name(_JOURNALS).iterdir() if it.suffix != ".new"]
    except OSError:
        return []
    removed = []
    for path in journals:
        with contextlib.suppress(OSError, RepositoryError), open_file(path, "a journal") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            began = os.fstat(file.fileno()).st_mtime_ns
            lines = _JOURNAL_LINE.finditer(file.read(MAX_JOURNAL))
            left = [it for line in lines if (it := _left_lock(root, line, began))]
            unsure = [(lock, was) for lock, was, is_sure in left if not is_sure]
            theirs = any(
                _writer_of(lock, was, stale_locks, path)
                or _git_of(lock, stale_locks, _since_boot())
                for lock, was in unsure
            )
            if theirs:
                left = [it for it in left if it[2]]
            elif unsure:
                time.sleep(LOCK_OURS)  # somebody else's that has come meanwhile is gone by then
            for lock, was, _ in left:
                if lock.stem == PACKED and file_identity(lock) == was:
                    # Whoever holds the lock writes it; with it left there, git would pack no refs any more.
                    lock.with_suffix(".new").unlink(missing_ok=True)
                if _remove(lock, was, stale_locks):
                    removed.append(lock)
            if not theirs:  # else it is looked at again
                path.unlink()
    return removed


def _left_lock(root: Path, line: re.Match[bytes], began: int) -> _LeftLock | None:
    """The lock that a line speaks of, if it is there, and whether it is surely the same one; nothing elsewhere."""
    name, new, *taken = line.groups()
    lock = root / f"{os.fsdecode(name)}.lock"
    identity = file_identity(lock)
    if identity is None or not is_in_place(root, lock):
        return None
    if all(taken):  # not the inode alone, which the next lock may get
        return (lock, identity, True) if identity[:2] == (*map(int, taken),) else None
    written = b"" if new == b"-" else new + b"\n"
    content = read_file(lock, "a lock", limit=len(written)) or b""
    # git takes the locks as soon as the journal says that it is about to: a later one is another's.
    is_near = 0 <= identity[1] - began <= LOCK_STALE * 1e9
    return (lock, identity, False) if is_near and written.startswith(content) else None


def remove_old_lock(path: Path, stale_locks: Path, age: float) -> bool:
    """Move a lock file away if it is older than `age` seconds and nobody may hold it; whether it was, and is gone."""
    identity = file_identity(path)
    if identity is None or time.time() - identity[1] / 1e9 <= age:
        return False
    return not lock_holder(path, identity, stale_locks) and _remove(path, identity, stale_locks)


def _remove(path: Path, identity: Identity, stale_locks: Path) -> bool:
    """Move a lock away, if it still is the one that was judged; whether it is gone."""
    make_directory(stale_locks)
    moved = stale_locks / f"{os.getpid()}-{time.monotonic_ns()}.lock"
    try:
        path.rename(moved)
    except FileNotFoundError:
        return True
    if file_identity(moved) == identity:
        moved.unlink(missing_ok=True)
        return True
    # A third has made a new lock since we looked. Give it back, unless there is one more by now.
    with contextlib.suppress(OSError):
        os.link(moved, path)
    moved.unlink(missing_ok=True)
    return False


def file_identity(path: Path) -> Identity | None:
    """Which file has a name now; None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size  # not ctime: a rename changes it
