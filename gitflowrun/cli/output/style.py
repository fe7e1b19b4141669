"""Whether to use colour, and the few colours there are. No layout, no commands, no click."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PLAIN", "Style", "is_terminal", "says_no", "style_for"]


@dataclass(frozen=True, slots=True)
class Style:
    """Wraps text in terminal colours, or leaves it alone when `colour` is off."""

    colour: bool

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[m" if self.colour and text else text

    def bold(self, text: str) -> str:
        """Headings and names."""
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        """What matters less."""
        return self._wrap("2", text)

    def red(self, text: str) -> str:
        """Failure; what was removed."""
        return self._wrap("31", text)

    def green(self, text: str) -> str:
        """Success; what was added."""
        return self._wrap("32", text)

    def yellow(self, text: str) -> str:
        """Ids, as git colours object names; warnings."""
        return self._wrap("33", text)

    def cyan(self, text: str) -> str:
        """What is going on; tags."""
        return self._wrap("36", text)

    def status(self, word: str, text: str | None = None) -> str:
        """`text` (or the word itself) in the colour of a run's status."""
        shown = word if text is None else text
        paint = {
            "done": self.green,
            "failed": self.red,
            "dead": self.yellow,
            "interrupted": self.yellow,
            "running": self.cyan,
        }
        return paint.get(word, str)(shown)


PLAIN = Style(colour=False)
_NO = frozenset({"never", "false", "no", "off", "0"})


def says_no(value: str) -> bool:
    """Whether a value of git config switches something off."""
    return value.lower() in _NO


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal; a closed stream is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def style_for(
    stream: TextIO,
    config: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Style:
    """The style for what is written to `stream`.

    The first that speaks decides: NO_COLOR, FORCE_COLOR, `color.runs`, `color.ui`; then whether
    a terminal reads, or git's pager, which shows colours.

    Args:
        stream: Where the text goes.
        config: git config, keys in lower case.
        environ: The environment.
    """
    config = config or {}
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return PLAIN
    if environ.get("FORCE_COLOR"):
        return Style(colour=environ["FORCE_COLOR"] != "0")
    wish = config.get("color.runs", config.get("color.ui", "auto"))
    if wish.lower() == "always" or says_no(wish):
        return Style(colour=not says_no(wish))
    if environ.get("GIT_PAGER_IN_USE") == "true":
        return Style(colour=not says_no(config.get("color.pager", "true")))
    return Style(colour=is_terminal(stream) and environ.get("TERM", "dumb") != "dumb")
