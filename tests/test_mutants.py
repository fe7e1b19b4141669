"""What `tests/mutants.py` draws, and that the tests it runs are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.mutants import (
    GUARDS,
    ROOT,
    Mutant,
    Worker,
    apply,
    draw,
    guards_of,
    modules_in,
    mutants_of,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = tomllib.loads(GUARDS.read_text("utf-8"))
SOURCE = b"""
def first(a, b=1):
    if TYPE_CHECKING:
        return a < 2
    with lock():
        close(a, mode=3)
    if not a:
        raise ValueError("1")
    try:
        return a == b and run("--quiet", b)
    except OSError:
        return 0
"""


def test_every_module_that_carries_promises_is_guarded() -> None:
    """Each has tests, and each that is listed exists."""
    modules = modules_in(TABLE["promises"])
    assert len(modules) > 50
    assert [module for module in modules if not guards_of(module)] == []
    listed = {test for module in TABLE["guards"] for test in guards_of(f"gitflowrun/{module}")}
    assert [test for test in sorted(listed) if not (ROOT / test).is_file()] == []
    assert [it for it in TABLE["guards"] if not (ROOT / "gitflowrun" / it).is_file()] == []


def test_what_is_drawn() -> None:
    """One change a mutant, in any place but words and what only a type checker sees; each is Python."""
    found = [(it.kind, it.old, it.new) for _, it in mutants_of("x.py", SOURCE)]
    assert found == [
        ("with", "with lock()", "if True"),
        ("drop call", "close(a, mode=3)", "pass"),
        ("argument", ", mode=3", ""),
        ("constant", "3", "4"),
        ("not", "not a", "bool(a)"),
        ("drop raise", 'raise ValueError("1")', "pass"),
        ("return", 'a == b and run("--quiet", b)', "None"),
        ("and/or", " and ", " or "),
        ("compare", " == ", " != "),
        ("option", '"--quiet"', "*()"),
        ("except", "return 0", "raise"),
        ("constant", "0", "1"),
    ]
    for _, mutant in mutants_of("x.py", SOURCE):
        moved = apply(mutant, b"\n\n" + SOURCE)
        assert moved
        assert moved != SOURCE


def test_a_seed_draws_the_same_again() -> None:
    """So a result can be looked at by whoever wants to."""
    path = ["gitflowrun/runs/ids.py"]
    assert draw(path, 5, 1) == draw(path, 5, 1) != draw(path, 5, 2)


@pytest.mark.slow
def test_a_worker_tells_killed_from_survived(tmp_path: Path) -> None:
    """A mutant that tests notice does not survive; one in what they never touch does; the copy is whole again."""
    worker = Worker(tmp_path / "worker", 120)
    module, tests = "gitflowrun/names.py", ["tests/test_names.py"]
    source = (ROOT / module).read_bytes()
    assert worker.failures(tests, limit=120) == []
    found = [it for _, it in mutants_of(module, source) if it.kind == "drop raise"]
    word, test = worker.fate(found[0], ["tests/test_later.py", *tests])
    assert word == "killed"
    assert test.startswith("tests/test_names.py::")
    assert worker.fate(found[0], ["tests/test_later.py"]) == ("unguarded", "")
    words = [
        it
        for _, it in mutants_of(
            "gitflowrun/limits.py", (ROOT / "gitflowrun/limits.py").read_bytes()
        )
    ]
    harmless: Mutant = words[-1]
    assert worker.fate(harmless, tests) == ("survived", "")
    assert worker.failures(tests, limit=120) == []
