"""Where a flow's runs go and which commands go on with them, however and from wherever the flow was started."""

from __future__ import annotations

import cProfile
import re
import shlex
import sys
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.clones import refs
from tests.helpers.flows import latest
from tests.helpers.repos import ROOT, GitRepo, make_repo, run_program
from tests.helpers.warm_programs import write_program

FLOW = """
import os, sys
from gitflowrun import Flow, FlowSpec, get_metadata, step
{head}

class Away(FlowSpec):
    @step
    def start(self):
        self.runs = [run.id for run in Flow("Away")]
        self.place = get_metadata()
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("FAILS"):
            raise ValueError("as it should")

if __name__ == "__main__":
    Away()
"""


@pytest.mark.parametrize("kind", ["fork", "batch", "fresh"])
def test_runs_go_to_the_repository_of_the_flows_file(
    repo: GitRepo, tmp_path: Path, kind: str
) -> None:
    """From a directory in no repository and from another repository; tasks see their own run."""
    repo.write("flow.py", FLOW.format(head=""))
    nowhere, other = tmp_path / "nowhere", make_repo(tmp_path / "other")
    nowhere.mkdir()
    for place in (nowhere, other.path):
        script = str(repo.path / "flow.py")
        done = GitRepo(place).flow(script, "run", env={"GITFLOWRUN_ISOLATION": kind})
        assert done.code == 0, done.err
    assert other.git("for-each-ref", "refs/runs") == ""
    run = latest(repo)
    assert (str(run.identity.id), run.info.script) == ("2", "flow.py")


def test_all_commands_of_a_flow_file_read_that_repository(repo: GitRepo, tmp_path: Path) -> None:
    """`resume`, `dump`, `logs`, `tag` and `show` find the runs from elsewhere, with GIT_DIR of another one, too."""
    repo.write("flow.py", FLOW.format(head=""))
    other = make_repo(tmp_path / "other")

    def flow(*words: str, **env: str) -> str:
        script = str(repo.path / "flow.py")
        done = other.flow(script, "--quiet", *words, env=env)
        assert done.code == bool(env.get("FAILS")), done.err
        return done.out + done.err

    flow("run", FAILS="1", GIT_DIR=str(other.path / ".git"))
    assert "Away/1" in flow("resume")
    assert f"= local@{repo.path}\n" in flow("dump", "2/start")
    assert "as it should" in flow("logs", "1/end")
    flow("tag", "add", "--run-id", "2", "good")
    assert "good" in flow("tag", "list", "--run-id", "2")
    assert "Step start" in flow("show")
    assert other.git("for-each-ref", "refs/runs") == ""


def test_a_hook_of_a_linked_worktree_goes_elsewhere(repo: GitRepo, tmp_path: Path) -> None:
    """It has GIT_DIR alone, for which git takes any directory as the work tree: the flow's file says more."""
    repo.write("sub/flow.py", FLOW.format(head=""))
    repo.write("beside.txt", "x")
    repo.commit()
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", str(linked))
    other = make_repo(tmp_path / "other")
    other.write("sub/flow.py", FLOW.format(head=""))
    hook = repo.path / ".git/hooks/post-commit"
    python = str(write_program(tmp_path / "python"))
    for place in (linked / "sub", other.path, other.path / "sub"):
        script = "flow.py" if place.name == "sub" else "sub/flow.py"
        hook.write_text(f"#!/bin/sh\ncd '{place}' && '{python}' {script} run >&2 || exit 1\n")
        hook.chmod(0o755)
        words = ["git", "-C", str(linked), "commit", "--allow-empty", "-qm", "x"]
        done = run_program(words, tmp_path, env={"PYTHONPATH": str(ROOT)})
        assert "Done!" in done.err, done.err
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/runs") == "refs/runs/Away/1"
    code = repo.git("rev-parse", "refs/runs/Away/1:code", f"{linked.name}^{{tree}}").split()
    assert code[0] == code[1]
    assert len(other.git("for-each-ref", "refs/runs").splitlines()) == 2
    words = [python, "flow.py", "run"]  # as from a hook of a bare repository
    done = run_program(words, other.path / "sub", env={"GIT_DIR": ".", "PYTHONPATH": str(ROOT)})
    assert done.code == 0, done.err
    assert len(other.git("for-each-ref", "refs/runs").splitlines()) == 3


def test_modules_from_elsewhere_are_named(repo: GitRepo, tmp_path: Path) -> None:
    """A helper that no snapshot of the repository has is told, with its file; installed packages are not."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("X = 1")
    repo.write("beside.py", "")
    repo.write("flow.py", FLOW.format(head="import helper, beside"))
    done = repo.flow("flow.py", "run", env={"PYTHONPATH": f"{tmp_path / 'lib'}:{ROOT}"})
    assert done.code == 0, done.err
    assert f"the run has no copy of the code: helper ({tmp_path}/lib/helper.py).\n" in done.err


@pytest.mark.parametrize(
    ("words", "place", "early", "late"),
    [
        (["-X", "dev", "my flow.py"], ".", "", ""),
        (["-m", "pkg.flow"], ".", "/", "/"),
        (["../my flow.py"], "pkg", "/", ""),
        (["-c", "import pkg.flow as f; f.Away()"], ".", "", "pkg"),
        *(
            pytest.param(*it, marks=pytest.mark.slow)
            for it in (
                (["-m", "pkg.flow"], ".", "", ""),
                (["../my flow.py"], "pkg", "", ""),
                (["-c", "import pkg.flow as f; f.Away()"], ".", "", ""),
                (["./my flow.py"], ".", "pkg", "/"),
            )
        ),
    ],
)
@pytest.mark.sample(1)
def test_hints_start_the_flow_as_it_was_started(
    repo: GitRepo, words: list[str], place: str, early: str, late: str
) -> None:
    """The commands that an error and `git runs show` name go on with the run, pasted into a shell.

    Also where the module has changed directory, before it has imported anything of ours or after.
    """
    early, late = (f"os.chdir({there!r})" if there else "" for there in (early, late))
    repo.write("pkg/__init__.py", f"import os\n{early}\n")
    repo.write("pkg/helper.py", late and f"import os, gitflowrun\n{late}")
    repo.write("pkg/flow.py", FLOW.format(head="from . import helper"))
    repo.write("my flow.py", "from pkg.flow import Away\nif __name__ == '__main__':\n    Away()\n")
    repo.commit()
    here = repo.path / place
    start = GitRepo(here).python if words[0] == "-X" else GitRepo(here).flow
    failed = start(*words, "--quiet", "run", env={"FAILS": "1"})
    assert failed.code == 1, failed.err
    shown = repo.call("show", "1").out
    advice = next(line for line in shown.splitlines() if line.strip().startswith("Go on with"))
    command = advice.partition(":")[2].strip()
    assert command.endswith(" resume 1")
    started = run_program(["sh", "-c", f"{command.removesuffix('resume 1')}show"], repo.path)
    assert "Step start" in started.out, started.err
    hint = failed.err.partition("hint: `")[2].partition("` continues")[0]
    assert hint == shlex.join([sys.executable, *words, "resume", "1"])
    again = run_program(["sh", "-c", hint], here)
    assert "Cloning Away/1" in again.out, again.err
    assert latest(repo).status is Status.DONE


def test_help_and_usage_errors_name_the_command(repo: GitRepo) -> None:
    """`python -m pkg.flow` is what is said, not the path of the module."""
    repo.write("pkg/__init__.py", "")
    repo.write("pkg/flow.py", FLOW.format(head=""))
    wrong = repo.flow("-m", "pkg.flow", "run", "--nope")
    assert wrong.code == 2
    command = wrong.err.partition("See `")[2].partition("`")[0]
    helped = run_program(["sh", "-c", command], repo.path)
    assert helped.code == 0, helped.err
    assert helped.out.startswith("Usage: ")


@pytest.mark.parametrize("place", ["outside", "inner"])
def test_hints_say_where_git_must_go(repo: GitRepo, tmp_path: Path, place: str) -> None:
    """Outside of the flow's repository, and in another one within it, `git runs` alone would not find the run."""
    repo.write("my flow.py", FLOW.format(head=""))
    here = tmp_path / "elsewhere" if place == "outside" else repo.path / "inner"
    here.mkdir()
    if place == "inner":
        make_repo(here / "repo")
        here = here / "repo"
    script = str(repo.path / "my flow.py")
    done = GitRepo(here).flow(script, "run", env={"FAILS": "1"}, timeout=60)
    command = re.findall(r"`(git [^`]*)`", done.err)
    assert command == [f"git -C {shlex.quote(str(repo.path))} runs show 1"]
    missing = GitRepo(here).flow(script, "resume", "nonsense", timeout=60)
    assert "git runs" not in missing.err
    below = repo.path / "below"
    below.mkdir()
    done = GitRepo(below).flow(script, "run", env={"FAILS": "1"}, timeout=60)
    assert "`git runs show 2`" in done.err


KEEPING = """
import os
from gitflowrun import Flow, FlowSpec, step

class Keep(FlowSpec):
    @step
    def start(self):
        self.best = Flow("Away").latest_run
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("FAILS"):
            raise ValueError("as it should")
        self.best.add_tag("best")
        print("BEST", self.best.pathspec, self.best["start"].task.data.runs)

if __name__ == "__main__":
    Keep()
"""


def test_a_kept_run_belongs_to_the_clone_in_which_a_step_uses_it(
    repo: GitRepo, tmp_path: Path
) -> None:
    """Where a run is resumed in a clone, its steps read and tag that clone's run, whose number is another."""
    repo.write("flow.py", FLOW.format(head=""))
    repo.write("keep.py", KEEPING)
    repo.commit("flows")
    repo.git("clone", "-q", ".", str(tmp_path / "clone"))
    assert repo.flow("flow.py", "run").code == 0
    assert repo.flow("keep.py", "run", env={"FAILS": "1"}).code == 1
    clone = GitRepo(tmp_path / "clone")
    assert clone.flow("flow.py", "run", env={"FAILS": "1"}).code == 1
    assert clone.call("trust", "origin").code == 0
    assert clone.call("fetch", "origin").code == 0
    uid = repo.git("rev-list", "--max-parents=0", "runs/Away/1")
    for kind in ("fork", "batch", "fresh"):
        done = clone.flow("keep.py", "resume", "2", env={"GITFLOWRUN_ISOLATION": kind})
        assert done.code == 0, done.out + done.err
        assert f"BEST Away/1-{uid[:7]} ['1']" in done.out
        ((tag, tagged),) = refs(clone, "refs/runs/@tags").items()
        assert tagged == uid
        clone.git("update-ref", "-d", tag)
    assert repo.git("for-each-ref", "refs/runs/@tags") == ""


@pytest.mark.parametrize("start", [["pkg/f.py"], ["-m", "pkg.f"]], ids=" ".join)
@pytest.mark.sample(1)
def test_fresh_tasks_of_a_module_that_changes_directory(repo: GitRepo, start: list[str]) -> None:
    """What was typed is relative to where it was typed, and the module has gone elsewhere since."""
    repo.write(
        "pkg/f.py",
        "import os\nfrom pathlib import Path\nfrom gitflowrun import FlowSpec, step\n"
        "os.chdir(Path(__file__).resolve().parent)\n\nclass F(FlowSpec):\n    @step\n    def start(self):\n"
        "        self.place = Path.cwd().name\n\nif __name__ == '__main__':\n    F()\n",
    )
    for isolation in ("fresh", "fork"):
        done = repo.flow(*start, "run", env={"GITFLOWRUN_ISOLATION": isolation})
        assert done.code == 0, done.err
        assert (
            repo.call("cat", "F/" + ("1" if isolation == "fresh" else "2") + "/place").out == "pkg"
        )


@pytest.mark.parametrize("path", ["lib", ":lib"])
@pytest.mark.sample(1)
def test_fresh_tasks_find_modules_where_the_program_began(repo: GitRepo, path: str) -> None:
    """A relative entry of PYTHONPATH means what it meant when the command was typed."""
    repo.write("lib/early.py", "NAME = 'early'\n")
    repo.write(
        "f.py",
        "import os\nimport early\nfrom gitflowrun import FlowSpec, step\n"
        "os.chdir('/')\n\nclass F(FlowSpec):\n    @step\n    def start(self):\n"
        "        self.name = early.NAME\n\nif __name__ == '__main__':\n    F()\n",
    )
    env = {"GITFLOWRUN_ISOLATION": "fresh", "PYTHONPATH": f"{path}:{ROOT}"}
    done = repo.python("f.py", "run", env=env)
    assert done.code == 0, done.out + done.err
    assert repo.call("cat", "F/1/name").out == "early"


PROFILED = """
from gitflowrun import FlowSpec, step

class Thing:
    pass

class Profiled(FlowSpec):
    @step
    def start(self):
        self.thing = Thing()
        self.next(self.end)

    @step
    def end(self):
        assert type(self.thing) is Thing

if __name__ == "__main__":
    Profiled()
"""
"""A flow with a value of a class of its own file."""


@pytest.mark.parametrize("words", [["-m", "pkg.profiled"], ["pkg/profiled.py"]], ids=" ".join)
@pytest.mark.sample(1)
def test_classes_of_a_flow_whose_file_is_started_otherwise(repo: GitRepo, words: list[str]) -> None:
    """As a module of a package, resumed as a file, and the other way round: they are the flow's own."""
    fails = PROFILED.replace("assert type", "assert __import__('os').path.exists('go') and type")
    repo.write("pkg/profiled.py", fails)
    repo.commit()
    assert repo.flow(*words, "run").code == 1
    repo.write("go", "")
    other = ["pkg/profiled.py"] if words[0] == "-m" else ["-m", "pkg.profiled"]
    done = repo.flow(*other, "resume", "1")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "kind", ["fork", *(pytest.param(it, marks=pytest.mark.slow) for it in ("batch", "fresh"))]
)
def test_a_profiler_that_starts_a_flow(repo: GitRepo, tmp_path: Path, kind: str) -> None:
    """The run goes to the flow's repository and has its code and classes, though `__main__` is the profiler's."""
    tools = make_repo(tmp_path / "tools")
    tools.write("profiler.py", Path(cProfile.__file__).read_bytes())
    repo.write("profiled.py", PROFILED)
    words = ["-m", "profiler", "-o", str(tmp_path / "profile"), "profiled.py", "run"]
    done = run_program(
        [sys.executable, *words],
        repo.path,
        env={"PYTHONPATH": f"{ROOT}:{tools.path}", "GITFLOWRUN_ISOLATION": kind},
    )
    assert done.code == 0, done.err
    assert tools.git("for-each-ref", "refs/runs") == ""
    run = latest(repo)
    assert run.info.script == "profiled.py"
    assert repo.git("show", f"{run.commit}:code/profiled.py").strip() == PROFILED.strip()
    assert repo.flow("profiled.py", "run").code == 0
    assert repo.call("show", "1/start/1/thing").out == repo.call("show", "2/start/1/thing").out
