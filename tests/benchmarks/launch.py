"""What launching a task costs: against Metaflow, against a bare fork, and how it grows to 10,000 tasks.

    python -m tests.benchmarks.launch [--tasks 1000] [--many 10000] [--metaflow-python PATH]

Every figure includes the commit and the captured output. The cost of a task is the slope between a foreach of
`tasks` and one of a tenth of that, and of a linear step that between flows of 5 and 55 steps, so start-up is not in
it; with strace the calls that wait for the disk are counted. A bare fork is os.fork, os._exit and os.wait4 in an
interpreter that has imported what a task process has imported.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import (
    Cost,
    best,
    count_syncs,
    describe,
    environment,
    measure,
    repository,
)

FLOW = """
from {package} import FlowSpec, Parameter, step

class Wide(FlowSpec):
    n = Parameter("n", default=10)

    @step
    def start(self):
        self.items = list(range(self.n))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input * 2
        print("item", self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(task.x for task in inputs)
        self.next(self.end)

    @step
    def end(self):
        assert self.total == self.n * (self.n - 1)

if __name__ == "__main__":
    Wide()
"""

CHAIN = """
from gitflowrun import FlowSpec, step

class Chain(FlowSpec):
    @step
    def start(self):
        self.x = 0
        self.next(self.s1)
{steps}
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Chain()
"""
LINK = """
    @step
    def s{number}(self):
        self.x += 1
        self.next(self.{after})
"""

FORK = """
import os, resource, time
import gc
import gitflowrun.cli.flow.start, gitflowrun.runtime.worker.zygote, gitflowrun.runtime.worker.task, blake3
from gitflowrun import FlowSpec, Parameter, step
gc.collect()
gc.freeze()
count = 2000
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
child = 0.0
for _ in range(count):
    pid = os.fork()
    if not pid:
        os._exit(0)
    usage = os.wait4(pid, 0)[2]
    child += usage.ru_utime + usage.ru_stime
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + child
print(cpu / count, (time.perf_counter() - start) / count)
"""

PEAK = """
import re, subprocess, sys, threading, time
peak = 0
def watch():
    global peak
    while True:
        out = subprocess.run(["ps", "-eo", "rss,args"], capture_output=True, text=True).stdout
        rows = [int(l.split()[0]) for l in out.splitlines() if "gitflowrun/cli/flow/scheduler_main.py" in l]
        peak = max([peak, *rows])
        time.sleep(0.2)
threading.Thread(target=watch, daemon=True).start()
done = subprocess.run(sys.argv[1:], capture_output=True)
assert done.returncode == 0, done.stderr
print(peak)
"""


def foreach(repo: Path, python: str, tasks: int, rounds: int) -> Cost:
    """The cost of a whole run with a foreach of `tasks`."""
    command = [python, "wide.py", "--quiet", "run", "--n", str(tasks)]
    command += ["--max-num-splits", str(tasks), "--max-workers", "2"]
    return best(command, repo, rounds, environment())


def per_task(small: Cost, large: Cost, difference: int) -> Cost:
    """The slope between two runs."""
    return Cost((large.wall - small.wall) / difference, (large.cpu - small.cpu) / difference)


def chain(steps: int) -> str:
    """A flow of so many steps between start and end, each with an artifact."""
    links = (
        LINK.format(number=number, after=f"s{number + 1}" if number < steps else "end")
        for number in range(1, steps + 1)
    )
    return CHAIN.format(steps="".join(links))


def linear_step(repo: Path, rounds: int) -> tuple[Cost, float | None]:
    """The cost of a step that follows another one, and how often it waits for the disk."""
    env = environment()
    short, long = ([sys.executable, f"chain{steps}.py", "--quiet", "run"] for steps in (5, 55))
    cost = per_task(best(short, repo, rounds, env), best(long, repo, rounds, env), 50)
    few, many = count_syncs(short, repo, env), count_syncs(long, repo, env)
    return cost, None if few is None or many is None else (many - few) / 50


def raw_fork() -> Cost:
    """A fork, an exit and a wait, best of five."""
    rows = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", FORK], capture_output=True, check=True, text=True,
            env={**environment(), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        rows.append([float(cell) for cell in done.stdout.split()])
    return Cost(min(row[1] for row in rows), min(row[0] for row in rows))


def scheduler_peak(repo: Path, tasks: int) -> float:
    """Peak resident MB of the scheduler during a foreach of `tasks`."""
    command = [sys.executable, "wide.py", "--quiet", "run", "--n", str(tasks)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command, "--max-num-splits", str(tasks)],
        cwd=repo, capture_output=True, check=True, text=True,
        env={**environment(), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return int(re.findall(r"\d+", done.stdout)[-1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--metaflow-python", help="an interpreter that has metaflow installed")
    args = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        files = {f"chain{steps}.py": chain(steps) for steps in (5, 55)}
        ours = repository(base / "ours", {"wide.py": FLOW.format(package="gitflowrun"), **files})
        step, syncs = linear_step(ours, args.rounds)
        print(f"linear step  {step.cpu * 1e3:8.2f} ms CPU  {step.wall * 1e3:8.2f} ms wall")
        print(
            f"             {'strace is not installed' if syncs is None else f'{syncs:.1f} syncs'}"
        )
        small = foreach(ours, sys.executable, args.tasks // 10, args.rounds)
        large = foreach(ours, sys.executable, args.tasks, args.rounds)
        task = per_task(small, large, args.tasks - args.tasks // 10)
        fork = raw_fork()
        print(f"task         {task.cpu * 1e3:8.2f} ms CPU  {task.wall * 1e3:8.2f} ms wall")
        print(f"             {args.tasks / large.wall:8.0f} tasks/s, whole run of {args.tasks}")
        print(f"bare fork    {fork.cpu * 1e3:8.2f} ms CPU  {fork.wall * 1e3:8.2f} ms wall")
        print(f"task / fork  {task.cpu / fork.cpu:8.2f} x CPU")
        if args.metaflow_python:
            theirs = repository(base / "theirs", {"wide.py": FLOW.format(package="metaflow")})
            few = foreach(theirs, args.metaflow_python, 4, 1)
            more = foreach(theirs, args.metaflow_python, 24, 1)
            peer = per_task(few, more, 20)
            print(f"Metaflow     {peer.cpu * 1e3:8.2f} ms CPU  {peer.wall * 1e3:8.2f} ms wall")
            print(
                f"Metaflow / task   {peer.cpu / task.cpu:.0f} x CPU, {peer.wall / task.wall:.0f} x tasks/s"
            )
        if args.many:
            print(
                f"scheduler    {scheduler_peak(ours, args.many):8.1f} MB peak, foreach of {args.many}"
            )
            many = measure(
                [sys.executable, "wide.py", "--quiet", "run", "--n", str(args.many),
                 "--max-num-splits", str(args.many), "--max-workers", "2"],
                ours, environment(),
            )  # fmt: skip
            flat = per_task(large, many, args.many - args.tasks)
            print(
                f"task         {flat.cpu * 1e3:8.2f} ms CPU from {args.tasks} to {args.many} tasks"
            )


if __name__ == "__main__":
    main()
