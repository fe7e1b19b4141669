"""Paths as users type them behind `--`, or where git would want them there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository


def path_hint(command: str, word: str) -> str | None:
    """What to say of a word that is no run where it is a file; git asks for `--` before paths as well."""
    return f"`{command} -- {word}` if the file is meant" if os.path.lexists(word) else None


def from_top(repo: Repository, path: str) -> str:
    """A path as the user types it, which is from where they are, as git's trees know it."""
    if repo.work_tree is None or path.startswith(":"):  # git's pathspec magic
        return path
    here = os.path.realpath(os.getcwd())  # noqa: PTH109  (links in `path` itself must stay)
    return os.path.relpath(os.path.join(here, path), repo.work_tree)  # noqa: PTH118
