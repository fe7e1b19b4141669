"""The task that this process runs, for what may be asked for it before it is known that it has begun.

A process of batch isolation begins with a task that was given ahead before its scheduler hears of that. The live state
has it then, so a task that looks for itself may have to wait for it.
"""

from __future__ import annotations

HEARD = 10.0
"""Seconds in which a scheduler hears of it, which may be committing."""
LOOK_AGAIN = 0.002
"""Seconds between two looks whether it has."""
_own: list[object] = [None, None]


def begin(run: object, task: object) -> None:
    """This process, and forks of it, run a task.

    Args:
        run: The run's uid.
        task: The task's name.
    """
    _own[:] = run, task


def own_task_of(run: object) -> object:
    """The name of the task of a run that this process runs; None where that is none."""
    return _own[1] if _own[0] == run else None
