"""What goes wrong with a worker, and with what comes from it, in whole runs."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.faults.check import executions, nobody_is_left
from tests.faults.executors.conftest import Workplaces
from tests.faults.executors.workplaces import Workplace
from tests.helpers.flows import background, eventually, foreach_flow, latest, value_of
from tests.helpers.repos import GitRepo, Output, make_repo

pytestmark = pytest.mark.slow

WAYS = ("pool", "dask", "ray")
FLOW = foreach_flow(
    "with open(os.environ['MARKER'], 'a') as log: log.write(f'{self.x} ')\n"
    "print('item', self.x, flush=True)\nself.own = random.Random(self.x).randbytes(3_000_000)",
    head="import random\n",
)
TWICE = """
import gitflowrun.runtime.remote.outbox as it
_send = it.Outbox.send
def send(self, message):
    _send(self, message)
    if type(message).__name__ in ("Result", "Exited", "Started"):
        _send(self, message)
it.Outbox.send = send
"""
DAMAGED = """
import os
import gitflowrun.runtime.remote.outbox as it
from gitflowrun.values import replace
_send = it.Outbox.send
def send(self, message):
    if type(message).__name__ == "TaskPack" and len(message.data) > 100_000:
        try:
            os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            data = bytearray(message.data)
            data[50_000] ^= 1
            message = replace(message, data=bytes(data))
    _send(self, message)
it.Outbox.send = send
"""
LATE = "import time\n_true = time.time\ntime.time = lambda: _true() + {seconds}\n"


class Work:
    """A repository with a flow of three items for one way of execution."""

    def __init__(self, place: Path, way: Workplace, text: str = FLOW) -> None:
        self.repo: GitRepo = make_repo(place / "repo")
        self.repo.write("f.py", text)
        way.prepare(self.repo)
        self.way = way
        self.marker = place / "work"
        self.env = {**way.env, "MARKER": str(self.marker)}

    def run(self, *words: str, **env: str) -> Output:
        """Run the flow to its end."""
        words = words or ("run", "--n", "3", "--max-workers", "1")
        return self.repo.flow("f.py", *words, env={**self.env, **env})

    def is_whole(self) -> None:
        """Each item is there once, with its value; nobody is left; no launch that is not told of."""
        run = latest(self.repo)
        assert run.status is Status.DONE
        told: Counter[str] = Counter()
        for task in run.tasks_of("work"):
            item = task.record.frames[-1].index
            assert value_of(task, "own") == random.Random(item).randbytes(3_000_000)
            assert task.output("stdout").decode().splitlines() == [f"item {item}"]
            told[str(item)] += sum(1 + len(it.lost) for it in task.record.attempts)
        assert {*told} == {"0", "1", "2"}
        assert all(times <= told[item] for item, times in executions(self.marker).items())
        nobody_is_left(self.marker)
        assert self.way.is_free()
        self.repo.fsck()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, workplaces: Workplaces) -> Iterator[Workplace]:
    """An engine."""
    made = workplaces(request.param)
    yield made
    made.let_workers()


def test_what_arrives_twice(tmp_path: Path, way: Workplace) -> None:
    """Counts once."""
    work = Work(tmp_path, way)
    way.let_workers(begin=TWICE)
    done = work.run()
    assert done.code == 0, done.err
    assert executions(work.marker) == {"0": 1, "1": 1, "2": 1}
    work.is_whole()


def test_what_is_damaged_on_its_way(tmp_path: Path, way: Workplace) -> None:
    """The task is launched again, which is told; no byte of it is believed."""
    work = Work(tmp_path, way)
    way.let_workers(begin=DAMAGED.format(mark=str(tmp_path / "damaged")))
    done = work.run()
    assert done.code == 0, done.err
    assert (tmp_path / "damaged").exists()
    assert "damaged" in done.out + done.err
    assert executions(work.marker).total() == 4
    work.is_whole()


@pytest.mark.parametrize("seconds", [-(10**8), 10**8])
def test_a_clock_that_is_wrong(tmp_path: Path, way: Workplace, seconds: int) -> None:
    """Nothing of the cache is too old or too young for it, nor is any time in the run another one's."""
    work = Work(tmp_path, way)
    way.let_workers(begin=LATE.format(seconds=seconds))
    for _ in range(2):
        done = work.run()
        assert done.code == 0, done.err
        work.marker.unlink()
        run = latest(work.repo)
        for task in run.tasks_of("work"):
            assert abs(task.record.attempts[-1].started - run.state.started) < 10**6
    work.is_whole()


def test_a_cache_that_was_tampered_with(tmp_path: Path, way: Workplace) -> None:
    """What is not what its id says is got anew: the code that runs is the run's own."""
    work = Work(tmp_path, way)
    assert work.run().code == 0
    packs = [*(way.cache.rglob("shared.git/objects/pack/*.pack"))]
    loose = [*(way.cache.rglob("shared.git/objects/??/*"))]
    assert packs
    for path in (*packs, *loose):
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        for place in range(20, len(data) - 20, 50):
            data[place] ^= 255
        path.write_bytes(data)
    work.marker.unlink()
    done = work.run()
    assert done.code == 0, done.err
    assert latest(work.repo).left_out() == {}
    work.is_whole()


@pytest.mark.parametrize("free", [0, 64, 1000])
def test_a_worker_whose_disk_is_full(
    tmp_path: Path, small_disk: Path, workplaces: Workplaces, free: int
) -> None:
    """No file, the code alone, or no artifact fits: the run says so, and goes on elsewhere."""
    work = Work(tmp_path, workplaces("pool"))
    (small_disk / "ballast").write_bytes(bytes((4 << 20) - (free << 10)))
    done = work.run(XDG_CACHE_HOME=str(small_disk))
    assert done.code != 0
    assert "Traceback" not in done.err, done.err
    assert os.strerror(28) in done.err, done.err
    assert latest(work.repo).status is Status.FAILED
    before = executions(work.marker)
    again = work.run("resume", GITFLOWRUN_EXECUTOR="local")
    assert again.code == 0, again.err
    work.marker.write_text(" ".join((executions(work.marker) - before).elements()))
    work.is_whole()


SLOW = (
    FLOW.replace("print('item'", "time.sleep(0.4); print('item'")
    .replace("    @step\n    def work", "    @retry(times=1)\n    @step\n    def work")
    .replace("current, step", "current, retry, step")
)


@pytest.mark.parametrize("victim", ["agent", "task", "engine"])
@pytest.mark.parametrize("moment", ["in a task", "between tasks"])
def test_a_worker_that_is_killed(tmp_path: Path, way: Workplace, victim: str, moment: str) -> None:
    """In mid-task or between tasks: each result is there once, and each launch is told of."""
    work = Work(tmp_path, way, SLOW)
    words = ("f.py", "run", "--n", "3", "--max-workers", "1")
    driver = background(work.repo, *words, env=work.env)
    if moment == "in a task":
        assert eventually(lambda: executions(work.marker).total() >= 2), driver.text()
    else:
        driver.wait_for(r"work/\d+ .*finished")
    # Between tasks there is none to be killed, or the next one.
    victims = eventually(lambda: way.processes(victim), 3 if victim == "task" else 60)
    assert victims or victim == "task", driver.text()
    for pid in victims:
        _kill(pid)
    assert driver.wait() == 0, driver.text()
    work.is_whole()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
