"""`git runs rerun` and `resume`: a run's flow is started again, from anywhere, by today's code or its own."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from gitflowrun.porcelain.rerun import program_of
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.clones import clone, get, send
from tests.helpers.flows import background, eventually, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import make_run, store_of

START = "self.said = WORD; self.x = (self.lr, os.path.exists('data'))"


def flow(word: str = "then", start: str = START) -> str:
    """A flow with a parameter that says which code it was."""
    text = linear_flow(start, head=f"WORD = {word!r}\n")
    return text.replace("(FlowSpec):\n", "(FlowSpec):\n    lr = Parameter('lr', default=0.5)\n", 1)


def _has_ended(repo: GitRepo, run: str) -> bool:
    return store_of(repo).get("F", run).state.status.is_final


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of uncommitted code, which has changed since."""
    repo = make_repo(tmp_path_factory.mktemp("rerun") / "made")
    repo.write("sub/flow.py", flow())
    repo.commit()
    repo.write("sub/flow.py", flow() + "# dirty\n")
    repo.write("sub/other.txt", "new\n")
    done = GitRepo(repo.path / "sub").flow("flow.py", "run", "--lr", "0.25")
    assert done.code == 0, done.err
    repo.write("sub/flow.py", flow("now"))
    return repo


@pytest.fixture
def ran(made_run: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it for each test."""
    return copy_repo(made_run, tmp_path / "a repo")


def made(repo: GitRepo) -> tuple[object, object]:
    """What the newest run said, and what it was given."""
    task = one_task(latest(repo, "F"), "start")
    return value_of(task, "said"), value_of(task, "x")


def test_todays_code_with_the_parameters_of_then(ran: GitRepo) -> None:
    """By default; from any directory; the run prints what runs print, and knows where it came from."""
    done = GitRepo(ran.path / "sub").runs("rerun", "1")
    assert done.code == 0, done.err
    assert "Run ID: 2" in done.out
    assert "Done!" in done.out
    assert made(ran) == ("now", (0.25, False))
    assert re.search("by today's code, [0-9a-f]{7}; F/1 ran [0-9a-f]{7} with uncommitted", done.err)
    origin = latest(ran, "F").info.origin
    assert origin is not None
    assert (origin.kind, origin.run.pathspec) == ("rerun", "F/1")
    assert json.loads(ran.call("show", "--json", "2").out)["origin"] == "rerun F/1"


def test_options_of_the_flow_follow_the_run(ran: GitRepo) -> None:
    """They win over the run's own; a wrong one is the flow's error, with its exit code."""
    done = ran.runs("rerun", "1", "--lr", "7", "--tag", "again")
    assert done.code == 0, done.err
    assert made(ran) == ("now", (7.0, False))
    assert "again" in ran.call("tag", "2").out
    wrong = ran.runs("rerun", "1", "--lr", "much")
    assert wrong.code == 2
    assert "much" in wrong.err
    assert len(store_of(ran).names()) == 2


def test_options_with_values_come_first(ran: GitRepo) -> None:
    """Behind RUN they would be the flow's: the error says where they belong."""
    done = ran.call("resume", "1", "--step", "end")
    assert done.code == 129
    assert "and --step is none of them" in done.err
    assert "git runs resume --step F/1" in done.err
    assert len(store_of(ran).names()) == 1


def test_the_same_code(ran: GitRepo) -> None:
    """Its code, uncommitted changes included, becomes the new run's, in this repository; nothing stays behind."""
    (ran.path / "sub" / "data").write_text("")
    before = ran.git("status", "--porcelain")
    done = ran.runs("rerun", "1", "--same-code")  # behind RUN, where the flow has no such option
    assert done.code == 0, done.err
    assert "by today's code" not in done.err
    first, second = store_of(ran).get("F", "1"), latest(ran, "F")
    assert second.code_tree == first.code_tree
    assert made(ran) == ("then", (0.25, False))
    assert second.info.git["commit"] == first.info.git["commit"]
    assert second.info.git["dirty_count"] == 2
    assert ran.git("status", "--porcelain") == before
    assert len(ran.git("worktree", "list").split("\n")) == 1
    assert list((ran.path / ".git" / "gitflowrun" / "rerun").iterdir()) == []
    ran.fsck()


def test_the_same_code_where_attributes_change_files(repo: GitRepo) -> None:
    """Line ends and encodings are those of the work tree, as git checks them out; the code is the same tree."""
    repo.write(".gitattributes", "*.txt text eol=crlf\nwide working-tree-encoding=UTF-16\n")
    repo.write("a.txt", "a\r\nb\r\n")
    repo.write("wide", "ä".encode("utf-16"))
    body = "self.x = [open(name, 'rb').read() for name in ('a.txt', 'wide')]"
    repo.write("flow.py", flow(start=body))
    repo.commit()
    assert repo.flow("flow.py", "run").code == 0
    old = value_of(one_task(latest(repo, "F"), "start"), "x")
    repo.write("a.txt", "c\r\n")
    assert repo.runs("rerun", "--same-code", "1").code == 0
    new = value_of(one_task(latest(repo, "F"), "start"), "x")
    assert isinstance(new, list)
    assert new[0] == b"a\r\nb\r\n"
    assert isinstance(old, list)
    assert [it[-2:] for it in new] == [it[-2:] for it in old]
    assert latest(repo, "F").code_tree == store_of(repo).get("F", "1").code_tree


def test_the_same_code_before_the_first_commit(tmp_path: Path) -> None:
    """A run without a commit is run again without one."""
    repo = make_repo(tmp_path / "r", files={"README": ""})
    repo.git("checkout", "-q", "--orphan", "other")
    repo.git("rm", "-q", "-r", "--cached", ".")
    repo.write("flow.py", flow())
    assert repo.flow("flow.py", "run").code == 0
    assert store_of(repo).get("F", "1").info.git["commit"] is None
    done = repo.runs("rerun", "--same-code", "1")
    assert done.code == 0, done.err
    assert latest(repo, "F").info.git["commit"] is None
    assert latest(repo, "F").code_tree == store_of(repo).get("F", "1").code_tree


def test_its_json(ran: GitRepo) -> None:
    """One document on standard output; what the run prints goes to standard error. A run that fails says so."""
    done = ran.runs("rerun", "--json", "1")
    assert "Done!" in done.err
    uid = str(latest(ran, "F").identity.uid)
    assert json.loads(done.out) == {
        "run": "F/2", "uid": uid, "status": "done", "origin": "F/1", "exit_code": 0,
    }  # fmt: skip
    ran.write("sub/flow.py", flow(start="raise ValueError('no')"))
    failed = ran.runs("rerun", "--json", "1")
    assert failed.code == 1
    assert json.loads(failed.out)["status"] == "failed"
    refused = ran.runs("rerun", "--json", "1", "--lr", "x")
    assert json.loads(refused.out) == {
        "run": None, "uid": None, "status": None, "origin": "F/1", "exit_code": 2,
    }  # fmt: skip


def test_resumes_from_anywhere(ran: GitRepo) -> None:
    """What had finished is reused; with --step, that step and what follows runs again."""
    done = GitRepo(ran.path / "sub").runs("resume", "--step", "end", "1")
    assert done.code == 0, done.err
    assert made(ran) == ("then", (0.25, False))
    run = latest(ran, "F")
    assert run.info.origin is not None
    assert run.info.origin.kind == "resume"
    assert json.loads(ran.runs("resume", "--json", "1", "--tag", "x").out)["run"] == "F/3"


def test_a_flow_that_is_gone(ran: GitRepo) -> None:
    """The error says what still can be done, and that works."""
    (ran.path / "sub" / "flow.py").unlink()
    for verb in ("rerun", "resume"):
        done = ran.call(verb, "1")
        assert done.code == 128
        assert "'sub/flow.py', which F/1 ran, is not there any more" in done.err
        assert "git runs rerun --same-code F/1" in done.err
    assert ran.runs("rerun", "--same-code", "F/1").code == 0


def test_without_a_file_or_a_work_tree(repo: GitRepo, runs: Runs) -> None:
    """Code that the snapshot lacks, a run without a flow's file, a bare repository: one line each."""
    run = make_run(repo)
    assert "'flow.py', which MyFlow/1 ran, is not there any more" in runs("rerun", "1").err
    own = runs("rerun", "--same-code", run.pathspec)
    assert own.code == 128
    assert "the code of MyFlow/1 has no file 'flow.py'" in own.err
    bare = GitRepo(repo.path / ".git").runs("resume", "1")
    assert bare.code == 129
    assert "there is no work tree here" in bare.err


def test_secrets_are_given_again(repo: GitRepo) -> None:
    """What was recorded as stars is asked for; the error names the variable that gives it."""
    secret = "Parameter('key', secret=True, required=True)"
    repo.write(
        "flow.py",
        flow().replace("lr = Parameter('lr', default=0.5)", f"lr = 1\n    key = {secret}"),
    )
    given = {"METAFLOW_RUN_KEY": "correct horse"}
    assert repo.flow("flow.py", "run", env=given).code == 0
    done = repo.runs("rerun", "1")
    assert done.code != 0
    assert "set GITFLOWRUN_RUN_KEY, or add --key VALUE" in done.err
    assert len(store_of(repo).names()) == 1
    again = repo.runs("rerun", "1", env=given)
    assert again.code == 0, again.err
    assert latest(repo, "F").info.parameters["key"] == "***"


def test_ctrl_c_interrupts_the_run(repo: GitRepo) -> None:
    """A terminal sends it to all processes: the run ends as interrupted, and its code is taken away."""
    wait = "print('ready', flush=True)\ntime.sleep(0 if 'FAST' in os.environ else 60)"
    repo.write("flow.py", flow(start=wait))
    assert repo.flow("flow.py", "run", env={"FAST": "1"}).code == 0
    words = ("-m", "gitflowrun.cli.git_runs.main", "rerun", "--same-code", "1")
    running = background(repo, *words)
    running.wait_for("ready")
    running.ctrl_c()
    assert running.wait() == 130
    assert latest(repo, "F").state.status.value == "interrupted"
    assert list((repo.path / ".git" / "gitflowrun" / "rerun").iterdir()) == []


def test_nothing_of_a_stranger_is_started(tmp_path: Path) -> None:
    """Neither their code nor the file that their run names, until somebody trusts it."""
    hub = make_repo(tmp_path / "hub")
    ada, bob = clone(hub, "ada"), clone(hub, "bob")
    marker = tmp_path / "marker"
    ada.write("flow.py", flow(start=f"open({str(marker)!r}, 'a').write('x')"))
    assert ada.flow("flow.py", "run").code == 0
    marker.unlink()
    send(ada)
    assert get(bob).runs
    bob.write("flow.py", (ada.path / "flow.py").read_text())
    for words in (["rerun", "1"], ["rerun", "--same-code", "1"], ["resume", "1"]):
        done = bob.call(*words)
        assert done.code == 128
        assert "F/1 is not trusted" in done.err
        assert "git runs trust F/1" in done.err
    assert not marker.exists()
    assert bob.call("trust", "F/1").code == 0
    done = bob.runs("rerun", "--same-code", "1")
    assert done.code == 0, done.err
    assert marker.read_text() == "x"


def test_a_module_and_an_interpreter_that_is_not_here(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m pkg.flow` is started so again; where the interpreter is gone, ours takes its place."""
    repo.write("pkg/__init__.py", "")
    repo.write("pkg/flow.py", flow())
    repo.commit()
    assert repo.python("-m", "pkg.flow", "run").code == 0
    run = store_of(repo).get("F", "1")
    program = program_of(run, repo.path)
    assert program.words == (sys.executable, "-m", "pkg.flow")
    assert program.directory == repo.path
    gone = {**run.info.environment, "command": ["/nowhere/python", "/elsewhere/pkg/flow.py"]}
    monkeypatch.setattr(run, "info", replace(run.info, environment=gone))
    assert program_of(run, repo.path).words == (sys.executable, "pkg/flow.py")
    assert repo.runs("rerun", "1").code == 0


def test_a_kill_leaves_what_the_next_one_removes(repo: GitRepo, tmp_path: Path) -> None:
    """SIGTERM ends the run and takes its work tree away; so does the next one where it was killed."""
    go = tmp_path / "go"
    repo.write("flow.py", flow(start=f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"))
    go.write_text("")
    assert repo.flow("flow.py", "run").code == 0
    top = repo.path / ".git" / "gitflowrun" / "rerun"
    for count, number in enumerate((signal.SIGTERM, signal.SIGKILL), 2):
        go.unlink(missing_ok=True)
        running = background(
            repo, "-m", "gitflowrun.cli.git_runs.main", "rerun", "--same-code", "1"
        )
        running.wait_for(r"start/\d+ .*Task is starting")
        os.kill(running.process.pid, number)
        assert running.wait() != 0
        run = store_of(repo).get("F", str(count))
        assert eventually(partial(_has_ended, repo, run.id))
        left = [path for path in top.iterdir() if path.is_dir()]
        assert len(left) == (number == signal.SIGKILL)
    go.write_text("")
    assert repo.runs("rerun", "--same-code", "1").code == 0
    assert list(top.iterdir()) == []
    assert len(repo.git("worktree", "list").split("\n")) == 1
    repo.fsck()
