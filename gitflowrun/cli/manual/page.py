"""A page of the manual as a list of blocks: sections, paragraphs, examples, terms.

What somebody has to write of a page is Markdown, `docs/manual/git-runs-<verb>.md`: what it does and examples. The rest
(name, synopsis, options, the lists of verbs and settings) comes from where it is declared, so it can't be stale. Of
Markdown is known what the pages need: headings, paragraphs, items, fenced blocks and `<!-- name -->` for a list.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.cli.git_runs.verbs import COMMANDS, HEADINGS, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import click

PROGRAM = "git-runs"
_PACKAGE, _CHECKOUT = Path(__file__).parents[2:4]
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_RANGE = re.compile(r"\s+\[x[<>=\d]+\]$")  # what click says of numbers
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ROW = re.compile(r"^\| `([^`]+)` \|(.*?)\| (.*) \|$", re.MULTILINE)


class Section(NamedTuple):
    """A heading."""

    title: str


class Paragraph(NamedTuple):
    """Words, of which those in backticks are typed as they are."""

    text: str


class Example(NamedTuple):
    """Lines as a terminal shows them."""

    lines: Sequence[str]


class Term(NamedTuple):
    """An option, a command or a setting, and what it means; an item of a list where there is no name."""

    name: str
    text: str


Block = Section | Paragraph | Example | Term


class Page(NamedTuple):
    """A page: `git-runs-list`, what it is about in one line, and its blocks."""

    name: str
    summary: str
    blocks: Sequence[Block]


def page_names() -> list[str]:
    """The pages that there are: that of the program and one for each verb that people call."""
    return [PROGRAM, *(f"{PROGRAM}-{verb}" for verb, entry in COMMANDS.items() if entry.help)]


def read_page(name: str) -> Page:
    """The page `git-runs` or `git-runs-<verb>`.

    Raises:
        UsageError: there is none.
    """
    verb = name.removeprefix(PROGRAM).removeprefix("-")
    command = load(verb) if verb else None  # whose error names the nearest verbs
    body = _source(f"manual/{name}.md").partition("\n")[2]  # without the title
    if command is None:
        return Page(PROGRAM, "look at, mark, share and remove runs of flows", _parse(body))
    summary = COMMANDS[verb].help
    return Page(name, summary[:1].lower() + summary[1:], _of_command(command, verb, body))


def _source(name: str) -> str:
    """A file of docs/, which a wheel has in the package; nothing where there is none."""
    for place in (_PACKAGE / "docs" / name, _CHECKOUT / "docs" / name):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return ""


def _of_command(command: click.Command, verb: str, body: str) -> list[Block]:
    import click

    context = click.Context(command, info_name=f"git runs {verb}", help_option_names=["-h"])
    pieces = " ".join(command.collect_usage_pieces(context))
    own = _parse(body)
    first = next((at for at, it in enumerate(own) if isinstance(it, Section)), len(own))
    options = [it for it in command.params if isinstance(it, click.Option)]
    records = (option.get_help_record(context) for option in options)
    terms = [Term(name, _RANGE.sub("", text)) for name, text in filter(None, records)]
    return [
        Section("Synopsis"),
        Paragraph(f"`git runs {verb}` {pieces.replace('[OPTIONS]', '[<options>]')}"),
        Section("Description"),
        *_paragraphs(command.help or ""),
        *own[:first],
        Section("Options"),
        *terms,
        *own[first:],
        Section("See also"),
        Paragraph(", ".join(_see_also(verb))),
    ]


def _see_also(verb: str) -> list[str]:
    folder = COMMANDS[verb].folder
    near = [it for it, entry in COMMANDS.items() if entry.folder == folder and entry.help]
    return ["git-runs(1)", *(f"git-runs-{it}(1)" for it in near if it != verb)]


def _parse(text: str) -> list[Block]:
    """The blocks of Markdown."""
    found: list[Block] = []
    at = 0
    for fence in _FENCE.finditer(text):
        found += _paragraphs(text[at : fence.start()])
        found.append(Example(fence[1].rstrip("\n").split("\n")))
        at = fence.end()
    return [*found, *_paragraphs(text[at:])]


def _paragraphs(text: str) -> Iterator[Block]:
    for part in re.split(r"\n\s*\n", text.strip()):
        words = " ".join(_LINK.sub(r"\1", part).split())
        if words.startswith("#"):
            yield Section(words.lstrip("# "))
        elif words in _LISTS:
            yield from _LISTS[words]()
        elif words.startswith("- "):
            items = re.split(r"^- ", _LINK.sub(r"\1", part), flags=re.MULTILINE)[1:]
            yield from (_item(" ".join(item.split())) for item in items)
        elif words:
            yield Paragraph(words)


def _item(words: str) -> Term:
    """An item of a list; what it begins with in backticks, before a colon, is its name."""
    named = re.match(r"`([^`]+)`: (.*)", words)
    return Term(named[1], named[2]) if named else Term("", words)


def _verbs() -> Iterator[Block]:
    for folder, group in groupby(COMMANDS.items(), lambda command: command[1].folder):
        yield Paragraph(f"{HEADINGS[folder]}:")
        yield from (Term(f"git runs {name}", entry.help) for name, entry in group if entry.help)


def _settings() -> Iterator[Block]:
    for key, default, meaning in _ROW.findall(_source("settings.md")):
        text = _LINK.sub(r"\1", meaning)
        yield Term(key, f"{text}. Default: {default}" if default.strip() else text)


_LISTS: dict[str, Callable[[], Iterator[Block]]] = {
    "<!-- commands -->": _verbs,
    "<!-- settings -->": _settings,
}
