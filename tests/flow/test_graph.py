"""The graph is read from the source, wherever and however a class is written."""

from __future__ import annotations

import functools
import linecache
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import msgpack
from gitflowrun.errors import FlowError
from gitflowrun.flow import FlowSpec, Parameter, step
from gitflowrun.flow.graph import FlowGraph
from tests.flow.memory import run_flow

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


class Shapes(FlowSpec):
    """Every shape there is.

    On two lines.
    """

    RATE = 0.5
    amount = Parameter("amount", default=3)

    @step
    def start(self) -> None:
        """Split by foreach."""
        self.items = [1]
        self.next(self.fork, foreach="items")

    @step
    def fork(self) -> None:
        """Split in two."""
        self.next(
            self.left,
            self.right,
        )

    @step
    def left(self) -> None:
        """One."""
        self.next(self.meet)

    @step
    def right(self) -> None:
        """Two."""
        self.next(self.meet)

    @step
    def meet(self, inputs: Any) -> None:
        """Join both."""
        del inputs
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Join all."""
        del inputs
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_nodes_know_their_place() -> None:
    """Types, edges, enclosing splits and matching joins are those of the source."""
    graph = FlowGraph.of(Shapes)
    assert {node.name: node.type for node in graph} == {
        "start": "foreach", "fork": "split", "left": "linear", "right": "linear", "meet": "join",
        "join": "join", "end": "end",
    }  # fmt: skip
    assert (graph["start"].matching_join, graph["fork"].matching_join) == ("join", "meet")
    assert graph["left"].split_parents == ("start", "fork")
    assert graph["meet"].in_funcs == ("left", "right")
    assert graph["fork"].out_funcs == ("left", "right")
    assert (graph["start"].foreach_param, graph["fork"].foreach_param) == ("items", None)
    assert [node.name for node in graph if node.is_inside_foreach] == [
        "fork", "left", "right", "meet",
    ]  # fmt: skip
    assert graph["right"].split_branches == ("fork", "right")
    assert graph["join"].split_parents == ("start",)
    assert graph["join"].split_branches == ()
    assert (graph["join"].num_args, graph["end"].num_args) == (2, 1)
    assert not graph["start"].parallel_step
    assert (graph["fork"].doc, graph["fork"].decorators) == ("Split in two.", [])
    assert "start" in graph
    assert len(graph) == 7
    assert graph.sorted_nodes == ["start", "fork", "left", "right", "meet", "join", "end"]


def test_the_map_is_plain_data_with_everything_a_scheduler_needs() -> None:
    """`to_map` survives the wire and says types, targets, foreach attributes and joins."""
    data = FlowGraph.of(Shapes).to_map()
    assert msgpack.unpack(msgpack.pack(data)) == data
    assert data["file"] == "test_graph.py"
    assert (data["start_step"], data["end_step"]) == ("start", "end")
    assert data["doc"] == "Every shape there is.\n\nOn two lines."
    assert data["parameters"] == [{"name": "amount", "type": "Parameter"}]
    assert data["constants"] == [{"name": "RATE", "type": "float"}]
    assert data["graph_structure"] == [
        "start", [["fork", [["left"], ["right"]], "meet"]], "join", "end",
    ]  # fmt: skip
    start, fork = data["steps"]["start"], data["steps"]["fork"]
    assert (start["type"], start["foreach_artifact"], start["matching_join"]) == (
        "split-foreach", "items", "join",
    )  # fmt: skip
    assert (fork["type"], fork["next"], fork["matching_join"]) == (
        "split-static", ["left", "right"], "meet",
    )  # fmt: skip
    assert data["steps"]["left"]["type"] == "linear"
    line = Path(__file__).read_text().splitlines()[start["line"] - 1]
    assert line.strip().startswith("def start")


def _of_edges(place: Path, edges: dict[str, tuple[str, ...]]) -> type[FlowSpec]:
    """A flow with these steps, each a switch where several follow it."""
    lines = ["from gitflowrun import FlowSpec, step", "class F(FlowSpec):"]
    for name, targets in edges.items():
        cases = ", ".join(f"{number}: self.{it}" for number, it in enumerate(targets))
        switch = f"self.next({{{cases}}}, condition='k')"
        plain = f"self.next({', '.join(f'self.{it}' for it in targets)})" if targets else "pass"
        lines += ["  @step", f"  def {name}(self):", f"    {switch if targets[1:] else plain}"]
    file = place / "edges.py"
    file.write_text("\n".join(lines) + "\n")
    linecache.checkcache()
    names: dict[str, Any] = {"__name__": "edges"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    flow: type[FlowSpec] = names["F"]
    return flow


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        (
            {"start": ("a", "b"), "a": ("c",), "b": ("d", "start2"), "d": ("c",), "start2": ("c",), "c": ("end",)},
            ["start", [["a"], ["b", [["d"], ["start2"]]]], "c", "end"],
        ),
        ({"start": ("a", "c"), "a": ("b",), "b": ("c",), "c": ("end",)}, ["start", [["a", "b"], []], "c", "end"]),
        ({"start": ("a", "end"), "a": ("a", "b"), "b": ("end",)}, ["start", [["a", [[]], "b"], []], "end"]),
        (
            {"start": ("a", "b"), "a": ("x", "y"), "b": ("x", "y"), "x": ("end",), "y": ("end",)},
            ["start", [["a", [["x"], ["y"]]], ["b", [["x"], ["y"]]]], "end"],
        ),
    ],
)  # fmt: skip
def test_where_cases_meet(
    tmp_path: Path, edges: dict[str, tuple[str, ...]], expected: list[Any]
) -> None:
    """The structure goes on behind the first step that all cases lead to."""
    structure = FlowGraph(_of_edges(tmp_path, {**edges, "end": ()})).to_map()["graph_structure"]
    assert structure == expected


def test_a_long_chain_of_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is put into order so many times, however many switches it has."""
    edges: dict[str, tuple[str, ...]] = {"start": ("s0",)}
    for n in range(30):
        edges |= {f"s{n}": (f"a{n}", f"b{n}"), f"a{n}": (f"s{n + 1}",), f"b{n}": (f"s{n + 1}",)}
    graph = FlowGraph(_of_edges(tmp_path, {**edges, "s30": ("end",), "end": ()}))
    asked: list[FlowGraph] = []
    ordered: Any = vars(FlowGraph)["acyclic_nodes"]

    def counted(of: FlowGraph) -> Any:
        asked.append(of)
        return ordered.fget(of)

    monkeypatch.setattr(FlowGraph, "acyclic_nodes", property(counted))
    structure = graph.to_map()["graph_structure"]
    assert structure[:5] == ["start", "s0", [["a0"], ["b0"]], "s1", [["a1"], ["b1"]]]
    assert structure[-3:] == [[["a29"], ["b29"]], "s30", "end"]
    assert len(asked) <= 3


def test_very_many_switches_within_one_another(tmp_path: Path) -> None:
    """The graph fits into a record, which is nested so deep and no deeper: names are left out where it is deepest."""
    edges: dict[str, tuple[str, ...]] = {"start": ("s0",)}
    edges |= {f"s{n}": (f"a{n}", f"s{n + 1}") for n in range(60)}
    edges |= {f"a{n}": (f"b{n}",) for n in range(60)} | {f"b{n}": ("end",) for n in range(60)}
    data = FlowGraph(_of_edges(tmp_path, {**edges, "s60": ("end",), "end": ()})).to_map()
    inner = data["graph_structure"]
    assert (inner[:2], inner[2][0], inner[3]) == (["start", "s0"], ["a0", "b0"], "end")
    assert msgpack.unpack(msgpack.pack({"info": {"graph": data}})) == {"info": {"graph": data}}
    assert len(data["steps"]) == 183


def test_the_source_is_read_once() -> None:
    """Asking twice gives the same graph."""
    assert FlowGraph.of(Shapes) is FlowGraph.of(Shapes)


class Base(FlowSpec):
    """Steps to inherit."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.middle)

    @step
    def middle(self) -> None:
        """Go on."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_steps_are_inherited_and_overridden() -> None:
    """A subclass adds steps, replaces them, and takes them away."""

    class More(Base):
        @step
        def middle(self) -> None:
            self.next(self.extra)

        @step
        def extra(self) -> None:
            self.next(self.end)

    class Less(More):
        extra = None  # type: ignore[assignment]

    assert FlowGraph.of(More).sorted_nodes == ["start", "middle", "extra", "end"]
    assert list(FlowGraph.of(Less).nodes) == ["start", "middle", "end"]
    assert FlowGraph.of(Base)["middle"].out_funcs == ("end",)


def waiting(seconds: int) -> Callable[[Any], Any]:
    """A decorator that says what it wraps."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            assert seconds
            return function(*args)

        return wrapper

    return decorate


def silent(function: Any) -> Any:
    """A decorator that does not."""

    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def test_decorators_do_not_hide_the_source() -> None:
    """Above or below `@step`, with or without functools.wraps, the user's function is what is read."""

    class Decorated(FlowSpec):
        @waiting(3)
        @step
        def start(self) -> None:
            self.next(self.silent_below)

        @step
        @silent
        def silent_below(self) -> None:
            self.next(self.end)

        @step
        @waiting(
            2,
        )
        def end(self) -> None:
            pass

    assert run_flow(Decorated).names("end") == set()
    graph = FlowGraph.of(Decorated)
    assert graph["start"].out_funcs == ("silent_below",)
    assert graph["silent_below"].out_funcs == ("end",)
    assert graph["start"].written_above == ("waiting",)
    assert graph["end"].type == "end"
    functions: list[Any] = list(Decorated(use_cli=False))
    assert [function.name for function in functions] == [
        "start", "silent_below", "end",
    ]  # fmt: skip


def test_unusual_spellings_are_understood() -> None:
    """Another name for self, comments and line breaks make no difference."""

    class Spelled(FlowSpec):
        @step
        def start(this) -> None:  # noqa: N805
            """Begin."""
            # fmt: off
            this.next( this . middle )  # a comment
            # fmt: on

        @step
        def middle(
            self,
        ) -> None:
            if self.name:
                self.x = 1

            (self.next(self.end))

        @step
        def end(self) -> None:
            pass

    graph = FlowGraph.of(Spelled)
    assert (graph["start"].out_funcs, graph["middle"].out_funcs) == (("middle",), ("end",))


def test_start_and_end_may_have_any_name() -> None:
    """Annotated end points count; a single step is both."""

    class Named(FlowSpec):
        @step(start=True, node_info={"colour": "red"})
        def first(self) -> None:
            self.next(self.last)

        @step(end=True)
        def last(self) -> None:
            pass

    class Single(FlowSpec):
        @step
        def only(self) -> None:
            pass

    graph = FlowGraph.of(Named)
    assert (graph.start_step, graph.end_step) == ("first", "last")
    assert graph["first"].to_map()["node_info"] == {"colour": "red"}
    assert (graph["first"].type, graph["last"].type) == ("start", "end")
    assert run_flow(Single).names("only") == set()
    single = FlowGraph.of(Single)
    assert (single.start_step, single.end_step, single["only"].type) == ("only", "only", "end")


SCRIPT = """
    from gitflowrun.flow import FlowSpec, step
    from gitflowrun.flow.graph import FlowGraph
    import os

    class Élan(FlowSpec):
        @step
        def start(self):
            self.next(self.end)
        @step
        def end(self):
            pass

    if __name__ == "__main__":
        os.chdir("/")
        print(FlowGraph.of(Élan).sorted_nodes)
"""


def test_the_running_script_is_read_also_after_a_chdir(tmp_path: Path) -> None:
    """A flow in `__main__` started by a relative path is found, with a unicode name and tabs and all."""
    (tmp_path / "flow file.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "flow file.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['start', 'end']\n", "")


def make(source: str, filename: str = "<nowhere>") -> type[FlowSpec]:
    """A flow class from text that no file holds."""
    space: dict[str, Any] = {"FlowSpec": FlowSpec, "step": step, "__name__": "nowhere"}
    exec(compile(textwrap.dedent(source), filename, "exec"), space)
    flow: type[FlowSpec] = space["Made"]
    return flow


MADE = """
    class Made(FlowSpec):
        @step
        def start(self):
            self.next(self.end)
        @step
        def end(self): pass
"""


def test_a_flow_without_source_is_a_clear_error() -> None:
    """Code made by `exec` has no source: the error says what to do."""
    with pytest.raises(FlowError, match="the source of step 'start' is not available") as caught:
        FlowGraph.of(make(MADE))
    assert caught.value.hint == (
        "a flow's graph is read from its source: put the flow into a .py file"
    )


def test_a_file_that_changed_since_it_was_imported_is_a_clear_error(tmp_path: Path) -> None:
    """When the file no longer holds the step, or does not parse, that is said."""
    path = tmp_path / "changed.py"
    flow = make(MADE, str(path))
    path.write_text("# nothing\n")
    with pytest.raises(FlowError, match=r"step 'start' is not in line 3 of .*changed.py any more"):
        FlowGraph.of(flow)
    other = tmp_path / "broken.py"
    flow = make(MADE, str(other))
    other.write_text("def broken(:\n")
    with pytest.raises(FlowError, match="does not parse") as caught:
        FlowGraph.of(flow)
    assert (caught.value.source, caught.value.line) == (str(other), 1)


def test_a_step_must_be_a_function() -> None:
    """A callable object marked as a step has no body to read."""

    class Callable_:  # noqa: N801
        is_step = True

        def __call__(self) -> None:
            """Do nothing."""

    class Odd(FlowSpec):
        start = Callable_()

    with pytest.raises(FlowError, match="step 'start' is a Callable_, not a function"):
        FlowGraph.of(Odd)
