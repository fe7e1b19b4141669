"""The commands that mark runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gitflowrun.cli.options import json_option


@click.command(name="tag")
@click.option("-d", "--delete", is_flag=True, help="Remove the tags instead of adding them.")
@click.option(
    "--move", "moved", metavar="TAG",
    help="Give TAG to RUN, and take it from all other runs of its flow.",
)  # fmt: skip
@json_option
@click.argument("address", required=False, metavar="[RUN]")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
def tag_command(
    delete: bool, moved: str | None, as_json_: bool, address: str | None, tags: tuple[str, ...]
) -> int:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d.

    RUN may be several: 10..20. A tag that one run has names it wherever a run is named; one that
    several have is ambiguous there. --move TAG RUN makes it name RUN, among the runs of its flow.
    """
    from gitflowrun.cli.git_runs.mark.tag import change_tags, move_tag

    if moved is not None:
        return move_tag(moved, address, delete=delete, more=tags, as_json_=as_json_)
    return change_tags(delete=delete, as_json_=as_json_, address=address, tags=tags)


@click.command(name="note")
@click.option(
    "-m",
    "--message",
    "messages",
    multiple=True,
    metavar="TEXT",
    help="Write this; several are paragraphs.",
)
@click.option(
    "-F",
    "--file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write what is in FILE, or on standard input for -.",
)
@click.option("-e", "--edit", is_flag=True, help="Write it in git's editor.")
@click.option("-d", "--delete", is_flag=True, help="Delete it.")
@json_option
@click.argument("address", metavar="RUN")
def note_command(as_json_: bool, **chosen: Any) -> int:
    """Show the note on RUN, write it or delete it.

    Notes are git notes on a run's first commit, in refs/notes/runs, which keeps each state of them. git runs show and
    log print them. A note that is written takes the place of the one before.
    """
    from gitflowrun.cli.git_runs.mark.note import note

    return note(as_json_=as_json_, **chosen)
