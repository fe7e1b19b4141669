"""Lock files of refs that their owner left behind: tells them from live ones and moves them out of the way.

git's protocol: `<ref>.lock`, created exclusively, is the right to change the ref. A writer that is killed
while it holds one leaves it, and nobody ever removes it: neither git nor libgit2 knows whether its owner
lives. git holds such a lock for milliseconds, so one that stays the same file (inode, time, size) for ten
seconds has no owner. It is renamed away, never unlinked: of two processes that judge at once one finds
nothing to rename, and neither takes away the fresh lock of a third.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["StaleLock", "bury_old_locks"]

_Identity = tuple[int, int, int]


@dataclass(slots=True)
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
