"""Locks between the processes of a repository: `flock` on files below `.git/gitflowrun/locks`.

The kernel frees a lock when its process ends, however it ends, so none is left locked. A lock file that is
left behind says nothing by being there, with one exception: `run-<id>` stays behind exactly when the process
that ran the run died or gave up before the run's last commit.

    ids          held while a run id is chosen
    tags         held while tags of a run are read, checked and written
    run-<id>     held by the process that runs the run, or spins a task, from before its first commit to its end;
                 renewed at every commit, as `.git/gitflowrun` may be deleted at any time

Between such a deletion and the next commit, a byte of `.git/gitflowrun-running`, beside it, tells that a run goes on:
its process has locked the one at the place that is the run's number. So a run that was made here, says that it runs
and has neither lock was interrupted, whatever became of its lock's file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from enum import Enum
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.permissions import (
    IN_PLACE,
    lock_file,
    make_directory,
    not_writable,
    open_to_write,
    share_file,
)
from gitflowrun.limits import WRITE_TRIES
from gitflowrun.names import RunId, SpinId, any_id
from gitflowrun.runs.clone_key import CloneKey
from gitflowrun.runs.commit_message import Status, parse_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository

PATIENCE = 30.0
"""Seconds to wait for locks that are held for milliseconds: longer means that something is wrong."""


class LockState(Enum):
    """What a look at a lock file shows."""

    HELD = "held"
    FREE = "free"
    ABSENT = "absent"


class FileLock:
    """An exclusive lock on a file, for one holder at a time. Not for threads of one process.

    Args:
        path: The file; made when needed, and its directories.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free now."""
        assert self._fd is None, "already held"
        while True:
            fd = self._open()
            try:
                lock_file(fd, self.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            except RepositoryError:
                os.close(fd)
                raise
            if _is_file(fd, self.path):
                break
            os.close(fd)  # its last holder removed it between our open and our lock
        self._fd = fd
        with contextlib.suppress(OSError):  # of a full disk: who holds it is for people alone
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return True

    def acquire(self, patience: float = PATIENCE) -> None:
        """Wait for the lock.

        Raises:
            RepositoryError: somebody held it for all of `patience` seconds, or the file can't be made or locked.
        """
        deadline = time.monotonic() + patience
        pause = 0.0005
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise RepositoryError(
                    f"{self.path} has been locked for {patience:.0f} s by process {self.holder()}",
                    hint="wait for that process, or end it",
                )
            from gitflowrun.git.ref_locks import jittered

            time.sleep(jittered(pause))
            pause = min(pause * 2, 0.02)

    @property
    def is_current(self) -> bool:
        """Whether whoever tries to take it meets ours: it is held, and its file was not deleted."""
        return self._fd is not None and _is_file(self._fd, self.path)

    def renew(self) -> None:
        """Make the file of a held lock again where it was deleted: others would take the holder for gone."""
        if self._fd is None or self.is_current:
            return
        again = FileLock(self.path)
        with contextlib.suppress(RepositoryError):
            if again.try_acquire():
                os.close(self._fd)
                self._fd, again._fd = again._fd, None

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back, and its file up if `remove`. Nothing happens if it is not held."""
        if self._fd is None:
            return
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()  # while it is held: see `try_acquire`
        os.close(self._fd)
        self._fd = None

    def state(self) -> LockState:
        """Whether anybody, this process included, holds the lock."""
        try:
            fd = os.open(self.path, os.O_RDONLY | IN_PLACE)
        except OSError:
            return LockState.ABSENT
        try:
            lock_file(fd, self.path, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # A file removed since we opened it was given up on purpose.
            return LockState.FREE if _is_file(fd, self.path) else LockState.ABSENT
        except (BlockingIOError, RepositoryError):  # where there are no locks, nobody knows
            return LockState.HELD
        finally:
            os.close(fd)

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _open(self) -> int:
        try:
            with contextlib.suppress(FileNotFoundError):
                return open_to_write(self.path, os.O_RDWR)
            for _ in range(WRITE_TRIES):  # `.git/gitflowrun` may be deleted at any time
                with contextlib.suppress(FileNotFoundError):
                    return self._make()
            return self._make()
        except OSError as error:
            raise not_writable(self.path, f"cannot lock {self.path}", error) from error

    def _make(self) -> int:
        make_directory(self.path.parent)
        fd = open_to_write(self.path, os.O_RDWR | os.O_CREAT)
        share_file(self.path)
        return fd

    def holder(self) -> str:
        """The process that took it last, for people."""
        with contextlib.suppress(OSError):
            return self.path.read_text().strip() or "?"
        return "?"


def _is_file(fd: int, path: Path) -> bool:
    """Whether `fd` is open on the file that is at `path` now."""
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


class RunLock(FileLock):
    """The lock of a run: a file, and a byte beside the state that may be deleted.

    Args:
        path: The file.
        register: The file of which a byte is locked.
        place: Which one; None for a run that has no number of its own here.
    """

    def __init__(self, path: Path, register: Path, place: int | None) -> None:
        super().__init__(path)
        self._register = register
        self._place = place
        self._byte: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free now."""
        if not super().try_acquire():
            return False
        if self._place is None or self._lock_byte(self._place):
            return True
        super().release(remove=True)
        return False

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back, and its file up if `remove`. Nothing happens if it is not held."""
        super().release(remove=remove)
        if self._byte is not None:
            os.close(self._byte)
            self._byte = None

    def state(self) -> LockState:
        """Whether anybody, this process included, holds the lock."""
        state = super().state()
        if (
            state is LockState.ABSENT
            and self._place is not None
            and _is_locked(self._register, self._place)
        ):
            return LockState.HELD
        return state

    def _lock_byte(self, place: int) -> bool:
        """Whether the byte is ours now, or can't be had for another reason than that somebody has it."""
        try:
            fd = open_to_write(self._register, os.O_RDWR | os.O_CREAT)
        except OSError:
            return True  # the file is a second opinion
        share_file(self._register)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte_lock(place))
        except OSError as error:
            os.close(fd)
            return error.errno not in {errno.EAGAIN, errno.EACCES}
        self._byte = fd
        return True


def _is_locked(register: Path, place: int, count: int = 1) -> bool:
    """Whether somebody has locked one of `count` bytes of a file; 0 are all that follow."""
    try:
        fd = os.open(register, os.O_RDONLY | IN_PLACE)
    except OSError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _byte_lock(place, count))
    except OSError:
        return False
    finally:
        os.close(fd)
    return int(struct.unpack(_FLOCK, found)[0]) != fcntl.F_UNLCK


_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid


def _byte_lock(place: int, count: int = 1) -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, place, count, 0)


_RUN = "run-"
_SPIN_PLACE = 1 << 60
"""Above the numbers of all runs: where the bytes of spun tasks begin."""


def _at_place(place: int) -> RunId | None:
    """The run whose byte is at a place of the register."""
    if place > _SPIN_PLACE:
        return SpinId.of(place - _SPIN_PLACE)
    return RunId(str(place)) if RunId.matches(str(place)) else None


class Locks:
    """The locks of one repository.

    Args:
        state_dir: `gitflowrun/` in the common git directory, so that linked worktrees share it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "locks"
        self._register = state_dir.parent / "gitflowrun-running"

    def ids(self) -> FileLock:
        """The lock under which run ids are chosen."""
        return FileLock(self._directory / "ids")

    def tags(self) -> FileLock:
        """The lock under which tags are changed."""
        return FileLock(self._directory / "tags")

    def notes(self) -> FileLock:
        """The lock under which notes are changed, so that they need not be changed again and again."""
        return FileLock(self._directory / "notes")

    def trust(self) -> FileLock:
        """The lock under which is changed what the user vouched for."""
        return FileLock(self._directory / "trust")

    def run(self, run: RunId) -> RunLock:
        """The lock of the process that runs `run`; numbers are unique across flows."""
        place = run.number if run == str(run.number) else None
        if isinstance(run, SpinId):
            place = _SPIN_PLACE + run.number
        return RunLock(self._directory / f"{_RUN}{run}", self._register, place)

    def any_run(self) -> bool:
        """Whether a process here runs one."""
        files = (FileLock(self._directory / f"{_RUN}{run}") for run in self.runs())
        return _is_locked(self._register, 0, 0) or any(it.state() is LockState.HELD for it in files)

    def runs(self) -> set[str]:
        """The ids of the runs that have a lock: a process here runs them, or died while it did."""
        try:
            names = os.listdir(self._directory)  # noqa: PTH208  (a name for each of thousands of runs)
        except FileNotFoundError:
            return set()
        return {name.removeprefix(_RUN) for name in names if name.startswith(_RUN)}

    def held(self) -> list[RunId]:
        """The runs that processes of this repository are writing, also where `.git/gitflowrun` was deleted."""
        runs = {any_id(run) for run in self.runs() if RunId.matches(run) or SpinId.matches(run)}
        found = {run for run in runs if self.run(run).state() is LockState.HELD}
        found.update(run for place in _locked_bytes(self._register) if (run := _at_place(place)))
        return sorted(found, key=lambda run: run.sort_key)


def _locked_bytes(register: Path) -> Iterator[int]:
    """The bytes of a register that somebody has locked."""
    try:
        fd = os.open(register, os.O_RDONLY | IN_PLACE)
    except OSError:
        return
    left = [(0, 0)]  # places and counts, as of `_is_locked`
    try:
        while left:
            place, count = left.pop()
            found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _byte_lock(place, count))
            kind, _, start, length, _ = struct.unpack(_FLOCK, found)
            if kind == fcntl.F_UNLCK:
                continue
            yield start
            # What the kernel tells of is any of them, not the first.
            end = start + length
            if length and (not count or end < place + count):
                left.append((end, place + count - end if count else 0))
            if start > place:
                left.append((place, start - place))
    except OSError:
        return
    finally:
        os.close(fd)


def current_status(repo: Repository, run: RunId, commit: Oid, recorded: Status) -> Status:
    """What a run is now whose newest commit says `recorded`.

    `INTERRUPTED` when that says `running` and nobody runs it: its lock's file, which only this repository's scheduler
    makes, is there and free; or it was deleted, and this user's commits say that the run was made here. A run that was
    fetched while it ran stays `running`: it was, when it was last heard of.
    """
    if recorded is not Status.RUNNING:
        return recorded
    state = Locks(repo.state_dir).run(run).state()
    if state is LockState.FREE or (state is LockState.ABSENT and made_here(repo, commit)):
        return Status.INTERRUPTED
    return recorded


def made_here(repo: Repository, commit: Oid) -> bool:
    """Whether this user made a commit of a run in this clone, by its MAC. What decides about trust asks `Trust`."""
    with contextlib.suppress(GitflowrunError):
        found = repo.objects.commit(commit)
        state = parse_message(found.message.decode(errors="replace"))
        return state is not None and CloneKey(repo).has_made(found, state.mac)
    return False
