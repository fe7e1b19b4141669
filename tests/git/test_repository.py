"""Discovery finds the repository git would find, and says clearly why it can't be used."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from gitflowrun.errors import NotARepository, RepositoryError
from gitflowrun.git.repository import Head, Repository
from gitflowrun.settings import Durability
from tests.helpers.repos import GitRepo, make_repo


def test_from_the_top_and_from_below(repo: GitRepo) -> None:
    """Any directory of the work tree leads to the same repository."""
    below = repo.path / "a" / "b"
    below.mkdir(parents=True)
    for start in (repo.path, below):
        found = Repository.discover(start)
        assert found.work_tree == repo.path
        assert found.git_dir == found.common_dir == repo.path / ".git"
        assert not found.is_bare


def test_current_directory(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a start, the process's directory counts."""
    monkeypatch.chdir(repo.path)
    assert Repository.discover().work_tree == repo.path


def test_linked_worktree(repo: GitRepo, tmp_path: Path) -> None:
    """A linked worktree has its own git directory and shares the common one."""
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    found = Repository.discover(tmp_path / "linked")
    assert found.work_tree == tmp_path / "linked"
    assert found.git_dir == repo.path / ".git" / "worktrees" / "linked"
    assert found.common_dir == repo.path / ".git"
    assert found.state_dir == repo.path / ".git" / "gitflowrun"


def test_bare(tmp_path: Path) -> None:
    """A bare repository has no work tree."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "b.git")], check=True)
    found = Repository.discover(tmp_path / "b.git")
    assert (found.is_bare, found.work_tree) == (True, None)
    assert found.git_dir == tmp_path / "b.git"


def test_inside_the_git_directory(repo: GitRepo) -> None:
    """Inside `.git` there is a repository, but no work tree."""
    found = Repository.discover(repo.path / ".git" / "refs")
    assert (found.git_dir, found.work_tree, found.is_bare) == (repo.path / ".git", None, False)


def test_submodule(repo: GitRepo, tmp_path: Path) -> None:
    """In a submodule its own repository is found, not the outer one."""
    other = make_repo(tmp_path / "other")
    repo.git("submodule", "--quiet", "add", str(other.path), "sub")
    found = Repository.discover(repo.path / "sub")
    assert found.work_tree == repo.path / "sub"
    assert found.git_dir == repo.path / ".git" / "modules" / "sub"
    assert found.head().commit is not None


def test_git_dir_of_the_environment(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and GIT_WORK_TREE say where the process is; an explicit start overrules them."""
    other = make_repo(tmp_path / "other")
    monkeypatch.chdir(other.path)
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
    assert Repository.discover().work_tree == other.path  # git takes the current directory then
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    found = Repository.discover()
    assert (found.git_dir, found.work_tree) == (repo.path / ".git", repo.path)
    assert Repository.discover(other.path).git_dir == other.path / ".git"


def test_relative_git_dir_as_hooks_have_it(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook's `GIT_DIR=.git` works, and further commands do not depend on the directory."""
    monkeypatch.chdir(repo.path)
    monkeypatch.setenv("GIT_DIR", ".git")
    found = Repository.discover()
    monkeypatch.chdir("/")
    assert found.head().branch == "main"


@pytest.mark.parametrize(
    "name", ["new\nline", " space ", "caf\udce9", "--gitflowrun-mark", "a:b\"c'"]
)
def test_paths_of_any_bytes(tmp_path: Path, name: str) -> None:
    """The path of a work tree may hold newlines, spaces, quotes and bytes that are no UTF-8."""
    path = tmp_path / name
    subprocess.run(["git", "init", "-q", os.fsencode(path)], check=True)
    found = Repository.discover(path)
    assert found.work_tree == path
    assert found.head() == Head(None, "main")
    assert found.config["core.bare"] == "false"


def test_symlinked_work_tree(repo: GitRepo, tmp_path: Path) -> None:
    """A link to the work tree leads to the real one."""
    (tmp_path / "link").symlink_to(repo.path)
    assert Repository.discover(tmp_path / "link").work_tree == repo.path


def test_no_repository(tmp_path: Path) -> None:
    """Outside of any repository the hint is to make one."""
    with pytest.raises(NotARepository, match=str(tmp_path)) as caught:
        Repository.discover(tmp_path)
    assert "git init" in (caught.value.hint or "")


def test_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that does not exist, or a current directory that was removed, is named."""
    with pytest.raises(RepositoryError, match="nowhere' does not exist"):
        Repository.discover(tmp_path / "nowhere")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RepositoryError, match="does not exist"):
        Repository.discover()


def test_wrong_git_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GIT_DIR that leads nowhere is git's complaint."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nothing"))
    with pytest.raises(RepositoryError, match="nothing"):
        Repository.discover()


def test_damaged_config(repo: GitRepo) -> None:
    """A config that git can't read is reported in its words."""
    repo.write(".git/config", "[core\n")
    with pytest.raises(RepositoryError, match="bad config line 1"):
        Repository.discover(repo.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give files away")
def test_dubious_ownership(repo: GitRepo) -> None:
    """A repository of somebody else is refused, with the command that trusts it."""
    for path in (repo.path, repo.path / ".git", repo.path / ".git" / "config"):
        os.chown(path, 12345, 12345)
    with pytest.raises(RepositoryError, match="belongs to somebody else") as caught:
        Repository.discover(repo.path)
    assert f"safe.directory '{repo.path}'" in (caught.value.hint or "")


def test_sha256(tmp_path: Path) -> None:
    """SHA-256 repositories are refused by name."""
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(tmp_path / "r")], check=True)
    with pytest.raises(RepositoryError, match="SHA-256"):
        Repository.discover(tmp_path / "r")


def test_reftable(repo: GitRepo) -> None:
    """Reftable repositories are refused by name, also where git itself is too old for them."""
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.refStorage", "reftable")
    with pytest.raises(RepositoryError, match="reftable"):
        Repository.discover(repo.path)


def test_unknown_extension(repo: GitRepo) -> None:
    """Extensions of the future are named."""
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.quantum", "true")
    with pytest.raises(RepositoryError, match="quantum"):
        Repository.discover(repo.path)


@pytest.mark.parametrize("config", ["bare = true", "bare = false", "worktree = ..", "worktree = /"])
@pytest.mark.parametrize("place", ["", "refs"])
def test_embedded_repository(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, config: str, place: str
) -> None:
    """A repository that came with a clone, bare or not as its config says, is used only when GIT_DIR says so."""
    inner = repo.path / "vendor" / "x.git"
    subprocess.run(["git", "init", "-q", "--bare", str(inner)], check=True)
    (inner / "config").write_text(f"[core]\n\trepositoryFormatVersion = 0\n\t{config}\n")
    with pytest.raises(RepositoryError, match="inside the work tree") as caught:
        Repository.discover(inner / place)
    assert "GIT_DIR" in (caught.value.hint or "")
    monkeypatch.setenv("GIT_DIR", str(inner))
    assert Repository.discover().git_dir == inner


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_worktrees_beside_a_bare_directory(repo: GitRepo, tmp_path: Path, *, link: bool) -> None:
    """A `.git` that leads to `.bare` makes it no stranger: no clone brings one along."""
    bare = tmp_path / "project" / ".bare"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    if link:
        (bare.parent / ".git").symlink_to(".bare")
    else:
        (bare.parent / ".git").write_text("gitdir: ./.bare\n")
    for place in (bare.parent, bare):
        assert Repository.discover(place).common_dir == bare.resolve()


def test_config_and_settings(repo: GitRepo) -> None:
    """Config is read once, with lower-case keys, values of any form, and the settings in it."""
    repo.git("config", "runs.Durability", "fast")
    repo.git("config", "remote.Up.stream.url", "x")
    repo.git("config", "a.multi", "line 1\nline 2")
    with (repo.path / ".git/config").open("a") as config:
        config.write("[flags]\n\tOn\n")
    found = Repository.discover(repo.path)
    assert found.settings.durability is Durability.FAST
    assert found.config["a.multi"] == "line 1\nline 2"
    assert found.config["flags.on"] == "true"
    assert found.remotes() == {"Up.stream": "x"}


def test_config_of_the_command_line(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git -c runs.durability=fast runs ...` reaches us."""
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'runs.durability'='fast'")
    assert Repository.discover(repo.path).settings.durability is Durability.FAST


def test_head(repo: GitRepo, tmp_path: Path) -> None:
    """HEAD has a commit, its tree, and a branch unless it is detached."""
    found = Repository.discover(repo.path)
    head = found.head()
    assert (str(head.commit), head.branch) == (repo.git("rev-parse", "HEAD"), "main")
    assert str(head.tree) == repo.git("rev-parse", "HEAD^{tree}")
    repo.git("checkout", "-q", "-b", "feature/x")
    assert found.head().branch == "feature/x"
    repo.git("checkout", "-q", "--detach")
    assert found.head().branch is None
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True)
    assert Repository.discover(tmp_path / "new").head() == Head(None, "main")


def test_the_branch_is_that_of_git(repo: GitRepo, tmp_path: Path) -> None:
    """Also before its first commit, in a linked worktree and by another name; a detached HEAD has none."""
    repo.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "topic/one")
    assert Repository.discover(tmp_path / "linked").branch == "topic/one"
    for command, branch in (
        (["symbolic-ref", "HEAD", "refs/heads/alias"], "main"),
        (["symbolic-ref", "HEAD", "refs/heads/unborn"], "unborn"),
        (["checkout", "-q", "--detach", "main"], None),
    ):
        repo.git(*command)
        assert (
            Repository.discover(repo.path).branch
            == branch
            == Repository.discover(repo.path).head().branch
        )


def test_names_that_are_no_utf_8(repo: GitRepo) -> None:
    """A name is converted from `i18n.commitEncoding`; a branch keeps its bytes, by which config finds it."""
    repo.git("config", "user.name", os.fsdecode(b"Jos\xe9"))
    repo.git("checkout", "-q", "-b", os.fsdecode(b"br\xe4nch"))
    opened = Repository.discover(repo.path)
    assert opened.signature().name == "Jos\ufffd"
    assert opened.head().branch == "br\udce4nch"
    repo.git("config", "i18n.commitEncoding", "ISO-8859-1")
    opened = Repository.discover(repo.path)
    assert opened.signature().name == "José"
    assert opened.readable("Zoë") == "Zoë"
    repo.git("config", "i18n.commitEncoding", "nothing-known")
    assert Repository.discover(repo.path).signature().name == "Jos\ufffd"


def test_signature(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The committer's identity is used; without any, login and host stand in."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Rebased")
    signature = Repository.discover(repo.path).signature()
    assert (signature.name, signature.email) == ("Ada Lovelace", "ada@example.org")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Bot")
    assert Repository.discover(repo.path).signature().name == "Bot"
    monkeypatch.delenv("GIT_COMMITTER_NAME")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    nobody = Repository.discover(repo.path).signature()
    assert nobody.name
    assert "@" in nobody.email
    assert nobody.encode()


def test_state_is_private_and_made_on_demand(repo: GitRepo) -> None:
    """Discovery writes nothing; state directories are for their owner only."""
    found = Repository.discover(repo.path)
    assert not found.state_dir.exists()
    place = found.state("a", "b")
    assert place == found.state_dir / "a" / "b"
    assert stat.S_IMODE(found.state_dir.stat().st_mode) == 0o700


def test_state_that_cannot_be_made(repo: GitRepo) -> None:
    """A repository that can't be written to is named."""
    found = Repository.discover(repo.path)
    (repo.path / ".git" / "gitflowrun").write_text("")
    with pytest.raises(RepositoryError, match=r"can't write to the repository .*a repo"):
        found.state("x")


def test_no_pygit2_for_listing(repo: GitRepo) -> None:
    """Discovery, config, HEAD, listing and reading refs import no pygit2."""
    done = repo.python(
        "-c",
        "import sys\n"
        "from gitflowrun.git.repository import Repository\n"
        "r = Repository.discover(); r.settings; r.head(); r.refs.rows('refs/'); r.refs.get('HEAD')\n"
        "r.objects.commit(r.head().commit)\n"
        "assert not {'pygit2', 'asyncio', 'random', 'ssl'} & set(sys.modules), sorted(sys.modules)",
    )
    assert done.code == 0, done.err
