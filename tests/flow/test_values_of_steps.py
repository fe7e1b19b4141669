"""What a step assigns is what the next one reads: flows of every shape against plain objects that do the same."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gitflowrun.names import TaskName
from tests.flow import moving_flows
from tests.flow.memory import CodecRun
from tests.flow.moves import HOWS, VALUES, Moves, shown
from tests.flow.plain_flows import FIXED, Model, Place, Script
from tests.helpers.flows import latest, value_of
from tests.helpers.repos import ROOT, GitRepo, make_repo

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

NAMES = ["a", "b", "c", "d"]

STEPS = {
    "Line": "start one two end",
    "Split": "start one two join end",
    "Each": "start one two join end",
    "Nested": "start one two inner join end",
    "Branched": "start body one two inner join end",
    "Switch": "start again0 again1 again2 fork one two end",
    "Caught": "start one two end",
}
_codes, _names = st.sampled_from(VALUES), st.sampled_from(NAMES)
_hows, _number = st.sampled_from(HOWS), st.integers(0, 2)
_params = st.sampled_from(sorted(FIXED))


def _move(name: str, *parts: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
    return st.tuples(st.just(name), *parts).map(list)


MOVES = {
    "set": _move("set", _names, _codes), "let": _move("let", _names, _names), "swap": _move("swap", _names, _names),
    "read": _move("read", _names), "has": _move("has", _names), "change": _move("change", _names, _hows),
    "wrap": _move("wrap", _names, _names), "pick": _move("pick", _names, _names), "put": _move("put", _names, _names),
    "del": _move("del", _names), "renew": _move("renew", _names), "copy": _move("copy", _names, _names),
    "reuse": _move("reuse", _names, _codes), "param": _move("param", _names, _params),
    "change_param": _move("change_param", _params, _hows), "set_param": _move("set_param", _params),
}  # fmt: skip
EACH_MOVES = {"input": _move("input", _names), "change_input": _move("change_input", _hows)}
JOIN_MOVES = {
    "take": _move("take", _names, _number, _names),
    "take_and_change": _move("take_and_change", _names, _number, _names, _hows),
    "change_of": _move("change_of", _number, _names, _hows), "set_of": _move("set_of", _number, _names, _codes),
    "peek": _move("peek", _number, _names), "take_input": _move("take_input", _names, _number),
    "collect": _move("collect", _names, _names), "forget": _move("forget"),
    "merge": _move(
        "merge", st.sampled_from(["include", "exclude"]), st.lists(_names, max_size=2, unique=True),
        st.lists(_number, max_size=2),
    ),
}  # fmt: skip


@st.composite
def scripts(draw: DrawFn) -> tuple[str, Script]:
    """A shape, and what its steps do."""
    shape = draw(st.sampled_from(sorted(STEPS)))
    is_wide = shape in {"Each", "Nested", "Branched"}
    script: Script = {}
    for step in STEPS[shape].split():
        choice = dict(MOVES)
        if is_wide and step in {"body", "one", "two", "inner"}:
            choice |= EACH_MOVES
        if step in {"inner", "join"}:
            choice |= JOIN_MOVES
        one = st.one_of(*choice.values())
        moves = st.lists(one, max_size=5)
        if is_wide and step in {"body", "one", "two"}:
            one |= _move("only", st.integers(0, 1), moves)
        one |= _move("try", moves)
        script[step] = draw(st.lists(one, max_size=6))
        if step == "start":
            script[step] = [["set", name, draw(_codes)] for name in NAMES[:3]] + script[step]
        if step in {"inner", "join"} and draw(st.booleans()):
            script[step] = [
                *script[step],
                ["merge", "exclude", draw(st.lists(_names, max_size=2)), []],
            ]
        if (is_wide and step == "start") or (shape == "Nested" and step == "one"):
            items = ", ".join(draw(st.lists(_codes, min_size=1, max_size=3)))
            script[step].append(["set", "xs" if step == "start" else "ys", f"[{items}]"])
        if shape == "Caught" and step in {"one", "two"}:
            script[step].insert(
                draw(st.integers(0, len(script[step]))), ["fail", draw(st.integers(0, 1))]
            )
    return shape, script


def told(values: dict[str, Any]) -> dict[str, str]:
    """What is compared of a task: neither what it can't change, nor the items of foreach levels."""
    if "failure" in values:
        values["failure"] = bool(values["failure"])
    left_out = {*FIXED, "xs", "ys"}
    found = {name: it for name, it in values.items() if name not in left_out}
    return {name: shown(it) for name, it in found.items() if not name.startswith("_")}


def expected(shape: str, script: Script) -> dict[Place, dict[str, str]]:
    """What every task has in the end."""
    Moves.script = script
    tasks = Model(shape).run().tasks.items()
    return {
        place: told({name: pickle.loads(it) for name, it in values.items()})
        for place, values in tasks
    }


def in_memory(shape: str, script: Script) -> dict[Place, dict[str, str]]:
    """The same of a flow that runs in memory."""
    Moves.script = script
    run = CodecRun(getattr(moving_flows, shape)).run()
    found: dict[Place, dict[str, str]] = {}
    for step, records in run.records.items():
        for number, record in enumerate(records):
            place = step, tuple(it.index for it in record.frames), number if step == "again" else 0
            found[place] = told({name: run.load(ref) for name, ref in record.artifacts.items()})
    return found


def in_repository(
    repo: GitRepo, shape: str, script: Script, isolation: str
) -> dict[Place, dict[str, str]]:
    """The same of a flow that is run as a program."""
    moves = repo.path.parent / "moves.json"
    moves.write_text(json.dumps(script))
    env = {"MOVES": str(moves), "SHAPE": shape, "GITFLOWRUN_ISOLATION": isolation}
    said = repo.flow("moving_flows.py", "--quiet", "run", env={**env, "PYTHONPATH": str(ROOT)})
    assert said.code == 0, said.err
    run = latest(repo, shape)
    found: dict[Place, dict[str, str]] = {}
    for step in set(run.steps()) - {"_parameters"}:
        for name in run.tasks(step):
            task = run.task(TaskName(step, name))
            record = task.record
            indices = tuple(it.index for it in record.frames)
            place = step, indices, record.iterations[-1] if record.iterations else 0
            found[place] = told({it: value_of(task, it) for it in record.artifacts})
    return found


@given(scripts())
def test_what_a_step_assigns_is_what_the_next_one_reads(flow: tuple[str, Script]) -> None:
    """Whatever the flow's shape, and whatever was read, changed, passed on and deleted before."""
    assert in_memory(*flow) == expected(*flow)


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["fork", "batch", "inline", "fresh"])
def test_so_it_is_when_flows_are_run(isolation: str, tmp_path: Path) -> None:
    """In processes of their own, through what is stored of each value."""
    source = (ROOT / "tests/flow/moving_flows.py").read_text()
    repo = make_repo(tmp_path / "repo", files={"moving_flows.py": source})

    @settings(max_examples=50, phases=[Phase.generate])
    @given(scripts())
    def look(flow: tuple[str, Script]) -> None:
        shape, script = flow
        assert in_repository(repo, shape, script, isolation) == expected(shape, script)

    look()
