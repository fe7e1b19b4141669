"""`self.next` at run time: what it refuses, with the user's line."""

from __future__ import annotations

import linecache
from typing import Any

import pytest

from gitflowrun.errors import InvalidNext
from gitflowrun.flow import FlowSpec, step
from tests.flow.memory import MemoryRun, StepFailedError

SAY: list[Any] = []


class Talks(FlowSpec):
    """Says something else than its source promises."""

    @step
    def start(self) -> None:
        """Say it."""
        SAY[-1](self)
        if SAY[-1] is not nothing:
            return
        self.next(self.middle)

    def helper(self) -> None:
        """Be no step."""

    @step
    def middle(self) -> None:
        """Go on."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Call what the test has put into SAY, if anything."""
        if SAY[-1] is not nothing:
            SAY[-1](self)


def nothing(flow: Any) -> None:
    """Say nothing."""
    del flow


def twice(flow: Any) -> None:
    """Call self.next again."""
    flow.next(flow.middle)
    flow.next(flow.middle)


def error_of(say: Any, name: str = "start") -> InvalidNext:
    """How a step that does `say` fails."""
    SAY.append(say)
    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Talks).execute(name, [])
    error = caught.value.outcome.error
    assert isinstance(error, InvalidNext)
    assert caught.value.outcome.transition is None
    assert "Traceback" not in caught.value.outcome.report
    return error


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda flow: flow.next(), "self.next in step 'start' names no step"),
        (
            lambda flow: flow.next(flow.end),
            "leads to self.end, but its last statement says self.middle",
        ),
        (lambda flow: flow.next(flow.middle, flow.end), "leads to self.middle, self.end, but"),
        (lambda flow: flow.next(flow.helper), "leads to 'helper', which is no step"),
        (lambda flow: flow.next("middle"), "passes 'middle' to self.next, which is no step"),
        (lambda flow: flow.next(Talks.middle), "which is no step of this flow"),
        (lambda flow: flow.next(Talks(use_cli=False).middle), "which is no step of this flow"),
        (lambda flow: flow.next(None), "passes 'None' to self.next"),
        (lambda flow: flow.next(flow.middle, each="x"), "self.next has no argument 'each'"),
        (lambda flow: flow.next(flow.middle, foreach="x"), "foreach='x', but its last statement"),
        (
            lambda flow: flow.next(flow.middle, foreach=[1]),
            "foreach in step 'start' is list, not text",
        ),
        (
            lambda flow: flow.next(flow.middle, flow.end, foreach="x"),
            "leads to 2 steps, not to one",
        ),
        (
            lambda flow: flow.next(flow.middle, num_parallel=2),
            "splits by num_parallel, but its last statement says foreach=None",
        ),
        (
            lambda flow: flow.next({"a": flow.middle}, condition="x"),
            "splits by condition, but its last statement says foreach=None",
        ),
        (twice, "step 'start' calls self.next twice"),
    ],
    ids=range(15),
)
def test_wrong_transitions_are_refused_with_the_users_line(say: Any, message: str) -> None:
    """The error names the file and the line of the call."""
    error = error_of(say)
    assert message in error.message
    assert error.source == __file__
    assert "flow.next(" in linecache.getline(__file__, error.line or 0)


def test_a_step_that_ends_without_a_transition_failed() -> None:
    """A step that returns early is reported with the line of its `def`."""
    error = error_of(lambda _flow: None)
    assert "step 'start' ended without self.next" in error.message
    assert "def start" in linecache.getline(__file__, error.line or 0)


def test_the_end_leads_nowhere() -> None:
    """The end step may not call self.next, even where the source does not show it."""
    error = error_of(lambda flow: flow.next(flow.middle), "end")
    assert "leads to self.middle, but its last statement says nothing" in error.message


def test_a_failed_call_chooses_nothing() -> None:
    """After a refused self.next that the step catches, a right one counts."""

    class Stubborn(FlowSpec):
        @step
        def start(self) -> None:
            with pytest.raises(InvalidNext):
                self.next(self.start)
            self.said = self._transition
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    outcome = MemoryRun(Stubborn).execute("start", [])
    assert outcome.transition is not None
    assert outcome.transition.targets == ("end",)
    assert outcome.values["said"] is None


def test_steps_can_be_called_in_unit_tests() -> None:
    """A step of a mere object runs as a method; its transition can be looked at."""
    SAY.append(nothing)
    flow = Talks(use_cli=False)
    flow.start()
    assert flow._transition == (["middle"], None)
