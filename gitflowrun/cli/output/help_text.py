"""Help as click lays it out, but for words: none is broken, neither at a hyphen nor where it is long.

An option, an address or a default that is cut at the end of a line can't be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitflowrun.cli.output.text import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Formatter(click.HelpFormatter):
    def write_text(self, text: str) -> None:
        """Write paragraphs, indented."""
        indent = " " * self.current_indent
        for number, paragraph in enumerate(text.split("\n\n")):
            lines = wrapped(paragraph, self.width - self.current_indent)
            self.write("\n" * (number > 0) + "".join(f"{indent}{line}\n" for line in lines))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write terms and what they mean in two columns; a long term has a line of its own."""
        rows = list(rows)
        column = min(max((len(term) for term, _ in rows), default=0), col_max) + col_spacing
        indent = " " * self.current_indent
        for term, meaning in rows:
            lines = wrapped(meaning, self.width - column - self.current_indent)
            beside = lines[:1] if len(term) <= column - col_spacing else []
            first = f"{indent}{term.ljust(column) if beside else term}{''.join(beside)}\n"
            pad = indent + " " * column
            self.write(first + "".join(f"{pad}{line}\n" for line in lines[len(beside) :]))


class _Context(click.Context):
    formatter_class = _Formatter


def keep_words(command: click.Command) -> click.Command:
    """Let a command, and those below it, show help with whole words."""
    command.context_class = _Context
    for below in getattr(command, "commands", {}).values():
        keep_words(below)
    return command
