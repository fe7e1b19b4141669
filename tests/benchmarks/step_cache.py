"""What the step cache costs: a run of many small tasks without it, with it for the first time, and taken from that.

    python -m tests.benchmarks.step_cache [--tasks 500] [--rounds 5]

Printed is CPU time of all processes, for a task: less that of a run of one task in the same mode. Each round has a
parameter of its own, so that its first run with the cache finds nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.decorators import FLOW, ROOT

MODES = {"off": "--no-cache", "first": "--cache", "taken": "--cache"}


def cpu(place: Path, tasks: int, turn: int, option: str) -> float:
    """CPU seconds of one run with so many tasks."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [
        sys.executable, "flow.py", "--quiet", "run", "--n", str(tasks), "--turn", str(turn), option,
        "--max-num-splits", "100000",
    ]  # fmt: skip
    env = {**os.environ, "HOME": str(place), "USER": "ada", "PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=place, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as directory:
        place = Path(directory)
        subprocess.run(["git", "init", "-q"], cwd=place, check=True)
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
            subprocess.run(["git", "config", key, value], cwd=place, check=True)
        turn = "    n = Parameter"
        flow = FLOW.format(marks="").replace(
            turn, f'    turn = Parameter("turn", default=0)\n{turn}'
        )
        (place / "flow.py").write_text(flow)
        tasks: dict[str, list[float]] = {mode: [] for mode in MODES}
        whole: dict[str, list[float]] = {mode: [] for mode in MODES}
        for number in range(given.rounds):
            for mode, option in MODES.items():
                one, all_ = (cpu(place, count, number, option) for count in (1, given.tasks))
                tasks[mode].append(1000 * (all_ - one) / (given.tasks - 1))
                whole[mode].append(all_)
    for mode in MODES:
        ratios = [a / b for a, b in zip(whole[mode], whole["off"], strict=True)]
        print(
            f"{mode:6} a task: {statistics.median(tasks[mode]):5.2f} ms, least {min(tasks[mode]):5.2f}; "
            f"the run: {statistics.median(ratios):.3f}x of that without the cache"
        )


if __name__ == "__main__":
    main()
