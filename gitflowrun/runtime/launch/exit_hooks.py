"""Calls the functions of `@exit_hook` when a run has ended: each in a fork of the flow's program, one after the other.

The run is recorded, and its exit code is what it was, whatever becomes of them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.exit_hook import ExitHookDecorator

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import RunIdentity


def call_exit_hooks(
    flow_cls: type,
    repository: Repository,
    run: RunIdentity,
    say: Callable[[str], None],
    *,
    is_done: bool,
) -> None:
    """Call them.

    Args:
        flow_cls: The flow.
        repository: Where the run is recorded: what the functions find through the client.
        run: The run.
        say: Tells the user of a function that fails.
        is_done: Whether the run has come to its end.
    """
    for it in attached(flow_cls).flow:
        if isinstance(it, ExitHookDecorator):
            for name, function in it.functions(flow_cls, is_done=is_done):
                status = _in_a_fork(function, repository, run)
                if status:
                    say(
                        f"The exit hook {name!r} failed: exit status {status}. The run is recorded as it was."
                    )


def _in_a_fork(function: Callable[..., Any], repository: Repository, run: RunIdentity) -> int:
    """Call a function in a process of its own, and wait for it; the exit status, 0 when it has returned."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            place = repository.work_tree or repository.git_dir
            os.environ["GITFLOWRUN_METADATA"] = f"local@{place}"
            _call(function, run)
            code = 0
        except SystemExit as error:
            code = _exit_status(error.code)
        except BaseException as error:  # noqa: BLE001  (only the end of the process follows)
            trace = error.__traceback__  # the first two frames are our own
            for _ in range(2):
                trace = trace and trace.tb_next
            sys.__excepthook__(type(error), error.with_traceback(trace), trace)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _exit_status(given: object) -> int:
    """The exit status that a call of `sys.exit` stands for, as Python has it: what is no number is told, and is 1."""
    if given is None or isinstance(given, int):
        return (given or 0) & 0xFF
    sys.stderr.write(f"{given}\n")
    return 1


def _call(function: Callable[..., Any], run: RunIdentity) -> None:
    import inspect

    if "run" not in inspect.signature(function).parameters:
        function()
        return
    from gitflowrun.client import Run

    function(run=Run(run.pathspec, _namespace_check=False))
