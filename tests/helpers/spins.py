"""A flow with a run of it, whose tasks tests spin; made once, and copied for each."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from tests.helpers.repos import GitRepo, Output, copy_repo, make_repo

FLOW = """
import os, sys
from gitflowrun import FlowSpec, Parameter, current, step


class Work(FlowSpec):
    factor = Parameter("factor", default=3)
    BASE = 100

    @step
    def start(self):
        self.x, self.path = 1, ["start"]
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.y = self.x + self.input * self.factor
        print("said", self.y, self.index, current.pathspec, current.origin_run_id)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.z = sum(it.y for it in inputs)
        self.merge_artifacts(inputs, exclude=["y"])
        print("z", self.z, "x", self.x)
        self.next(self.end)

    @step
    def end(self):
        print("end", self.z, self.x, self.BASE)


if __name__ == "__main__":
    Work()
"""


@functools.cache
def _made() -> GitRepo:
    repo = make_repo(
        Path(tempfile.mkdtemp(prefix="gitflowrun-spins-")) / "repo", files={"work.py": FLOW}
    )
    done = repo.flow("work.py", "run")
    assert done.code == 0, done.err
    return repo


def spun_repo(path: Path) -> GitRepo:
    """A repository with `work.py` and its run 1: start/1, work/2 to work/4, join/5, end/6."""
    return copy_repo(_made(), path)


def spin(
    repo: GitRepo, *words: str, flow: str = "work.py", env: dict[str, str] | None = None
) -> Output:
    """Spin a task, which must succeed."""
    done = repo.flow(flow, "--quiet", "spin", *words, env=env)
    assert done.code == 0, done.out + done.err
    return done


def said(done: Output) -> list[str]:
    """What a task has printed, without what stands in front of it."""
    lines = (line.partition(")] ")[2] for line in done.out.splitlines())
    return [line for line in lines if line and not line.startswith("Task ")]


def refs(repo: GitRepo, prefix: str = "refs/runs-spin") -> list[str]:
    """The names of refs below a prefix."""
    return repo.git("for-each-ref", "--format=%(refname)", prefix).splitlines()
