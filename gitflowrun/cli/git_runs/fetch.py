"""`git runs fetch`: gets runs from a remote."""

from __future__ import annotations

import click

from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.git_runs.sync import show_report

__all__ = ["command"]


@click.command(name="fetch")
@json_option
@click.argument("remote", required=False)
def command(as_json_: bool, remote: str | None) -> int:
    """Get the runs and tags of REMOTE.

    A run whose number is taken here arrives as <number>-<uid>. Nothing here is overwritten, and nothing of a
    fetched run is executed: its pickles load after 'git runs trust'.
    """
    from gitflowrun.porcelain.push import fetch

    repo = open_repository()
    return show_report(repo, fetch(repo, remote), "From", as_json_=as_json_)
