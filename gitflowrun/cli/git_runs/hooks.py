"""`git runs hooks`: installs and removes our git hooks."""

from __future__ import annotations

import click

from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.output.tables import as_json
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import printable

__all__ = ["command"]


@click.command(name="hooks")
@json_option
@click.argument("action", required=False, type=click.Choice(["install", "uninstall"]))
def command(as_json_: bool, action: str | None) -> int:
    """Install git hooks beside your own, remove them again, or show how they are.

    post-commit says so when a commit is what a run ran. pre-push sends the runs of pushed commits along when
    runs.autoPush is true. In a bare repository, pre-receive makes runs append-only. Your own hooks stay, and
    still run.
    """
    from gitflowrun.porcelain import hooks

    repo = open_repository()
    work = {None: hooks.state, "install": hooks.install, "uninstall": hooks.uninstall}[action]
    found = work(repo)
    with open_screen(repo) as screen:
        if as_json_:
            screen.line(as_json(found))
            return 0
        for hook in found:
            why = f": {hook.reason}" if hook.reason else ""
            screen.line(
                f"{hook.name}: {hook.installed.value}{printable(why)} ({printable(str(hook.path))})"
            )
    blocked = any(hook.installed is hooks.Installed.BLOCKED for hook in found)
    return 1 if action == "install" and blocked else 0
