"""A page of the manual as roff with the macros of man(7), which `man`, `mandoc` and `groff` format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun._version import __version__
from gitflowrun.cli.manual.page import Example, Page, Paragraph, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.cli.manual.page import Block

# What would be taken for a command, or set as a typographic sign which nobody can copy into a shell.
_SPECIAL = {
    "\\": r"\(rs",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
}


def to_roff(page: Page) -> str:
    """The text of `<page>.1`."""
    title = _escaped(page.name.upper())
    lines = [
        f'.TH {title} 1 "" "git\\-runs {__version__}" "git runs manual"',
        ".nh",  # no hyphens in words: options and addresses would be cut
        ".ad l",
        ".SH NAME",
        f"{_escaped(page.name)} \\- {_escaped(page.summary)}",
    ]
    for block in page.blocks:
        lines += _block(block)
    return "\n".join(lines) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Section):
        yield f".SH {_escaped(block.title.upper())}"
    elif isinstance(block, Paragraph):
        yield from (".PP", _inline(block.text))
    elif isinstance(block, Example):
        yield from (".PP", ".RS 4", ".nf", *_shown(block.lines), ".fi", ".RE")
    elif block.name:
        yield from (".TP", rf"\fB{_escaped(block.name)}\fR", _inline(block.text))
    else:
        yield from (r".IP \(bu 2", _inline(block.text))


def _shown(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        typed = line.startswith("$ ")
        yield rf"$ \fB{_escaped(line[2:])}\fR" if typed else _escaped(line) or r"\&"


def _inline(text: str) -> str:
    """Words of a paragraph, those in backticks bold."""
    parts = re.split(r"`([^`]+)`", text)
    marked = [_escaped(part, plain=False) for part in parts]
    marked[1::2] = [rf"\fB{part}\fR" for part in marked[1::2]]
    return _not_a_command("".join(marked))


def _escaped(text: str, *, plain: bool = True) -> str:
    """Text as roff shows it: no character of it commands anything."""
    shown = "".join(_SPECIAL.get(char) or _sign(char) for char in text)
    return _not_a_command(shown) if plain else shown


def _sign(char: str) -> str:
    return char if char.isascii() else f"\\[u{ord(char):04X}]"


def _not_a_command(line: str) -> str:
    return rf"\&{line}" if line[:1] in {".", " "} else line
