"""`@card`: an HTML page about each task of a step, made of what the task shows and of what is recorded about it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.current import current
from gitflowrun.flow.decorators.base import StepDecorator, amount_of
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.foreach import brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import ClassVar

    from gitflowrun.cards.card_files import CardRequest


class CardDecorator(StepDecorator):
    """Make a card about each task of the step. A step may have several.

    A card that can't be made never fails the task: nothing that depends on one does.

    Args:
        type: What kind of card.
        options: What its type is given.
        scope: What the card is about; a task always, as in Metaflow.
        rank: Recorded alone, as in Metaflow.
        timeout: Seconds that rendering may take.
        id: The name of the card in `current.card[...]`, of letters, digits and underscores.
        save_errors: Whether a card that can't be rendered is replaced by one that says why.
        customize: Whether `current.card` without an id means this card, of several.
        refresh_interval: The least seconds between two refreshes while the task runs.
    """

    name = "card"
    is_card = True
    allow_multiple = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "type": "default", "options": {}, "scope": "task", "rank": None, "timeout": 45, "id": None,
        "save_errors": True, "customize": False, "refresh_interval": 5,
    }  # fmt: skip

    def step_init(self, flow: Any, graph: Any, step_name: str, decorators: Any, *_: Any) -> None:
        """Refuse what no card can be made with, and note which card of the step this is."""
        given = self.attributes
        self._number = [it for it in decorators if isinstance(it, CardDecorator)].index(self)
        for name in ("timeout", "refresh_interval"):
            if amount_of(given[name]) is None:
                _refuse(graph[step_name], name, given[name], "a number of seconds")
        for name, kind in (("type", str), ("id", str | int | None)):
            if not isinstance(given[name], kind):
                _refuse(graph[step_name], name, given[name], "a text")
        if not _can_be_in_a_name(given["type"]):
            _refuse(graph[step_name], "type", given["type"], "a name of a type, which are short")
        try:
            options = _options(given["options"])
        except (TypeError, ValueError, RecursionError):
            options = None
        if not isinstance(options, dict):
            _refuse(graph[step_name], "options", given["options"], "a dictionary of what JSON has")

    def request(self, attempt: int) -> CardRequest:
        """What says of the card how to make it, in an attempt of a task, without what the task shows."""
        from gitflowrun.cards.card_files import CardRequest
        from gitflowrun.cards.card_limits import CARD_SECONDS

        given = self.attributes
        return CardRequest(
            self._number,
            given["type"],
            None if given["id"] is None else str(given["id"]),
            _options(given["options"]),
            min(max(1, math.ceil(float(given["timeout"]))), CARD_SECONDS),
            bool(given["save_errors"]),
            bool(given["customize"]),
            float(given["refresh_interval"]),
            attempt,
        )

    def task_finished(
        self,
        step_name: str,
        flow: Any,
        graph: Any,
        is_task_ok: bool,
        retry_count: int,
        max_user_code_retries: int,
    ) -> None:
        """Leave what the card is made of. Of a task that has failed, what it has refreshed last is left."""
        cards = current.get("_cards")
        if is_task_ok and cards is not None:
            cards.finish(self._number)


def requests(decorators: Iterable[StepDecorator], attempt: int) -> list[CardRequest]:
    """What the cards among the decorators of a step are made by, in an attempt of a task."""
    return [it.request(attempt) for it in decorators if isinstance(it, CardDecorator)]


def _can_be_in_a_name(kind: str) -> bool:
    """Whether a type can be part of a file's name."""
    from gitflowrun.cards.card_files import card_name
    from gitflowrun.cards.card_limits import CARD_NAME

    try:
        return bool(kind) and len(card_name(0, kind)) <= CARD_NAME
    except UnicodeEncodeError:
        return False


def _options(given: Any) -> Any:
    """Options as JSON gives them back, those of a command line from their text. Raises TypeError, ValueError."""
    return json.loads(given if isinstance(given, str) else json.dumps(given, allow_nan=False))


def _refuse(node: Any, name: str, value: object, what: str) -> NoReturn:
    raise DecoratorError(
        f"@card of step {node.name!r}: {name}={brief(repr(value))} is not {what}",
        hint=f"leave {name} out, or give it {what}",
        line=node.func_lineno,
        source=node.source_file,
    )


card = StepDeclaration(CardDecorator)
