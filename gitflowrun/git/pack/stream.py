"""Zlib streams that lie in files, read into buffers of a size that is known beforehand.

A file is read by `pread`, not mapped: a read may scatter the page cache straight into the places where bytes
belong, pages do not count as memory of this process, and a disk that fails gives an error instead of SIGBUS.
Measured, that is faster than copying from a mapping whose pages are dropped in time.

A stream of stored blocks, as we write them, is read straight to its place: the five bytes in front of each
block go elsewhere. Anything else is inflated in steps: never more than the announced size comes out, whatever
the stream holds, and no second copy of a large object is made.
"""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.pack.format import (
    BLOCK,
    BLOCK_FRAME,
    BLOCK_HEADER,
    CHECKSUM,
    FULL_BLOCK,
    ZLIB_HEADER,
    block_header,
)
from gitflowrun.limits import (
    BEST_RATIO,
    INFLATE_AT_ONCE,
    INFLATE_FEED,
    INFLATE_STEP,
    READ_FILE_UP_TO,
    STREAM_HEAD,
    VIEWS_A_CALL,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_COMPRESSED = 0b110  # the bits of a block's first byte that say how it is compressed


class TooManyOpenFiles(RepositoryError):
    """This process, or the system, has no file descriptor left."""


class Memory:
    """A source whose bytes are in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def read(self, start: int, size: int) -> bytes:
        """The `size` bytes at `start`, or as many as there are."""
        return bytes(self._data[start : start + size])

    def scatter(self, start: int, views: Sequence[memoryview]) -> bool:
        """Fill `views` one after the other with what begins at `start`.

        Returns:
            False, when some of it may have been filled, if there are not so many bytes.
        """
        for view in views:
            part = self._data[start : start + len(view)]
            if len(part) != len(view):
                return False
            view[:] = part
            start += len(view)
        return True


class File:
    """A source that is an open file, closed when the last reference to it goes.

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
        """As `Memory.read`. Raises CorruptRecord when the disk fails."""
        try:
            return os.pread(self._fd, min(size, max(0, self.size - start)), start)
        except OSError as error:
            raise self._failed(error) from error

    def scatter(self, start: int, views: Sequence[memoryview]) -> bool:
        """As `Memory.scatter`. Raises CorruptRecord when the disk fails."""
        try:
            for first in range(0, len(views), VIEWS_A_CALL):
                some = views[first : first + VIEWS_A_CALL]
                wanted = sum(map(len, some))
                if os.preadv(self._fd, some, start) != wanted:
                    return False
                start += wanted
        except OSError as error:
            raise self._failed(error) from error
        return True

    def _failed(self, error: OSError) -> CorruptRecord:
        return CorruptRecord(f"{self._path} can't be read: {error.strerror}")


Source: TypeAlias = Memory | File
"""Bytes that never change, `size` of them, to be read at any position; threads may share it."""


def open_source(path: Path) -> Source:
    """Open a file that never changes. A small one is read at once: an open one takes a file descriptor.

    Raises:
        FileNotFoundError: there is none.
        TooManyOpenFiles: some must be closed first.
        CorruptRecord: it can't be read.
        RepositoryError: it is a pipe, of which nobody may ever write the other end, or the like.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = TooManyOpenFiles if error.errno in _TOO_MANY else CorruptRecord
        raise kind(f"{path} can't be opened: {error.strerror}") from error
    file = File(fd, path)
    if not file.size:
        _refuse_pipe(fd, path)
    return Memory(file.read(0, file.size)) if file.size <= READ_FILE_UP_TO else file


def _refuse_pipe(fd: int, path: Path) -> None:
    """Refuse an open file that is a pipe or the like: no damage, of which git would be asked, and wait."""
    import shlex
    import stat

    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise RepositoryError(
            f"{path} is no regular file",
            hint=f"look who made it, and when: ls -ld {shlex.quote(str(path))}",
        )


def inflate(source: Source, start: int, size: int, *, skip: int = 0) -> bytes:
    """What a zlib stream holds.

    Args:
        source: Where it lies.
        start: Where in `source` it begins.
        size: How many bytes it holds after the first `skip`.
        skip: How many bytes to leave out.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    # Checked before memory is set aside.
    if size > (source.size - start) * BEST_RATIO:
        raise CorruptRecord(f"a zlib stream can't hold the {size} bytes announced")
    if size + skip <= INFLATE_AT_ONCE:
        return _inflate_small(source, start, size + skip)[skip:]
    out = bytearray(size)
    inflate_into(source, start, memoryview(out), skip=skip)
    return bytes(out)


def inflate_into(source: Source, start: int, target: memoryview, *, skip: int = 0) -> None:
    """As `inflate`, into `target`, which has the size.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    if not skip and _read_stored(source, start, target):
        return
    done = 0
    for piece in inflate_pieces(source, start, len(target), skip=skip):
        target[done : done + len(piece)] = piece
        done += len(piece)


def inflate_pieces(source: Source, start: int, size: int, *, skip: int = 0) -> Iterator[bytes]:
    """As `inflate`, in pieces of at most `INFLATE_STEP`; damage shows when it is come to.

    Raises:
        CorruptRecord: the stream is damaged, or holds more or fewer bytes.
    """
    done = -skip
    stream = _decompressor(size)
    while not stream.eof:
        # Not more than can be needed: zlib copies what it is given too much of.
        feed = source.read(start, min(INFLATE_FEED, _bound(size - done)))
        # The first step ends where the bytes to be skipped end.
        piece = _decompress(
            stream, feed, min(INFLATE_STEP, size - done + 1) if done >= 0 else -done
        )
        if done >= 0:
            if done + len(piece) > size:
                raise CorruptRecord(f"a zlib stream holds more than the {size} bytes announced")
            yield piece
        done += len(piece)
        taken = len(feed) - len(stream.unconsumed_tail)
        if not (taken or piece or stream.eof):
            raise CorruptRecord(f"a zlib stream ends after {done} of {size} bytes")
        start += taken
    if done != size:
        raise CorruptRecord(f"a zlib stream holds {done} bytes, not the {size} announced")


def inflate_head(source: Source, start: int, size: int) -> bytes:
    """At most the first `size` bytes, and those only as far as they fill the first 4 KiB of the stream."""
    return _decompress(_decompressor(size), source.read(start, STREAM_HEAD), size)


def _inflate_small(source: Source, start: int, size: int) -> bytes:
    stream = _decompressor(size)
    out = _decompress(stream, source.read(start, _bound(size)), size + 1)
    if len(out) == size and stream.eof:
        return out
    # An unusual framing, such as many empty blocks: take the long way.
    target = bytearray(size)
    inflate_into(source, start, memoryview(target))
    return bytes(target)


def _bound(size: int) -> int:
    """How long a zlib stream of `size` bytes may be, unless its framing is unusual."""
    return size + size // 512 + 64


def _decompressor(size: int) -> Any:
    # The fast one has a state of 300 KB, which a task would fill for a few bytes.
    if size <= INFLATE_AT_ONCE:
        return zlib.decompressobj()
    from isal import isal_zlib

    return isal_zlib.decompressobj()


def _errors() -> tuple[Any, ...]:
    from isal import isal_zlib

    return zlib.error, isal_zlib.error


def _decompress(stream: Any, data: bytes, limit: int) -> bytes:
    try:
        out: bytes = stream.decompress(data, limit)
    except _errors() as error:  # evaluated only when there is one
        raise CorruptRecord(f"a zlib stream is damaged: {error}") from error
    return out


def _read_stored(source: Source, start: int, target: memoryview) -> bool:
    """Read a stream of full stored blocks and a last one.

    Returns:
        False, when `target` may hold anything, if the stream is something else.
    """
    full = max(0, (len(target) - 1) // BLOCK)
    rest = len(target) - full * BLOCK
    start += len(ZLIB_HEADER)
    if start + full * BLOCK_FRAME + BLOCK_HEADER + rest + CHECKSUM > source.size:
        return False
    if source.read(start, 1)[0] & _COMPRESSED:
        return False
    headers = memoryview(bytearray((full + 1) * BLOCK_HEADER))
    views = []
    for block in range(full + 1):
        views.append(headers[block * BLOCK_HEADER : (block + 1) * BLOCK_HEADER])
        views.append(target[block * BLOCK : (block + 1) * BLOCK])
    expected = FULL_BLOCK * full + block_header(rest, last=True)
    return source.scatter(start, views) and headers == expected
