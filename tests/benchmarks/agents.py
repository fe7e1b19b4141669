"""What the driver's side of an engine costs a task, by the number of agents.

    python -m tests.benchmarks.agents [--agents 10 100 1000] [--tasks 3000]

The executor is the real one. Agents and their links are stubs, which say that a task has ended as soon as they are
asked; each task that has ended is followed by another one. The scheduler's own part, what links take and what agents do
is not in it. The ratio is to the first number of agents.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.benchmarks.machine import describe
from tests.helpers.engine_driver import Driver
from tests.helpers.links import Meeting
from tests.helpers.repos import make_repo
from tests.helpers.runs import open_repo
from tests.helpers.stub_agents import StubAgents


def cost(place: Path, count: int, took: float, tasks: int) -> float:
    """The CPU seconds of a task, where tasks take so many seconds."""
    meeting = Meeting()
    try:
        agents = StubAgents(Driver(open_repo(make_repo(place)), meeting, most=count), count)
        agents.executor._took = took
        for _ in range(count + agents.executor.ahead("work")):
            agents.launch()
        agents.turn()
        best = float("inf")
        for _ in range(3):
            agents.executor._took = took
            begun = time.process_time()
            agents.work(tasks)
            best = min(best, time.process_time() - begun)
        return best / tasks
    finally:
        meeting.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--tasks", type=int, default=3000)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as directory:
        for name, took in (("long", 5.0), ("short", 0.001)):
            first = 0.0
            for count in options.agents:
                took_cpu = cost(Path(directory) / f"{name}{count}", count, took, options.tasks)
                first = first or took_cpu
                print(
                    f"{name:5} tasks, {count:5,} agents  {took_cpu * 1e3:6.3f} ms CPU a task  {took_cpu / first:5.2f} x"
                )


if __name__ == "__main__":
    main()
