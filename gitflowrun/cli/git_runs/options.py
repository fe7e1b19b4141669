"""Options and arguments that several commands of `git runs` share, as decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.repository import Repository

__all__ = ["filter_options", "json_option", "open_repository", "query_of", "stream_options"]

json_option = click.option("--json", "as_json_", is_flag=True, help="Print one JSON document.")


def open_repository() -> Repository:
    """The repository we are in. Raises NotARepository."""
    from gitflowrun.git.repository import Repository

    return Repository.discover()


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose runs; `query_of` turns their values into a query."""
    for option in (
        click.option("--user", help="Only runs of this user."),
        click.option(
            "--status",
            "statuses",
            multiple=True,
            help="Only runs with this status, or one of several: failed,dead.",
        ),
        click.option("--tag", "tags", multiple=True, help="Only runs with this tag."),
        click.option(
            "--on",
            metavar="REVISION",
            help="Only runs whose code commit is in the history of this branch, tag or commit.",
        ),
        click.option(
            "-n",
            "limit",
            type=click.IntRange(min=0),
            metavar="NUMBER",
            help="At most so many runs.",
        ),
        click.argument("flow", required=False),
    ):
        command = option(command)
    return command


def query_of(
    flow: str | None,
    limit: int | None,
    tags: tuple[str, ...],
    statuses: tuple[str, ...],
    user: str | None,
    on: str | None,
) -> Any:
    """The query that `filter_options` describe; several statuses, or several words in one, mean any of them."""
    from gitflowrun.porcelain.query import RunQuery, parse_status

    words = [word for status in statuses for word in status.split(",")]
    return RunQuery(flow, tags, tuple(map(parse_status, words)), user, on, limit)


def stream_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--stdout`, `--stderr` and `--both` (what is given nothing): the names of the streams wanted."""

    def streams(
        _ctx: click.Context, _option: click.Parameter, value: str | None
    ) -> tuple[str, ...]:
        return ("stdout", "stderr") if value in {None, "both"} else (str(value),)

    for name, help_ in (
        ("both", "Both streams, stdout first (the default)."),
        ("stderr", "Only standard error."),
        ("stdout", "Only standard output."),
    ):
        command = click.option(
            f"--{name}", "streams", flag_value=name, callback=streams, help=help_
        )(command)
    return command
