"""Cards for both command lines: which are meant, how they are listed, written to a file and opened in a browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gitflowrun.cards.found_cards import FoundCard, find_cards
from gitflowrun.cli.options import together
from gitflowrun.cli.output.terminal import is_terminal
from gitflowrun.cli.output.text import printable, terminal_safe
from gitflowrun.errors import CardNotPresentException
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.runs.read import StoredTask

SHORT_HASH = 7
"""Digits of a hash in hints, as git shortens hashes."""


@frozen
class WantedCards:
    """Which cards are meant: those with a type, an id and a hash that begins so, each where one is given."""

    type_: str | None
    id_: str | None
    hash_: str | None
    follow_resumed: bool = True

    def of(self, task: StoredTask) -> list[FoundCard]:
        """Those of a task. Raises CorruptRecord."""
        found = find_cards(task, follow_resumed=self.follow_resumed)
        return [card for card in found if card.is_meant(self.id_, self.type_, self.hash_)]

    def missing(self, pathspec: str, hint: str) -> CardNotPresentException:
        """The error that a task, or a run, has none of them."""
        return CardNotPresentException(pathspec, self.type_, self.hash_, self.id_, hint=hint)


which_card = together(
    click.option("--hash", "hash_", metavar="HASH", help="The card with this hash, or one that begins so."),
    click.option("--type", "type_", metavar="TYPE", help="Cards of this type."),
    click.option("--id", "id_", metavar="ID", help="The card with this id."),
)  # fmt: skip
"""The options of which a `WantedCards` is made."""


def card_lines(cards: Sequence[FoundCard]) -> Iterator[str]:
    """Cards for people, in Metaflow's words."""
    for card in cards:
        yield f"    Card Id: {printable(str(card.id))}"
        yield f"    Card Type: {printable(card.type)}"
        yield f"    Card Hash: {card.hash}"
        yield f"    Card Path: {printable(card.path)}"
        yield ""


def write_html(card: FoundCard, path: Path | None) -> None:
    """Write a card to a file, or to standard output. Raises as `FoundCard.html`."""
    html = card.html()
    if path is not None:
        path.write_text(html, encoding="utf-8", errors="replace")
    elif is_terminal(sys.stdout):
        for line in html.split("\n"):
            click.echo(terminal_safe(line))
    else:
        click.echo(html.encode(errors="replace"), nl=False)


def open_card(card: FoundCard, say: Callable[[str], None]) -> None:
    """Open a card in a browser; where there is none, print where the file is. Raises as `FoundCard.html`."""
    from gitflowrun.cards.card_client import Card  # who lists cards needs no client

    shown = Card(card)
    if shown.untrusted:
        say(printable(shown.untrusted))
    opened, file = shown.open()
    if opened:
        say(f"Opened {file}")
    else:
        say("There is no browser here; the card is in this file:")
        click.echo(file)
