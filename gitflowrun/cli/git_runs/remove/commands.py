"""The commands that remove runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

import click

from gitflowrun.cli.options import json_option

_force = click.option(
    "-f", "--force", is_flag=True,
    help="Do not ask about runs that are running, tagged, on a remote, or the origin of others.",
)  # fmt: skip


def _age(_ctx: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    from gitflowrun.runs.query.fields import read_duration
    from gitflowrun.settings import parse_age

    if value is None:
        return None
    seconds = read_duration(value)
    return parse_age(value) if seconds is None else seconds


@click.command(name="rm")
@click.option("-w", "--where", metavar="QUERY", help="Remove the runs that this query means.")
@click.option(
    "--keep-last", type=click.IntRange(min=0), metavar="NUMBER",
    help="Remove all but so many of the newest runs of each flow.",
)  # fmt: skip
@click.option(
    "--older-than", callback=_age, metavar="AGE", help="Remove runs that started longer ago: 30d, 2.weeks.",
)  # fmt: skip
@click.option(
    "-f", "--force", is_flag=True,
    help="Remove the runs of a set; of RUNs, those that are running, tagged, on a remote, or the origin of others.",
)  # fmt: skip
@click.option(
    "--remote", "there", is_flag=True, help="Remove them also from remotes that have them."
)
@json_option
@click.argument("addresses", nargs=-1, metavar="[RUN...|QUERY]")
def rm_command(
    where: str | None,
    keep_last: int | None,
    older_than: float | None,
    force: bool,
    there: bool,
    as_json_: bool,
    addresses: tuple[str, ...],
) -> int:
    """Move RUNs to the trash, with their tags and the notes on them.

    There they stay for 30 days, or as long as runs.trashExpire says, and git runs restore puts them back. Remotes keep
    what they have, and no fetch brings it here again unless it is asked for by name. 'git runs gc --prune=now' empties
    the trash and frees its space.

    Runs that are not named one by one, but by a query or an option, are only listed until --force is given; tagged ones
    stay unless the query speaks of tags, and running ones in any case.

    With --remote they are removed from all configured remotes as well that have them; RUNs may be in the trash already.
    There is no trash there. A server may refuse it, and a run that went on there stays: the exit code is 1 then.
    """
    from gitflowrun.cli.git_runs.remove.removal import remove_runs, remove_set
    from gitflowrun.cli.git_runs.run_words import is_query
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.query.sets import RunSet

    if len(addresses) == 1 and where is None and is_query(Repository.discover(), addresses[0]):
        where, addresses = addresses[0], ()
    wanted = RunSet(where, keep_last, older_than)
    is_set = wanted != RunSet()
    if is_set == bool(addresses):
        raise click.UsageError("name the runs, or say by a query or an option which")
    if is_set:
        return remove_set(wanted, force=force, there=there, as_json_=as_json_)
    return remove_runs(force=force, there=there, as_json_=as_json_, addresses=addresses)


@click.command(name="restore")
@json_option
@click.argument("addresses", nargs=-1, metavar="[RUN]...")
def restore_command(as_json_: bool, addresses: tuple[str, ...]) -> None:
    """Put RUNs back from the trash; without RUN, list the trash.

    RUN is 12, Flow/12 or the first digits of a uid. Where the name is taken, it becomes <number>-<uid>.
    """
    from gitflowrun.cli.git_runs.remove.removal import list_trash, restore_runs

    if addresses:
        restore_runs(as_json_=as_json_, addresses=addresses)
    else:
        list_trash(as_json_=as_json_)


@click.command(name="gc")
@click.option(
    "--prune",
    metavar="AGE",
    help="Remove what is in the trash, or was spun, for longer: now, never, or such as 2.weeks.",
)
@json_option
def gc_command(prune: str | None, as_json_: bool) -> None:
    """Remove the runs for good that have been in the trash for 30 days, or as long as runs.trashExpire says.

    Spun tasks go after 2 weeks, or what runs.spinExpire says, but for the newest one.

    Frees what only they reached, and nothing of yours: packs that hold some of it are written anew without it. Also
    folds small packs and removes what crashed processes left.
    """
    from gitflowrun.cli.git_runs.remove.removal import collect_garbage

    collect_garbage(prune=prune, as_json_=as_json_)


@click.command(name="purge")
@_force
@json_option
@click.argument("addresses", nargs=-1, required=True, metavar="RUN...")
def purge_command(force: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Remove RUNs, here or in the trash, and their objects for good, now.

    What remotes have stays there: which they are, and what removes it there, is printed.
    """
    from gitflowrun.cli.git_runs.remove.removal import purge_runs

    return purge_runs(force=force, as_json_=as_json_, addresses=addresses)
