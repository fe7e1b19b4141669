"""Output on a real terminal: the user's pager, colours, width."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import make_run


def _on_terminal(path: Path, *words: str, env: dict[str, str]) -> tuple[int, str]:
    """Run `git runs WORDS` with a terminal for standard output; exit code and what appeared there."""
    master, slave = os.openpty()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "70", **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *words],
        cwd=path, stdin=subprocess.DEVNULL, stdout=slave, env=environ,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # how Linux says that nobody has the other end any more
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def test_the_users_pager_pages(repo: GitRepo) -> None:
    """On a terminal a list goes through the pager that git would use, in colour."""
    make_run(repo)
    repo.git("config", "--file", "users", "core.pager", "sed s/^/PAGED:/")
    config = {"GIT_CONFIG_GLOBAL": str(repo.path / "users")}
    code, shown = _on_terminal(repo.path, "list", env=config)
    assert code == 0
    lines = shown.splitlines()
    assert all(line.startswith("PAGED:") for line in lines)
    assert "\x1b[33mMyFlow/1\x1b[m" in lines[1]


@pytest.mark.parametrize("users", ["", "sed s/^/PAGED:/"])
@pytest.mark.sample(1)
def test_the_pager_of_a_repository_is_not_run(repo: GitRepo, users: str) -> None:
    """A repository's own config does not say what runs when somebody reads; the user's does."""
    make_run(repo)
    repo.git("config", "core.pager", "sh -c 'touch canary; cat'")
    repo.git("config", "--file", "users", "core.pager", users or "cat")
    config = {"GIT_CONFIG_GLOBAL": str(repo.path / "users") if users else "/dev/null"}
    code, shown = _on_terminal(repo.path, "list", env={"PAGER": "sed s/^/PAGED:/", **config})
    assert code == 0
    assert shown.startswith("PAGED:")
    assert not (repo.path / "canary").exists()


@pytest.mark.parametrize(
    ("config", "env"),
    [(["pager.runs", "false"], {}), (["core.pager", "cat"], {}), ([], {"GIT_PAGER": "cat"})],
)
@pytest.mark.sample(1)
def test_no_pager(repo: GitRepo, config: list[str], env: dict[str, str]) -> None:
    """`pager.runs=false`, `core.pager=cat` and `git --no-pager` leave the pager out."""
    make_run(repo)
    if config:
        repo.git("config", *config)
    code, shown = _on_terminal(repo.path, "list", env={"PAGER": "sed s/^/PAGED:/", **env})
    assert code == 0
    assert "PAGED:" not in shown
    assert "\x1b[33mMyFlow/1\x1b[m" in shown


def test_a_pager_that_quits_early_is_no_error(repo: GitRepo) -> None:
    """Quitting the pager before the end is what pagers are for."""
    make_run(repo, result=b"1")
    pager = {"GIT_PAGER": "head -c 1 >/dev/null"}
    code, shown = _on_terminal(repo.path, "show", env=pager)
    assert (code, shown) == (0, "")


@pytest.mark.parametrize("pager", ["no-such-pager --flag", "/no/such/pager"])
@pytest.mark.sample(1)
def test_a_pager_that_is_not_installed_hides_nothing(repo: GitRepo, pager: str) -> None:
    """As in git: what would have been paged is printed, and the missing program named."""
    make_run(repo)
    code, shown = _on_terminal(repo.path, "list", env={"GIT_PAGER": pager})
    assert code == 0
    assert "MyFlow/1" in shown


def test_json_is_not_paged_into_pieces(repo: GitRepo) -> None:
    """JSON has no colours, whatever shows it."""
    make_run(repo)
    _, shown = _on_terminal(repo.path, "show", "--json", env={"PAGER": "cat -v"})
    assert "^[" not in shown
    assert shown.startswith("{\n")


def test_bytes_are_kept_from_a_terminal(repo: GitRepo) -> None:
    """Raw bytes would command a terminal; the hint says where to put them."""
    make_run(repo)
    code, shown = _on_terminal(repo.path, "cat", "1/result", env={})
    assert (code, shown) == (129, "")
