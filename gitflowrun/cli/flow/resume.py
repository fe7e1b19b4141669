"""The command `resume`: a run that continues another one and reuses its finished tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.flow.configs import RunConfigs
from gitflowrun.cli.flow.execute_run import execute_run
from gitflowrun.cli.flow.run import run_options
from gitflowrun.errors import FlowError, UsageError
from gitflowrun.names import RunId, did_you_mean
from gitflowrun.runtime.ipc.request import RunKind, RunRequest

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext


@click.command(name="resume")
@click.argument("step_or_run", required=False, metavar="[STEP | RUN-ID]")
@click.option(
    "--origin-run-id",
    metavar="RUN",
    help="The run to go on from.  [default: the latest that you made here]",
)
@run_options
@click.pass_obj
def resume_command(
    flow: FlowContext, /, step_or_run: str | None, origin_run_id: str | None, **options: Any
) -> int:
    """Run again what failed in a run and what follows it, with the code as it is now.

    What is finished is reused, parameters are those of the origin. With STEP, that step and all that
    follow it run again, even if they succeeded.
    """
    step, origin = _which(flow, step_or_run)
    if origin is not None and origin_run_id is not None and origin != origin_run_id:
        raise UsageError(
            f"both {origin} and --origin-run-id {origin_run_id} are given", hint="name one run"
        )
    flow = flow.configured(RunKind.RESUME, origin or origin_run_id)
    flow.check(options["decospecs"])
    options["decospecs"] = flow.all_decospecs(options["decospecs"])
    options["options"] = flow.options
    configs = flow.configs or RunConfigs()
    request = RunRequest(
        RunKind.RESUME,
        step=step,
        origin=configs.origin or origin or origin_run_id,
        argv=tuple(sys.argv),
        configs=configs.packed,
        config_sources=configs.sources,
        **options,
    )
    return execute_run(flow, request)


def _which(flow: FlowContext, word: str | None) -> tuple[str | None, str | None]:
    """The step and the run that the argument names: one of them, or neither."""
    if word is None:
        return None, None
    if word in flow.graph:
        return word, None
    if "/" in word or word.startswith("@") or RunId.matches(word):
        return None, word
    steps = flow.graph.sorted_nodes
    raise FlowError(
        f"{word!r} is neither a step of {flow.name} nor a run id",
        hint=did_you_mean(word, steps, f"its steps are {', '.join(steps)}"),
    )
