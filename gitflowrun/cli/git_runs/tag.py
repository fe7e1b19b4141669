"""`git runs tag`: list, add or remove tags of a run; they are git tags, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.output.tables import Cell, Column, as_json, table
from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository

__all__ = ["tag_command"]


@click.command(name="tag")
@click.option("-d", "--delete", is_flag=True, help="Remove the tags instead of adding them.")
@json_option
@click.argument("address", required=False, metavar="[RUN]")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
def tag_command(delete: bool, as_json_: bool, address: str | None, tags: tuple[str, ...]) -> None:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d."""
    if delete and not tags:
        raise UsageError("which tags are to be removed?", hint="git runs tag -d RUN TAG...")
    repo = open_repository()
    with open_screen(repo, page=address is None) as screen:
        if address is None:
            _list_all(repo, screen, as_json_)
        else:
            _one_run(repo, screen, address, tags, delete=delete, as_json_=as_json_)


def _one_run(
    repo: Repository,
    screen: Screen,
    address: str,
    tags: tuple[str, ...],
    *,
    delete: bool,
    as_json_: bool,
) -> None:
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.tags import Tags

    run = RunStore(repo).find(address)
    store = Tags(repo)
    change = store.remove if delete else store.add
    current = change(run, tags) if tags else store.of(run)
    if as_json_:
        screen.line(as_json({"run": run.pathspec, "tags": current}))
        return
    for tag in current:
        screen.line(screen.style.cyan(printable(tag)))


def _list_all(repo: Repository, screen: Screen, as_json_: bool) -> None:
    """Every tag, with the runs that have it."""
    from gitflowrun.runs.listing import newest_first
    from gitflowrun.runs.tags import Tags

    found: dict[str, list[str]] = {}
    tagged = Tags(repo).all()
    for flow, run in newest_first(tagged):
        for tag in tagged[flow, run]:
            found.setdefault(tag, []).append(f"{flow}/{run}")
    if as_json_:
        screen.line(as_json(dict(sorted(found.items()))))
        return
    if not found:
        screen.line("No run has a tag. `git runs tag RUN TAG` adds one.")
        return
    rows: list[list[Cell | str]] = [
        [Cell(tag, screen.style.cyan), " ".join(found[tag])] for tag in sorted(found)
    ]
    screen.lines(table([Column("TAG", shrinks=True), Column("RUNS", shrinks=True)], rows, screen))
