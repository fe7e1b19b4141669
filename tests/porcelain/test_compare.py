"""What differs between two runs, whatever it is."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison.changes import delta
from gitflowrun.porcelain.comparison.compare import (
    Difference,
    RunDifference,
    StepDifference,
    compare,
)
from gitflowrun.runs import read
from gitflowrun.runs.runs import RunStore
from tests.helpers.flows import foreach_flow, linear_flow
from tests.helpers.repos import GitRepo, make_repo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _two(
    repo: GitRepo, script: str, first: str, second: str, *, codes: tuple[int, int] = (0, 0)
) -> RunDifference:
    """The difference of two runs of one code, of which only the variable V differs."""
    repo.write("f.py", script)
    for value, code in zip((first, second), codes, strict=True):
        assert repo.flow("f.py", "--quiet", "run", env={"V": value}).code == code
    opened = Repository.discover(repo.path)
    old, new = (RunStore(opened).find(run) for run in ("1", "2"))
    found = compare(opened, old, new)
    assert found.differs
    assert not found.code.files
    return found


PLACES = [
    ("{'a': {'b': [1, int(v)]}, 'same': 1}", ("['a']['b'][1]: 1 -> 3 (+2)",)),
    ("{'a' + v: 1}", ("['a3']: (none) -> 1", "['a1']: 1 -> (none)")),
    ("'x' * 5000 + v", ("at character 5,000: '…xxxxxxxxxxxxxxxxxxxx1' -> '…xxxxxxxxxxxxxxxxxxxx3'",)),
    ("'one\\ntwo ' + v", ("@@ -2 +2 @@", "-two 1", "+two 3")),
    ("list(range(1000)) + [v]", ("[1000]: '1' -> '3'",)),
    ("{1, int(v) + 1}", ("items: 2 -> (none)", "items: (none) -> 4")),
]  # fmt: skip
ARRAYS = """
import numpy as np
self.arr = np.arange(100.0)
self.arr[:int(v)] -= int(v)
self.shape = np.zeros((2, int(v)), 'i4')
"""
FRAMES = """
import pandas as pd
self.frame = pd.DataFrame({'a': range(int(v) + 1)})
"""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> RunDifference:
    """The difference of two runs of a flow that makes values of many kinds, and has a constant, of V = 1 and 3."""
    repo = make_repo(tmp_path_factory.mktemp("compare") / "values")
    made = [f"self.v{number} = {value}" for number, (value, _) in enumerate(PLACES)]
    made += [ARRAYS] if importlib.util.find_spec("numpy") else []
    made += [FRAMES] if importlib.util.find_spec("pandas") else []
    script = linear_flow("\n".join(["v = os.environ['V']", *made])).replace(
        "(FlowSpec):\n", "(FlowSpec):\n    place = os.environ['V']\n"
    )
    return _two(repo, script, "1", "3")


def test_an_included_file_whose_attribute_has_another_name(repo: GitRepo) -> None:
    """A file's content is compared, with its lines, whatever its attribute and its option are called."""
    head = "from gitflowrun import IncludeFile\n"
    script = linear_flow(head=head).replace(
        "(FlowSpec):\n", "(FlowSpec):\n    cfg = IncludeFile('config', default=os.environ['V'])\n"
    )
    first, second = repo.path.parent / "1", repo.path.parent / "2"
    for path, text in ((first, "rate: 1\nsame\n"), (second, "rate: 2\nsame\n")):
        path.mkdir()
        (path / "c").write_text(text)
    found = _two(repo, script, str(first / "c"), str(second / "c"))
    assert [row.name for row in found.parameters] == ["config"]
    assert found.changes["config"] == ("@@ -1 +1 @@", "-rate: 1", "+rate: 2")
    listed = repo.call("list", "-p").out
    assert listed.splitlines()[0].split()[-2:] == ["AUTHOR", "config"]


def test_parameters_whose_attributes_have_other_names(repo: GitRepo) -> None:
    """Each is listed once, under its option, even where another one's attribute is called like that."""
    members = (
        "    rate_ = Parameter('learning-rate', default=os.environ['V'])\n"
        "    b = Parameter('a', default=int(os.environ['V']))\n"
        "    a = os.environ['V']\n"
    )
    script = linear_flow().replace("(FlowSpec):\n", f"(FlowSpec):\n{members}")
    rows = _two(repo, script, "1", "2").parameters
    assert [(row.name, row.old) for row in rows[:2]] == [("learning-rate", "1"), ("a", "1")]
    assert [row.name for row in rows[2:]] == ["self.a"]
    listed = repo.call("list", "-p").out
    assert listed.splitlines()[0].split()[-3:] == ["learning-rate", "a", "self.a"]


def test_a_constant_that_is_not_in_the_code(values: RunDifference) -> None:
    """A constant of the class differs where the code is the same."""
    (row,) = values.parameters
    assert row.name == "place"
    assert row.old is not None
    assert row.new is not None
    assert (row.old[:4], row.new[:4]) == ("'1' ", "'3' ")


def test_how_runs_ended(repo: GitRepo) -> None:
    """A run that failed differs from one that did not, if in nothing else."""
    script = linear_flow("if os.environ['V'] == '2':\n    raise ValueError")
    found = _two(repo, script, "1", "2", codes=(0, 1))
    assert found.status is not None
    assert (found.status.old, found.status.new) == ("done", "failed")
    assert "  status  done -> failed\n" in repo.call("diff", "1", "2").out


def test_values_that_no_later_task_has(repo: GitRepo) -> None:
    """What the tasks of a foreach made and the join did not keep is compared task by task."""
    script = foreach_flow("self.lost = self.x + (self.x > 1) * int(os.environ['V'])")
    found = _two(repo, script, "0", "1")
    assert found.steps == (StepDifference("work", 4, 4, 2, ("lost",)),)
    assert "\nSteps\n  work: lost in 2 of 4 tasks\n" in repo.call("diff", "1", "2").out


def test_places_within_a_value(values: RunDifference) -> None:
    """Of a container the places are listed that differ, of a text the lines or the place where it begins to."""
    found = {name: lines for name, lines in values.changes.items() if name.startswith("v")}
    assert found == {f"v{number}": lines for number, (_, lines) in enumerate(PLACES)}


def test_arrays(values: RunDifference) -> None:
    """Of arrays it is said how many elements differ and how much, or shape and dtype."""
    pytest.importorskip("numpy")
    assert values.changes["arr"] == ("3 of 100 elements differ, by up to 3",)
    assert values.changes["shape"] == ("shape: (2, 1) -> (2, 3)",)


def test_frames_by_what_their_tasks_noted(values: RunDifference) -> None:
    """Of frames what their tasks noted is compared: shape, columns, statistics."""
    pytest.importorskip("pandas")
    assert values.changes["frame"] == (
        "shape: (2, 1) -> (4, 1)",
        "a: min 0, max 1, mean 0.5 -> min 0, max 3, mean 1.5",
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("1", "3", " (+2)"),
        ("0.5", "0.25", " (-0.25)"),
        ("1" * 30, "1" * 29 + "2", " (+1)"),
        ("nan", "1.0", ""),
        ("1", "1.0", ""),
        ("'1'", "'2'", ""),
        ("True", "False", ""),
        (None, "1", ""),
    ],
)
def test_numbers_have_their_difference(old: str | None, new: str, text: str) -> None:
    """Between two numbers stands by how much they differ."""
    assert delta(old, new) == text


def _run_twice(repo: GitRepo, between: Callable[[], object], **environ: str) -> RunDifference:
    """The difference of two runs of a flow that `between` does not touch."""
    repo.flow("f.py", "--quiet", "run", env=environ)
    between()
    assert repo.flow("f.py", "--quiet", "run", env=environ).code == 0
    opened = Repository.discover(repo.path)
    found = compare(opened, *(RunStore(opened).find(run) for run in ("1", "2")))
    assert not found.code.files
    return found


@pytest.mark.parametrize(
    ("change", "new"),
    [("more=1\n", "7 bytes, may be a secret (.env)"), (None, None)],
)
def test_a_secret_that_changed_or_went(repo: GitRepo, change: str | None, new: str | None) -> None:
    """A file that no snapshot holds differs where another size is known, or where it was left out once only."""
    repo.write("f.py", linear_flow())
    env = repo.write(".env", "a=1\n")
    found = _run_twice(repo, env.unlink if change is None else lambda: env.write_text(change))
    assert found.left_out == (Difference(".env", "4 bytes, may be a secret (.env)", new),)
    assert found.differs
    done = repo.call("diff", "--exit-code", "1", "2")
    assert done.code == 1
    shown = new or "(not left out)"
    assert f"\n  .env: 4 bytes, may be a secret (.env) -> {shown}\n" in done.out
    assert "the same" not in done.out


def test_what_nobody_can_tell(repo: GitRepo) -> None:
    """Of left-out files of which the same is known nothing is claimed: the recorded code is the same."""
    repo.write("f.py", linear_flow())
    env = repo.write(".env", "a=1\n")
    found = _run_twice(repo, lambda: env.write_text("a=2\n"))
    assert (found.left_out, found.unknown, found.differs) == ((), (".env",), False)
    done = repo.call("diff", "--exit-code", "1", "2")
    assert done.code == 0
    assert "artifacts and recorded code, and ended" in done.out
    assert "perhaps changed, for their contents are not recorded: 1 file: .env" in done.out
    assert json.loads(repo.call("diff", "--json", "1", "2").out)["unknown"] == [".env"]
    assert json.loads(repo.call("diff", "--json", "2", "2").out)["unknown"] == []


def test_a_submodule_that_was_changed(repo: GitRepo, tmp_path: Path) -> None:
    """Uncommitted changes within a submodule make a difference that is named."""
    module = make_repo(tmp_path / "module", files={"lib.py": "x = 1\n"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module.path), "lib")
    repo.write("f.py", linear_flow())
    repo.git("add", "-A")
    repo.git("commit", "-qm", "1")
    found = _run_twice(repo, lambda: repo.write("lib/lib.py", "x = 2\n"))
    assert found.left_out == (Difference("lib", None, "the submodule has uncommitted changes"),)


def test_modules_from_elsewhere(repo: GitRepo, tmp_path: Path) -> None:
    """A module that lies outside of the repository is among what nobody can tell."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / "helper.py").write_text("x = 1\n")
    repo.write("f.py", linear_flow(head="import helper\n"))
    change = partial((place / "helper.py").write_text, "x = 2\n")
    found = _run_twice(repo, change, PYTHONPATH=str(place))
    assert found.unknown == (f"helper ({place.resolve() / 'helper.py'})",)


def test_steps_are_put_in_order_once(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps two runs have: a stranger's may have very many."""
    bodies = "".join(
        f"    @step\n    def s{number}(self):\n        self.x = os.environ['V']\n"
        f"        self.next(self.{f's{number + 1}' if number < 20 else 'end'})\n"
        for number in range(21)
    )
    script = linear_flow(head="import os\n").replace(
        "self.next(self.end)\n", f"self.next(self.s0)\n{bodies}"
    )
    ordered = Mock(wraps=read.order_steps)
    monkeypatch.setattr(read, "order_steps", ordered)
    assert [row.name for row in _two(repo, script, "1", "2").artifacts] == ["x"]
    assert 0 < ordered.call_count < 10
