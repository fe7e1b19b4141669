"""The program `git runs`: its commands, their overview and the exit code.

The overview and the version are printed from the table of verbs, before click is imported, and what a command needs
is imported when it runs (`commands` of each folder): `git runs` must not feel slower than git.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, NoReturn

from gitflowrun.cli.errors import GIT, exit_code_of, invoke
from gitflowrun.cli.git_runs.verbs import COMMANDS, HEADINGS, load
from gitflowrun.cli.output.terminal import reset_signals, style_for

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT = "list"
_DIGITS = 9
JSON_SCHEMA = 1
"""The number of what docs/json.md says; another one where a key goes or changes its meaning."""
_MOST_NAMES = {
    "show": sys.maxsize,
    "diff": 3,
    "push": sys.maxsize,
    "fetch": sys.maxsize,
    "textconv": 2,
}
"""How many words a command has at most that needs no click where none of them is an option: half its time."""


def main(args: Sequence[str] | None = None) -> int:
    """Run `git runs ARGS` and return its exit code."""
    words = list(sys.argv[1:] if args is None else args)
    return exit_code_of(lambda: _dispatch(words), GIT)


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else _DEFAULT
    if first == "-h" or words == ["help"]:
        sys.stdout.write(_overview())
        return 0
    if (topic := _asks_for_page(words)) is not None:
        from gitflowrun.cli.manual.viewer import show_page

        return show_page(topic)
    if first in {"--version", "version"}:
        sys.stdout.write(_version(as_json="--json" in words))
        return 0
    if (limit := _plain_list(words)) is not None:
        from gitflowrun.cli.git_runs.look.run_table import list_first

        list_first(limit)
        return 0
    if not (first in COMMANDS or first == "help" or first.startswith("-")):
        from gitflowrun.cli.git_runs.unknown_words import verb_for

        first = verb_for(first)
        words = [first, *words]
    if first in _MOST_NAMES and len(words) <= _MOST_NAMES[first] and "-" not in _initials(words):
        return _without_options(first, words[1:])
    if first.startswith("-"):
        first, words = _DEFAULT, [_DEFAULT, *words]
    command = load(first)
    helps = ["-h"] if COMMANDS[first].help else ["-h", "--help"]  # what has no page has that alone
    return invoke(command, words[1:], f"git runs {first}", GIT, help_option_names=helps)


def _plain_list(words: Sequence[str]) -> int | None:
    """How many runs are to be listed, where nothing else is asked: half the time is click's."""
    rest = words[1:] if words[:1] == [_DEFAULT] else words
    if not rest:
        return sys.maxsize
    option, *values = rest
    count = option.removeprefix("-").removeprefix("n") if option.startswith("-") else ""
    if option == "-n" and len(values) == 1:
        (count,) = values
    elif values:
        return None
    is_count = count.isascii() and count.isdecimal() and len(count) <= _DIGITS
    return int(count) if is_count else None


def _asks_for_page(words: Sequence[str]) -> str | None:
    """The verb whose page of the manual is asked for, "" for that of the program; None where none is."""
    first, *rest = words or [""]
    if first == "help":
        return rest[0]
    if first == "--help":
        return ""
    options = rest[: rest.index("--")] if "--" in rest else rest
    asks = "--help" in options and first in COMMANDS and COMMANDS[first].help
    return first if asks else None


def _without_options(command: str, names: Sequence[str]) -> int:
    """Run a command of `_MOST_NAMES` with nothing but names."""
    if command == "show":
        from gitflowrun.cli.git_runs.look.show import print_addresses

        return print_addresses(as_json_=False, addresses=tuple(names))
    if command == "textconv":
        from gitflowrun.cli.git_runs.set_up.textconv import change_textconv, print_record

        return print_record(names[0]) if names else change_textconv(action=None, as_json_=False)
    if command == "diff":
        from gitflowrun.cli.git_runs.look.diff import print_difference

        return print_difference(
            patch=False, form=None, layout="text", exit_code=False, as_json_=False, runs=tuple(names), paths=()
        )  # fmt: skip
    from gitflowrun.cli.git_runs.share import sync

    remote, runs = names[0] if names else None, tuple(names[1:])
    return sync.push_runs(remote, runs) if command == "push" else sync.fetch_runs(remote, runs)


def _version(*, as_json: bool) -> str:
    from gitflowrun._version import __version__

    if as_json:
        return f'{{"version": "{__version__}", "schema": {JSON_SCHEMA}}}\n'
    return f"git-runs version {__version__}\n"


def _initials(words: Sequence[str]) -> set[str]:
    return {word[:1] for word in words}


def _overview() -> str:
    style = style_for(sys.stdout)
    lines = ["usage: git runs [<command>] [<options>] [<address>...]"]
    for folder, group in groupby(COMMANDS.items(), lambda command: command[1].folder):
        lines += ["", style.bold(HEADINGS[folder])]
        lines += [f"   {name:<10} {entry.help}" for name, entry in group if entry.help]
    lines += [
        "",
        "Without a command, runs are listed; `git runs 12` shows one. An address is a run's id",
        "(12), Flow/12, the first digits of its uid, @latest, @{1} (the one before) or a tag;",
        "12/train/3/model reaches a step, a task, an artifact, and 10..20 several runs.",
        "Every run is also a git revision: `git show runs/Flow/12`. Queries ask by metrics",
        "and parameters: `git runs list 'accuracy > 0.9 and not failed' --sort -accuracy`.",
        "`git runs <command> -h` lists the options of a command, `git runs help <command>` shows",
        "its page of the manual.",
    ]
    return "\n".join(lines) + "\n"


def program() -> NoReturn:
    """Be the program: `main`, and out at once.

    Python would first take apart every module it has loaded, which costs a tenth of a short command.
    What ends with a command (pagers, temporary files, locks) has been ended by then.
    """
    reset_signals()
    gc.disable()  # a command lives for milliseconds; looking for garbage would take a tenth of them
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    program()
