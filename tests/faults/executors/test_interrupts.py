"""What people do to a run at their terminal while an engine executes its tasks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.faults.check import executions, nobody_is_left
from tests.faults.executors.conftest import Workplaces
from tests.faults.executors.workplaces import Workplace
from tests.faults.recalls import ITEMS, RECALLING, WORKERS
from tests.helpers.flows import Background, background, eventually, foreach_flow, latest
from tests.helpers.repos import GitRepo, make_repo

pytestmark = pytest.mark.slow

WAYS = ("pool", "dask", "ray")
SHELL = """
import os, subprocess, sys
flow = subprocess.Popen([sys.executable, *sys.argv[1:]], preexec_fn=os.setpgrp)
print("group", flow.pid, flush=True)
sys.exit(flow.wait())
"""
FLOW = foreach_flow(
    "with open(os.environ['MARKER'], 'a') as log: log.write(f'{self.x} ')\n"
    "if os.environ.get('STUBBORN'): signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "print('here', os.getpid(), flush=True)\n"
    "while self.x and not os.path.exists(os.environ['GO']): time.sleep(0.02)"
)


class Terminal:
    """A shell, and a run in it whose first item has ended and whose second one waits."""

    def __init__(self, place: Path, way: Workplace, **env: str) -> None:
        self.repo: GitRepo = make_repo(place / "repo")
        self.repo.write("f.py", FLOW)
        way.prepare(self.repo)
        for name in ("GO", "STUBBORN"):
            self.repo.git("config", "--add", "runs.env", name)
        self.way = way
        self.marker = place / "work"
        self.go = place / "go"
        self.env = {**way.env, "MARKER": str(self.marker), "GO": str(self.go), **env}
        words = ("f.py", "run", "--n", "2", "--max-workers", "1")
        self.shell: Background = background(self.repo, "-c", SHELL, *words, env=self.env)
        self.group = int(self.shell.wait_for(r"group (\d+)")[1])
        self.shell.wait_for(r"(?s)here \d+.* here \d+")
        self.shell.wait_for(r"work/\d+ .*finished")

    def press(self, number: int) -> None:
        """Signal all processes of the terminal's foreground, as a key does."""
        os.killpg(self.group, number)

    def ends(self, code: int) -> None:
        """The run counts as interrupted, nobody is left, and a resume does what is left."""
        assert self.shell.wait() in {code, code - 256}, self.shell.text()
        assert "\nTraceback" not in self.shell.text(), self.shell.text()  # but a task's own
        nobody_is_left(self.marker)
        assert self.way.is_free()
        assert latest(self.repo).status is Status.INTERRUPTED
        self.goes_on()

    def goes_on(self) -> None:
        """Elsewhere, and what was done is not done again."""
        self.go.touch()
        again = self.repo.flow("f.py", "resume", env={**self.env, "GITFLOWRUN_EXECUTOR": "local"})
        assert again.code == 0, again.err
        assert executions(self.marker) == {"0": 1, "1": 2}
        assert latest(self.repo).status is Status.DONE
        self.repo.fsck()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, workplaces: Workplaces) -> Workplace:
    """An engine."""
    return workplaces(request.param)


def test_ctrl_c(tmp_path: Path, way: Workplace) -> None:
    """Once is enough for tasks that heed it."""
    terminal = Terminal(tmp_path, way)
    terminal.press(signal.SIGINT)
    terminal.ends(130)


def test_ctrl_c_twice(tmp_path: Path, way: Workplace) -> None:
    """A task that does not heed the first is killed by the second."""
    terminal = Terminal(tmp_path, way, STUBBORN="yes")
    terminal.press(signal.SIGINT)
    time.sleep(1)
    terminal.press(signal.SIGINT)
    terminal.ends(130)


def test_a_terminal_that_is_closed(tmp_path: Path, way: Workplace) -> None:
    """The run ends as by any other interrupt."""
    terminal = Terminal(tmp_path, way)
    terminal.press(signal.SIGHUP)
    terminal.ends(129)


def test_ctrl_z_and_fg(tmp_path: Path, way: Workplace) -> None:
    """The tasks on workers stop, too, and go on: nothing is lost or launched again."""
    terminal = Terminal(tmp_path, way)
    task = int(terminal.shell.wait_for(r"(?s)here \d+.* here (\d+)")[1])
    terminal.press(signal.SIGTSTP)
    assert eventually(lambda: _is_stopped(task) and _is_stopped(terminal.group))
    terminal.go.touch()
    time.sleep(5)
    terminal.press(signal.SIGCONT)
    assert terminal.shell.wait() == 0, terminal.shell.text()
    assert executions(terminal.marker) == {"0": 1, "1": 1}
    assert latest(terminal.repo).status is Status.DONE
    nobody_is_left(terminal.marker)
    assert terminal.way.is_free()
    terminal.repo.fsck()


def test_ctrl_c_while_a_launch_is_recalled(tmp_path: Path, way: Workplace) -> None:
    """Its agent has dropped it when it hears of the interrupt: no other one begins with it."""
    repo = make_repo(tmp_path / "repo", files={"f.py": RECALLING})
    way.prepare(repo)
    marker, told, go = tmp_path / "work", tmp_path / "told", tmp_path / "go"
    way.let_workers(f"agent.recalled=tell:{told}; agent.recalled=pause:{go}")
    env = {**way.env, "MARKER": str(marker)}
    flow = background(repo, "f.py", "run", "--max-workers", WORKERS, env=env)
    assert eventually(told.exists, 120), flow.text()
    every = {f"work{it}.0" for it in range(ITEMS)}
    waiting = every - {*executions(marker)}  # at that agent; each that is recalled is one of them
    assert waiting
    flow.ctrl_c()
    time.sleep(1)  # so its link has the signal
    go.touch()
    assert flow.wait() in {130, 130 - 256}, flow.text()
    assert waiting.isdisjoint(executions(marker))
    assert latest(repo).status is Status.INTERRUPTED
    nobody_is_left(marker)
    assert way.is_free()
    way.let_workers()
    again = repo.flow("f.py", "resume", "--max-workers", WORKERS, env=env)
    assert again.code == 0, again.err
    assert {executions(marker)[it] for it in waiting} == {1}
    assert latest(repo).status is Status.DONE
    repo.fsck()


def test_a_driver_that_is_killed(tmp_path: Path, way: Workplace) -> None:
    """Workers are free soon; another executor goes on with the run."""
    terminal = Terminal(tmp_path, way)
    scheduler = _scheduler(terminal.group)
    os.kill(scheduler, signal.SIGKILL)
    assert terminal.shell.wait() != 0
    nobody_is_left(terminal.marker)
    assert terminal.way.is_free()
    assert latest(terminal.repo).status is Status.INTERRUPTED
    terminal.goes_on()


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _scheduler(launcher: int) -> int:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_it = b"scheduler_main.py" in (path / "cmdline").read_bytes()
            if is_it and f"\nPPid:\t{launcher}\n" in (path / "status").read_text():
                return int(path.name)
        except OSError:
            continue
    raise AssertionError("there is no scheduler")
