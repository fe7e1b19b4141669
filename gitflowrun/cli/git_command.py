"""click commands that read their arguments as git's do: `-5` for `-n 5`, and paths behind `--`."""

from __future__ import annotations

import re
from typing import Any

import click

_COUNT = re.compile(r"-[0-9]{1,9}\Z")
_END = "--"


class GitCommand(click.Command):
    """A command of a git user's habits.

    Args:
        args: As of `click.Command`.
        counts: Whether `-5` is short for `-n5`.
        takes_paths: Whether what stands behind `--` are paths; the command gets them as `paths`, a tuple of texts.
        settings: As of `click.Command`.
    """

    def __init__(
        self, *args: Any, counts: bool = False, takes_paths: bool = False, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._counts, self._takes_paths = counts, takes_paths

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take apart what was typed."""
        end = args.index(_END) if _END in args else len(args)
        before, after = args[:end], args[end:]
        if self._counts:
            before = [f"-n{word[1:]}" if _COUNT.match(word) else word for word in before]
        if self._takes_paths:
            ctx.params["paths"], after = tuple(after[1:]), []
        return super().parse_args(ctx, [*before, *after])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The parts of the usage line."""
        paths = ["[-- PATH...]"] if self._takes_paths else []
        return [*super().collect_usage_pieces(ctx), *paths]
