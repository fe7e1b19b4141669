"""Cards of tasks that are done already: made from what git has of them, and kept in this clone (`created_cards`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardRequest, card_name
from gitflowrun.cards.card_limits import CARD_NAME
from gitflowrun.cards.created_cards import created_files
from gitflowrun.cards.found_cards import CardFile, client_task, find_cards
from gitflowrun.cards.rendering import render_card
from gitflowrun.errors import CardError
from gitflowrun.printing import within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.cards.found_cards import FoundCard
    from gitflowrun.runs.read import StoredTask

_SHOWN = 80  # characters of what is too long


def create_card(
    task: StoredTask,
    *,
    type: str = "default",  # noqa: A002
    id: str | None = None,  # noqa: A002
    options: Mapping[str, Any] | None = None,
    timeout: int | None = None,
    save_errors: bool = False,
) -> FoundCard:
    """Make a card of a task that is done. It takes the place of one that was created with the same type and id.

    Args:
        task: The task.
        type: The name of the card's type.
        id: The id to call it by.
        options: What its type is given.
        timeout: Seconds that it may take; any time for None.
        save_errors: Whether a card that can't be rendered is replaced by one that says why.

    Raises:
        CardError: the task has not ended, the card can't be rendered, or there is no such type.
        RepositoryError: it can't be kept.
    """
    if not task.is_over:
        raise CardError(
            f"{task.pathspec} has not ended", hint="`card view` shows the cards that it has already"
        )
    if len(card_name(0, type)) > CARD_NAME:
        raise CardError(f"{type[:_SHOWN]!r}… is not the name of a type of cards: those are short")
    number = _number(find_cards(task), type, id)
    request = CardRequest(
        number, type, id, options or {}, save_errors=save_errors, attempt=task.number
    )
    with within(timeout) if timeout else contextlib.nullcontext():
        rendered = render_card(request, client_task(task))
    if rendered.html is None:
        raise CardError(rendered.error or f"a card of type {type!r} can't be rendered")
    files = created_files(task.run.repo, task.record)
    for suffix, text in (("html", rendered.html), ("json", rendered.data)):
        if text is not None:
            files.write_card(request, suffix, text)
    return CardFile(task, files.directory / card_name(number, type, id), is_created=True)


def _number(cards: list[FoundCard], kind: str, card_id: str | None) -> int:
    for card in cards:
        if (
            isinstance(card, CardFile)
            and card.is_created
            and (card.type, card.id) == (kind, card_id)
        ):
            return card.number
    return max((card.number for card in cards), default=-1) + 1
