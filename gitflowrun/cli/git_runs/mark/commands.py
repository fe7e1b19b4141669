"""The commands that mark runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

import click

from gitflowrun.cli.options import json_option


@click.command(name="tag")
@click.option("-d", "--delete", is_flag=True, help="Remove the tags instead of adding them.")
@json_option
@click.argument("address", required=False, metavar="[RUN]")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
def tag_command(delete: bool, as_json_: bool, address: str | None, tags: tuple[str, ...]) -> int:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d."""
    from gitflowrun.cli.git_runs.mark.tag import change_tags

    return change_tags(delete=delete, as_json_=as_json_, address=address, tags=tags)
