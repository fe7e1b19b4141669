"""The commands that look at runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gitflowrun.cli.git_command import GitCommand
from gitflowrun.cli.options import attempt_option, filter_options, json_option, stream_options


def _names(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> Any:
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


_format_option = click.option(
    "--format", "template", metavar="FORMAT",
    help="Write each run so: '%(run) %(accuracy)', as for git for-each-ref, or '{run} {accuracy:.3f}'.",
)  # fmt: skip
_nul_option = click.option(
    "-z", "nul", is_flag=True, help="End entries with NUL instead of a line feed."
)


@click.command(name="list", cls=GitCommand, counts=True)
@click.argument("words", nargs=-1, metavar="[FLOW] [QUERY]")
@filter_options
@click.option(
    "-s", "--sort", multiple=True, callback=_names, metavar="NAME",
    help="Sort by a metric, parameter or field; by -NAME with the largest first.",
)  # fmt: skip
@click.option(
    "-c", "--columns", multiple=True, callback=_names, metavar="NAME,...",
    help="Show these columns: metrics, parameters, fields.",
)  # fmt: skip
@click.option("-p", "--params", is_flag=True, help="Show the parameters in which runs differ.")
@click.option("-m", "--metrics", is_flag=True, help="Show metrics; with neither, both are shown.")
@click.option("--only-changed", is_flag=True, help="Leave out columns in which all runs are equal.")
@click.option(
    "--group-by", metavar="NAME", help="Show groups of runs with the same value: --group-by code."
)
@_format_option
@_nul_option
@click.option("--trash", is_flag=True, help="List the runs in the trash instead.")
@json_option
def list_command(trash: bool, words: tuple[str, ...], **options: Any) -> None:
    """List runs, newest first; only those of FLOW, or that QUERY means, when these are given.

    QUERY compares metrics, parameters and fields: 'accuracy > 0.9 and lr < 0.01 or tag = production'. Metrics are the
    numbers, truth values and short texts among the artifacts of the end step. Fields are id, flow, status, tag, user,
    started, finished, duration, tasks, step, dirty, code (the commit of the code), origin and branch.
    """
    from gitflowrun.cli.git_runs.look.run_list import print_list, print_trash

    if trash:
        print_trash(words, as_json_=options["as_json_"])
    else:
        print_list(words, **options)


@click.command(name="log", cls=GitCommand, counts=True, takes_paths=True)
@click.argument("flow", required=False)
@filter_options
@click.option("--oneline", is_flag=True, help="Show each run in a line.")
@click.option(
    "-p",
    "-u",
    "--patch",
    "form",
    flag_value="patch",
    default=None,
    help="Show what changed in the code of each run, against the run before it of its flow.",
)
@click.option("--stat", "form", flag_value="stat", help="Show which files changed, and how much.")
@_format_option
@_nul_option
@json_option
def log_command(as_json_: bool, **chosen: Any) -> int:
    """Show runs one after the other, newest first.

    FLOW are the runs of a flow; a run in its place is where to begin, 10..20 a range of runs. With
    PATHs, only runs whose code changed there against the run before of the same flow are shown.

    What a run printed is shown by 'git runs logs'.
    """
    from gitflowrun.cli.git_runs.look.log import print_log

    return print_log(as_json_=as_json_, **chosen)


@click.command(name="show")
@_format_option
@_nul_option
@json_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
def show_command(
    template: str | None, nul: bool, as_json_: bool, addresses: tuple[str, ...]
) -> int:
    """Show what is recorded of runs, steps, tasks or artifacts; of the newest run without ADDRESS.

    ADDRESS is RUN, RUN/STEP, RUN/STEP/TASK or RUN/STEP/TASK/ARTIFACT.
    """
    from gitflowrun.cli.git_runs.look.show import print_addresses, print_runs

    if template is not None or nul:
        return print_runs(template, addresses, nul=nul)
    return print_addresses(as_json_=as_json_, addresses=addresses)


@click.command(name="diff", cls=GitCommand, takes_paths=True)
@click.option("-p", "-u", "--patch", is_flag=True, help="Show the code's changes line by line.")
@click.option(
    "--stat",
    "form",
    flag_value="stat",
    default=None,
    help="Show nothing but which files of the code differ, and how much.",
)
@click.option(
    "--name-only", "form", flag_value="name-only", help="Show nothing but the names of these."
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "markdown"]),
    default="text",
    help="Write it for a terminal, or for a pull request.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.argument("runs", nargs=-1, metavar="[RUN [RUN]]")
def diff_command(as_json_: bool, **chosen: Any) -> int:
    """Show what differs between two runs: parameters, environment, artifacts, code.

    One RUN is compared with the newest one; without any, the newest two are compared. RUN..RUN is the
    same as RUN RUN. With PATHs, only their changes are shown, line by line.
    """
    from gitflowrun.cli.git_runs.look.diff import print_difference

    return print_difference(as_json_=as_json_, **chosen)


@click.command(name="compare")
@click.option("--baseline", metavar="RUN", help="Show by how much the others differ from RUN.")
@click.option("-a", "--all", "everything", is_flag=True, help="Show also what does not differ.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    help="Write a table for a terminal, or for a pull request.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything but durations differs.")
@json_option
@click.argument("runs", nargs=-1, metavar="[RUN]...")
def compare_command(as_json_: bool, **chosen: Any) -> int:
    """Show runs side by side: parameters, metrics, how long they took, their code; only what differs.

    RUN is an address or a range, 10..20; without any, the newest two runs are compared.
    """
    from gitflowrun.cli.git_runs.look.compare import print_comparison

    return print_comparison(as_json_=as_json_, **chosen)


@click.command(name="logs")
@stream_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written until the run ends.")
@attempt_option
@click.argument("address", default="@latest")
def logs_command(**chosen: Any) -> int:
    """Print what a run, a step or a task wrote to stdout and stderr; running ones included.

    ADDRESS is RUN, RUN/STEP or RUN/STEP/TASK; the newest run if it is left out.
    """
    from gitflowrun.cli.git_runs.look.logs import print_logs

    return print_logs(**chosen)


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


@click.command(name="card")
@click.option(
    "--hash", "hash_", metavar="HASH", help="The card with this hash, or one that begins so."
)
@click.option("--type", "type_", metavar="TYPE", help="Cards of this type.")
@click.option("--id", "id_", metavar="ID", help="Cards with this id.")
@click.option(
    "-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the card to FILE, as HTML.",
)  # fmt: skip
@click.option("-w", "--web", is_flag=True, help="Open the card in a browser.")
@json_option
@click.argument("address", default="@latest")
def card_command(**chosen: Any) -> int:
    """List the cards of a run, a step or a task; write one to a file, or open it in a browser.

    ADDRESS is RUN, RUN/STEP or RUN/STEP/TASK; the newest run if it is left out. The path of a card in git is what
    `git show` understands. Of a run that is not trusted, no script of a card runs in the browser.
    """
    from gitflowrun.cli.git_runs.look.run_card import look_at_cards

    return look_at_cards(**chosen)


@click.command(name="watch")
@json_option
@click.argument("address", required=False, metavar="[RUN]")
def watch_command(as_json_: bool, address: str | None) -> int:
    """Show how far RUN is until it ends: of each step how many tasks are done, run and failed, and how long is left.

    Without RUN, of the newest one that is running. A terminal shows it in place, with the last lines that tasks have
    written; a pipe gets a line when something has happened, and with --json an object. The exit code is 0 if the run
    is done, 1 if it failed or was interrupted. A run that has ended is told at once.
    """
    from gitflowrun.cli.git_runs.look.watch import watch_run

    return watch_run(as_json_=as_json_, address=address)
