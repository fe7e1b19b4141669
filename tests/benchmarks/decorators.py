"""What decorators cost a step: a foreach of many small tasks with `@retry`, `@catch`, `@timeout`, `@environment`.

    python -m tests.benchmarks.decorators [--tasks 200] [--rounds 5]

Printed is CPU time, of all processes of a run, as ratio to the same flow without decorators in the same round, and the
same for a task alone: both less a run of one task. Rounds alternate which comes first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import TYPE_CHECKING

from tests.benchmarks.machine import environment, in_memory, measure

if TYPE_CHECKING:
    from pathlib import Path

MARKS = "@retry(times=2)\n    @catch(var='bad')\n    @timeout(minutes=5)\n    @environment(vars={'A': '1'})\n    "
FLOW = """from gitflowrun import *


class F(FlowSpec):
    n = Parameter("n", default=1)

    @step
    def start(self):
        self.items = list(range(self.n))
        self.next(self.work, foreach="items")

    {marks}@step
    def work(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""


def cpu(place: Path, program: str, tasks: int, *words: str) -> float:
    """CPU seconds of one run with so many tasks."""
    command = [sys.executable, program, "--quiet", "run", "--n", str(tasks), *words]
    return measure([*command, "--max-num-splits", "100000"], place, environment()).cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with in_memory(
        {"plain.py": FLOW.format(marks=""), "marked.py": FLOW.format(marks=MARKS)}
    ) as place:
        base = min(cpu(place, "plain.py", 1) for _ in range(3))
        whole, each = [], []
        for number in range(given.rounds):
            names = ("plain.py", "marked.py") if number % 2 else ("marked.py", "plain.py")
            found = {name: cpu(place, name, given.tasks) for name in names}
            plain, marked = found["plain.py"], found["marked.py"]
            whole.append(marked / plain)
            each.append((marked - base) / (plain - base))
            print(
                f"plain {plain:.2f} s, with decorators {marked:.2f} s, of a run of one task {base:.2f} s"
            )
    print(
        f"run with {given.tasks} tasks: {statistics.median(whole):.3f}x; a task: {statistics.median(each):.3f}x"
    )


if __name__ == "__main__":
    main()
