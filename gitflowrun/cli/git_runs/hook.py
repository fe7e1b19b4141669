"""`git runs hook`: what our git hooks call. Speaks on stderr, and never fails the user's command."""

from __future__ import annotations

import sys

import click

from gitflowrun.cli.errors import GIT, guarded
from gitflowrun.cli.git_runs.options import open_repository
from gitflowrun.cli.output.text import printable

__all__ = ["command"]


@click.command(name="hook", hidden=True)
@click.argument("name", type=click.Choice(["post-commit", "pre-push"]))
@click.argument("words", nargs=-1)
def command(name: str, words: tuple[str, ...]) -> int:
    """Do the work of the git hook NAME, called with the arguments and the input that git gives it."""
    guarded(_post_commit if name == "post-commit" else lambda: _pre_push(words), GIT)
    return 0


def _post_commit() -> int:
    from gitflowrun.porcelain.hooks import post_commit

    for pathspec in post_commit(open_repository()):
        _tell(f"this commit is what run {pathspec} ran")
    return 0


def _pre_push(words: tuple[str, ...]) -> int:
    from gitflowrun.cli.git_runs.sync import summary
    from gitflowrun.porcelain.hooks import pre_push

    report = pre_push(open_repository(), words[0] if words else "origin", sys.stdin)
    if report is not None:
        _tell(f"runs to {report.remote}: {summary(report)}")
        for notice in report.notices:
            _tell(notice)
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"git runs: {printable(text)}\n")
