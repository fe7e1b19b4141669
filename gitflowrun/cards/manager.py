"""The cards of one attempt of a task, while it runs: `current.card`, and what is left for their making."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_files import CardFiles, CardRequest, card_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gitflowrun.names import TaskName


class RunningCards:
    """The cards of one attempt of a task.

    Args:
        requests: One for each card of the step, by number, without components.
        live: The live state of the run (`runs.live`).
        task: The task.
        hide: Takes what must not be seen out of a text.
        shared: The permissions of a shared repository's directories; None where it is not shared.

    Attributes:
        written: The files that were written, relative to `live`.
    """

    def __init__(
        self,
        requests: Sequence[CardRequest],
        live: Path,
        task: TaskName,
        *,
        hide: Callable[[str], str],
        shared: int | None = None,
    ) -> None:
        self.written: tuple[str, ...] = ()
        self._requests = list(requests)
        self._live = live
        attempt = requests[0].attempt
        self._files = CardFiles(card_directory(live, task, attempt), hide=hide, shared=shared)

    @property
    def facts(self) -> dict[str, Any]:
        """What `current` has of them."""
        return {"_cards": self}

    def finish(self, number: int) -> None:
        """Leave what a card is made of, for whoever makes it. Nothing of this fails the task."""
        self.write(self._requests[number])

    def write(self, request: CardRequest) -> None:
        """Write what a card is made of, or replace it; say so where that can't be."""
        try:
            path = self._files.write(request)
        except OSError as error:
            warn(f"The card {request.told} can't be written: {error.strerror or error}.")
            return
        name = str(path.relative_to(self._live))
        if name not in self.written:
            self.written = (*self.written, name)


def warn(text: str, what: str = "@card") -> None:
    """Tell the user of a mistake in what is shown, in the task's output."""
    if not any(os.environ.get(f"{it}_CARD_NO_WARNING") for it in ("GITFLOWRUN", "METAFLOW")):
        with suppress(AttributeError, OSError, ValueError):  # the step may have closed it
            sys.stdout.write(f"[{what} WARNING] {text}\n")
