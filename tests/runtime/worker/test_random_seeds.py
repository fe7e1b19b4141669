"""Random numbers of tasks: reproducible, and different for each task."""

from __future__ import annotations

import random

import pytest

from gitflowrun.runtime.worker.random_seeds import base_seeds, reseed


def test_seeds_depend_on_the_state_and_on_the_place() -> None:
    """The same state and place give the same numbers; another place or state others."""
    kept = random.getstate()
    try:
        random.seed(5)
        bases = base_seeds()
        drawn = []
        for place in ("work[0]#0", "work[0]#0", "work[1]#0", "work[0]#1"):
            reseed(bases, place)
            drawn.append(random.random())
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) == 3
        random.seed(5)
        assert base_seeds()["random"] == bases["random"]
        random.seed(6)
        assert base_seeds()["random"] != bases["random"]
    finally:
        random.setstate(kept)


def test_numpy_is_seeded_where_it_is_loaded() -> None:
    """The legacy generator, which libraries use."""
    np = pytest.importorskip("numpy")
    np.random.seed(3)
    bases = base_seeds()
    reseed(bases, "a#0")
    first = np.random.random()
    reseed(bases, "a#0")
    assert np.random.random() == first
    reseed(bases, "b#0")
    assert np.random.random() != first
