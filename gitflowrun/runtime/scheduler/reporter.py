"""What people and other processes are told of a run while it goes on: lines, live output, progress.

The scheduler says what has happened. Here it becomes events for listeners, and files in the live state.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.cards.card_limits import CARDS_TOLD
from gitflowrun.runtime.ipc import events
from gitflowrun.runtime.scheduler.logs import STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.masking import Mask
    from gitflowrun.runs.live import LiveState
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.scheduler.attempt import TaskAttempt
    from gitflowrun.runtime.scheduler.card_queue import CardQueue


class Reporter:
    """Tells what the tasks of a run write, and how far it is.

    Args:
        loop: The event loop.
        notify: Called with every event.
        live: What other processes see of running tasks.
        mask: What hides the run's secrets in output; None where there are none.
        echo: Whether output becomes events; a task that runs in the launcher process shows its own.

    Attributes:
        notify: The same.
        is_changed: Whether anything has changed since progress was told last.
    """

    def __init__(
        self,
        loop: EventLoop,
        notify: events.Listener,
        live: LiveState,
        mask: Mask | None,
        *,
        echo: bool,
    ) -> None:
        self.notify = notify
        self.is_changed = False
        self._loop = loop
        self._live = live
        self._mask = mask
        self._echo = echo
        self._begun = time.time()
        self._progress_time = 0.0
        self._unfinished: tuple[TaskAttempt, str] | None = None
        self._code_told: set[str] = set()
        self._awaits_cards = False

    # ---- output ----

    def output(self, attempt: TaskAttempt, stream: str, data: bytes, lines: list[str]) -> None:
        """Show what a task has written to a stream, and the lines that this completes."""
        if attempt.is_live and data:
            self._copy(attempt, stream)
        if attempt.log.unfinished(stream):
            self._show_unfinished(attempt, stream)
        if lines:
            name, pid, now, shown = attempt.job.name, attempt.pid, time.time(), not self._echo
            for line in lines:
                self.notify(events.TaskLine(name, pid, stream, line, now, shown=shown))

    def log(self, attempt: TaskAttempt, text: str, now: float) -> None:
        """Add a line to a task's log."""
        attempt.log.say(text, now)
        if attempt.is_live:
            self._copy(attempt, STDERR)

    def say(self, attempt: TaskAttempt, text: str) -> None:
        """Add a line to a task's log, and show it."""
        if self._mask is not None:  # it may quote the command line of a program
            text = self._mask.text(text)
        now = time.time()
        self.log(attempt, text, now)
        self.notify(events.TaskLine(attempt.job.name, attempt.pid, STDERR, text, now, system=True))

    def go_live(self, attempt: TaskAttempt) -> None:
        """Let other processes see what a task writes, from its beginning."""
        attempt.is_live = True
        for stream in (STDOUT, STDERR):
            self._copy(attempt, stream)

    def _copy(self, attempt: TaskAttempt, stream: str) -> None:
        """Let other processes see what was kept of a stream since this was done last."""
        data = attempt.log.take(stream)
        if data:
            self._live.write(attempt.job.name, stream, data, attempt.number)

    def _show_unfinished(self, attempt: TaskAttempt, stream: str) -> None:
        """Show a line that is being written, such as a progress bar, with the next progress."""
        if self._unfinished is None:
            # That the loop turns is enough.
            self._loop.after(limits.PROGRESS_INTERVAL, lambda: None)
        self._unfinished = attempt, stream
        self.is_changed = True

    def code_differs(self, attempt: TaskAttempt) -> None:
        """Tell where the code that ran differs from the snapshot: in the task's log, and once for all tasks."""
        differing = attempt.other_code
        text = f"The code that ran differs from the run's snapshot: {', '.join(differing)}."
        self.log(attempt, text, time.time())
        if not self._code_told.issuperset(differing):
            self._code_told.update(differing)
            self.notify(events.Notice(f"Task {attempt.job.name}: {text}", bad=True))

    def await_cards(self, cards: CardQueue) -> None:
        """Tell, once and not at once, that all else is done and cards are still being rendered."""
        if not self._awaits_cards:
            self._awaits_cards = True
            self._loop.after(CARDS_TOLD, lambda: self._tell_of(cards))

    def _tell_of(self, cards: CardQueue) -> None:
        if cards.is_rendering:
            self.notify(events.Notice("All tasks have ended; their cards are being rendered."))

    # ---- progress ----

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.time() - self._begun

    def is_due(self) -> bool:
        """Whether progress is to be told: something has changed, and it was not told a moment ago."""
        return (
            self.is_changed and time.monotonic() - self._progress_time >= limits.PROGRESS_INTERVAL
        )

    def progress(self, finished: int, queued: int, running: Iterable[TaskAttempt]) -> None:
        """Tell how far the run is."""
        self._progress_time, self.is_changed = time.monotonic(), False
        steps: Counter[str] = Counter()
        hosts: Counter[str] = Counter()
        for attempt in running:
            steps[attempt.job.name.step] += 1
            if attempt.host:
                hosts[attempt.host] += 1
        line = None
        if self._unfinished is not None:
            attempt, stream = self._unfinished
            self._unfinished = None
            line = attempt.job.name, attempt.log.unfinished(stream)
        counts = tuple(steps.items()), self.seconds, line, tuple(hosts.items())
        self.notify(events.Progress(finished, queued, *counts))
