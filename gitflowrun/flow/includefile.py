"""`IncludeFile`: a parameter whose value is the content of a file, as it is when the run starts.

The path is given by `--name PATH`, the environment or the default. Declaring one reads nothing, so a flow can be
checked, shown and resumed where the default's file is not there. The content is stored without being read into
memory: the process that reads the command line opens the file and says which one it is (`FileContent.pack`, a
few words, whatever the file's size), and another process stores it a moment later, after checking that it is
still the file that was opened. What is stored is raw: bytes as they are, text as UTF-8 with its line ends.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from gitflowrun.artifacts.codecs.bytes import stamp_of
from gitflowrun.errors import ParameterError, UnserializableArtifact, UsageError
from gitflowrun.flow.config.expression import delayable
from gitflowrun.flow.config.parsers import find_parser
from gitflowrun.flow.parameter import Parameter
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.artifacts.codecs import Encoded

_PIECE = 1 << 20  # bytes of a file that are decoded at a time


@frozen
class FileContent:
    """The content of a file, which stays on disk until it is read.

    Attributes:
        name: The file's path as it was given.
        path: The file's path with links resolved.
        encoding: The encoding of its text; None for bytes.
        stamp: Device, inode, size in bytes, times of modification and change in nanoseconds: other content
            has another stamp.
    """

    name: str
    path: str
    encoding: str | None
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, name: str, encoding: str | None) -> FileContent:
        """The content of a file that can be read, and that is text if it has to be.

        Args:
            name: The file's path; `~` is the user's home.
            encoding: The encoding of its text; None for bytes.

        Raises:
            UsageError: it can't be read, is no regular file, or is no text in `encoding`.
        """
        try:
            given = os.path.expanduser(name)  # noqa: PTH111  (bytes in names that are no text survive)
            # Looked at first: to open a pipe would wait for a writer.
            if not stat.S_ISREG(os.stat(given).st_mode):  # noqa: PTH116
                raise UsageError(f"{name!r} is not a file", hint="give the path of a regular file")
            path = os.path.realpath(given)
            with open(path, "rb") as stream:  # noqa: PTH123
                content = cls(name, path, encoding, _stamp(stream))
                has_size = content.size or not stream.read(1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"can't read the file {name!r}: {reason}",
                hint="give the path of a file that you can read",
            ) from error
        if not has_size:  # as in /proc
            raise UsageError(
                f"can't read the file {name!r}: the system gives it no size",
                hint="copy what it holds into a file",
            )
        content._check_text()
        return content

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.stamp[2]

    @property
    def is_utf8(self) -> bool:
        """Whether the file's bytes are what is stored of a text."""
        return self.encoding is not None and codecs.lookup(self.encoding).name == "utf-8"

    def open(self) -> BinaryIO:
        """The file, opened for reading.

        Raises:
            UnserializableArtifact: it is not there any more, or not what it was.
        """
        try:
            stream = open(self.path, "rb")  # noqa: PTH123, SIM115  (the caller closes it)
        except OSError as error:
            raise self._changed(error.strerror or str(error)) from error
        if _stamp(stream) != self.stamp:
            stream.close()
            raise self._changed("it was changed")
        return stream

    def read(self) -> str | bytes:
        """The whole content in memory, text or bytes. Raises as `open`."""
        if self.encoding is not None:
            return "".join(self._text())
        with self.open() as stream:
            return stream.read()

    def encoded(self) -> Encoded:
        """The content as a payload of text or bytes, read from the file while it is stored.

        Raises:
            UnserializableArtifact: it is not there any more, or not what it was.
        """
        from gitflowrun.artifacts.codecs import Encoded
        from gitflowrun.artifacts.codecs.bytes import FileArtifact, encode_file, from_chunks

        is_raw = self.encoding is None or self.is_utf8
        file = (
            FileArtifact(self.open, self.size, repr(self.name))
            if is_raw
            else from_chunks(piece.encode() for piece in self._text())
        )
        codec, kind = ("bytes/1", bytes) if self.encoding is None else ("str/1", str)
        return Encoded(codec, f"builtins.{kind.__name__}", encode_file(file), is_volatile=is_raw)

    def _check_text(self) -> None:
        """Read it through, if it is to be text."""
        if self.encoding is None:
            return
        try:
            for piece in self._text():
                if not self.is_utf8:
                    piece.encode()  # text that UTF-8 can't hold can't be stored
        except UnicodeError as error:
            raise UsageError(
                f"the file {self.name!r} is no {self.encoding} text: {error}",
                hint="declare the file's encoding, or is_text=False if it is no text",
            ) from error

    def _text(self) -> Iterator[str]:
        assert self.encoding is not None
        decoder = codecs.getincrementaldecoder(self.encoding)()
        read = 0
        with self.open() as stream:
            for piece in iter(lambda: stream.read(_PIECE), b""):
                yield _decode(decoder, piece, read)
                read += len(piece)
            yield _decode(decoder, b"", read)

    def _changed(self, how: str) -> UnserializableArtifact:
        return UnserializableArtifact(
            f"the file {self.name!r} was not stored: {how} after the run was started",
            hint="leave included files alone until the first step starts",
        )


def _decode(decoder: codecs.IncrementalDecoder, piece: bytes, offset: int) -> str:
    """The next piece of a text, the last one being empty; errors say where in the file they are."""
    waiting = decoder.getstate()[0]
    try:
        return decoder.decode(piece, final=not piece)
    except UnicodeDecodeError as error:
        place = offset - len(waiting) + error.start
        raise UnicodeError(f"{error.reason} at byte {place}") from None


def _stamp(stream: BinaryIO) -> tuple[int, ...]:
    return *stamp_of(stream), os.fstat(stream.fileno()).st_ctime_ns


Parser = str | Callable[[Any], Any]


class IncludeFile(Parameter):
    """A file as a parameter: steps and the client see its content, as it was when the run started.

    Content that is not parsed is never read into memory to be stored, however large it is, and its bytes are
    the stored ones: `git show` reads them, equal files are stored once. Line ends stay as they are.

    Args:
        name: Its name on the command line: `--name PATH`.
        required: Whether a file must be given; without one the value is None. Ignored when there is a default.
        is_text: Whether the value is text, else bytes.
        encoding: The encoding of a text.
        help: A sentence for `--help`.
        parser: Makes the value of the content; a function, or where one is: `package.module.function`.
        default: The path of a file; a function is called once per run, when it starts, with a
            `ParameterContext`, and returns one.
        show_default: Whether `--help` shows the default, or what it shows instead.
        **options: Passed to `click.option` as they are.
    """

    @delayable
    def __init__(
        self,
        name: str,
        required: bool | None = None,
        is_text: bool | None = True,
        encoding: str | None = "utf-8",
        help: str | None = None,  # noqa: A002  (Metaflow's name)
        parser: Parser | None = None,
        default: str | os.PathLike[str] | Callable[..., Any] | None = None,
        show_default: bool | str | None = None,
        **options: Any,
    ) -> None:
        self.is_text = is_text is None or is_text
        self.encoding = encoding or "utf-8"
        self.parser = parser
        reader = _Reader(name, self.encoding if self.is_text else None, parser)
        super().__init__(name, default, reader, help, required, show_default, **options)
        self.kind = "file"

    def check(self) -> None:
        """Check what can be checked without any file.

        Raises:
            ParameterError: encoding, parser or default can't be what they are.
        """
        self._check_secret()
        if not self.is_scalar:
            raise ParameterError(
                f"parameter {self.name!r}: an IncludeFile is one file",
                hint="declare one for each file, or a text parameter with multiple=True for their paths",
            )
        if self.is_text:
            self._check_encoding()
        dotted = isinstance(self.parser, str) and all(self.parser.split(".")) and "." in self.parser
        if not (self.parser is None or callable(self.parser) or dotted):
            raise ParameterError(
                f"parameter {self.name!r}: {self.parser!r} is no parser",
                hint="give a function, or where one is as text: package.module.function",
            )
        if not (self.default is None or self.deploy_time or _is_path(self.default)):
            raise ParameterError(
                f"parameter {self.name!r}: the default {self.default!r} is not the path of a file",
                hint="give a path, or a function that returns one",
            )

    def _check_encoding(self) -> None:
        try:
            "".encode(self.encoding)  # refuses what encodes no text, such as `hex`
            codecs.getincrementaldecoder(self.encoding)
        except (LookupError, TypeError):
            raise ParameterError(
                f"parameter {self.name!r}: {self.encoding!r} is no encoding of text",
                hint="use utf-8, latin-1 or another of Python's encodings",
            ) from None

    def __repr__(self) -> str:
        return f"<IncludeFile {self.name!r}>"


@frozen
class _Reader:
    """What converts the path of a file to its content: a type in the manner of click's."""

    parameter: str
    encoding: str | None
    parser: Parser | None

    def convert(self, value: Any, _parameter: object, _context: object) -> Any:
        """The content, or what the parser makes of it; None stays None."""
        if value is None or isinstance(value, FileContent):
            return value
        try:
            content = FileContent.of(_path(value), self.encoding)
            return content if self.parser is None else self._parse(content, self.parser)
        except UsageError as error:
            message = f"parameter {self.parameter!r}: {error.message}"
            raise UsageError(message, hint=error.hint) from error

    def _parse(self, content: FileContent, parser: Parser) -> Any:
        function = find_parser(parser) if isinstance(parser, str) else parser
        try:
            return function(content.read())
        except Exception as error:
            raise UsageError(
                f"the parser can't read the file {content.name!r}: {type(error).__name__}: {error}",
                hint="give another file, or mend the function that `parser` names",
            ) from error


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str)


def _path(value: Any) -> str:
    if not _is_path(value):
        raise UsageError(f"{value!r} is not the path of a file", hint="give a path as text")
    return os.fspath(value)  # type: ignore[no-any-return]
