"""Sources of inherited artifacts read no more than a step needs."""

from __future__ import annotations

import pytest

from gitflowrun.errors import FlowError
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.execute import execute_step
from gitflowrun.flow.foreach import brief, item_at
from gitflowrun.flow.task_state import ArtifactSource
from gitflowrun.names import TaskName
from gitflowrun.runs.records import ForeachLevel, TaskRecord
from tests.flow.memory import MemoryRun


class Two(FlowSpec):
    """Two steps."""

    @step
    def start(self) -> None:
        """Begin."""
        self.x = [1]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Look at the item, outside and inside of a foreach."""
        self.seen = self.input


def test_a_record_is_fetched_when_it_is_needed_and_once() -> None:
    """A source has its task's name without the record."""
    run = MemoryRun(Two)
    run.execute("start", [])
    record, fetched = run.records["start"][0], 0

    def fetch() -> TaskRecord:
        nonlocal fetched
        fetched += 1
        return record

    source = ArtifactSource(record.name, fetch, lambda *_: None)
    assert (source.task, fetched) == (record.name, 0)
    assert list(source.names()) == ["x"]
    assert source.ref("x") is record.artifacts["x"]
    assert fetched == 1
    with pytest.raises(KeyError):
        source.ref("y")


def test_a_task_whose_items_are_gone_fails_clearly() -> None:
    """Records that lack the items of a foreach are reported as such, not as a KeyError."""
    run = MemoryRun(Two)
    run.execute("start", [])
    frames = (ForeachLevel("end", "lost", 2, 0, "a"),)
    parent = run.source(run.records["start"][0])
    outcome = execute_step(Two, TaskName("end", "2"), [parent], frames=frames)
    assert isinstance(outcome.error, FlowError)
    assert "can't find the items of the foreach over 'lost'" in outcome.report
    assert outcome.transition is None


def test_an_unreadable_parent_is_the_tasks_failure() -> None:
    """An error of the source is in the outcome, whatever it is."""

    def unreadable() -> TaskRecord:
        msg = "disk on fire"
        raise OSError(msg)

    parent = ArtifactSource(TaskName("start", "1"), unreadable, lambda *_: None)
    outcome = execute_step(Two, TaskName("end", "2"), [parent])
    assert isinstance(outcome.error, OSError)
    assert set(outcome.values) == {"_exception"}


def test_items_of_anything_that_iterates_can_be_found() -> None:
    """Where there is no index, iteration counts; sets have labels too."""
    assert item_at({"a": 1, "b": 2}, 1) == "b"
    assert brief({1}) == "{1}"
    assert brief(frozenset({2})) == "frozenset({2})"
