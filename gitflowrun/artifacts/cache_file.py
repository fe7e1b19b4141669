"""A SQLite file in the state directory that is a cache in every respect.

It may be deleted at any time, it is deleted by us when it is damaged, and when it is busy or not writable nothing is
found in it. Any process of its user may read and write it, and none keeps it open: connections do not survive a fork.

Each user of a shared repository has files of their own, and what another user may have put in the place of one, or
beside it for SQLite to take up, is not used.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import make_directory, open_to_write
from gitflowrun.limits import PATIENCE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

_PARTS = ("-journal", "-wal", "-shm", "")


class DamagedFile(Exception):
    """The file holds what we did not write."""


class CacheFile:
    """A SQLite file of this user's.

    Args:
        state_dir: Where it is; both are made when something is written.
        name: Its name, to which the user's id is added. One of another form needs another name.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self._path = state_dir / f"{name}-{os.geteuid()}.sqlite"

    @property
    def exists(self) -> bool:
        """Whether there is such a file of this user's."""
        return self._path.exists() and self._is_ours()

    def remove(self) -> None:
        """Forget everything."""
        # The journal first: left behind, it would be rolled back into the next file.
        for suffix in _PARTS:
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def use(self, use: Callable[[sqlite3.Connection], object], *, makes: bool = False) -> None:
        """Have a function read or write the file, if that is possible.

        Args:
            use: Gets a connection that commits each statement by itself. It may raise DamagedFile, as SQLite's own
                errors about damage do: then the file is removed.
            makes: Whether the file is made where it is not there.
        """
        try:
            import sqlite3
        except ImportError:  # a Python without it, or no memory left to load it
            return
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        try:
            if makes:
                make_directory(self._path.parent)
                os.close(open_to_write(self._path, os.O_RDWR | os.O_CREAT))
            if not self._is_ours():
                return
            reached("cache.opened")
            database = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
            with contextlib.closing(database):
                # Rows check themselves, so the file need not survive a power cut.
                database.execute("PRAGMA synchronous = OFF")
                use(database)
        except (sqlite3.OperationalError, OSError) as error:
            if "column" in str(error):  # of another version
                self.remove()
            return  # busy, not writable, no space left, or nothing was ever added
        except (sqlite3.DatabaseError, DamagedFile):
            self.remove()

    def _is_ours(self) -> bool:
        """Whether nothing lies there, as the file or a part of it, that is not a file of this user's."""
        for suffix in _PARTS:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(f"{self._path}{suffix}")
                is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
                if not is_file or found.st_uid != os.geteuid():
                    return False
        return True
