"""Files of caches that each user has of their own, and that are replaced as a whole.

What another user may have put in the place of one is not used, nor one with a second name. A new one is begun before
that is read which it will hold: its own time, by the clock of its file system, then tells when that was.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import IN_PLACE, make_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def open_own(path: Path, most: int) -> int:
    """A descriptor of a file to be read.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        RepositoryError: there is none, or none of ours.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | IN_PLACE)
    except OSError as error:
        raise RepositoryError(f"there is no {path}") from error
    found = os.fstat(descriptor)
    is_own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    if not is_own or found.st_nlink != 1 or found.st_size > most:
        os.close(descriptor)
        raise RepositoryError(f"{path} is not ours")
    return descriptor


class NewFile:
    """A file that is about to take the place of another.

    Args:
        path: The other.

    Attributes:
        begun: When it was made, in nanoseconds.
        device: Where it is.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, path: Path) -> None:
        make_directory(path.parent)
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | IN_PLACE
        self._file = os.open(self._temporary, flags, 0o600)
        found = os.fstat(self._file)
        self.begun = found.st_mtime_ns
        self.device = found.st_dev

    def publish(self, pieces: Iterable[bytes]) -> None:
        """Write it, and let it take the place. Raises OSError: it can't be written."""
        with open(self._file, "wb", buffering=1 << 20, closefd=False) as file:
            file.writelines(pieces)
        # A power cut may leave anything of it: whoever reads it checks what it holds.
        reached("file.written")
        self._temporary.replace(self._path)
        reached("file.replaced")

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            os.close(self._file)
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
