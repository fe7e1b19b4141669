"""A FIFO where a file or directory of ours should be keeps nobody waiting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import make_run

PLACES = [
    "gitflowrun", f"gitflowrun/dedup-{os.geteuid()}.sqlite", "gitflowrun/incoming", "gitflowrun/live",
    "gitflowrun/live/1", "gitflowrun/locks", "gitflowrun/locks/ids", "gitflowrun/locks/tags",
    "gitflowrun/locks/trust", "gitflowrun/snapshots", "gitflowrun/stale-locks", "gitflowrun/swept-locks",
    "gc.pid", "FOO_BAR", "gitflowrun-running", "gitflowrun-removed", "gitflowrun/fold.lock", "gitflowrun/freeing",
    "gitflowrun/ref-locks", "gitflowrun/ref-locks/1",
    "gitflowrun-mark", "gitflowrun-mark.new", "gitflowrun-trusted", f"gitflowrun-key-{os.geteuid()}",
]  # fmt: skip
EACH = """
import os, sys
from pathlib import Path
from gitflowrun.cli.git_runs.main import main
from gitflowrun.errors import GitflowrunError
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run
for verb in (["list"], ["show", "1"], ["logs", "1"], ["tag", "1", "b"], ["trust"], ["trust", "1"], ["fetch", "../hub"],
             ["doctor", "--fix"], ["gc"], ["rm", "--force", "1"], ["purge", "1"]):
    main(verb)
try:
    make_run(GitRepo(Path.cwd()))
except (GitflowrunError, OSError) as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_fifo_in_our_place(repo: GitRepo, tmp_path: Path, place: str) -> None:
    """Verbs and new runs end, with words or without it."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "hub")], check=True)
    make_run(repo, tags=["a"])
    path = repo.path / ".git" / place
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-c", EACH], cwd=repo.path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
