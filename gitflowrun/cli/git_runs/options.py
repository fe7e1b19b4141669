"""Options and arguments that several commands of `git runs` share, as decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.repository import Repository

json_option = click.option("--json", "as_json_", is_flag=True, help="Print one JSON document.")


def open_repository() -> Repository:
    """The repository we are in. Raises NotARepository."""
    from gitflowrun.git.repository import Repository

    return Repository.discover()


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose runs: the fields of a `porcelain.query.RunQuery`."""

    def parsed(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> Any:
        from gitflowrun.porcelain.query import parse_status

        return tuple(parse_status(word) for words in value for word in words.split(","))

    for option in (
        click.option("--user", help="Only runs of this user."),
        click.option(
            "--status", "statuses", multiple=True, callback=parsed,
            help="Only runs with this status, or one of several: failed,dead.",
        ),
        click.option("--tag", "tags", multiple=True, help="Only runs with this tag."),
        click.option(
            "--on", metavar="REVISION",
            help="Only runs whose code commit is in the history of this branch, tag or commit.",
        ),
        click.option(
            "-n", "limit", type=click.IntRange(min=0), metavar="NUMBER", help="At most so many runs.",
        ),
        click.argument("flow", required=False),
    ):  # fmt: skip
        command = option(command)
    return command


def stream_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--stdout`, `--stderr` and `--both` (without any: both), the names of the streams; and `--timestamps`."""

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
    return click.option(
        "-t", "--timestamps", is_flag=True, help="Begin each line with the time it was written."
    )(command)
