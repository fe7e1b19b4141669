"""What it costs to read many: artifacts of a task, tasks of a step, runs of a flow, finished tasks for `resume`.

    python -m tests.benchmarks.reading [--tasks N] [--runs N ...]

Each is read at two sizes, ten times apart, in a process of its own: linear is a ratio of 1. CPU, by
`time.process_time`; of `resume` that of all its processes. `--runs` measures runs alone, in repositories of so many,
which are written without processes and repacked by git; against the same objects read by pygit2, whose records the
msgpack library decodes and of whose payloads the BLAKE3 is taken, with nothing of ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gitflowrun.git.repository import Repository
from tests.helpers.runs import make_run

ROUNDS = 5
REPACKED = 200  # runs: as often, packs are made one
ROOT = Path(__file__).parents[2]
FLOWS = """
import os
from gitflowrun import FlowSpec, step

N = int(os.environ.get("N", 1))

class Wide(FlowSpec):
    @step
    def start(self):
        for number in range(N):
            setattr(self, f"m{number:05}", {"i": number})
        self.next(self.end)

    @step
    def end(self):
        self.x = 1

class Many(FlowSpec):
    @step
    def start(self):
        self.items = list(range(N))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        if "FAIL" in os.environ:
            raise ValueError
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    globals()[os.environ["FLOW"]]()
"""
TIMED = """
import time
from gitflowrun import Flow, Run
def read(most):
    {}
read(1)  # opens the repository and imports what reading takes
start = time.process_time()
read(10**9)
print(time.process_time() - start)
"""
FLOOR = """
import time
import msgpack, pygit2
from blake3 import blake3
def way(ref):
    trees, at = [], repo[repo.references[ref].target].tree
    for name in ("steps", "end", "4", "TASK"):
        trees.append(at.id)
        at = at[name]
    chunk = msgpack.unpackb(at.data)["artifacts"]["result"]["chunks"]
    return [*trees, at.id, pygit2.Oid(raw=chunk[32:52])]
repo = pygit2.Repository(".")
ways = [way(ref) for ref in repo.references if ref.startswith("refs/runs/Wide/")]
repo = pygit2.Repository(".")  # which has read none of them yet
start = time.process_time()
for *trees, record, payload in ways:
    for tree in trees:
        repo.read(tree)
    msgpack.unpackb(repo.read(record)[1])
    blake3(repo.read(payload)[1]).digest()
print(time.process_time() - start)
"""
ARTIFACTS = "return [a.data for a, _ in zip(Run('Wide/{run}')['start'].task, range(most))]"
TASKS = "return [t.data.x for t, _ in zip(Run('Many/{run}')['work'], range(most))]"
RUNS = "return [run.data.x for run, _ in zip(Flow('Wide'), range(min(most, {count})))]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, nargs="+", default=[])
    given = parser.parse_args()
    if given.runs:
        _many_runs(given.runs)
        return
    tasks = given.tasks
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        subprocess.run(["git", "init", "-q", str(work)], check=True)
        (work / "flows.py").write_text(FLOWS)
        for count in (500, 5000):
            _flow(work, "Wide", count, "run")
        _ratio(
            "artifact",
            [(n, _read(work, ARTIFACTS.format(run=r))) for r, n in ((1, 500), (2, 5000))],
        )
        for _ in range(98):
            _flow(work, "Wide", 1, "run")
        _ratio("run", [(n, _read(work, RUNS.format(count=n))) for n in (10, 98)])
        for count in (tasks // 10, tasks):
            _flow(work, "Many", count, "run", fails=True)
        _ratio(
            "task",
            [(n, _read(work, TASKS.format(run=r))) for r, n in ((101, tasks // 10), (102, tasks))],
        )
        for run, count in ((101, tasks // 10), (102, tasks)):
            before = os.times()
            _flow(work, "Many", count, "resume", str(run))
            after = os.times()
            cpu = (
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
            print(
                f"resume with {count:,} finished tasks: {cpu:.2f} s CPU, {after.elapsed - before.elapsed:.2f} s; "
                f"{cpu / _batch(work, run):.1f} x git cat-file --batch of the run's objects"
            )


def _batch(work: Path, run: int) -> float:
    """The CPU of `git cat-file --batch` of all objects of a run, which reads them and compares nothing, in seconds."""
    listed = ["git", "rev-list", "--objects", "--no-object-names", f"refs/runs/Many/{run}"]
    objects = subprocess.run(listed, cwd=work, check=True, capture_output=True).stdout
    before = os.times()
    command = ["git", "cat-file", "--batch"]
    subprocess.run(command, cwd=work, input=objects, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def _many_runs(counts: list[int]) -> None:
    """What each run costs of repositories that grow to these counts."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        subprocess.run(["git", "init", "-q", str(work)], check=True)
        repo = Repository.discover(work)
        made = 0
        for count in sorted(counts):
            while made < count:
                make_run(repo, "Wide")
                made += 1
                if made % REPACKED == 0 or made == count:
                    subprocess.run(["git", "repack", "-adqk"], cwd=work, check=True)
                    subprocess.run(["git", "pack-refs", "--all"], cwd=work, check=True)
                    repo = Repository.discover(work)
            reads = RUNS.format(count=count).replace("data.x", "data.result")
            # In turn, for the load of a machine changes.
            rounds = [(_cpu(work, TIMED.format(reads)), _cpu(work, FLOOR)) for _ in range(ROUNDS)]
            ours, floor = (min(column) / count * 1e6 for column in zip(*rounds, strict=True))
            print(f"each of {count:,} runs: {ours:.0f} us, {ours / floor:.1f} x {floor:.0f} us")


def _flow(work: Path, flow: str, count: int, *words: str, fails: bool = False) -> None:
    environ = {**os.environ, "FLOW": flow, "N": str(count), **({"FAIL": "1"} if fails else {})}
    command = [sys.executable, "flows.py", "--quiet", *words, "--max-num-splits", str(count)]
    done = subprocess.run(
        command, cwd=work, env=environ, capture_output=True, check=False, text=True
    )
    assert (done.returncode != 0) is fails, done.stderr


def _read(work: Path, code: str) -> float:
    """The least CPU of a few processes, in seconds."""
    return min(_cpu(work, TIMED.format(code)) for _ in range(ROUNDS))


def _cpu(work: Path, program: str) -> float:
    """The CPU that a program says it took, in seconds."""
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, cwd=work, check=True, capture_output=True).stdout)


def _ratio(what: str, figures: list[tuple[int, float]]) -> None:
    """Each figure a piece, and that of the larger size against the smaller."""
    each = [seconds / count for count, seconds in figures]
    sizes = " and ".join(f"{count:,}" for count, _ in figures)
    print(
        f"each of {sizes} {what}s: {each[0] * 1e6:.0f} and {each[1] * 1e6:.0f} us, ratio {each[1] / each[0]:.2f}"
    )


if __name__ == "__main__":
    main()
