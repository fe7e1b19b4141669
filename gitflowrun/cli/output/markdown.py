"""Markdown, as forges show it in pull requests, of what runs hold: anybody may have made these.

A text of a run stands in a code span or a fenced block, where it is neither a link, nor an image, nor HTML, nor does it
call people by their names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.cli.output.text import terminal_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TICKS = re.compile(r"`+")
_LEAST_FENCE = 3


def _fence(text: str, least: int) -> str:
    """More backticks than a text has in a row."""
    return "`" * max(least, 1 + max(map(len, _TICKS.findall(text)), default=0))


def code_span(text: str) -> str:
    """A text of one line as code, also within a table."""
    if not text:
        return ""
    text = terminal_safe(" ".join(text.split("\n"))).replace("|", "\\|")
    fence = _fence(text, 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str, language: str = "") -> Iterator[str]:
    """Lines as a block of code."""
    fence = _fence(text, _LEAST_FENCE)
    yield f"{fence}{language}"
    yield from map(terminal_safe, text.split("\n"))
    yield fence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are Markdown already."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
