"""What a push and a fetch of runs cost against git's own: `python -m tests.benchmarks.transfer [RUNS]`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import make_run

RUNS = [sys.executable, "-m", "gitflowrun.cli.git_runs.main"]
GIT_FETCH = ["git", "fetch", "-q", "origin", "refs/runs/*:refs/others/*"]


def cpu(command: list[str], repo: GitRepo) -> float:
    """Seconds of CPU of a command and all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=repo.path, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stored(repo: GitRepo) -> int:
    """Bytes of the object directory."""
    top = Path(repo.git("rev-parse", "--absolute-git-dir")) / "objects"
    return sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


def main(count: int) -> None:
    """Make a server, its clones and the runs; print what travelled and what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        repo = make_repo(top / "one")
        for number in range(200):
            repo.write(f"d{number % 20}/f{number}", os.urandom(40_000))
        repo.commit("8 MB of code")
        repo.git("clone", "-q", "--bare", str(repo.path), str(top / "server"))
        server = GitRepo(top / "server")
        server.git("config", "receive.unpackLimit", "1")
        repo.git("remote", "add", "origin", str(server.path))
        make_run(repo)
        before = stored(server)
        cpu([*RUNS, "push"], repo)
        print(f"push of one run, 8 MB of code there already: {stored(server) - before:,} bytes")
        for _ in range(count - 1):
            make_run(repo)
        cpu([*RUNS, "push"], repo)
        for name, command in (("git's own", GIT_FETCH), ("ours", [*RUNS, "fetch"])):
            repo.git("clone", "-q", str(server.path), str(top / name))
            print(
                f"fetch of {count} runs, {name}: {cpu(command, GitRepo(top / name)):.2f} s of CPU"
            )
        for name, command in (
            ("git's own", ["git", "push", "-q", "origin"]),
            ("ours", [*RUNS, "push", "origin"]),
        ):
            run = make_run(repo)
            what = f"refs/runs/MyFlow/{run.id}" if name != "ours" else run.id
            print(f"push of one more, {name}: {cpu([*command, what], repo):.2f} s of CPU")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
