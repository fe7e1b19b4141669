"""Executes the run that `run` and `resume` ask for, and starts what the user wants started when it has ended.

A spun task is executed in the same way; nothing is started for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gitflowrun.cli.flow.ask import ask_secret
from gitflowrun.runtime.ipc.request import RunKind

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.request import RunRequest

_IGNORED = (
    "warning: runs.onFinish is not followed, as the repository's own config has it: "
    "`git config --global runs.onFinish COMMAND` is yours"
)


def execute_run(flow: FlowContext, request: RunRequest) -> int:
    """Execute a run to its end; the exit code. Raises what `Launcher.run` does."""
    code = 1
    try:
        code = flow.launcher.run(request, flow.repository, ask_secret, flow.run_log)
    finally:  # a run whose scheduler was killed has ended, too
        if request.kind is not RunKind.SPIN and flow.launcher.named is not None:
            _tell_of_end(flow, flow.launcher.named, is_done=code == 0)
    return code


def _tell_of_end(flow: FlowContext, run: RunIdentity, *, is_done: bool) -> None:
    """Call and start what the flow, and the user, want to be told of the end of a run."""
    repository = flow.repository
    try:
        if "gitflowrun.flow.decorators.exit_hook" in sys.modules:
            from gitflowrun.runtime.launch.exit_hooks import call_exit_hooks

            call_exit_hooks(flow.flow_cls, repository, run, flow.say, is_done=is_done)
    finally:
        if _is_wanted(flow):
            from gitflowrun.runtime.launch.on_finish import is_ignored, start_on_finish

            start_on_finish(repository, run)
            if is_ignored(repository):
                click.echo(_IGNORED, err=True)


def _is_wanted(flow: FlowContext) -> bool:
    """Whether anything says what is to be started: most people say nothing, and pay for nothing."""
    import os

    return "GITFLOWRUN_ONFINISH" in os.environ or "runs.onfinish" in flow.repository.config
