"""What is wrong with a worker or with the way to it, seen by whoever runs a flow."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.flows import at_most, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.same_runs import POOL

CLOCK = "import time\n_true = time.time\ntime.time = lambda: _true() + {seconds}\n"


LIBRARY = """
import atexit
from concurrent.futures import Executor


class Library(Executor):
    def __init__(self):
        self._pool = pool()

    def submit(self, *args):
        future = self._pool.submit(*args)
        future.cancel = self._refuse
        return future

    def _refuse(self):
        raise NotImplementedError("no call is given up")

    def shutdown(self, wait=True):
        self._pool.shutdown(wait)


atexit.register(lambda: open({place!r}, "w").close())
"""
"""A library whose executor can do less than others, and which has something to do at the end of the interpreter."""


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with a flow, whose tasks are executed by agents that share no disk."""
    made = make_repo(tmp_path / "driver")
    made.write("pools.py", POOL)
    made.write("f.py", linear_flow("self.x = time.time()\nprint('a line')", "self.y = self.x"))
    made.git("config", "runs.executor", "pools:pool")
    made.git("config", "runs.executorSharedDisk", "false")
    made.commit()
    return made


@pytest.mark.parametrize("seconds", [-(10**8), 10**8])
@pytest.mark.sample(1)
def test_a_worker_whose_clock_is_wrong(repo: GitRepo, tmp_path: Path, seconds: int) -> None:
    """By three years: what the run says of when something was is the driver's time, and nothing is too old or young."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(CLOCK.format(seconds=seconds))
    made = POOL.replace("(2,", "(2, initializer=_begin,") + (
        f"\ndef _begin():\n    import os\n    os.environ['PYTHONPATH'] = "
        f"{str(tmp_path / 'clock')!r} + os.pathsep + os.environ.get('PYTHONPATH', '')\n"
    )
    repo.write("pools.py", made)
    repo.commit()
    before = time.time()
    done = repo.flow("f.py", "run", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    after = time.time()
    assert done.code == 0, done.err
    run = latest(repo)
    seen = value_of(one_task(run, "end"), "y")
    assert isinstance(seen, float)
    assert abs(seen - before - seconds) < 10**6, "its clock was right"
    for step in ("start", "end"):
        task = one_task(run, step)
        (attempt,) = task.record.attempts
        assert before - 1 <= attempt.started <= attempt.finished <= after + 1
        assert all(before - 1 <= it.time <= after + 1 for it in task.record.metadata)
        assert all(at is None or before - 1 <= at <= after + 1 for at, _ in task.lines("stdout"))
    assert run.left_out() == {}
    repo.fsck()


def test_workers_on_which_no_agent_can_begin(repo: GitRepo) -> None:
    """The run fails with the reason, once; no attempt of its tasks is recorded."""
    broken = POOL.replace("(2,", "(2, initializer=_begin,") + (
        "\ndef _begin():\n    from gitflowrun.runtime.executors.engines import run_agent\n"
        "    run_agent._PROGRAM = 'raise SystemExit(\"this worker has no luck\")'\n"
    )
    repo.write("pools.py", broken)
    repo.commit()
    done = repo.flow("f.py", "run")
    assert done.code != 0
    assert "no agent of pools:pool can begin: this worker has no luck" in done.err
    assert "Traceback" not in done.err
    run = latest(repo)
    assert run.status is Status.FAILED
    assert [it for it in run.steps() if it != "_parameters"] == []


@pytest.mark.parametrize(
    ("step", "lacked"),
    [("import own.settings", "own/settings.py"), ("open('data/list.csv')", "data/list.csv")],
)
@pytest.mark.sample(1)
def test_what_git_ignores_is_not_on_workers(repo: GitRepo, step: str, lacked: str) -> None:
    """Who lacks it is told which file that is, and what to do; a task of this machine finds it."""
    repo.write(".gitignore", "settings.py\ndata/\n")
    repo.write("own/__init__.py", "")
    repo.write(lacked, "x = 1\n")
    repo.write("f.py", linear_flow(step))
    repo.commit()
    done = repo.flow("f.py", "run")
    assert done.code == 1
    told = f"'{lacked}' is in the work tree and not in the run's snapshot, so workers have it not"
    assert told in done.out
    run = latest(repo)
    assert told in one_task(run, "start").output("stderr").decode()
    repo.git("config", "--unset", "runs.executor")
    assert repo.flow("f.py", "run").code == 0


def test_a_port_that_another_run_uses(repo: GitRepo) -> None:
    """It is said before there is a run."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        repo.git("config", "runs.executorAddress", f"127.0.0.1:{port}")
        done = repo.flow("f.py", "run")
    assert done.code != 0
    assert f"can't listen for workers at 127.0.0.1, port {port}: " in done.err
    assert "another run may use it; set runs.executorAddress" in done.err
    assert repo.git("for-each-ref", "refs/runs") == ""


@pytest.mark.slow
def test_workers_that_do_not_reach_the_driver(repo: GitRepo, tmp_path: Path) -> None:
    """The run fails soon, in words that name the addresses and the setting; the resume elsewhere does all of it."""
    sealed = POOL.replace("(2,", "(2, initializer=_begin,") + (
        "\ndef _begin():\n    import socket\n"
        "    from gitflowrun.runtime.executors.engines import run_agent\n"
        "    program = run_agent._PROGRAM\n"
        "    run_agent._PROGRAM = 'import socket\\ndef refuse(*_, **__): raise "
        'ConnectionRefusedError(111, "Connection refused")\\n'
        "socket.create_connection = socket.socket.connect = refuse\\n"
        "socket.socket.connect_ex = lambda *_: 111\\n' + program\n"
    )
    repo.write("pools.py", sealed)
    repo.commit()
    done = repo.flow("f.py", "run", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.code != 0
    assert "Traceback" not in done.err
    assert "runs.executorAddress" in done.err
    assert latest(repo).status is Status.FAILED
    again = repo.flow("f.py", "resume", env={"GITFLOWRUN_EXECUTOR": "local"})
    assert again.code == 0, again.err
    assert latest(repo).status is Status.DONE
    repo.fsck()


def test_an_executor_that_can_do_less_than_others(repo: GitRepo, tmp_path: Path) -> None:
    """It can't cancel, and knows no `cancel_futures`; what its library does at the end of the process is done."""
    place = tmp_path / "ended"
    repo.write("pools.py", POOL + LIBRARY.format(place=str(place)))
    repo.commit()
    done = repo.python("f.py", "run", "--executor", "pools:Library")  # the end of the interpreter
    assert done.code == 0, done.err
    assert "error" not in done.err
    assert place.exists()


@pytest.mark.slow
def test_a_library_that_does_not_end(repo: GitRepo) -> None:
    """Is not waited for longer than some seconds; the run has ended well."""
    forever = "\nimport atexit, time\natexit.register(time.sleep, 600)\n"
    repo.write("pools.py", POOL + forever)
    repo.commit()
    begun = time.monotonic()
    done = repo.python("f.py", "run")
    assert done.code == 0, done.err
    assert time.monotonic() - begun < at_most(60)
