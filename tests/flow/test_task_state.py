"""Sources of inherited artifacts read no more than they are asked for."""

from __future__ import annotations

import pytest

from gitflowrun.errors import FlowError
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.execute import RecordSource, TaskContext, execute_step
from gitflowrun.flow.transition import brief, item_at
from gitflowrun.names import TaskName
from gitflowrun.runs.records import ForeachFrame, TaskRecord
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
    """A source knows its task without the record, and its frames too when they are given."""
    run = MemoryRun(Two)
    run.execute("start", [])
    record, fetched = run.records["start"][0], 0

    def fetch() -> TaskRecord:
        nonlocal fetched
        fetched += 1
        return record

    source = RecordSource(fetch, lambda *_: None, task=record.name, frames=())
    assert (source.task, source.frames, fetched) == (record.name, (), 0)
    assert list(source.names()) == ["x"]
    assert source.ref("x") is record.artifacts["x"]
    assert fetched == 1
    assert RecordSource(fetch, lambda *_: None).task == record.name
    with pytest.raises(KeyError):
        source.ref("y")


def test_a_task_whose_items_are_gone_fails_clearly() -> None:
    """Records that lack the items of a foreach are told as such, not as a KeyError."""
    run = MemoryRun(Two)
    run.execute("start", [])
    context = TaskContext(
        TaskName("end", "2"),
        run.identity,
        (run.source(run.records["start"][0]),),
        frames=(ForeachFrame("end", "lost", 2, 0, "a"),),
    )
    outcome = execute_step(Two, context)
    assert isinstance(outcome.error, FlowError)
    assert "can't find the items of the foreach over 'lost'" in outcome.report
    assert outcome.transition is None


def test_an_unreadable_parent_is_the_tasks_failure() -> None:
    """An error of the source is in the outcome, whatever it is."""

    def unreadable() -> TaskRecord:
        msg = "disk on fire"
        raise OSError(msg)

    run = MemoryRun(Two)
    parent = RecordSource(unreadable, lambda *_: None, task=TaskName("start", "1"), frames=())
    outcome = execute_step(Two, TaskContext(TaskName("end", "2"), run.identity, (parent,)))
    assert isinstance(outcome.error, OSError)
    assert set(outcome.values) == {"_exception"}


def test_items_of_anything_that_iterates_can_be_found() -> None:
    """Where there is no index, iteration counts; sets have labels too."""
    assert item_at({"a": 1, "b": 2}, 1) == "b"
    assert brief({1}) == "{1}"
    assert brief(frozenset({2})) == "frozenset({2})"
