"""Power cuts at every system call: what was acknowledged is there, and git finds nothing broken."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.cut_work import WORK, Explorer

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace records system calls")


@pytest.mark.parametrize("work", WORK)
@pytest.mark.sample("publish", "fetch", "fold", "purge packed")
def test_a_cut_at_some_calls(tmp_path: Path, work: str) -> None:
    """Of each kind of work some states, by seed; of a few of them also the next run and the user's gc and clone."""
    explorer = Explorer(tmp_path / "work", work)
    assert explorer.end().files == explorer.files(), "the recorded calls are not all"
    states = list(explorer.states(seed=1))
    assert any(state.acknowledged for state in states)
    chosen = random.Random(2).sample(states, min(3, len(states)))
    found = {
        number: problems
        for number, state in enumerate(chosen)
        if (problems := explorer.problems(state, dear=number % 10 == 0))
    }
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("work", WORK)
def test_a_cut_at_every_call(tmp_path: Path, work: str, seed: int) -> None:
    """All states."""
    explorer = Explorer(tmp_path / "work", work)
    found: Counter[str] = Counter()
    for number, state in enumerate(explorer.states(seed)):
        found.update(explorer.problems(state, dear=number % 10 == 0))
        found["states"] += 1
    print(work, dict(found))  # noqa: T201
    assert found.keys() == {"states"}


def test_states_differ_where_nothing_is_synced(tmp_path: Path) -> None:
    """Without fsync the explorer finds broken repositories: it can fail."""
    explorer = Explorer(tmp_path / "work", "publish", "fast")
    states = list(explorer.states(seed=1))
    chosen = random.Random(2).sample(states, 12)
    assert any(explorer.problems(state, dear=False) for state in chosen)
