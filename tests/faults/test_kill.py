"""Kills, crashes and interrupts of every process of a run: nothing finished is lost, nothing lives on."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.runs import Status
from tests.helpers.flows import (
    Background,
    at_most,
    background,
    eventually,
    family,
    foreach_flow,
    latest,
    linear_flow,
    one_task,
)
from tests.helpers.repos import GitRepo


def executed(log: Path) -> Counter[str]:
    """How often each piece of work was done, as it wrote itself."""
    return Counter(log.read_text().split()) if log.exists() else Counter()


def finished(repo: GitRepo) -> set[str]:
    """The items whose task the newest run has as finished."""
    run = latest(repo)
    if "work" not in run.steps():
        return set()
    records = run.records("work")
    return {record.frames[0].value for record in records if record.ok}


def nobody_is_left(marker: Path, seconds: float = 2) -> None:
    """Fail unless all processes that know `marker` are gone soon."""
    assert eventually(lambda: not family(str(marker)), at_most(seconds)), family(str(marker))


@pytest.fixture
def marker(repo: GitRepo) -> Path:
    """A file outside of the repository in which work notes itself, named in its environment."""
    return repo.path.parent / f"work-{os.getpid()}-{time.monotonic_ns()}"


WORK = """
time.sleep(random.uniform(0, 0.02))
with open(os.environ['MARKER'], 'a') as log:
    log.write(f'{self.input} ')
"""


def start(repo: GitRepo, marker: Path, *args: str, **env: str) -> Background:
    """Start the flow `f.py`."""
    return background(repo, "f.py", *args, env={"MARKER": str(marker), **env})


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_a_killed_scheduler_loses_nothing_and_repeats_nothing(
    repo: GitRepo, marker: Path, rounds: int
) -> None:
    """Kills at random moments, each resumed: whatever a run says is finished never runs again."""
    repo.write("f.py", foreach_flow(WORK, head="import random"))
    chance = random.Random(11)
    anew = ("run", "--n", "60", "--max-workers", "4")
    flow = start(repo, marker, *anew)
    known: Counter[str] = Counter()
    while rounds:
        rounds -= kill_after(flow, chance.uniform(0.1, 0.6))
        nobody_is_left(marker)
        run = latest(repo) if repo.git("for-each-ref", "refs/runs") else None
        if run is None or "_parameters" not in run.steps() or run.status is Status.DONE:
            marker.unlink(missing_ok=True)
            known.clear()
            flow = start(repo, marker, *anew)
            continue
        times = executed(marker)
        assert known.keys() <= finished(repo), "a finished task was lost"
        assert not {item for item in known if times[item] > known[item]}, (
            "a finished task ran twice"
        )
        known = Counter({item: times[item] for item in finished(repo)})
        flow = start(repo, marker, "resume", str(run.identity.id), "--max-workers", "4")
    assert flow.wait() == 0, flow.text()
    times = executed(marker)
    assert not {item for item in known if times[item] > known[item]}
    assert latest(repo).status is Status.DONE
    repo.fsck()


def kill_after(flow: Background, seconds: float) -> int:
    """Kill the flow's scheduler after a while from its start; 1 if it was there to be killed."""
    eventually(lambda: "scheduler" in flow.children() or flow.process.poll() is not None)
    moment = time.monotonic() + seconds
    while time.monotonic() < moment and flow.process.poll() is None:
        time.sleep(0.005)
    scheduler = flow.children().get("scheduler")
    if scheduler is None or flow.process.poll() is not None:
        flow.wait()
        return 0
    os.kill(scheduler, signal.SIGKILL)
    flow.wait()
    return 1


def test_a_killed_launcher_process_ends_the_run(repo: GitRepo, marker: Path) -> None:
    """The scheduler commits what is finished, kills what runs, and says interrupted."""
    repo.write("f.py", foreach_flow("if self.input: time.sleep(60)"))
    flow = start(repo, marker, "run")
    flow.wait_for(r"work/2 .*finished")
    os.kill(flow.process.pid, signal.SIGKILL)
    flow.wait()
    nobody_is_left(marker)
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    assert finished(repo) == {"0"}
    assert "error" not in flow.text()
    repo.fsck()


def test_a_killed_zygote_is_replaced_by_fresh_interpreters(repo: GitRepo, marker: Path) -> None:
    """Its tasks run again without using up an attempt; the run ends well."""
    repo.write("f.py", foreach_flow("while not os.path.exists('go'): time.sleep(0.01)"))
    flow = start(repo, marker, "run")
    flow.wait_for(r"work/5 .*starting")
    os.kill(flow.children()["zygote"], signal.SIGKILL)
    flow.wait_for("fresh interpreters")
    repo.write("go", "")
    assert flow.wait() == 0, flow.text()
    run = latest(repo)
    assert [len(record.attempts) for record in run.records("work")] == [1] * 4
    nobody_is_left(marker)


CRIMES = [
    ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV", "segmentation fault"),
    ("os._exit(7)", "exit status 7 before its step had returned", "exit status 7"),
    ("os.closerange(3, 4096)", "the descriptors of its process", "its result is lost"),
    ("sys.exit(3)", "SystemExit: 3", "return from it"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL", "memory"),
    ("os._exit(0)", "exit status 0 before its step had returned", "exit status 0"),
    ("sys.modules.clear(); import typing", "gitflowrun failed: ", "Error"),
    ("raise ValueError('no luck')", "ValueError: no luck", "no luck"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
]
"""What a step does, what its attempt says of it, and what its log does: the first for fresh interpreters too."""


@pytest.mark.parametrize(
    ("kind", "crime", "error", "line"),
    [("fork", *crime) for crime in CRIMES]
    + [("fresh", *crime) for crime in CRIMES[:2]]
    + [pytest.param("fresh", *crime, marks=pytest.mark.slow) for crime in CRIMES[2:]],
)
@pytest.mark.sample(6)
def test_a_task_that_dies_has_failed(
    repo: GitRepo, kind: str, crime: str, error: str, line: str
) -> None:
    """Whatever ends it: a failed attempt, a line in its log, exit code 1."""
    if "modules" in crime and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 goes on without them")
    repo.write("f.py", linear_flow("self.x = 1", crime))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 1, done.out
    assert "Step failure" in done.err
    run = latest(repo)
    assert run.status is Status.FAILED
    task = one_task(run, "end")
    (attempt,) = task.record.attempts
    assert not attempt.ok
    assert error in str(attempt.error)
    assert line in task.output("stderr").decode()


@pytest.mark.parametrize("kind", ["fork", "batch", "fresh"])
@pytest.mark.sample("fork", "batch")
def test_a_run_of_which_a_task_died_is_resumed(repo: GitRepo, kind: str) -> None:
    """What had finished is reused."""
    body = "if not os.path.exists('good'): os.kill(os.getpid(), signal.SIGKILL)"
    repo.write("f.py", linear_flow("self.x = 1", body))
    assert repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind}).code == 1
    repo.write("good", "")
    assert repo.flow("f.py", "resume", env={"GITFLOWRUN_ISOLATION": kind}).code == 0
    assert latest(repo).tasks("start") == ["1"]


def test_a_failure_leaves_the_others_time_to_end(repo: GitRepo, marker: Path) -> None:
    """Tasks that end within the grace are finished; the rest is killed and says so in its log."""
    work = (
        "def wait(name):\n"
        "    while not os.path.exists(name): time.sleep(0.01)\n"
        "if self.input == 0: wait('begun'); open('failing', 'w').close(); raise ValueError('first')\n"
        "if self.input == 1: wait('failing'); time.sleep(1)\n"
        "if self.input == 2:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    print('stubborn', flush=True)\n"
        "    open('begun', 'w').close()\n"
        "    time.sleep(600)"
    )
    repo.write("f.py", foreach_flow(work))
    flow = start(repo, marker, "run", "--n", "3")
    assert flow.wait() == 1
    assert finished(repo) == {"1"}
    run = latest(repo)
    assert run.state.failed_step == "work"
    killed = run.task(TaskName("work", "4"))
    assert killed.output("stdout") == b"stubborn\n"
    assert killed.output("stderr") == b"[KILLED BY ORCHESTRATOR]\n"
    assert "task 2" in flow.text().split("Step failure")[1]
    nobody_is_left(marker)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_is_finished(
    repo: GitRepo, marker: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C and SIGTERM: tasks see KeyboardInterrupt, the run is interrupted and can be resumed."""
    work = (
        "if self.input and not os.path.exists('go'):\n"
        "    try: print('waiting', flush=True); time.sleep(600)\n"
        "    finally: print('cleaned up', flush=True)"
    )
    repo.write("f.py", foreach_flow(work))
    flow = start(repo, marker, "run", "--n", "3")
    flow.wait_for(r"work/2 .*finished")
    flow.wait_for("(?s)waiting.*waiting")
    if number is signal.SIGINT:
        flow.ctrl_c()
    else:
        os.kill(flow.process.pid, number)
    assert flow.wait() == code
    assert "Traceback" not in flow.text().split("Workflow interrupted")[1]
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    assert finished(repo) == {"0"}
    assert b"cleaned up" in run.task(TaskName("work", "3")).output("stdout")
    nobody_is_left(marker)
    repo.write("go", "")
    assert repo.flow("f.py", "resume").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.sample(1)
def test_a_signal_to_all_processes_of_a_run_ends_it_once(
    repo: GitRepo, marker: Path, number: signal.Signals, code: int
) -> None:
    """As of `timeout` or a terminal that closes: no task is started again, and what they wrote is kept."""
    repo.write("f.py", foreach_flow("print('begun', flush=True); time.sleep(600)"))
    flow = start(repo, marker, "run", "--n", "2")
    flow.wait_for("(?s)begun.*begun")
    os.kill(flow.children()["zygote"], number)  # whichever of them gets it first
    time.sleep(0.2)
    os.killpg(flow.process.pid, number)
    assert flow.wait() == code
    assert "zygote" not in flow.text()
    assert flow.text().count("] begun\n") == 2
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    assert {run.task(TaskName("work", task)).output("stdout") for task in "23"} == {b"begun\n"}
    nobody_is_left(marker)


def test_tasks_have_the_signal_handlers_of_their_module(repo: GitRepo) -> None:
    """Whatever the process that they are forked from does with these signals."""
    own = "def own(*_): print('own handler')\nsignal.signal(signal.SIGTERM, own)\n"
    look = (
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "os.kill(os.getpid(), signal.SIGTERM)"
    )
    repo.write("f.py", linear_flow(look).replace("class ", f"{own}class ", 1))
    for kind in ("fork", "batch", "fresh"):
        done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
        assert done.code == 0, done.err
        assert one_task(latest(repo), "start").output("stdout") == b"own handler\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.sample(1)
def test_a_signal_ends_an_inline_step(
    repo: GitRepo, marker: Path, number: signal.Signals, code: int
) -> None:
    """It sees KeyboardInterrupt, as with Ctrl-C: no process works on for a run that is over."""
    work = "try: print('begun', flush=True); time.sleep(600)\nfinally: print('cleaned up')"
    repo.write("f.py", linear_flow(work))
    flow = start(repo, marker, "run", GITFLOWRUN_ISOLATION="inline")
    flow.wait_for("begun")
    os.kill(flow.process.pid, number)
    assert flow.wait() == code
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    assert one_task(run, "start").output("stdout") == b"begun\ncleaned up\n"
    nobody_is_left(marker)


def test_the_second_ctrl_c_does_not_wait(repo: GitRepo, marker: Path) -> None:
    """A task that will not end is killed at once when asked twice."""
    repo.write(
        "f.py",
        linear_flow("signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(60)"),
    )
    flow = start(repo, marker, "run")
    flow.wait_for("deaf")
    flow.ctrl_c()
    time.sleep(0.3)
    assert flow.process.poll() is None
    flow.ctrl_c()
    assert flow.wait() == 130
    assert "[KILLED BY ORCHESTRATOR]" not in flow.text()  # as after the grace
    nobody_is_left(marker)


def test_what_a_task_leaves_behind_is_killed_and_hangs_nothing(repo: GitRepo, marker: Path) -> None:
    """A grandchild that holds the pipes neither delays the task's end nor outlives it."""
    left = "import subprocess\nsubprocess.Popen(['sleep', '600'])\nprint('left one')"
    repo.write("f.py", linear_flow(left))
    flow = start(repo, marker, "run")
    assert flow.wait(300) == 0
    nobody_is_left(marker)


@pytest.mark.parametrize("kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)])
def test_whole_families_die_with_the_scheduler(repo: GitRepo, marker: Path, kind: str) -> None:
    """A kill -9 of the scheduler: tasks and their children are gone two seconds later."""
    work = "import subprocess\nsubprocess.Popen(['sleep', '60'])\nprint('ready', flush=True)\ntime.sleep(60)"
    repo.write("f.py", foreach_flow(work))
    flow = start(repo, marker, "run", "--n", "2", GITFLOWRUN_ISOLATION=kind)
    flow.wait_for(r"(?s)ready.*ready")
    os.kill(flow.children()["scheduler"], signal.SIGKILL)
    assert flow.wait() == 1
    assert "scheduler was killed" in flow.text()
    nobody_is_left(marker)
    assert latest(repo).status is Status.INTERRUPTED


def test_a_full_disk_in_a_task_fails_the_task(repo: GitRepo) -> None:
    """A payload that can't be written: the step fails with a sentence and a hint, the rest is recorded."""
    repo.write("f.py", linear_flow("self.x = 1", "self.y = os.urandom(1 << 20)"))
    limited = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))\n"
        "sys.argv = ['f.py', 'run']\n"
        "runpy.run_path('f.py', run_name='__main__')"
    )
    done = repo.python("-c", limited)
    assert done.code == 1
    assert "hint: the file size limit" in done.out
    assert "Traceback" not in done.out
    run = latest(repo)
    assert run.status is Status.FAILED
    assert one_task(run, "start").record.ok
    repo.fsck()


def test_a_full_disk_in_the_scheduler_ends_the_run_and_breaks_nothing(
    repo: GitRepo, marker: Path
) -> None:
    """What can't be recorded is not run: a clear error, what was published stays, nobody lives on."""
    repo.write("f.py", foreach_flow("while not os.path.exists('go'): time.sleep(0.01)"))
    flow = start(repo, marker, "run")
    flow.wait_for(r"work/5 .*starting")
    resource.prlimit(flow.children()["scheduler"], resource.RLIMIT_FSIZE, (1, 1))
    repo.write("go", "")
    assert flow.wait() == 1
    assert "Traceback" not in flow.text()
    assert "hint: the file size limit" in flow.text()
    nobody_is_left(marker)
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    assert one_task(run, "start").record.ok
    repo.fsck()
    assert repo.flow("f.py", "resume").code == 0


def test_deleting_our_state_during_a_run_loses_nothing(repo: GitRepo, marker: Path) -> None:
    """`.git/gitflowrun` may go at any time: the run ends well, and a later kill is still told as one."""
    repo.write("f.py", foreach_flow("while not os.path.exists('go'): time.sleep(0.01)"))
    flow = start(repo, marker, "run")
    flow.wait_for(r"work/5 .*starting")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    repo.write("go", "")
    assert flow.wait() == 0, flow.text()
    assert latest(repo).status is Status.DONE
    repo.fsck()

    (repo.path / "go").unlink()
    repo.write("f.py", foreach_flow("if self.input: time.sleep(60)"))
    flow = start(repo, marker, "run")
    flow.wait_for(r"work/10 .*starting|work/5 .*starting")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    flow.wait_for(r"work/2 .*finished")
    os.kill(flow.children()["scheduler"], signal.SIGKILL)
    flow.wait()
    assert latest(repo).status is Status.INTERRUPTED
    nobody_is_left(marker)
