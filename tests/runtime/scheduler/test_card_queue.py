"""Cards between the commit of their task and their own."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun import limits
from gitflowrun.cards.card_files import CardFiles, CardRequest, card_directory
from gitflowrun.cards.card_limits import RENDERERS_LOST
from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.trees import TaskCards
from gitflowrun.runtime.ipc import events
from gitflowrun.runtime.ipc.messages import (
    CardsRendered,
    Exited,
    Launch,
    Message,
    RenderCards,
    Result,
    Started,
)
from gitflowrun.runtime.scheduler import card_queue
from gitflowrun.runtime.scheduler.card_queue import CardQueue
from gitflowrun.runtime.scheduler.commit_queue import CommitQueue
from tests.runtime.scheduler.test_course import RUN, Bench


class Renderers:
    """The renderers that a queue has started: whether each is the flow's program, and what it was asked for."""

    def __init__(self, live: Path) -> None:
        self.started: list[tuple[bool, list[RenderCards]]] = []
        self.closed = 0
        self.error: OSError | None = None
        self.live = live
        self.queue = CardQueue(self._start, live, None, {"own"})

    def _start(self, has_flow: bool) -> Any:
        if self.error is not None:
            raise self.error
        asked: list[RenderCards] = []
        self.started.append((has_flow, asked))
        return SimpleNamespace(send=asked.append, close=self._close)

    def _close(self) -> None:
        self.closed += 1

    def ask(self, task: str, kind: str = "default", content: str = "<p>") -> None:
        """Have a task ask for a card, as if it were rendered already."""
        name = TaskName.parse(task)
        files = CardFiles(card_directory(self.live, name))
        files.write(CardRequest(0, kind))
        files.write_card(CardRequest(0, kind), "html", content)
        self.queue.render(name, 0)

    def answer(self, *errors: str) -> None:
        """Let the last renderer answer to all that it was asked for."""
        for it in self.started[-1][1]:
            self.queue.deliver(CardsRendered(it.serial, errors))


@pytest.fixture
def renderers(tmp_path: Path) -> Renderers:
    """A queue that has nothing to do."""
    return Renderers(tmp_path)


def names(taken: list[TaskCards]) -> list[str]:
    """The tasks whose cards were taken."""
    return [str(it.task) for it in taken]


def test_nothing_is_started_without_cards(renderers: Renderers) -> None:
    """A run without cards pays nothing."""
    queue = renderers.queue
    assert (queue.is_rendering, queue.is_ready, queue.is_heavy) == (False, False, False)
    assert [*queue.take()] == []
    queue.stop()
    queue.close()
    assert renderers.started == []


def test_a_card_goes_from_its_files_into_a_commit(renderers: Renderers, tmp_path: Path) -> None:
    """Its files are there until that is published; what went wrong is told once; answers to nothing are nothing."""
    queue = renderers.queue
    renderers.ask("start/1")
    assert (queue.is_rendering, queue.is_ready) == (True, False)
    queue.deliver(CardsRendered(99, ()))
    queue.deliver(cast("Any", None))
    renderers.answer("card 0-default: ouch")
    assert (queue.is_rendering, queue.is_ready) == (False, True)
    assert [*queue.take()] == [TaskCards(TaskName("start", "1"), {"0-default.html": b"<p>"})]
    assert queue.take_problems() == ["Task start/1: card 0-default: ouch"]
    assert queue.take_problems() == []
    assert (tmp_path / "cards/start/1.0").exists()
    queue.published()
    assert not (tmp_path / "cards/start/1.0").exists()


def test_types_of_the_flow_need_its_program(renderers: Renderers) -> None:
    """One without it is replaced by one with it, which is asked for all that is not done, and then is for all types."""
    renderers.ask("a/1")
    renderers.ask("a/2")
    renderers.ask("own/3", "own")
    renderers.ask("a/4")
    assert [(flow, [str(it.task) for it in asked]) for flow, asked in renderers.started] == [
        (False, ["a/1", "a/2"]),
        (True, ["a/1", "a/2", "own/3", "a/4"]),
    ]
    assert renderers.closed == 1
    renderers.answer()
    assert names([*renderers.queue.take()]) == ["a/1", "a/2", "own/3", "a/4"]
    renderers.queue.close()
    assert renderers.closed == 2


def test_so_many_are_published_at_once_as_memory_allows(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at least."""
    monkeypatch.setattr(card_queue, "CARDS_AT_ONCE", 10)
    for number, size in enumerate((6, 4, 1, 20, 1)):
        renderers.ask(f"a/{number}", content="x" * size)
    renderers.answer()
    queue = renderers.queue
    taken = []
    while queue.is_heavy:
        taken.append(names([*queue.take()]))
    taken.append(names([*queue.take()]))
    assert taken == [["a/0", "a/1"], ["a/2"], ["a/3"], ["a/4"]]


def test_what_cannot_be_rendered_is_told(renderers: Renderers) -> None:
    """No process can be made; it is killed more often than it is replaced; the run is over."""
    queue = renderers.queue
    renderers.error = OSError(11, "no more processes")
    renderers.ask("a/1")
    assert names([*queue.take()]) == ["a/1"]
    assert queue.take_problems() == ["Task a/1: no process can be made: no more processes"]
    renderers.error = None
    renderers.ask("a/2")
    for _ in range(RENDERERS_LOST):
        queue.lost()
    assert [[str(it.task) for it in asked] for _, asked in renderers.started] == [["a/2"]] * 3
    queue.lost()
    assert names([*queue.take()]) == ["a/2"]
    assert "was killed" in queue.take_problems()[0]
    renderers.ask("a/3")
    queue.stop()
    assert (queue.is_rendering, queue.is_ready) == (False, True)
    assert names([*queue.take()]) == ["a/3"]


def test_files_that_are_gone_are_told(renderers: Renderers, tmp_path: Path) -> None:
    """The run goes on."""
    renderers.ask("a/1")
    path = tmp_path / "cards/a/1.0/0-default.html"
    path.unlink()
    path.mkdir()
    renderers.answer()
    assert [*renderers.queue.take()] == []
    assert renderers.queue.take_problems()[0].startswith("The cards of task a/1 can't be read: ")


class FullDisk:
    """A writer of a run that has no space for cards, or for nothing."""

    def __init__(self, error: Exception, *, for_all: bool = False, publishes: bool = False) -> None:
        self.commit_oid = 0
        self._publishes = publishes
        self.identity, self.unsigned, self.status = RUN, None, Status.RUNNING
        self.last_commit_cost = 0.0
        self.commits: list[tuple[int, int, Status]] = []
        self._error = error
        self._for_all = for_all

    def commit(self, tasks: Sequence[object], *, status: Status, cards: Sequence[object]) -> None:
        """Fail, or note what is published."""
        self.commits.append((len(tasks), len(cards), status))
        self.commit_oid += self._publishes
        if cards or self._for_all:
            raise self._error


def queue_of(writer: FullDisk, cards: CardQueue) -> CommitQueue:
    """What commits by this writer."""
    return CommitQueue(cast("Any", None), cast("Any", writer), cast("Any", None), cards)


def test_cards_that_cannot_be_published_cost_themselves_alone(
    renderers: Renderers, tmp_path: Path
) -> None:
    """Their files make room, the run is recorded without them, and it is told."""
    renderers.ask("a/1")
    renderers.answer()
    writer = FullDisk(RepositoryError("no space"))
    (told,) = queue_of(writer, renderers.queue).commit(Status.DONE)
    assert isinstance(told, events.Notice)
    assert told.text == "Task a/1: its cards can't be published: no space"
    assert writer.commits == [(0, 1, Status.DONE), (0, 0, Status.DONE)]
    assert not (tmp_path / "cards/a/1.0").exists()


@pytest.mark.parametrize(
    ("error", "publishes", "tries"),
    [
        (RepositoryError("no space"), False, 2), (RefConflict("moved"), False, 1),
        (RepositoryError("a pack stays kept"), True, 1),
    ],
)  # fmt: skip
def test_what_no_card_is_to_blame_for_is_raised(
    renderers: Renderers, error: RepositoryError, tries: int, *, publishes: bool
) -> None:
    """As it is without cards; whoever has moved the run is asked nothing again, and what is there is not made again."""
    renderers.ask("a/1")
    renderers.answer()
    writer = FullDisk(error, for_all=True, publishes=publishes)
    with pytest.raises(RepositoryError) as caught:
        queue_of(writer, renderers.queue).commit(Status.DONE)
    assert caught.value is error
    assert len(writer.commits) == tries


def asks_for_cards(launch: Launch) -> Sequence[Message]:
    """A task that ends well and has cards."""
    result = Result(launch.serial, {}, {}, (), None, cards=("0.json",))
    return [Started(launch.serial, 7), result, Exited(launch.serial, 0, 0.1, 1)]


def test_a_run_waits_for_its_cards() -> None:
    """They are asked for when their task is published, and it has ended when they are there."""
    bench = Bench(asks_for_cards)

    def answers(request: RenderCards) -> None:
        assert bench.commits == [(["end/1"], Status.RUNNING)]
        bench.later(
            lambda: bench.scheduler.take_cards(CardsRendered(request.serial, ("bad",))), 0.05
        )

    renderer = SimpleNamespace(send=answers, close=lambda: bench.closed.append("cards"))
    bench.cards._start = lambda _: cast("Any", renderer)
    assert bench.scheduler.run()[0] is Status.DONE
    assert bench.commits == [(["end/1"], Status.RUNNING), ([], Status.DONE)]
    told = [it.text for it in bench.events if isinstance(it, events.Notice)]
    assert told == ["Task end/1: bad"]
    assert "cards" in bench.closed


@pytest.mark.parametrize("ends", ["killed", "interrupted"])
def test_nobody_waits_for_cards_for_ever(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """Neither when whoever renders them is killed again and again, nor when the run is interrupted."""
    monkeypatch.setattr(limits, "GRACE", 0.05)
    bench = Bench(asks_for_cards)
    sent: list[RenderCards] = []

    def silent(request: RenderCards) -> None:
        sent.append(request)
        if ends == "killed":
            bench.later(bench.cards.lost)
        else:
            bench.later(lambda: bench.scheduler.interrupt(signal.SIGINT))

    renderer = SimpleNamespace(send=silent, close=lambda: None)
    bench.cards._start = lambda _: cast("Any", renderer)
    status, _ = bench.scheduler.run()
    assert status is (Status.DONE if ends == "killed" else Status.INTERRUPTED)
    assert len(sent) == (3 if ends == "killed" else 1)
    words = "was killed" if ends == "killed" else "the run was over"
    assert any(words in it.text for it in bench.events if isinstance(it, events.Notice))
