"""What the step cache costs: a run of many small tasks without it, with it for the first time, and taken from that.

    python -m tests.benchmarks.step_cache [--tasks 500] [--rounds 5]

Printed is CPU time of all processes, for a task: less that of a run of one task in the same mode. Each round has a
parameter of its own, so that its first run with the cache finds nothing.
"""

from __future__ import annotations

import argparse
import statistics

from tests.benchmarks.decorators import FLOW, cpu
from tests.benchmarks.machine import in_memory

MODES = {"off": "--no-cache", "first": "--cache", "taken": "--cache"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    turn = "    n = Parameter"
    flow = FLOW.format(marks="").replace(turn, f'    turn = Parameter("turn", default=0)\n{turn}')
    with in_memory({"flow.py": flow}) as place:
        tasks: dict[str, list[float]] = {mode: [] for mode in MODES}
        whole: dict[str, list[float]] = {mode: [] for mode in MODES}
        for number in range(given.rounds):
            for mode, option in MODES.items():
                words = "--turn", str(number), option
                one, all_ = (cpu(place, "flow.py", it, *words) for it in (1, given.tasks))
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
