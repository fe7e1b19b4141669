from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.runs.read import order_steps


def graph(*steps: str) -> dict[str, Any]:
    """A graph as a run's INFO has it: its steps in the order of the flow."""
    return {"start_step": "start", "steps": {name: {"next": []} for name in steps}}


BRANCHES = graph("start", "b", "a", "a2", "join", "end")


def test_steps_stand_in_the_order_of_the_graph() -> None:
    """However the steps come, the graph says which is first."""
    names = ["end", "a", "join", "start", "a2", "b"]
    assert order_steps(BRANCHES, names) == ["start", "b", "a", "a2", "join", "end"]


def test_only_present_steps_are_listed() -> None:
    """A step without tasks is not in the list; one that the graph does not know is last."""
    assert order_steps(BRANCHES, ["end", "zzz", "a"]) == ["a", "end", "zzz"]


def test_private_steps_come_first() -> None:
    """`_parameters` stands before the first step."""
    assert order_steps(BRANCHES, ["start", "_parameters"]) == ["_parameters", "start"]


@pytest.mark.parametrize(
    "odd", [{}, {"steps": None}, {"steps": {"start": 1}}, {"steps": {"start": {"next": "end"}}}]
)
def test_what_is_no_graph_orders_by_name(odd: dict[str, Any]) -> None:
    """A graph of another shape is no error."""
    assert order_steps(odd, ["start", "end"]) in (["end", "start"], ["start", "end"])


NAMES = st.sampled_from(["start", "a", "b", "c", "end", "_parameters"])


@given(st.lists(NAMES), st.sets(NAMES))
def test_no_step_is_lost(steps: list[str], names: set[str]) -> None:
    """Whatever the graph, every name is in the result once."""
    assert sorted(order_steps(graph(*steps), names)) == sorted(names)
