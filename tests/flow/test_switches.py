"""Switches, loops and gangs at run time: what `self.next` chooses and refuses, and what steps see of where they are."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterator
from typing import Any

import pytest

from gitflowrun.errors import InvalidNext
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.current import Parallel, current
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.decorators.parallel import ParallelDecorator, parallel, pytorch_parallel
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.transition import MOST_NODES
from gitflowrun.unbounded_foreach import UnboundedForeachInput
from tests.flow.memory import MemoryRun, StepFailedError, run_flow

VALUE: list[Any] = [None]


class Text(str):
    """Text of another class, as libraries have it."""

    __slots__ = ()


class Keys:
    """What stands for a config."""

    key = "z"
    other = "z"


class Chooses(FlowSpec):
    """A switch over whatever a test puts into VALUE."""

    cfg = Keys()

    @step
    def start(self) -> None:
        """Begin."""
        self.v = VALUE[-1]
        self.next(
            {"a": self.one, 1: self.two, -2.5: self.three, self.cfg.key: self.four}, condition="v"
        )

    @step
    def one(self) -> None:
        """Do one thing."""
        self.next(self.end)

    @step
    def two(self) -> None:
        """Do two things."""
        self.next(self.end)

    @step
    def three(self) -> None:
        """Do three things."""
        self.next(self.end)

    @step
    def four(self) -> None:
        """Do four things."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


@pytest.mark.parametrize(
    ("value", "target", "case"),
    [
        ("a", "one", "a"),
        (Text("a"), "one", "a"),
        (1, "two", "1"),
        (1.0, "two", "1"),
        (True, "two", "1"),
        (-2.5, "three", "-2.5"),
        ("z", "four", "z"),
    ],
    ids=range(7),
)
def test_the_case_that_equals_the_value_is_chosen(value: object, target: str, case: str) -> None:
    """As a dictionary finds it; noted is the key."""
    VALUE[-1] = value
    run = run_flow(Chooses)
    assert set(run.records) == {"start", target, "end"}
    jump = run.outcomes["start"][0].transition
    assert jump is not None
    assert (jump.targets, jump.case, jump.foreach) == ((target,), case, None)


def refusal(flow_cls: type[FlowSpec], name: str = "start") -> InvalidNext:
    """How a step is refused its `self.next`: with the line of the call, and no traceback."""
    with pytest.raises(StepFailedError) as caught:
        MemoryRun(flow_cls).execute(name, [])
    error = caught.value.outcome.error
    assert isinstance(error, InvalidNext)
    assert "next(" in linecache.getline(__file__, error.line or 0)
    assert "Traceback" not in caught.value.outcome.report
    return error


@pytest.mark.parametrize("value", ["1", "b", "", None, 2, [], {}, {"a"}, float("nan")], ids=repr)
def test_a_value_that_equals_no_case_is_refused(value: object) -> None:
    """Nothing is converted; what can't be looked up equals none."""
    VALUE[-1] = value
    error = refusal(Chooses)
    assert "which is no case of its switch" in error.message
    assert "the cases are 'a', 1, -2.5, 'z'" in (error.hint or "")


class Lacks(FlowSpec):
    """A switch over an attribute that is not there."""

    @step
    def start(self) -> None:
        """Begin."""
        self.choice = "a"
        self.next({"a": self.one, "b": self.end}, condition="chioce")

    @step
    def one(self) -> None:
        """Do one thing."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class Collides(FlowSpec):
    """Two cases that a config gives the same key."""

    cfg = Keys()

    @step
    def start(self) -> None:
        """Begin."""
        self.v = "z"
        self.next({self.cfg.key: self.one, self.cfg.other: self.end}, condition="v")

    @step
    def one(self) -> None:
        """Do one thing."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_a_condition_must_be_there() -> None:
    """The nearest name is offered."""
    error = refusal(Lacks)
    assert "the condition self.chioce of step 'start': there is no such attribute" in error.message
    assert "did you mean self.choice" in (error.hint or "")


def test_keys_of_a_config_must_differ() -> None:
    """Where two are the same, the source's dictionary has lost a case."""
    assert "two have the same key" in refusal(Collides).message


class Base(FlowSpec):
    """A switch to inherit."""

    def decide(self) -> str:
        """The case."""
        return "a"

    @step
    def start(self) -> None:
        """Begin."""
        self.v = self.decide()
        self.next({"a": self.one, "b": self.end}, condition="v")

    @step
    def one(self) -> None:
        """Do one thing."""
        self.x = 1
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class Other(Base):
    """It decides otherwise."""

    def decide(self) -> str:
        """The other case."""
        return "b"


class Mixin:
    """One step of several flows."""

    @step
    def one(self) -> None:
        """Do one thing."""
        self.x: int = 2
        self.next(self.end)  # type: ignore[attr-defined]


class Mixed(Mixin, Base):
    """A step from a mixin, in the place of an inherited one."""


class Left(Base):
    """One side of a diamond."""

    LEFT = "left"

    @step
    def end(self) -> None:
        """Finish."""
        self.ended = f"{self.LEFT} {getattr(self, 'RIGHT', '')}"


class Right(Base):
    """The other side."""

    RIGHT = "right"

    @step
    def one(self) -> None:
        """Do one thing."""
        self.x = 3
        self.next(self.end)


class Diamond(Left, Right):
    """Both."""


def test_flows_inherit_steps_and_override_them() -> None:
    """By a method, from a mixin, and from both sides of a diamond; the base stays as it is."""
    assert run_flow(Base).value("end", "x") == 1
    assert set(run_flow(Other).records) == {"start", "end"}
    assert run_flow(Mixed).value("end", "x") == 2
    both = run_flow(Diamond)
    assert (both.value("end", "x"), both.value("end", "ended")) == (3, "left right")
    assert list(FlowGraph.of(Diamond).nodes) == ["start", "one", "end"]
    assert FlowGraph.of(Diamond)["one"].source_file == __file__


class Loops(FlowSpec):
    """A loop behind a loop."""

    @step
    def start(self) -> None:
        """Begin."""
        self.seen: list[Any] = []
        self.next(self.first)

    @step
    def first(self) -> None:
        """Repeat."""
        self.seen.append(("first", list(self._iteration_stack)))
        self.again = len(self.seen) < 2
        self.next({True: self.first, False: self.second}, condition="again")

    @step
    def second(self) -> None:
        """Repeat again."""
        self.seen.append(("second", list(self._iteration_stack)))
        self.again = len(self.seen) < 5
        self.next({True: self.second, False: self.end}, condition="again")

    @step
    def end(self) -> None:
        """Finish."""
        self.seen.append(("end", list(self._iteration_stack)))


def test_a_step_knows_how_often_it_has_run() -> None:
    """Counted from the time it was entered; outside of loops there is nothing to count."""
    assert run_flow(Loops).value("end", "seen") == [
        ("first", [0]), ("first", [1]), ("second", [0]), ("second", [1]), ("second", [2]), ("end", []),
    ]  # fmt: skip


class Gang(FlowSpec):
    """A gang of as many nodes as VALUE says."""

    @step
    def start(self) -> None:
        """Begin."""
        self.count = VALUE[-1]
        self.next(self.work, num_parallel=self.count)

    @parallel
    @step
    def work(self) -> None:
        """Work."""
        self.told = (
            self.index,
            self.input,
            self.foreach_stack(),
            current.parallel,
            current.is_parallel,
        )
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Meet."""
        self.all_told = [it.told for it in inputs]
        self.mine = (
            self.index,
            self.input,
            self.foreach_stack(),
            current.parallel,
            current.is_parallel,
        )
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_nodes_of_a_gang_know_where_they_are() -> None:
    """By number, which is their item; the join behind them is in no gang."""
    VALUE[-1] = 3
    run = run_flow(Gang)
    told = run.value("end", "all_told")
    assert [it[:3] for it in told] == [(node, node, [(node, None, node)]) for node in range(3)]
    assert [it[3] for it in told][1] == Parallel("127.0.0.1", 3, 1, "2")
    assert all(it[4] for it in told)
    assert run.value("end", "mine") == (None, None, [], None, False)
    assert "count" not in run.names("join")


@pytest.mark.parametrize("count", [0, -1, MOST_NODES + 1, None, "2", 2.0, True], ids=repr)
def test_what_is_no_number_of_nodes_is_refused(count: object) -> None:
    """Whole numbers only, from 1 on."""
    VALUE[-1] = count
    assert "num_parallel in step 'start' is" in refusal(Gang).message


class Pages(UnboundedForeachInput):
    """Something whose items come one after the other."""

    def __iter__(self) -> Iterator[str]:
        """Three of them."""
        return iter("abc")


class Unbounded(FlowSpec):
    """A foreach over these."""

    @step
    def start(self) -> None:
        """Begin."""
        self.pages = VALUE[-1]
        self.next(self.work, foreach="pages")

    @step
    def work(self) -> None:
        """Work."""
        self.page = self.input
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Meet."""
        self.all = [it.page for it in inputs]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_an_unbounded_foreach_is_iterated() -> None:
    """Before its first task; one that can't be is refused."""
    VALUE[-1] = Pages()
    assert run_flow(Unbounded).value("end", "all") == ["a", "b", "c"]
    VALUE[-1] = UnboundedForeachInput()
    assert "is not iterable" in refusal(Unbounded).message


class Prepared(ParallelDecorator):
    """A decorator for another framework."""

    name = "prepared_gang"

    def setup_distributed_env(self, flow: Any) -> None:
        """Tell the flow."""
        assert current.parallel is not None
        flow.prepared = current.parallel.num_nodes


prepared = StepDeclaration(Prepared)


class PreparedGang(FlowSpec):
    """Nodes that are prepared."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.work, num_parallel=2)

    @prepared
    @step
    def work(self) -> None:
        """Work."""
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Meet."""
        self.all = [it.prepared for it in inputs]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_other_decorators_make_gangs_as_well() -> None:
    """Those that derive from ours prepare each node in their way."""
    assert run_flow(PreparedGang).value("end", "all") == [2, 2]


class Torch(FlowSpec):
    """Nodes that find each other."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.work, num_parallel=2)

    @pytorch_parallel(master_port=1234)  # type: ignore[untyped-decorator]
    @step
    def work(self) -> None:
        """Work."""
        names = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "NODE_RANK")
        self.env = [os.environ[name] for name in names]
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Meet."""
        self.env = [it.env for it in inputs]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_torch_finds_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, which is as it was afterwards."""
    monkeypatch.delenv("RANK", raising=False)
    assert run_flow(Torch).value("end", "env") == [
        ["127.0.0.1", "1234", "2", str(node), str(node)] for node in range(2)
    ]
    assert "MF_PARALLEL_NUM_NODES" not in os.environ
    assert "RANK" not in os.environ


def test_nodes_agree_on_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is given: the same in all nodes of a gang."""
    (made,) = attached(Torch).of_step("work")
    monkeypatch.setitem(made.attributes, "master_port", None)
    first, second = run_flow(Torch).value("end", "env")
    assert first[1] == second[1]
    assert 20_000 <= int(first[1]) < 32_000
