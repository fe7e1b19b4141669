"""`git runs hooks`, which installs and removes our git hooks, and `git runs hook`, which they call.

A hook writes to standard error and never makes the user's git command fail.
"""

from __future__ import annotations

import sys

from gitflowrun.cli.errors import GIT, REFUSED, exit_code_of, warn_of_settings
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain import hooks


def change_hooks(*, as_json_: bool, action: str | None, force: bool) -> int:
    """Install git hooks beside your own, remove them again, or show how they are."""
    if force and action != "install":
        raise UsageError("--force goes with install", hint="git runs hooks install --force")
    repo = Repository.discover()
    warn_of_settings(repo)
    if action == "install":
        found = hooks.install(repo, force=force)
    else:
        found = hooks.state(repo) if action is None else hooks.uninstall(repo)
    lines = [hook_line(hook) for hook in found]
    if not repo.settings.auto_push and any(_sends(hook) for hook in found):
        lines.append("pre-push sends runs along once you say so: git config runs.autoPush true")
    show(repo, found, lambda _: lines, json=as_json_)
    refused = {
        "install": {hooks.Installed.BLOCKED, hooks.Installed.EDITED},
        "uninstall": {hooks.Installed.STUCK},
    }.get(action or "", set())
    return REFUSED if any(hook.installed in refused for hook in found) else 0


def _sends(hook: hooks.HookState) -> bool:
    return hook.name == "pre-push" and hook.installed is hooks.Installed.YES


def hook_line(hook: hooks.HookState) -> str:
    """A hook, how it is and where, for people."""
    why = f": {hook.reason}" if hook.reason else ""
    return printable(f"{hook.name}: {hook.installed.value}{why} ({hook.path})")


def run_hook(*, name: str, words: tuple[str, ...]) -> int:
    """Do the work of the git hook NAME, called with the arguments and the input that git gives it."""
    exit_code_of(_post_commit if name == "post-commit" else lambda: _pre_push(words), GIT)
    return 0


def _post_commit() -> int:
    for pathspec in hooks.post_commit(Repository.discover()):
        _tell(f"this commit is what run {pathspec} ran")
    return 0


def _pre_push(words: tuple[str, ...]) -> int:
    remote, url = words
    report = hooks.pre_push(Repository.discover(), remote, url, sys.stdin)
    if report is not None:
        from gitflowrun.cli.git_runs.share.sync import summary
        from gitflowrun.porcelain.transfer.sync import Outcome

        _tell(f"runs to {report.remote}: {summary(report)}")
        for run in report.with_outcome(Outcome.REFUSED):
            _tell(f"{run.flow}/{run.source} was refused: {run.reason}")
        for word in (*report.words, *report.notices):
            _tell(word)
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"git runs: {printable(text)}\n")
