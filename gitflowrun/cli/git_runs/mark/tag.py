"""`git runs tag`: list, add or remove tags of a run; they are git tags, too."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import GIT, REFUSED, report_error, warn_of_settings
from gitflowrun.cli.output.tables import Cell, Column, show, table
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.names import did_you_mean
from gitflowrun.runs.lookup.listing import newest_first
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Screen


def change_tags(*, delete: bool, as_json_: bool, address: str | None, tags: tuple[str, ...]) -> int:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d."""
    if delete and not tags:
        raise UsageError("which tags are to be removed?", hint="git runs tag -d RUN TAG...")
    repo = Repository.discover()
    if address is None:
        _list_all(repo, json=as_json_)
        return 0
    run = RunStore(repo).find(address)
    if tags:
        warn_of_settings(repo)
    store = Tags(repo)
    present = store.of(run)
    added, removed = ((), tags) if delete else (tags, ())
    current = store.change(run, add=added, remove=removed) if tags else present
    found = {"run": run.pathspec, "tags": current}
    show(repo, found, lambda screen: map(screen.style.cyan, map(printable, current)), json=as_json_)
    missing = [tag for tag in dict.fromkeys(removed) if tag not in present]
    listed = f"`git runs tag {shlex.quote(address)}` lists its tags"
    for tag in missing:
        hint = did_you_mean(tag, current, listed)
        report_error(UsageError(f"{run.pathspec} has no tag {tag!r}", hint=hint), GIT)
    return REFUSED if missing else 0


def _list_all(repo: Repository, *, json: bool) -> None:
    """Every tag, with the runs that have it."""
    found: dict[str, list[str]] = {}
    tagged = Tags(repo).all()
    for flow, run in newest_first(repo, tagged):
        for tag in tagged[flow, run]:
            found.setdefault(tag, []).append(f"{flow}/{run}")
    found = dict(sorted(found.items()))
    show(repo, found, lambda screen: _table(found, screen), json=json, page=True)


def _table(found: Mapping[str, Sequence[str]], screen: Screen) -> Iterator[str]:
    if not found:
        return iter(["No run has a tag. `git runs tag RUN TAG` adds one."])
    rows = [(Cell(tag, screen.style.cyan), " ".join(runs)) for tag, runs in found.items()]
    return table([Column("TAG", shrinks=True), Column("RUNS", shrinks=True)], rows, screen)
