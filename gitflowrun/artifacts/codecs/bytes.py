"""str/1, bytes/1 and file/1: payloads that are text or bytes as they are.

So `git show` and `git diff` read them. Text and bytes within other values are written by plain/1. A file, or a
stream of bytes, may be larger than memory:

    self.corpus = from_file("corpus.txt")              stored without being read into memory
    self.export = from_chunks(rows_as_bytes())         an iterator is spooled to a temporary file

A later step, or a client, gets a `FileArtifact` that reads from the repository only what is asked for.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from gitflowrun.artifacts.codecs.payload import Loading, Unencodable, needs_trust
from gitflowrun.errors import CorruptRecord, UnserializableArtifact
from gitflowrun.limits import COPY_PIECE, SMALL_FILE, STRANGERS_MEMORY, STRANGERS_RATIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitflowrun.artifacts.codecs.payload import Buffer


_WIDEST = 5  # bytes for a character of a text with an emoji, and a copy of the bytes meanwhile
_WIDE = re.compile(rb"[\xf0-\xf7]")
_CONTINUED = bytes(range(0x80, 0xC0))  # bytes of UTF-8 with which no character begins


def encode_str(value: str) -> tuple[memoryview, ...]:
    """The text as UTF-8; text that UTF-8 can't hold (lone surrogates) is declined."""
    try:
        return (memoryview(value.encode()),)
    except UnicodeEncodeError as error:
        raise Unencodable("a lone surrogate") from error


def decode_str(payload: memoryview, loading: Loading) -> str:
    """The text that `encode_str` wrote."""
    if not loading.trusted and payload.nbytes > STRANGERS_MEMORY // _WIDEST:
        _check_width(payload)
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise CorruptRecord(f"stored text is not UTF-8: {error}") from error


def _check_width(payload: memoryview) -> None:
    """Refuse a long text of which one character makes all others four times as wide."""
    if _WIDE.search(payload) is None:
        return
    characters = len(bytes(payload).translate(None, _CONTINUED))
    if _WIDEST * characters > STRANGERS_MEMORY + STRANGERS_RATIO * payload.nbytes:
        raise needs_trust("a text that takes many times the size in which it is stored")


def encode_bytes(value: bytes) -> tuple[memoryview, ...]:
    """The bytes themselves, not copied."""
    return (memoryview(value),)


def decode_bytes(payload: memoryview, _loading: Loading) -> bytes:
    """The bytes that `encode_bytes` wrote, not copied if the payload is a bytes object of its own."""
    whole: Any = payload.obj
    if type(whole) is bytes and len(whole) == payload.nbytes:
        return whole
    return bytes(payload)


class FileArtifact:
    """Bytes of any length as a value; made by `from_file` and `from_chunks`.

    Args:
        opener: Opens the bytes for reading, anew each time.
        size: How many they are.
        name: What to call them in messages.
        digest: Their BLAKE3, if they lie in a repository.
    """

    __slots__ = ("_name", "_opener", "digest", "size")

    def __init__(
        self,
        opener: Callable[[], BinaryIO],
        size: int,
        name: str,
        digest: bytes | None = None,
    ) -> None:
        self._opener = opener
        self._name = name
        self.size = size
        self.digest = digest

    def __repr__(self) -> str:
        return f"<FileArtifact {self._name}, {self.size} bytes>"

    def open(self) -> BinaryIO:
        """The bytes as a seekable file, opened for reading."""
        return self._opener()

    def read(self) -> bytes:
        """All the bytes, in memory."""
        with self.open() as stream:
            return stream.read()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes to a file, a few MiB at a time; returns its path."""
        import shutil

        target = Path(path)
        with self.open() as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, COPY_PIECE)
        return target

    def __reduce__(self) -> NoReturn:
        msg = "a FileArtifact can't be part of another value; make it an artifact of its own"
        raise TypeError(msg)


# Manifests record a value's type by this name, which must not change when this module moves.
FileArtifact.__module__ = "gitflowrun"


def from_file(path: str | os.PathLike[str]) -> FileArtifact:
    """A file as an artifact's value; it must stay as it is until the step has ended.

    Raises:
        UnserializableArtifact: there is no such file, or it can't be read.
    """
    file = Path(path).absolute()
    try:
        with file.open("rb") as stream:
            size, stamp = stream.seek(0, io.SEEK_END), stamp_of(stream)
    except OSError as error:
        raise UnserializableArtifact(
            f"{str(path)!r} can't be stored: {error.strerror or error}",
            hint="give the path of a file that can be read",
        ) from error

    def opened() -> BinaryIO:
        stream = file.open("rb")
        if stamp_of(stream) != stamp:
            stream.close()
            raise UnserializableArtifact(
                f"{str(path)!r} was written anew after from_file",
                hint="let a file be as it is until the step has ended, or write to another one",
            )
        return stream

    return FileArtifact(opened, size, str(path))


def stamp_of(stream: BinaryIO) -> tuple[int, ...]:
    """What differs where a file was replaced or written to; its links and mode may change."""
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def from_chunks(
    chunks: Iterable[Buffer], *, directory: str | os.PathLike[str] | None = None
) -> FileArtifact:
    """A stream of bytes as an artifact's value.

    Args:
        chunks: The bytes in pieces; consumed at once, one piece in memory at a time.
        directory: Where to spool them; the system's temporary directory by default.

    Raises:
        UnserializableArtifact: they can't be written there.
    """
    import tempfile

    place = os.fspath(directory or tempfile.gettempdir())
    with _spooling(place):
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115  (closed below, whatever the chunks raise)
    with file:
        for chunk in chunks:
            with _spooling(place):
                file.write(chunk)
        with _spooling(place):
            file.flush()
            spool, size = _Spool(os.dup(file.fileno())), file.tell()
    return FileArtifact(spool.open, size, "from a stream")


@contextlib.contextmanager
def _spooling(place: str) -> Iterator[None]:
    """Say where a stream could not be spooled."""
    try:
        yield
    except OSError as error:
        raise UnserializableArtifact(
            f"a stream can't be copied to {place}: {error.strerror or error}",
            hint="free some space there, or name another directory in TMPDIR",
        ) from error


class _Spool:
    """A temporary file that has no name; it is there as long as the value or anybody who reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self) -> BinaryIO:
        """The file, opened anew: it is read at a position of its own."""
        try:
            return Path(f"/proc/self/fd/{self._descriptor}").open("rb")
        except FileNotFoundError as error:
            raise UnserializableArtifact(
                "a stream can't be stored where /proc is not mounted",
                hint="mount it (`mount -t proc proc /proc`), or write to a file and store that (`from_file`)",
            ) from error

    def __del__(self) -> None:
        os.close(self._descriptor)


def encode_file(value: FileArtifact) -> tuple[memoryview, ...]:
    """The file's pages as they are on disk: neither hashing nor storing reads them all into memory."""
    if not value.size:
        return ()
    try:
        with value.open() as stream:
            return (_view(value, stream),)
    except (OSError, ValueError) as error:
        raise _unreadable(value, getattr(error, "strerror", None) or str(error)) from error


def _view(value: FileArtifact, stream: BinaryIO) -> memoryview:
    if value.size <= SMALL_FILE:
        content = stream.read(value.size + 1)
        if len(content) != value.size:
            raise _unreadable(value, "it has another size now")
        return memoryview(content)
    try:
        descriptor = stream.fileno()
    except OSError:  # it is read from a repository
        spooled = _spooled(value, stream)
        with spooled.open() as copy:
            return _view(spooled, copy)
    if os.fstat(descriptor).st_size < value.size:
        raise _unreadable(value, "it is shorter now")
    return memoryview(mmap.mmap(descriptor, value.size, access=mmap.ACCESS_READ))


def _spooled(value: FileArtifact, stream: BinaryIO) -> FileArtifact:
    try:
        return from_chunks(iter(lambda: stream.read(COPY_PIECE), b""))
    except OSError as error:
        raise _unreadable(value, error.strerror or str(error)) from error


def _unreadable(value: FileArtifact, why: str) -> UnserializableArtifact:
    # No other codec could do better, or say it.
    return UnserializableArtifact(
        f"{value!r} can't be read any more: {why}",
        hint="leave the file as it is until the step has ended",
    )


def decode_file(payload: memoryview, _loading: Loading) -> FileArtifact:
    """The bytes of a payload that is in memory already."""
    return FileArtifact(lambda: io.BytesIO(payload), payload.nbytes, "in memory")
