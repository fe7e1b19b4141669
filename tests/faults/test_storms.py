"""The user's own housekeeping beside runs and folds, whatever the command: no object is lost."""

from __future__ import annotations

import pytest

from tests.helpers.repacks import add_bulk
from tests.helpers.repos import GitRepo
from tests.helpers.storm import Storm


@pytest.mark.parametrize(
    ("rounds", "runs", "seconds"),
    [(12, 12, 20), pytest.param(210, 110, 1200, marks=pytest.mark.slow)],
)
def test_a_storm_loses_nothing(repo: GitRepo, rounds: int, runs: int, seconds: float) -> None:
    """Runs that share artifacts, folds, and git's commands alone and in pairs, which fail hardly ever and not twice."""
    add_bulk(repo, 2 << 20)
    storm = Storm(repo, rounds=rounds, runs=runs, seed=1, seconds=seconds)
    storm.go()
    print(dict(storm.counts))  # noqa: T201
    assert storm.errors == []
    assert storm.losses() == []
    assert storm.counts["twice"] == 0, storm.failures
    assert storm.counts["failed"] <= max(1, storm.counts["rounds"] // 100), storm.failures
    assert storm.counts["rounds"] > 3
    assert storm.counts["runs"] > 3
    # A multi-pack-index that was written while packs of it were deleted names them until then.
    repo.git("gc", "-q")
    assert storm.losses() == []
    repo.fsck()
