"""`IncludeFile`: a parameter that is the content of a file. How the content reaches the store is `filecontent`'s.

The file is looked at when a run starts: by `--name PATH`, the environment or the default. Declaring one reads
nothing, so the flow can be checked, shown and resumed where the default's file is not there.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ParameterError, UsageError
from gitflowrun.flow.filecontent import FileContent
from gitflowrun.flow.parameter import Parameter

if TYPE_CHECKING:
    from gitflowrun.flow.parameter import ParameterSpec

__all__ = ["IncludeFile"]

Parser = str | Callable[[Any], Any]


class IncludeFile(Parameter):
    """A file as a parameter: steps and the client see its content, as it was when the run started.

    Content that is not parsed is never read into memory to be stored, however large it is, and its bytes are
    the stored ones: `git show` reads them, equal files are stored once. Line ends stay as they are.

    Args:
        name: Its name on the command line: `--name PATH`.
        required: Whether a file must be given; without one the value is None. Ignored when there is a default.
        is_text: Whether the value is text, else bytes.
        encoding: Of a text.
        help: A sentence for `--help`.
        parser: Makes the value of the content; a function, or where one is: `package.module.function`.
        default: The path of a file; a function is called once per run, when it starts, with a
            `ParameterContext`, and returns one.
        show_default: Whether `--help` shows the default, or what it shows instead.
        **options: Passed to `click.option` as they are.
    """

    def __init__(
        self,
        name: str,
        required: bool | None = None,
        is_text: bool | None = True,
        encoding: str | None = "utf-8",
        help: str | None = None,  # noqa: A002  (METAFLOW's name)
        parser: Parser | None = None,
        default: str | os.PathLike[str] | Callable[..., Any] | None = None,
        show_default: bool | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            name,
            default=default,
            help=help,
            required=required,
            show_default=show_default,
            **options,
        )
        self.is_text = is_text is None or is_text
        self.encoding = encoding or "utf-8"
        self.parser = parser

    def spec(self, attribute: str) -> ParameterSpec:
        """The parameter as plain data."""
        reader = _Reader(self.name, self.encoding if self.is_text else None, self.parser)
        return replace(super().spec(attribute), kind="file", type=reader)

    def check(self) -> None:
        """Check what can be checked without any file.

        Raises:
            ParameterError: encoding, parser or default can't be what they are.
        """
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


@dataclass(frozen=True, slots=True)
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
        function = _find(parser) if isinstance(parser, str) else parser
        try:
            return function(content.read())
        except Exception as error:
            raise UsageError(
                f"the parser can't read the file {content.name!r}: {type(error).__name__}: {error}"
            ) from error


def _is_path(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, os.PathLike) and isinstance(os.fspath(value), str)
    )


def _path(value: Any) -> str:
    if not _is_path(value):
        raise UsageError(f"{value!r} is not the path of a file")
    return os.fspath(value)  # type: ignore[no-any-return]


def _find(dotted: str) -> Callable[[Any], Any]:
    """The function at `package.module.function`."""
    import importlib

    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise UsageError(
            f"the parser {dotted!r} can't be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise UsageError(f"the parser {dotted!r} is not a function")
    function: Callable[[Any], Any] = found
    return function
