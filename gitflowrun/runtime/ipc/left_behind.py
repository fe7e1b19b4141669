"""The end of what a task's process has left behind in its process group."""

from __future__ import annotations

import signal
import time

from gitflowrun import limits
from gitflowrun.runtime.ipc import process


class LeftBehind:
    """Ends the processes that are left of a task's group when its own has ended."""

    def __init__(self) -> None:
        self._seen: float | None = None

    def end(self, group: int, *, patient: bool) -> tuple[bool, str | None]:
        """End them, after a while where they may have something to do.

        Args:
            group: The group.
            patient: Whether they get that while: the task has ended well.

        Returns:
            Whether to wait and ask again, and what to say in the task's log.
        """
        rest = process.left_behind(group)
        if not rest:
            return False, None
        if self._seen is None:
            self._seen = time.monotonic()
        if patient and time.monotonic() < self._seen + limits.LEFT_BEHIND_GRACE:
            return True, None
        process.signal_group(group, signal.SIGKILL)
        names = ", ".join(f"{pid} ({command})" for pid, command in rest[: limits.LEFT_BEHIND_NAMED])
        return False, f"Processes that the step left behind were ended: {names}."
