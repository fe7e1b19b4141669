"""`git runs tag`: list, add, remove or move tags of runs; they are git tags, too."""

from __future__ import annotations

import shlex
from itertools import chain
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.errors import GIT, REFUSED, report_error, warn_of_settings
from gitflowrun.cli.git_runs.run_words import expand_queries
from gitflowrun.cli.output.tables import Cell, Column, show, table
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId, did_you_mean
from gitflowrun.runs.lookup.listing import newest_first
from gitflowrun.runs.lookup.ranges import parse_range
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.read import StoredRun


def change_tags(*, delete: bool, as_json_: bool, address: str | None, tags: tuple[str, ...]) -> int:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d."""
    if delete and not tags:
        raise UsageError("which tags are to be removed?", hint="git runs tag -d RUN TAG...")
    repo = Repository.discover()
    if address is None:
        _list_all(repo, json=as_json_)
        return 0
    named = expand_queries(repo, [address])
    runs = RunStore(repo).find_all(named)
    if tags:
        warn_of_settings(repo)
    store = Tags(repo)
    before = store.of_all(runs)
    added, removed = ((), tags) if delete else (tags, ())
    after = before
    if tags:
        after = store.change_all(runs, add=added, remove=removed)
    rows = [{"run": run.pathspec, "tags": now} for run, now in zip(runs, after, strict=True)]
    found = rows if named != [address] or parse_range(address) else rows[0]
    show(repo, found, lambda screen: _tags_of(rows, screen), json=as_json_)
    present = set(chain.from_iterable(before))
    missing = [tag for tag in dict.fromkeys(removed) if tag not in present]
    listed = f"`git runs tag {shlex.quote(address)}` lists its tags"
    for tag in missing:
        hint = did_you_mean(tag, sorted(present), listed)
        none = runs[0].pathspec if len(runs) == 1 else f"none of {address}"
        report_error(
            UsageError(f"{none} has {'no' if len(runs) == 1 else 'the'} tag {tag!r}", hint=hint),
            GIT,
        )
    return REFUSED if missing else 0


def _tags_of(rows: Sequence[Mapping[str, Any]], screen: Screen) -> Iterator[str]:
    """The tags of a run, a line each; of several runs a table."""
    if len(rows) == 1:
        return map(screen.style.cyan, map(printable, rows[0]["tags"]))
    cells = [
        (Cell(row["run"], screen.style.yellow), Cell(", ".join(row["tags"]), screen.style.cyan))
        for row in rows
    ]
    return table([Column("RUN"), Column("TAGS", shrinks=True)], cells, screen)


def move_tag(
    tag: str, address: str | None, *, delete: bool, more: tuple[str, ...], as_json_: bool
) -> int:
    """Make a tag name one run of its flow."""
    if delete or more or address is None:
        raise UsageError(
            "--move takes one tag and one run", hint=f"git runs tag --move {shlex.quote(tag)} RUN"
        )
    repo = Repository.discover()
    run = _run_to_tag(RunStore(repo), tag, address)
    warn_of_settings(repo)
    store = Tags(repo)
    taken = store.move(run, tag)
    found = {"run": run.pathspec, "tags": store.of(run), "moved": tag, "taken_from": taken}
    show(repo, found, lambda _: iter([_told_moved(tag, run.pathspec, taken)]), json=as_json_)
    return 0


def _run_to_tag(store: RunStore, tag: str, address: str) -> StoredRun:
    try:
        return store.find(address)
    except NotFound as error:
        if not RunId.matches(tag):
            raise
        words = f"git runs tag --move {shlex.quote(address)} {tag}"
        raise NotFound(error.message, hint=f"the tag comes first: {words}") from error


def _told_moved(tag: str, run: str, taken: Sequence[str]) -> str:
    before = f"; taken from {', '.join(taken)}" if taken else ""
    return printable(f"{tag} names {run} now{before}")


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
