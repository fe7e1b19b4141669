"""How a run begins: parameters first, then a number, then two commits in one move of its ref."""

from __future__ import annotations

import pytest

from gitflowrun.names import PARAMETERS_STEP
from tests.helpers.flows import latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, store_of

HELLO = """
from gitflowrun import FlowSpec, IncludeFile, Parameter, step
{head}

class Hello(FlowSpec):
    {members}

    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Hello()
"""

# Creates a run in a repository, and dies at a point of the protocol: before or after a call of ours.
KILLED = """
import os, signal, sys
from pathlib import Path
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.ref_update import Refs
from gitflowrun.runs.ids import RunIds
from tests.helpers.repos import GitRepo
from tests.helpers.runs import start_run

owner = {"reserve": RunIds, "write": PackStore, "transaction": Refs, "release": PackStore}[sys.argv[2]]
called = getattr(owner, sys.argv[2])

def dying(*args, **kwargs):
    if sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    called(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, sys.argv[2], dying)
start_run(GitRepo(Path(sys.argv[1])), tags=["mine"])
"""


def hello(head: str = "", members: str = "alpha = Parameter('alpha', default=0.5)") -> str:
    """A flow of three steps."""
    return HELLO.format(head=head, members=members)


def refs(repo: GitRepo) -> str:
    """All refs of ours."""
    return repo.git("for-each-ref", "--format=%(refname)", "refs/runs", "refs/tags/runs")


def test_the_commits_of_a_run_of_three_steps(repo: GitRepo) -> None:
    """The first says the parameters and holds INFO alone; tags point at it; its child adds code and parameters."""
    repo.write(
        "f.py",
        hello(
            members="lr = Parameter('lr', default=0.3)\n    epochs = Parameter('epochs', default=50)"
        ),
    )
    repo.commit()
    assert repo.flow("f.py", "run", "--tag", "best").code == 0
    subjects = repo.git("log", "--reverse", "--format=%s", "runs/Hello/1").splitlines()
    assert subjects[:4] == [
        "Hello/1: lr=0.3 epochs=50",
        "Hello/1: running",
        "Hello/1: running, 1 task done",
        "Hello/1: running, 2 tasks done",
    ]
    assert subjects[4].startswith("Hello/1: done, 3 tasks in ")
    first, child = repo.git("rev-list", "--reverse", "runs/Hello/1").split()[:2]
    assert repo.git("ls-tree", "-r", "--name-only", first) == "INFO"
    assert repo.git("rev-parse", f"runs/Hello/best/1-{first[:7]}") == first
    names = repo.git("ls-tree", "-r", "--name-only", child).splitlines()
    assert "code/f.py" in names
    assert "steps/_parameters/0/TASK" in names
    assert not [name for name in names if name.startswith("steps/start")]
    assert value_of(one_task(latest(repo), PARAMETERS_STEP), "epochs") == 50


@pytest.mark.parametrize(
    ("head", "members"),
    [
        ("def late(context):\n    raise ValueError('no')", "x = Parameter('x', default=late)"),
        ("import os\ndef late(context):\n    os.kill(os.getpid(), 9)", "x = Parameter('x', default=late)"),
        ("def parse(text):\n    raise ValueError('no')", "x = IncludeFile('x', default='f.py', parser=parse)"),
        ("import threading", "lock = threading.Lock()"),
    ],
    ids=["function", "killed", "parser", "constant"],
)  # fmt: skip
def test_parameters_that_fail_make_no_run(repo: GitRepo, head: str, members: str) -> None:
    """A function or parser that fails, a kill meanwhile, a constant that can't be stored: no ref and no number."""
    repo.write("f.py", hello(head, members))
    assert repo.flow("f.py", "run").code != 0
    assert refs(repo) == ""
    assert make_run(repo).id == "1"


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
def test_large_parameters_and_constants(repo: GitRepo, isolation: str) -> None:
    """Files and constants of megabytes are in the run before its first step, stored once, and no pack stays kept."""
    members = "text = IncludeFile('text', default='big.txt')\n    table = bytes(range(256)) * 8_000"
    repo.write("f.py", hello(members=members))
    repo.write("big.txt", "line\n" * 400_000)
    for _ in range(2):
        done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": isolation})
        assert done.code == 0, done.err
    task = one_task(latest(repo), PARAMETERS_STEP)
    assert value_of(task, "text") == "line\n" * 400_000
    assert value_of(task, "table") == bytes(range(256)) * 8_000
    assert not list((repo.path / ".git/objects/pack").glob("*.keep"))
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()
    assert value_of(one_task(latest(repo), "end"), "table") == bytes(range(256)) * 8_000


def test_a_run_that_was_killed_at_once_can_be_resumed_and_cloned(repo: GitRepo) -> None:
    """Whoever kills the scheduler in the first step: parameters and code are there."""
    kill = "os.environ.get('KILL') and os.kill(os.getppid(), signal.SIGKILL)\nself.a = self.alpha"
    text = linear_flow(kill)
    repo.write(
        "f.py", text.replace("    @step", "    alpha = Parameter('alpha', default=1)\n    @step", 1)
    )
    repo.flow("f.py", "run", "--alpha", "7", env={"KILL": "1", "GITFLOWRUN_ISOLATION": "fresh"})
    for words in (("resume", "1"), ("run", "--clone", "1")):
        done = repo.flow("f.py", *words)
        assert done.code == 0, done.err
        assert value_of(one_task(latest(repo), "start"), "a") == 7


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["reserve", "write", "transaction", "release"])
@pytest.mark.sample(2)
def test_killed_at_each_step(repo: GitRepo, call: str, when: str) -> None:
    """Before the ref moved there is no run, afterwards there is a whole one; the next run starts in any case."""
    repo.flow("-c", KILLED, str(repo.path), call, when)
    exists = call == "release" or (call, when) == ("transaction", "after")
    assert (refs(repo) != "") == exists
    if exists:
        run = store_of(repo).get("MyFlow", "1")
        assert run.status.value == "interrupted"
        uid = run.identity.uid
        assert repo.git("rev-parse", f"runs/MyFlow/mine/1-{uid.short}") == str(uid)
        assert repo.git("ls-tree", "--name-only", "runs/MyFlow/1").split() == ["INFO", "code"]
    fresh = make_run(repo)
    assert int(fresh.id) in ({2} if exists else {1, 2})
    open_repo(repo).packs.sweep(grace=0)
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()
