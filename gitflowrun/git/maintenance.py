"""Keeps the object directory in shape: few packs, no leftovers, no search for deltas in payloads.

Every lookup asks pack after pack, and each pack costs whoever reads it a file or two. So when many small ones
have gathered they are folded into a few by `git repack --geometric`, which drops nothing: objects that no ref
reaches yet stay, packs that are kept are left alone, and readers go on with what they have mapped. Never plain
`git repack -a -d`, which does drop objects. Large packs stay as they are: copying gigabytes would save nobody
anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.git.repository import Repository

__all__ = ["FOLD_BEYOND", "Folded", "exempt_from_deltas", "fold", "tidy"]

FOLD_BEYOND = 32
"""Small packs that may gather before they are folded."""
LARGE_PACK = 128 << 20
"""Packs of this size are never folded."""

_GC_IS_DEAD = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Folded:
    """How many small packs there were, and how many there are now."""

    before: int
    after: int


def tidy(repo: Repository) -> Folded | None:
    """What is due between runs: sweep up after crashed processes, fold packs if many have gathered.

    Returns:
        What was folded; None when nothing was due, or somebody else is at it.

    Raises:
        RepositoryError: git refused. Nothing is lost, and the next call tries again.
    """
    repo.packs.sweep()
    return fold(repo, beyond=FOLD_BEYOND)


def fold(repo: Repository, *, beyond: int = 1) -> Folded | None:
    """Fold small packs into few, if there are more than `beyond`. Returns and raises as `tidy`."""
    packs = _packs(repo.packs.pack_dir)
    before = sum(pack.is_small for pack in packs)
    # In a partial clone folding would lose track of which objects the remote has promised.
    if before <= beyond or any(pack.is_promised for pack in packs) or _gc_is_running(repo):
        return None
    with _alone(repo) as is_alone:
        if not is_alone:
            return None
        large = [f"--keep-pack={pack.path.name}" for pack in packs if not pack.is_small]
        # A bitmap over several packs would have to be made anew each time.
        repo.git.run(
            *("-c", "repack.writeBitmaps=false", "repack", "--quiet", "-d", "-l"),
            *("--geometric=2", "--write-midx", *large),
        )
    return Folded(before, sum(pack.is_small for pack in _packs(repo.packs.pack_dir)))


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


def _gc_is_running(repo: Repository) -> bool:
    try:
        age = time.time() - (repo.common_dir / "gc.pid").stat().st_mtime
    except OSError:
        return False
    return age < _GC_IS_DEAD


@contextlib.contextmanager
def _alone(repo: Repository) -> Iterator[bool]:
    """Whether no other process of ours folds at this moment."""
    fd = os.open(repo.state() / "fold.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)
