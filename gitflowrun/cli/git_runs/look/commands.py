"""The commands that look at runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gitflowrun.cli.options import filter_options, json_option, stream_options


@click.command(name="list")
@filter_options
@click.option("-p", "--params", is_flag=True, help="Show the parameters in which runs differ.")
@click.option("--trash", is_flag=True, help="List the runs in the trash instead.")
@json_option
def list_command(params: bool, trash: bool, as_json_: bool, **filters: Any) -> None:
    """List runs, newest first; only those of FLOW when it is given."""
    if trash:
        from gitflowrun.cli.git_runs.remove.removal import list_trash

        list_trash(as_json_=as_json_, flow=filters["flow"])
        return
    from gitflowrun.cli.git_runs.look.log import print_list

    print_list(params=params, as_json_=as_json_, **filters)


@click.command(name="log")
@filter_options
@json_option
def log_command(as_json_: bool, **filters: Any) -> None:
    """Show runs one after the other, newest first; only those of FLOW when it is given."""
    from gitflowrun.cli.git_runs.look.log import print_log

    print_log(as_json_=as_json_, **filters)


@click.command(name="show")
@json_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
def show_command(as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Show what is recorded of runs, steps, tasks or artifacts; of the newest run without ADDRESS.

    ADDRESS is RUN, RUN/STEP, RUN/STEP/TASK or RUN/STEP/TASK/ARTIFACT.
    """
    from gitflowrun.cli.git_runs.look.show import print_addresses

    return print_addresses(as_json_=as_json_, addresses=addresses)


@click.command(name="diff")
@click.option("-p", "-u", "--patch", is_flag=True, help="Show the code's changes line by line.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.argument("runs", nargs=-1, metavar="[RUN [RUN]]")
def diff_command(patch: bool, exit_code: bool, as_json_: bool, runs: tuple[str, ...]) -> int:
    """Show what differs between two runs: parameters, environment, artifacts, code.

    One RUN is compared with the newest one; without any, the newest two are compared.
    """
    from gitflowrun.cli.git_runs.look.diff import print_difference

    return print_difference(patch=patch, exit_code=exit_code, as_json_=as_json_, runs=runs)


@click.command(name="logs")
@stream_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written until the run ends.")
@click.argument("address", default="@latest")
def logs_command(streams: tuple[str, ...], timestamps: bool, follow: bool, address: str) -> int:
    """Print what the tasks of a run, of a step, or one task wrote; running ones included.

    ADDRESS is RUN, RUN/STEP or RUN/STEP/TASK; the newest run if it is left out.
    """
    from gitflowrun.cli.git_runs.look.logs import print_logs

    return print_logs(streams=streams, timestamps=timestamps, follow=follow, address=address)


@click.command(name="cat")
@click.option("--raw", is_flag=True, help="Print the stored bytes, whatever they mean.")
@click.option(
    "-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to FILE, in the format that its suffix says.",
)  # fmt: skip
@click.argument("address")
def cat_command(raw: bool, file: Path | None, address: str) -> None:
    """Print an artifact: RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with.

    Text and bytes are printed as they are. Of a value that needs the code of its flow, which nothing
    here imports, is printed what its task noted down; so it is for a pickle of somebody else's run
    until `git runs trust` allows it.

    With -o it becomes a file: .pkl and .joblib of any value, .json, .csv, .parquet, .npy, .npz, .png,
    .html, .txt of values that these can hold, text and bytes under any name. The .png or .html that a
    task has drawn of a figure needs nobody's trust.
    """
    from gitflowrun.cli.git_runs.look.cat import print_artifact

    print_artifact(raw=raw, file=file, address=address)
