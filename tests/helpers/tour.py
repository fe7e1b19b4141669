"""The repository of docs/tour.md: 200 runs of one flow, from five commits.

Four of them are made by the flow itself, the others through the store, as quickly as git writes them. What is in them
is what the flow would have made: accuracy is a function of the code, the learning rate and the depth.

    python -m tests.helpers.tour DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from gitflowrun.artifacts.scalar import scalar_of
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import Snapshot, take_snapshot
from gitflowrun.runs.create import create_run
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import draft, finished_task

FLOW = """\
import time

from gitflowrun import FlowSpec, Parameter, step

QUALITY = {quality}  # of {what}


class Train(FlowSpec):
    lr = Parameter("lr", default=0.01)
    depth = Parameter("depth", default=6)
    epochs = Parameter("epochs", default=3)
    seconds = Parameter("seconds", default=0.0, help="How long an epoch takes")

    @step
    def start(self):
        if self.depth > 8:
            raise MemoryError(f"a tree of depth {{self.depth}} does not fit")
        self.next(self.train)

    @step
    def train(self):
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.seconds)
            print(f"epoch {{epoch}}: loss {{1 / (epoch + 10 * QUALITY):.4f}}", flush=True)
        self.model = f"tree of depth {{self.depth}}, lr {{self.lr}}".encode() * 2
        self.next(self.end)

    @step
    def end(self):
        self.accuracy = round(QUALITY - abs(self.lr - 0.01) - abs(self.depth - 6) / 100, 4)
        self.loss = round(1 - self.accuracy, 4)


if __name__ == "__main__":
    Train()
"""
COMMITS = (
    ("Train a tree", 0.82), ("Augment the data", 0.88), ("Normalise the inputs", 0.96),
    ("Round weights to float16", 0.79), ("Say how to install it", 0.79),
)  # fmt: skip
"""What changed, and how good the result can be."""
ENDS = (45, 95, 140, 190, 200)
"""The last run of each commit."""
LR, DEPTH = (0.1, 0.05, 0.02, 0.01), (3, 4, 5, 7)
REAL = {117: ("--lr", "0.02"), 133: (), 150: ("--depth", "9"), 200: ("--depth", "5")}
"""The runs that the flow makes: the one in production, the best, a failed one, and the newest."""


def make_tour_repo(path: Path) -> GitRepo:
    """Make the repository in a directory that is not there, or is empty."""
    repo = make_repo(path)
    number = 0
    for (what, quality), last in zip(COMMITS, ENDS, strict=True):
        repo.write("train.py", FLOW.format(quality=quality, what=what.lower()))
        if what == COMMITS[-1][0]:
            repo.write("train.py", FLOW.format(quality=quality, what=COMMITS[-2][0].lower()))
            repo.write("README.md", "pip install gitflowrun\n")
        repo.commit(what)
        opened = Repository.discover(repo.path)
        code = take_snapshot(opened)
        while number < last:
            number += 1
            if number in REAL:
                repo.flow("train.py", "--quiet", "run", *REAL[number])
            else:
                _make_run(opened, code, number, quality)
    done = repo.call("tag", "117", "production")
    assert done.code == 0, done.err
    return repo


def _make_run(repository: Repository, code: Snapshot, number: int, quality: float) -> None:
    lr, depth = LR[number % 4], DEPTH[number // 4 % 4]
    fails = number % 23 == 0
    parameters = {
        "depth": str(9 if fails else depth),
        "epochs": "3",
        "lr": str(lr),
        "seconds": "0.0",
    }
    info = replace(draft("Train", user=("ada", "grace")[number % 2]), parameters=parameters)
    with create_run(repository, replace(info, script="train.py"), code) as writer:
        run = writer.identity
        if fails:
            error = f"MemoryError: a tree of depth {9} does not fit\n"
            writer.commit([finished_task(run, "start/1", stderr=error, ok=False)])
            writer.commit([], status=Status.FAILED)
            return
        accuracy = round(quality - abs(lr - 0.01) - abs(depth - 6) / 100, 4)
        found = {"accuracy": accuracy, "loss": round(1 - accuracy, 4)}
        out = "".join(f"epoch {n}: loss {1 / (n + 10 * quality):.4f}\n" for n in (1, 2, 3))
        model = f"tree of depth {depth}, lr {lr}".encode() * 2
        end = finished_task(run, "end/3", {name: repr(it).encode() for name, it in found.items()})
        artifacts = {
            name: replace(ref, scalar=scalar_of(found[name]))
            for name, ref in end.record.artifacts.items()
        }
        writer.commit([
            finished_task(run, "start/1"),
            finished_task(run, "train/2", {"model": model}, stdout=out),
            replace(end, record=replace(end.record, artifacts=artifacts)),
        ])  # fmt: skip
        writer.commit([], status=Status.DONE)


if __name__ == "__main__":
    make_tour_repo(Path(sys.argv[1]))
