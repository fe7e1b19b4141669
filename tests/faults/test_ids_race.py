from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, GitRepo, run_program
from tests.helpers.runs import store_of

# Forks before pygit2 is imported; every child opens the repository by itself, as real schedulers do.
STARTERS = """
import os, sys, traceback
from pathlib import Path
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.runs import create, tags, write
from gitflowrun.runs.create import create_run
from gitflowrun.runs.runs import RunStore, Status
from tests.helpers.runs import draft, finished_task

places, count, each = sys.argv[3:], int(sys.argv[1]), int(sys.argv[2])
snapshot = take_snapshot(Repository.discover(Path(places[0])))  # what races here is the creation
assert "pygit2" not in sys.modules
ready, go = os.pipe(), os.pipe()
children = []
for number in range(count):
    pid = os.fork()
    if pid == 0:
        os.close(go[1])
        code = 1
        try:
            try:
                import pygit2
                os.chdir(places[number % len(places)])
                repo = Repository.discover()
            finally:
                os.write(ready[1], b"x")  # also when it failed: the others wait for all
            os.read(go[0], 1)
            for _ in range(each):
                with create_run(repo, draft(f"F{number % 3}"), snapshot) as run:
                    run.commit([finished_task(run.identity, "start/1")], status=Status.DONE)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    children.append(pid)
for _ in range(count):
    os.read(ready[0], 1)
os.close(go[1])
os.close(go[0])
sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
"""


@pytest.mark.parametrize(
    ("count", "each"), [(12, 1), *(pytest.param(32, it, marks=pytest.mark.slow) for it in (1, 10))]
)
def test_processes_get_consecutive_ids(
    repo: GitRepo, tmp_path: Path, count: int, each: int
) -> None:
    """Runs started at once, in two worktrees, while refs are being packed, share one sequence."""
    repo.git("worktree", "add", "-q", str(tmp_path / "other"))
    packer = subprocess.Popen(
        ["sh", "-c", "while :; do git pack-refs --all --prune; sleep 0.01; done"],
        cwd=repo.path, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        done = run_program(
            [
                sys.executable,
                "-c",
                STARTERS,
                str(count),
                str(each),
                str(repo.path),
                str(tmp_path / "other"),
            ],
            ROOT,
        )
    finally:
        os.killpg(packer.pid, 9)
        packer.wait()
    assert done.code == 0, done.err
    runs = store_of(repo).summaries()
    assert sorted(int(run.id) for run in runs) == list(range(1, count * each + 1))
    assert {run.status.value for run in runs} == {"done"}
    assert len({run.uid for run in runs}) == count * each
    repo.fsck()
