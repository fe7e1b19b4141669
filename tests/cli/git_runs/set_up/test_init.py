"""`git runs init`: hooks once, words about the rest, and nothing else of the repository touched."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gitflowrun.porcelain import hooks
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo


def files(repo: GitRepo) -> dict[str, bytes]:
    """All that is in the repository, but for its index."""
    return {
        str(path.relative_to(repo.path)): path.read_bytes()
        for path in repo.path.rglob("*")
        if path.is_file() and path.name != "index"
    }


def test_installs_hooks_and_says_what_is_next(repo: GitRepo, runs: Runs) -> None:
    """The hooks, as `hooks install` does; no setting of git push or fetch changes, nor any other file."""
    before = files(repo)
    done = runs("init", env={"SHELL": "/usr/bin/zsh"})
    assert (done.code, done.err) == (0, "")
    first, second, *rest = done.out.splitlines()
    assert first.startswith("post-commit: installed (")
    assert second.startswith("pre-push: installed (")
    assert rest == [
        "`git runs hooks uninstall` takes hooks away again",
        "git push and git fetch leave runs alone: `git runs push` and `git runs fetch` send and get them",
        "to complete git runs in zsh, put this line into ~/.zshrc: source <(git runs completion zsh)",
        "git diff shows records of runs as bytes: `git runs textconv --install` has it show text",
        "`python FLOW.py run` makes the first run, `git runs` lists runs",
    ]
    assert {it.installed for it in hooks.state(open_repo(repo))} == {hooks.Installed.YES}
    new = set(files(repo)) - set(before)
    assert {name for name in new if not name.startswith(".git/gitflowrun")} == {
        ".git/hooks/post-commit", ".git/hooks/pre-push",
    }  # fmt: skip
    assert {name: text for name, text in files(repo).items() if name in before} == before


def test_a_second_time_changes_nothing(repo: GitRepo, runs: Runs) -> None:
    """It says so."""
    assert runs("init").code == 0
    make_run(repo)
    assert runs("textconv", "--install").code == 0
    before = files(repo)
    done = runs("init", env={"SHELL": "/bin/odd"})
    assert done.code == 0
    assert files(repo) == before
    lines = done.out.splitlines()
    assert [line.endswith("), as before") for line in lines[:2]] == [True, True]
    assert "takes hooks away" not in done.out
    assert "complete" not in done.out
    assert "textconv" not in done.out
    assert lines[-1] == "there is 1 run here: `git runs` lists them"


def test_its_json(repo: GitRepo, runs: Runs) -> None:
    """What there is, and whether something has changed."""
    first, second = (
        json.loads(runs("init", "--json", env={"SHELL": "bash"}).out) for _ in range(2)
    )
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["repository"] == str(repo.path / ".git")
    assert [hook["installed"] for hook in first["hooks"]] == ["installed", "installed"]
    assert first["completion"]["line"] == "source <(git runs completion bash)"
    assert first["runs"] == 0


def test_a_hook_that_can_not_be_installed(repo: GitRepo, runs: Runs, tmp_path: Path) -> None:
    """Exit code 1, and why: hooks of all repositories are not ours to change."""
    config = tmp_path / "config"
    config.write_text(f"[core]\n\thooksPath = {tmp_path / 'all'}\n")
    done = runs("init", env={"GIT_CONFIG_GLOBAL": str(config)})
    assert done.code == 1
    assert "can't be installed: core.hooksPath of your global git config" in done.out
    assert not (tmp_path / "all").exists()
    assert repo.path.exists()


def test_in_a_bare_repository(tmp_path: Path) -> None:
    """The server's hook, and not a word about what people type."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "r.git")], check=True)
    done = GitRepo(tmp_path / "r.git").call("init")
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.out.splitlines()] == [
        "pre-receive", "`git runs hooks uninstall` takes hooks away again",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [("init",), ("init", "--json")])
def test_outside_of_a_repository(tmp_path: Path, words: tuple[str, ...]) -> None:
    """What to do first."""
    (tmp_path / "nowhere").mkdir()
    done = GitRepo(tmp_path / "nowhere").call(*words)
    assert done.code == 128
    assert "git init" in done.err
