"""What starting costs: imports, `git runs -h`, listing 1,000 runs, a hello flow; against bare python and Metaflow.

    python -m tests.benchmarks.startup [--runs 1000] [--metaflow-python PATH]

CPU milliseconds, least of the rounds; bare python is measured in the same way.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import Cost, best, describe, environment, repository

HELLO = """
from {package} import FlowSpec, step

class Hello(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.middle)

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        print(self.x)

if __name__ == "__main__":
    Hello()
"""


def many_runs(repo: Path, count: int) -> None:
    """Give a repository `count` runs: one real run, its commits referenced under other ids and packed."""
    subprocess.run([sys.executable, "hello.py", "run"], cwd=repo, check=True, capture_output=True, env={
        **environment(), "PATH": "/usr/bin:/bin", "HOME": str(repo)})  # fmt: skip
    oid = subprocess.check_output(
        ["git", "rev-parse", "refs/runs/Hello/1"], cwd=repo, text=True
    ).strip()
    lines = "".join(f"create refs/runs/Hello/{number} {oid}\n" for number in range(2, count + 1))
    subprocess.run(["git", "update-ref", "--stdin"], cwd=repo, input=lines, text=True, check=True)
    subprocess.run(["git", "pack-refs", "--all"], cwd=repo, check=True)


def row(name: str, cost: Cost, bare: Cost, target: str = "") -> None:
    """Print a line of the table."""
    above = (cost.cpu - bare.cpu) * 1e3
    print(f"{name:34} {cost.cpu * 1e3:7.1f} {above:+8.1f} {cost.wall * 1e3:7.1f}   {target}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--metaflow-python", help="an interpreter that has metaflow installed")
    args = parser.parse_args()
    python, env, rounds = sys.executable, environment(), args.rounds
    print(describe())
    print(f"{'ms':34} {'CPU':>7} {'- bare':>8} {'wall':>7}   target")
    with tempfile.TemporaryDirectory() as directory:
        repo = repository(Path(directory) / "r", {"hello.py": HELLO.format(package="gitflowrun")})
        many_runs(repo, args.runs)
        bare = best([python, "-c", "pass"], repo, rounds, env)
        row("python -c pass", bare, bare)
        row(
            "import gitflowrun",
            best([python, "-c", "import gitflowrun"], repo, rounds, env),
            bare,
            "+60",
        )
        names = "from gitflowrun import FlowSpec, Parameter, step, current"
        row(names[:34], best([python, "-c", names], repo, rounds, env), bare, "+60")
        runs = [python, "-m", "gitflowrun.cli.git_runs.main"]
        row("git runs -h", best([*runs, "-h"], repo, rounds, env), bare, "60")
        listing = best([*runs, "list"], repo, rounds, env)
        row(f"git runs list, {args.runs} runs", listing, bare, "80")
        hello = best([python, "hello.py", "run"], repo, max(3, rounds // 3), env)
        row("hello flow of three steps", hello, bare, "wall 350")
        if args.metaflow_python:
            theirs = repository(
                Path(directory) / "m", {"hello.py": HELLO.format(package="metaflow")}
            )
            peer = best([args.metaflow_python, "-c", "import metaflow"], theirs, rounds, env)
            row("import metaflow", peer, bare)
            slow = best([args.metaflow_python, "hello.py", "run"], theirs, 3, env)
            row("hello flow by Metaflow", slow, bare)
            print(
                f"hello: {slow.wall / hello.wall:.1f} x faster than Metaflow, {slow.cpu / hello.cpu:.1f} x less CPU"
            )


if __name__ == "__main__":
    main()
