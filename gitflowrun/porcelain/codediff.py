"""What differs between the code of two runs, as git tells it. Parameters are `compare`'s.

The comparison is `git diff` of two trees, so the user's own settings hold (algorithm, renames, moved lines);
external diff programs are left out, because they open windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository

__all__ = ["FORMATS", "CodeDiff", "code_diff"]

FORMATS = ("patch", "stat", "shortstat", "numstat", "name-only", "name-status", "word-diff")


@dataclass(frozen=True, slots=True)
class CodeDiff:
    """How one code tree became another.

    Attributes:
        old: The tree before.
        new: The tree after.
        text: What git says of it; empty when the paths asked for do not differ.
    """

    old: Oid
    new: Oid
    text: bytes

    @property
    def differs(self) -> bool:
        """Whether anything differs, of the paths asked for."""
        return bool(self.text)


def code_diff(
    repo: Repository,
    old: Oid,
    new: Oid,
    *,
    paths: Sequence[str] = (),
    form: str = "patch",
    colour: bool = False,
    context: int | None = None,
) -> CodeDiff:
    """Compare two code trees.

    Args:
        repo: The repository.
        old: The tree before.
        new: The tree after.
        paths: Only these files and directories, from the top of the work tree.
        form: How to tell it, one of `FORMATS`, which are options of git-diff(1).
        colour: Whether to colour it as git's settings say.
        context: Lines around a change; git's setting when None.

    Raises:
        UsageError: there is no such form.
        RepositoryError: git can't read a tree.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no form {form!r} of a diff", hint=f"use {', '.join(FORMATS)}")
    if old == new:
        return CodeDiff(old, new, b"")
    options = ["--no-ext-diff", f"--{form}", f"--color={'always' if colour else 'never'}"]
    if context is not None:
        options.append(f"--unified={context}")
    text = repo.git.run("diff", *options, str(old), str(new), "--", *paths)
    return CodeDiff(old, new, text)
