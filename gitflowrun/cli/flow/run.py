"""The command `run`: a new run, with the flow's parameters as options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gitflowrun.cli.flow.configs import RunConfigs
from gitflowrun.cli.flow.context import FlowContext, RunCommand, with_option
from gitflowrun.cli.flow.execute_run import execute_run
from gitflowrun.cli.options import together
from gitflowrun.flow.secret_parameters import redacted
from gitflowrun.limits import MAX_NUM_SPLITS, MAX_WORKERS
from gitflowrun.names import check_tag
from gitflowrun.runtime.ipc.request import RERUN, RunKind, RunRequest
from gitflowrun.settings import Isolation

_MEGABYTE = 1 << 20
_TYPED = (ParameterSource.COMMANDLINE, ParameterSource.PROMPT)


def _in_bytes(_ctx: click.Context, _option: click.Parameter, size: int | None) -> int | None:
    return None if size is None else size * _MEGABYTE


def _isolation(_ctx: click.Context, _option: click.Parameter, kind: str | None) -> Isolation | None:
    return None if kind is None else Isolation(kind)


def _executor(_ctx: click.Context, _option: click.Parameter, words: str | None) -> str | None:
    if words is None:
        return None
    from gitflowrun.runtime.executors.engines.engine_choice import check_executor  # few runs ask

    return check_executor(words)


def _file(text: str) -> Path:
    if not text:
        raise click.BadParameter("the name of a file is empty")
    return Path(text)


# The options of `run`, `resume` and `spin`, fields of a `RunRequest`.
output_options = together(
    click.option(
        "--max-log-size", type=click.IntRange(min=1), metavar="MB", callback=_in_bytes,
        help="Megabytes of output kept per task and stream.  [default: runs.maxLogSize, or 10]",
    ),
    click.option(
        "--run-id-file", type=_file, metavar="PATH",
        help="Write the run id to this file before any task starts.",
    ),
    click.option(
        "--runner-attribute-file", type=_file, metavar="PATH",
        help="Write run id and flow name to this file as JSON, for programs.",
    ),
)  # fmt: skip
# Those that `run` and `resume` have in common.
run_options = together(
    click.option(
        "--tag", "tags", multiple=True, type=check_tag, metavar="TEXT",
        help="Tag the new run. May be given several times.",
    ),
    click.option(
        "--max-workers", type=click.IntRange(min=1), default=MAX_WORKERS, show_default=True,
        help="The most tasks that run at the same time.",
    ),
    click.option(
        "--max-num-splits", type=click.IntRange(min=1), default=MAX_NUM_SPLITS, show_default=True,
        help="The most items a foreach may have: a limit against mistakes.",
    ),
    output_options,
    click.option(
        "--namespace", metavar="TAG", envvar="METAFLOW_RUN_USER_NAMESPACE",
        help="The namespace that tasks see through the client; empty for all runs. "
        "Tags of the new run are not affected.",
    ),
    with_option,
    click.option(
        "--isolation", type=click.Choice([it.value for it in Isolation]), callback=_isolation,
        help="How tasks get their processes.  [default: runs.isolation, or fork]",
    ),
    click.option(
        "--executor", callback=_executor, metavar="EXECUTOR",
        help="What executes tasks: local, dask[:ADDRESS], ray[:ADDRESS], or MODULE:FUNCTION that makes a "
        "concurrent.futures.Executor.  [default: runs.executor, or local]",
    ),
    click.option(
        "--cache/--no-cache", default=None,
        help="Take what an earlier run has done with the same code, inputs and parameters from there.  "
        "[default: runs.cache, or no]",
    ),
)  # fmt: skip


def _given(ctx: click.Context) -> dict[str, object]:
    """The parameters that the command line gives, by attribute."""
    flow: FlowContext = ctx.obj
    return {
        option.attribute: option.parameter.called_back(ctx.params[str(option.name)])
        for option in flow.parameter_options
        if ctx.get_parameter_source(str(option.name)) in _TYPED
    }


@click.command(cls=RunCommand, name="run")
@click.option(
    "--clone", metavar="RUN", help="Start with the parameters of this run; options given here win."
)
@click.option(
    RERUN, "rerun", metavar="RUN", hidden=True, help="As --clone: what git runs rerun gives."
)
@run_options
@click.pass_context
def run_command(ctx: click.Context, /, clone: str | None, rerun: str | None, **options: Any) -> int:
    """Run the flow and record the run in the git repository."""
    flow: FlowContext = ctx.obj
    flow.check(options["decospecs"])
    own = {key: value for key, value in options.items() if not key.startswith("parameter_")}
    own["decospecs"] = flow.all_decospecs(own["decospecs"])
    own["options"] = flow.options
    kind = RunKind.RUN
    if clone is not None or rerun is not None:
        kind = RunKind.CLONE if rerun is None else RunKind.RERUN
    configs = flow.configs or RunConfigs()
    argv = redacted(sys.argv, (option.parameter for option in flow.parameter_options))
    request = RunRequest(
        kind,
        origin=configs.origin or (clone if rerun is None else rerun),
        parameters=_given(ctx),
        argv=argv,
        configs=configs.packed,
        config_sources=configs.sources,
        **own,
    )
    return execute_run(flow, request)
