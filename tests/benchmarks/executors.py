"""What the ways of giving tasks their processes cost.

    python -m tests.benchmarks.executors [--tasks 3000] [--many 10000] [--rounds 3] [--metaflow PYTHON]

`batch`: a trivial task of a foreach with batch isolation, commit and log included, against the same as a fork. The
cost of a task is the slope between a foreach of `tasks` and one of a tenth of that, in CPU seconds of all processes:
scheduler, zygote and tasks. Targets: at most 1.2 ms, at most a fifth of a fork, and a whole run of `many` tasks at 250
times the tasks per second of Metaflow, which is measured on 100 tasks in the same minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.launch import FLOW, per_task
from tests.benchmarks.machine import Cost, describe, environment, measure, repository

TARGET_CPU = 1.2e-3
TARGET_FORK = 5.0
TARGET_METAFLOW = 250.0
METAFLOW_TASKS = 100
WIDE = FLOW.replace("sum(task.x for task in inputs)", "self.n * (self.n - 1)")
"""A flow whose join looks at none of its inputs: what that costs is no part of a task."""


def run(repo: Path, python: str, tasks: int, isolation: str | None, rounds: int) -> Cost:
    """The least that a whole run with a foreach of so many tasks costs; None for programs that have no such option."""
    command = [python, "wide.py", "--quiet", "run", "--n", str(tasks)]
    command += ["--max-num-splits", str(tasks), "--max-workers", "2"]
    if isolation is not None:
        command += ["--isolation", isolation]
    costs = [measure(command, repo, environment()) for _ in range(rounds)]
    return Cost(min(cost.wall for cost in costs), min(cost.cpu for cost in costs))


def task(repo: Path, tasks: int, isolation: str, rounds: int) -> Cost:
    """What one more task costs."""
    few = tasks // 10
    small, large = (run(repo, sys.executable, count, isolation, rounds) for count in (few, tasks))
    return per_task(small, large, tasks - few)


def metaflow(directory: Path, python: str) -> float:
    """The tasks per second of a run of Metaflow's, its start-up and end left out."""
    repo = repository(directory, {"wide.py": WIDE.format(package="metaflow")})
    few, more = (run(repo, python, count, None, 1) for count in (4, 4 + METAFLOW_TASKS))
    return METAFLOW_TASKS / (more.wall - few.wall)


def verdict(is_reached: bool) -> str:
    """The word behind a figure."""
    return "" if is_reached else "  missed"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--metaflow", metavar="PYTHON", help="an interpreter that has metaflow installed"
    )
    args = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        repo = repository(base / "ours", {"wide.py": WIDE.format(package="gitflowrun")})
        batch = task(repo, args.tasks, "batch", args.rounds)
        fork = task(repo, args.tasks // 2, "fork", args.rounds)
        times = fork.cpu / batch.cpu
        print(
            f"batch task   {batch.cpu * 1e3:8.2f} ms CPU  {batch.wall * 1e3:8.2f} ms wall"
            f"{verdict(batch.cpu <= TARGET_CPU)}"
        )
        print(f"forked task  {fork.cpu * 1e3:8.2f} ms CPU  {fork.wall * 1e3:8.2f} ms wall")
        print(f"fork / batch {times:8.1f} x CPU{verdict(times >= TARGET_FORK)}")
        if not args.many:
            return
        many = run(repo, sys.executable, args.many, "batch", 1)
        speed = args.many / many.wall
        print(f"foreach      {speed:8.0f} tasks/s, whole run of {args.many}")
        if args.metaflow:
            theirs = metaflow(base / "theirs", args.metaflow)
            print(f"Metaflow     {theirs:8.2f} tasks/s")
            print(
                f"times        {speed / theirs:8.0f} x{verdict(speed / theirs >= TARGET_METAFLOW)}"
            )


if __name__ == "__main__":
    main()
