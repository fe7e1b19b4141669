"""`check`: whether the flow can run, and what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gitflowrun.cli.flow.main import FlowContext

__all__ = ["command"]


@click.command(name="check")
@click.option("--warnings/--no-warnings", default=False, hidden=True, expose_value=False)
@click.pass_obj
def command(flow: FlowContext) -> None:
    """Check the flow's parameters and graph without running it."""
    flow.check()
    script = shlex.quote(flow.script)
    flow.say()
    flow.say(f"`python {script} run` runs it, `python {script} run --help` lists its parameters.")
    flow.say(
        f"`python {script} show` describes its steps, `python {script} help` lists all commands."
    )
