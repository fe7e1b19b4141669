"""The examples are run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, make_repo
from tests.helpers.runs import make_measured_run


@pytest.mark.slow
def test_digits_trains_and_the_winner_is_promoted(tmp_path: Path) -> None:
    """The digits example trains; the best run is tagged; the client reads its model back."""
    pytest.importorskip("sklearn")
    examples = {path.name: path.read_text() for path in (ROOT / "docs" / "examples").glob("*.py")}
    repo = make_repo(tmp_path / "digits", files=examples)
    done = repo.flow("digits.py", "run", "--grid", '[{"C": 1, "gamma": 0.0001}]')
    assert done.code == 0, done.out + done.err
    done = repo.flow("digits.py", "run", "--cache")
    assert done.code == 0, done.out + done.err
    done = repo.python("promote.py")
    assert done.code == 0, done.err
    assert "Digits/2 is in production" in done.out
    assert "accuracy 0.99" in done.out
    assert repo.git("tag", "-l").startswith("runs/Digits/production/2-")
    repo.write("digits.py", examples["digits.py"].replace("best = max(", "best = min("))
    done = repo.flow("digits.py", "run", "--cache")
    assert done.code == 0, done.out + done.err
    assert re.findall(r"\[3/(\w+)/\d+ \(pid \d+\)\] Task is starting", done.out) == [
        "choose",
        "end",
    ]
    assert re.findall(r"\[3/(\w+)/\d+\] Taken from Digits/2/\1/", done.out) == [
        "start",
        "train",
        "train",
        "train",
    ]
    repo.fsck()


@pytest.mark.parametrize(
    ("name", "commit", "program"),
    [
        ("github-compare-runs.yml", "HEAD", "gh"),
        ("gitlab-compare-runs.yml", "CI_COMMIT_SHA", "curl"),
    ],
)
@pytest.mark.sample(1)
def test_a_pipeline_comments_with_the_comparison(
    tmp_path: Path, name: str, commit: str, program: str
) -> None:
    """What it runs is run as it stands there, in a clone like the pipeline's; the comment is caught."""
    text = (ROOT / "docs/examples" / name).read_text()
    script = textwrap.dedent(re.split(r"(?:run:|-) \|\n", text)[-1])
    repo = make_repo(tmp_path / "project")
    make_measured_run(repo, {"lr": "0.1"}, {"acc": 0.5}, tags=["production"])
    repo.git("switch", "-q", "-c", "feature")
    repo.commit()
    make_measured_run(repo, {"lr": "0.2"}, {"acc": 0.75})
    pipeline = tmp_path / "clone"
    repo.git("clone", "-q", "--branch", "feature", str(repo.path), str(pipeline))
    caught = tmp_path / "bin" / program
    caught.parent.mkdir()
    caught.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$CAUGHT"\n')
    caught.chmod(0o755)
    env = {
        "CAUGHT": str(tmp_path / "words"),
        commit: repo.git("rev-parse", "HEAD"),
        "PULL_REQUEST": "7",
    }
    env["PATH"] = f"{caught.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", script], cwd=pipeline, env={**os.environ, **env}, check=True)
    assert "| metric `acc` | `0.5` | `0.75 (+0.25)` |" in (pipeline / "comparison.md").read_text()
    assert "comparison.md" in (tmp_path / "words").read_text()
