"""What an agent checks, and what it says where it can't serve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun._version import __version__
from gitflowrun.msgpack import pack_message
from gitflowrun.runtime.ipc.remote_messages import PROTOCOL
from tests.helpers.agents import launch
from tests.helpers.flows import linear_flow
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.runtime.remote.conftest import Agents


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with a flow."""
    return make_repo(tmp_path / "driver", files={"flow.py": linear_flow("print('ran')")})


@pytest.mark.parametrize("change", [{"version": "0.0.1"}, {"protocol": PROTOCOL + 1}])
def test_another_version(agents: Agents, repo: GitRepo, change: dict[str, object]) -> None:
    """Both are named, and what to install."""
    agent = agents(repo, **change)
    refusal = agent.refused()
    assert f"this worker has {__version__} (protocol {PROTOCOL})" in refusal.reason
    assert str(next(iter(change.values()))) in refusal.reason
    assert "pip install gitflowrun==" in refusal.hint
    assert refusal.host == os.uname().nodename
    assert agent.wait() == 0


def test_a_driver_of_a_later_form(agents: Agents, repo: GitRepo) -> None:
    """A beginning that can't be parsed says all the same whose it is."""
    agent = agents(repo, None)
    agent.until(lambda: agent.link)
    agent.say_bytes(pack_message(["AgentStart", PROTOCOL + 1, "99.0", "something new"]))
    assert "99.0" in agent.refused().reason


def test_other_packages(agents: Agents, repo: GitRepo) -> None:
    """What the driver has and the worker has not, by name: refused, warned of, or not looked at."""
    packages = {
        "nowhere-to-be-found": "1.0",
        "msgpack": "0.0.1",
        "Blake3": "x @ file:///d",
        "python": "2.7.0",
    }
    told = "nowhere-to-be-found 1.0 is not there; msgpack is "
    refusal = agents(repo, packages=packages, other_packages="refuse").refused()
    assert told in refusal.reason
    assert "python is 3." in refusal.reason
    assert "runs.executorPackages" in refusal.hint
    (notice,) = agents(repo, packages=packages, other_packages="warn").ready().notices
    assert told in notice
    assert agents(repo, packages=packages, other_packages="ignore").ready().notices == ()


def test_the_same_packages(agents: Agents, repo: GitRepo) -> None:
    """Names as indexes compare them, places of installation left out; more packages here do no harm."""
    from gitflowrun.runtime.scheduler.run_info import installed_packages

    packages = installed_packages(sys.path)
    packages = {name.upper().replace("-", "_"): version for name, version in packages.items()}
    packages.pop("PIP", None)
    assert agents(repo, packages=packages, other_packages="refuse").ready().notices == ()


@pytest.mark.parametrize(
    ("head", "reason", "hint"),
    [
        ("import no_such_module.part", "no module 'no_such_module'", "pip install no_such_module"),
        ("import cv2_not\nimport sklearn", "no module 'cv2_not'", "in the flow's repository"),
        ("raise RuntimeError('at import')", "RuntimeError: at import", "Traceback"),
        ("os._exit(3)", "its program ended with exit status 3 without a word", "ends its process"),
        ("os.kill(os.getpid(), 9)", "its program was killed by SIGKILL without a word", "memory"),
        (
            "print('half', flush=True)\nos.kill(os.getpid(), 11)",
            "its program was killed by SIGSEGV",
            "what it says there:\nhalf",
        ),
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV without a word", "crashes there"),
        ("def f(:", "SyntaxError", "flow.py"),
    ],
)
@pytest.mark.parametrize("isolation", ["fork", "fresh"])
@pytest.mark.sample(4)
def test_a_flow_that_cannot_be_imported(
    agents: Agents, tmp_path: Path, head: str, reason: str, hint: str, isolation: str
) -> None:
    """Why, before any task is taken."""
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow(head=head)})
    refusal = agents(repo, isolation=isolation).refused()
    assert reason in refusal.reason
    assert hint in refusal.hint


def test_no_git(agents: Agents, repo: GitRepo, tmp_path: Path) -> None:
    """Says what to install."""
    (tmp_path / "bin").mkdir()
    refusal = agents(repo, env={"PATH": str(tmp_path / "bin")}).refused()
    assert "git is not installed" in refusal.reason
    assert "install git 2." in refusal.hint


def test_a_flow_that_cannot_be_forked(agents: Agents, tmp_path: Path) -> None:
    """Gets fresh interpreters, and the user is told why."""
    head = "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='watcher').start()"
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow("print('ran')", head=head)})
    agent = agents(repo)
    (notice,) = agent.ready().notices
    assert "watcher" in notice
    result, exited = agent.run(launch(1))
    assert result is not None
    assert (result.error, exited.status, agent.output(1)) == (None, 0, "ran\n")


def test_a_cache_that_cannot_be_written_to(agents: Agents, repo: GitRepo, tmp_path: Path) -> None:
    """Where the cache is a file, another place is taken."""
    (tmp_path / "file").write_text("")
    env = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    agents(repo, env=env).ready()
    assert (tmp_path / f"gitflowrun-{os.getuid()}").is_dir()


def test_a_full_disk(agents: Agents, repo: GitRepo) -> None:
    """An agent for whose code there is no room says so."""
    refusal = agents(repo, env={"GITFLOWRUN_FAILPOINTS": "publish.synced=ENOSPC"}).refused()
    assert "No space left" in refusal.reason


def test_a_call_that_leads_nowhere(tmp_path: Path) -> None:
    """What is no call ends the program with words."""
    done = subprocess.run(
        [sys.executable, "-m", "gitflowrun.runtime.remote.agent_main"], input=b"nonsense",
        capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"no call of an agent" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_same_disk(agents: Agents, repo: GitRepo) -> None:
    """An agent that sees the driver's repository works in it: nothing is sent but words."""
    mark = repo.write(".git/mark", "of this run")
    repo.git("pack-refs")
    agent = agents(repo, shared=(str(mark), "of this run"))
    assert agent.ready().shares_disk
    result, exited = agent.run(launch(1))
    assert result is not None
    assert (result.error, exited.status, agent.output(1)) == (None, 0, "ran\n")
    assert agent.served == []
    other = agents(repo, shared=(str(mark), "of another run"))
    assert not other.ready().shares_disk
