"""What commands have in common: how they are found, and options and arguments, as decorators."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import click

from gitflowrun.cli.output.help_text import keep_words

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option = click.option("--json", "as_json_", is_flag=True, help="Print one JSON document.")


def load_command(module: str, name: str) -> click.Command:
    """The command `name`, which is `<name>_command` in a module below this package, imported only now."""
    found = importlib.import_module(f"gitflowrun.cli.{module}")
    command: click.Command = getattr(found, f"{name.replace('-', '_')}_command")
    return keep_words(command)


def together(*options: _Decorator) -> _Decorator:
    """One decorator for several options and arguments, given in the order in which help lists them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _statuses(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> Any:
    from gitflowrun.runs.query.select import parse_status

    return tuple(parse_status(word) for words in value for word in words.split(","))


def _streams(_ctx: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
    return ("stdout", "stderr") if value in {None, "both"} else (str(value),)


# The options that choose runs: the fields of a `runs.query.select.RunQuery`.
filter_options = together(
    click.option(
        "-n", "--max-count", "limit", type=click.IntRange(min=0), metavar="NUMBER",
        help="At most so many runs; -5 is the same as -n 5.",
    ),
    click.option(
        "--on", metavar="REVISION",
        help="Only runs whose code commit is in the history of this branch, tag or commit.",
    ),
    click.option("--tag", "tags", multiple=True, help="Only runs with this tag."),
    click.option(
        "--status", "statuses", multiple=True, callback=_statuses,
        help="Only runs with this status, or one of several: failed,interrupted.",
    ),
    click.option(
        "-w", "--where", metavar="QUERY",
        help="Only runs that this query means, such as 'accuracy > 0.9 and not failed'.",
    ),
    click.option("--user", help="Only runs of this user, or of the git author with this name or e-mail."),
)  # fmt: skip

attempt_option = click.option(
    "--attempt", type=click.IntRange(min=0), metavar="NUMBER",
    help="What this attempt wrote, the first one being 0.  [default: the last]",
)  # fmt: skip

# `--stdout`, `--stderr` and `--both` (without any: both), the names of the streams; and `--timestamps`.
stream_options = together(
    click.option(
        "-t", "--timestamps", is_flag=True, help="Begin each line with the time it was written."
    ),
    *(
        click.option(f"--{name}", "streams", flag_value=name, callback=_streams, help=help_)
        for name, help_ in (
            ("stdout", "Only standard output."),
            ("stderr", "Only standard error."),
            ("both", "Both streams, stdout first (the default)."),
        )
    ),
)
