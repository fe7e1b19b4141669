"""The command `logs`: the output of tasks, printed as `git runs logs` does, with Metaflow's options."""

from __future__ import annotations

import sys

import click

from gitflowrun.cli.errors import FLOW, Damage
from gitflowrun.cli.flow.context import FlowContext, described
from gitflowrun.cli.git_runs.look.logs import LogPrinter, at_attempt
from gitflowrun.cli.options import attempt_option, stream_options
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.errors import FlowError


class _DefaultsToShow(click.Group):
    """`logs PATH` is `logs show PATH`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if args and args[0] in words else ["show", *args])


@click.group(name="logs", cls=_DefaultsToShow)
def logs_command() -> None:
    """Print what tasks wrote to stdout and stderr."""


@logs_command.command(name="show")
@stream_options
@attempt_option
@click.argument("path", metavar="RUN/STEP[/TASK]")
@click.pass_obj
def show(
    flow: FlowContext, /, streams: tuple[str, ...], timestamps: bool, attempt: int | None, path: str
) -> int:
    """Print the output of a task, or of all tasks of a step: stdout, then stderr."""
    with open_screen(flow.repository) as screen:
        damage = Damage(FLOW)
        printer = LogPrinter(screen, damage, timestamps=timestamps)
        for task in at_attempt(flow.tasks_at(path), attempt, damage.tell):
            flow.say(f"Dumping logs of {described(task)}")
            for stream in streams:
                printer.print(task, stream)
            sys.stdout.flush()
    return damage.exit_code


@logs_command.command(name="scrub", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="RUN/STEP[/TASK]")
def scrub(words: tuple[str, ...]) -> None:
    """Say how output that should not be there goes: the commits of a run never change."""
    path = next((word for word in words if not word.startswith("-")), None)
    run = path.partition("/")[0] if path else "RUN"
    raise FlowError(
        f"the output of {path or 'a task'} is in git: the commits of a run never change, and new ones on top of them "
        "would leave it where it is, for everybody who has the run",
        hint=f"`git runs purge {run}` removes the run with all that it has, for good; "
        "values of parameters with secret=True and of @secrets are masked before anything is recorded",
    )
