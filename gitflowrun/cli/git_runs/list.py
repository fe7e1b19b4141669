"""`git runs list`: its options. The work is that of `cli.listing`, which needs no click."""

from __future__ import annotations

from typing import Any

import click

from gitflowrun.cli.git_runs.listing import list_runs
from gitflowrun.cli.git_runs.options import filter_options, json_option, query_of

__all__ = ["command"]


@click.command(name="list")
@filter_options
@click.option("-p", "--params", is_flag=True, help="Show the parameters in which runs differ.")
@json_option
def command(params: bool, as_json_: bool, **filters: Any) -> None:
    """List runs, newest first; only those of FLOW when it is given."""
    list_runs(query_of(**filters), params=params, json=as_json_)
