"""The fork check: which processes may be forked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gitflowrun.runtime.launch.launcher import why_not_fork
from tests.helpers.repos import ROOT

CHECKED = """
import sys
{code}
from gitflowrun.runtime.launch.launcher import why_not_fork
print(why_not_fork())
"""


def verdict(code: str) -> str:
    """What the fork check says in a process that has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", CHECKED.format(code=code)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize(
    "name", ["numpy", "pandas", pytest.param("sklearn.linear_model", marks=pytest.mark.slow)]
)
@pytest.mark.sample(1)
def test_imported_libraries_may_be_forked(name: str) -> None:
    """Their threads were started by loading them, and survive a fork."""
    pytest.importorskip(name)
    assert verdict(f"import {name}") == "None"


def test_running_threads_forbid_a_fork() -> None:
    """Python's own by name, those of libraries by number."""
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True, name='T1').start()"
    assert "T1" in verdict(thread)
    native = "import blake3; blake3.blake3(bytes(1 << 26), max_threads=blake3.blake3.AUTO).digest()"
    assert "native threads" in verdict(native)
    assert (
        verdict("import threading; t = threading.Thread(target=int); t.start(); t.join()") == "None"
    )


def test_the_fork_check_looks_at_this_process() -> None:
    """It does so without an exception wherever it runs."""
    assert why_not_fork() is None or isinstance(why_not_fork(), str)
