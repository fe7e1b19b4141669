"""The flow object seen from outside, and how making one starts the flow's program."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gitflowrun import entry_point
from gitflowrun.client.metaflow_names import ForeachFrame
from gitflowrun.flow import FlowSpec, Parameter, current, step
from gitflowrun.flow.current import task_facts
from gitflowrun.flow.members import constants, parameters_of
from tests.flow.memory import MemoryRun, run_flow


class Mixin:
    """A class that is no flow."""

    SHARED = "mixed in"


class Looked(Mixin, FlowSpec):
    """Looked at."""

    RATE = 1.5
    NOTHING = None
    TABLE = ((1, 2), (3, 4))
    _hidden = 1
    amount = Parameter("amount", default=3)

    class Inner:
        """No constant."""

    @property
    def double(self) -> int:
        """No constant either."""
        return 2

    @staticmethod
    def static() -> None:
        """Nor this."""

    @classmethod
    def method(cls) -> None:
        """Nor this."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_constants_are_plain_class_attributes() -> None:
    """Methods, properties, classes, parameters and names with an underscore are none; mixins count."""
    assert constants(Looked) == {
        "SHARED": "mixed in", "RATE": 1.5, "NOTHING": None, "TABLE": ((1, 2), (3, 4)),
    }  # fmt: skip
    assert list(parameters_of(Looked)) == ["amount"]


def test_constants_and_parameters_are_inherited() -> None:
    """A subclass inherits, overrides and adds both, also after the base has run."""
    run_flow(Looked)

    class More(Looked):
        RATE = 2.5
        amount = Parameter("amount", default=4)
        other = Parameter("other")

    assert constants(More)["RATE"] == 2.5
    assert constants(More)["SHARED"] == "mixed in"
    assert list(parameters_of(More)) == ["amount", "other"]
    assert run_flow(More).value("end", "RATE") == 2.5
    assert run_flow(Looked).value("end", "RATE") == 1.5


def test_what_third_party_code_reads_is_there() -> None:
    """Name, script, steps, graph and text of a flow that does not run."""
    flow = Looked(use_cli=False)
    functions: list[Any] = list(flow)
    assert (flow.name, flow.script_name) == ("Looked", "test_flowspec.py")
    assert [(function.name, function.is_step, function.decorators) for function in functions] == [
        ("start", True, []), ("end", True, []),
    ]  # fmt: skip
    assert flow._steps == functions
    assert flow._graph["start"].out_funcs == ("end",)
    assert flow._graph_info["steps"]["end"]["type"] == "end"
    assert (flow._current_step, flow._foreach_stack, flow._transition) == (None, [], None)
    assert (flow.index, flow.input, flow.foreach_stack()) == (None, None, [])
    assert str(flow) == "<flow Looked>"
    assert Looked.name == "Looked"
    assert "_state" not in dir(flow)
    with pytest.raises(AttributeError, match=r"flow 'Looked' has no attribute 'nothing'$"):
        assert flow.nothing


def test_a_running_flow_tells_where_it_is() -> None:
    """Step, foreach levels and text of a flow in a task."""

    class Where(FlowSpec):
        @step
        def start(self) -> None:
            self.items = ["a long item that is cut somewhere"]
            self.next(self.body, foreach="items")

        @step
        def body(self) -> None:
            self.seen: Any = (self._current_step, str(self), self._foreach_stack)
            self.listed = [name for name in dir(self) if name in {"items", "seen", "_state"}]
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.seen = (inputs[0]._current_step, str(inputs[0]))
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = run_flow(Where)
    frame = ForeachFrame("body", "items", 1, 0, "a long item that is cut somewh")
    text = "<flow Where step body[0] (input: a long item that is )>"
    assert run.value("body", "seen") == ("body", text, [frame])
    assert run.value("body", "listed") == ["items", "seen"]
    assert run.value("end", "seen") == ("body", text)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The flows whose program was started."""
    flows: list[type] = []
    monkeypatch.setattr(entry_point, "run_program", flows.append)
    return flows


def test_an_object_of_a_flow_is_its_program(launched: list[type]) -> None:
    """`MyFlow()` starts the flow's program; `MyFlow(use_cli=False)` does not."""
    Looked(use_cli=False)
    assert launched == []
    Looked()
    assert launched == [Looked]


def test_a_flow_object_in_a_step_starts_nothing(launched: list[type]) -> None:
    """A step may make objects of flows; after the task they start the program again."""

    class Maker(FlowSpec):
        @step
        def start(self) -> None:
            Looked()
            self.next(self.end)

        @step
        def end(self) -> None:
            Looked()
            msg = "out"
            raise ValueError(msg)

    run = MemoryRun(Maker)
    run.execute("start", [])
    with pytest.raises(AssertionError):
        run.execute("end", [])
    assert launched == []
    Looked()
    assert launched == [Looked]


def test_what_a_flow_sets_before_its_program_starts_is_there_in_every_task(
    launched: list[type],
) -> None:
    """Attributes of a flow's own `__init__` begin every step, joins too, and are artifacts."""

    class Own(FlowSpec):
        def __init__(self) -> None:
            self.early = [1]
            super().__init__()

        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            self.late = self.early

    Own()
    assert launched == [Own]
    assert run_flow(Own).value("end", "late") == [1]


def test_current_has_client_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """`current.run` and `current.task` are the client's objects, in whatever namespace."""
    opened: list[tuple[str, str, bool]] = []

    def make(kind: str) -> Any:
        def construct(pathspec: str, *, _namespace_check: bool) -> str:
            opened.append((kind, pathspec, _namespace_check))
            return kind

        return construct

    client = SimpleNamespace(Run=make("Run"), Task=make("Task"))
    monkeypatch.setitem(sys.modules, "gitflowrun.client", client)

    class Asks(FlowSpec):
        @step
        def start(self) -> None:
            self.kinds = (current.run, current.task)
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert run_flow(Asks).value("start", "kinds") == ("Run", "Task")
    assert opened == [("Run", "Asks/1", False), ("Task", "Asks/1/start/1", False)]


def test_tasks_nest(launched: list[type]) -> None:
    """When a task within a task has ended, the outer one is the running one again."""
    with task_facts({"step_name": "outer"}):
        with task_facts({"step_name": "inner"}):
            assert current.step_name == "inner"
        assert current.step_name == "outer"
        Looked()
    assert launched == []
    assert not current.is_running_flow
