"""Flows of all shapes as the commands describe them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitflowrun.cli.flow.main import main
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.decorators.parallel import parallel
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.runtime.launch.launcher import Launcher


class Shapes(FlowSpec):
    """A loop, a gang and a switch."""

    @step
    def start(self) -> None:
        """Begin."""
        self.again = "no"
        self.next(self.loop)

    @step
    def loop(self) -> None:
        """Repeat."""
        self.next({'say "yes"': self.loop, "no": self.fan}, condition="again")

    @step
    def fan(self) -> None:
        """Fan out."""
        self.next(self.work, num_parallel=3)

    @parallel
    @step
    def work(self) -> None:
        """Work."""
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Meet."""
        del inputs
        self.next(self.choose)

    @step
    def choose(self) -> None:
        """Choose."""
        self.next({1: self.one, 2: self.end}, condition="number")

    @step
    def one(self) -> None:
        """Do one more thing."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines that a command prints to standard output."""
    assert main(Shapes, Launcher(Shapes, ""), list(words)) == 0
    return capsys.readouterr().out.splitlines()


def test_show_says_how_each_step_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A switch by its cases, a gang by its size."""
    assert [line.strip() for line in printed(capsys, "show") if "=>" in line] == [
        "=> loop",
        '=> loop, fan  (by again; say "yes": loop, no: fan)',
        "=> work  (3 at the same time)",
        "=> join",
        "=> choose",
        "=> one, end  (by number; 1: one, 2: end)",
        "=> end",
    ]


def test_output_dot_labels_cases_and_gangs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each case is an edge, whose label is quoted as GraphViz has it."""
    lines = printed(capsys, "output-dot")
    assert '  "loop" -> "loop" [label="say \\"yes\\""];' in lines
    assert '  "loop" -> "fan" [label="no"];' in lines
    assert '  "fan" -> "work" [label="3 nodes"];' in lines
    assert '  "choose" -> "end" [label="2"];' in lines
    assert '  "choose" [label="choose\\nsplit-switch" shape="diamond"];' in lines


def test_output_raw_says_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Field by field, under Metaflow's names."""
    lines = printed(capsys, "output-raw")
    first = next(at for at, line in enumerate(lines) if line.startswith("[work linear ("))
    fields = {
        line.strip().partition("=")[0]: line.strip().partition("=")[2]
        for line in lines[first + 1 : first + 18]
    }
    assert fields["in_funcs"] == "[fan]"
    assert fields["split_parents"] == "[fan]"
    assert fields["parallel_step"] == "True"
    assert fields["is_inside_foreach"] == "True"


def test_output_raw_is_json_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """The graph as INFO keeps it, and how it is nested."""
    data = json.loads("\n".join(printed(capsys, "output-raw", "--json")))
    graph = FlowGraph.of(Shapes).to_map()
    assert data == {"graph": graph["steps"], "graph_structure": graph["graph_structure"]}
    assert data["graph"]["choose"]["switch_cases"] == {"1": "one", "2": "end"}
    assert data["graph"]["fan"]["num_parallel"] == 3
    assert data["graph"]["choose"]["condition"] == "number"
    assert [data["graph"][name]["type"] for name in ("start", "loop", "fan", "work", "join", "end")] == [
        "start", "split-switch", "split-parallel", "linear", "join", "end",
    ]  # fmt: skip
    assert data["graph_structure"] == [
        "start", "loop", [[]], "fan", "work", "join", "choose", [["one"], []], "end",
    ]  # fmt: skip
