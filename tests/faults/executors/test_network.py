"""A network between workers and the driver that fails for a while, in whole runs with output that is looked at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.faults.check import executions, nobody_is_left
from tests.faults.executors.conftest import Workplaces
from tests.faults.executors.network import Network
from tests.faults.executors.workplaces import Workplace
from tests.helpers.flows import Background, background, foreach_flow, latest
from tests.helpers.repos import ROOT, GitRepo, make_repo

pytestmark = pytest.mark.slow

WAYS = ("pool", "dask", "ray")
LINES = 300
FLOW = foreach_flow(
    "with open(os.environ['MARKER'], 'a') as log: log.write(f'{self.x} ')\n"
    f"for i in range({LINES}):\n    print(f'line {{self.x}}.{{i}}.', flush=True)\n    time.sleep(0.02)\n"
    "self.own = random.Random(self.x).randbytes(3_000_000)",
    head="import random\n",
)
SHORT = "import gitflowrun.runtime.ipc.remote_limits as it\nit.LINK_SILENCE, it.LINK_HEARTBEAT = 4.0, 1.0\n"


class LiveRun:
    """A run of two tasks at a time whose lines go over a network that a test disturbs."""

    def __init__(self, place: Path, way: Workplace, *, is_short: bool = False) -> None:
        self.repo: GitRepo = make_repo(place / "repo")
        self.repo.write("f.py", FLOW)
        way.prepare(self.repo)
        self.marker = place / "work"
        self.way = way
        self.network = Network(way, SHORT if is_short else "")
        env = {**way.env, "MARKER": str(self.marker)}
        if is_short:
            (place / "short").mkdir()
            (place / "short/sitecustomize.py").write_text(SHORT)
            env["PYTHONPATH"] = f"{place / 'short'}:{ROOT}"
        self.driver: Background = background(
            self.repo, "f.py", "run", "--n", "3", "--max-workers", "2", env=env
        )
        self.driver.wait_for(r"line \d\.20\.")

    def ends_well(self) -> None:
        """Each task is there once, with all of its lines once and in order; nobody is left."""
        assert self.driver.wait() == 0, self.said()
        self.network.close()
        nobody_is_left(self.marker)
        assert self.way.is_free()
        run = latest(self.repo)
        assert run.status is Status.DONE
        tasks = [*run.tasks_of("work")]
        assert sorted(it.record.frames[-1].index for it in tasks) == [0, 1, 2]
        for task in tasks:
            item = task.record.frames[-1].index
            lines = task.output("stdout").decode().splitlines()
            assert lines == [f"line {item}.{i}." for i in range(LINES)]
        self.repo.fsck()

    def said(self) -> str:
        """What its program has written, without the lines of tasks."""
        lines = self.driver.text().splitlines()
        return "\n".join(it for it in lines if not re.search(r"line \d\.\d+\.$", it))

    def launches(self) -> Counter[str]:
        """How often each item was launched, by the run's records."""
        return Counter({
            str(task.record.frames[-1].index): sum(1 + len(it.lost) for it in task.record.attempts)
            for task in latest(self.repo).tasks_of("work")
        })  # fmt: skip

    def close(self) -> None:
        """End what is still there."""
        self.network.close()
        if self.driver.process.poll() is None:
            self.driver.process.kill()
            self.driver.process.wait()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, workplaces: Workplaces) -> Iterator[Workplace]:
    """An engine, whose agents are asked to use a network by a test."""
    made = workplaces(request.param)
    yield made
    made.let_workers()


def test_a_network_that_is_silent_for_a_while(tmp_path: Path, way: Workplace) -> None:
    """Nothing is launched again, and no line is lost or said twice, neither live nor in what is kept."""
    run = LiveRun(tmp_path, way)
    try:
        run.network.be_silent(5)
        run.ends_well()
        assert executions(run.marker) == {"0": 1, "1": 1, "2": 1}
        shown = Counter(re.findall(r"line (\d\.\d+)\.", run.driver.text()))
        assert shown == {f"{item}.{i}": 1 for item in range(3) for i in range(LINES)}
    finally:
        run.close()


def test_connections_that_end(tmp_path: Path, way: Workplace) -> None:
    """What ran is launched again when the network is back, which is recorded; what is kept has each line once."""
    run = LiveRun(tmp_path, way)
    try:
        run.network.cut(1)
        run.ends_well()
        told = run.launches()
        executed = executions(run.marker)
        # A launch may be lost on its way to the task, of which nobody knows whether it has begun.
        assert all(executed[item] <= told[item] for item in executed), (executed, told)
        assert told.total() > 3, run.said()  # of one agent or both, as far as they had begun
        assert "was lost" in run.said()
    finally:
        run.close()


def test_a_network_that_is_silent_for_too_long(tmp_path: Path, way: Workplace) -> None:
    """Both sides give each other up: agents end their tasks, and these are launched again when there is a way."""
    run = LiveRun(tmp_path, way, is_short=True)
    try:
        run.network.be_silent(9)
        run.ends_well()
        told = run.launches()
        assert all(times <= told[item] for item, times in executions(run.marker).items())
        assert told.total() > 3, run.said()  # of one agent or both, as far as they had begun
        assert "was lost" in run.said()
    finally:
        run.close()
