"""`current.card`: what a step puts on its cards, and what is left of that for their making."""

from __future__ import annotations

import signal
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.cards import Artifact, Markdown, MetaflowCardComponent, ProgressBar, Table
from gitflowrun.cards import manager as manager_module
from gitflowrun.cards.card_files import CardRequest, read_request
from gitflowrun.cards.manager import RunningCards
from gitflowrun.errors import ComponentOverwriteNotSupportedException, TimeoutException
from gitflowrun.flow.current import current
from gitflowrun.names import TaskName

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASK = TaskName("train", "7")


def of_step(live: Path, *cards: dict[str, Any], **given: Any) -> RunningCards:
    """The cards of a step whose decorators say this."""
    asked = [CardRequest(at, **{"type": "default", **it}) for at, it in enumerate(cards or ({},))]
    return RunningCards(asked, live, TASK, **given)


def left(cards: RunningCards, live: Path, number: int = 0) -> CardRequest:
    """What a step that has succeeded leaves for one of its cards."""
    cards.finish(number)
    return read_request(live / f"cards/train/7.0/{number}.json")


class Saying(MetaflowCardComponent):
    """A component of somebody's, whose `render` does what it is told."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def render(self) -> Any:
        """Do it."""
        return self._act()


def failing(error: BaseException) -> Callable[[], object]:
    """What fails so."""

    def fail() -> object:
        raise error

    return fail


def test_what_is_appended_is_left_in_order(tmp_path: Path) -> None:
    """Rendered, with ids, which are made where none are given; what can be updated is left by its id as well."""
    cards = of_step(tmp_path)
    card = cards.collector
    card.append(Markdown("one"), id="first")
    card.extend([ProgressBar(max=10), Saying(lambda: "text")])
    card.components["first"].update("changed")
    bar = card.components.keys()[1]
    card.components[bar].update(4)
    card.refresh({"loss": [0.5]})
    found = left(cards, tmp_path)
    assert [it if isinstance(it, str) else it["id"] for it in found.components] == [
        "first",
        bar,
        "text",
    ]
    assert "changed" in found.components[0]["source"]
    assert found.components[1]["value"] == 4
    assert found.updatable == {"first": found.components[0], bar: found.components[1]}
    assert found.data == {"loss": [0.5]}
    card.clear()
    assert left(cards, tmp_path).components == ()
    assert cards.written == ("cards/train/7.0/0.json",)


@pytest.mark.parametrize(
    ("cards", "meant"),
    [
        ([{}], 0),
        ([{"id": "only"}], 0),
        ([{}, {"id": "x", "customize": True}], 1),
        ([{"id": "s"}, {"type": "taskspec_card", "id": "t"}], 0),
        ([{"id": "u"}, {"type": "blank"}], 1),
        ([{"type": "nosuch", "id": "n"}, {"id": "u"}], 1),
        ([{"id": "bad id"}, {"id": "good"}], 0),
        ([{"id": "a" * 81}, {"id": "good"}], 0),
        ([{"id": "bad id"}, {}], None),
        ([{"id": "bad id"}], 0),
        ([{"id": "a", "customize": True}, {"id": "a"}], 0),
        ([{"type": "taskspec_card", "customize": True}, {"id": "a"}], 1),
        ([{"id": "u", "customize": True}, {"id": "v", "customize": True}, {}], 2),
        ([{"id": "u", "customize": True}, {"id": "v", "customize": True}], None),
        ([{"id": "a"}, {"id": "b"}], None),
        ([{}, {}], None),
        ([{"type": "taskspec_card"}], None),
        ([{"type": "nosuch"}], None),
    ],
)
def test_which_card_is_meant_without_an_id(
    tmp_path: Path, cards: list[dict[str, Any]], meant: int | None
) -> None:
    """As Metaflow 2.19.39 chooses."""
    made = of_step(tmp_path, *cards)
    made.collector.append(Artifact(5))
    counts = [len(it.components) for it in made.collector.cards]
    assert counts == [int(at == meant) for at in range(len(cards))]
    assert len(made.collector.components) == (0 if meant is None else 1)


def test_cards_are_found_by_id_and_by_type(tmp_path: Path) -> None:
    """And a list of components can be assigned to one."""
    cards = of_step(tmp_path, {"id": "a"}, {"id": "b", "type": "blank"}, {})
    card = cards.collector
    card["b"].append(Markdown("x"))
    card["a"] = [Markdown("y"), Markdown("z")]
    card["a"] = [Markdown("z")]
    assert [len(it.components) for it in card.cards] == [1, 1, 0]
    assert card.get("blank") == card.get(type="blank") == [card["b"]]
    assert (card.get("nosuch"), card.get()) == ([], [])
    assert "a" in card
    assert "c" not in card
    with pytest.raises(TypeError):
        list(card)  # type: ignore[call-overload]  # Metaflow never comes back from that


WARNINGS: list[tuple[list[dict[str, Any]], Callable[[Any], object], str]] = [
    ([{}], lambda it: it.append(5), "5 is not shown: what is appended to a card is a component"),
    ([{}], lambda it: it["no"].append(Markdown("")), "There is no card 'no'"),
    ([{}], lambda it: it["no way"].refresh(), "There is no card 'no way'"),
    ([{}], lambda it: it["no"].components.append(Markdown("")), "There is no card 'no'"),
    ([{}], lambda it: it.__setitem__("no", []), "There is no card 'no'"),
    ([{"id": "a"}], lambda it: it.__setitem__("a", 5), "current.card['a'] is left as it is"),
    ([{"id": "a"}] * 2, lambda it: it["a"].clear(), "There are several cards 'a'"),
    ([{"id": "a"}] * 2, lambda _: None, "Several cards of this step have the id 'a'"),
    ([{"id": "a b"}], lambda _: None, "A card can't have the id 'a b'"),
    ([{"customize": True}] * 2, lambda _: None, "Several cards of this step have customize=True"),
    ([{}, {}], lambda it: it.append(Markdown("")), "Several cards of this step show components"),
    ([{"type": "no"}], lambda it: it.append(Markdown("")), "There is no type of cards 'no'"),
    ([{"type": "taskspec_card"}], lambda it: it.extend([]), "Cards of the type 'taskspec_card' show no"),
    ([{"type": "no"}] * 2, lambda it: it.components, "No card of this step shows components"),
    ([{}], lambda it: it.components["no"].update(1), "There is no component 'no' on this card"),
    ([{}], lambda it: it.extend([Markdown("a"), 5]), "5 is not shown"),
    ([{}], lambda it: it.refresh({"a": object()}), "The data given to refresh() is left out"),
]  # fmt: skip


@pytest.mark.parametrize(("cards", "act", "told"), WARNINGS, ids=range(len(WARNINGS)))
def test_a_mistake_is_told_and_nothing_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cards: list[dict[str, Any]],
    act: Callable[[Any], object],
    told: str,
) -> None:
    """Once, on standard output; nothing where a variable says so."""
    made = of_step(tmp_path, *cards)
    act(made.collector)
    act(made.collector)
    said = capsys.readouterr().out
    assert f" WARNING] {told}" in said
    assert said.startswith("[@card")
    assert said.count(told) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFLOW_CARD_NO_WARNING", "1")
        act(of_step(tmp_path, *cards).collector)
    assert capsys.readouterr().out == ""


def test_cards_say_what_they_lack(tmp_path: Path) -> None:
    """Where it is not known which card was meant, each says that something was."""
    cards = of_step(tmp_path, {"id": "a"}, {"id": "b"})
    cards.collector.append(Markdown("lost"))
    for number in (0, 1):
        (only,) = left(cards, tmp_path, number).components
        assert only["type"] == "log"
        assert "does not say which is meant" in only["data"]


@pytest.mark.parametrize(
    "act",
    [
        failing(ValueError("no luck")),
        failing(SystemExit(3)),
        failing(RecursionError()),
        object,
        lambda: {1, 2},
        lambda: {"type": "x", "data": object()},
    ],
    ids=["raises", "exits", "recurs", "returns an object", "returns a set", "has an object"],
)
def test_a_component_that_can_t_be_shown_is_a_message(
    tmp_path: Path, act: Callable[[], object]
) -> None:
    """In its place, with the reason; the others are as they were."""
    cards = of_step(tmp_path)
    cards.collector.extend([Markdown("before"), Saying(act), Markdown("after")])
    before, message, after = left(cards, tmp_path).components
    assert (before["type"], message["type"], after["type"]) == ("markdown", "log", "markdown")
    assert "Saying" in message["data"]


class Odd(Saying):
    """A component that has its own id, and fails where it is asked whether it can be updated."""

    component_id = property(lambda _: "own")

    @property
    def REALTIME_UPDATABLE(self) -> bool:  # type: ignore[override]  # noqa: N802  (Metaflow's name)
        """Nobody knows."""
        raise ValueError(self.component_id)


def test_a_component_may_be_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is found by the id that it was given; what can't be made of a card is told, and was as it was before."""
    cards = of_step(tmp_path)
    odd = Odd(dict)
    cards.collector.append(odd, id="given")
    assert cards.collector.components["given"] is odd
    cards.finish(0)
    assert cards.written == ()
    said = "[@card WARNING] Card 0-default can't be written: ValueError: own."
    assert said in capsys.readouterr().out


def test_the_timers_of_a_step_are_its_own(tmp_path: Path) -> None:
    """One that it has left behind goes on, and no other is set beside it."""
    cards = of_step(tmp_path, {"timeout": 0.001})
    cards.collector.append(Saying(lambda: str(signal.getitimer(signal.ITIMER_REAL)[0] > 50)))
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        assert left(cards, tmp_path).components == ("True",)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_component_that_hangs_is_a_message(tmp_path: Path) -> None:
    """When the time of its card is over, of which the step's own is no part; a second one has less."""
    cards = of_step(tmp_path, {"timeout": 0.01})
    hanging = Saying(Event().wait)
    cards.collector.extend([hanging, Markdown("after")])
    before = signal.getsignal(signal.SIGALRM)
    message, after = left(cards, tmp_path).components
    assert "it takes longer than the 0.01 s that its card may take" in message["data"]
    assert after["type"] == "markdown"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_ends_the_step_ends_a_refresh(tmp_path: Path) -> None:
    """Its time limit, and whoever interrupts it, are not taken for a mistake of the component's."""
    for error in (TimeoutException("late"), KeyboardInterrupt()):
        cards = of_step(tmp_path)
        cards.collector.append(Saying(failing(error)))
        with pytest.raises(type(error)):
            cards.collector.refresh()


def test_a_component_is_there_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second one of its id is told, not shown; assigning one is an error, as in Metaflow; taking one away is not."""
    cards = of_step(tmp_path, {"id": "c"})
    components = cards.collector.components
    components["a"] = Markdown("one")
    cards.collector.append(Markdown("two"), id="a")
    assert "A second component 'a' is not shown" in capsys.readouterr().out
    with pytest.raises(ComponentOverwriteNotSupportedException) as caught:
        components["a"] = Markdown("three")
    assert "component 'a' of card default 'c' can't be replaced" in str(caught.value)
    assert [it["source"].strip() for it in left(cards, tmp_path).components] == ["one"]
    assert "a" in components
    del components["a"], components["a"]
    assert (len(components), list(components), components.values()) == (0, [], [])
    with pytest.raises(TypeError, match="found by its id, a text, not by 0"):
        components[0]  # type: ignore[index]


def test_a_card_is_not_refreshed_more_often_than_it_says(tmp_path: Path) -> None:
    """Unless it is forced to; what was given last is left at the end."""
    cards = of_step(tmp_path, {"refresh_interval": 3600})
    card = cards.collector
    for value in range(3):
        card.refresh(value)
    path = tmp_path / "cards/train/7.0/0.json"
    assert read_request(path).data == 0
    card.append(Table([["x"]]))
    card.refresh(7, force=True)
    assert (read_request(path).data, len(read_request(path).components)) == (7, 1)
    card.refresh(8)
    assert left(cards, tmp_path).data == 8


def test_types_that_show_nothing_live_are_not_refreshed(tmp_path: Path) -> None:
    """As in Metaflow."""
    cards = of_step(tmp_path, {"type": "taskspec_card", "id": "t"})
    cards.collector["t"].refresh()
    cards.collector.refresh()
    assert cards.written == ()


def test_a_card_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is largest is replaced by a message, which is told; the rest is shown."""
    monkeypatch.setattr(manager_module, "CARD_SIZE", 5_000)
    cards = of_step(tmp_path)
    cards.collector.extend([Markdown("small"), Markdown("x" * 3_000), Markdown("y" * 4_000)])
    cards.collector.refresh("z" * 9_000)
    found = left(cards, tmp_path)
    assert [it["type"] for it in found.components] == ["markdown", "log", "log"]
    assert len(found.updatable) == 1
    assert found.data is None
    assert len(found.dump()) < 5_000
    said = capsys.readouterr().out
    assert said.count("is not shown: a card has at most 5,000 with all that is on it.") == 3
    assert "the data given to refresh() of 9,002 bytes is not shown" in said


def test_secrets_are_not_left(tmp_path: Path) -> None:
    """Neither in texts nor as numbers or names, and what is left is JSON as ever."""
    cards = of_step(tmp_path, hide=lambda text: text.replace("987654", "***"))
    cards.collector.append(Saying(lambda: {"n": 987654, "t": "is 987654", "987654": [True, None]}))
    cards.collector.append(Markdown("987654"))
    path = tmp_path / "cards/train/7.0/0.json"
    first, second = left(cards, tmp_path).components
    assert first == {"n": "***", "t": "is ***", "***": [True, None]}
    assert second["source"].strip() == "***"
    assert "987654" not in path.read_text()


def test_a_secret_that_is_a_word_of_the_file_hides_itself_alone(tmp_path: Path) -> None:
    """What says how to make the card is as it was."""
    cards = of_step(tmp_path, {"timeout": 7}, hide=lambda text: text.replace("components", "***"))
    cards.collector.append(Markdown("two components"))
    cards.collector.refresh({"components": "x"})
    found = left(cards, tmp_path)
    assert (found.timeout, found.data) == (7, {"***": "x"})
    assert found.components[0]["source"].strip() == "two ***"


def test_what_can_t_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And fails nothing."""
    (tmp_path / "cards").write_text("in the way")
    cards = of_step(tmp_path, {"id": "c"})
    cards.finish(0)
    assert cards.written == ()
    assert "[@card WARNING] Card 0-default-c can't be written: " in capsys.readouterr().out


def test_a_step_that_has_closed_its_output_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told then."""
    monkeypatch.setattr("sys.stdout", None)
    cards = of_step(tmp_path)
    cards.collector.append(5)
    assert left(cards, tmp_path).components == ()


def test_there_are_no_cards_outside_of_a_step_that_has_them() -> None:
    """As in Metaflow it is no attribute then, and says when it is one."""
    with pytest.raises(AttributeError, match=r"current\.card is there in a step that has @card"):
        _ = current.card
    assert "card" not in current
    assert current.get("card") is None
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = current.other  # type: ignore[attr-defined]
