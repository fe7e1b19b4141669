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
    "gitflowrun/ref-locks", "gitflowrun/ref-locks/1", "gitflowrun/freed",
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


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def test_a_fifo_among_objects(repo: GitRepo) -> None:
    """What reads it says which file it is; git, which would wait for it, is not asked."""
    make_run(repo, result=b"1")
    objects = repo.path / ".git" / "objects"
    index = objects / "pack" / f"pack-{'0' * 40}.idx"
    _pipe(index)
    assert (
        repo.runs("cat", "1/result", timeout=60).out == "1"
    )  # git, too, passes over one without a pack
    index.with_suffix(".pack").touch()
    done = repo.runs("cat", "1/result", timeout=60)
    assert done.code
    assert f"{index} is no regular file" in done.err
    index.unlink()
    index.with_suffix(".pack").unlink()
    code = repo.git("ls-tree", "-r", "--object-only", "runs/MyFlow/1:code").split("\n")[0]
    loose = objects / code[:2] / code[2:]
    assert loose.exists()
    _pipe(loose)
    done = repo.runs("verify", timeout=60)
    assert done.code
    assert f"{loose} is no regular file" in done.err


def test_a_fifo_in_the_place_of_a_hook(repo: GitRepo) -> None:
    """It is told as what keeps ours out."""
    _pipe(repo.path / ".git" / "hooks" / "pre-push")
    assert "it is a pipe" in repo.runs("hooks", timeout=60).out


def test_a_fifo_where_it_says_what_was_freed(repo: GitRepo) -> None:
    """A run begins."""
    _pipe(repo.path / ".git" / "gitflowrun" / "freed")
    code = "from pathlib import Path; from tests.helpers import repos, runs; runs.make_run(repos.GitRepo(Path()))"
    assert repo.python("-c", code, timeout=60).code == 0
