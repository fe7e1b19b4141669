"""A page of the manual as text, laid out as `man` does it, for where there is no `man` and for pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.cli.manual.page import Example, Page, Paragraph, Section
from gitflowrun.cli.output.text import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.manual.page import Block
    from gitflowrun.cli.output.terminal import Style

_INDENT = " " * 4
_WIDEST = 90  # longer lines are hard to read


def to_text(page: Page, columns: int, style: Style) -> Iterator[str]:
    """The lines of a page.

    Args:
        page: The page.
        columns: The width to fit it into; examples keep their lines.
        style: How headings and names are set.
    """
    width = min(columns, _WIDEST)
    yield style.bold("NAME")
    yield from _filled(f"{page.name} - {page.summary}", width)
    before: Block | None = None
    for block in page.blocks:
        if isinstance(block, Section):
            yield from ("", style.bold(block.title.upper()))
        else:
            if not isinstance(before, Section):
                yield ""
            yield from _block(block, width, style)
        before = block


def _block(block: Block, width: int, style: Style) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield from _filled(block.text, width)
    elif isinstance(block, Example):
        yield from (f"{_INDENT * 2}{line}".rstrip() for line in block.lines)
    elif not isinstance(block, Section):
        if block.name:
            yield _INDENT + style.bold(block.name)
        lines = list(_filled(block.text, width, _INDENT * 2))
        if not block.name:
            lines[:1] = [f"{_INDENT}  - {line.lstrip()}" for line in lines[:1]]
        yield from lines


def _filled(text: str, width: int, indent: str = _INDENT) -> Iterator[str]:
    """Words in lines; what is typed as it is stands in no quotes, as `man` has it without colours."""
    for line in wrapped(text.replace("`", ""), width - len(indent)):
        yield indent + line
