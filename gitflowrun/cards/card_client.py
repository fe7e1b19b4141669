"""`get_cards`: the cards of a task for programs and notebooks, by Metaflow's names.

A card may hold any script that whoever has made it wants. In a notebook it is shown in a frame of its own, which can't
see the notebook; where its run is not trusted, nothing in it runs or reaches a network (`card_frame`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from gitflowrun.cards.card_frame import frame, framed_page, open_in_browser, write_page
from gitflowrun.cards.found_cards import FoundCard, find_cards
from gitflowrun.client.task import Task
from gitflowrun.errors import (
    CardNotPresentException,
    CorruptRecord,
    IncorrectArgumentException,
    IncorrectPathspecException,
    InvalidPathspec,
)
from gitflowrun.names import Pathspec
from gitflowrun.runs.trust import Trust

if TYPE_CHECKING:
    from pathlib import Path

_TASK_DEPTH = 4


class Card:
    """A card of a task.

    Attributes:
        type: The name of its type.
        id: The id that the user has given to it; None without one.
        path: Where it lies: a name that `git show` understands, or a file.
    """

    def __init__(self, found: FoundCard) -> None:
        self._found = found
        self._html: str | None = None
        self.type = found.type
        self.id = found.id
        self.path = found.path

    @property
    def hash(self) -> str:
        """What it is called by: git's id of its bytes; of a card that changes, of its place. Raises as `get`."""
        return self._found.hash

    @property
    def from_resumed(self) -> bool:
        """Whether its task was taken over from another run."""
        return self.origin_pathspec is not None

    @property
    def origin_pathspec(self) -> str | None:
        """The task that it was made for, where its run has taken that over from another one."""
        task = self._found.task
        made = task.record.run
        return None if made.uid == task.run.identity.uid else f"{made.pathspec}/{task.name}"

    def get(self) -> str:
        """The card as HTML; of a task that has not ended, as it is now.

        Raises:
            UnresolvableDatastoreException: it is not in this repository.
            CardError: it can't be rendered.
            CorruptRecord: it is damaged.
        """
        if self._found.is_live:
            return self._found.html()
        if self._html is None:
            self._html = self._found.html()
        return self._html

    def get_data(self) -> dict[str, Any] | None:
        """The data that it was made with last; None without any. Raises as `get`."""
        text = self._found.data()
        try:
            found = None if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptRecord(f"the data of card {self.path} is damaged: {error}") from error
        return found if isinstance(found, dict) else None

    @property
    def untrusted(self) -> str | None:
        """Why scripts of it do not run, and what to do about it; None where the user trusts the run that made it."""
        task = self._found.task
        trust = Trust(task.run.repo)
        try:
            if trust.trusts_task(task):
                return None
            who, how = trust.stranger(task), trust.how_to_trust(task)
        except CorruptRecord as error:  # who has made it is not known
            who, how = task.run.pathspec, error.message
        return f"{who} is not trusted: scripts of its cards do not run, and nothing is loaded from a network; {how}"

    def view(self) -> None:
        """Open it in a browser, from a file. Raises as `get`."""
        self.open()

    def open(self) -> tuple[bool, Path]:
        """As `view`; whether there is a browser, and the file. Raises as `get`."""
        html = self.get()
        told = self.untrusted
        page = html if told is None else framed_page(html, self._found.task.pathspec, told)
        file = write_page(self._found.name, page)
        return open_in_browser(file), file

    def __str__(self) -> str:
        return f"<Card at {self.path!r}>"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """It in a frame of its own."""
        return frame(self.get(), is_trusted=self.untrusted is None)


class CardContainer(Sequence[Card]):
    """The cards of a task, in the order in which its decorators are applied. A notebook shows all of them.

    Args:
        cards: The cards.
    """

    def __init__(self, cards: Sequence[Card]) -> None:
        self._cards = list(cards)

    def __len__(self) -> int:
        return len(self._cards)

    @overload
    def __getitem__(self, index: int) -> Card: ...
    @overload
    def __getitem__(self, index: slice) -> list[Card]: ...
    def __getitem__(self, index: int | slice) -> Card | list[Card]:
        return self._cards[index]

    def __repr__(self) -> str:
        return f"<CardContainer: {', '.join(card.type for card in self._cards)}>"

    def _repr_html_(self) -> str:
        """All of them, each in a frame of its own."""
        return "\n".join(card._repr_html_() for card in self._cards)


def get_cards(
    task: str | Task,
    id: str | None = None,  # noqa: A002  (Metaflow's names)
    type: str | None = None,  # noqa: A002
    follow_resumed: bool = True,
) -> CardContainer:
    """The cards of a task, of one that runs as they are now.

    Args:
        task: The task, or its pathspec `Flow/run/step/task`, in whatever namespace it is.
        id: Only cards with this id.
        type: Only cards of this type.
        follow_resumed: Whether a task that was taken over from another run has the cards that it had there.

    Raises:
        CardNotPresentException: the task has no card at all.
        IncorrectArgumentException: `task` is neither a task nor text.
        IncorrectPathspecException: it is text, and not the pathspec of a task.
        NotFound: there is no such task.
        CorruptRecord: what lists the cards is damaged.
    """
    if isinstance(task, str):
        task = _task_at(task)
    elif not isinstance(task, Task):
        raise IncorrectArgumentException(
            f"a {task.__class__.__name__}", hint="`run['train'].task` is the task of a step"
        )
    stored = task._task.seen  # noqa: SLF001  (a reader of the client)
    found = find_cards(stored, follow_resumed=follow_resumed)
    if not found:
        raise CardNotPresentException(task.pathspec, hint="cards are made by @card at a step")
    return CardContainer([Card(card) for card in found if card.is_meant(id, type)])


def _task_at(pathspec: str) -> Task:
    try:
        Pathspec.parse(pathspec, depth=_TASK_DEPTH)
    except InvalidPathspec:
        raise IncorrectPathspecException(pathspec, hint="use Flow/run/step/task") from None
    return Task(pathspec, _namespace_check=False)
