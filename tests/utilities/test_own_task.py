"""Which task a process runs."""

from __future__ import annotations

from gitflowrun.utilities.own_task import begin, own_task_of


def test_the_own_task_is_the_last_one_that_was_begun() -> None:
    """Of the run that it belongs to, and of no other."""
    assert own_task_of("run") is None
    try:
        begin("run", "other")
        begin("run", "task")
        assert own_task_of("run") == "task"
        assert own_task_of("another") is None
    finally:
        begin(None, None)
