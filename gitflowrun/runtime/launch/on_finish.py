"""Starts the user's command when a run has ended (`runs.onFinish`): a message, a sound, the next thing to do.

The command is one of the user's own programs, as an editor or a pager is, so what lies in the repository can't name
it: only their own git config, the system's, the command line and the variable count. It is started and left alone, in
a process group of its own and without our streams, so whatever becomes of it, nobody waits for it and the run's exit
code is what it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.environment import clean_environment
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import RunIdentity

_KEY = "runs.onfinish"
_VARIABLE = "GITFLOWRUN_ONFINISH"
_SHELL = "/bin/sh"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


def is_ignored(repository: Repository) -> bool:
    """Whether the repository's own config names a command, and nothing of the user's does: it is not started."""
    named = repository.config.get(_KEY)
    return bool(named) and not _command(repository)


def _command(repository: Repository) -> str:
    given = os.environ.get(_VARIABLE)
    return repository.git.own_config.get(_KEY, "") if given is None else given


def start_on_finish(repository: Repository, run: RunIdentity) -> int | None:
    """Start the user's command for a run that has ended.

    Args:
        repository: Where the run is recorded.
        run: The run.

    Returns:
        The number of the process; None where there is no command, or it can't be started.
    """
    command = _command(repository)
    if not command.strip():
        return None
    with contextlib.suppress(OSError, GitflowrunError):
        status = RunStore(repository).get(run.flow, run.id).status
        env = {
            **clean_environment(),
            "GITFLOWRUN_RUN": run.pathspec,
            "GITFLOWRUN_FLOW": run.flow,
            "GITFLOWRUN_STATUS": status.value,
            _VARIABLE: "",  # a run that the command starts would start it again, and so on
        }
        # Nobody who waits for the end of our output waits for it.
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        place = str(repository.work_tree or repository.git_dir)
        words = [_SHELL, "-c", f'cd -- "$0" && {{ {command}\n}}', place]
        return os.posix_spawn(
            _SHELL, words, env, file_actions=null, setpgroup=0, setsigmask=[], setsigdef=_SIGNALS
        )
    return None
