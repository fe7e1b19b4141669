"""`python -m gitflowrun.cmd.diff A B`: parameters and code that differ between two runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.samples import make_run
from tests.helpers.repos import ROOT, GitRepo, Output, copy_repo, make_repo

PROGRAM = (sys.executable, "-m", "gitflowrun.cmd.diff")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """Runs 1 and 2 are alike, 3 has other parameters, 4 other code as well."""
    repo = make_repo(tmp_path_factory.mktemp("diff") / "made")
    repo.write("flow.py", "a = 1\nb = 2\n")
    repo.write("lib/util.py", "x = 1\n")
    make_run(repo)
    make_run(repo)
    make_run(repo, parameters={"alpha": "0.7", "beta": "new"})
    repo.write("flow.py", "a = 1\nb = 3\n")
    repo.write("lib/util.py", "x = 2\n")
    make_run(repo, "Other", parameters={"alpha": "0.7"})
    return repo


@pytest.fixture
def runs(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "a repo")


def environment(**more: str) -> dict[str, str]:
    """Variables for a program that imports gitflowrun from here."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def diff(repo: GitRepo, *args: str) -> Output:
    """Run the command."""
    return repo.flow("-m", "gitflowrun.cmd.diff", *args)


def test_runs_that_are_alike(runs: GitRepo) -> None:
    """Nothing is printed, and the exit code is 0."""
    assert diff(runs, "1", "2") == Output(0, "", "")
    assert diff(runs, "1", "2", "--exit-code").code == 0


def test_parameters_that_differ(runs: GitRepo) -> None:
    """Old and new value of each, also of those that only one run has."""
    done = diff(runs, "1", "3")
    assert done == Output(
        0, "parameters MyFlow/1..MyFlow/3\n-alpha: 0.5\n+alpha: 0.7\n+beta: new\n", ""
    )
    assert diff(runs, "1", "3", "--exit-code").code == 1


def test_files_that_are_not_recorded(repo: GitRepo) -> None:
    """Left-out files that differ are listed like parameters; of others nothing is claimed. PATHs choose among both."""
    env, key = repo.write(".env", "a"), repo.write("keys/a.pem", "a")
    make_run(repo)
    env.write_text("ab")
    key.write_text("b")
    make_run(repo)
    done = diff(repo, "1", "2", "--exit-code")
    lines = "-.env: 1 byte, may be a secret (.env)\n+.env: 2 bytes, may be a secret (.env)\n"
    assert (done.code, done.out) == (1, f"left out MyFlow/1..MyFlow/2\n{lines}")
    assert "perhaps changed, for their contents are not recorded: 1 file: keys/a.pem" in done.err
    done = diff(repo, "1", "2", "--exit-code", "keys")
    assert (done.code, done.out) == (0, "")
    assert "keys/a.pem" in done.err
    document = json.loads(diff(repo, "1", "2", "--json").out)
    assert [row["name"] for row in document["left_out"]] == [".env"]
    assert document["unknown"] == ["keys/a.pem"]


def test_code_that_differs(runs: GitRepo) -> None:
    """The patch is git's, between the two code trees, whatever the work tree holds by now."""
    runs.write("flow.py", "something else\n")
    done = diff(runs, "MyFlow/1", "Other/4")
    assert done.code == 0
    assert "-b = 2\n+b = 3\n" in done.out
    assert runs.git("diff", "runs/MyFlow/1:code", "runs/Other/4:code") in done.out
    assert diff(runs, "1", "4", "--exit-code").code == 1


def test_the_output_is_a_patch(runs: GitRepo) -> None:
    """`git apply` takes it as it is, lines about parameters included."""
    text = diff(runs, "1", "4").out
    runs.write("flow.py", "a = 1\nb = 2\n")
    runs.write("lib/util.py", "x = 1\n")
    runs.git("apply", stdin=text.encode())
    assert (runs.path / "flow.py").read_text() == "a = 1\nb = 3\n"


def test_the_output_is_a_patch_whatever_is_configured(runs: GitRepo) -> None:
    """Settings with which `git apply` would not take it, and programs of the user's, play no part."""
    plain = diff(runs, "1", "4").out
    runs.write(".git/info/attributes", "*.py diff=upper\n")
    for name, value in {
        "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "diff.external": "false",
        "diff.upper.textconv": "tr a-z A-Z <", "diff.relative": "true", "diff.context": "0",
        "diff.orderFile": "/nonexistent", "diff.ignoreSubmodules": "all", "color.ui": "always",
        "diff.submodule": "log", "diff.interHunkContext": "9", "core.whitespace": "cr-at-eol",
    }.items():  # fmt: skip
        runs.git("config", name, value)
    assert diff(runs, "1", "4").out == plain
    assert diff(GitRepo(runs.path / "lib"), "1", "4").out == plain


def test_binary_files_are_part_of_the_patch(repo: GitRepo) -> None:
    """`git apply` makes the second run's code of the first one's; `--patch` is for reading."""
    repo.write("data.bin", bytes(range(256)))
    make_run(repo)
    repo.write("data.bin", bytes(reversed(range(256))))
    make_run(repo)
    text = diff(repo, "1", "2").out
    repo.write("data.bin", bytes(range(256)))
    repo.git("apply", stdin=text.encode())
    assert (repo.path / "data.bin").read_bytes() == bytes(reversed(range(256)))
    assert "Binary files a/data.bin and b/data.bin differ" in diff(repo, "1", "2", "--patch").out


def test_json(runs: GitRepo) -> None:
    """One document with both runs, the parameters, and the code file by file, line by line."""
    done = diff(runs, "1", "4", "--json", "-U", "0", "--exit-code")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["old"], found["new"]) == ("MyFlow/1", "Other/4")
    assert found["parameters"] == [{"name": "alpha", "old": "0.5", "new": "0.7"}]
    code = found["code"]
    assert code["old"] == runs.git("rev-parse", "runs/MyFlow/1:code")
    assert (code["insertions"], code["deletions"]) == (2, 2)
    assert [file["new_path"] for file in code["files"]] == ["flow.py", "lib/util.py"]
    (hunk,) = code["files"][0]["hunks"]
    assert [(line["origin"], line["text"]) for line in hunk["lines"]] == [
        ("-", "b = 2\n"), ("+", "b = 3\n"),
    ]  # fmt: skip
    inside = GitRepo(runs.path / "lib")
    paths = json.loads(diff(inside, "1", "4", "--json", "util.py").out)["code"]["files"]
    assert [file["new_path"] for file in paths] == ["lib/util.py"]
    assert json.loads(diff(runs, "1", "2", "--json").out)["code"]["files"] == []


def test_paths_and_forms(runs: GitRepo) -> None:
    """Paths are taken from where one is; forms are those of git diff."""
    names = diff(runs, "1", "4", "--name-only").out.splitlines()
    assert names[-2:] == ["flow.py", "lib/util.py"]
    inside = GitRepo(runs.path / "lib")
    assert diff(inside, "1", "4", "--name-only", "util.py").out.splitlines()[3:] == ["lib/util.py"]
    assert diff(runs, "1", "4", "--name-only", "--", "lib").out.endswith("\nlib/util.py\n")
    assert diff(runs, "1", "4", "--name-only", "--", "--stat").out.count("\n") == 3  # no such file
    assert "2 files changed" in diff(runs, "1", "4", "--stat").out
    assert diff(runs, "1", "4", "--exit-code", "no such file").code == 1  # parameters differ
    assert diff(runs, "3", "4", "no such file").out.count("\n") == 2


def test_bytes_come_out_as_they_are(repo: GitRepo) -> None:
    """A file in another encoding is shown by its own bytes."""
    repo.write("latin", b"caf\xe9\n")
    make_run(repo)
    repo.write("latin", b"th\xe9\n")
    make_run(repo)
    out = repo.path / "out"
    with out.open("wb") as file:
        subprocess.run(
            [*PROGRAM, "1", "2"], cwd=repo.path, stdout=file, check=True, env=environment()
        )
    assert b"-caf\xe9\n+th\xe9\n" in out.read_bytes()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("1", "99"), 128, "fatal: there is no run '99'"),
        (("1", "nope/7"), 128, "fatal: there is no run"),
        (("1",), 129, "error: Missing argument 'RUN'"),
        (("1", "2", "--nope"), 129, "error: No such option"),
        (("1", "2", "-U", "x"), 129, "error: Invalid value for '-U'"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(
    runs: GitRepo, args: tuple[str, ...], code: int, words: str
) -> None:
    """No traceback; exit codes as git's."""
    done = diff(runs, *args)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(words)
    assert "hint: " in done.err
    assert "Traceback" not in done.err


def test_outside_of_a_repository(tmp_path: Path) -> None:
    """The hint says how to make one."""
    done = diff(GitRepo(tmp_path), "1", "2")
    assert done.code == 128
    assert "git init" in done.err


def test_help(runs: GitRepo) -> None:
    """`--help` says what there is, on stdout."""
    done = diff(runs, "--help")
    assert done.code == 0
    assert "--exit-code" in done.out


def test_a_terminal_gets_colour_and_a_pager(runs: GitRepo) -> None:
    """As git does it: the user's pager, and colours."""
    reader, writer = pty.openpty()
    env = environment(TERM="xterm", GIT_PAGER="sed s/^/paged:/")
    subprocess.run([*PROGRAM, "1", "4"], cwd=runs.path, stdout=writer, check=True, env=env)
    os.close(writer)
    shown = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(reader)
    text = shown.decode()
    assert "paged:" in text
    assert "\x1b[31m" in text
