"""Steps that fail: what is kept, and what people read of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitflowrun.flow import FlowSpec, step
from tests.flow.memory import MemoryRun, StepFailedError


def test_a_failure_keeps_what_was_set_and_shows_the_users_frames() -> None:
    """The traceback begins in the user's step; the artifacts set so far are kept, `_exception` with them."""

    class Failing(FlowSpec):
        @step
        def start(self) -> None:
            self.before = 1
            self.helper()

        def helper(self) -> None:
            msg = "no luck"
            raise ValueError(msg)

        @step
        def end(self) -> None:
            pass

    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Failing).execute("start", [])
    outcome = caught.value.outcome
    assert outcome.values["before"] == 1
    assert outcome.values["_exception"]["type"] == "builtins.ValueError"
    assert outcome.values["_exception"]["message"] == "no luck"
    assert outcome.transition is None
    lines = outcome.report.splitlines()
    assert lines[0] == "<flow Failing step start> failed:"
    assert lines[1] == "Traceback (most recent call last):"
    assert ", in start" in lines[2]
    assert lines[-1] == "ValueError: no luck"
    assert "gitflowrun" not in outcome.report.replace(__file__, "")


def test_causes_of_a_failure_are_told_too() -> None:
    """A chained exception keeps its chain."""

    class Chained(FlowSpec):
        @step
        def start(self) -> None:
            try:
                assert {"": 1}["k"]
            except KeyError as error:
                msg = "outer"
                raise RuntimeError(msg) from error

        @step
        def end(self) -> None:
            pass

    with pytest.raises(StepFailedError, match=r"KeyError: 'k'(.|\n)*RuntimeError: outer"):
        MemoryRun(Chained).execute("start", [])


@pytest.mark.parametrize(
    "error", [SystemExit(3), SystemExit(0), KeyboardInterrupt(), MemoryError()]
)
def test_leaving_a_step_otherwise_is_a_failure(error: BaseException) -> None:
    """sys.exit, an interrupt and the like end the step, never the caller."""

    class Leaving(FlowSpec):
        @step
        def start(self) -> None:
            raise error

        @step
        def end(self) -> None:
            pass

    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Leaving).execute("start", [])
    assert caught.value.outcome.error is error
    if isinstance(error, SystemExit):
        assert f"sys.exit({error.code!r})" in caught.value.outcome.report


def test_an_exception_that_cannot_be_shown_is_still_a_failure() -> None:
    """A broken `__str__` does not hide that the step failed."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Breaking(FlowSpec):
        @step
        def start(self) -> None:
            raise BrokenError

        @step
        def end(self) -> None:
            pass

    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Breaking).execute("start", [])
    assert "BrokenError that can't be shown" in caught.value.outcome.values["_exception"]["message"]


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_step_that_is_a_generator_is_told_so(name: str) -> None:
    """Nothing in it has run, which is not what its words say; at the end nobody would notice."""

    class Yielding(FlowSpec):
        @step
        def start(self) -> Iterator[int]:
            yield 1
            self.next(self.end)

        @step
        def end(self) -> Iterator[int]:
            yield 1

    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Yielding).execute(name, [])
    assert f"step '{name}' is a generator" in caught.value.outcome.report
