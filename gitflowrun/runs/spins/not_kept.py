"""The error for an artifact that a spun task has set and nobody has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredTask


def not_kept(task: StoredTask, name: str) -> NotFound | None:
    """The error that an artifact of a task was not kept; None of a name that the task has not set."""
    if name not in task.record.not_kept:
        return None
    return NotFound(
        f"artifact {name!r} of {task.pathspec} was not kept",
        hint="`spin --persist` stores what a spun task sets; so does the setting runs.spinPersist",
    )
