"""The click group of a flow file's command line: its commands and the options that all of them have.

What a command says about itself goes to standard error; standard output belongs to the run log and to what was
asked for. Exit codes are Metaflow's (`cli.errors`): 1 for errors and failed runs, 2 for a wrong command line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from gitflowrun._version import __version__
from gitflowrun.cli.errors import FLOW, invoke
from gitflowrun.cli.flow.configs import config_options
from gitflowrun.cli.flow.context import FlowContext, with_option
from gitflowrun.cli.options import load_command, together
from gitflowrun.cli.output.terminal import style_for
from gitflowrun.cli.output.text import printable
from gitflowrun.flow.definition import option_declarations
from gitflowrun.names import did_you_mean
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.flow import FlowSpec
    from gitflowrun.runtime.launch.launcher import Launcher

# name: module of this package, one line of help
COMMANDS = {
    "run": ("run", "Run the flow."),
    "resume": ("resume", "Run again what failed in a run, reusing what is finished."),
    "spin": ("spin", "Run one step of an earlier run again, outside of the history."),
    "check": ("describe", "Check the flow without running it."),
    "show": ("describe", "Show the steps of the flow."),
    "dump": ("dump", "Print the artifacts of tasks."),
    "logs": ("logs", "Print what tasks wrote to stdout and stderr."),
    "card": ("card_commands", "Look at the cards of tasks."),
    "tag": ("tag", "Add, remove, replace or list tags of runs."),
    "output-dot": ("describe", "Print the graph for GraphViz."),
    "output-raw": ("describe", "Print all that is known of the graph, with --json as JSON."),
    "options": ("option_list", "Print the options of the flow as JSON, for programs."),
    "version": ("describe", "Print the version of gitflowrun."),
    "help": ("describe", "Show this help."),
}

_CLUSTERS = "runs are made on this machine; a cron job or a pipeline starts `run`"
# Commands of Metaflow that are not here, and what is.
_ELSEWHERE = {
    "package": "`git ls-tree -r runs/FLOW/RUN:code` lists a run's code, `git runs checkout RUN` writes it",
    **dict.fromkeys(("init", "step", "spin-step"), "`run` starts the tasks; none is started by itself"),
    **dict.fromkeys(
        ("airflow", "argo-workflows", "batch", "kubernetes", "spot-metadata", "step-functions"), _CLUSTERS
    ),
}  # fmt: skip


class _Commands(click.Group):
    """The commands by name; a command's module is imported when the command is typed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The options of all flows between those for the configs and those of the decorators of this one."""
        flow: FlowContext = ctx.obj
        own = [
            click.Option([f"--{name}"], **{"envvar": _variable(name), **settings})
            for name, settings in option_declarations(flow.flow_cls).items()
        ]
        return [*config_options(flow.flow_cls), *super().get_params(ctx), *own]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        return load_command(f"flow.{COMMANDS[cmd_name][0]}", cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            hint = _ELSEWHERE.get(name) or did_you_mean(name, COMMANDS, "`help` lists all commands")
            raise click.UsageError(f"No such command '{name}': {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])


def _variable(option: str) -> str:
    # Of a flow's own option; `METAFLOW_<NAME>`, which all options have, gives it as well.
    return f"METAFLOW_FLOW_{option.upper().replace('-', '_')}"


# Options of Metaflow's that scripts may give and that change nothing here.
_HERE = ("--metadata", "--datastore", "--event-logger", "--monitor")
_IGNORED = ("--datastore-root", "--package-suffixes", "--local-config-file")
_IGNORED_FLAGS = ("--pylint/--no-pylint", "--force-rebuild-environments")
_PROVIDERS = frozenset({"conda", "pypi", "uv"})
"""Values of `--environment` that ask for packages, as decorators of these names do: accepted, with a notice."""
_NAMES_OF_HERE = frozenset({"local", "nullSidecarLogger", "nullSidecarMonitor"})


def _known_environment(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str:
    if not value or value == "local":
        return ""
    if value not in _PROVIDERS:
        raise click.BadParameter("tasks run on this machine: local, conda, pypi and uv are taken")
    return value


def _refuse_elsewhere(_ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value and value.partition("@")[0] not in _NAMES_OF_HERE:
        raise click.BadParameter(
            "runs live in the git repository of the flow; only 'local' is possible"
        )


_KINDS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (_HERE, {"callback": _refuse_elsewhere}), (_IGNORED, {}), (_IGNORED_FLAGS, {"is_flag": True}),
)  # fmt: skip
_metaflow_options = together(
    *(
        click.option(name, hidden=True, expose_value=False, **settings)
        for names, settings in _KINDS
        for name in names
    )
)


@click.command(cls=_Commands, invoke_without_command=True, no_args_is_help=False)
@click.option(
    "--quiet/--not-quiet",
    default=False,
    help="Say nothing about ourselves, only what was asked for.",
)
@_metaflow_options
@click.option("--environment", hidden=True, callback=_known_environment)
@with_option
@click.pass_context
def _top(
    ctx: click.Context,
    /,
    quiet: bool,
    environment: str,
    decospecs: tuple[str, ...],
    config: tuple[tuple[str, str], ...] = (),
    config_value: tuple[tuple[str, str], ...] = (),
    **options: Any,
) -> None:
    """Run this flow, look at it and at its runs. Without a command the flow is checked."""
    flow: FlowContext = replace(
        ctx.obj,
        quiet=quiet,
        decospecs=decospecs,
        options=options,
        config_files=config,
        config_values=config_value,
    )
    ctx.obj = flow
    bold = style_for(sys.stderr).bold
    flow.say(bold(f"gitflowrun {__version__} executing {flow.name} for user:{flow.user}"))
    if environment:
        flow.say(
            f"--environment {environment} provides nothing here: tasks use the packages of the interpreter that runs "
            "the flow."
        )
    for name in (
        "METAFLOW_DEFAULT_DATASTORE",
        "METAFLOW_DEFAULT_METADATA",
        "METAFLOW_DEFAULT_ENVIRONMENT",
    ):
        if (value := os.environ.get(name, "local")) not in {"", "local"}:
            flow.say(
                f"{name}={printable(value)} has no effect: runs are recorded in the git repository, and tasks are "
                "executed on this machine with the interpreter that runs the flow."
            )
    if ctx.invoked_subcommand is None:
        ctx.invoke(load_command("flow.describe", "check"))


def main(flow_cls: type[FlowSpec], launcher: Launcher, argv: Sequence[str] | None = None) -> int:
    """Run the command line of a flow file and return its exit code.

    Args:
        flow_cls: The flow.
        launcher: What executes runs.
        argv: The words after the file's name; those of this process when None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    flow = FlowContext(flow_cls, launcher)
    dialect = replace(FLOW, git=flow.git)
    return invoke(_top, words, flow.command(), dialect, obj=flow, auto_envvar_prefix="METAFLOW")
