"""`git runs list`: which runs to show; the table is `run_table`'s, which needs no click."""

from __future__ import annotations

from typing import Any

import click

from gitflowrun.cli.git_runs.options import filter_options, json_option
from gitflowrun.cli.git_runs.run_table import list_runs


@click.command(name="list")
@filter_options
@click.option("-p", "--params", is_flag=True, help="Show the parameters in which runs differ.")
@json_option
def list_command(params: bool, as_json_: bool, **filters: Any) -> None:
    """List runs, newest first; only those of FLOW when it is given."""
    from gitflowrun.porcelain.query import RunQuery

    list_runs(RunQuery(**filters), params=params, json=as_json_)
