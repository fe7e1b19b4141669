"""What shells complete of each verb, read from its declaration: options, and the kind of each value and argument.

A kind is a word that the scripts know how to list (`runs`, `tags`, `files`), several with bars between them, or
`=a,b,c` for these words themselves. What has no kind is not completed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from gitflowrun.cli.git_runs.verbs import COMMANDS, load

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {
    "ADDRESS": "parts",
    "RUN": "runs",
    "FLOW": "flows",
    "TAG": "tags",
    "TAGS": "tags",
    "REMOTE": "remotes",
    "REVISION": "revisions",
    "QUERY": "names",
    "NAME": "names",
    "FILE": "files",
    "DIR": "files",
    "PATH": "files",
    "STATUS": "=running,done,failed,interrupted",
    "VERB": "verbs",
}
"""What the words stand for that declarations and usages have for values."""


class OptionWords(NamedTuple):
    """An option: its names, what it does, whether it takes a value, and the kind of that."""

    names: Sequence[str]
    help: str
    takes_value: bool
    kind: str


class VerbWords(NamedTuple):
    """A verb: what it does, its options, the kinds of its arguments, and whether the last may be given often."""

    name: str
    help: str
    options: Sequence[OptionWords]
    arguments: Sequence[str]
    repeats: bool


def all_verbs() -> list[VerbWords]:
    """The verbs that people call, in the order of the overview; `help` and `version` come last."""
    found = [_verb(name, entry.help) for name, entry in COMMANDS.items() if entry.help]
    if "help" not in COMMANDS:
        found.append(VerbWords("help", "Show the manual", [], ["verbs"], repeats=False))
    if "version" not in COMMANDS:
        found.append(VerbWords("version", "Print the version", [], [], repeats=False))
    return found


def _verb(name: str, help_: str) -> VerbWords:
    command = load(name)
    options = [_option(it) for it in command.params if isinstance(it, click.Option)]
    arguments = [it for it in command.params if isinstance(it, click.Argument)]
    repeats = bool(arguments) and arguments[-1].nargs != 1
    return VerbWords(name, help_, options, [_kind(it) for it in arguments], repeats)


def _option(option: click.Option) -> OptionWords:
    takes_value = not (option.is_flag or option.count)
    names = [*option.opts, *option.secondary_opts]
    text = (option.help or "").partition(". ")[0].removesuffix(".")
    return OptionWords(names, text, takes_value, _kind(option) if takes_value else "")


def _kind(parameter: click.Parameter) -> str:
    if isinstance(parameter.type, click.Choice):
        return "=" + ",".join(map(str, parameter.type.choices))
    words = parameter.metavar or (parameter.name or "").upper()
    if isinstance(parameter, click.Option) and not parameter.metavar:
        words = parameter.opts[-1].lstrip("-").upper()
    found = [word for word in re.findall(r"[A-Z]+", words) if word in KINDS]
    if isinstance(parameter, click.Option) and "ADDRESS" in found:
        found.remove("ADDRESS")  # of a person
    kinds = [KINDS[word] for word in found]
    return "|".join(dict.fromkeys(kinds))
