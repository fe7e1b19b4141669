"""`git runs push`: sends runs to a remote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.git_runs.sync import show_report
from gitflowrun.errors import InvalidPathspec, UsageError

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun

__all__ = ["command"]


@click.command(name="push")
@json_option
@click.argument("remote", required=False)
@click.argument("runs", nargs=-1, metavar="[RUN|FLOW]...")
def command(as_json_: bool, remote: str | None, runs: tuple[str, ...]) -> int:
    """Send runs and their tags to REMOTE: all of them, or RUNs and all runs of FLOWs.

    A run whose number is taken there is published as <number>-<uid>; here it keeps its number. Nothing on the
    remote is overwritten.
    """
    from gitflowrun.porcelain.push import push

    repo = open_repository()
    if remote is not None:
        _check_remote(repo, remote)
    report = push(repo, remote, _chosen(repo, runs) if runs else None)
    return show_report(repo, report, "To", as_json_=as_json_)


def _chosen(repo: Repository, words: tuple[str, ...]) -> list[StoredRun]:
    from gitflowrun.runs.runs import RunStore

    store = RunStore(repo)
    names = store.names()
    flows = {flow for flow, _ in names}
    found = {}
    for word in words:
        runs = (
            [store.get(*name) for name in names if name[0] == word]
            if word in flows
            else [store.find(word)]
        )
        found.update({run.pathspec: run for run in runs})
    return list(found.values())


def _check_remote(repo: Repository, word: str) -> None:
    """Answer `git runs push 12`, where the remote was forgotten."""
    from gitflowrun.git.transport import default_remote
    from gitflowrun.names import RunId

    if word in repo.remotes():
        return
    try:
        RunId(word)
    except InvalidPathspec:
        return
    raise UsageError(
        f"{word!r} is a run, not a remote",
        hint=f"git runs push {default_remote(repo, push=True)} {word}",
    )
