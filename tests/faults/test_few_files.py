"""Runs where the system allows a process few open files."""

from __future__ import annotations

import sys

import pytest

from tests.helpers.flows import foreach_flow
from tests.helpers.repos import GitRepo, run_program


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("fork", 48),
        ("fork", 90),
        *(pytest.param("fresh", most, marks=pytest.mark.slow) for most in (48, 90)),
    ],
)
@pytest.mark.sample(1)
def test_few_files_mean_few_tasks_at_a_time(repo: GitRepo, kind: str, limit: int) -> None:
    """More workers than there are descriptors for: fewer run at a time, the user is told, nothing fails."""
    repo.write("f.py", foreach_flow("self.large = 'x' * 70_000\ntime.sleep(0.1)"))
    words = f"{sys.executable} f.py run --n 24 --max-workers 200"
    done = run_program(
        ["sh", "-c", f"ulimit -n {limit}; exec {words}"], repo.path, {"GITFLOWRUN_ISOLATION": kind}
    )
    assert done.code == 0, done.err
    assert "total 276" in done.out
    assert f"at a time, not 200: the system allows a process {limit} open files" in done.err
    repo.fsck()
