"""The examples are run as a reader would run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, make_repo


def test_digits_trains_and_the_winner_is_promoted(tmp_path: Path) -> None:
    """The digits example trains; the best run is tagged; the client reads its model back."""
    pytest.importorskip("sklearn")
    examples = {path.name: path.read_text() for path in (ROOT / "docs" / "examples").glob("*.py")}
    repo = make_repo(tmp_path / "digits", files=examples)
    done = repo.flow("digits.py", "run", "--grid", '[{"C": 1, "gamma": 0.0001}]')
    assert done.code == 0, done.out + done.err
    done = repo.flow("digits.py", "run")
    assert done.code == 0, done.out + done.err
    done = repo.python("promote.py")
    assert done.code == 0, done.err
    assert "Digits/2 is in production" in done.out
    assert "accuracy 0.99" in done.out
    assert repo.git("tag", "-l").startswith("runs/Digits/production/2-")
    repo.fsck()
