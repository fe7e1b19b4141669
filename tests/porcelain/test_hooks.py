"""Git hooks live beside the user's own, do their work quietly, and never fail a git command."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.porcelain.hooks import (
    HookState,
    Installed,
    asks_for_dry_run,
    install,
    post_commit,
    push_arguments,
    state,
    uninstall,
)
from gitflowrun.porcelain.push import push
from gitflowrun.runs.listing import list_runs
from gitflowrun.runs.runs import Status
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

HOOKS = ROOT / "hooks"


@pytest.fixture(autouse=True)
def _git_runs_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a `git-runs` of this source tree on PATH."""
    program = tmp_path / "programs" / "git-runs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitflowrun.cli.git_runs.main "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def hook(repo: GitRepo, name: str) -> Path:
    """The script of a hook."""
    return repo.path / ".git" / "hooks" / name


def own_hook(repo: GitRepo, name: str, text: str, mode: int = 0o755) -> Path:
    """A hook of the user's."""
    path = hook(repo, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def states(hooks: list[HookState]) -> dict[str, Installed]:
    """How the hooks are."""
    return {it.name: it.installed for it in hooks}


def run_git(repo: GitRepo, *args: str) -> subprocess.CompletedProcess[str]:
    """Run git and keep what it said."""
    return subprocess.run(
        ["git", *args], cwd=repo.path, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", sorted(path.name for path in HOOKS.iterdir()))
@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_scripts_are_posix(name: str, shell: str) -> None:
    """The shipped scripts are executable and parse in common shells."""
    assert os.access(HOOKS / name, os.X_OK)
    try:
        subprocess.run([shell, "-n", str(HOOKS / name)], check=True)
    except FileNotFoundError:
        pytest.skip(f"no {shell} here")


def test_install_and_uninstall(repo: GitRepo) -> None:
    """Hooks are made executable, installing twice changes nothing, and uninstalling leaves nothing."""
    repository = open_repo(repo)
    before = sorted(path.name for path in (repo.path / ".git/hooks").iterdir())
    assert states(state(repository)) == dict.fromkeys(("post-commit", "pre-push"), Installed.NO)
    first = install(repository)
    assert states(first) == dict.fromkeys(("post-commit", "pre-push"), Installed.YES)
    assert all(it.changed for it in first)
    texts = [hook(repo, it.name).read_text() for it in first]
    assert stat.S_IMODE(hook(repo, "pre-push").stat().st_mode) == 0o755
    assert not any(it.changed for it in install(repository))
    assert [hook(repo, it.name).read_text() for it in first] == texts
    uninstall(repository)
    assert not any(it.changed for it in uninstall(repository))
    assert sorted(path.name for path in (repo.path / ".git/hooks").iterdir()) == before


@pytest.mark.parametrize("executable", [True, False])
def test_where_modes_cannot_be_changed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, executable: bool
) -> None:
    """A hook is installed if its file is executable without that; else it is an error, and nothing is left."""

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    repository = open_repo(repo)
    before = sorted(path.name for path in (repo.path / ".git/hooks").iterdir())
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(os, "access", lambda *_: executable)
    if executable:
        assert all(it.changed for it in install(repository))
        return
    with pytest.raises(RepositoryError, match=r"can't write the hook .*: Operation not permitted"):
        install(repository)
    assert sorted(path.name for path in (repo.path / ".git/hooks").iterdir()) == before


# What a release before the marker had a checksum installed as pre-push, but for where it found `git-runs`.
EARLIER = """\
# >>> git runs >>> (`git runs hooks uninstall` removes these lines)
# With runs.autoPush, sends the runs of pushed commits along. Never fails a push, and leaves its standard
# input to whatever hook comes after it. Installed by `git runs hooks install`.
if [ -z "${GITFLOWRUN_PUSHING-}" ] && [ "$(git config --type=bool runs.autoPush)" = true ] &&
	[ -n "$(git for-each-ref --count=1 refs/runs)" ]; then
	gitflowrun_input=$(cat)
	printf '%s\\n' "$gitflowrun_input" | (CALL pre-push "$@") || :
	exec <<-EOF
		$gitflowrun_input
	EOF
fi
# <<< git runs <<<
"""


@pytest.mark.parametrize(
    "call",
    [
        "PATH=\"$PATH\":'/a place/bin'; command -v git-runs >/dev/null && git runs hook",
        "'/a place/python' -m gitflowrun.cli.main hook",
        "/bin/python -c 'import sys; from a import (program); program()' hook",
    ],
)
def test_lines_of_another_release_are_replaced(repo: GitRepo, call: str) -> None:
    """Where they stand, and nothing else; the state before and the command say so; twice changes nothing."""
    mine = ("#!/bin/bash\necho before\n", "echo behind\n")
    path = own_hook(repo, "pre-push", EARLIER.replace("CALL", call).join(mine), 0o750)
    shown = repo.runs("hooks").out
    assert "pre-push: outdated: `git runs hooks install` replaces it (" in shown
    first = install(open_repo(repo))[1]
    assert (first.installed, first.changed) == (Installed.YES, True)
    assert "outdated" in first.reason
    text = path.read_text()
    assert text.startswith(mine[0])
    assert text.endswith(mine[1])
    assert text.count(">>>") == 2
    assert "a push of nothing" in text
    assert states(state(open_repo(repo)))["pre-push"] is Installed.YES
    assert not install(open_repo(repo))[1].changed
    # The next release knows these by their checksum.
    head, _, rest = text.partition("lines)")
    body = rest.partition("\n")[2].partition("# <<<")[0].replace("of nothing", "of something")
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    path.write_text(f"{head}lines) {digest}\n{body}# <<< git runs <<<\n{mine[1]}")
    assert states(state(open_repo(repo)))["pre-push"] is Installed.OUTDATED
    uninstall(open_repo(repo))
    assert path.read_text() == "".join(mine)


def test_lines_of_ours_that_were_changed_stay(repo: GitRepo) -> None:
    """They are named, exit code 1; --force replaces them; without their end nobody knows what to replace."""
    install(open_repo(repo))
    path = hook(repo, "post-commit")
    good = path.read_text()
    changed = good.replace("fi\n", "fi\necho mine\n")
    for text in (changed, good.replace("# Says", "# Said")):
        path.write_text(text)
        done = repo.runs("hooks", "install")
        assert (done.code, path.read_text()) == (1, text)
        assert (
            "post-commit: edited: our lines were changed; `git runs hooks install --f" in done.out
        )
    path.write_text(changed)
    done = repo.runs("hooks", "install", "--force")
    assert (done.code, path.read_text()) == (0, good)
    assert "post-commit: installed: what was edited was replaced" in done.out
    assert repo.runs("hooks", "--force").code == 129
    cut = good.replace("# <<< git runs <<<\n", "")
    path.write_text(cut)
    assert repo.runs("hooks", "install", "--force").code == 1
    done = repo.runs("hooks", "uninstall")
    assert (done.code, path.read_text()) == (1, cut)
    assert "the last of our lines" in done.out


def test_a_hook_that_was_copied_is_ours(tmp_path: Path) -> None:
    """As its text allows: it counts as installed, an older one is replaced, and it goes as a whole."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "hub.git")], check=True)
    repo = GitRepo(tmp_path / "hub.git")
    path = repo.path / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(HOOKS / "pre-receive", path)
    (found,) = install(open_repo(repo))
    assert (found.installed, found.changed) == (Installed.YES, False)
    (found,) = uninstall(open_repo(repo))
    assert (found.installed, path.exists()) == (Installed.NO, False)
    shutil.copy(HOOKS / "pre-receive", path)
    path.write_text(path.read_text() + "exit 0\n")  # the user's
    assert install(open_repo(repo))[0].changed
    uninstall(open_repo(repo))
    assert path.read_text().endswith("exit 0\n")


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho mine\nexit 0\n",
        "#!/usr/bin/env bash\nset -eu\nexec echo mine\n",
        "#!/bin/sh\necho mine",
        "#!/bin/sh\r\necho mine\r\n",
    ],
)
def test_hooks_of_the_user_stay(repo: GitRepo, text: str) -> None:
    """A script that was there keeps every byte and its mode, and gets them back."""
    path = own_hook(repo, "post-commit", text, 0o750)
    install(open_repo(repo))
    assert path.read_text() != text
    assert path.read_bytes().startswith(text.partition("\n")[0].encode() + b"\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    uninstall(open_repo(repo))
    assert path.read_bytes() == text.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_hooks_that_cannot_be_extended_are_left_alone(repo: GitRepo, tmp_path: Path) -> None:
    """Scripts in other languages, links and disabled scripts are not touched, and the reason is given."""
    python = own_hook(repo, "post-commit", "#!/usr/bin/python3\nprint('mine')\n")
    target = tmp_path / "shared-hook"
    target.write_text("#!/bin/sh\n")
    hook(repo, "pre-push").symlink_to(target)
    found = install(open_repo(repo))
    assert states(found) == dict.fromkeys(("post-commit", "pre-push"), Installed.BLOCKED)
    assert "git runs hook" in found[0].reason
    assert (python.read_text(), target.read_text()) == (
        "#!/usr/bin/python3\nprint('mine')\n",
        "#!/bin/sh\n",
    )
    assert states(uninstall(open_repo(repo))) == dict.fromkeys(
        ("post-commit", "pre-push"), Installed.NO
    )
    disabled = own_hook(repo, "post-commit", "#!/bin/sh\nexit 1\n", 0o644)
    assert "not executable" in install(open_repo(repo))[0].reason
    assert stat.S_IMODE(disabled.stat().st_mode) == 0o644


def test_our_lines_in_a_script_behind_a_link_are_not_removed(repo: GitRepo, tmp_path: Path) -> None:
    """They may be another repository's as well: the command says so and ends with 1."""
    install(open_repo(repo))
    target = hook(repo, "pre-push").rename(tmp_path / "shared-hook")
    hook(repo, "pre-push").symlink_to(target)
    done = repo.runs("hooks", "uninstall")
    assert done.code == 1
    assert "pre-push: can't be removed: it is a link to another script" in done.out
    assert "post-commit: not installed" in done.out
    assert "git runs hook pre-push" in target.read_text()
    hook(repo, "pre-push").unlink()
    assert repo.runs("hooks", "uninstall").code == 0


def test_a_hook_that_is_a_link_says_what_makes_it_a_script(repo: GitRepo, tmp_path: Path) -> None:
    """The command in the reason works: then our lines go into a copy, and the other script stays as it is."""
    script = tmp_path / "a shared hook"
    script.write_text("#!/bin/sh\ntrue\n")
    script.chmod(0o755)
    hook(repo, "pre-push").parent.mkdir(exist_ok=True)
    hook(repo, "pre-push").symlink_to(script)
    hook(repo, "post-commit").symlink_to("/nowhere/hook")
    for found in install(open_repo(repo)):
        assert found.installed is Installed.BLOCKED
        subprocess.run(found.reason.split("`")[1], shell=True, check=True)
    assert states(install(open_repo(repo))) == dict.fromkeys(
        ("post-commit", "pre-push"), Installed.YES
    )
    assert script.read_text() == "#!/bin/sh\ntrue\n"
    assert hook(repo, "pre-push").read_text().endswith("\ntrue\n")


@pytest.mark.parametrize("place", ["scripts/hooks", "{}/elsewhere"])
def test_hooks_path_is_respected(repo: GitRepo, tmp_path: Path, place: str) -> None:
    """Hooks go where `core.hooksPath` says, relative to the work tree or not."""
    place = place.format(tmp_path)
    repo.git("config", "core.hooksPath", place)
    install(open_repo(repo))
    assert (repo.path / place / "pre-push").exists()
    assert not hook(repo, "pre-push").exists()


@pytest.mark.parametrize("scope", ["--global", "--system"])
def test_hooks_of_all_repositories_are_left_alone(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """Where `core.hooksPath` is the user's or the machine's, nothing is installed, and the way out works."""
    place = tmp_path / "all-hooks"
    place.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "system"))
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM", raising=False)
    repo.git("config", scope, "core.hooksPath", str(place))
    found = install(open_repo(repo))
    assert states(found) == dict.fromkeys(("post-commit", "pre-push"), Installed.BLOCKED)
    assert "for all repositories" in found[0].reason
    assert list(place.iterdir()) == []
    command = found[0].reason.split("`")[1]
    repo.git(*command.split()[1:])
    assert states(install(open_repo(repo))) == dict.fromkeys(
        ("post-commit", "pre-push"), Installed.YES
    )
    assert hook(repo, "pre-push").exists()


@pytest.mark.parametrize("by_link", [False, True])
def test_tracked_hooks_are_left_alone(repo: GitRepo, by_link: bool) -> None:
    """Hooks that the project shares by git do not get our lines, which name a path of this machine."""
    repo.write("hooks/commit-msg", "#!/bin/sh\n")
    repo.commit()
    if by_link:
        shutil.rmtree(repo.path / ".git" / "hooks")
        (repo.path / ".git" / "hooks").symlink_to("../hooks")
    else:
        repo.git("config", "core.hooksPath", "hooks")
    found = install(open_repo(repo))
    assert states(found) == dict.fromkeys(("post-commit", "pre-push"), Installed.BLOCKED)
    assert "tracked" in found[0].reason
    assert repo.git("status", "--porcelain") == ""


def test_hooks_that_cannot_be_written_say_what_to_do(repo: GitRepo) -> None:
    """A directory that can't be made is named, with a hint."""
    (repo.path / "lost").symlink_to("/nonexistent/hooks")
    repo.git("config", "core.hooksPath", "lost")
    with pytest.raises(RepositoryError, match="can't write the hook") as caught:
        install(open_repo(repo))
    assert "core.hooksPath" in (caught.value.hint or "")


def test_worktrees_share_hooks(repo: GitRepo, tmp_path: Path) -> None:
    """Installed from a linked worktree, hooks are the repository's."""
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    install(open_repo(GitRepo(tmp_path / "linked")))
    assert hook(repo, "post-commit").exists()


def dirty_run(repo: GitRepo, content: str = "x = 2\n") -> None:
    """A run of uncommitted changes."""
    repo.write("model.py", content)
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)


def test_a_commit_of_what_a_run_ran_is_noted(repo: GitRepo) -> None:
    """Committing the work tree that a run saw says so, and leaves a git note."""
    install(open_repo(repo))
    own_text = hook(repo, "post-commit").read_text()
    hook(repo, "post-commit").write_text(own_text + "touch .git/mine\n")
    dirty_run(repo)
    repo.git("add", "-A")
    done = run_git(repo, "commit", "-q", "-m", "tune")
    assert done.returncode == 0
    assert done.stderr == "git runs: this commit is what run MyFlow/1 ran\n"
    assert (repo.path / ".git/mine").exists()
    assert repo.git("notes", "--ref=runs", "show", "HEAD").startswith("Run: MyFlow/1 ")
    assert "Notes (runs):" in repo.git("log", "-1", "--notes=runs")


def test_the_first_commit_of_all_may_be_what_a_run_ran(tmp_path: Path) -> None:
    """A run from before it had no commit to be clean against, and is listed as such."""
    repo = GitRepo(tmp_path / "young")
    repo.path.mkdir()
    repo.git("init", "-q")
    dirty_run(repo)
    (run,) = list_runs(open_repo(repo))
    assert (run.state.code_commit, run.state.dirty) == (None, True)
    repo.commit("first")
    assert post_commit(open_repo(repo)) == ["MyFlow/1"]


def test_other_commits_are_not_noted(repo: GitRepo) -> None:
    """A clean run, or a commit of something else, is no snapshot of a run."""
    make_run(repo)
    repo.commit("again")
    assert post_commit(open_repo(repo)) == []
    dirty_run(repo)
    repo.write("more.py", "")
    repo.commit("more than the run had")
    assert post_commit(open_repo(repo)) == []
    assert repo.git("for-each-ref", "refs/notes") == ""


def test_what_others_say_they_ran_is_not_noted(repo: GitRepo) -> None:
    """A run of a stranger's that has the code of one's commit is no reason to put its name there."""
    dirty_run(repo)
    first, tip = repo.git("rev-list", "refs/runs/MyFlow/1").split()[-1], "refs/runs/MyFlow/1"
    message = repo.git("show", "-s", "--format=%B", tip).partition("\nMac: ")[0]
    forged = repo.git("commit-tree", f"{tip}^{{tree}}", "-p", first, "-m", message)
    repo.git("update-ref", "refs/runs/MyFlow/2", forged)
    repo.git("add", "-A")
    repo.commit("tune")
    assert post_commit(open_repo(repo)) == ["MyFlow/1"]


def test_without_runs_no_python_is_started(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository without runs a hook ends in sh."""
    install(open_repo(repo))
    repo.git("config", "runs.autoPush", "true")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    done = run_git(repo, "commit", "-q", "--allow-empty", "-m", "x")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def shared(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`, to which hooks push runs."""
    path = tmp_path / "shared.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    repo.git("push", "-q", "-u", "origin", "main")
    install(open_repo(repo))
    return GitRepo(path)


def runs_in(repo: GitRepo) -> list[str]:
    """The refs of runs."""
    return repo.git("for-each-ref", "--format=%(refname)", "refs/runs").split()


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
def test_a_dry_run_sends_nothing(repo: GitRepo, shared: GitRepo, words: list[str]) -> None:
    """However it is asked for, also by an alias: a push that only tries takes no run along; the next one does."""
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


def test_hooks_are_silent_without_git_runs(
    repo: GitRepo, shared: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once gitflowrun is uninstalled, its hooks bother nobody."""
    repo.git("config", "runs.autoPush", "true")
    make_run(repo)
    program = Path(os.environ["PATH"].split(os.pathsep)[0]) / "git-runs"
    program.unlink()
    for name in ("pre-push", "post-commit"):  # where these tests run, it may be installed for real
        hook = repo.path / ".git" / "hooks" / name
        hook.write_text(hook.read_text().replace(str(Path(sys.executable).parent), "/nowhere"))
    assert run_git(repo, "commit", "-q", "--allow-empty", "-m", "x").stderr == ""
    assert run_git(repo, "push", "-q").stderr == ""
    assert runs_in(shared) == []
    uninstall(open_repo(repo))
    git = shutil.which("git")
    assert git is not None
    monkeypatch.setenv("PATH", f"{Path(git).parent}:/usr/bin:/bin")
    install(open_repo(repo))  # run from its sources: as a module of this Python
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


def test_post_commit_in_a_rebase_stays_silent(repo: GitRepo) -> None:
    """Replaying commits starts no Python for each of them."""
    install(open_repo(repo))
    dirty_run(repo)
    base = repo.commit("one")
    repo.write("b", "1")
    repo.commit("two")
    repo.git("notes", "--ref=runs", "remove", base)
    done = run_git(
        repo, "-c", "sequence.editor=sed -i s/^pick/reword/", "rebase", "-q", "-i", "HEAD~1"
    )
    assert "this commit is" not in done.stderr


def test_hooks_that_a_manager_has_moved_are_found(repo: GitRepo) -> None:
    """As pre-commit does it, to `NAME.legacy`, which it calls: they are installed, and can be taken away there."""
    install(open_repo(repo))
    directory = repo.path / ".git" / "hooks"
    for name in ("post-commit", "pre-push"):
        (directory / name).rename(directory / f"{name}.legacy")
        assert {it.installed for it in state(open_repo(repo)) if it.name == name} == {Installed.NO}
        (directory / name).write_text('#!/bin/sh\n"$0".legacy "$@"\n')
        (directory / name).chmod(0o755)
    told = repo.call("hooks").out
    assert "pre-push: installed: in pre-push.legacy, where another hook has moved it" in told
    before = (directory / "pre-push").read_bytes()
    assert not [it for it in install(open_repo(repo)) if it.changed]
    assert repo.call("hooks", "uninstall").code == 0
    assert not [*directory.glob("*.legacy")]
    assert {it.installed for it in state(open_repo(repo))} == {Installed.NO}
    assert (directory / "pre-push").read_bytes() == before
