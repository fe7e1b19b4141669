"""Git hooks live beside the user's own, and go without a trace."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.porcelain.hooks import (
    HookState,
    Installed,
    install,
    state,
    uninstall,
)
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import open_repo
from tests.porcelain.hooks.scripts import hook, own_hook

HOOKS = ROOT / "hooks"


def states(hooks: list[HookState]) -> dict[str, Installed]:
    """How the hooks are."""
    return {it.name: it.installed for it in hooks}


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


def test_hooks_that_are_links_in_a_circle(repo: GitRepo) -> None:
    """One is told with what to do, their directory as what it is."""
    hooks = repo.path / ".git/hooks"
    (hooks / "pre-push").symlink_to("pre-push")
    reasons = {it.name: it.reason for it in install(open_repo(repo))}
    assert "which is not there" in reasons["pre-push"]
    shutil.rmtree(hooks)
    hooks.symlink_to("hooks")
    assert all("symbolic links" in it.reason for it in state(open_repo(repo)))


@pytest.mark.parametrize("executable", [True, False])
def test_where_modes_cannot_be_changed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, executable: bool
) -> None:
    """A hook is installed if its file is executable without that; else it is an error, and nothing is left."""

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    repository = open_repo(repo)
    before = sorted(path.name for path in (repo.path / ".git/hooks").iterdir())
    monkeypatch.setattr(Path, "chmod", refuse)
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
    shown = repo.call("hooks").out
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
        done = repo.call("hooks", "install")
        assert (done.code, path.read_text()) == (1, text)
        assert (
            "post-commit: edited: our lines were changed; `git runs hooks install --f" in done.out
        )
    path.write_text(changed)
    done = repo.call("hooks", "install", "--force")
    assert (done.code, path.read_text()) == (0, good)
    assert "post-commit: installed: what was edited was replaced" in done.out
    assert repo.call("hooks", "--force").code == 129
    cut = good.replace("# <<< git runs <<<\n", "")
    path.write_text(cut)
    assert repo.call("hooks", "install", "--force").code == 1
    done = repo.call("hooks", "uninstall")
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
    done = repo.call("hooks", "uninstall")
    assert done.code == 1
    assert "pre-push: can't be removed: it is a link to another script" in done.out
    assert "post-commit: not installed" in done.out
    assert "git runs hook pre-push" in target.read_text()
    hook(repo, "pre-push").unlink()
    assert repo.call("hooks", "uninstall").code == 0


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


@pytest.mark.parametrize(("scope", "linked"), [("--global", True), ("--system", False)])
def test_hooks_of_all_repositories_are_left_alone(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str, *, linked: bool
) -> None:
    """Where `core.hooksPath` is the user's or the machine's, nothing is installed, and the way out works.

    Also in a linked worktree, whose `.git` is a file.
    """
    here = GitRepo(tmp_path / "linked") if linked else repo
    if linked:
        repo.git("worktree", "add", "-q", str(here.path))
    place = tmp_path / "all-hooks"
    place.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "system"))
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM", raising=False)
    repo.git("config", scope, "core.hooksPath", str(place))
    found = install(open_repo(here))
    assert states(found) == dict.fromkeys(("post-commit", "pre-push"), Installed.BLOCKED)
    assert "for all repositories" in found[0].reason
    assert list(place.iterdir()) == []
    command = found[0].reason.split("`")[1]
    here.git(*shlex.split(command)[1:])
    assert states(install(open_repo(here))) == dict.fromkeys(
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
