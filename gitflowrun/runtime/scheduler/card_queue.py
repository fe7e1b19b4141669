"""The cards of a run's tasks, from the commit that publishes a task to the one that publishes its cards.

A card is rendered outside of its task and after it, by a process that reads the task as anybody does
(`runtime.worker.card_renderer`); it is started with the first task that has cards. Rendered cards wait in files for the
next commit, so that none of them is in this process' memory before. When the run's last task is published, the run
waits for the cards that are not rendered yet: each takes no longer than it may.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardFiles, card_directory
from gitflowrun.cards.card_limits import CARDS_AT_ONCE, RENDERERS_LOST
from gitflowrun.cards.card_types import BUILT_IN
from gitflowrun.errors import GitflowrunError
from gitflowrun.runs.trees import TaskCards
from gitflowrun.runtime.ipc.messages import CardsRendered, RenderCards
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from gitflowrun.names import TaskName
    from gitflowrun.runtime.ipc.channel import Connection
    from gitflowrun.runtime.ipc.messages import Message

_LOST = "the process that renders them was killed"


@mutable
class _Cards:
    """The cards of a task: where they are, why some are not what they should be, and their bytes."""

    request: RenderCards
    files: CardFiles
    errors: tuple[str, ...] = ()
    size: int = 0


def steps_with_own_types(graph: Mapping[str, Any]) -> set[str]:
    """The steps of a flow's `_graph_info` that have cards of types which are not built in."""
    found = set()
    for step, node in graph.get("steps", {}).items():
        cards = [it["attributes"] for it in node.get("decorators", ()) if it.get("name") == "card"]
        if any(it.get("type") not in BUILT_IN for it in cards):
            found.add(step)
    return found


class CardQueue:
    """Cards that are to be rendered, and those that are rendered and not published yet.

    Args:
        start: Starts a renderer, for cards of types that are all built in or not; what it says goes to `deliver`,
            and its end to `lost`.
        live: The live state of the run, in which tasks leave what their cards are made of.
        steps_of_flow: The steps that have cards of types which are not built in.
        shared: The permissions of a shared repository's directories; None where it is not shared.
    """

    def __init__(
        self,
        start: Callable[[bool], Connection],
        live: Path,
        shared: int | None,
        steps_of_flow: Collection[str] = (),
    ) -> None:
        self._start = start
        self._steps_of_flow = steps_of_flow
        self._live = live
        self._shared = shared
        self._serials = count(1)
        self._rendering: dict[int, _Cards] = {}
        self._rendered: deque[_Cards] = deque()
        self._taken: list[_Cards] = []
        self._renderer: Connection | None = None
        self._has_flow = False
        self._lost = 0
        self._problems: list[str] = []

    @property
    def is_rendering(self) -> bool:
        """Whether cards are being rendered."""
        return bool(self._rendering)

    @property
    def is_ready(self) -> bool:
        """Whether cards can be published."""
        return bool(self._rendered)

    @property
    def is_heavy(self) -> bool:
        """Whether those are more than one commit takes."""
        return len(self._rendered) > 1 and sum(it.size for it in self._rendered) > CARDS_AT_ONCE

    def render(self, task: TaskName, attempt: int) -> None:
        """Have the cards rendered that an attempt of a task, which is published, has asked for."""
        directory = card_directory(self._live, task, attempt)
        request = RenderCards(next(self._serials), task, attempt, str(directory))
        files = CardFiles(directory, shared=self._shared)
        cards = self._rendering[request.serial] = _Cards(request, files)
        self._send(cards)

    def _send(self, cards: _Cards) -> None:
        needs_flow = cards.request.task.step in self._steps_of_flow
        if self._renderer is None or (needs_flow and not self._has_flow):
            if self._renderer is not None:  # what it has still to do is asked of the new one
                self._renderer.close()
            self._has_flow = self._has_flow or needs_flow
            try:
                self._renderer = self._start(self._has_flow)
            except OSError as error:
                self._renderer = None
                self._give_up(f"no process can be made: {error.strerror or error}")
                return
            for other in self._rendering.values():
                self._renderer.send(other.request)
            return
        self._renderer.send(cards.request)

    def deliver(self, message: Message) -> None:
        """Take a message from the renderer."""
        if isinstance(message, CardsRendered):
            cards = self._rendering.pop(message.serial, None)
            if cards is not None:
                self._finish(cards, message.errors)

    def _finish(self, cards: _Cards, errors: tuple[str, ...]) -> None:
        cards.errors, cards.size = errors, cards.files.size()
        self._rendered.append(cards)

    def lost(self) -> None:
        """Start another renderer where one was killed, and ask it for what is not rendered."""
        self._renderer = None
        self._lost += 1
        if self._lost > RENDERERS_LOST:
            self._give_up(_LOST)
        elif self._rendering:
            self._send(next(iter(self._rendering.values())))

    def _give_up(self, why: str) -> None:
        """Publish what is rendered, without the rest."""
        for cards in self._rendering.values():
            self._finish(cards, (why,))
        self._rendering.clear()

    def stop(self) -> None:
        """Wait for no cards any more."""
        if self._rendering:
            self._give_up("the run was over before they were rendered")

    def take(self) -> Iterator[TaskCards]:
        """Cards for the next commit: as many as may be in memory at a time."""
        size = 0
        while self._rendered and (not size or size + self._rendered[0].size <= CARDS_AT_ONCE):
            cards = self._rendered.popleft()
            self._taken.append(cards)
            task, size = cards.request.task, size + cards.size
            self._problems += [f"Task {task}: {error}" for error in cards.errors]
            try:
                found = cards.files.cards()
            except (GitflowrunError, OSError) as error:
                self._problems.append(f"The cards of task {task} can't be read: {error}")
            else:
                if found:
                    yield TaskCards(task, found)

    def take_problems(self) -> list[str]:
        """What went wrong with cards since this was asked last, for people."""
        problems, self._problems = self._problems, []
        return problems

    def published(self) -> None:
        """The cards that were taken are in git."""
        for cards in self._taken:
            cards.files.remove()
        self._taken.clear()

    def lose(self, why: str) -> None:
        """Give up the cards that were taken: they can't be published."""
        self._problems += [
            f"Task {it.request.task}: its cards can't be published: {why}" for it in self._taken
        ]
        self.published()

    def close(self) -> None:
        """End the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
