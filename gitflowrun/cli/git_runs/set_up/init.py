"""`git runs init`: what somebody sets up once for a repository; a second time changes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import REFUSED, warn_of_settings
from gitflowrun.cli.git_runs.set_up.hooks import hook_line
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain import hooks
from gitflowrun.porcelain.textconv import textconv_state
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMPLETION = {
    "bash": ("~/.bashrc", "source <(git runs completion bash)"),
    "zsh": ("~/.zshrc", "source <(git runs completion zsh)"),
    "fish": ("~/.config/fish/config.fish", "git runs completion fish | source"),
}
"""Of each shell its start-up file, and the line in it that has `git runs` completed."""
_REFUSED = {hooks.Installed.BLOCKED, hooks.Installed.EDITED}


def set_up_repository(*, as_json_: bool) -> int:
    """Install our hooks, and say what there is beside them; the exit code."""
    repo = Repository.discover()
    warn_of_settings(repo)
    installed = hooks.install(repo)
    shell = os.environ.get("SHELL", "").rpartition("/")[2]
    file, line = _COMPLETION.get(shell, ("", ""))
    names = RunStore(repo).names()
    found = {
        "repository": repo.common_dir,
        "hooks": installed,
        "changed": any(hook.changed for hook in installed),
        "completion": {"shell": shell, "file": file, "line": line} if line else None,
        "runs": len(names),
    }
    lines = [*_hook_lines(installed), *_next_lines(repo, shell, len(names))]
    show(repo, found, lambda _: map(printable, lines), json=as_json_)
    return REFUSED if any(hook.installed in _REFUSED for hook in installed) else 0


def _hook_lines(installed: Sequence[hooks.HookState]) -> Iterator[str]:
    for hook in installed:
        yield hook_line(hook) + ("" if hook.changed else ", as before")
    if any(hook.changed for hook in installed):
        yield "`git runs hooks uninstall` takes hooks away again"


def _next_lines(repo: Repository, shell: str, count: int) -> Iterator[str]:
    """What stays as it is until somebody wants it otherwise."""
    if repo.is_bare:
        return  # a server, where nobody types or runs anything
    if not repo.settings.auto_push:
        yield "git push and git fetch leave runs alone: `git runs push` and `git runs fetch` send and get them"
    if shell in _COMPLETION:
        file, line = _COMPLETION[shell]
        yield f"to complete git runs in {shell}, put this line into {file}: {line}"
    if not textconv_state(repo).installed:
        yield "git diff shows records of runs as bytes: `git runs textconv --install` has it show text"
    if count:
        verb = "is" if count == 1 else "are"
        yield f"there {verb} {counted(count, 'run')} here: `git runs` lists them"
    else:
        yield "`python FLOW.py run` makes the first run, `git runs` lists runs"
