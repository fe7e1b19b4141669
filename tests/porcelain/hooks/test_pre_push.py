"""Runs go along with a push of their commits, quietly, and never fail it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun.porcelain.hooks import (
    asks_for_dry_run,
    install,
    push_arguments,
    uninstall,
)
from gitflowrun.porcelain.transfer.push import push
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo
from tests.helpers.warm_programs import write_program
from tests.porcelain.hooks.scripts import dirty_run, hook, own_hook, run_git, runs_in


def test_a_push_of_runs_does_not_call_our_hook_again(
    repo: GitRepo, shared: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push of commits starts one `git-runs`; a push of runs, at which git asks the hook as well, starts none."""
    program = tmp_path / "bin" / "git-runs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $2 >> '{tmp_path}/calls'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    repo.commit("on main")
    repo.git("push", "-q")
    assert (tmp_path / "calls").read_text().split() == ["post-commit", "pre-push"]
    push(open_repo(repo), "origin")
    assert "refs/runs/MyFlow/1" in runs_in(shared)
    assert (tmp_path / "calls").read_text().split() == ["post-commit", "pre-push"]


def test_the_users_own_hook_sees_a_push_once(repo: GitRepo, shared: GitRepo) -> None:
    """A push of commits that takes runs along does not ask the rest of the hook a second time, about the runs."""
    repo.git("config", "runs.autoPush", "true")
    with hook(repo, "pre-push").open("a") as script:
        script.write("\necho asked >> .git/asked\n")
    repo.commit("on main")
    make_run(repo)
    assert run_git(repo, "push", "-q").returncode == 0
    assert runs_in(shared) == ["refs/runs/MyFlow/1"]
    assert (repo.path / ".git/asked").read_text() == "asked\n"


def test_pushing_commits_takes_their_runs_along(repo: GitRepo, shared: GitRepo) -> None:
    """With runs.autoPush a plain `git push` sends the runs of what it pushes, and only these."""
    make_run(repo, tags=["a"])
    assert run_git(repo, "push", "-q").returncode == 0
    assert runs_in(shared) == []
    repo.git("config", "runs.autoPush", "true")
    repo.commit("on main")
    make_run(repo)
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("on side")
    make_run(repo)
    done = run_git(repo, "push", "-q", "origin", "main")
    assert (done.returncode, done.stderr) == (
        0,
        "git runs: runs to origin: 2 runs new, 1 tag added\n",
    )
    expected = ["refs/runs/@tags/MyFlow/a/1", "refs/runs/MyFlow/1", "refs/runs/MyFlow/2"]
    assert runs_in(shared) == expected
    run_git(repo, "push", "-q", "origin", "HEAD^{/on side}:refs/heads/side")
    assert runs_in(shared) == [*expected, "refs/runs/MyFlow/3"]
    assert run_git(repo, "push", "-q", "origin", "--delete", "side").returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["push", "--dry-run"], ["push", "-q", "origin", "main", "-n"],
        ["-c", "a.b=push", "push", "--dry-r", "-q"], ["try"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.sample(1)
def test_a_dry_run_sends_nothing(
    repo: GitRepo, shared: GitRepo, tmp_path: Path, words: list[str]
) -> None:
    """However it is asked for, also by an alias: a push that only tries takes no run along; the next one does."""
    write_program(
        tmp_path / "programs" / "git-runs", "-m", "gitflowrun.cli.git_runs.main", is_fresh=True
    )
    repo.git("config", "runs.autoPush", "true")
    repo.git("config", "alias.try", "push --dry-run")
    repo.commit("more")
    make_run(repo)
    assert run_git(repo, *words).returncode == 0
    assert runs_in(shared) == []
    assert run_git(repo, "push", "-q").returncode == 0
    assert runs_in(shared) == ["refs/runs/MyFlow/1"]


@pytest.mark.parametrize(
    ("line", "dry"),
    [
        ("git push origin main", False),
        ("git push --dry-run --no-dry-run", False),
        ("git push -o -n origin", False),
        ("git push -o-n origin", False),
        ("git push --push-option --dry-run", False),
        ("git push --repo -n", False),
        ("git push --delete origin x", False),
        ("git push -- -n", False),
        ("/usr/bin/git -C /x --no-pager push -fqn", True),
        ("git-push --dry", True),
        ("git push --no-dry-run -n", True),
        ("git --git-dir push push -vno x", True),
    ],
)
def test_command_lines_of_git_push(line: str, dry: bool) -> None:
    """Options are told from their values, wherever they stand."""
    arguments = push_arguments(line.split())
    assert arguments is not None
    assert asks_for_dry_run(arguments) is dry


@pytest.mark.parametrize(
    "line", ["", "git", "git fetch push", "sh -c push", "git -c push", "git-fetch -n"]
)
def test_command_lines_of_other_commands(line: str) -> None:
    """Only `push` is one."""
    assert push_arguments(line.split()) is None


def test_each_push_url_gets_runs_from_its_own_hook(
    repo: GitRepo, shared: GitRepo, tmp_path: Path
) -> None:
    """Git calls the hook once for each URL, and each call sends runs to that one."""
    other = tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    for path in (shared.path, other):
        repo.git("config", "--add", "remote.origin.pushurl", str(path))
    repo.git("config", "runs.autoPush", "true")
    repo.commit("more")
    make_run(repo)
    done = run_git(repo, "push", "-q")
    assert done.stderr.splitlines() == [
        f"git runs: runs to {path}: 1 run new" for path in (shared.path, other)
    ]
    assert runs_in(shared) == runs_in(GitRepo(other)) == ["refs/runs/MyFlow/1"]


def test_a_push_of_runs_does_not_push_again(repo: GitRepo, shared: GitRepo) -> None:
    """`git runs push` with the hook installed does not enter it."""
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    out = repo.runs("push")
    assert out.code == 0
    assert "runs to" not in out.err
    assert runs_in(shared) == ["refs/runs/MyFlow/1"]


@pytest.mark.parametrize(
    "words",
    [
        ["push", "--mirror", "origin"],
        ["push", "origin", "main", "refs/runs/*:refs/runs/*"],
        ["push", "--atomic", "origin", "main", "refs/runs/*:refs/runs/*"],
    ],
    ids=" ".join,
)
@pytest.mark.sample(1)
def test_runs_that_git_pushes_are_left_to_it(
    repo: GitRepo, shared: GitRepo, words: list[str]
) -> None:
    """Git has looked at the remote before it asks hooks, and would refuse refs that they have made meanwhile."""
    repo.git("config", "runs.autoPush", "true")
    for _ in range(2):
        repo.commit("more")
        make_run(repo, tags=["a"])
        done = run_git(repo, *words)
        assert done.returncode == 0, done.stderr
        assert runs_in(shared) == runs_in(repo)
        assert shared.git("rev-parse", "main") == repo.git("rev-parse", "main")


def test_hooks_behind_ours_read_their_input(repo: GitRepo, shared: GitRepo) -> None:
    """The user's pre-push script still gets git's lines on its standard input, and its refusal counts."""
    uninstall(open_repo(repo))
    own_hook(repo, "pre-push", '#!/bin/sh\nread -r line; echo "$line" > .git/seen; exit 1\n')
    install(open_repo(repo))
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    head = repo.commit("more")
    done = run_git(repo, "push", "-q")
    assert done.returncode == 1
    assert (
        (repo.path / ".git/seen").read_text().startswith(f"refs/heads/main {head} refs/heads/main ")
    )
    del shared


def test_hooks_behind_ours_get_an_empty_input(repo: GitRepo, shared: GitRepo) -> None:
    """A push that has nothing to send gives the user's script no line, not even an empty one."""
    uninstall(open_repo(repo))
    own_hook(repo, "pre-push", "#!/bin/sh -e\nwc -c >.git/seen\n")
    install(open_repo(repo))
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    repo.commit("more")
    run_git(repo, "push", "-q")
    assert int((repo.path / ".git/seen").read_text()) > 0
    assert run_git(repo, "push", "-q").returncode == 0
    assert int((repo.path / ".git/seen").read_text()) == 0
    del shared


def test_a_broken_hook_does_not_fail_a_push(repo: GitRepo, shared: GitRepo) -> None:
    """When runs can't be sent, the push of the branch goes on, with a line about it."""
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    deny = shared.path / "hooks" / "update"
    deny.write_text("#!/bin/sh\ncase $1 in refs/runs/*) exit 1;; esac\n")
    deny.chmod(0o755)
    head = repo.commit("more")
    done = run_git(repo, "push", "-q")
    assert done.returncode == 0
    assert "1 refused" in done.stderr
    assert shared.git("rev-parse", "main") == head
    repo.git("config", "runs.durability", "nonsense")
    head = repo.commit("even more")
    done = run_git(repo, "push", "-q")
    assert done.returncode == 0
    assert "runs.durability" in done.stderr
    assert shared.git("rev-parse", "main") == head


def test_hooks_find_git_runs_without_path(
    repo: GitRepo, shared: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of `git-runs` at the time of installation is searched after PATH."""
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    repo.commit("more")
    without = os.environ["PATH"].split(os.pathsep)[1:]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    assert run_git(repo, "push", "-q").returncode == 0
    assert runs_in(shared) == ["refs/runs/MyFlow/1"]


@pytest.mark.parametrize("gone", ["program", "interpreter", "package"])
@pytest.mark.sample(2)
def test_without_git_runs_a_push_says_that_runs_stay(
    repo: GitRepo, shared: GitRepo, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Once gitflowrun is uninstalled, git works, and a push that was to take runs along says that it took none."""
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    program = Path(os.environ["PATH"].split(os.pathsep)[0]) / "git-runs"
    if gone == "program":
        program.unlink()
    else:
        program.write_text(
            f"#!{sys.executable if gone == 'package' else '/gone/python'}\nimport gone\n"
        )
    for name in ("pre-push", "post-commit"):  # where these tests run, it may be installed for real
        hook = repo.path / ".git" / "hooks" / name
        hook.write_text(hook.read_text().replace(str(Path(sys.executable).parent), "/nowhere"))
    commit = run_git(repo, "commit", "-q", "--allow-empty", "-m", "x")
    assert (commit.returncode, gone == "program") == (0, commit.stderr == "")
    done = run_git(repo, "push", "-q")
    assert (done.returncode, runs_in(shared)) == (0, [])
    assert shared.git("rev-parse", "main") == repo.git("rev-parse", "HEAD")
    *_, told, hint = done.stderr.splitlines()
    assert "no runs were sent along" in told
    assert "`git runs hooks install`" in hint
    repo.git("config", "runs.autoPush", "false")
    repo.commit("more")
    assert run_git(repo, "push", "-q").stderr == ""
    uninstall(open_repo(repo))
    git = shutil.which("git")
    assert git is not None
    monkeypatch.setenv("PATH", f"{Path(git).parent}:/usr/bin:/bin")
    install(open_repo(repo))  # run from its sources: as a module of this Python
    repo.git("config", "runs.autoPush", "true")
    repo.commit("more")
    assert "1 run new" in run_git(repo, "push", "-q").stderr


def test_a_hook_without_a_program_imports_nothing_of_the_work_tree(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from its sources it is started by Python, which must not look for modules where others' commits are."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if "runs" in name else which(name))
    install(open_repo(repo))
    monkeypatch.undo()
    dirty_run(repo)
    for name in ("click.py", "gitflowrun.py", "json.py"):
        repo.write(name, "open('CANARY', 'w')")
    repo.git("add", "model.py")
    assert "this commit is" in run_git(repo, "commit", "-q", "-m", "x").stderr
    assert not (repo.path / "CANARY").exists()
