"""`runs.onFinish`: the user's command is started when a run has ended, and can do the run no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.flows import background, eventually, linear_flow
from tests.helpers.repos import GitRepo
from tests.helpers.warm_programs import write_program

SAYS = 'echo "$GITFLOWRUN_FLOW $GITFLOWRUN_RUN $GITFLOWRUN_STATUS $PWD" > {0}.new; mv {0}.new {0}'


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What the command writes."""
    return tmp_path / "said"


def test_says_which_run_and_how_it_ended(repo: GitRepo, said: Path) -> None:
    """At the top of the work tree; of a run that is done, and of one that failed and is resumed."""
    repo.write("sub/f.py", linear_flow("assert not os.path.exists('bad')"))
    env = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "runs.onFinish",
        "GIT_CONFIG_VALUE_0": SAYS.format(f"'{said}'"),
    }
    for number, (words, status) in enumerate(
        [("run", "done"), ("run", "failed"), ("resume", "done")], 1
    ):
        bad = repo.path / "bad"
        bad.touch() if status == "failed" else bad.unlink(missing_ok=True)
        done = repo.flow("sub/f.py", words, env=env)
        assert done.code == (status == "failed"), done.err
        assert "warning" not in done.err
        assert eventually(said.exists)
        assert said.read_text() == f"F F/{number} {status} {repo.path}\n"
        said.unlink()


def test_an_interrupted_run(repo: GitRepo, said: Path) -> None:
    """Ctrl-C ends the run, and not the command."""
    repo.write("f.py", linear_flow("print('ready', flush=True)\ntime.sleep(60)"))
    env = {"GITFLOWRUN_ONFINISH": f"sleep 0.3; {SAYS.format(said)}"}
    run = background(repo, "f.py", "run", env=env)
    run.wait_for("ready")
    run.ctrl_c()
    assert run.wait() == 130
    assert eventually(said.exists)
    assert "F/1 interrupted" in said.read_text()


@pytest.mark.parametrize(
    "command", ["exit 3", "kill -9 $$", "no-such-program", "if", "echo noise; echo noise >&2"]
)
def test_a_command_that_fails_is_nothing_to_the_run(repo: GitRepo, command: str) -> None:
    """The run's exit code and output are what they were."""
    repo.write("f.py", linear_flow())
    done = repo.flow("f.py", "--quiet", "run", env={"GITFLOWRUN_ONFINISH": command})
    assert (done.code, done.err) == (0, "")
    assert "noise" not in done.out
    assert done.out.endswith("Done!\n")


def test_a_command_that_hangs_is_not_waited_for(repo: GitRepo, tmp_path: Path) -> None:
    """Neither by the run, nor by who reads its output to the end; what it holds is not the run's lock."""
    repo.write("f.py", linear_flow())
    pid, go = tmp_path / "pid", tmp_path / "go"
    command = f"echo $$ > '{pid}'; until test -e '{go}'; do sleep 0.05; done"
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ONFINISH": command})
    assert done.code == 0
    assert eventually(lambda: pid.exists() and pid.read_text().strip())
    os.kill(int(pid.read_text()), 0)
    assert repo.call("show", "1").code == 0
    assert repo.flow("f.py", "resume", "--origin-run-id", "1").code == 0
    go.touch()
    assert eventually(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())


def test_a_repository_can_not_name_one(repo: GitRepo, tmp_path: Path) -> None:
    """What lies in the repository starts nothing, and the run says so."""
    repo.write("f.py", linear_flow())
    canary = tmp_path / "canary"
    repo.git("config", "runs.onFinish", f"touch '{canary}'")
    (tmp_path / "included").write_text(f"[runs]\n\tonFinish = \"touch '{canary}'\"\n")
    repo.git("config", "include.path", str(tmp_path / "included"))
    done = repo.flow("f.py", "--quiet", "run")
    assert done.code == 0
    assert "runs.onFinish is not followed, as the repository's own config has it" in done.err
    assert not canary.exists()
    own = tmp_path / "own"
    again = repo.flow("f.py", "--quiet", "run", env={"GITFLOWRUN_ONFINISH": f"touch '{own}'"})
    assert again.err == ""
    assert eventually(own.exists)
    assert not canary.exists()


def test_it_does_not_start_itself(repo: GitRepo, tmp_path: Path, said: Path) -> None:
    """A run that the command starts is the last one."""
    repo.write("f.py", linear_flow())
    command = f"'{write_program(tmp_path / 'python')}' f.py run; {SAYS.format(said)}"
    assert repo.flow("f.py", "run", env={"GITFLOWRUN_ONFINISH": command}).code == 0
    assert eventually(said.exists)
    assert len(repo.git("for-each-ref", "refs/runs/F").split("\n")) == 2
