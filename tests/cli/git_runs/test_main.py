"""The program `git runs` itself: help, version, dispatch, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun import __version__
from gitflowrun.cli.git_runs.main import main
from gitflowrun.cli.git_runs.verbs import COMMANDS
from tests.helpers.repos import ROOT, GitRepo, run_program
from tests.helpers.runs import make_run

_LISTS = "`git runs -h` lists the commands, `git runs` the runs"


@pytest.mark.parametrize("word", ["-h", "help"])
def test_help_lists_every_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`git runs -h` names each command with a line about it, but those that only programs call."""
    assert main([word]) == 0
    out = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert (f"   {name:<10} {entry.help}" in out) is bool(entry.help)
    assert max(map(len, out.splitlines())) <= 90


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints ours as git prints its own."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"git-runs version {__version__}\n"


def test_an_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is answered with the most similar command and 129."""
    assert main(["shwo"]) == 129
    err = capsys.readouterr().err
    assert err.startswith("error: 'shwo' is not a git runs command\nhint: ")
    assert "show" in err
    assert main(["xyzzy"]) == 129
    assert "git runs -h" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["1"], ["run MyFlow/1"]),
        (["prod"], ["run MyFlow/1"]),
        (["@latest"], ["run MyFlow/2"]),
        (["2/start"], ["step MyFlow/2/start"]),
        (["MyFlow/2", "1"], ["run MyFlow/2", "run MyFlow/1"]),
        (["1..2"], ["run MyFlow/1", "run MyFlow/2"]),
        (["tag:log"], ["run MyFlow/2"]),
        (["log", "-n1"], ["run MyFlow/2"]),
    ],
)
@pytest.mark.sample(4)
def test_words_that_are_no_verb_show_runs(
    repo: GitRepo, words: list[str], shown: list[str]
) -> None:
    """A verb always wins."""
    make_run(repo, tags=["prod"])
    make_run(repo, tags=["log"])
    out = repo.call(*words).out
    begins = ("run ", "step ")
    found = [" ".join(line.split()[:2]) for line in out.splitlines() if line.startswith(begins)]
    assert found == shown
    if words[0] != "log":
        assert repo.call(*words, "--json").out == repo.call("show", *words, "--json").out


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["prodd"], 129, "'prodd' is not a git runs command, nor a run", "did you mean prod?"),
        (["restor"], 129, "'restor' is not a git runs command, nor a run", "did you mean restore or restart or trust?"),
        (["qqqq"], 129, "'qqqq' is not a git runs command, nor a run", _LISTS),
        (["7"], 128, "there is no run '7'", "the newest is MyFlow/2"),
        (["1", "7"], 128, "there is no run '7'", "the newest is MyFlow/2"),
        (["7", "--json"], 128, "there is no run '7'", "the newest is MyFlow/2"),
        (["MyFlow"], 128, "MyFlow is a flow, not a run", "try MyFlow/@latest; `git runs list MyFlow` lists its runs"),
        (["both"], 128, "'both' is ambiguous", "the candidates are:"),
    ],
)  # fmt: skip
def test_words_that_are_nothing(
    repo: GitRepo, words: list[str], code: int, message: str, hint: str
) -> None:
    """What looks like a verb ends as a wrong command line, what looks like a run as a run that is not there."""
    make_run(repo, tags=["prod", "both"])
    make_run(repo, tags=["restart", "both"])
    done = repo.call(*words)
    assert (done.code, done.out) == (code, "")
    assert done.err.splitlines()[:2] == [
        f"{'error' if code == 129 else 'fatal'}: {message}",
        f"hint: {hint}",
    ]


def test_words_outside_of_a_repository(tmp_path: Path) -> None:
    """A verb that is none is told as ever."""
    (done, other) = (GitRepo(tmp_path).runs(word) for word in ("shwo", "12"))
    assert done.code == 129
    assert done.err == "error: 'shwo' is not a git runs command\nhint: did you mean show or push?\n"
    assert other.code == 128
    assert "git init" in other.err


def test_help_imports_neither_click_nor_pygit2(repo: GitRepo) -> None:
    """`git runs -h` is answered before anything heavy is imported."""
    code = (
        "import sys; from gitflowrun.cli.git_runs.main import main; main(['-h']); "
        "print([m for m in ('click','pygit2','msgpack','subprocess','numpy') if m in sys.modules])"
    )
    assert repo.python("-c", code).out.splitlines()[-1] == "[]"


def test_git_finds_the_command(repo: GitRepo) -> None:
    """The module runs as a program."""
    assert repo.runs("--version").out == f"git-runs version {__version__}\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(repo: GitRepo, closed: str) -> None:
    """A caller that wants to hear nothing may close what it does not read."""
    command = f"{sys.executable} -m gitflowrun.cli.git_runs.main {closed}"
    assert run_program(["sh", "-c", command], repo.path).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("log",),
        ("log", "-p"),
        ("diff",),
        ("compare",),
        ("show", "1"),
        ("list",),
        ("cat", "1/result"),
    ],
)
@pytest.mark.sample(2)
def test_a_reader_that_has_gone(repo: GitRepo, words: tuple[str, ...]) -> None:
    """Where nobody reads, every command ends in silence, with the code that git has then."""
    make_run(repo)
    make_run(repo)
    command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *words]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command, cwd=repo.path, stdout=write, stderr=subprocess.PIPE, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_run_by_its_revision(repo: GitRepo) -> None:
    """A run is named as git names it, too, its parts included."""
    make_run(repo)
    for name in ("runs/MyFlow/1", "refs/runs/MyFlow/1"):
        assert repo.call("show", name).out.startswith("run MyFlow/1\n")
        assert repo.call("cat", f"{name}/result").out == "42"


def test_a_parent_that_ignores_its_children_changes_no_answer(repo: GitRepo) -> None:
    """What git said counts also where whoever started `git runs` ignores SIGCHLD: git waits for its helpers."""
    make_run(repo)
    repo.git("remote", "add", "gone", str(repo.path / "nowhere.git"))
    repo.git("init", "-q", "--bare", "there.git")
    start = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'gitflowrun.cli.git_runs.main', *sys.argv[1:]])"
    )
    for command in ("push", "fetch"):
        done = repo.python("-c", start, command, "gone")
        assert (done.code, done.out) == (128, "")
        assert "does not appear to be a git repository" in done.err
    assert repo.python("-c", start, "list", "--on", "nowhere").err.startswith("fatal: 'nowhere' na")
    assert "1 run new" in repo.python("-c", start, "push", "there.git").out
