"""The command `spin`: one task of an earlier run, executed once more with the code as it is now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.flow.configs import RunConfigs
from gitflowrun.cli.flow.execute_run import execute_run
from gitflowrun.cli.flow.run import output_options
from gitflowrun.errors import FlowError, InvalidPathspec
from gitflowrun.limits import MAX_NUM_SPLITS
from gitflowrun.names import did_you_mean
from gitflowrun.runtime.ipc.request import RunKind, RunRequest, Spin
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext

_FORMS = "write STEP, RUN/STEP, RUN/STEP/TASK, FLOW/RUN/STEP or FLOW/RUN/STEP/TASK"


@click.command(name="spin")
@click.argument("pathspec")
@click.option(
    "--skip-decorators/--no-skip-decorators", default=False,
    help="Leave out the decorators of the step and of the flow.",
)  # fmt: skip
@click.option(
    "--artifacts-module", type=click.Path(exists=True, dir_okay=False, resolve_path=True), metavar="PATH",
    help="A Python file whose dictionary ARTIFACTS has values for the step in the place of its inputs' artifacts; "
    "of a join by the pathspecs of the inputs.",
)  # fmt: skip
@click.option(
    "--persist/--no-persist", default=None,
    help="Store the artifacts that the step sets.  [default: runs.spinPersist, or no]",
)  # fmt: skip
@output_options
@click.pass_obj
def spin_command(
    flow: FlowContext,
    /,
    pathspec: str,
    skip_decorators: bool,
    artifacts_module: str | None,
    persist: bool | None,
    **options: Any,
) -> int:
    """Run one task of an earlier run again, with the code as it is now and the inputs that it had.

    PATHSPEC is STEP, RUN/STEP or RUN/STEP/TASK; without RUN, of your newest run that has the step; without TASK, the
    step's last one. Nothing follows it, and no list of runs has it: it is FLOW/spin-N/STEP/TASK for the client, for
    `git runs show` and `git runs logs`, and `git runs gc` removes it when it is old.
    """
    place = _Place.parse(pathspec, flow.name)
    if place.step not in flow.graph:
        steps = flow.graph.sorted_nodes
        raise FlowError(
            f"step {place.step!r} not found in flow {flow.name!r}",
            hint=did_you_mean(place.step, steps, f"its steps are {', '.join(steps)}"),
        )
    flow = flow.configured(RunKind.SPIN, place.run, place.step)
    if persist is None:
        persist = flow.repository.settings.spin_persist
    spin = Spin(place.step, persist, skip_decorators, artifacts_module)
    flow.check(only=spin.only_step)
    configs = flow.configs or RunConfigs()
    request = RunRequest(
        RunKind.SPIN,
        max_workers=1,
        max_num_splits=MAX_NUM_SPLITS,
        step=place.step,
        origin=configs.origin or place.run,
        task=place.task,
        spin=spin,
        argv=tuple(sys.argv),
        decospecs=flow.all_decospecs(),
        options=flow.options,
        configs=configs.packed,
        config_sources=configs.sources,
        **options,
    )
    return execute_run(flow, request)


@frozen
class _Place:
    """Where the task is: run and task are None where they are not said."""

    step: str
    run: str | None = None
    task: str | None = None

    @classmethod
    def parse(cls, text: str, flow: str) -> _Place:
        """Take a PATHSPEC apart. Raises InvalidPathspec."""
        parts = text.split("/")
        if not all(parts) or len(parts) > 4:  # noqa: PLR2004  (as `_FORMS` says)
            raise InvalidPathspec(f"{text!r} is not the address of a step or a task", hint=_FORMS)
        if len(parts) == 1:
            return cls(text)
        if parts[0] == flow and len(parts) > 2:  # noqa: PLR2004
            del parts[0]
        if len(parts) == 4:  # noqa: PLR2004
            raise InvalidPathspec(
                f"{text!r} is of flow {parts[0]!r}, and this is {flow!r}", hint=_FORMS
            )
        run, step, *task = parts
        return cls(step, run, *task)
