"""The cards of one attempt of a task while it runs: what says how to make them is written when the step has succeeded.

While it runs, `current.card.refresh()` writes the same, for whoever looks at the card then. Whatever is wrong with
what is shown is told in the task's output, and in its place on the card; the task goes on.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardFiles, CardRequest, card_directory
from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.errors import TimeoutException
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gitflowrun.cards.current_card import CardComponentCollector, CardComponentManager
    from gitflowrun.names import TaskName

_ID = re.compile(r"[a-zA-Z0-9_]+\Z")


class RunningCards:
    """The cards of one attempt of a task.

    Args:
        requests: What the step's decorators say of each card, by number.
        live: The live state of the run (`runs.live`).
        task: The task.
        hide: Takes what must not be seen out of a text.
        shared: The permissions of a shared repository's directories; None where it is not shared.

    Attributes:
        requests: The same, with ids alone that cards can have.
        written: The files that were written, relative to `live`.
    """

    def __init__(
        self,
        requests: Sequence[CardRequest],
        live: Path,
        task: TaskName,
        *,
        hide: Callable[[str], str] = lambda text: text,
        shared: int | None = None,
    ) -> None:
        self.written: tuple[str, ...] = ()
        wrong = [it.id for it in requests if it.id is not None and not _ID.match(it.id)]
        self.requests = [replace(it, id=None) if it.id in wrong else it for it in requests]
        self._live = live
        self._hide = hide
        self._files = CardFiles(card_directory(live, task, requests[0].attempt), shared=shared)
        self._told: set[str] = set()
        self._collector: CardComponentCollector | None = None
        self._warn_of_ids(wrong)

    @property
    def facts(self) -> dict[str, Any]:
        """What `current` has of them."""
        return {"card": self.collector, "_cards": self}

    @property
    def collector(self) -> CardComponentCollector:
        """What `current.card` is."""
        if self._collector is None:
            from gitflowrun.cards.current_card import CardComponentCollector

            self._collector = CardComponentCollector(self.requests, self.warn, self.write)
        return self._collector

    def _warn_of_ids(self, wrong: Sequence[str]) -> None:
        for id_ in wrong:
            self.warn(
                f"A card can't have the id {id_!r}: ids consist of letters, digits and underscores "
                f"({_ID.pattern[:-2]}). The card is made, and current.card[{id_!r}] does not find it."
            )
        counts = Counter(it.id for it in self.requests if it.id is not None)
        for id_ in (it for it, count in counts.items() if count > 1):
            self.warn(
                f"Several cards of this step have the id {id_!r}: current.card[{id_!r}] finds none of them."
            )
        if sum(it.customize for it in self.requests) > 1:
            self.warn(
                "Several cards of this step have customize=True: what is appended to current.card goes to none of them."
            )

    def warn(self, text: str, what: str = "@card") -> bool:
        """Tell the user of a mistake in the task's output; whether it was told now, and not before."""
        if text in self._told:
            return False
        self._told.add(text)
        if not any(os.environ.get(f"{it}_CARD_NO_WARNING") for it in ("GITFLOWRUN", "METAFLOW")):
            with suppress(AttributeError, OSError, ValueError):  # the step may have closed it
                sys.stdout.write(f"[{what} WARNING] {text}\n")
        return True

    def finish(self, number: int) -> None:
        """Leave what a card is made of, for whoever makes it. Nothing of this fails the task."""
        self.write(self.collector.cards[number])

    def write(self, card: CardComponentManager) -> None:
        """Write what a card is made of, or replace it; say so where that can't be."""
        try:
            text = self._hidden(self._fitting(card.request()))
            path = self._files.write_text(card.number, text)
        except OSError as error:
            self.warn(f"Card {card.told} can't be written: {error.strerror or error}.")
        except TimeoutException:  # of the step's own time, while it refreshes
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  (components are anybody's)
            self.warn(f"Card {card.told} can't be written: {type(error).__name__}: {error}.")
        else:
            name = str(path.relative_to(self._live))
            if name not in self.written:
                self.written = (*self.written, name)

    def _fitting(self, request: CardRequest) -> str:
        """A request as JSON; of one that is too large, without the largest things in it."""
        text = request.dump()
        while len(text) > CARD_SIZE:
            request, told = _without_largest(request)
            self.warn(f"Card {request.told}: {told}")
            text = request.dump()
        return text

    def _hidden(self, text: str) -> str:
        """JSON without what must not be seen: where that is a number, it is a text in its place."""
        hidden = self._hide(text)
        if hidden == text:
            return text
        try:
            json.loads(hidden)
        except ValueError:
            return json.dumps(_within(json.loads(text), self._hide))
        return hidden


def _without_largest(request: CardRequest) -> tuple[CardRequest, str]:
    """A request with a message in the place of the largest of its components, or without data; what is said of it."""
    sizes = {place: len(json.dumps(it)) for place, it in enumerate(request.components)}
    size, place = max([(size, place) for place, size in sizes.items()], default=(0, 0))
    of_data = len(json.dumps(request.data))
    if of_data > size:
        told = f"the data given to refresh(), {of_data:,} bytes, is left out: a card has at most {CARD_SIZE:,}."
        return replace(request, data=None), told
    told = f"a component of {size:,} bytes is not shown: a card and its components have at most {CARD_SIZE:,}."
    components = list(request.components)
    dropped = components[place]
    components[place] = {"type": "log", "data": told, "id": f"too_large_{place}"}
    updatable = {id_: it for id_, it in request.updatable.items() if it is not dropped}
    return replace(request, components=tuple(components), updatable=updatable), told


def _within(value: Any, hide: Callable[[str], str]) -> Any:
    """Plain data without what must not be seen, in texts or as numbers."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {hide(key): _within(item, hide) for key, item in value.items()}
    if isinstance(value, list):
        return [_within(item, hide) for item in value]
    text = json.dumps(value)
    return value if hide(text) == text else hide(text)
