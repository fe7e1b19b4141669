"""The command `run`: a new run, with the flow's parameters as options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gitflowrun.cli.flow.context import RunCommand, refuse_with
from gitflowrun.limits import MAX_NUM_SPLITS, MAX_WORKERS
from gitflowrun.runtime.ipc.request import RunKind, RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.cli.flow.context import FlowContext

__all__ = ["common_request", "run_command", "run_options"]

_MEGABYTE = 1 << 20


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `run` and `resume` have in common."""
    for option in (
        click.option("--with", "decospecs", multiple=True, hidden=True, expose_value=False, callback=refuse_with),
        click.option(
            "--namespace", metavar="TAG",
            help="The namespace that tasks see through the client; empty for all runs. "
            "Tags of the new run are not affected.",
        ),
        click.option(
            "--runner-attribute-file", type=click.Path(path_type=Path),
            help="Write run id and flow name to this file as JSON, for programs.",
        ),
        click.option(
            "--run-id-file", type=click.Path(path_type=Path),
            help="Write the run id to this file before any task starts.",
        ),
        click.option(
            "--max-log-size", type=click.IntRange(min=1), metavar="MB",
            help="Megabytes of output kept per task and stream.  [default: runs.maxLogSize, or 10]",
        ),
        click.option(
            "--max-num-splits", type=click.IntRange(min=1), default=MAX_NUM_SPLITS, show_default=True,
            help="The most items a foreach may have: a limit against mistakes.",
        ),
        click.option(
            "--max-workers", type=click.IntRange(min=1), default=MAX_WORKERS, show_default=True,
            help="The most tasks that run at the same time.",
        ),
        click.option("--tag", "tags", multiple=True, help="Tag the new run. May be given several times."),
    ):  # fmt: skip
        command = option(command)
    return command


def common_request(kind: RunKind, options: dict[str, Any], **more: Any) -> RunRequest:
    """The request that `run_options` describe."""
    from gitflowrun.names import check_tag

    megabytes = options["max_log_size"]
    return RunRequest(
        kind=kind,
        tags=tuple(check_tag(tag) for tag in options["tags"]),
        max_workers=options["max_workers"],
        max_num_splits=options["max_num_splits"],
        max_log_size=None if megabytes is None else megabytes * _MEGABYTE,
        run_id_file=options["run_id_file"],
        runner_attribute_file=options["runner_attribute_file"],
        namespace=options["namespace"],
        argv=tuple(sys.argv),
        **more,
    )


def _given(ctx: click.Context) -> dict[str, object]:
    """The parameters that the command line gives, by attribute."""
    flow: FlowContext = ctx.obj
    return {
        option.attribute: ctx.params[str(option.name)]
        for option in flow.parameter_options
        if ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    }


@click.command(cls=RunCommand, name="run")
@click.option(
    "--clone", metavar="RUN", help="Start with the parameters of this run; options given here win."
)
@run_options
@click.pass_context
def run_command(ctx: click.Context, /, clone: str | None, **options: Any) -> int:
    """Run the flow and record the run in the git repository."""
    flow: FlowContext = ctx.obj
    flow.check()
    own = {key: value for key, value in options.items() if not key.startswith("parameter_")}
    request = common_request(
        RunKind.RUN if clone is None else RunKind.CLONE, own, origin=clone, parameters=_given(ctx)
    )
    return flow.launcher.run(request, flow.repository)
