"""Flows under real Metaflow and under us: where an interpreter has Metaflow, nothing differs but what is declared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.compare import FLOWS, compare, declared, differences, flow_name

METAFLOW = os.environ.get("GITFLOWRUN_TEST_METAFLOW", "")
FILES = sorted(FLOWS.glob("*.py"))


@pytest.mark.slow
@pytest.mark.skipif(
    not METAFLOW, reason="GITFLOWRUN_TEST_METAFLOW names no interpreter that has Metaflow"
)
@pytest.mark.parametrize("flow", FILES, ids=lambda path: path.stem)
def test_the_same_comes_of_a_flow(flow: Path) -> None:
    """Exit codes, artifacts, statuses, output and the client's answers are the same."""
    assert compare(METAFLOW, flow) == []


def test_differences_are_seen() -> None:
    """A value, a length and an absent key differ; the output of a command is not compared."""
    theirs = {"a": [1, {"b": 2}], "c": [1], "output": "x"}
    ours = {"a": [1, {"b": 3}], "c": [1, 2], "d": 4, "output": "y"}
    assert dict(differences(theirs, ours)) == {
        "a.1.b": "2 | 3",
        "c": "[1] | [1, 2]",
        "d": "None | 4",
    }
    assert list(differences(theirs, theirs)) == []


@pytest.mark.parametrize("flow", FILES, ids=lambda path: path.stem)
def test_files_say_what_they_are(flow: Path) -> None:
    """Each imports from Metaflow, runs one flow, and says of a declared difference why it is there."""
    text = flow.read_text()
    assert "from metaflow import" in text
    assert flow_name(text) in text
    assert all(": " in line for line in declared(text, "differs"))


def test_the_seal_of_the_tests_leaves_what_says_what_to_test() -> None:
    """The interpreter is heard of, though settings of the machine are not."""
    env = {**os.environ, "GITFLOWRUN_TEST_METAFLOW": "there", "GITFLOWRUN_RUNS_USER": "x"}
    code = "import os, tests.conftest; print(*(it for it in os.environ if 'GITFLOWRUN' in it))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=FLOWS.parents[2], env=env, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["GITFLOWRUN_TEST_METAFLOW"]
