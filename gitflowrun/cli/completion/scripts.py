"""The scripts that tell shells what to complete: templates beside this file, with a table of the verbs in each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun._version import __version__
from gitflowrun.cli.completion.verb_words import all_verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitflowrun.cli.completion.verb_words import OptionWords, VerbWords

_HEADER = f"Made by git-runs {__version__} from its own options."
FIELDS = (
    "branch", "code", "dirty", "duration", "finished", "flow", "id", "origin", "started", "status", "step",
    "tag", "tasks", "user",
)  # fmt: skip
"""What a query may ask of every run; a test compares them with the query's own."""
INSTALLED = {
    "bash": "share/bash-completion/completions/git-runs",
    "zsh": "share/zsh/site-functions/_git-runs",
    "fish": "share/fish/vendor_completions.d/git-runs.fish",
}
"""The shells, and where each looks for a script below the prefix that it is installed in."""


def script_for(shell: str) -> str:
    """The completion of `git runs` for one of the shells of `INSTALLED`."""
    verbs = all_verbs()
    template = (Path(__file__).parent / f"git-runs.{shell}").read_text(encoding="utf-8")
    fills = {
        "@HEADER@": _HEADER,
        "@FIELDS@": " ".join(FIELDS),
        "@VERBS@": _VERBS[shell](verbs),
        "@TABLE@": "\n".join(_TABLES[shell](verbs)),
    }
    return re.sub("|".join(fills), lambda match: fills[match[0]], template)


def _quoted(text: str) -> str:
    """A text for any of the shells, which takes nothing in it for a command."""
    plain = re.sub(r"[^\w .,;()/<>|=-]", "", text)
    return f"'{plain}'"


def _valued(verb: VerbWords) -> list[tuple[str, str]]:
    """Each name of an option that takes a value, and the kind of that."""
    return [(name, it.kind) for it in verb.options if it.takes_value for name in it.names]


def _names(options: Sequence[OptionWords]) -> list[str]:
    return [name for it in options for name in it.names]


def _bash_table(verbs: Sequence[VerbWords]) -> Iterator[str]:
    for verb in verbs:
        options = " ".join([*_names(verb.options), "-h", "--help"])
        values = " ".join(f"{name}:{kind}" for name, kind in _valued(verb))
        arguments = " ".join(kind or "nothing" for kind in verb.arguments)
        yield f"\t{verb.name})"
        yield f"\t\toptions={_quoted(options)}"
        yield f"\t\tvalues='{values}'"
        yield f"\t\targuments={_quoted(arguments)}"
        yield f"\t\trepeats={'1' if verb.repeats else ''} ;;"


def _zsh_table(verbs: Sequence[VerbWords]) -> Iterator[str]:
    for verb in verbs:
        yield f"\t({verb.name})"
        described = [f"{name}:{it.help}" for it in verb.options for name in it.names]
        yield f"\t\toptions=({' '.join(_described(it) for it in [*described, '--help:Show the manual'])})"
        yield f"\t\tvalues=({' '.join(f'{name} {_quoted(kind)}' for name, kind in _valued(verb))})"
        yield f"\t\targuments=({' '.join(_quoted(kind) for kind in verb.arguments)})"
        yield f"\t\trepeats={'1' if verb.repeats else ''} ;;"


def _described(row: str) -> str:
    name, _, help_ = row.partition(":")
    return f"'{name}:{_quoted(help_)[1:-1]}'"


def _fish_table(verbs: Sequence[VerbWords]) -> Iterator[str]:
    for verb in verbs:
        yield f"complete -c git-runs -n __git_runs_needs_verb -a {verb.name} -d {_quoted(verb.help)}"
    for verb in verbs:
        for option in verb.options:
            yield f"complete -c git-runs -n '__git_runs_is {verb.name}' {_fish_option(option)}"
        valued = " ".join(name for name, _ in _valued(verb))
        for number, kind in enumerate(verb.arguments):
            later = "or-later" if verb.repeats and number == len(verb.arguments) - 1 else "only"
            condition = f"'__git_runs_argument {verb.name} {number} {later} {valued}'"
            for one in filter(None, kind.split("|")):
                yield f"complete -c git-runs -n {condition} {_fish_values(one)}"


def _fish_option(option: OptionWords) -> str:
    names = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    ]
    values = [_fish_values(kind) for kind in option.kind.split("|") if kind]
    takes = "-r" if "files" in option.kind else "-x"  # only a file, or none at all
    parts = [*names, *([takes] if option.takes_value else []), *values]
    return f"{' '.join(parts)} -d {_quoted(option.help)}"


def _fish_values(kind: str) -> str:
    if kind == "files":
        return "-F"
    if kind.startswith("="):
        return f"-a {_quoted(kind[1:].replace(',', ' '))}"
    return "-a '(__git_runs_verbs)'" if kind == "verbs" else f"-a '(__git_runs_{kind})'"


_VERBS: dict[str, Callable[[Sequence[VerbWords]], str]] = {
    "bash": lambda verbs: " ".join(verb.name for verb in verbs),
    "zsh": lambda verbs: "\n".join(f"\t\t{_described(f'{it.name}:{it.help}')}" for it in verbs),
    "fish": lambda verbs: " ".join(verb.name for verb in verbs),
}
_TABLES = {"bash": _bash_table, "zsh": _zsh_table, "fish": _fish_table}
