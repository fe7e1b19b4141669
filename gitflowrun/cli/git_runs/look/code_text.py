"""Differences of code as text, which git writes: for `git runs diff` and `log`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.cli.output.text import terminal_safe
from gitflowrun.porcelain.comparison.compare import code_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository


def code_text(
    repo: Repository,
    trees: tuple[Oid, Oid],
    screen: Screen,
    *,
    form: str = "patch",
    paths: Sequence[str] = (),
    raw: bool = False,
) -> str:
    """How two trees of code differ, without the last end of line; empty where they do not.

    Args:
        repo: The repository.
        trees: The code before and after.
        screen: Who reads it. What is in somebody's files must not command a terminal.
        form: As of `code_diff`.
        paths: As of `code_diff`.
        raw: Whether it is for a program, as it is stored.

    Raises: as `code_diff`.
    """
    colour, width = (False, None) if raw else (screen.style.colour, screen.columns or None)
    code = code_diff(repo, *trees, paths=paths, form=form, colour=colour, width=width)
    text = code.decode(errors="replace").rstrip("\n")
    if raw or not screen.person:
        return text
    return "\n".join(map(terminal_safe, text.split("\n")))
