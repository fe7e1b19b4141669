"""Decorators that users write, around steps that run in memory: order, skipping, replacing, exceptions, transitions."""

# mypy: disable-error-code="untyped-decorator"
# ruff: noqa: ARG001, ARG002  (decorators and mutators are called with all of their arguments)

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import (
    USER_SKIP_STEP,
    FlowSpec,
    UserStepDecorator,
    catch,
    current,
    parallel,
    step,
    timeout,
    user_step_decorator,
)
from gitflowrun.errors import DecoratorError, InvalidNext
from gitflowrun.flow.definition import complete
from tests.flow.memory import MemoryRun, StepFailedError, run_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

said: list[Any] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    said.clear()


def ran(flow_cls: type[FlowSpec]) -> MemoryRun:
    """The run of a completed flow."""
    complete(flow_cls)
    return run_flow(flow_cls)


def error_of(flow_cls: type[FlowSpec]) -> BaseException:
    """What ends the run of a flow."""
    with pytest.raises(StepFailedError) as caught:
        ran(flow_cls)
    error = caught.value.outcome.error
    assert error is not None
    return error


def flow_with(*marks: Callable[..., Any], fails: bool = False) -> type[FlowSpec]:
    """A flow of two steps with these decorators on the first one, the uppermost first."""

    def start(self: Any) -> None:
        said.append("body")
        self.xs = [1, 2]
        if fails:
            msg = "no luck"
            raise ValueError(msg)
        self.next(self.end)

    def end(self: Any) -> None:
        self.done = True

    class F(FlowSpec):
        pass

    return _with_steps(F, start, end, marks)


def _with_steps(cls: Any, start: Any, end: Any, marks: Any) -> type[FlowSpec]:
    first: Any = step(start)
    for mark in reversed(marks):
        first = mark(first)
    return type("F", (cls,), {"start": first, "end": step(end)})


@user_step_decorator
def told(step_name: str, flow: Any, inputs: Any, attributes: dict[str, Any]) -> Iterator[Any]:
    """Say when it is called."""
    name = attributes.get("name", "told")
    said.append((f"before {name}", step_name, inputs is None, hasattr(flow, "xs")))
    try:
        yield
    except Exception as error:
        said.append((f"failed {name}", str(error)))
        raise
    said.append((f"after {name}", flow.xs))


class Told(UserStepDecorator):
    """The same as a class."""

    def init(self, name: str = "Told") -> None:
        """Take a name."""
        self.label = name

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
        """Say so."""
        said.append((f"before {self.label}", step_name, inputs is None, hasattr(flow, "xs")))

    def post_step(self, step_name: str, flow: Any, exception: Any = None) -> Any:
        """Say so."""
        said.append((f"after {self.label}", repr(exception)))
        return exception


def test_the_uppermost_is_around_the_others() -> None:
    """Code before the `yield` runs from the top down, code behind it from the bottom up; arguments are passed."""
    run = ran(flow_with(told, Told(name="C"), told(name="low")))
    assert said == [
        ("before told", "start", True, False),
        ("before C", "start", True, False),
        ("before low", "start", True, False),
        "body",
        ("after low", [1, 2]),
        ("after C", "None"),
        ("after told", [1, 2]),
    ]
    assert run.value("end", "done") is True


def test_a_class_without_arguments_or_parentheses() -> None:
    """`@Told`, `@Told()` and `@Told("x")` all decorate."""
    ran(flow_with(Told, Told(), Told("x")))
    assert [it[0] for it in said if isinstance(it, tuple)] == [
        *("before Told", "before Told", "before x"),
        *("after x", "after Told", "after Told"),
    ]


def test_a_join_passes_its_inputs() -> None:
    """A decorator of a join sees the inputs, and those of other steps None."""

    @user_step_decorator
    def counted(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        flow.count = (step_name, None if inputs is None else [it.x for it in inputs])
        yield

    class Joined(FlowSpec):
        @step
        def start(self) -> None:
            self.xs = [1, 2]
            self.next(self.work, foreach="xs")

        @step
        def work(self) -> None:
            self.x = self.input
            self.next(self.join)

        @counted
        @step
        def join(self, inputs: Any) -> None:
            self.next(self.end)

        @counted
        @step
        def end(self) -> None:
            pass

    run = ran(Joined)
    assert run.value("join", "count") == ("join", [1, 2])
    assert run.value("end", "count") == ("end", None)


def test_artifacts_can_be_changed_behind_the_step() -> None:
    """What a decorator sets and changes after the step is stored with it."""

    @user_step_decorator
    def doubled(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        yield
        flow.xs = [2 * x for x in flow.xs]
        flow.by = step_name

    run = ran(flow_with(doubled))
    assert run.value("end", "xs") == [2, 4]
    assert run.value("end", "by") == "start"


@pytest.mark.parametrize("answer", [USER_SKIP_STEP, {}, True], ids=["constant", "empty", "true"])
def test_a_step_can_be_left_out(answer: Any) -> None:
    """Neither the step nor what is below the decorator runs, what is above does, and the flow goes on as written."""

    @user_step_decorator
    def skipped(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        flow.xs = ["cached"]
        yield answer
        said.append("behind")

    class Skips(UserStepDecorator):
        def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
            flow.xs = ["cached"]
            self.skip_step = answer

    marks = [skipped] if answer is not True else []
    for mark in (*marks, Skips):
        said.clear()
        run = ran(flow_with(told, mark, Told))
        assert [it[0] for it in said if isinstance(it, tuple)] == ["before told", "after told"]
        assert "body" not in said
        assert run.value("end", "xs") == ["cached"]


def test_a_foreach_that_is_left_out_goes_on_with_other_items() -> None:
    """A dictionary gives arguments of `self.next`: here the attribute with the items, another one than the source's."""

    @user_step_decorator
    def other(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        flow.others = [7, 8, 9]
        yield {"foreach": "others"}

    @user_step_decorator
    def same(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        flow.xs = [5]
        yield USER_SKIP_STEP

    for mark, expected in ((other, [7, 8, 9]), (same, [5])):

        class Wide(FlowSpec):
            @mark
            @step
            def start(self) -> None:
                self.xs = [1, 2]
                self.next(self.work, foreach="xs")

            @step
            def work(self) -> None:
                self.x = self.input
                self.next(self.join)

            @step
            def join(self, inputs: Any) -> None:
                self.found = [it.x for it in inputs]
                self.next(self.end)

            @step
            def end(self) -> None:
                pass

        assert ran(Wide).value("end", "found") == expected


def test_a_switch_that_is_left_out_decides_by_its_attribute() -> None:
    """The cases are those of the source; another attribute may decide."""

    @user_step_decorator
    def decided(step_name: str, flow: Any, inputs: Any, attributes: Any) -> Iterator[Any]:
        setattr(flow, attributes.get("by", "way"), "b")
        yield {"condition": attributes["by"]} if attributes else USER_SKIP_STEP

    for mark in (decided, decided(by="other")):

        class Switch(FlowSpec):
            @mark
            @step
            def start(self) -> None:
                self.way = "a"
                self.next({"a": self.a, "b": self.b}, condition="way")

            @step
            def a(self) -> None:
                self.went = "a"
                self.next(self.end)

            @step
            def b(self) -> None:
                self.went = "b"
                self.next(self.end)

            @step
            def end(self) -> None:
                pass

        complete(Switch)
        assert _after(Switch).targets == ("b",)


def _after(flow_cls: type[FlowSpec], name: str = "start") -> Any:
    """The transition of a step that is run alone."""
    from gitflowrun.flow.execute import execute_step
    from gitflowrun.names import TaskName
    from tests.flow.memory import FACTS

    outcome = execute_step(flow_cls, TaskName(name, "1"), facts=FACTS)
    assert outcome.error is None, outcome.report
    return outcome.transition


def test_a_gang_that_is_left_out_has_as_many_nodes() -> None:
    """The number is that of the source, an expression included, or what the decorator says."""

    @user_step_decorator
    def left(step_name: str, flow: Any, inputs: Any, attributes: Any) -> Iterator[Any]:
        flow.n = 3
        yield attributes

    for mark, width in ((left, 3), (left(num_parallel=2), 2)):

        class Gang(FlowSpec):
            @mark
            @step
            def start(self) -> None:
                self.next(self.work, num_parallel=self.n)

            @parallel
            @step
            def work(self) -> None:
                self.next(self.join)

            @step
            def join(self, inputs: Any) -> None:
                self.next(self.end)

            @step
            def end(self) -> None:
                pass

        complete(Gang)
        assert _after(Gang).num_splits == width


NODES = 2
_ELSEWHERE: dict[str, Any] = {"functools": functools}
exec(
    "def plain(function):\n"
    "    @functools.wraps(function)\n"
    "    def inner(*given):\n"
    "        return function(*given)\n"
    "    return inner\n",
    _ELSEWHERE,
)


def test_a_gang_below_a_decorator_of_another_module() -> None:
    """The number of its nodes is an expression of the step's own names, also where a plain decorator is on the step."""

    @user_step_decorator
    def left(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        flow.n = 3
        yield USER_SKIP_STEP

    class Gang(FlowSpec):
        @left
        @step
        @_ELSEWHERE["plain"]
        def start(myself) -> None:  # noqa: N805
            myself.next(myself.work, num_parallel=myself.n + NODES)

        @parallel
        @step
        def work(self) -> None:
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    complete(Gang)
    assert _after(Gang).num_splits == 5


@pytest.mark.parametrize("answer", [True, {}, "next"])
def test_a_step_can_be_replaced(answer: Any) -> None:
    """A function is called in place of the step: it says what follows, by `self.next` or by what it returns."""

    def instead(flow: Any) -> Any:
        flow.xs = ["instead"]
        return flow.next(flow.end) if answer == "next" else answer

    @user_step_decorator
    def replaced(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        yield instead

    class Replaces(UserStepDecorator):
        def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Any:
            return instead

    for mark in (replaced, Replaces):
        assert ran(flow_with(mark)).value("end", "xs") == ["instead"]
        assert "body" not in said


def test_a_replacement_that_does_not_go_on_is_a_mistake() -> None:
    """As for a step: it ended without `self.next`."""

    @user_step_decorator
    def replaced(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        yield lambda _flow: None

    assert "ended without self.next" in str(error_of(flow_with(replaced)))


def test_an_exception_goes_through_all_decorators() -> None:
    """Each sees it, the lowest first; where none keeps it the step has failed with it."""
    error = error_of(flow_with(Told, told, fails=True))
    assert isinstance(error, ValueError)
    assert said[2:] == ["body", ("failed told", "no luck"), ("after Told", "ValueError('no luck')")]


def test_an_exception_can_be_dealt_with() -> None:
    """The step is done then, though it did not come to its `self.next`; decorators above see no exception."""

    @user_step_decorator
    def kept(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            flow.problem = str(error)

    class Keeps(UserStepDecorator):
        def post_step(self, step_name: str, flow: Any, exception: Any = None) -> Any:
            flow.problem = str(exception)
            return None, {}

    for mark in (kept, Keeps):
        run = ran(flow_with(Told, mark, fails=True))
        assert run.value("end", "problem") == "no luck"
        assert said[-1] == ("after Told", "None")


def test_a_decorator_can_fail_by_itself() -> None:
    """What it raises or returns in place of the step's exception is how the step ends, and says where it comes from."""

    @user_step_decorator
    def worse(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        try:
            yield
        finally:
            raise KeyError("worse")

    class Worse(UserStepDecorator):
        def post_step(self, step_name: str, flow: Any, exception: Any = None) -> Any:
            return KeyError("worse")

    for mark in (worse, Worse):
        error = error_of(flow_with(mark, fails=True))
        assert isinstance(error, KeyError)
        assert isinstance(error.__context__, ValueError)


def test_what_a_decorator_raises_before_the_step_goes_to_those_above() -> None:
    """They are around it, as around the step; its own second part does not run."""

    @user_step_decorator
    def broken(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        msg = "broken"
        raise RuntimeError(msg)
        yield

    error = error_of(flow_with(Told, broken))
    assert str(error) == "broken"
    assert said[-1] == ("after Told", "RuntimeError('broken')")
    assert "body" not in said


def test_a_stop_iteration_of_the_step_is_its_own() -> None:
    """A generator turns it into something else on its way, which is none of the user's doing."""

    class Stops(FlowSpec):
        @told
        @step
        def start(self) -> None:
            next(iter(()))
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert isinstance(error_of(Stops), StopIteration)


def test_exits_pass_through_and_an_interrupt_is_not_kept() -> None:
    """A decorator may look at both; an interrupt ends the step whatever it makes of it."""

    @user_step_decorator
    def all_kept(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001
            said.append(type(error).__name__)

    for raised, ends in ((SystemExit, False), (KeyboardInterrupt, True)):

        class Ends(FlowSpec):
            @all_kept
            @step
            def start(self) -> None:
                raise raised  # noqa: B023  (run within the loop)
                self.next(self.end)

            @step
            def end(self) -> None:
                pass

        if ends:
            assert isinstance(error_of(Ends), KeyboardInterrupt)
        else:
            ran(Ends)
        assert said[-1] == raised.__name__


def generator(answer: Any, *, twice: bool = False, never: bool = False) -> Any:
    """A decorator that yields this, or never, or twice."""

    @user_step_decorator
    def odd(step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        if never:
            return
        yield answer
        if twice:
            yield

    return odd


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (generator(None, never=True), "@odd of step 'start' ended without a `yield`"),
        (generator(None, twice=True), "@odd of step 'start' yields twice"),
        (generator(5), "@odd of step 'start' yields 5"),
        (generator({"foo": 1}), "@odd of step 'start' gives self.next the argument 'foo'"),
        (generator(lambda _: 5), "@odd of step 'start' goes on with 5"),
    ],
    ids=range(5),
)
def test_generators_that_do_something_else(mark: Any, expected: str) -> None:
    """The error names decorator and step, says what to do, and where in the user's file."""
    error = error_of(flow_with(mark))
    assert isinstance(error, DecoratorError)
    assert error.message == expected
    assert error.hint
    assert (error.source or "").endswith("test_wrapped_step.py")
    assert error.line


@pytest.mark.parametrize(
    ("pre", "post", "expected"),
    [
        (5, None, "@Odd of step 'start' puts 5 in place of the step"),
        (None, 5, "@Odd of step 'start' returns 5 from post_step"),
        (None, (None, 5), "@Odd of step 'start' goes on with 5"),
    ],
)
def test_classes_that_do_something_else(pre: Any, post: Any, expected: str) -> None:
    """Likewise."""

    class Odd(UserStepDecorator):
        def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Any:
            return pre

        def post_step(self, step_name: str, flow: Any, exception: Any = None) -> Any:
            return post

    error = error_of(flow_with(Odd))
    assert isinstance(error, DecoratorError)
    assert error.message == expected
    assert error.line


def test_a_step_keeps_its_shape() -> None:
    """No decorator makes a foreach of a step that is none, and nothing follows the end."""
    error = error_of(flow_with(generator({"foreach": "xs"})))
    assert isinstance(error, InvalidNext)
    assert "splits by foreach='xs', but its last statement says foreach=None" in error.message

    class Endless(FlowSpec):
        @step
        def start(self) -> None:
            self.next(self.end)

        @generator({"foreach": "xs"})
        @step
        def end(self) -> None:
            pass

    assert "and the flow ends there" in str(error_of(Endless))


def test_other_decorators_are_around_those_of_users() -> None:
    """`@catch` catches what they raise, and `@timeout` ends a step within them, wherever it is written."""

    class Both(FlowSpec):
        @Told
        @catch(var="caught")
        @told
        @timeout(seconds=0.1)
        @step
        def start(self) -> None:
            while current.is_running_flow:
                pass
            self.next(self.end)

        @step
        def end(self) -> None:
            self.kind = self.caught.type

    run = ran(Both)
    assert run.value("end", "kind") == "gitflowrun.errors.TimeoutException"
    assert [it[0] for it in said] == ["before Told", "before told", "failed told", "after Told"]


def test_each_task_has_an_object_of_its_own() -> None:
    """What a decorator keeps in itself, the next task does not find."""

    class Counts(UserStepDecorator):
        def init(self) -> None:
            self.count = 0

        def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
            self.count += 1
            flow.count = (self.count, self.skip_step)
            self.skip_step = {}

    class Three(FlowSpec):
        @step
        def start(self) -> None:
            self.xs = [1, 2, 3]
            self.next(self.work, foreach="xs")

        @Counts
        @step
        def work(self) -> None:
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.found = [it.count for it in inputs]
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert ran(Three).value("end", "found") == [(1, False)] * 3
