"""The click group of a flow file's command line: its commands and the options that all of them have.

What a command says about itself goes to standard error; standard output belongs to the run log and to what was
asked for. Exit codes are Metaflow's (`cli.errors`): 1 for errors and failed runs, 2 for a wrong command line.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import click

from gitflowrun.cli.errors import FLOW, invoke
from gitflowrun.cli.output.terminal import Style, style_for
from gitflowrun.cli.output.text import counted
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.ipc.request import RunRequest

__all__ = ["COMMANDS", "FlowContext", "Launcher", "main", "refuse_with"]

# name: module of this package, one line of help
COMMANDS = {
    "run": ("run", "Run the flow."),
    "resume": ("resume", "Run again what failed in a run, reusing what is finished."),
    "check": ("describe", "Check the flow without running it."),
    "show": ("describe", "Show the steps of the flow."),
    "dump": ("dump", "Print the artifacts of tasks."),
    "logs": ("logs", "Print what tasks wrote to stdout and stderr."),
    "tag": ("tag", "Add, remove, replace or list tags of runs."),
    "output-dot": ("describe", "Print the graph for GraphViz."),
    "version": ("describe", "Print the version of gitflowrun."),
    "help": ("describe", "Show this help."),
}


class Launcher(Protocol):
    """What executes runs; `cli.launch` brings it."""

    def run(self, request: RunRequest, repository: Repository) -> int:
        """Execute a run to its end and return the exit code."""


@frozen(slots=False)
class FlowContext:
    """What every command of a flow file knows.

    Attributes:
        flow_cls: The flow.
        launcher: What executes runs.
        script: The flow's file as it was typed.
        quiet: Whether to leave out what is said about ourselves.
    """

    flow_cls: type[FlowSpec]
    launcher: Launcher
    script: str
    quiet: bool = False

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.flow_cls.__name__

    @property
    def graph(self) -> FlowGraph:
        """The flow's graph."""
        from gitflowrun.flow.graph import FlowGraph

        return FlowGraph.of(self.flow_cls)

    @property
    def user(self) -> str:
        """Who runs, by the settings of the repository if there is one."""
        from gitflowrun.errors import RepositoryError
        from gitflowrun.settings import Settings, user_name

        try:
            settings = self.repository.settings
        except RepositoryError:  # only a command that needs the repository should complain
            settings = Settings.parse({}, os.environ)
        return user_name(settings, os.environ)

    @property
    def style(self) -> Style:
        """The colours of what is said on standard error."""
        return style_for(sys.stderr)

    def say(self, text: str = "") -> None:
        """Say something about ourselves, unless we are to be quiet."""
        if not self.quiet:
            click.echo(text, err=True)

    @cached_property
    def repository(self) -> Repository:
        """The repository of the flow's runs, discovered once. Raises NotARepository."""
        from gitflowrun.git.repository import Repository

        return Repository.discover()

    def check(self) -> None:
        """Check parameters and graph.

        Raises:
            FlowError: the flow breaks a rule.
        """
        from gitflowrun.cli.flow.run import parameter_options
        from gitflowrun.flow.lint import lint

        parameter_options(self.flow_cls)
        lint(self.graph)
        self.say(f"The flow is valid: {counted(len(self.graph), 'step')}.")


class _Commands(click.Group):
    """The commands by name; a command's module is imported when the command is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        import importlib

        module = importlib.import_module(f"gitflowrun.cli.flow.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            from gitflowrun.names import nearest

            close = nearest(name, list(COMMANDS))
            more = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"No such command '{name}'.{more}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])


def _refuse_foreign(ctx: click.Context, option: click.Parameter, value: Any) -> Any:  # noqa: ARG001
    """Accept Metaflow's words for "here, in this repository", and nothing else."""
    if value and str(value).partition("@")[0] not in {
        "local",
        "nullSidecarLogger",
        "nullSidecarMonitor",
    }:
        raise click.BadParameter(
            "runs live in the git repository of the flow; only 'local' is possible"
        )
    return value


def refuse_with(ctx: click.Context, option: click.Parameter, value: Any) -> Any:  # noqa: ARG001
    """Say that `--with` is not there: to ignore a decorator silently would be a lie."""
    if value:
        raise click.BadParameter("decorators can't be added here; write them in the flow's file")
    return value


def _foreign_options(command: Any) -> Any:
    """Options of Metaflow's that scripts may give and that change nothing here."""
    local = ("--metadata", "--environment", "--datastore", "--event-logger", "--monitor")
    ignored = ("--datastore-root", "--package-suffixes", "--local-config-file")
    for name in local:
        command = click.option(name, hidden=True, expose_value=False, callback=_refuse_foreign)(
            command
        )
    for name in ignored:
        command = click.option(name, hidden=True, expose_value=False)(command)
    for name in ("--pylint/--no-pylint", "--force-rebuild-environments"):
        command = click.option(name, is_flag=True, hidden=True, expose_value=False)(command)
    return click.option(
        "--with", "decospecs", multiple=True, hidden=True, expose_value=False, callback=refuse_with
    )(command)


@click.command(cls=_Commands, invoke_without_command=True, no_args_is_help=False)
@click.option(
    "--quiet/--not-quiet",
    default=False,
    help="Say nothing about ourselves, only what was asked for.",
)
@_foreign_options
@click.pass_context
def _top(ctx: click.Context, quiet: bool) -> None:
    """Run this flow, look at it and at its runs. Without a command the flow is checked."""
    from gitflowrun.values import replace

    flow: FlowContext = replace(ctx.obj, quiet=quiet)
    ctx.obj = flow
    from gitflowrun._version import __version__

    flow.say(
        flow.style.bold(f"gitflowrun {__version__} executing {flow.name} for user:{flow.user}")
    )
    if ctx.invoked_subcommand is None:
        ctx.invoke(_Commands.get_command(_top, ctx, "check"))  # type: ignore[arg-type]


def main(flow_cls: type[FlowSpec], launcher: Launcher, argv: Sequence[str] | None = None) -> int:
    """Run the command line of a flow file and return its exit code.

    Args:
        flow_cls: The flow.
        launcher: What executes runs.
        argv: The words after the file's name; those of this process when None.
    """
    script = sys.argv[0]
    words = list(sys.argv[1:] if argv is None else argv)
    flow = FlowContext(flow_cls, launcher, script)
    name = os.path.basename(script)  # noqa: PTH119  (as text)
    return invoke(_top, words, name, FLOW, obj=flow, auto_envvar_prefix="METAFLOW")
