"""The file a pack is written into: append or place bytes, then make them durable. What they mean is no matter.

Large packs bypass the page cache (`O_DIRECT`) where the file system takes it: a gigabyte then costs a tenth of
the CPU and does not push out what others have cached. Everything else goes through the page cache, with
write-back begun early so that the final fsync finds little left to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ALIGNMENT", "DIRECT_FROM", "Output", "sync_directory", "sync_file"]

ALIGNMENT = 4096
"""Offsets, lengths and addresses of direct writes are multiples of this."""
DIRECT_FROM = 16 << 20
"""Packs expected to be at least this large are written past the page cache.

Measured: from 4 MiB on, direct writes take half the time of buffered ones, a third from 64 MiB; the first read
afterwards comes from the disk. At 16 MiB, writing and one reading together are faster than buffered.
"""

_AHEAD = 256 << 20
_WRITE_BACK = 32 << 20
_SYNC_FILE_RANGE_WRITE = 2
_NOT_DIRECT = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class Output:
    """A new file, written once and then read-only.

    Args:
        path: Where; nothing may be there. It becomes as readable as its directory.
        sync: Whether `close` waits until the bytes are on the disk.
        expected: About how many bytes will come; decides about direct I/O.
        readable_as: The directory whose permissions say who may read the file.
    """

    def __init__(self, path: Path, *, sync: bool, expected: int, readable_as: Path) -> None:
        self.path = path
        self.size = 0
        self._sync = sync
        self._expected = expected
        self._allocated = 0
        self._written_back = 0
        self.is_direct = False
        self._fd = self._open(direct=sync and expected >= DIRECT_FROM)
        with contextlib.suppress(OSError):
            os.fchmod(self._fd, 0o444 & readable_as.stat().st_mode)

    def append(self, data: bytes | memoryview) -> None:
        """Write `data` after what was appended before. Not to be mixed with `place` on a direct file."""
        self._write(memoryview(data), self.size)
        self.size += len(data)

    def place(self, data: memoryview, offset: int) -> None:
        """Write `data` at `offset`, from any thread. Both are aligned, and `data` lies on a page."""
        if self.is_direct:
            self._allocate(offset + len(data))
        self._write(data, offset)

    def close(self, size: int | None = None) -> None:
        """Cut the file to `size` (what was appended, if None) and make it durable."""
        try:
            os.ftruncate(self._fd, self.size if size is None else size)
            if self._sync:
                os.fsync(self._fd)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _open(self, *, direct: bool) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if direct and hasattr(os, "O_DIRECT"):
            try:
                fd = os.open(self.path, flags | os.O_DIRECT, 0o600)
            except OSError as error:
                if error.errno not in _NOT_DIRECT:
                    raise
                # The file may have been made before the flag was refused.
                self.path.unlink(missing_ok=True)
            else:
                self.is_direct = True
                return fd
        return os.open(self.path, flags, 0o600)

    def _write(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            try:
                done += os.pwrite(self._fd, data[done:], offset + done)
            except OSError as error:
                if not (self.is_direct and error.errno in _NOT_DIRECT):
                    raise
                self._give_up_direct()
        if self._sync and not self.is_direct:
            self._begin_write_back(offset + len(data))

    def _give_up_direct(self) -> None:
        import fcntl

        self.is_direct = False
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)

    def _allocate(self, end: int) -> None:
        # Direct writes that extend a file wait for one another on ext4; so it is extended ahead of them.
        # A full disk is told by the write itself: what is allocated ahead may never be needed.
        if end > self._allocated:
            start, length = self._allocated, min(_AHEAD, max(self._expected - self._allocated, 0))
            self._allocated = max(start + length, end)
            with contextlib.suppress(OSError):
                os.posix_fallocate(self._fd, start, self._allocated - start)

    def _begin_write_back(self, end: int) -> None:
        start = self._written_back
        if end - start >= _WRITE_BACK:
            self._written_back = end
            _sync_file_range()(self._fd, start, end - start)


@cache
def _sync_file_range() -> Callable[[int, int, int], None]:
    """Starts writing a range of a file back and does not wait for it; does nothing where that can't be had."""
    try:
        import ctypes

        function = ctypes.CDLL(None).sync_file_range
    except (ImportError, OSError, AttributeError):
        return lambda _fd, _start, _length: None
    offset = ctypes.c_int64
    function.argtypes = (ctypes.c_int, offset, offset, ctypes.c_uint)
    return lambda fd, start, length: function(fd, start, length, _SYNC_FILE_RANGE_WRITE)


def sync_directory(path: Path) -> None:
    """Make renames within a directory durable."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the content and the times of a file durable that somebody else has written."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
