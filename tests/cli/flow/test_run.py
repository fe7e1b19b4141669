"""Whole runs from the command line: what is printed where, files for programs, exit codes."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.flows import latest, linear_flow
from tests.helpers.packs import blob, pack_store
from tests.helpers.repos import ROOT, GitRepo, run_program
from tests.helpers.warm_popen import WarmPopen
from tests.helpers.warm_programs import write_program

FLOW = '''
"""A flow."""
import sys, time
from gitflowrun import FlowSpec, Parameter, step


class Small(FlowSpec):
    """Small, but with a foreach."""

    fail = Parameter("fail", default=False)
    pause = Parameter("pause", default=0.0)
    wörd = Parameter("wörd", default="")

    @step
    def start(self):
        print("from stdout", self.wörd)
        self.items = "ab"
        self.next(self.work, foreach="items")

    @step
    def work(self):
        print("from stderr", file=sys.stderr)
        time.sleep(self.pause)
        if self.fail and self.input == "b":
            raise ValueError("asked for")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        self.answer = 42


if __name__ == "__main__":
    Small()
'''
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


@pytest.fixture
def flow(repo: GitRepo) -> GitRepo:
    """A repository with a flow."""
    repo.write("small.py", FLOW)
    repo.commit("a flow")
    return repo


def test_a_run(flow: GitRepo) -> None:
    """The run log is stdout, beginning with the run's id; what is said about it is stderr."""
    done = flow.flow("small.py", "run", "--tag", "a b", "--wörd", "schön")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "Run ID: 1"
    assert re.fullmatch(rf"{STAMP} Workflow starting \(run-id 1\):", lines[1])
    assert re.fullmatch(rf"{STAMP} \[1/start/1 \(pid \d+\)\] Task is starting\.", lines[2])
    assert re.search(
        rf"^{STAMP} \[1/start/1 \(pid \d+\)\] from stdout schön$", done.out, re.MULTILINE
    )
    assert re.search(rf"^{STAMP} \[1/work/\d \(pid \d+\)\] from stderr$", done.out, re.MULTILINE)
    assert "Foreach yields 2 child steps." in done.out
    assert done.out.count("Task finished successfully.") == 5
    assert lines[-1].endswith(" Done!")
    assert done.out.count("Run ID: ") == 1
    assert done.err.splitlines()[0].endswith(" executing Small for user:ada")
    assert "\x1b" not in done.out + done.err
    assert flow.call("tag").out == "TAG  RUNS\na b  Small/1\n"


def test_a_failure_and_its_resume(flow: GitRepo) -> None:
    """A failed run ends with 1 and says how to go on; resume by run id takes over what is done."""
    done = flow.flow("small.py", "--quiet", "run", "--fail", "true")
    assert done.code == 1
    assert "ValueError: asked for" in done.out
    assert done.out.splitlines()[-1].endswith(" Workflow failed.")
    assert done.err.startswith("Step failure: ")
    assert "python small.py resume 1`" in done.err
    assert "Traceback" not in done.err
    flow.write("small.py", FLOW.replace("self.fail and", "False and"))
    again = flow.flow("small.py", "--quiet", "resume", "1")
    assert again.code == 0, again.out
    assert again.out.splitlines()[0] == "Run ID: 2"
    assert "Cloning previously run task Small/1/start/1" in again.out
    assert "Origin:   resume Small/1" in flow.call("show", "2").out


def test_files_for_programs(flow: GitRepo) -> None:
    """The run id file holds the id alone; the attribute file says run and flow as JSON."""
    done = flow.flow(
        "small.py", "run", "--run-id-file", "id", "--runner-attribute-file", "attributes"
    )
    assert done.code == 0
    assert (flow.path / "id").read_text() == "1"
    attributes = json.loads((flow.path / "attributes").read_text())
    assert attributes["run_id"] == "1"
    assert attributes["flow_name"] == "Small"


def test_a_file_for_programs_that_cannot_be_written_ends_the_run(flow: GitRepo) -> None:
    """The error names file and run, which has failed and can be resumed; no name at all is a usage error."""
    done = flow.flow("small.py", "run", "--run-id-file", "/dev/full")
    assert done.code == 1
    assert "run Small/1 was made" in done.err
    assert "'/dev/full' can't be written: No space left on device" in done.err
    assert json.loads(flow.call("list", "--json").out)[0]["status"] == "failed"
    assert flow.flow("small.py", "resume", "1", "--run-id-file", "id").code == 0
    assert (flow.path / "id").read_text() == "2"
    done = flow.flow("small.py", "run", "--run-id-file", "")
    assert done.code == 2
    assert "the name of a file is empty" in done.err


def test_a_run_log_that_cannot_be_written_is_said_once(flow: GitRepo, tmp_path: Path) -> None:
    """The run goes on to its end, which the exit code tells; stderr says that the log is lost and where it is."""
    python = write_program(tmp_path / "python")
    shell = f"{shlex.quote(str(python))} small.py --quiet run >/dev/full"
    done = run_program(["sh", "-c", shell], flow.path)
    assert done.code == 0
    assert done.err.count("the run log can't be written: No space left on device") == 1
    assert "`git runs logs 1` shows it" in done.err
    assert json.loads(flow.call("list", "--json").out)[0]["status"] == "done"


@pytest.mark.parametrize(
    "isolation", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)]
)
def test_a_run_from_a_deleted_directory(flow: GitRepo, isolation: str) -> None:
    """The repository is that of the flow's file, so the run needs no current directory."""
    words = [sys.executable, str(flow.path / "small.py"), "--quiet", "run"]
    shell = f"mkdir gone && cd gone && rmdir ../gone && GITFLOWRUN_ISOLATION={isolation} {shlex.join(words)}"
    done = run_program(["sh", "-c", shell], flow.path)
    assert done.code == 0, done.err
    assert json.loads(flow.call("show", "1", "--json").out)["status"] == "done"


def test_an_interrupt_while_modules_are_imported_is_no_traceback(flow: GitRepo) -> None:
    """Exit code 130, as for any interrupted program, and not a word."""
    head = (
        "import builtins, os, signal\nreal = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'gitflowrun.runtime.launch.launcher': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
    )
    flow.write(
        "int.py", head + FLOW.replace("Small()", "builtins.__import__ = interrupted; Small()")
    )
    done = flow.flow("int.py", "run")
    assert (done.code, done.err) == (130, "")


def test_parameters_from_the_environment(flow: GitRepo) -> None:
    """METAFLOW_RUN_<NAME> gives a parameter; a bad one is a usage error that names the variable."""
    done = flow.flow("small.py", "--quiet", "run", env={"METAFLOW_RUN_WÖRD": "env"})
    assert "from stdout env" in done.out
    done = flow.flow("small.py", "--quiet", "run", env={"METAFLOW_RUN_PAUSE": "long"})
    assert done.code == 2
    assert "METAFLOW_RUN_PAUSE" in done.err
    assert flow.call("list", "--json").out.count('"id"') == 1


def test_clone_takes_parameters(flow: GitRepo) -> None:
    """`run --clone` starts again with the origin's parameters, of which options change some."""
    flow.flow("small.py", "--quiet", "run", "--wörd", "first")
    done = flow.flow("small.py", "--quiet", "run", "--clone", "1")
    assert done.code == 0
    assert "from stdout first" in done.out
    done = flow.flow("small.py", "--quiet", "run", "--clone", "1", "--wörd", "other")
    assert "from stdout other" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "--clone", "99"], 1, "there are no runs of flow 'Small'"),
        (["resume", "99"], 1, "there are no runs of flow 'Small'"),
        (["resume"], 1, "no run"),
        (["run", "--fail", "maybe"], 2, "'maybe' is not a boolean"),
    ],
)
def test_mistakes_make_no_run(flow: GitRepo, words: list[str], code: int, said: str) -> None:
    """What can't be run is told without a traceback, and leaves no run behind."""
    done = flow.flow("small.py", *words)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert flow.git("for-each-ref", "refs/runs") == ""


def test_outside_a_repository(tmp_path: Path) -> None:
    """Without a repository nothing runs, and the hint says how to make one."""
    bare = GitRepo(tmp_path)
    bare.write("small.py", FLOW)
    done = bare.flow("small.py", "run")
    assert done.code == 2
    assert done.err.splitlines()[-2].startswith("Not a git repository: ")
    assert "git init" in done.err.splitlines()[-1]
    assert bare.flow("small.py", "show").code == 0


def _on_terminal(
    flow: GitRepo, *words: str, at: bytes, then: Callable[[int], object]
) -> tuple[int, str]:
    """Run the flow with a terminal as its streams; do something with the terminal once `at` is seen."""
    pid, terminal = os.forkpty()
    if pid == 0:  # pragma: no cover  (the child)
        os.chdir(flow.path)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
        os.execve(sys.executable, [sys.executable, "small.py", *words], env)
    shown = b""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and select.select([terminal], [], [], 300)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if at and at in shown:
            at = b""
            then(terminal)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_terminal_shows_progress(flow: GitRepo) -> None:
    """On a terminal a status line follows the log and is gone at the end."""
    wait = "while not __import__('os').path.exists('go'): time.sleep(0.01)"
    flow.write("small.py", FLOW.replace("time.sleep(self.pause)", wait))
    running = "Small/1: 1 task done, running work x2 (0 of "
    go = flow.path / "go"
    code, shown = _on_terminal(flow, "run", at=running.encode(), then=lambda _: go.touch())
    assert code == 0
    assert running in shown
    last = shown.rstrip("\r\n").rpartition("\n")[2].rpartition("\x1b[K")[2]
    assert last.endswith("\x1b[32mDone!\x1b[m")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_ctrl_c_interrupts(flow: GitRepo) -> None:
    """Ctrl-C ends the run as interrupted, with a hint; it can be resumed."""
    press = b"\x03"
    code, shown = _on_terminal(
        flow, "run", "--pause", "300", at=b"from stderr", then=lambda it: os.write(it, press)
    )
    assert code == 128 + signal.SIGINT
    assert "Workflow interrupted." in shown
    assert "Interrupted:" in shown
    assert "resume 1" in shown
    (row,) = json.loads(flow.call("list", "--json").out)
    assert row["status"] == "interrupted"


@pytest.mark.parametrize("call", ["breakpoint()", "input('how many? ')"])
@pytest.mark.sample(1)
def test_who_asks_without_a_terminal_is_told_where_there_is_one(repo: GitRepo, call: str) -> None:
    """A step that stops for a debugger or an answer fails with the command that lets it, which does."""
    repo.write("f.py", linear_flow(f"x = 1\n{call}\nself.x = x"))
    done = repo.flow("f.py", "run")
    assert (done.code, "hint: steps have no terminal; " in done.err) == (1, True), done.err
    command = shlex.split(done.err.partition("`")[2].partition("`")[0])
    assert command[0] == "GITFLOWRUN_ISOLATION=inline"
    asked = subprocess.run(
        ["env", *command], cwd=repo.path, input="continue\n", text=True, capture_output=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert (asked.returncode, "no terminal" in asked.stderr) == (0, False), asked.stderr
    assert repo.call("cat", "2/x").out == "1\n"


def test_a_reader_that_leaves_does_not_end_the_run(flow: GitRepo) -> None:
    """`python flow.py run | head -1` shows the run's id, and the run goes on to its end."""
    process = WarmPopen(
        [sys.executable, "small.py", "--quiet", "run"],
        cwd=flow.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"Run ID: 1\n"
    process.stdout.close()
    process.wait(300)
    assert json.loads(flow.call("list", "--json").out)[0]["status"] == "done"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow), "inline"]
)
@pytest.mark.sample(1)
def test_closed_streams_do_not_keep_a_flow_from_running(
    flow: GitRepo, closed: str, kind: str
) -> None:
    """Who wants to hear nothing may close what it does not read; the run has everything all the same."""
    flow.write(
        "two.py", linear_flow("print('from stdout')", "print('from stderr', file=sys.stderr)")
    )
    command = f"GITFLOWRUN_ISOLATION={kind} {sys.executable} two.py run {closed}"
    done = run_program(["sh", "-c", command], flow.path)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert flow.call("logs", "1/end").out == "from stderr\n"
    assert flow.call("logs", "1/start").out == "from stdout\n"


def test_a_flow_that_the_snapshot_does_not_hold(flow: GitRepo, tmp_path: Path) -> None:
    """A flow from elsewhere, or one that git ignores, runs; that its code is not recorded is said and kept."""
    far = tmp_path / "far.py"
    far.write_text(FLOW)
    done = flow.flow(str(far), "--quiet", "run")
    assert done.code == 0
    assert f"{far} (it lies outside of the work tree)" in done.err
    assert f"Left out:  1 file: {far}" in flow.call("show", "1").out
    flow.write(".gitignore", "mine.py")
    flow.write("mine.py", FLOW)
    assert "mine.py (git ignores it)" in flow.flow("mine.py", "--quiet", "run").err
    assert "not in the run's snapshot" not in flow.flow("small.py", "--quiet", "run").err


def test_a_script_with_a_space_in_its_name(flow: GitRepo) -> None:
    """Commands in hints can be pasted, whatever the flow's file is called."""
    flow.write("my flow.py", FLOW)
    done = flow.flow("my flow.py", "--quiet", "run", "--fail", "true")
    assert "python 'my flow.py' resume 1`" in done.err
    assert "python 'my flow.py' run`" in flow.flow("my flow.py").err


def test_a_run_leaves_a_tidy_repository(flow: GitRepo) -> None:
    """After a run few packs are left, however many gathered before; nothing else of ours lies about."""
    store = pack_store(flow)
    store.release([store.write([blob(b"%d" % number)]).name for number in range(40)])
    done = flow.flow("small.py", "--quiet", "run")
    assert done.code == 0, done.err
    assert not done.err
    pack_dir = flow.path / ".git/objects/pack"
    assert len(list(pack_dir.glob("*.pack"))) < 10
    assert not list(pack_dir.glob("*.keep"))
    assert not list((flow.path / ".git/gitflowrun/incoming").iterdir())
    assert "blake3/* -delta" in (flow.path / ".git/info/attributes").read_text()
    flow.fsck()


def test_a_parameter_may_be_called_rerun(repo: GitRepo) -> None:
    """What `git runs rerun` says to a flow is in no flow's way."""
    text = linear_flow("print('rerun', self.again)")
    text = text.replace("    @step\n", "    again = Parameter('rerun', default=1)\n    @step\n", 1)
    repo.write("f.py", text)
    assert "rerun 4\n" in repo.flow("f.py", "run", "--rerun", "4").out
    assert "rerun 4\n" in repo.runs("rerun", "1").out


def test_a_config_with_two_defaults_is_told_with_its_line(repo: GitRepo) -> None:
    """What is wrong while the flow's class is made is told without a traceback."""
    repo.write(
        "f.py",
        linear_flow(
            head="from gitflowrun import Config\nConfig('a', default='x', default_value={})"
        ),
    )
    done = repo.flow("f.py", "run")
    assert done.code == 1
    assert "f.py:4: config 'a' has two defaults" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", [("--with", "parallel", "{}"), ("{}", "--with", "parallel")])
def test_gangs_that_an_option_makes_are_checked_alike(
    flow: GitRepo, words: tuple[str, ...]
) -> None:
    """`run` starts nothing that `check` refuses; before the command the option is that of both."""
    said = "step 'start' is a @parallel step, and no join follows it"
    done = flow.flow("small.py", *(word.format("run") for word in words))
    assert done.code == 1
    assert said in done.err
    if words[0] == "--with":
        assert said in flow.flow("small.py", *(word.format("check") for word in words)).err
    assert not flow.git("for-each-ref", "refs/runs")


POOLS = """\
from concurrent.futures import ThreadPoolExecutor


def make():
    return ThreadPoolExecutor(2)
"""


def test_another_executor(flow: GitRepo) -> None:
    """By option or setting; the run is the same, and says what has executed it."""
    flow.write("pools.py", POOLS)
    done = flow.flow("small.py", "run", "--executor", "pools:make")
    assert done.code == 0
    assert "Tasks are executed by pools:make: concurrent.ThreadPoolExecutor." in done.err
    assert latest(flow).info.environment["executor"] == "pools:make"
    flow.git("config", "runs.executor", "pools:make")
    assert flow.flow("small.py", "run", "--executor", "local").code == 0
    assert "executor" not in latest(flow).info.environment
    assert flow.flow("small.py", "run").code == 0
    assert latest(flow).info.environment["executor"] == "pools:make"


@pytest.mark.parametrize("words", ["dsk", "local:2", "pools.py:make"])
def test_what_is_no_executor(flow: GitRepo, words: str) -> None:
    """It is an error of use, before anything is recorded."""
    done = flow.flow("small.py", "run", "--executor", words)
    assert done.code == 2
    assert f"'{words}' is no executor" in done.err
    assert flow.git("for-each-ref", "refs/runs") == ""
