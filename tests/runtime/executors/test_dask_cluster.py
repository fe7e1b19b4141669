"""Runs over a Dask scheduler and two workers that are programs in directories of their own and share no disk."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.dask_cluster import DaskCluster, kill
from tests.helpers.flows import (
    at_most,
    background,
    eventually,
    foreach_flow,
    latest,
    one_task,
    value_of,
)
from tests.helpers.repos import GitRepo, make_repo

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

WHOLE = foreach_flow(
    "assert len(self.seed) == 20_000_000\n"
    "self.blob = random.Random(self.x).randbytes(20_000_000)\n"
    "current.card.append(Markdown(f'item {self.x}'), id='text')\n"
    "print('begins', self.x, marked.MARK, flush=True)\n"
    "while self.x == 0 and not os.path.exists(GO): time.sleep(0.05)\n"
    "time.sleep(0.2)",
    head="import random\nimport marked\nfrom gitflowrun import card\nfrom gitflowrun.cards import Markdown\n"
    "GO = {go!r}\n",
).replace(
    "        self.items =", "        self.seed = random.Random(99).randbytes(20_000_000)\n        self.items ="
).replace(
    "    @step\n    def work", "    @card\n    @step\n    def work"
).replace(
    "sum(i.x for i in inputs)", "sum(i.x for i in inputs) + sum(len(i.blob) for i in inputs)"
)  # fmt: skip
DIED = foreach_flow(
    "with open(os.environ['NOTES'], 'a') as notes: notes.write(f'{self.x}\\n')\n"
    "time.sleep(0.3)\nself.blob = bytes([self.x]) * 300_000",
)


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """The driver's repository."""
    made = make_repo(tmp_path / "driver")
    made.git("config", "runs.executorSharedDisk", "false")
    made.git("config", "runs.env", "NOTES")
    return made


@pytest.fixture
def cluster(tmp_path: Path, repo: GitRepo) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    made = DaskCluster(tmp_path / "cluster", repo)
    yield made
    made.close()


def test_a_run_of_two_machines(repo: GitRepo, cluster: DaskCluster, tmp_path: Path) -> None:
    """Code by its commit once, values both ways, cards, live output; what changes meanwhile has no effect."""
    go = tmp_path / "go"
    repo.write("flow.py", WHOLE.replace("{go!r}", repr(str(go))))
    repo.write("marked.py", "MARK = 'as committed'\n")
    repo.commit()
    driver = background(repo, "flow.py", "run", "--max-workers", "2", env=cluster.env())
    driver.wait_for("begins 0 as committed")
    repo.write("marked.py", "MARK = 'changed'\n")
    said = eventually(lambda: re.search("begins 0", repo.runs("logs", "1").out))
    assert said is not None, "its output is not seen while it runs"
    go.touch()
    assert driver.wait() == 0, driver.text()
    run = latest(repo)
    assert run.status is Status.DONE
    assert value_of(one_task(run, "join"), "total") == 6 + 80_000_000
    tasks = [*run.tasks_of("work")]
    assert [value_of(it, "blob") for it in tasks] == [
        random.Random(value_of(it, "x")).randbytes(20_000_000)  # type: ignore[arg-type]
        for it in tasks
    ]
    assert all(b"as committed" in it.output("stdout") for it in tasks)
    assert all(it.cards for it in tasks)
    places = {it.record.attempts[-1].where for it in tasks}
    assert len(places) == 2, places
    shown = repo.runs("show", f"F/1/work/{tasks[0].record.name.task}").out
    assert tasks[0].record.attempts[-1].where in shown
    for number in cluster.numbers:
        trees = [*cluster.directory(number).glob("cache/gitflowrun/agents/*/trees/*")]
        assert len([it for it in trees if re.fullmatch("[0-9a-f]{40}", it.name)]) == 1, trees
        assert cluster.clone(number).git("status", "--porcelain") == ""
        assert cluster.clone(number).git("for-each-ref", "refs/runs") == ""
    repo.fsck()
    assert eventually(lambda: not cluster.of_runs(), at_most(10)), cluster.processes()


def test_ctrl_c(repo: GitRepo, cluster: DaskCluster) -> None:
    """What runs on workers ends, the workers do not, and the run counts as interrupted."""
    repo.write("flow.py", foreach_flow("print('begins', flush=True)\ntime.sleep(600)"))
    repo.commit()
    driver = background(repo, "flow.py", "run", env=cluster.env())
    driver.wait_for("begins(?s:.)*begins")
    assert len(cluster.processes()["task"]) == 2
    driver.ctrl_c()
    assert driver.wait() != 0
    assert eventually(lambda: not cluster.of_runs(), at_most(5)), cluster.processes()
    assert len(cluster.processes()["worker"]) == 2
    assert latest(repo).status is Status.INTERRUPTED
    repo.fsck()


ROLES = ("task", "zygote", "agent", "worker", "nanny")


def _notes(file: Path) -> Counter[int]:
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()


def _results(repo: GitRepo) -> dict[int, int]:
    """How many launches each item's task tells of: one, and each that was lost; each item has one task."""
    run = latest(repo)
    told: dict[int, int] = {}
    for task in run.tasks_of("work"):
        item = value_of(task, "x")
        assert isinstance(item, int)
        assert item not in told, "done twice"
        assert value_of(task, "blob") == bytes([item]) * 300_000
        told[item] = sum(1 + len(it.lost) for it in task.record.attempts)
    return told


def test_workers_that_are_killed(repo: GitRepo, cluster: DaskCluster, tmp_path: Path) -> None:
    """Twenty kills of whatever a worker has, in tasks and between: each result once, and lost launches are told."""
    chance = random.Random(16)
    repo.write("flow.py", DIED.replace("@step\n    def work", "@retry(times=1)\n    @step\n    def work").replace(
        "current, step", "current, retry, step"
    ))  # fmt: skip
    repo.commit()
    for number in range(20):
        role = ROLES[number % len(ROLES)]
        cluster.ensure()
        notes = tmp_path / f"notes-{number}"
        env = {**cluster.env(), "NOTES": str(notes)}
        driver = background(repo, "flow.py", "run", "--n", "8", "--max-workers", "2", env=env)
        wanted = chance.randrange(1, 5)
        assert eventually(lambda: notes.exists() and _notes(notes).total() >= wanted), driver.text()  # noqa: B023
        victims = eventually(lambda: cluster.processes().get(role, []))  # noqa: B023
        # Anywhere in the third of a second that a task takes, or in the pause before the next one.
        time.sleep(chance.uniform(0, 0.4))
        died = kill(chance.choice(victims))
        time.sleep(0.5)  # a worker's processes see that it has gone
        cluster.ensure()
        assert driver.wait() == 0, (role, driver.text())
        assert latest(repo).status is Status.DONE
        told = _results(repo)
        assert set(told) == set(range(8)), (role, died, driver.text())
        for item, times in _notes(notes).items():
            assert times <= told[item], (role, item, driver.text())
    repo.fsck()
    assert eventually(lambda: not cluster.of_runs(), at_most(10)), cluster.processes()


def test_drivers_that_are_killed(repo: GitRepo, cluster: DaskCluster, tmp_path: Path) -> None:
    """Ten kills: workers are free within seconds, and what goes on anywhere does what is left, and that once."""
    chance = random.Random(17)
    repo.write("flow.py", DIED)
    repo.commit()
    for number in range(10):
        notes = tmp_path / f"notes-{number}"
        env = {**cluster.env(), "NOTES": str(notes)}
        driver = background(repo, "flow.py", "run", "--n", "8", "--max-workers", "2", env=env)
        wanted = chance.randrange(1, 8)
        assert eventually(lambda: notes.exists() and _notes(notes).total() >= wanted), driver.text()  # noqa: B023
        time.sleep(chance.uniform(0, 0.4))
        parts = driver.children()
        os.kill(parts["launcher" if number % 3 == 2 else "scheduler"], signal.SIGKILL)
        assert driver.wait() != 0
        assert eventually(lambda: not cluster.of_runs(), at_most(10)), cluster.processes()
        assert latest(repo).status is Status.INTERRUPTED, driver.text()
        run = latest(repo)
        done = [*run.tasks_of("work")] if run.has_step("work") else []
        finished = {value_of(it, "x") for it in done if it.record.ok}
        before = _notes(notes)
        elsewhere = {} if number % 2 else cluster.env()
        again = repo.python("flow.py", "resume", env={**elsewhere, "NOTES": str(notes)})
        assert again.code == 0, again.err
        assert set(_results(repo)) == set(range(8))
        after = _notes(notes)
        assert all(after[item] == before[item] for item in finished), "done again"  # type: ignore[index]
        assert all(after[item] == before[item] + 1 for item in set(range(8)) - finished), (
            before,
            after,
        )
        repo.fsck()
