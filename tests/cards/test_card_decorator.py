"""`@card`: what a step asks for, and mistakes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.cards.card_files import CardRequest, read_request
from gitflowrun.cards.card_limits import CARD_SECONDS
from gitflowrun.cards.manager import RunningCards
from gitflowrun.errors import DecoratorError
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.card import card, requests
from gitflowrun.flow.definition import complete
from gitflowrun.flow.execute import execute_step
from gitflowrun.names import TaskName

if TYPE_CHECKING:
    from pathlib import Path

TASK = TaskName("start", "1")
OTHER: dict[str, Any] = {
    "type": "blank", "id": "other", "options": {"title": "T", "more": (1, 2)}, "timeout": 2.5, "customize": True,
}  # fmt: skip


class TwoCards(FlowSpec):
    """A step with two cards, which fails when it is told to."""

    fails = False

    @card
    @card(**OTHER)  # type: ignore[untyped-decorator]
    @step
    def start(self) -> None:
        """Fail, or not."""
        if self.fails:
            raise ValueError
        self.next(self.end)

    @step
    def end(self) -> None:
        """Have no card."""


class Failing(TwoCards):
    """The same, failing."""

    fails = True


def ran(flow_cls: type[FlowSpec], live: Path, attempt: int = 0) -> list[CardRequest]:
    """What the start of a flow leaves for its cards."""
    complete(flow_cls)
    made = requests(attached(flow_cls).of_step("start"), attempt)
    cards = RunningCards(made, live, TASK, hide=lambda text: text.replace("T", "***"))
    execute_step(flow_cls, TASK, facts=cards.facts)
    return [read_request(live / name) for name in cards.written]


def test_each_card_of_a_step_that_succeeds_is_asked_for(tmp_path: Path) -> None:
    """The lowest first; what is left passes the mask, and says what the decorator was given."""
    found = ran(TwoCards, tmp_path, 3)
    assert found == [
        CardRequest(
            0, "blank", "other", {"title": "***", "more": [1, 2]}, 3, customize=True, attempt=3
        ),
        CardRequest(1, "default", attempt=3),
    ]
    assert sorted(it.name for it in (tmp_path / "cards/start/1.3").iterdir()) == [
        "0.json",
        "1.json",
    ]


def test_a_step_that_fails_asks_for_no_card(tmp_path: Path) -> None:
    """As in Metaflow, where its code has not refreshed one."""
    assert ran(Failing, tmp_path) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout": "soon"}, "timeout='soon' is not a number of seconds"),
        ({"refresh_interval": -1}, "refresh_interval=-1 is not a number of seconds"),
        ({"type": 5}, "type=5 is not a text"),
        ({"type": ""}, "type='' is not a name of a type"),
        ({"type": "x" * 200}, "is not a name of a type"),
        ({"type": "\ud800"}, "is not a name of a type"),
        ({"id": b"x"}, "id=b'x' is not a text"),
        ({"options": 5}, "options=5 is not a dictionary of what JSON has"),
        ({"options": {"a": {1}}}, "options={'a': {1}} is not a dictionary of what JSON has"),
        ({"options": "[]"}, "options='[]' is not a dictionary of what JSON has"),
    ],
)
def test_what_no_card_can_be_made_with_is_refused(given: dict[str, Any], told: str) -> None:
    """Before the run begins, with the step's line."""

    class Wrong(FlowSpec):
        @card(**given)  # type: ignore[untyped-decorator]
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            """Nothing."""

    with pytest.raises(DecoratorError) as caught:
        complete(Wrong)
    said = str(caught.value)
    assert "@card of step 'start': " in said
    assert told in said
    assert caught.value.line_no


def test_any_time_may_be_given(tmp_path: Path) -> None:
    """A card of which somebody wants that it takes as long as it likes has days, which timers can count."""

    class Patient(FlowSpec):
        @card(timeout=1e15)  # type: ignore[untyped-decorator]
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            """Nothing."""

    (found,) = ran(Patient, tmp_path)
    assert found.timeout == CARD_SECONDS


def test_a_command_line_gives_options_as_text(tmp_path: Path) -> None:
    """And ids that are numbers are texts."""

    class Given(FlowSpec):
        @card(options='{"a": 1}', id=5)  # type: ignore[untyped-decorator]
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            """Nothing."""

    assert ran(Given, tmp_path) == [CardRequest(0, "default", "5", {"a": 1})]
