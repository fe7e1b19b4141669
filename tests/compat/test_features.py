"""What there is of Metaflow's features: each of them names tests that hold it, or a row of docs/metaflow.md.

`features/` has one file for each subject, of tables like

    [[feature]]
    of = "what it is, in one line"
    tests = ["tests/flow/test_joins.py::test_merge"]   # what would fail if it did not hold
    differs = "the first cell of a row of docs/metaflow.md"   # where it does not hold, and why
"""

from __future__ import annotations

import functools
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.repos import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = sorted((Path(__file__).parent / "features").glob("*.toml"))


def features(file: Path) -> list[dict[str, Any]]:
    """The features that a file lists."""
    found: list[dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))["feature"]
    return found


@functools.cache
def functions_in(file: str) -> frozenset[str]:
    """The names of the tests in a file, without importing it."""
    try:
        text = (ROOT / file).read_text("utf-8")
    except OSError:
        return frozenset()
    return frozenset(re.findall(r"^ *def (test_\w+)\(", text, re.MULTILINE))


@functools.cache
def differences() -> frozenset[str]:
    """The first cells of the tables of docs/metaflow.md."""
    text = (ROOT / "docs" / "metaflow.md").read_text("utf-8")
    return frozenset(re.findall(r"^\| (.+?) \| ", text, re.MULTILINE))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_tests_and_differences_of_features_are_there(file: Path) -> None:
    """A feature is one line; its tests and its row exist, and it has one or the other."""
    for feature in features(file):
        of, tests, differs = feature["of"], feature.get("tests", []), feature.get("differs")
        assert set(feature) <= {"of", "tests", "differs"}, of
        assert of == of.strip(), of
        assert "\n" not in of
        assert tests or differs, f"{of}: nothing holds it"
        for test in tests:
            name, _, function = test.partition("::")
            assert function in functions_in(name), f"{of}: there is no {test}"
        assert differs is None or differs in differences(), f"{of}: there is no row {differs!r}"


def test_no_feature_stands_twice() -> None:
    """Neither in one file nor in two."""
    times = Counter(feature["of"] for file in FILES for feature in features(file))
    assert [of for of, count in times.items() if count > 1] == []
