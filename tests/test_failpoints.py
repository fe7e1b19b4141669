"""The registry of failpoints, and the places that bear their names; `tests/faults` lets protocols fail there."""

from __future__ import annotations

import ast

from gitflowrun.failpoints import NAMES
from tests.helpers.repos import ROOT

PACKAGE = ROOT / "gitflowrun"


def test_every_place_is_registered() -> None:
    """No module names a failpoint that the registry lacks, and each one of the registry stands in a protocol."""
    texts = [it.read_text() for it in PACKAGE.rglob("*.py") if it.name != "failpoints.py"]
    used = [
        str(name.value)
        for text in texts
        if "reached(" in text  # as in few of them: parsing all takes seconds
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "reached"
        for name in node.args
        if isinstance(name, ast.Constant)
    ]
    assert set(used) == NAMES
