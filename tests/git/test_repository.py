"""Discovery finds the repository git would find, and says clearly why it can't be used."""

from __future__ import annotations

import getpass
import os
import stat
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitflowrun.errors import NotARepository, RepositoryError, UnusableRepository
from gitflowrun.git import repository as repository_module
from gitflowrun.git.command import Git
from gitflowrun.git.repository import REPOSITORY, Head, Repository
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


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("HEAD", "directory", "Is a directory"),
        ("HEAD", "circle", "Too many levels of symbolic links"),
        ("refs", "circle", "Too many levels of symbolic links"),
        ("objects", "circle", "Too many levels of symbolic links"),
    ],
)
def test_one_that_git_can_not_read(repo: GitRepo, name: str, damage: str, words: str) -> None:
    """Git says that there is none, and `git init` would be no help; from below, too."""
    below = repo.write("below/file", "").parent
    path = repo.path / ".git" / name
    path.rename(path.with_name("old"))
    if damage == "circle":
        path.symlink_to(name)
    else:
        path.mkdir()
    for cwd in (repo.path, below):
        with pytest.raises(UnusableRepository) as caught:
            Repository.discover(cwd)
        assert (
            caught.value.message == f"git can't use the repository at '{repo.path}/.git': {words}"
        )
        assert "git init" not in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["HEAD", "refs", "objects"])
def test_one_that_lacks_a_part_is_none(repo: GitRepo, name: str) -> None:
    """As for git: a directory may be called so."""
    path = repo.path / ".git" / name
    path.rename(path.with_name("old"))
    with pytest.raises(NotARepository):
        Repository.discover(repo.path)


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


def test_state_that_is_a_link_is_refused(repo: GitRepo, tmp_path: Path) -> None:
    """Nothing is written where a prepared repository has it lead."""
    (tmp_path / "mine").mkdir()
    (repo.path / ".git" / "gitflowrun").symlink_to(tmp_path / "mine")
    with pytest.raises(RepositoryError, match="gitflowrun is a symbolic link"):
        Repository.discover(repo.path).state("x")
    assert [*(tmp_path / "mine").iterdir()] == []


@pytest.mark.parametrize("dot_git", ["round", "shut", "other"])
def test_a_repository_beside_a_dot_git_that_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dot_git: str
) -> None:
    """A link in a circle is none; one that can't be read, or leads elsewhere, has not named it."""
    inner = tmp_path / "work" / "inner"
    subprocess.run(["git", "init", "-q", "--bare", str(inner)], check=True)
    beside = inner.parent / ".git"
    if dot_git == "round":
        beside.symlink_to(".git")
        assert Repository.discover(inner).is_bare
        return
    beside.write_text(f"gitdir: {inner if dot_git == 'shut' else tmp_path}\n")
    read = Path.read_bytes

    def shut(path: Path) -> bytes:
        if path == beside and dot_git == "shut":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", shut)
    with pytest.raises(UnusableRepository, match=r"without `\.git` inside the work tree"):
        Repository.discover(inner)


def test_the_branch_costs_no_git(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for by every run, and read from a file."""
    opened = Repository.discover(repo.path)
    monkeypatch.setattr(Git, "attempt", lambda *_: pytest.fail("git was asked"))
    assert opened.branch == "main"


def test_a_branch_that_can_not_be_read_here_is_gits(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again where a file is just being replaced."""
    opened = Repository.discover(repo.path)

    def fails(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fails)
    assert opened.branch == "main"


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
    """The committer's identity is used, or the author's; without any, login and host stand in."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Rebased")
    author, signature = Repository.discover(repo.path).signatures()
    assert (author.name, author.email) == ("Somebody Rebased", "ada@example.org")
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


_NAMES = ("GIT_{0}_NAME", "{1}.name", "user.name", "")
_EMAILS = ("GIT_{0}_EMAIL", "{1}.email", "user.email", "EMAIL", "")


@pytest.mark.parametrize("role", ["author", "committer"])
@pytest.mark.parametrize("first", range(5))
def test_who_an_author_or_committer_is(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, first: int, role: str
) -> None:
    """The environment goes before the config, and a role before a user, as in git; at last it is the login."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    names, emails = ([key.format(role.upper(), role) for key in keys] for keys in (_NAMES, _EMAILS))
    for keys in (names, emails):
        for key in keys[first:]:
            if key.isupper():
                monkeypatch.setenv(key, key)
            elif key:
                repo.git("config", key, key)
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    author, committer = Repository.discover(repo.path).signatures()
    signature = author if role == "author" else committer
    assert signature.name == (names[min(first, 3)] or "ada")
    assert signature.email == (emails[first] or f"ada@{os.uname().nodename}")

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert repository_module._login() == f"uid{os.getuid()}"


def test_when_a_commit_is_made(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds since 1970, before which git knows no time, and minutes east of Greenwich."""
    found = Repository.discover(repo.path)
    for now, offset, seconds, minutes in (
        (-5.0, 0, 0, 0),
        (0.9, 7200, 0, 120),
        (7.9, -3600, 7, -60),
    ):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        zone = SimpleNamespace(tm_gmtoff=offset)
        monkeypatch.setattr(time, "localtime", lambda _, zone=zone: zone)
        signature = found.signature()
        assert (signature.seconds, signature.offset) == (seconds, minutes)


@pytest.mark.parametrize(
    ("err", "kind", "words", "hint"),
    [
        ("fatal: not a git repository (or any of the parent directories): .git", NotARepository,
         "is not in a git", "git init"),
        ("fatal: detected dubious ownership in repository at '/it's/x'", RepositoryError,
         "trust the repository \"/it's/x\"", "safe.directory"),
        ("fatal: unsafe repository ('/x' is owned by someone else)", RepositoryError,
         "trust the repository '/x'", "/x"),
        ("fatal: unsafe repository", RepositoryError,
         "trust the repository '{0}'", "{0}"),
        ("fatal: unknown repository extensions found:\n\tquantum\n\tfoam", RepositoryError,
         "needs a newer git: unknown repository extensions found: quantum foam", "install the git"),
        ("fatal: Expected git repo version <= 1, found 9", RepositoryError,
         "needs a newer git: Expected", "install the git"),
        ("fatal: unknown repository extension found:\n\trefstorage", RepositoryError,
         "reftable format", "git refs migrate"),
        ("fatal: cannot use bare repository (safe.bareRepository is 'explicit')", RepositoryError,
         "can't use the repository at '{0}': cannot", "GIT_DIR={0}"),
        ("fatal: what else", RepositoryError, "can't use the repository at '{0}': what else", "git -C {0} status"),
    ],
)  # fmt: skip
def test_words_for_what_can_not_be_used(
    tmp_path: Path, err: str, kind: type[RepositoryError], words: str, hint: str
) -> None:
    """Each of git's complaints has its own, and a hint that helps."""
    try:
        found: RepositoryError = repository_module._refusal(err + "\n", tmp_path)
    except RepositoryError as error:
        found = error
    assert isinstance(found, kind)
    assert (type(found) is NotARepository) is (kind is NotARepository)
    assert words.format(tmp_path) in found.message
    assert hint.format(tmp_path) in str(found.hint)


@pytest.mark.parametrize(
    ("config", "is_partial"),
    [
        ({}, False), ({"extensions.partialclone": "origin"}, True), ({"remote.a.promisor": "true"}, True),
        ({"other.a.promisor": "true"}, False), ({"remote.a.url": "true"}, False),
    ],
)  # fmt: skip
def test_a_partial_clone_is_known(repo: GitRepo, config: dict[str, str], is_partial: bool) -> None:
    """By what git itself goes by; and a remote by its URL."""
    for key, value in config.items():
        repo.git("config", key, value)
    found = Repository.discover(repo.path)
    assert found.is_partial is is_partial
    assert found.remotes() == ({"a": "true"} if "remote.a.url" in config else {})


def test_git_as_one_types_it(repo: GitRepo, tmp_path: Path) -> None:
    """Where the user is in the work tree, as it is; elsewhere, or in another repository within, with the place."""
    found = Repository.discover(repo.path)
    make_repo(repo.path / "inner")
    (repo.path / "a/b").mkdir(parents=True)
    there = f"git -C '{repo.path}'"
    for place, words in (
        (repo.path, "git"), (repo.path / "a/b", "git"), (repo.path / "inner", there), (tmp_path, there),
        (repo.path / "inner/.git", there),
    ):  # fmt: skip
        assert found.git_from(str(place)) == words
    assert found.git_from(None) == there


def test_a_repository_that_another_process_has_found(repo: GitRepo) -> None:
    """It is taken as it is, with its config: git is not asked again."""
    place = REPOSITORY.dump(Repository.discover(repo.path))
    opened = Repository.opened(place, {"runs.durability": "fast"})
    assert opened == Repository.discover(repo.path)
    assert opened.config == {"runs.durability": "fast"}
    assert opened.settings.durability is Durability.FAST
    assert opened.packs._sync is False
    assert Repository.discover(repo.path).packs._sync


def test_the_state_of_a_shared_repository(repo: GitRepo) -> None:
    """What was private before it was shared is for the group as well, and so are its packs."""
    Repository.discover(repo.path).state("x")
    repo.git("config", "core.sharedRepository", "group")
    found = Repository.discover(repo.path)
    assert found.shared_mode == found.packs._shared == 0o2770
    found.state("x", "y")
    assert stat.S_IMODE(found.state_dir.stat().st_mode) & 0o2770 == 0o2770
    found.state_dir.chmod(0o2777)
    found.state("x")
    assert stat.S_IMODE(found.state_dir.stat().st_mode) == 0o2777


def test_what_tells_that_space_was_freed(repo: GitRepo) -> None:
    """A stamp, or nothing where none was."""
    found = Repository.discover(repo.path)
    assert found.freed_stamp() == ""
    (found.state() / "freed").write_text("then")
    assert found.freed_stamp() == "then"


def test_refs_are_read_where_locks_can_not_be_looked_at(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says of old locks, refs are there."""
    seen: list[tuple[Path, Path]] = []

    def fails(*places: Path) -> None:
        seen.append((places[0], places[1]))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("gitflowrun.git.ref_locks.recover_locks", fails)
    found = Repository.discover(repo.path)
    assert found.refs.get("refs/heads/main")
    assert seen == [(found.common_dir, found.state_dir / "stale-locks")]
