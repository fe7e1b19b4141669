"""What runs cost that an engine executes, against the engine's own calls and against this machine's processes.

    python -m tests.benchmarks.engines [--engines dask ray] [--tasks 1000] [--large 100] [--rounds 3]

*trivial*: the wall time of one of `tasks` tasks of a foreach on two workers, batch isolation, commit and log included,
divided by that of one of as many calls of a function that does nothing, which the engine is given all at once in the
same minutes. Target: at most 1.5.

*large*: `large` tasks that each store 20 MB that can't be compressed: how many bytes a second arrive, divided by the
same of the local executor; on the disk that the agents share with the driver, and with all of it going over the links
(`runs.executorSharedDisk`). Target: at least 0.5.

Both are taken from the run's log, from the first task's start to the last one's end, so that the start of an engine,
which takes it seconds, is no part of it. An executor asks for the second agent when two tasks may run, which for a
trivial task is late: a thousand of them begin with one worker, and share it with the start of the other. So the trivial
ones follow a foreach of two that lets both agents begin; without it, as a run of that foreach alone, is printed too.
Each figure is the least of several rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from tests.benchmarks.executors import WIDE, verdict
from tests.benchmarks.machine import describe, environment, has, repository

TARGET_TRIVIAL = 1.5
TARGET_LARGE = 0.5
WORKERS = 2
MEGABYTES = 20
MODULES = {"dask": "distributed", "ray": "ray"}
LARGE = (
    WIDE.replace("class Wide", "import os\n\nclass Wide")
    .replace("self.x = self.input * 2", f"self.x = os.urandom({MEGABYTES} << 20)")
    .replace("class Wide", "class Large")
    .replace("    Wide()", "    Large()")
)
NOTHING = {
    "dask": """
import sys, time
from distributed import Client, LocalCluster

def nothing(number):
    return number

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    client = Client(cluster)
    count = int(sys.argv[1])
    client.gather(client.map(nothing, range(10), pure=False))
    costs = []
    for _ in range(int(sys.argv[2])):
        start = time.perf_counter()
        client.gather(client.map(nothing, range(count), pure=False))
        costs.append((time.perf_counter() - start) / count)
    print(min(costs))
    client.close()
    cluster.close()
""",
    "ray": """
import sys, time
import ray

ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level=50, log_to_driver=False)

@ray.remote
def nothing(number):
    return number

count = int(sys.argv[1])
ray.get([nothing.remote(number) for number in range(10)])
costs = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    ray.get([nothing.remote(number) for number in range(count)])
    costs.append((time.perf_counter() - start) / count)
print(min(costs))
""",
}
WARM = """
    @step
    def start(self):
        self.workers = [1, 2]
        self.next(self.wait, foreach="workers")

    @step
    def wait(self):
        import time

        time.sleep(3)
        self.next(self.both)

    @step
    def both(self, inputs):
        self.next(self.items_of)

    @step
    def items_of(self):
"""
WARMED = WIDE.replace("\n    @step\n    def start(self):\n", WARM)
_TIME = r"^(\d{4}-\d\d-\d\d [\d:.]+) \[\d+/work/\d+ .*\] Task "
_STARTED = re.compile(_TIME + "is starting", re.MULTILINE)
_FINISHED = re.compile(_TIME + "finished successfully", re.MULTILINE)


def of_the_engine(name: str, calls: int, rounds: int) -> float:
    """The seconds of one of the engine's own calls of a function that does nothing."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "nothing.py"  # a file: Dask's workers import it again
        program.write_text(NOTHING[name])
        done = subprocess.run(
            [sys.executable, str(program), str(calls), str(rounds)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    return float(done.stdout.split()[-1])


def task(repo: Path, program: str, executor: str, tasks: int, *words: str) -> float:
    """The seconds of one task of a foreach, from the first one's start to the last one's published end.

    Raises:
        RuntimeError: the run has failed, or the log lacks tasks.
    """
    command = [sys.executable, program, "run", "--n", str(tasks), "--max-num-splits", str(tasks)]
    command += ["--max-workers", str(WORKERS), *words]
    command += ["--executor", executor]
    done = subprocess.run(
        command, cwd=repo, env={**os.environ, **environment()}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    started, finished = (
        [datetime.fromisoformat(it) for it in pattern.findall(done.stdout)]
        for pattern in (_STARTED, _FINISHED)
    )
    if done.returncode or len(finished) != tasks:
        msg = f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return (max(finished) - min(started)).total_seconds() / tasks


def trivial(base: Path, name: str, tasks: int, rounds: int) -> None:
    """Compare tasks that do next to nothing with calls that do nothing."""
    flows = {"wide.py": WIDE, "warmed.py": WARMED}
    files = {path: text.format(package="gitflowrun") for path, text in flows.items()}
    repo = repository(base / f"trivial-{name}", files)
    costs: dict[str, list[float]] = {path: [] for path in files}
    for _ in range(rounds):
        for path in files:
            costs[path].append(task(repo, path, name, tasks, "--isolation", "batch"))
    theirs = of_the_engine(name, tasks, rounds)
    alone, ours = (min(costs[path]) for path in files)
    ratio = ours / theirs
    print(
        f"trivial  {name:5} {ours * 1e3:8.2f} ms a task, {theirs * 1e3:.2f} ms a call of its own: "
        f"{ratio:.2f} x{verdict(ratio <= TARGET_TRIVIAL)}; with the start of the second worker "
        f"{alone * 1e3:.2f} ms: {alone / theirs:.2f} x",
        flush=True,
    )


def large(base: Path, names: list[str], tasks: int, rounds: int) -> None:
    """Compare what arrives of large artifacts with what the local executor stores."""
    local = min(_large(base, "local", tasks, "true") for _ in range(rounds))
    print(f"large    local {MEGABYTES / local:8.0f} MB/s", flush=True)
    for name in names:
        for shared, way in (("true", "shared disk"), ("false", "over links")):
            cost = min(_large(base, name, tasks, shared) for _ in range(rounds))
            ratio = local / cost
            print(
                f"large    {name:5} {MEGABYTES / cost:8.0f} MB/s, {way}: {ratio:.2f} x"
                f"{verdict(ratio >= TARGET_LARGE)}",
                flush=True,
            )


def _large(base: Path, name: str, tasks: int, shared: str) -> float:
    """The seconds of one task, in a repository of its own that is removed again."""
    place = base / "large"
    repo = repository(place, {"large.py": LARGE.format(package="gitflowrun")})
    words = ["git", "config", "runs.executorSharedDisk", shared]
    subprocess.run(words, cwd=repo, check=True)
    try:
        return task(repo, "large.py", name, tasks)
    finally:
        shutil.rmtree(place)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=sorted(MODULES), default=sorted(MODULES))
    parser.add_argument("--tasks", type=int, default=1000, help="0 leaves them out")
    parser.add_argument("--large", type=int, default=100, help="0 leaves them out")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(describe())
    names = [name for name in args.engines if has(MODULES[name])]
    for name in sorted(set(args.engines) - set(names)):
        print(f"{name} is not installed: left out")
    with tempfile.TemporaryDirectory() as directory:
        for name in names if args.tasks else ():
            trivial(Path(directory), name, args.tasks, args.rounds)
        if args.large:
            large(Path(directory), names, args.large, args.rounds)


if __name__ == "__main__":
    main()
