"""Flows executed for real: what is recorded, printed, announced, and what the processes are like."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.runs import Status
from tests.helpers.flows import (
    background,
    eventually,
    foreach_flow,
    latest,
    linear_flow,
    one_task,
    value_of,
)
from tests.helpers.repos import ROOT, GitRepo, run_program
from tests.helpers.warm_programs import write_program

KINDS = ("fork", "batch", "fresh", "inline")


def isolated(kind: str) -> dict[str, str]:
    """The environment that chooses how tasks get their processes."""
    return {"GITFLOWRUN_ISOLATION": kind}


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreach_gives_the_same_in_every_isolation(repo: GitRepo, kind: str) -> None:
    """Tasks, parents, frames, artifacts and output are recorded however tasks get their processes."""
    write = (
        "for line in range(500):\n"
        "    print('item', self.x, line, flush=not line % 50)\n    print('error', line, file=sys.stderr)"
    )
    repo.write("f.py", foreach_flow(write))
    done = repo.flow("f.py", "run", "--n", "3", "--max-workers", "50", env=isolated(kind))
    assert done.code == 0, done.err
    assert "total 3" in done.out
    run = latest(repo)
    assert run.status is Status.DONE
    assert run.steps() == [PARAMETERS_STEP, "start", "work", "join", "end"]
    assert value_of(one_task(run, "join"), "total") == 3
    for index, task in enumerate(run.tasks("work")):
        stored = run.task(TaskName("work", task))
        assert stored.output("stdout") == b"".join(b"item %d %d\n" % (index, n) for n in range(500))
        assert stored.output("stderr") == b"".join(b"error %d\n" % n for n in range(500))
        (frame,) = stored.record.frames
        assert (frame.step, frame.var, frame.num_splits) == ("start", "items", 3)
        assert (frame.index, frame.value) == (index, str(index))
        assert stored.record.parents == (TaskName("start", "1"),)
        assert stored.record.attempts[0].ok
        assert stored.record.attempts[0].max_rss > 1 << 20
    join = one_task(run, "join").record
    assert [str(parent) for parent in join.parents] == ["work/2", "work/3", "work/4"]
    assert run.info.environment["isolation"] == kind
    repo.fsck()


def test_parameters_and_constants_are_the_first_task(repo: GitRepo) -> None:
    """Task 0 of the private step holds them; every other task lists them without a copy."""
    head = "class Base(FlowSpec):\n    n = Parameter('n', default=4)\n    rate = 0.5\n"
    program = linear_flow("assert self.n == 7 and self.rate == 0.5", head=head)
    repo.write("f.py", program.replace("F(FlowSpec)", "F(Base)"))
    assert repo.flow("f.py", "run", "--n", "7").code == 0
    run = latest(repo)
    first = one_task(run, PARAMETERS_STEP)
    assert first.name.task == "0"
    assert (value_of(first, "n"), value_of(first, "rate")) == (7, 0.5)
    assert run.info.parameters == {"n": "7"}
    assert one_task(run, "end").record.artifacts["n"].producer == first.name


def test_what_a_run_says_of_its_surroundings(repo: GitRepo) -> None:
    """INFO holds versions, command line, packages, machine, git and graph; no secrets."""
    repo.git("remote", "add", "origin", "https://ada:secret@example.org/x.git")
    repo.write("sub/f.py", linear_flow())
    repo.commit()
    env = {"METAFLOW_USER": "grace", "API_TOKEN": "t0ken", "TZ": "UTC"}
    assert repo.flow("sub/f.py", "run", "--tag", "one", env=env).code == 0
    run = latest(repo)
    info = run.info
    assert (info.user, info.script, info.tags) == ("grace", "sub/f.py", ("one",))
    assert info.git["remote"] == "https://example.org/x.git"
    assert str(info.git["commit"]) == repo.git("rev-parse", "HEAD")
    assert info.environment["packages"]["click"]
    assert info.environment["argv"][1:] == ["run", "--tag", "one"]
    assert info.environment["hash_seed"] == "random"
    assert info.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"user:grace", "runtime:dev"} <= set(info.system_tags)
    blob = repo.git("cat-file", "blob", f"runs/F/{run.identity.id}:INFO")
    assert "secret" not in blob
    assert "t0ken" not in blob


def test_the_id_is_announced_before_any_task_starts(repo: GitRepo, tmp_path: Path) -> None:
    """The id file, without a newline, and the facts as JSON are there when the first step looks."""
    files = [tmp_path / "id", tmp_path / "facts"]
    look = f"self.seen = [open(p).read() for p in {list(map(str, files))!r}]"
    repo.write("f.py", linear_flow(look))
    options = ["--run-id-file", str(files[0]), "--runner-attribute-file", str(files[1])]
    assert repo.flow("f.py", "run", *options).code == 0
    seen = value_of(one_task(latest(repo), "start"), "seen")
    assert isinstance(seen, list)
    assert seen[0] == "1"
    facts = json.loads(seen[1])
    assert (facts["run_id"], facts["flow_name"]) == ("1", "F")
    assert facts["metadata"].endswith(".git")


def test_a_file_that_cannot_be_written_is_told_before_there_is_a_run(repo: GitRepo) -> None:
    """A mistake in an option leaves no run behind."""
    repo.write("f.py", linear_flow())
    done = repo.flow("f.py", "run", "--run-id-file", "nowhere/id")
    assert done.code == 2
    assert "nowhere/id" in done.err
    assert repo.git("for-each-ref", "refs/runs") == ""


@pytest.mark.parametrize("secret", [False, True])
def test_what_is_left_out_of_the_code_is_told(repo: GitRepo, secret: bool) -> None:
    """With the reason; how a file is taken that is no secret is said where one was taken for a secret."""
    repo.write("f.py", linear_flow())
    repo.write(".gitignore", "ignored/\n")
    if secret:
        repo.write("id_rsa", "")
    else:
        repo.write("bare/HEAD", "")
        repo.write("bare/objects/x", "")
        repo.write("bare/refs/x", "")
    done = repo.flow("f.py", "run")
    assert done.code == 0
    said = done.out + done.err
    assert (
        f"1 file is not in the run's snapshot of the code: {'id_rsa (' if secret else 'bare/ ('}"
        in said
    )
    assert ("runs.snapshot.include NAME" in said) is secret


def test_tasks_find_their_run_in_the_environment(repo: GitRepo) -> None:
    """Programs that a step starts know where they are, also without a HOME; the tasks' standard input is empty."""
    look = (
        "import subprocess\n"
        "names = ('METAFLOW_RUN_ID', 'GITFLOWRUN_RUN', 'PYTHONUNBUFFERED')\n"
        "self.env = [os.environ.get(name) for name in names]\n"
        "self.fds = subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True).stdout.split()\n"
        "self.read = sys.stdin.read()\n"
        "self.here = (os.getcwd() == os.path.dirname(os.path.abspath(__file__)), 'HOME' in os.environ)\n"
        "self.own = os.getsid(0) == os.getpid()\n"
        "import gitflowrun\n"
        "self.namespaces = [gitflowrun.current.namespace, gitflowrun.get_namespace()]"
    )
    repo.write("f.py", linear_flow(look))
    command = [
        "env",
        "-u",
        "HOME",
        "METAFLOW_RUN_USER_NAMESPACE=user:bob",
        sys.executable,
        "f.py",
        "run",
    ]
    done = run_program(command, repo.path)
    assert done.code == 0, done.err
    task = one_task(latest(repo), "start")
    assert value_of(task, "env") == ["1", "F/1", "1"]
    assert value_of(task, "here") == (True, False)
    assert value_of(task, "read") == ""
    assert value_of(task, "own") is True
    assert value_of(task, "namespaces") == ["user:bob"] * 2
    # 0, 1, 2 and the directory `ls` itself reads: a program inherits nothing of the runtime's.
    fds = value_of(task, "fds")
    assert isinstance(fds, list)
    assert len(fds) == 4


def test_random_numbers_differ_between_tasks_and_follow_the_modules_seed(repo: GitRepo) -> None:
    """Children of a foreach draw differently; a seed at module level makes runs draw alike."""
    head = "import random\nif 'SEED' in os.environ:\n    random.seed(int(os.environ['SEED']))\n"
    repo.write("f.py", foreach_flow("self.drawn = random.random()", head=head))
    drawn = []
    for seed in ("1", "1", None):
        assert repo.flow("f.py", "run", env={} if seed is None else {"SEED": seed}).code == 0
        run = latest(repo)
        tasks = [run.task(TaskName("work", task)) for task in run.tasks("work")]
        drawn.append([value_of(task, "drawn") for task in tasks])
    assert len(set(drawn[0])) == 4
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) & set(drawn[2])


def test_names_of_modules_in_the_users_directory_do_not_matter(repo: GitRepo) -> None:
    """A user's `signal.py` or `gitflowrun.py` beside the repository's root is not imported by the scheduler."""
    for name in ("selectors", "mmap", "msgpack", "pygit2", "console"):
        repo.write(f"{name}.py", "raise SystemExit('imported the wrong module')")
    repo.write("flows/f.py", linear_flow())
    assert repo.flow("flows/f.py", "run").code == 0


@pytest.mark.parametrize("name", ["a flow.py", "new\nline.py", "-f.py", "flöw.py"])
@pytest.mark.sample(1)
def test_fresh_interpreters_start_files_of_any_name(repo: GitRepo, name: str) -> None:
    """Spaces, newlines, leading dashes and other alphabets in paths are no obstacle."""
    repo.write(name, linear_flow())
    done = repo.python(f"./{name}", "run", env=isolated("fresh"))
    assert done.code == 0, done.err
    assert latest(repo).status is Status.DONE


def test_a_module_is_run_again_as_a_module(repo: GitRepo) -> None:
    """`python -m package.flow` works in fresh interpreters, too."""
    repo.write("pack/__init__.py", "")
    repo.write("pack/helper.py", "x = 5")
    repo.write("pack/f.py", linear_flow("self.x = helper.x", head="from . import helper"))
    done = repo.python("-m", "pack.f", "run", env=isolated("fresh"))
    assert done.code == 0, done.err


def test_threads_at_module_level_mean_fresh_interpreters(repo: GitRepo) -> None:
    """A flow that can't be forked safely says so in a line and runs all the same."""
    head = "import threading\nthreading.Thread(target=time.sleep, args=(1,), daemon=True, name='T9').start()"
    repo.write("f.py", linear_flow("self.pid = os.getppid()", head=head))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.err
    assert "T9" in done.err
    run = latest(repo)
    assert run.status is Status.DONE
    assert (run.info.environment["isolation"], run.info.environment["hash_seed"]) == ("fresh", "0")


def test_too_many_items_fail_the_step_and_name_the_option(repo: GitRepo) -> None:
    """More items than --max-num-splits are a mistake until the user says otherwise."""
    repo.write("f.py", foreach_flow(""))
    done = repo.flow("f.py", "run", "--n", "101")
    assert done.code == 1
    assert "--max-num-splits" in done.out
    assert repo.flow("f.py", "run", "--n", "101", "--max-num-splits", "101").code == 0


def test_a_value_that_cannot_be_stored_names_artifact_and_step(repo: GitRepo) -> None:
    """The step fails with a sentence; what could be stored is stored."""
    repo.write("f.py", linear_flow("self.good = 1\nself.lock = __import__('threading').Lock()"))
    done = repo.flow("f.py", "run")
    assert done.code == 1
    assert "artifact 'lock' of step 'start'" in done.out
    assert "Traceback" not in done.out
    assert value_of(one_task(latest(repo), "start"), "good") == 1


def test_an_artifact_that_was_only_read_is_not_stored_again(repo: GitRepo) -> None:
    """A large value passes through steps by reference, also one that could have been changed."""
    program = linear_flow(
        "self.big = [list(range(1000)) for _ in range(200)]", "assert self.big[7][3] == 3"
    )
    repo.write("f.py", program)
    assert repo.flow("f.py", "run").code == 0
    end = one_task(latest(repo), "end").record
    assert end.artifacts["big"].producer.step == "start"


def test_the_run_goes_on_when_nobody_reads_its_log(repo: GitRepo, tmp_path: Path) -> None:
    """`python flow.py run | head -1` does not break the run."""
    repo.write("f.py", foreach_flow("print('x' * 1000)"))
    python = write_program(tmp_path / "python")
    command = f"{python} f.py run | head -1"
    done = run_program(["bash", "-o", "pipefail", "-c", command], repo.path)
    assert done.out == "Run ID: 1\n"
    assert latest(repo).status is Status.DONE


def test_outside_of_a_repository_the_hint_is_git_init(tmp_path: Path) -> None:
    """Nothing runs where nothing can be recorded."""
    (tmp_path / "f.py").write_text(linear_flow("print('ran')"))
    done = GitRepo(tmp_path).flow("f.py", "run")
    assert done.code == 2
    assert "git init" in done.err
    assert "ran" not in done.out


def test_a_mistake_on_the_command_line_starts_nothing(repo: GitRepo) -> None:
    """What was started in advance ends by itself, without a word and without a run."""
    repo.write("f.py", foreach_flow(""))
    done = repo.flow("f.py", "run", "--n", "many")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert repo.git("for-each-ref", "refs/runs") == ""


def test_steps_may_start_processes_of_their_own(repo: GitRepo) -> None:
    """Pools and programs work inside of a forked task."""
    work = (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(2) as pool:\n"
        "    self.powers = list(pool.map(abs, [-1, -2, 3]))"
    )
    repo.write("f.py", linear_flow(work))
    assert repo.flow("f.py", "run").code == 0
    assert value_of(one_task(latest(repo), "start"), "powers") == [1, 2, 3]


def test_a_flow_runs_with_the_package_found_where_it_was_found(repo: GitRepo) -> None:
    """The scheduler uses the same copy of gitflowrun as the flow, also when only the script can see it."""
    (repo.path / "vendor").mkdir()
    (repo.path / "vendor" / "gitflowrun").symlink_to(ROOT / "gitflowrun")
    head = "import gitflowrun.cli\nassert 'vendor' in gitflowrun.cli.__path__[0]"
    program = "import sys\nsys.path.insert(0, 'vendor')\n" + linear_flow(head=head)
    repo.write("f.py", program)
    done = run_program(
        [sys.executable, "f.py", "run"], repo.path, {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
    )
    assert done.code == 0, done.err


_IN_A_HOOK = """
import json, os, subprocess, sys
from gitflowrun import FlowSpec, step


class InHook(FlowSpec):
    @step
    def start(self):
        self.left = sorted(name for name in os.environ if name.startswith("GIT_"))
        self.name = os.environ.get("GIT_AUTHOR_NAME")
        os.makedirs("../inner")
        for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "inner"]):
            subprocess.run(["git", *command], cwd="../inner", check=True)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    InHook()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_of_a_flow_that_a_hook_starts_are_outside_of_it(
    repo: GitRepo, tmp_path: Path, kind: str
) -> None:
    """Their own git commands do not write into the commit that the user is just making."""
    repo.write("f.py", _IN_A_HOOK)
    hook = repo.write(
        ".git/hooks/pre-commit", f"#!/bin/sh\n{write_program(tmp_path / 'python')} f.py run >&2\n"
    )
    hook.chmod(0o755)
    repo.git("add", "f.py")
    variables = {
        **isolated(kind),
        "PYTHONPATH": str(ROOT),
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
    }
    command = ["git", "-c", "user.x=y", "commit", "-q", "-m", "outer"]
    done = run_program(command, repo.path, variables)
    assert done.code == 0, done.err
    start = one_task(latest(repo, "InHook"), "start")
    left = value_of(start, "left")
    assert isinstance(left, list)
    local = set(repo.git("rev-parse", "--local-env-vars").split()) - {"GIT_CONFIG_COUNT"}
    assert set(left) & (local | {"GIT_AUTHOR_NAME", "GIT_AUTHOR_DATE"}) == set()
    assert repo.git("log", "-1", "--format=%s") == "outer"
    assert repo.git("ls-tree", "--name-only", "HEAD").split() == ["README", "f.py"]
    assert repo.git("-C", "../inner", "log", "--format=%s") == "inner"


def test_names_that_people_set_reach_their_tasks(repo: GitRepo) -> None:
    """Without a date `GIT_AUTHOR_NAME` is nobody's hook's."""
    repo.write("f.py", _IN_A_HOOK)
    assert repo.flow("f.py", "run", env={"GIT_AUTHOR_NAME": "Eve"}).code == 0
    assert value_of(one_task(latest(repo, "InHook"), "start"), "name") == "Eve"


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
@pytest.mark.sample(1)
def test_an_inline_task_that_ends_the_process_is_recorded(repo: GitRepo, end: str) -> None:
    """With what it wrote, also where that process leads the group that the scheduler is in, as in a shell."""
    repo.write("f.py", linear_flow(f"print('before', flush=True)\n{end}"))
    background(repo, "f.py", "run", env=isolated("inline")).wait()
    assert eventually(lambda: latest(repo).status is Status.INTERRUPTED)
    task = one_task(latest(repo), "start")
    assert task.output("stdout") == b"before\n"
    assert "the process of the run ended before" in task.output("stderr").decode()


def test_an_inline_run_does_not_say_an_error_twice(repo: GitRepo) -> None:
    """The step's traceback is on the terminal already."""
    repo.write("f.py", linear_flow("raise ValueError('no luck')"))
    done = repo.flow("f.py", "run", env=isolated("inline"))
    said = (done.out + done.err).count("ValueError: no luck")
    assert said == 2  # in the traceback, and why the run failed


def test_an_inline_task_may_write_any_text_to_anybody(repo: GitRepo) -> None:
    """Neither the locale nor a reader that has gone is the step's affair."""
    repo.write("f.py", linear_flow("print('caf\u00e9', flush=True)\nprint('more', flush=True)"))
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for command in (f"{sys.executable} f.py run", f"{sys.executable} f.py run > /dev/full"):
        run_program(["sh", "-c", command], repo.path, {**isolated("inline"), **plain})
        run = latest(repo)
        assert run.status is Status.DONE
        assert one_task(run, "start").output("stdout").decode() == "caf\u00e9\nmore\n"


def test_a_fork_misses_no_interrupt(repo: GitRepo) -> None:
    """Between the fork and its own handler an interrupt waits; the step and what it starts get it at once."""
    blocked = "open('/proc/%d/status' % pid).read().partition('SigBlk:')[2].split()[0]"
    start = f"print(*[int({blocked}, 16) >> 1 & 1 for pid in (os.getppid(), os.getpid())])"
    repo.write("f.py", linear_flow(start))
    assert repo.flow("f.py", "run").code == 0
    assert one_task(latest(repo), "start").output("stdout") == b"1 0\n"


_STARTS_WITH = {
    "children ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "children waited for": "signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))",
    "signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))",
}


@pytest.mark.parametrize(
    ("what", "kind", "by"),
    [(what, kind, "parent") for what in _STARTS_WITH for kind in KINDS]
    + [(what, "fork", "module") for what in _STARTS_WITH]  # the process that forks has imported it
    + [("children ignored", "fresh", "module")]
    + [
        pytest.param(what, kind, "module", marks=pytest.mark.slow)
        for what in _STARTS_WITH
        for kind in ("fresh", "inline")
        if (what, kind) != ("children ignored", "fresh")
    ],
)
@pytest.mark.sample(
    "children ignored-fork-parent", "children waited for-fork-module", "signals blocked-fork-parent"
)
def test_a_run_ends_alike_whatever_was_done_to_its_signals(
    repo: GitRepo, what: str, kind: str, by: str
) -> None:
    """Exit codes, of the run and of what steps start, do not depend on what a parent or the module did before."""
    setup = _STARTS_WITH[what]
    work = (
        "import subprocess\nassert subprocess.call(['sh', '-c', 'exit 7']) == 7\n"
        "if os.path.exists('bad'): os._exit(3)"
    )
    repo.write("f.py", linear_flow(end=work, head=setup if by == "module" else ""))
    before = setup if by == "parent" else "pass"
    start = f"import os, signal, sys; {before}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = repo.flow("-c", start, "f.py", "run", env=isolated(kind))
    assert done.code == 0, done.err
    assert latest(repo).status is Status.DONE
    if kind != "inline":
        repo.write("bad", "")
        done = repo.flow("-c", start, "f.py", "run", env=isolated(kind))
        assert done.code == 1, done.err
        assert "ended with exit status 3" in done.err
        assert "No child processes" not in done.err


def test_an_inline_step_may_ignore_its_children(repo: GitRepo) -> None:
    """The step's process is the one that waits for the scheduler; what the scheduler said counts."""
    repo.write("f.py", linear_flow("signal.signal(signal.SIGCHLD, signal.SIG_IGN)"))
    done = repo.flow("f.py", "run", env=isolated("inline"))
    assert done.code == 0, done.err


def test_blocked_signals_still_stop_a_run(repo: GitRepo) -> None:
    """A run that was started with SIGINT and SIGTERM blocked can be interrupted."""
    setup = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))"
    repo.write("f.py", linear_flow("print('ready')\ntime.sleep(60)"))
    start = f"import os, signal, sys; {setup}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    flow = background(repo, "-c", start, "f.py", "run")
    flow.wait_for("ready")
    flow.ctrl_c()
    assert flow.wait() == 130
    assert latest(repo).status is Status.INTERRUPTED


def test_a_scheduler_that_is_told_to_end_records_that(repo: GitRepo) -> None:
    """As by a system that shuts down, which tells it no later than the program it works for."""
    repo.write("f.py", linear_flow("print('ready')\ntime.sleep(60)"))
    flow = background(repo, "f.py", "run")
    flow.wait_for("ready")
    os.kill(flow.children()["scheduler"], signal.SIGTERM)
    assert flow.wait() == 143
    run = latest(repo)
    assert (run.status, run.state.status) == (Status.INTERRUPTED, Status.INTERRUPTED)


def test_a_module_that_dies_of_broken_pipes_hears_of_a_killed_scheduler(repo: GitRepo) -> None:
    """SIGPIPE by its default action, as scripts for `| head` have it, does not end the flow's program silently."""
    head = "signal.signal(signal.SIGPIPE, signal.SIG_DFL)"
    repo.write("f.py", linear_flow("print('ready')\ntime.sleep(60)", head=head))
    flow = background(repo, "f.py", "run")
    flow.wait_for("ready")
    scheduler = flow.children()["scheduler"]
    flow.process.send_signal(19)  # so that it sends to a process that is gone
    os.kill(scheduler, 9)
    flow.process.send_signal(2)
    flow.process.send_signal(18)
    assert flow.wait() == 1
    assert "the scheduler was killed" in flow.text()


_SHELL = """
import os, subprocess, sys
flow = subprocess.Popen([sys.executable, *sys.argv[1:]], preexec_fn=os.setpgrp)
print("group", flow.pid, flush=True)
sys.exit(flow.wait())
"""


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize(
    "isolation", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)]
)
def test_ctrl_z_stops_the_tasks_too(repo: GitRepo, isolation: str) -> None:
    """They are in process groups of their own; `fg`, which continues the run, continues them."""
    work = "print('task', os.getpid())\nwhile not os.path.exists('go'): time.sleep(0.01)"
    repo.write("f.py", linear_flow(work))
    flow = background(repo, "-c", _SHELL, "f.py", "run", env={"GITFLOWRUN_ISOLATION": isolation})
    group = int(flow.wait_for(r"group (\d+)")[1])
    task = int(flow.wait_for(r" task (\d+)")[1])
    assert not _is_stopped(task)
    os.killpg(group, signal.SIGTSTP)
    assert eventually(lambda: _is_stopped(task) and _is_stopped(group))
    os.killpg(group, signal.SIGCONT)
    assert eventually(lambda: not _is_stopped(task))
    repo.write("go", "")
    assert flow.wait() == 0


def test_ctrl_z_where_nobody_could_continue_it_stops_nothing(repo: GitRepo) -> None:
    """A run that leads its session, as in a container, goes on, as the system has it for other programs."""
    work = "print('ready')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    repo.write("f.py", linear_flow(work))
    flow = background(repo, "f.py", "run")
    flow.wait_for("ready")
    os.killpg(flow.process.pid, signal.SIGTSTP)
    repo.write("go", "")
    assert flow.wait() == 0
