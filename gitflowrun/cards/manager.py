"""The cards of one attempt of a task while it runs: what says how to make them is written when the step has succeeded.

While it runs, `current.card.refresh()` writes the same, for whoever looks at the card then. Whatever is wrong with
what is shown is told in the task's output, and in its place on the card; the task goes on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardFiles, CardRequest, card_directory
from gitflowrun.cards.card_limits import CARD_ID, CARD_SIZE
from gitflowrun.errors import TimeoutException
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.cards.current_card import CardComponentCollector, CardComponentManager
    from gitflowrun.names import TaskName

_ONCE_MORE = 1.0  # seconds that further components may take when the time is over
_DATA = -1  # the place of what refresh() was given, which is no component
_MESSAGE = 100  # characters of JSON around a message
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
        given = [it.id for it in requests if it.id is not None]
        wrong = [it for it in given if not _ID.match(it) or len(it) > CARD_ID]
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
                f"A card can't have the id {id_!r}: ids consist of up to {CARD_ID} letters, digits and "
                f"underscores. The card is made, and current.card[{id_!r}] does not find it."
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
        """Leave what a card is made of, for whoever makes it. Nothing of this fails the task.

        Components that take longer than the card may are left out: a step's own limit of time has ended with the step.
        """
        with _at_most(self.requests[number].timeout):
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
        if len(text) <= CARD_SIZE:
            return text
        request, told = _without_largest(request, len(text) - CARD_SIZE)
        for words in told:
            self.warn(f"Card {request.told}: {words}")
        return request.dump()

    def _hidden(self, text: str) -> str:
        """JSON without what must not be seen: where that is a number, it is a text in its place."""
        if self._hide(text) == text:
            return text
        request = json.loads(text)
        for name in ("options", "components", "updatable", "data"):
            request[name] = _within(request[name], self._hide)
        return json.dumps(request)


class _TooLate(Exception):
    """A component takes longer than its card may."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, and what then takes longer than a second, as far as code of Python goes."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def interrupt(*_: object) -> None:
        raise _TooLate(f"it takes longer than the {seconds} s that its card may take")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, _ONCE_MORE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)


def _without_largest(request: CardRequest, over: int) -> tuple[CardRequest, list[str]]:
    """A request with messages in the places of its largest components, or without data, and what is said of them.

    Args:
        request: The request.
        over: How many characters of JSON it has too much.
    """
    data, components, updatable = request.data, list(request.components), dict(request.updatable)
    twice = {id(it) for it in updatable.values()}
    sizes = {place: len(json.dumps(it)) for place, it in enumerate(components)}
    sizes[_DATA] = len(json.dumps(data))
    told = []
    for place in sorted(sizes, key=lambda it: -sizes[it]):
        if over <= 0:
            break
        what = "the data given to refresh()" if place == _DATA else "a component"
        limit = f"a card has at most {CARD_SIZE:,} with all that is on it"
        words = f"{what} of {sizes[place]:,} bytes is not shown: {limit}."
        told.append(words)
        over += len(words) + _MESSAGE - sizes[place]
        if place == _DATA:
            data = None
            continue
        if id(components[place]) in twice:
            over -= sizes[place]
            updatable = {key: it for key, it in updatable.items() if it is not components[place]}
        components[place] = {"type": "log", "data": words, "id": f"too_large_{place}"}
    changed = replace(request, components=tuple(components), updatable=updatable, data=data)
    return changed, told


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
