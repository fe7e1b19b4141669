"""Bytes at positions, of a file that never changes or of memory. What the bytes mean is no matter here.

Files are read by `pread`, not mapped: a read may scatter the page cache straight into the places where bytes
belong, pages do not count as memory of this process, and a disk that fails gives an error instead of SIGBUS.
Measured, that is faster than copying from a mapping whose pages are dropped in time.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from gitflowrun.errors import CorruptRecord, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["File", "Memory", "Source", "TooManyOpenFiles", "open_source"]

_SMALL_FILE = 64 << 10
_MAX_VIEWS = 1024
_TOO_MANY = {errno.EMFILE, errno.ENFILE}


class TooManyOpenFiles(RepositoryError):
    """This process, or the system, has no file descriptor left."""


class Source(Protocol):
    """Something to read from; threads may share it."""

    size: int

    def read(self, start: int, size: int) -> bytes:
        """The `size` bytes at `start`, or as many as there are."""

    def scatter(self, start: int, views: Sequence[memoryview]) -> bool:
        """Fill `views` one after the other; False, perhaps half done, if there are not so many bytes."""


class Memory:
    """Bytes that are in memory already."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def read(self, start: int, size: int) -> bytes:
        """As `Source.read`."""
        return bytes(self._data[start : start + size])

    def scatter(self, start: int, views: Sequence[memoryview]) -> bool:
        """As `Source.scatter`."""
        for view in views:
            part = self._data[start : start + len(view)]
            if len(part) != len(view):
                return False
            view[:] = part
            start += len(view)
        return True


class File:
    """An open file, closed when nobody uses it any more.

    Args:
        fd: Belongs to this object from now on.
        path: What to call it in errors.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self.size = os.fstat(fd).st_size

    def __del__(self) -> None:
        os.close(self._fd)

    def read(self, start: int, size: int) -> bytes:
        """As `Source.read`. Raises CorruptRecord when the disk fails."""
        try:
            return os.pread(self._fd, min(size, max(0, self.size - start)), start)
        except OSError as error:
            raise self._failed(error) from error

    def scatter(self, start: int, views: Sequence[memoryview]) -> bool:
        """As `Source.scatter`. Raises CorruptRecord when the disk fails."""
        try:
            for first in range(0, len(views), _MAX_VIEWS):
                some = views[first : first + _MAX_VIEWS]
                wanted = sum(map(len, some))
                if _preadv(self._fd, some, start) != wanted:
                    return False
                start += wanted
        except OSError as error:
            raise self._failed(error) from error
        return True

    def _failed(self, error: OSError) -> CorruptRecord:
        return CorruptRecord(f"{self._path} can't be read: {error.strerror}")


def _preadv(fd: int, views: Sequence[memoryview], start: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, views, start)
    done = 0
    for view in views:
        data = os.pread(fd, len(view), start + done)
        view[: len(data)] = data
        done += len(data)
        if len(data) < len(view):
            break
    return done


def open_source(path: Path) -> Source:
    """Open a file that never changes. A small one is read at once: an open one takes a file descriptor.

    Raises:
        FileNotFoundError: there is none.
        TooManyOpenFiles: some must be closed first.
        CorruptRecord: it can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = TooManyOpenFiles if error.errno in _TOO_MANY else CorruptRecord
        raise kind(f"{path} can't be opened: {error.strerror}") from error
    file = File(fd, path)
    return Memory(file.read(0, file.size)) if file.size <= _SMALL_FILE else file
