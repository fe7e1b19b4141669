"""Keeps the object directory in shape: few packs, no leftovers, no search for deltas in payloads.

Every lookup asks pack after pack, and each pack costs whoever reads it a file or two. So when many small ones
have gathered they are folded into a few by `git repack --geometric`, which drops nothing: objects that no ref
reaches yet stay, packs that are kept are left alone, and readers go on with what they have mapped. Never plain
`git repack -a -d`, which does drop objects. Large packs stay as they are: copying gigabytes would save nobody
anything.

Only one fold at a time: a lock file says so, and git itself holds it, so that a fold goes on to count when
whoever began it is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.owner import gc_is_running
from gitflowrun.git.plumbing import git_words

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.repository import Repository

__all__ = ["FOLD_BEYOND", "Folded", "Folding", "exempt_from_deltas", "fold", "start_fold"]

FOLD_BEYOND = 16
"""Small packs that may gather before they are folded."""
LARGE_PACK = 128 << 20
"""Packs of this size are never folded."""


@dataclass(frozen=True, slots=True)
class Folded:
    """How many small packs there were, and how many there are now."""

    before: int
    after: int


class Folding:
    """A fold that git is at, in a process of its own.

    Args:
        repo: The repository.
        before: How many small packs there were.
        process: git.
    """

    def __init__(self, repo: Repository, before: int, process: subprocess.Popen[bytes]) -> None:
        self._repo = repo
        self._before = before
        self._process = process

    @property
    def is_over(self) -> bool:
        """Whether git has ended; `finish` does not wait then."""
        return self._process.poll() is not None

    def finish(self) -> Folded:
        """Wait for git to end.

        Raises:
            RepositoryError: it failed. Nothing is lost, and the next fold tries again.
        """
        _, err = self._process.communicate()
        if self._process.returncode:
            words = git_words(err.decode(errors="replace"))
            raise RepositoryError(f"git repack: {words or f'status {self._process.returncode}'}")
        small = sum(pack.is_small for pack in _packs(self._repo.packs.pack_dir))
        return Folded(self._before, small)


def fold(repo: Repository, *, beyond: int = 1) -> Folded | None:
    """Fold small packs into few, if there are more than `beyond`, and wait for it.

    Returns:
        What was folded; None when nothing was due, or somebody else is at it.

    Raises:
        RepositoryError: git refused. Nothing is lost, and the next call tries again.
    """
    folding = start_fold(repo, beyond=beyond)
    return folding.finish() if folding else None


def start_fold(repo: Repository, *, beyond: int = 1) -> Folding | None:
    """Begin to fold small packs into few, if there are more than `beyond`. Returns None as `fold` does.

    Raises:
        RepositoryError: git can't be started.
    """
    packs = _packs(repo.packs.pack_dir)
    before = sum(pack.is_small for pack in packs)
    # In a partial clone folding would lose track of which objects the remote has promised.
    if (
        before <= beyond
        or any(pack.is_promised for pack in packs)
        or gc_is_running(repo.common_dir)
    ):
        return None
    lock = _lock(repo)
    if lock is None:
        return None
    large = [f"--keep-pack={pack.path.name}" for pack in packs if not pack.is_small]
    try:
        process = repo.git.start(
            # A bitmap over several packs would have to be made anew each time; tasks may want the processors.
            *("-c", "repack.writeBitmaps=false", "-c", "pack.threads=1"),
            *("repack", "--quiet", "-d", "-l", "--geometric=2", "--write-midx", *large),
            stderr=subprocess.PIPE,
            inherited=(lock,),
        )
    finally:
        os.close(lock)
    return Folding(repo, before, process)


def exempt_from_deltas(repo: Repository, *patterns: str) -> None:
    """Have git not search deltas in files of those patterns: `info/attributes` gets a line for each.

    What the file says already stays as it is.

    Raises:
        RepositoryError: the file can't be written.
    """
    path = repo.common_dir / "info" / "attributes"
    try:
        text = path.read_bytes() if path.exists() else b""
        lines = [f"{pattern} -delta".encode() for pattern in patterns]
        missing = [line for line in lines if line not in text.splitlines()]
        if missing:
            path.parent.mkdir(exist_ok=True)
            start = b"" if text.endswith(b"\n") or not text else b"\n"
            with path.open("ab") as file:
                file.write(start + b"".join(line + b"\n" for line in missing))
    except OSError as error:
        raise RepositoryError(f"cannot write {path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class _PackFile:
    path: Path
    is_small: bool
    is_promised: bool


def _packs(pack_dir: Path) -> list[_PackFile]:
    """The packs git may fold: those that are not kept and hold no cruft."""
    try:
        names = {path.name for path in pack_dir.iterdir()}
    except FileNotFoundError:
        return []
    found = []
    for name in sorted(names):
        stem, _, suffix = name.rpartition(".")
        if suffix != "idx" or names & {f"{stem}.keep", f"{stem}.mtimes"}:
            continue
        path = pack_dir / f"{stem}.pack"
        with contextlib.suppress(FileNotFoundError):
            is_small = path.stat().st_size < LARGE_PACK
            found.append(_PackFile(path, is_small, f"{stem}.promisor" in names))
    return found


def _lock(repo: Repository) -> int | None:
    """A descriptor of the lock that whoever folds must hold open; None when somebody does."""
    path = repo.state() / "fold.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RepositoryError(f"cannot lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
