"""The command `tag`: tags of the flow's runs, with Metaflow's subcommands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitflowrun.cli.options import together
from gitflowrun.cli.output.tables import columns as in_columns
from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import (
    CorruptRecord,
    NamespaceMismatch,
    NotFound,
    RepositoryError,
    UsageError,
)
from gitflowrun.runs.lookup.listing import told_damaged
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gitflowrun.cli.flow.context import FlowContext


_run_id = click.option("--run-id", metavar="RUN", help="The run.")
_run_options = together(
    _run_id,
    click.option("--namespace", metavar="TAG", help="Refuse a run that does not have this tag."),
)


@click.group(name="tag", invoke_without_command=True)
@click.pass_context
def tag_command(ctx: click.Context) -> None:
    """Add, remove, replace or list tags of runs; they are git tags, too."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@tag_command.command(name="add")
@_run_options
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def add(
    flow: FlowContext, /, run_id: str | None, namespace: str | None, tags: tuple[str, ...]
) -> None:
    """Add TAGS to a run."""
    _change(flow, run_id, namespace, add=tags)


@tag_command.command(name="remove")
@_run_options
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def remove(
    flow: FlowContext, /, run_id: str | None, namespace: str | None, tags: tuple[str, ...]
) -> None:
    """Remove TAGS from a run; those it does not have are no error."""
    _change(flow, run_id, namespace, remove=tags)


@tag_command.command(name="replace")
@_run_options
@click.option("--add", "added", multiple=True, required=True, metavar="TAG", help="Add this.")
@click.option(
    "--remove", "removed", multiple=True, required=True, metavar="TAG", help="Remove this."
)
@click.pass_obj
def replace(
    flow: FlowContext,
    /,
    run_id: str | None,
    namespace: str | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
) -> None:
    """Remove tags from a run and add others, all or nothing."""
    _change(flow, run_id, namespace, add=added, remove=removed)


def _change(
    flow: FlowContext,
    run_id: str | None,
    namespace: str | None,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> None:
    store = RunStore(flow.repository)
    if run_id is None:
        latest = store.latest(flow.name)
        hint = f"the latest is --run-id {latest.id}" if latest else f"{flow.name} has no runs yet"
        raise NotFound("which run is meant?", hint=hint)
    run = store.find(run_id, flow.name)
    known = Tags(flow.repository)
    if namespace and namespace not in {*run.info.system_tags, *known.of(run)}:
        raise NamespaceMismatch(
            f"{run.pathspec} is not in the namespace {namespace!r}",
            hint="without --namespace any run of the flow can be tagged",
        )
    tags = known.change(run, add=add, remove=remove)
    flow.say(f"{run.pathspec} now has these tags:")
    with open_screen(flow.repository) as screen:
        _table(run.info.system_tags, tags, screen)


@tag_command.command(name="list")
@click.argument("run", required=False)
@_run_id
@click.option("--all", "all_", is_flag=True, help="Tags of all runs (the default without RUN).")
@click.option("--my-runs", is_flag=True, help="Only tags of your own runs.")
@click.option("--hide-system-tags", is_flag=True, help="Only tags that users gave.")
@click.option("--group-by-tag", is_flag=True, help="Show the runs of each tag.")
@click.option("--group-by-run", is_flag=True, help="Show the tags of each run.")
@click.option("--flat", is_flag=True, hidden=True)
@click.pass_obj
def list_(
    flow: FlowContext,
    /,
    run: str | None,
    run_id: str | None,
    all_: bool,
    my_runs: bool,
    hide_system_tags: bool,
    group_by_tag: bool,
    group_by_run: bool,
    flat: bool,
) -> None:
    """List the tags of RUN, or of all runs of the flow."""
    if run is not None and run_id is not None and run != run_id:
        raise UsageError(f"both {run} and --run-id {run_id} are given", hint="name one run")
    if group_by_tag and group_by_run:
        raise UsageError("--group-by-tag and --group-by-run exclude each other", hint="choose one")
    rows = _rows(flow, None if all_ else run or run_id, mine=my_runs, system=not hide_system_tags)
    if flat:
        _list_flat(rows, of_each_run=flow.quiet)
        return
    with open_screen(flow.repository) as screen:
        if group_by_run:
            for found, system, tags in rows:
                screen.line(screen.style.yellow(printable(found)))
                _table(system, tags, screen)
        elif group_by_tag:
            _list_by_tag(rows, screen)
        else:
            user = {tag for _, _, tags in rows for tag in tags}
            _table({tag for _, system, _ in rows for tag in system}, user, screen)


_Row = tuple[str, "Sequence[str]", "Sequence[str]"]


def _rows(flow: FlowContext, address: str | None, *, mine: bool, system: bool) -> list[_Row]:
    """The runs meant, with the system's tags, if these are wanted, and those of users."""
    store = RunStore(flow.repository)
    tags = Tags(flow.repository).all(flow.name)
    found = [(flow.name, store.find(address, flow.name).id)] if address else store.names(flow.name)
    rows: list[_Row] = []
    damaged = []
    for name in found:
        own = tags.get(name, ())
        pathspec = "/".join(name)
        try:
            info = store.get(*name).info
            if not mine or info.user == flow.user:
                rows.append((pathspec, info.system_tags if system else (), own))
        except (CorruptRecord, RepositoryError):  # which anybody may have pushed
            damaged.append(pathspec)
            rows.append((pathspec, (), own))
    if damaged:
        click.echo(f"warning: {printable(told_damaged(damaged))}", err=True)
    return rows


def _list_flat(rows: Iterable[_Row], *, of_each_run: bool) -> None:
    """For programs, on standard error as Metaflow does it: a tag a line; when quiet, a run a line."""
    lines = [
        f"{run.partition('/')[2]} ; {','.join(system)} ; {','.join(tags)}"
        for run, system, tags in rows
    ]
    if not of_each_run:
        lines = sorted({tag for _, system, tags in rows for tag in (*system, *tags)})
    for line in lines:
        click.echo(printable(line), err=True)


def _list_by_tag(rows: Iterable[_Row], screen: Screen) -> None:
    found: dict[str, list[str]] = {}
    for run, system, tags in rows:
        for tag in (*system, *tags):
            found.setdefault(tag, []).append(run)
    for tag in sorted(found):
        screen.line(screen.style.cyan(printable(tag)))
        for line in in_columns(found[tag], screen):
            screen.line(f"    {line}")


def _table(system: Iterable[str], user: Iterable[str], screen: Screen) -> None:
    """Tags in columns; a person sees a star at those that users gave, which can be changed."""
    star = " *" if screen.person else ""
    screen.lines(in_columns(sorted({*system, *(tag + star for tag in user)}), screen))
