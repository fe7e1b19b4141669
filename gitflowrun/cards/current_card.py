"""`current.card`: what a step puts on its cards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardRequest
from gitflowrun.cards.card_types import type_facts
from gitflowrun.cards.component_store import ComponentStore
from gitflowrun.cards.components.component import CannotBeShown, log, plain, render_safely
from gitflowrun.printing import bounded_repr
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gitflowrun.cards.card_types import TypeFacts

    Warn = Callable[..., bool]
    Write = Callable[["CardComponentManager"], None]

_SHOWN = 80  # characters of a value, in warnings


class CardComponentManager:
    """One card of the running task: what `current.card['id']` gives.

    Args:
        request: What its decorator says of it.
        warn: Tells the user of a mistake; whether it was not told before.
        write: Writes what the card is made of.

    Attributes:
        number: Which of the step's cards it is.
        type: The name of its type.
        id: Its id.
        customize: Whether `current.card` without an id means it, of several.
        data: What was given to `refresh` last.
        components: What was appended to it.
    """

    def __init__(self, request: CardRequest, warn: Warn, write: Write) -> None:
        self.number, self.type, self.id = request.number, request.type, request.id
        self.customize = request.customize
        self.data: Any = None
        self.components = ComponentStore(request, warn)
        self._request = request
        self._warn = warn
        self._write = write
        self._refreshed = float("-inf")
        self._notes: list[str] = []

    @property
    def told(self) -> str:
        """What people call it."""
        return self._request.told

    @property
    def facts(self) -> TypeFacts | None:
        """What is known of its type; None where there is none."""
        return type_facts(self.type)

    @property
    def is_editable(self) -> bool:
        """Whether components can be put on it."""
        return self.facts is not None and self.facts.takes_components

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002  (Metaflow's name)
        """Show a component at the end of the card.

        Args:
            component: The component.
            id: What `components[...]` finds it by, to update it.
        """
        if self._takes_components():
            self.components.append(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """Show several components at the end of the card."""
        if self._takes_components():
            self.components.extend(components)

    def clear(self) -> None:
        """Take all components away."""
        self.components.clear()

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Let whoever looks at the card see it as it is now, but no more often than its `refresh_interval` says.

        Args:
            data: What the type of the card makes something of, as plain data.
            force: Whether to do it however recently it was done.
        """
        if data is not None:
            try:
                self.data = plain(data)
            except CannotBeShown as error:
                self._warn(f"The data given to refresh() is left out: {error}.")
        now = time.monotonic()
        if now - self._refreshed < self._request.refresh_interval and not force:
            return
        if self.facts is not None and self.facts.is_live:
            self._refreshed = now
            self._write(self)

    def note(self, text: str) -> None:
        """Show on the card why something is not there that the step wanted to be."""
        self._notes.append(text)

    def request(self) -> CardRequest:
        """All that the card is made of, as it is now."""
        shown = [(name, it, render_safely(it)) for name, it in self.components.items()]
        notes = [
            log(f"@card WARNING\n\n{text}", f"warning_{at}") for at, text in enumerate(self._notes)
        ]
        updatable = {
            name: data for name, it, data in shown if getattr(it, "REALTIME_UPDATABLE", False)
        }
        components = (*(data for *_, data in shown), *notes)
        return replace(self._request, components=components, updatable=updatable, data=self.data)

    def _takes_components(self) -> bool:
        if not self.is_editable:
            self._warn(why_not(self))
        return self.is_editable


def why_not(card: CardComponentManager) -> str:
    """Why no component can be put on a card."""
    if card.facts is None:
        return (
            f"There is no type of cards {card.type!r}, so what is appended to one is not shown: "
            "write another type in @card."
        )
    return (
        f"Cards of the type {card.type!r} show no components: what is appended to one is not shown."
    )


class CardComponentCollector:
    """`current.card`: the cards of the running task.

    What it does without an id it does to one of them: the only one that shows components; of several the one with
    `customize=True`, or else the only one without an id.

    Args:
        requests: What the step's decorators say of each card, by number.
        warn: Tells the user of a mistake; whether it was not told before.
        write: Writes what a card is made of.

    """

    __iter__ = None  # it is no sequence, though its cards are found by `[]`

    def __init__(self, requests: Sequence[CardRequest], warn: Warn, write: Write) -> None:
        self._cards = [CardComponentManager(it, warn, write) for it in requests]
        self._warn = warn

    @property
    def cards(self) -> list[CardComponentManager]:
        """The cards, by number."""
        return self._cards

    @property
    def components(self) -> ComponentStore:
        """The components of the card that is meant without an id."""
        return self._meant().components

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002  (Metaflow's name)
        """Show a component at the end of the card.

        Args:
            component: The component.
            id: What `components[...]` finds it by, to update it.
        """
        self._meant().append(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """Show several components at the end of the card."""
        self._meant().extend(components)

    def clear(self) -> None:
        """Take all components of the card away."""
        self._meant(is_told=False).clear()

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Let whoever looks at the card see it as it is now, but no more often than its `refresh_interval` says.

        Args:
            data: What the type of the card makes something of, as plain data.
            force: Whether to do it however recently it was done.
        """
        self._meant(is_told=False).refresh(data, force)

    def get(self, type: str | None = None) -> list[CardComponentManager]:  # noqa: A002  (Metaflow's name)
        """The cards of a type."""
        return [it for it in self._cards if it.type == type]

    def __getitem__(self, id: str) -> CardComponentManager | AbsentCard:  # noqa: A002
        """The card of an id; where there is none, or several, one that nobody sees."""
        found = self._of(id)
        if len(found) == 1:
            return found[0]
        shown = repr(id) if isinstance(id, str) else bounded_repr(id, _SHOWN)
        there = "are several cards" if found else "is no card"
        self._tell(f"There {there} {shown}: what is done to current.card[{shown}] is not shown.")
        return AbsentCard()

    def __setitem__(self, id: str, components: Sequence[Any]) -> None:  # noqa: A002
        """Have a card show these components and no others."""
        if not isinstance(components, list | tuple):
            self._tell(
                f"current.card[{id!r}] is left as it is: what can be assigned is a list of components."
            )
            return
        card = self[id]
        card.clear()
        card.extend(components)

    def __contains__(self, id: object) -> bool:  # noqa: A002
        return len(self._of(id)) == 1

    def _of(self, id: object) -> list[CardComponentManager]:  # noqa: A002
        return [it for it in self._cards if it.id is not None and it.id == id]

    def _meant(self, *, is_told: bool = True) -> CardComponentManager | AbsentCard:
        """The card that is meant without an id; one that nobody sees where that is none, which is told."""
        card = self._default
        if card is not None:
            return card
        if is_told:
            self._tell(self._why_none())
        return AbsentCard()

    @property
    def _default(self) -> CardComponentManager | None:
        editable = self._editable
        marked = [it for it in editable if it.customize]
        if len(marked) == 1:
            return marked[0]
        others = [it for it in editable if not it.customize]
        if len(others) > 1:
            others = [it for it in others if it.id is None]
        return others[0] if len(others) == 1 else None

    @property
    def _editable(self) -> list[CardComponentManager]:
        return [it for it in self._cards if it.is_editable]

    def _why_none(self) -> str:
        if not self._editable and len(self._cards) == 1:
            return why_not(self._cards[0])
        if not self._editable:
            return (
                "No card of this step shows components: what is given to current.card is not shown."
            )
        return (
            "Several cards of this step show components, and current.card alone does not say which is meant: what it "
            "is given is not shown. Give each an id, @card(id='a'), and write current.card['a']."
        )

    def _tell(self, text: str) -> None:
        """Tell the user of a mistake, also on the cards where it is not known which one is meant."""
        if self._warn(text) and self._default is None:
            for card in self._editable:
                card.note(text)


class AbsentCard(list[Any]):
    """What stands for a card that is not there: whatever a step does to it changes nothing."""

    @property
    def components(self) -> ComponentStore:
        """None, whatever is appended."""
        return ComponentStore(_NO_CARD, lambda *_: False)

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002
        """Show nothing."""

    def extend(self, components: Iterable[Any]) -> None:
        """Show nothing."""

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Show nothing."""


_NO_CARD = CardRequest(0, "")
