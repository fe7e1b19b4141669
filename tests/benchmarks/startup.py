"""What starting costs: imports, `git runs -h`, listing 1,000 runs, a hello flow; against bare python and Metaflow.

    python -m tests.benchmarks.startup [--runs 1000] [--metaflow-python PATH]
    python -m tests.benchmarks.startup --against PYTHON --against-root CHECKOUT [--rounds 15]

CPU milliseconds, least of the rounds; bare python is measured in the same way. With `--against`, another
checkout (with an interpreter that has what it needs) does the same things in turn with this one, each in a
repository of its own: the ratios are medians of the rounds' ratios. Where strace is installed, the calls
that wait for the disk are counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import (
    ROOT,
    Cost,
    best,
    count_syncs,
    describe,
    environment,
    measure,
    repository,
)

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


def many_runs(repo: Path, count: int, python: str, env: dict[str, str]) -> None:
    """Give a repository `count` runs: one real run, its commits referenced under other ids and packed."""
    subprocess.run([python, "hello.py", "run"], cwd=repo, check=True, capture_output=True, env={
        **env, "PATH": "/usr/bin:/bin", "HOME": str(repo)})  # fmt: skip
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


MANY = """
from gitflowrun import FlowSpec, step

class Many(FlowSpec):
    @step
    def start(self):
        self.items = list(range(300))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.y = self.input * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Many()
"""


def commands(python: str) -> dict[str, list[str]]:
    """What is compared between two checkouts."""
    runs = [python, "-c", "from gitflowrun.{cli}.main import main; raise SystemExit(main())"]
    return {
        "python -c pass": [python, "-c", "pass"],
        "import gitflowrun": [python, "-c", "import gitflowrun"],
        "flow names": [python, "-c", "from gitflowrun import FlowSpec, Parameter, step, current"],
        "git runs -h": [*runs, "-h"],
        "git runs list": [*runs, "list"],
        "git runs show": [*runs, "show", "1"],
        "hello flow": [python, "hello.py", "run"],
        "foreach of 300": [
            python,
            "many.py",
            "run",
            "--max-num-splits",
            "300",
            "--max-workers",
            "2",
        ],
    }


def compare(directory: Path, args: argparse.Namespace) -> None:
    """Two checkouts do the same things in turn; print what each costs and the ratio of this one to the other."""
    sides = {"this": (sys.executable, ROOT), "other": (args.against, Path(args.against_root))}
    repos, envs, all_commands = {}, {}, {}
    for side, (python, root) in sides.items():
        text = HELLO.format(package="gitflowrun")
        repos[side] = repository(directory / side, {"hello.py": text, "many.py": MANY})
        envs[side] = {**environment(), "PYTHONPATH": str(root)}
        layout = "cli.git_runs" if (root / "gitflowrun/cli/git_runs").is_dir() else "cli"
        all_commands[side] = {
            name: [word.format(cli=layout) for word in words]
            for name, words in commands(python).items()
        }
        many_runs(repos[side], args.runs, python, envs[side])
    print(f"{'ms':20} {'CPU':>8} {'other':>8} {'ratio':>6}   {'wall':>7} {'other':>7} {'ratio':>6}")
    for name in all_commands["this"]:
        costs: dict[str, list[Cost]] = {"this": [], "other": []}
        for number in range(args.rounds + 1):
            for side in sorted(sides, reverse=bool(number % 2)):
                cost = measure(all_commands[side][name], repos[side], envs[side])
                if number:  # the first round warms the caches
                    costs[side].append(cost)
        print(f"{name:20} {_columns([c.cpu for c in costs['this']], [c.cpu for c in costs['other']])}"
              f"   {_columns([c.wall for c in costs['this']], [c.wall for c in costs['other']])}")  # fmt: skip
    for side in sides:
        found = count_syncs(all_commands[side]["hello flow"], repos[side], envs[side])
        print(
            f"hello flow, {side}: {'strace is not installed' if found is None else f'{found} syncs'}"
        )


def _columns(ours: list[float], others: list[float]) -> str:
    ratio = statistics.median(a / b for a, b in zip(ours, others, strict=True))
    return (
        f"{statistics.median(ours) * 1e3:8.1f} {statistics.median(others) * 1e3:8.1f} {ratio:6.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--metaflow-python", help="an interpreter that has metaflow installed")
    parser.add_argument("--against", help="an interpreter that has what another checkout needs")
    parser.add_argument("--against-root", help="that checkout")
    args = parser.parse_args()
    python, env, rounds = sys.executable, environment(), args.rounds
    print(describe())
    if args.against:
        with tempfile.TemporaryDirectory() as directory:
            compare(Path(directory), args)
        return
    print(f"{'ms':34} {'CPU':>7} {'- bare':>8} {'wall':>7}   target")
    with tempfile.TemporaryDirectory() as directory:
        repo = repository(Path(directory) / "r", {"hello.py": HELLO.format(package="gitflowrun")})
        many_runs(repo, args.runs, python, env)
        bare = best([python, "-c", "pass"], repo, rounds, env)
        row("python -c pass", bare, bare)
        row(
            "import gitflowrun",
            best([python, "-c", "import gitflowrun"], repo, rounds, env),
            bare,
            "+60",
        )
        names = "from gitflowrun import FlowSpec, Parameter, step, current"
        ours = best([python, "-c", names], repo, rounds, env)
        row(names[:34], ours, bare, "+60")
        drop_in = "from gitflowrun.compat import install; install(); "
        theirs_names = f"{drop_in}{names.replace('gitflowrun', 'metaflow')}"
        through = best([python, "-c", theirs_names], repo, rounds, env)
        row(
            "the same from metaflow, drop-in",
            through,
            bare,
            f"+{(ours.cpu - bare.cpu) * 1e3 + 30:.0f}",
        )
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
