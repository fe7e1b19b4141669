"""Flows of every shape whose steps make the moves that they are told: see `moves`."""
# ruff: noqa: D102  (each step does what its name is told)

from __future__ import annotations

import os
from typing import Any

from gitflowrun import FlowSpec, JSONType, Parameter, catch, current, retry, step
from tests.flow.moves import act


class Shape(FlowSpec):
    """What all have: two parameters, one of which can be changed in place."""

    text = Parameter("text", default="a text")
    table = Parameter("table", type=JSONType, default='{"k": [1]}')


class Line(Shape):
    """One step after the other."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.one)

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.two)

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Split(Shape):
    """Two branches."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.one, self.two)

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.join)

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        act(self, "join", inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Each(Shape):
    """A foreach of two steps."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.one, foreach="xs")

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.two)

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        act(self, "join", inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Nested(Shape):
    """A foreach within a foreach."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.one, foreach="xs")

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.two, foreach="ys")

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.inner)

    @step
    def inner(self, inputs: Any) -> None:
        act(self, "inner", inputs)
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        act(self, "join", inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Branched(Shape):
    """A split within a foreach."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.body, foreach="xs")

    @step
    def body(self) -> None:
        act(self, "body")
        self.next(self.one, self.two)

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.inner)

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.inner)

    @step
    def inner(self, inputs: Any) -> None:
        act(self, "inner", inputs)
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        act(self, "join", inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Switch(Shape):
    """A step that repeats itself, and one of two ways after that."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.turn = 0
        self.next(self.again)

    @step
    def again(self) -> None:
        act(self, f"again{self.turn}")
        self.turn += 1
        self.way = "go" if self.turn < 3 else "on"
        self.next({"go": self.again, "on": self.fork}, condition="way")

    @step
    def fork(self) -> None:
        act(self, "fork")
        self.way = "one" if hasattr(self, "a") else "two"
        self.next({"one": self.one, "two": self.two}, condition="way")

    @step
    def one(self) -> None:
        act(self, "one")
        self.next(self.end)

    @step
    def two(self) -> None:
        act(self, "two")
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


class Caught(Shape):
    """Attempts that fail: one is caught in the end, the other succeeds in the end."""

    @step
    def start(self) -> None:
        act(self, "start")
        self.next(self.one)

    @catch(var="failure", print_exception=False)  # type: ignore[untyped-decorator]
    @step
    def one(self) -> None:
        act(self, "one", attempt=current.retry_count or 0)
        self.next(self.two)

    @retry(times=1, minutes_between_retries=0)  # type: ignore[untyped-decorator]
    @step
    def two(self) -> None:
        act(self, "two", attempt=current.retry_count or 0)
        self.next(self.end)

    @step
    def end(self) -> None:
        act(self, "end")


if __name__ == "__main__":
    globals()[os.environ["SHAPE"]]()
