"""`git runs card`: the cards of a run, a step or a task: listed, written to a file, opened in a browser."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from gitflowrun.cards.found_cards import cards_of_run
from gitflowrun.cli.card_choice import SHORT_HASH, WantedCards, card_lines, open_card, write_html
from gitflowrun.cli.errors import GIT, Damage
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.overview import card_row
from gitflowrun.porcelain.parts import tasks_at
from gitflowrun.runs.live import observe
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.cards.found_cards import FoundCard
    from gitflowrun.cli.output.terminal import Screen

_HINT = "cards are made by @card at a step; `git runs card RUN` lists those of a run"


def look_at_cards(
    *,
    address: str,
    hash_: str | None,
    type_: str | None,
    id_: str | None,
    file: Path | None,
    web: bool,
    as_json_: bool,
) -> int:
    """List cards, or write or open the only one that is meant."""
    if sum((file is not None, web, as_json_)) > 1:
        raise UsageError("-o, -w and --json exclude each other", hint="choose one")
    repo = Repository.discover()
    found = RunStore(repo).resolve(address, spins=True)
    is_run, damage = found.step is None, Damage(GIT)
    wanted = WantedCards(type_, id_, hash_)
    if is_run:
        cards = [*cards_of_run(observe(found.run), damage.tell, wanted.of)]
    else:
        cards = [card for task in tasks_at(found) for card in wanted.of(task)]
    if not cards and damage.exit_code:
        return damage.exit_code
    if not cards:
        raise wanted.missing(printable(address if not is_run else found.run.pathspec), _HINT)
    if file is None and not web:
        show(
            repo,
            [card_row(card) for card in cards],
            lambda screen: _lines(cards, screen),
            json=as_json_,
            page=True,
        )
        return damage.exit_code
    if len(cards) > 1:
        first = cards[0]
        raise UsageError(
            f"{len(cards)} cards of {printable(address)} are meant, and one is wanted",
            hint=f"name it by --id, --type or --hash: "
            f"`git runs card {first.task.run.id}/{first.task.name} --hash {first.hash[:SHORT_HASH]}`",
        )
    if file is not None:
        write_html(cards[0], file)
    else:
        open_card(cards[0], partial(click.echo, err=True))
    return damage.exit_code


def _lines(cards: list[FoundCard], screen: Screen) -> Iterator[str]:
    last = None
    for card in cards:
        if card.task.pathspec != last:
            last = card.task.pathspec
            yield screen.style.yellow(printable(last))
        yield from card_lines([card])
