"""The command `run`: a new run, with the flow's parameters as options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gitflowrun.errors import ParameterError, UsageError
from gitflowrun.runtime.ipc.request import RunKind, RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.cli.flow.main import FlowContext
    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.parameter import ParameterSpec

    _ParamType = click.ParamType[Any]  # generic since click 8.5
else:
    _ParamType = click.ParamType

__all__ = ["common_request", "run_command", "run_options"]

_MEGABYTE = 1 << 20
_METAVARS = {
    "str": "TEXT", "int": "INTEGER", "float": "FLOAT", "bool": "BOOLEAN", "json": "JSON", "file": "PATH",
}  # fmt: skip


class SpecType(_ParamType):
    """The type of a parameter, which converts as the parameter itself says."""

    def __init__(self, spec: ParameterSpec) -> None:
        self.spec = spec
        self.name = _METAVARS.get(spec.kind, "TEXT")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parameter's value for a text; a usage error when there is none."""
        try:
            return self.spec.convert(value)
        except UsageError as error:
            self.fail(error.message.partition(": ")[2] or error.message, param, ctx)


class ParameterOption(click.Option):
    """A parameter of the flow as an option; its default and the environment are the launcher's business."""

    def __init__(self, index: int, spec: ParameterSpec) -> None:
        foreign = {
            key: value for key, value in spec.options.items() if key not in {"envvar", "default"}
        }
        if not foreign.get("is_flag"):
            own = isinstance(spec.type, click.ParamType)
            foreign.setdefault("type", spec.type if own else SpecType(spec))
        try:
            super().__init__(
                [f"--{spec.name}", f"parameter_{index}"],
                help=_help(spec),
                **{"allow_from_autoenv": False, **foreign},
            )
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f"parameter {spec.name!r}: {str(error).replace('Parameter.__init__()', 'click.option')}",
                hint="what Parameter does not know itself is passed to click.option as it is",
            ) from error
        self.spec = spec


def _help(spec: ParameterSpec) -> str:
    words = [spec.help] if spec.help else []
    if spec.required:
        words.append("[required]")
    elif isinstance(spec.show_default, str):
        words.append(f"[default: {spec.show_default}]")
    elif spec.show_default and spec.deploy_time:
        words.append("[default: computed when the run starts]")
    elif spec.show_default and spec.default is not None:
        words.append(f"[default: {spec.default}]")
    return "  ".join(words)


_options: dict[type, list[ParameterOption]] = {}


def parameter_options(flow_cls: type[FlowSpec]) -> list[ParameterOption]:
    """The options for a flow's parameters, in alphabetical order; the same objects at every call."""
    if flow_cls not in _options:
        from gitflowrun.flow.parameter_values import check_parameters, specs

        check_parameters(flow_cls)
        rows = sorted(specs(flow_cls), key=lambda spec: spec.name.lower())
        _options[flow_cls] = [ParameterOption(index, spec) for index, spec in enumerate(rows)]
    return _options[flow_cls]


class RunCommand(click.Command):
    """A command that has the flow's parameters as options, before its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        flow: FlowContext = ctx.obj
        return [*parameter_options(flow.flow_cls), *super().get_params(ctx)]


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `run` and `resume` have in common."""
    from gitflowrun.cli.flow.main import refuse_with

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
            "--max-num-splits", type=click.IntRange(min=1), default=100, show_default=True,
            help="The most items a foreach may have: a limit against mistakes.",
        ),
        click.option(
            "--max-workers", type=click.IntRange(min=1), default=16, show_default=True,
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
        option.spec.attribute: ctx.params[str(option.name)]
        for option in parameter_options(flow.flow_cls)
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
