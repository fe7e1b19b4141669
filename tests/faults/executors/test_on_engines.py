"""What a flow and its verbs can do, where agents that share no disk execute the tasks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.faults.executors.conftest import Workplaces
from tests.faults.executors.workplaces import Workplace
from tests.helpers.flows import (
    background,
    eventually,
    family,
    latest,
    linear_flow,
    one_task,
    value_of,
)
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.spins import said, spun_repo

WAYS = ("pool", *(pytest.param(it, marks=pytest.mark.slow) for it in ("dask", "ray")))
LINES = 100_000
TOKEN = "s3cr3t-of-the-flow-4711"
VERBS = """
import os
from gitflowrun import Config, FlowSpec, IncludeFile, Parameter, current, parallel, step


class F(FlowSpec):
    n = Parameter("n", default=2)
    text = IncludeFile("text", default="words.txt")
    config = Config("config", default="config.json")

    @step
    def start(self):
        print("executed start")
        self.words = self.text.split()
        self.next(self.gang, num_parallel=self.n)

    @parallel
    @step
    def gang(self):
        print("executed gang", current.parallel.node_index)
        self.node = current.parallel.node_index, current.parallel.num_nodes
        self.next(self.join)

    @step
    def join(self, inputs):
        print("executed join")
        self.nodes = sorted(it.node for it in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("executed end")
        if os.path.exists("fail"): raise ValueError("a file said so")
        self.all = [self.config.name, self.nodes, self.n]


if __name__ == "__main__":
    F()
"""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, workplaces: Workplaces) -> Workplace:
    """An engine."""
    return workplaces(request.param)


def _repo(place: Path, way: Workplace, text: str) -> GitRepo:
    repo = make_repo(place / "repo")
    repo.write("f.py", text)
    way.prepare(repo)
    return repo


@pytest.mark.slow
def test_verbs(tmp_path: Path, way: Workplace) -> None:
    """A gang, an included file and a config; `resume`, `run --clone` and `rerun` of such a run."""
    repo = _repo(tmp_path, way, VERBS)
    repo.write("words.txt", "some words")
    repo.write("config.json", '{"name": "of the config"}')
    repo.write("fail", "")
    repo.commit()
    env = {**way.env, "MARKER": os.devnull}
    failed = repo.flow("f.py", "run", "--n", "3", env=env)
    assert failed.code == 1
    assert "a file said so" in failed.out + failed.err
    (repo.path / "fail").unlink()
    wanted = ["of the config", [(0, 3), (1, 3), (2, 3)], 3]
    for executed, words in (
        (1, ("f.py", "resume")),
        (6, ("f.py", "run", "--clone", "2")),
        (6, ("-m", "gitflowrun.cli.git_runs.main", "rerun", "2")),
    ):
        done = repo.python(*words, env=env)
        assert done.code == 0, (words, done.err)
        run = latest(repo)
        assert run.status is Status.DONE
        assert value_of(one_task(run, "end"), "all") == wanted
        assert done.out.count("executed ") == executed, (words, done.out)
    repo.fsck()


@pytest.mark.slow
def test_spin(tmp_path: Path, way: Workplace) -> None:
    """A task of an earlier run is executed once more, whatever the setting names."""
    repo = spun_repo(tmp_path / "repo")
    way.prepare(repo)
    done = repo.flow("work.py", "spin", "1/join", env={**way.env, "MARKER": os.devnull})
    assert done.code == 0, done.err
    assert any(it.startswith("z 21") for it in said(done)), done.out


@pytest.mark.slow
def test_a_hundred_thousand_lines(tmp_path: Path, way: Workplace) -> None:
    """Of both streams: all are kept and shown, once and in their order."""
    body = (
        f"for i in range({LINES // 2}):\n    print('out', i)\n    print('err', i, file=sys.stderr)"
    )
    repo = _repo(tmp_path, way, linear_flow(body))
    done = repo.flow("f.py", "run", env={**way.env, "MARKER": os.devnull})
    assert done.code == 0, done.err[-2000:]
    task = one_task(latest(repo), "start")
    for stream, word in (("stdout", "out"), ("stderr", "err")):
        lines = [f"{word} {i}" for i in range(LINES // 2)]
        assert task.output(stream).decode().splitlines() == lines
        shown = [it.partition(")] ")[2] for it in (done.out + done.err).splitlines()]
        assert [it for it in shown if it.startswith(f"{word} ")] == lines


def test_secrets(tmp_path: Path, way: Workplace) -> None:
    """The task has it; it is in no file of a worker, on no command line, and masked in what is kept."""
    text = linear_flow(
        "print('has', len(os.environ['TOKEN']), os.environ['TOKEN'], flush=True)\n"
        "while not os.path.exists(os.environ['MARKER']): time.sleep(0.02)",
        head="from gitflowrun import secrets\nGIVEN = {'TOKEN': os.environ['MINE']}\n",
    ).replace(
        "    @step\n    def start",
        "    @secrets(sources=[{'type': 'inline', 'id': 'a', 'options': {'env_vars': GIVEN}}])\n"
        "    @step\n    def start",
    )  # fmt: skip
    repo = _repo(tmp_path, way, text)
    repo.git("config", "--add", "runs.env", "MINE")
    marker = tmp_path / "work"
    env = {**way.env, "MARKER": str(marker), "MINE": TOKEN}
    driver = background(repo, "f.py", "run", env=env)
    driver.wait_for(f"has {len(TOKEN)} ")
    for pid in {*family(str(marker)), *way.processes("agent"), *way.processes("task")}:
        assert TOKEN not in _text(Path(f"/proc/{pid}/cmdline"))
    files = [it for it in way.cache.rglob("*") if it.is_file()]
    assert [it for it in files if "agents" in it.parts]
    assert not [it for it in files if TOKEN in _text(it)]
    marker.touch()
    assert driver.wait() == 0, driver.text()
    assert TOKEN not in driver.text()
    assert eventually(lambda: not way.left())
    assert TOKEN.encode() not in one_task(latest(repo), "start").output("stdout")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
