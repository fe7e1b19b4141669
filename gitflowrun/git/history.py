"""The history of commits along first parents: where each began, and what it passed through. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.objects import Oid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.git.command import Git

__all__ = ["History"]


class History:
    """The commits that a set of commits leads back to, asked for once.

    Args:
        git: Runs git.
        tips: The commits; all must be here, with their history.

    Raises:
        RepositoryError: one of them is missing.
    """

    def __init__(self, git: Git, tips: Iterable[Oid]) -> None:
        self._parents: dict[Oid, Oid | None] = {}
        wanted = b"".join(b"%s\n" % str(tip).encode() for tip in tips)
        if not wanted:
            return
        out = git.run(
            "--no-replace-objects",
            "rev-list",
            "--first-parent",
            "--parents",
            "--stdin",
            stdin=wanted,
        )
        for line in out.splitlines():
            oid, *parents = map(Oid.from_hex, line.split())
            self._parents[oid] = parents[0] if parents else None

    def line(self, tip: Oid) -> Iterator[Oid]:
        """`tip`, its first parent, that one's first parent, and so on. Nothing for what is no commit."""
        oid: Oid | None = tip if tip in self._parents else None
        while oid is not None:
            yield oid
            oid = self._parents[oid]

    def root(self, tip: Oid) -> Oid | None:
        """Where the line of `tip` began; None for what is no commit."""
        return next(iter(reversed([*self.line(tip)])), None)

    def leads_to(self, tip: Oid, ancestor: Oid) -> bool:
        """Whether `ancestor` is `tip`, or in its line."""
        return ancestor in self.line(tip)
