"""Programs that begin as forks of a warm Python: they do, and find, what they would in an interpreter of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import warm_popen, warm_python
from tests.helpers.flows import family, latest, linear_flow, one_task, started, value_of
from tests.helpers.repos import GitRepo, run_program
from tests.helpers.warm_popen import WarmPopen
from tests.helpers.warm_programs import write_program
from tests.helpers.warm_python import kept, run_warm, suits

LOOK = """
import os, resource, signal, sys
mask = os.umask(0)
handled = {number: signal.getsignal(number) for number in signal.valid_signals()}
print(sys.argv, sys.orig_argv[1:], sys.path, sys.flags, sys.executable, sys.excepthook is sys.__excepthook__)
print(__file__, __name__, __spec__ and __spec__.name, type(__loader__))
print(sorted(globals()), sys.modules["__main__"].__dict__ is globals())
print(os.getcwd(), mask, dict(sorted(os.environ.items())), handled, signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(sys.stdin.read(), [(it.encoding, it.errors, it.line_buffering, it.isatty()) for it in (sys.stdout, sys.stderr)])
print([resource.getrlimit(getattr(resource, it)) for it in dir(resource) if it.startswith("RLIMIT_")])
from gitflowrun import entry_point
print(entry_point.imported_in)
"""


def test_a_program_finds_what_it_finds_in_an_interpreter_of_its_own(repo: GitRepo) -> None:
    """Its words, its path, its `__main__`, its streams, its environment, how it takes signals."""
    repo.write("below/look.py", LOOK)
    words = ("below/look.py", "a b", "--n=ä")
    env = {"MORE": "\udcff", "PYTEST_CURRENT_TEST": "x"}
    before = os.umask(0o27)
    try:
        assert repo.flow(*words, env=env) == repo.python(*words, env=env)
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "words", [("-m", "below.look", "a b"), ("-c", LOOK.replace("__file__", "1"), "a b")]
)
def test_a_module_and_a_text_find_what_they_find_elsewhere(
    repo: GitRepo, words: tuple[str, ...]
) -> None:
    """The same for what is no script."""
    repo.write("below/__init__.py", "")
    repo.write("below/look.py", LOOK)
    assert repo.flow(*words) == repo.python(*words)


def test_processes_are_found_by_their_marker(repo: GitRepo, tmp_path: Path) -> None:
    """That of the program, and those that it starts, as if they had begun with it in their environment."""
    seen = (
        "def is_seen(pid):\n    with open(f'/proc/{pid}/environ') as file:\n"
        "        return 'MARKER=' + os.environ['MARKER'] in file.read().split('\\0')\n"
    )
    see = (
        "self.seen = [is_seen(it) for it in (os.getpid(), os.getppid(), int(os.environ['FIRST']))]"
    )
    first = "os.environ.setdefault('FIRST', str(os.getpid()))\n"
    repo.write("f.py", linear_flow(see, head=first + seen))
    for marker in map(str, (tmp_path / "first", tmp_path / "another")):
        done = repo.flow("f.py", "run", env={"MARKER": marker})
        assert done.code == 0, done.err
        assert value_of(one_task(latest(repo), "start"), "seen") == [True] * 3
        assert family(marker) == []


@pytest.mark.parametrize(
    "end",
    [
        "", "sys.exit(3)", "sys.exit('in words')", "def f(): 1 / 0\nf()", "f(", "os._exit(4)",
        "os.kill(os.getpid(), 9)",
        "atexit.register(print, 'last')", "threading.Timer(0.1, print, ['later']).start()", "raise SystemExit(1 / 0)",
        "import not_there", "os.fork(); os.fork()",
    ],
)  # fmt: skip
def test_a_program_ends_as_in_an_interpreter_of_its_own(repo: GitRepo, end: str) -> None:
    """By code, signal or error, and with what it does then."""
    repo.write("end.py", f"import atexit, os, sys, threading\nprint('begun')\n{end}\n")
    assert repo.flow("end.py") == repo.python("end.py")


@pytest.mark.parametrize("env", [{}, {"TZ": "Asia/Tokyo"}], ids=["by fork", "by itself"])
def test_a_program_on_path_is_what_python_is(
    repo: GitRepo, tmp_path: Path, env: dict[str, str]
) -> None:
    """Whoever starts it finds its words, streams and end; where it may not begin by fork, too."""
    repo.write("below/look.py", LOOK)
    repo.write("end.py", "import os, sys\nprint(os.environ['TZ'])\nexec(sys.argv[1])\n")
    program = write_program(tmp_path / "a place" / "python")
    given = {**env, "PYTEST_CURRENT_TEST": "x", "PWD": str(repo.path)}  # as shells have it
    for words in (
        ["below/look.py", "a b", "--n=\udce4"], ["-c", LOOK.replace("__file__", "1"), ""], ["-B", "end.py", "pass"],
        ["end.py", "sys.exit(3)"], ["end.py", "os.kill(os.getpid(), 9)"], ["end.py", "1 / 0"], [],
    ):  # fmt: skip
        done = run_program([str(program), *words], repo.path, given)
        assert done == repo.python(*words, env=given)


def test_signals_reach_a_program_on_path(repo: GitRepo, tmp_path: Path) -> None:
    """Whoever ends what was started ends the program."""
    repo.write("wait.py", "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    program = write_program(tmp_path / "python")
    waiting = started(repo, [str(program), "wait.py"])
    waiting.wait_for("ready")
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.wait() == -signal.SIGTERM
    waiting = started(repo, [str(program), "wait.py"])
    waiting.wait_for("ready")
    waiting.ctrl_c()
    waiting.wait()
    assert "KeyboardInterrupt" in waiting.text()


@pytest.mark.parametrize("again", ["rerun", "resume"])
def test_a_program_that_is_started_again_finds_what_it_finds_there(
    repo: GitRepo, tmp_path: Path, again: str
) -> None:
    """As a child that dies with the first program, with that one's streams, limits and signals."""
    seen = (
        "import resource\nfrom pathlib import Path\n"
        "mask = os.umask(0)\nos.umask(mask)\n"
        "facts = [sys.argv, sys.orig_argv[1:], sys.path, os.getcwd(), mask, __file__, __name__, type(__loader__),\n"
        "    {it: signal.getsignal(it) for it in signal.valid_signals()},\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, []),\n"
        "    [os.path.exists(f'/proc/self/fd/{it}') for it in range(20)], os.getpgrp() == os.getpgid(os.getppid()),\n"
        "    resource.getrlimit(resource.RLIMIT_NOFILE), Path('/proc/self/cmdline').read_text().rstrip('\\0'),\n"
        "    Path(f'/proc/{os.getppid()}/cmdline').read_text().rstrip('\\0'), sorted(os.environ.items())]\n"
        "with open(os.environ['SEEN'], 'a') as file:\n    print(*facts, sep='\\n', file=file)\n"
    )
    repo.write("f.py", linear_flow(head=seen))
    env = {"SEEN": str(tmp_path / "first"), "PYTEST_CURRENT_TEST": "x"}
    assert repo.flow("f.py", "run", env=env).code == 0
    words = ("-m", "gitflowrun.cli.git_runs.main", again, "1")
    found = []
    for run in (repo.flow, repo.python):
        done = run(*words, env={**env, "SEEN": str(tmp_path / "seen")})
        assert done.code == 0, done.err
        found.append((tmp_path / "seen").read_text().split("\n"))
        (tmp_path / "seen").unlink()
    assert found[0] == found[1]


def test_a_file_that_is_missing(repo: GitRepo) -> None:
    """It is told as Python tells it."""
    assert repo.flow("none.py") == repo.python("none.py")


def test_a_scheduler_is_a_process_of_its_own(repo: GitRepo) -> None:
    """A child of the flow's process that nothing of the flow is in, with the words of its program."""
    head = (
        "from pathlib import Path\nimport gitflowrun.runtime.scheduler.main as own\n"
        "del own.SchedulerMain\nfound = os.posix_spawn\n"
        "def started(*args, **how):\n    pid = found(*args, **how)\n"
        "    print('parent', Path(f'/proc/{pid}/stat').read_text().split()[3] == str(os.getpid()))\n"
        "    return pid\nos.posix_spawn = started\n"
    )
    repo.write("f.py", linear_flow("self.here = os.getpid()", head=head))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.err
    assert "parent True\n" in done.out
    assert one_task(latest(repo), "start").record.ok


@pytest.mark.parametrize(("place", "code"), [("run.ended=kill", 0), ("ref.moved=kill", 1)])
def test_failpoints_are_set(repo: GitRepo, place: str, code: int) -> None:
    """Those of modules that were imported before there were any."""
    repo.write("f.py", linear_flow("pass"))
    env = {"GITFLOWRUN_FAILPOINTS": place}
    done, fresh = repo.flow("f.py", "run", env=env), repo.python("f.py", "run", env=env)
    assert (done.code, "killed" in done.err) == (fresh.code, "killed" in fresh.err)
    assert done.code == code


def test_what_takes_too_long_is_killed(repo: GitRepo) -> None:
    """As `subprocess` does."""
    repo.write("long.py", "import time\ntime.sleep(60)\n")
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_warm("long.py", (), repo.path, os.environ, timeout=0.2)
    assert time.monotonic() - began < 30
    done = run_warm("none.py", (), repo.path, os.environ)
    assert done[0] == 2, "others go on"


@pytest.mark.parametrize(
    "name", ["HOME", "LC_ALL", "PYTHONHASHSEED", "PYTHONPATH", "TZ", "XDG_CONFIG_HOME"]
)
def test_what_is_read_when_python_starts_is_not_changed_later(name: str) -> None:
    """A program with another home, path, time zone, or with options of Python, is started."""
    assert suits({**kept(), "ANY": "thing"})
    assert not suits({**kept(), name: "other"})


def test_a_program_that_has_ended_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number and its exit code are read at once then."""

    def slow(*args: Any, **named: Any) -> None:
        warm_python.begin_warm(*args, **named)
        time.sleep(0.5)

    monkeypatch.setattr(warm_popen, "begin_warm", slow)
    for code in (0, 3):
        with WarmPopen([sys.executable, "-c", f"raise SystemExit({code})"], env=kept()) as program:
            assert program.wait(timeout=10) == code
            assert program.poll() == code
