"""How decorators and mutators of users are written: arguments, places, mistakes, and what is said about them."""

# mypy: disable-error-code="untyped-decorator"
# ruff: noqa: ARG001  (decorators and mutators are called with all of their arguments)

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import (
    FlowMutator,
    FlowSpec,
    StepMutator,
    UserStepDecorator,
    step,
    user_step_decorator,
)
from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.definition import complete, try_decorators
from gitflowrun.flow.graph import FlowGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@user_step_decorator
def simple(step_name: str, flow: Any, inputs: Any) -> Iterator[None]:
    """Take no arguments."""
    yield


@user_step_decorator
def taking(step_name: str, flow: Any, inputs: Any, attributes: dict[str, Any]) -> Iterator[None]:
    """Take arguments."""
    yield


class Plain(UserStepDecorator):
    """Take no arguments."""


class OfStep(StepMutator):
    """Take one."""

    def init(self, number: int = 0) -> None:
        """Take it."""
        self.number = number


class OfFlow(FlowMutator):
    """Take none."""


used: Any = user_step_decorator


@step
def a_step(_self: Any) -> None:
    """Be a step."""


def function() -> None:
    """Be none."""


class AFlow(FlowSpec):
    """Be a flow."""


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    yield
    for kept in ("wrappers", "config_decorators", "decorators"):
        getattr(a_step, kept).clear()


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (lambda: simple(AFlow), "@simple is for steps, and 'AFlow' is none"),
        (lambda: Plain(AFlow), "@Plain is for steps, and 'AFlow' is none"),
        (lambda: OfStep(AFlow), "@OfStep is for steps, and 'AFlow' is none"),
        (lambda: OfStep(1)(AFlow), "@OfStep is for steps, and 'AFlow' is none"),
        (lambda: OfFlow(a_step), "@OfFlow is for flows, and 'a_step' is none"),
        (lambda: OfFlow(int), "@OfFlow is for flows, and 'int' is none"),
        (lambda: OfFlow()(5), "@OfFlow is for flows, and a int is none"),
        (lambda: simple(function), "@simple is for steps, and 'function' is none"),
        (lambda: Plain(function), "@Plain is for steps, and 'function' is none"),
        (lambda: taking()(function), "@taking is for steps, and 'function' is none"),
        (lambda: simple(a=1), "@simple can't take the argument 'a'"),
        (lambda: taking(1), "@taking can't take the argument 1"),
        (lambda: Plain(a=1), "@Plain can't take the argument 'a'"),
        (lambda: Plain(1), "@Plain can't take the argument 1"),
        (lambda: OfFlow(1), "@OfFlow can't take the argument 1"),
        (lambda: UserStepDecorator(a_step), "UserStepDecorator is there to derive from"),
        (StepMutator, "StepMutator is there to derive from"),
        (lambda: used(function), "is for generator functions, and 'function'"),
        (lambda: used(int), "is for generator functions, and 'int' is none"),
        (lambda: used(5), "is for generator functions, and 'int' is none"),
        (user_step_decorator, "@user_step_decorator takes no arguments"),
        (lambda: used(function, 1), "@user_step_decorator takes no arguments"),
        (lambda: used(_two), "the generator function '_two' of"),
    ],
    ids=range(23),
)
def test_wrong_use(use: Callable[[], object], expected: str) -> None:
    """It is refused where it is written: what, and in which line, and what to do."""
    with pytest.raises(DecoratorError) as caught:
        use()
    assert expected in caught.value.message
    assert caught.value.hint
    assert (caught.value.source or "").endswith("test_user_decorator.py")


def _two(_a: Any, _b: Any) -> Iterator[None]:
    yield


def test_the_function_below_a_decorator_must_be_a_step() -> None:
    """Where the decorator takes arguments, a function could be one: it is told when the flow is completed."""

    class Wrong(FlowSpec):
        @step
        def start(self) -> None:
            pass

        @OfStep
        def helper(self) -> None:
            pass

    with pytest.raises(
        DecoratorError, match="@OfStep is for steps, and 'helper' of Wrong is none"
    ) as caught:
        complete(Wrong)
    assert caught.value.line

    class Right(Wrong):
        helper = None  # type: ignore[assignment]

    complete(Right)


def test_a_step_that_is_marked_again_keeps_its_decorators() -> None:
    """`@step` above a decorator of a step takes nothing away."""

    class Twice(FlowSpec):
        @step
        @simple
        @OfStep
        @step
        def start(self) -> None:
            pass

    found = attached(Twice)
    assert [it.decorator_name for it in found.wrappers["start"]] == [f"{__name__}.simple"]
    assert len(found.mutators["start"]) == 1


def test_what_is_recorded() -> None:
    """Full name and arguments, values under names of secrets left out; `step` and graph have the objects."""

    class Flow(FlowSpec):
        @OfStep(3)
        @taking(a=1, api_key="abc", kinds=[int, {"x": (1, None)}])
        @Plain
        @step
        def start(self) -> None:
            pass

    complete(Flow)
    graph = FlowGraph.of(Flow)
    common = {"statically_defined": True, "inserted_by": None}
    assert graph.to_map()["steps"]["start"]["decorators"] == [
        {"name": f"{__name__}.Plain", "attributes": {"_args": []}, **common},
        {
            "name": f"{__name__}.taking",
            "attributes": {
                "_args": [],
                "a": 1,
                "api_key": "***",
                "kinds": ["int", {"x": [1, None]}],
            },
            **common,
        },
        {"name": f"{__name__}.OfStep", "attributes": {"_args": [3]}, **common},
    ]
    assert [it.name for it in graph["start"].wrappers] == [
        f"{__name__}.Plain",
        f"{__name__}.taking",
    ]
    assert [it.attributes for it in graph["start"].config_decorators] == [{"_args": [3]}]
    assert repr(graph["start"].wrappers) == "[<@Plain>, <@taking>]"
    (function_,) = list(Flow(use_cli=False))
    assert len(function_.wrappers) == 2  # type: ignore[attr-defined]


def test_a_function_keeps_what_it_says_of_itself() -> None:
    """Name, module and docstring are those of the generator function."""
    assert simple.__name__ == "simple"
    assert simple.__doc__ == "Take no arguments."
    assert simple.__module__ == __name__


def test_init_is_tried_before_a_run() -> None:
    """A decorator that can't be made with its arguments refuses the flow."""

    class Strict(UserStepDecorator):
        def init(self, limit: int) -> None:
            self.limit = 1 / limit

    for mark, expected in (
        (Strict(0), "failed: ZeroDivisionError"),
        (Strict(), "missing 1 required positional argument: 'limit'"),
        (Strict(limits=3), "unexpected keyword argument 'limits'"),
    ):

        class Flow(FlowSpec):
            @mark
            @step
            def start(self) -> None:
                pass

        complete(Flow)
        with pytest.raises(DecoratorError) as caught:
            try_decorators(Flow)
        assert caught.value.message.startswith("Strict.init of step 'start'")
        assert expected in caught.value.message
        assert caught.value.line
