"""The end of a run whose scheduler has given no exit code: what git has of the run counts."""

from __future__ import annotations

import os
import re
import signal

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.flows import background, foreach_flow, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo

ENDED = {"GITFLOWRUN_FAILPOINTS": "run.ended=kill"}
TOLD = "The scheduler was killed when run F/1 had ended and all of it was recorded.\n"


@pytest.mark.parametrize("kind", ["fork", "batch", "inline"])
def test_a_scheduler_killed_after_a_done_run(repo: GitRepo, kind: str) -> None:
    """The run is done and recorded: the program says so, and that its scheduler was killed late, and ends with 0."""
    repo.write("f.py", linear_flow("self.x = 7"))
    done = repo.flow("f.py", "--quiet", "run", env={**ENDED, "GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.err
    assert done.err == TOLD
    assert done.out.endswith(" Done!\n")
    run = latest(repo)
    assert run.status is Status.DONE
    assert value_of(one_task(run, "end"), "x") == 7


def test_a_scheduler_killed_after_a_failed_run(repo: GitRepo) -> None:
    """The program says what failed and what goes on from there, as without the kill."""
    repo.write("f.py", linear_flow("raise ValueError('no luck')"))
    undisturbed = repo.flow("f.py", "--quiet", "run")
    done = repo.flow("f.py", "--quiet", "run", env=ENDED)
    assert done.code == undisturbed.code == 1
    first, _, rest = re.sub(r"(F/|resume |show )2\b", r"\g<1>1", done.err).partition("\n")
    assert first + "\n" == TOLD
    assert rest == undisturbed.err
    assert "step 'start' (task 1) failed: ValueError: no luck" in rest
    assert "Workflow failed." in done.out


def test_of_several_tasks_that_failed_the_first_one_is_named(repo: GitRepo) -> None:
    """That is the one which has ended the run."""
    work = "if not self.input: time.sleep(0.5)\nraise ValueError(f'no {self.input}')"
    repo.write("f.py", foreach_flow(work))
    done = repo.flow("f.py", "--quiet", "run", "--n", "2", env=ENDED)
    assert "step 'work' (task 3) failed: ValueError: no 1" in done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.sample(1)
def test_a_scheduler_killed_after_an_interrupted_run(
    repo: GitRepo, number: signal.Signals, code: int
) -> None:
    """The exit code is that of the signal."""
    repo.write("f.py", linear_flow("print('ready')\ntime.sleep(60)"))
    flow = background(repo, "f.py", "run", env=ENDED)
    flow.wait_for("ready")
    os.kill(flow.process.pid, number)
    assert flow.wait() == code
    assert TOLD in flow.text()
    assert "Interrupted: the run was interrupted" in flow.text()


@pytest.mark.parametrize("command", ["run", "resume"])
@pytest.mark.sample(1)
def test_a_scheduler_killed_before_there_is_a_run(repo: GitRepo, command: str) -> None:
    """Nothing is there to go on from, and no hint says that there were."""
    repo.write("f.py", linear_flow("assert os.environ.get('GO')"))
    if command == "resume":
        assert repo.flow("f.py", "run").code == 1
    for point in ("ids.chosen", "create.prepared", "snapshot.made"):
        done = repo.flow("f.py", "--quiet", command, env={"GITFLOWRUN_FAILPOINTS": f"{point}=kill"})
        assert done.code == 1
        assert done.err == (
            "Step failure: the scheduler was killed before the run had begun\n"
            "hint: start it again: nothing is recorded\n"
        )
    assert repo.flow("f.py", command, env={"GO": "1"}).code == 0


def test_the_hint_names_the_run_of_a_killed_scheduler(repo: GitRepo) -> None:
    """It does so where the run was there before its number was said, and another run may have begun since."""
    repo.write("f.py", linear_flow("self.x = 1"))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_FAILPOINTS": "ref.moved=kill"})
    assert done.code == 1
    assert "Run ID" not in done.out
    assert repo.flow("f.py", "run").code == 0
    found = re.search(r"hint: `\S+ f.py (resume 1)` goes on with what is finished", done.err)
    assert found, done.err
    assert repo.flow("f.py", *found[1].split()).code == 0
    assert latest(repo).info.origin is not None


def test_a_spun_task_whose_scheduler_was_killed(repo: GitRepo) -> None:
    """It is spun again, by the command that was typed or by its address, and never resumed."""
    repo.write("f.py", linear_flow("self.x = 1", "assert os.environ.get('GO')"))
    assert repo.flow("f.py", "run").code == 1
    words = ("spin", "1/end", "--persist")
    done = repo.flow("f.py", *words, env={"GITFLOWRUN_FAILPOINTS": "ref.moved=kill"})
    assert done.code == 1
    assert re.search(r"hint: `\S+ f.py spin 1/end --persist` tries it again\n", done.err), done.err
    done = repo.flow("f.py", *words, env=ENDED)
    assert done.code == 1
    assert "Workflow" not in done.out
    found = re.search(r"hint: `\S+ f.py (spin F/1/end/2)` tries it again", done.err)
    assert found, done.err
    assert re.search(rf"Try again with: +\S+ f.py {found[1]}\n", repo.call("show", "spin-2").out)
    done = repo.flow("f.py", *found[1].split(), env={**ENDED, "GO": "1"})
    assert done.code == 0
    assert done.out.endswith(" Task finished successfully.\n")
    assert "again" not in repo.call("show", "spin-3").out


def test_an_error_after_the_end_costs_a_word(repo: GitRepo) -> None:
    """What fails when the run is done and recorded is told, and the run is done all the same."""
    repo.write("f.py", linear_flow("self.x = 1"))
    done = repo.flow("f.py", "--quiet", "run", env={"GITFLOWRUN_FAILPOINTS": "run.ended=EIO"})
    assert done.code == 0
    assert os.strerror(5) in done.err
    assert done.err.endswith("All of run F/1 is recorded all the same.\n")
    assert done.out.endswith(" Done!\n")


def test_a_run_that_may_not_outlast_a_power_cut_is_not_done(repo: GitRepo) -> None:
    """A scheduler that was killed before the last ref was on the disk, and a disk that has failed: no exit code 0."""
    head = (
        "import gitflowrun.git.pack.writer as writer\n"
        "if 'scheduler_main.py' not in sys.argv[0]:\n"
        "    def broken(path): raise OSError(5, os.strerror(5), str(path))\n"
        "    writer.sync_directory = broken\n"
    )
    repo.write("f.py", linear_flow("self.x = 1", head=head))
    done = repo.flow("f.py", "--quiet", "run", env=ENDED)
    assert done.code == 1
    assert f"can't write refs/runs/F/1 in {repo.path}/.git: " in done.err
    assert os.strerror(5) in done.err
    assert "Done!" not in done.out
