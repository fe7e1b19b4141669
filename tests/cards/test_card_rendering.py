"""Cards from their task to the run's tree, whatever their types do."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.helpers.flows import background, eventually
from tests.helpers.repos import GitRepo, Output, make_repo

PIN = "quite secret"
FLOW = """
import os, signal, sys, time
from gitflowrun import FlowSpec, Parameter, card, current, retry, step
from gitflowrun.cards import MetaflowCard
from gitflowrun.cards.card_types import register_card_type

def hang():
    open("hanging", "w").close()
    time.sleep(60)

def leave():
    if not os.fork():
        os.setsid()
        with open("left", "a") as out:
            print(os.getpid(), file=out)
        time.sleep(60)
        os._exit(0)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

DEEDS = {
    "leave": leave,
    "nothing": lambda: None,
    "hang": hang,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: os._exit(3),
    "raise": lambda: 1 / 0,
    "read": lambda: dict(os.environ),
    "tell": lambda: sys.exit(os.environ["METAFLOW_RUN_PIN"]),
}

class Own(MetaflowCard):
    type = "own"
    def __init__(self, options=None, **_):
        self.deed = options["do"]
    def render(self, task):
        print("printed by a card")
        print("printed by a card", file=sys.stderr)
        done = DEEDS[self.deed]()
        return f"<p>{task.pathspec} x={task.data.x} {os.getpid()} {done}"

register_card_type(Own)

class F(FlowSpec):
    fails = Parameter("fails", default=False)
    pin = Parameter("pin", default="none", secret=True)
%s
    @retry(times=1)
    @step
    def start(self):
        self.x = 1
        print("attempt", current.retry_count)
        if self.fails and current.retry_count == 0:
            raise ValueError
        self.next(self.end)
    @step
    def end(self):
        if self.fails:
            raise ValueError
if __name__ == "__main__":
    F()
"""


def flow(*cards: str) -> str:
    """A flow whose first step has these cards."""
    return FLOW % "\n".join(f"    @card({it})" for it in cards)


def own(deed: str, name: str, more: str = "") -> str:
    """What a card of the flow's own type is given."""
    return f"type='own', id='{name}', options={{'do': '{deed}'}}{more}"


def names(repo: GitRepo, run: int = 1) -> list[str]:
    """The paths of a run's cards."""
    return repo.git("ls-tree", "-r", "--name-only", f"runs/F/{run}", "cards").split()


def page(repo: GitRepo, name: str, run: int = 1) -> str:
    """A card, as stock git writes it."""
    return repo.git("show", f"runs/F/{run}:cards/{name}")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[GitRepo, Output]:
    """A run with cards that do what cards must not, in the order of their numbers from below."""
    made = make_repo(tmp_path_factory.mktemp("bad") / "repo")
    made.write("f.py", flow(
        own("tell", "told"), own("read", "it"),
        own("raise", "silent", ", save_errors=False"), own("exit", "left"), own("crash", "broken"),
        own("hang", "slow", ", timeout=1"), own("nothing", "good"), "type='nosuch'", "",
    ))  # fmt: skip
    return made, made.flow("f.py", "run", env={"METAFLOW_RUN_PIN": PIN})


def test_a_bad_card_costs_itself_alone(bad: tuple[GitRepo, Output]) -> None:
    """The run succeeds, the others are there, and each that is not says why, as a card and in the log."""
    repo, done = bad
    assert (done.code, "Done!" in done.out) == (0, True), done
    assert [it.removeprefix("cards/start/1/") for it in names(repo) if it.endswith(".html")] == [
        "0-default.html", "1-nosuch.html", "2-own-good.html", "3-own-slow.html", "4-own-broken.html",
        "5-own-left.html", "7-own-it.html", "8-own-told.html",
    ]  # fmt: skip
    assert page(repo, "start/1/2-own-good.html").startswith("<p>F/1/start/1 x=1 ")
    assert "rendering took longer than 1 s" in page(repo, "start/1/3-own-slow.html")
    assert "Segmentation fault" in page(repo, "start/1/4-own-broken.html")
    assert "exit status 3" in page(repo, "start/1/5-own-left.html")
    assert "nosuch" in page(repo, "start/1/1-nosuch.html")
    told = [line for line in done.err.splitlines() if line.startswith("Task start/1: ")]
    assert len(told) == 6, done.err
    assert any("ZeroDivisionError" in line for line in told)
    assert "Traceback" not in done.err + done.out


def test_what_cards_find_of_secrets_is_hidden(bad: tuple[GitRepo, Output]) -> None:
    """In what a type of the flow returns, and in what it raises."""
    repo, done = bad
    assert "'METAFLOW_RUN_PIN': '***'" in page(repo, "start/1/7-own-it.html")
    assert "SystemExit: ***" in page(repo, "start/1/8-own-told.html")
    assert "SystemExit: ***" in done.err


def test_what_cards_print_is_nobodys(bad: tuple[GitRepo, Output]) -> None:
    """Neither in the log nor in the task's output."""
    repo, done = bad
    assert "printed by" not in done.out + done.err + repo.call("logs", "1").out
    assert repo.call("fsck").code == 0
    assert not [*repo.path.glob(".git/gitflowrun/live/*")]


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
def test_each_way_of_execution_has_cards(repo: GitRepo, isolation: str) -> None:
    """Of the attempt that counts; of a run that fails, those of the tasks that have not."""
    repo.write("f.py", flow(own("nothing", "a"), ""))
    done = repo.flow("f.py", "run", "--fails", "True", env={"GITFLOWRUN_ISOLATION": isolation})
    assert done.code == 1, done
    assert names(repo) == [
        "cards/start/1/0-default.html", "cards/start/1/0-default.json", "cards/start/1/1-own-a.html",
    ]  # fmt: skip
    assert "x=1" in page(repo, "start/1/1-own-a.html")
    assert repo.flow("f.py", "resume").code == 1
    assert names(repo, 2) == names(repo)
    assert page(repo, "start/1/1-own-a.html", 2) == page(repo, "start/1/1-own-a.html")


def test_an_interrupted_run_waits_for_no_card_for_long(repo: GitRepo) -> None:
    """What is rendered is kept, and nobody is left."""
    repo.write("f.py", flow(own("hang", "slow"), ""))
    run = background(repo, "f.py", "run")
    assert eventually((repo.path / "hanging").exists)
    begun = time.monotonic()
    run.ctrl_c()
    assert run.wait() == 128 + signal.SIGINT
    assert time.monotonic() - begun < 30
    assert "interrupted" in repo.call("show", "1").out
    assert not _renderers(repo)


def test_a_renderer_that_is_killed_is_replaced(repo: GitRepo) -> None:
    """And what it had not rendered is rendered by the next one."""
    repo.write("f.py", flow(own("hang", "slow", ", timeout=4"), own("nothing", "good")))
    run = background(repo, "f.py", "run")
    assert eventually((repo.path / "hanging").exists)
    (renderer,) = [pid for pid in _renderers(repo) if _parent(pid) not in _renderers(repo)]
    os.kill(renderer, signal.SIGKILL)
    assert run.wait() == 0
    assert names(repo) == ["cards/start/1/0-own-good.html", "cards/start/1/1-own-slow.html"]
    assert "longer than 4 s" in page(repo, "start/1/1-own-slow.html")
    assert "their cards are being rendered" in run.text()
    assert not _renderers(repo)


def test_what_cards_leave_behind_keeps_no_run(repo: GitRepo) -> None:
    """The end of a renderer is seen, whatever processes its cards have made that live on."""
    repo.write("f.py", flow(own("leave", "daemon")))
    done = repo.flow("f.py", "run")
    left = [int(it) for it in (repo.path / "left").read_text().split()]
    for pid in left:
        os.kill(pid, signal.SIGKILL)  # it is there: the run has not waited for it
    assert left
    assert done.code == 0
    assert "the process that renders them was killed" in done.err


def _renderers(repo: GitRepo) -> list[int]:
    """The processes that render cards for a repository."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes()
            here = str((path / "cwd").readlink())
        except OSError:
            continue
        if b"GITFLOWRUN_CARDS_FD=" in variables and here == str(repo.path):
            found.append(int(path.name))
    return found


def _parent(pid: int) -> int:
    found = re.search(r"PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])
