"""The door to the git executable keeps other people's environment out and speaks git's words."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import CatFile, Git, git_message
from gitflowrun.git.environment import clean_environment
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.settings import Settings
from tests.helpers.repos import GitRepo


@pytest.fixture
def git(repo: GitRepo) -> Git:
    """Runs git in the repository."""
    return Git(repo.path / ".git", repo.path)


def test_environment_of_hooks_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hooks export about their repository goes, what users set about git stays."""
    local = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True
    )
    dropped = {
        *local.stdout.split(), "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_QUARANTINE_PATH", "GIT_PUSH_OPTION_0",
    } - {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}  # fmt: skip
    kept = {"GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL", "GIT_EXEC_PATH", "HOME"}
    monkeypatch.setattr(os, "environ", dict.fromkeys(dropped | kept, "x"))
    assert set(clean_environment()) == kept


def test_failure_has_gits_words(git: Git) -> None:
    """A failing command is an error with what git said, in one line."""
    with pytest.raises(RepositoryError, match=r"^git cat-file: .*nonsense") as caught:
        git.run("cat-file", "-p", "nonsense")
    assert "\n" not in str(caught.value)
    assert "fatal" not in str(caught.value)


def test_attempt_returns_failures(git: Git) -> None:
    """A failure can be a value."""
    done = git.attempt("rev-parse", "--verify", "-q", "nonsense")
    assert (done.code, done.out) == (1, b"")
    assert done.message == "git exited with status 1"


def test_failure_names_the_command_and_not_its_settings(git: Git) -> None:
    """What was set for one call (`-c`) is not what failed."""
    with pytest.raises(RepositoryError, match=r"^git cat-file: "):
        git.run("-c", "core.fsync=none", "-c", "core.x=y", "cat-file", "nonsense")


def test_words_tell_cause_and_consequence() -> None:
    """The first error and the fatal line count; hints and noise don't."""
    err = "warning: x\nerror: no space\nerror: more\nhint: y\nfatal: gave up\n"
    assert git_message(err) == "no space; gave up"
    assert git_message("something else\n") == "something else"
    assert git_message("") == ""


def test_input_and_variables(git: Git) -> None:
    """A command reads what it is given and sees the variables that are added."""
    assert (
        git.run("hash-object", "--stdin", stdin=b"x")
        == b"c1b0730e0133447badcfd47fd144e254807b06e1\n"
    )
    assert git.run("hash-object", "--stdin") == b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n"
    assert git.run("var", "GIT_EDITOR", env={"GIT_EDITOR": "ours"}) == b"ours\n"


def test_commands_run_in_their_repository(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the current directory nor GIT_DIR leads a command astray."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    assert git.run("ls-files") == b"README\n"


def test_git_that_is_not_there(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a git executable the error says so."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(RepositoryError, match="not installed") as caught:
        git.run("version")
    assert caught.value.hint == "install git 2.30 or newer"
    with pytest.raises(RepositoryError, match="not installed"):
        git.start("version")


def test_work_tree_that_is_gone(repo: GitRepo) -> None:
    """A directory that was removed is named."""
    with pytest.raises(RepositoryError, match="gone' does not exist"):
        Git(repo.path / ".git", repo.path / "gone").run("status")


def test_old_git_is_named(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that an old git does not understand brings the wanted version as a hint."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nfor word; do [ $word = version ] && echo "git version 2.17.1" && exit\ndone\nexit 129\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    with pytest.raises(RepositoryError) as caught:
        git.run("update-ref")
    assert caught.value.hint == "this is git 2.17; gitflowrun needs 2.30 or newer"


@pytest.mark.parametrize("hooks", [False, True])
def test_hooks_run_only_on_demand(repo: GitRepo, hooks: bool) -> None:
    """The user's hooks run only where the caller wants them."""
    hook = repo.write(".git/hooks/reference-transaction", "#!/bin/sh\ntouch canary\n")
    hook.chmod(0o755)
    Git(repo.path / ".git", repo.path, hooks=hooks).run("update-ref", "refs/x/y", "HEAD")
    assert bool(list(repo.path.rglob("canary"))) is hooks


def test_hooks_of_the_config_do_not_run(repo: GitRepo, git: Git) -> None:
    """Nor do hooks that git 2.54 takes from the config."""
    repo.git("config", "hook.mine.event", "reference-transaction")
    repo.git("config", "hook.mine.command", "touch canary; false")
    git.run("update-ref", "refs/x/y", "HEAD")
    assert not list(repo.path.rglob("canary"))
    assert "hook.reference-transaction.enabled=false" in git.command(["update-ref"])


def test_cat_file_reads_all_types(repo: GitRepo, git: Git) -> None:
    """Blobs, trees, commits and tags are read with their type; empty and big ones too."""
    repo.write("big", b"\0\n" * 500_000)
    repo.write("empty", b"")
    repo.commit()
    repo.git("tag", "-a", "-m", "x", "v1")
    with closing(CatFile(git)) as cat:
        for name, kind in (
            ("HEAD", ObjectType.COMMIT), ("HEAD^{tree}", ObjectType.TREE), ("v1", ObjectType.TAG)
        ):  # fmt: skip
            assert cat.read(Oid.from_hex(repo.git("rev-parse", name)))[0] is kind
        big = cat.read(Oid.from_hex(repo.git("rev-parse", "HEAD:big")))
        assert big == (ObjectType.BLOB, b"\0\n" * 500_000)
        assert cat.read(Oid.from_hex(repo.git("rev-parse", "HEAD:empty"))) == (ObjectType.BLOB, b"")


def test_cat_file_misses_and_goes_on(repo: GitRepo, git: Git) -> None:
    """A missing object is a KeyError; the process lives on, also after close."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    cat = CatFile(git)
    with pytest.raises(KeyError):
        cat.read(Oid(b"\1" * 20))
    assert cat.read(head)[0] is ObjectType.COMMIT
    cat.close()
    cat.close()
    assert cat.read(head)[0] is ObjectType.COMMIT
    cat.close()


def test_cat_file_reports_damage(repo: GitRepo, git: Git) -> None:
    """An object that git can't inflate is an error that names it, and reading goes on."""
    oid = repo.git("hash-object", "-w", "--stdin", stdin=os.urandom(3000))
    path = repo.path / ".git/objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    with closing(CatFile(git)) as cat:
        with pytest.raises(RepositoryError):
            cat.read(Oid.from_hex(oid))
        assert cat.read(Oid.from_hex(repo.git("rev-parse", "HEAD")))[0] is ObjectType.COMMIT


def test_cat_file_survives_its_process(repo: GitRepo, git: Git) -> None:
    """A process that was killed is reported once and replaced."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    with closing(CatFile(git)) as cat:
        cat.read(head)
        assert cat._process is not None
        cat._process.kill()
        cat._process.wait()
        with pytest.raises(RepositoryError):
            cat.read(head)
        assert cat.read(head)[0] is ObjectType.COMMIT


def test_cat_file_in_threads_and_children(repo: GitRepo, git: Git) -> None:
    """Threads share one process without mixing answers; a forked child does not steal them."""
    oids = [
        Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"%d" % n)) for n in range(20)
    ]
    cat = CatFile(git)
    wrong: list[int] = []

    def work() -> None:
        for number, oid in enumerate(oids * 5):
            if cat.read(oid)[1] != b"%d" % (number % 20):
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if child == 0:
        os._exit(0 if cat.read(oids[3])[1] == b"3" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cat.read(oids[4])[1] == b"4"
    assert not wrong
    cat.close()


def test_replaced_objects_are_read_as_they_are(repo: GitRepo, git: Git) -> None:
    """`git replace` changes what people see, not what a record's id stands for."""
    ours = repo.git("hash-object", "-w", "--stdin", stdin=b"ours")
    other = repo.git("hash-object", "-w", "--stdin", stdin=b"other")
    repo.git("replace", ours, other)
    with closing(CatFile(git)) as cat:
        assert cat.read(Oid.from_hex(ours))[1] == b"ours"


_ASKS = """
import os, signal, sys
from pathlib import Path
from gitflowrun.git.command import Git

{setup}
git = Git(Path(".git").absolute(), Path.cwd())
print(git.attempt("rev-parse", "--verify", "-q", "nonsense").code)
print(git.attempt("-c", "alias.x=!kill -9 $$", "x").code)
print(git.run("hash-object", "--stdin", stdin=b"some" * 100_000).decode().strip())
print(signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN)
"""


def test_an_exit_code_is_gits_own_where_children_are_not_waited_for(repo: GitRepo) -> None:
    """A program that ignores SIGCHLD gets the same answers as any other, and goes on ignoring it."""
    usual = repo.python("-c", _ASKS.format(setup=""))
    ignoring = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    done = repo.python("-c", _ASKS.format(setup=ignoring))
    assert usual.out.splitlines()[0] == "1"
    assert done.out.splitlines()[:-1] == usual.out.splitlines()[:-1], done.err
    assert done.out.splitlines()[-1] == "True"


_HANDS_ON = """
import fcntl, os, signal
from pathlib import Path
from gitflowrun.git.command import Git

def is_free():
    with open("lock", "w") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True

signal.signal(signal.SIGCHLD, signal.{handler})
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
git = Git(Path(".git").absolute(), Path.cwd())
process = git.start("cat-file", "--batch", inherited=(lock,))
os.close(lock)
print(is_free())
process.communicate()
print(process.returncode, is_free())
"""


@pytest.mark.parametrize("handler", ["SIG_DFL", "SIG_IGN"])
def test_git_holds_a_lock_as_long_as_it_runs(repo: GitRepo, handler: str) -> None:
    """A lock that it was handed is held by it when we are gone, until it ends."""
    done = repo.python("-c", _HANDS_ON.format(handler=handler))
    assert done.out.split() == ["False", "0", "True"], done.err


def test_a_git_that_is_not_there_is_told_where_children_are_not_waited_for(repo: GitRepo) -> None:
    """The interpreter that stands between passes on why a program can't be started."""
    code = _ASKS.format(setup="signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    done = repo.python("-c", code, env={"PATH": "/nowhere"})
    assert "RepositoryError: git is not installed, or not on PATH" in done.err


def test_a_lost_exit_code_is_an_error(repo: GitRepo) -> None:
    """Where somebody else waits for whatever has ended, nobody takes a failure of git for success."""
    somebody = "waitid = os.waitid; os.waitid = lambda *of: (os.waitpid(-1, 0), waitid(*of))"
    done = repo.python("-c", _ASKS.format(setup=somebody))
    assert "RepositoryError: nobody knows whether `git " in done.err
    assert done.out == ""


def test_lists_in_the_config_have_all_their_values(repo: GitRepo, git: Git) -> None:
    """Several values of a setting that is a list count, those after an empty one; of any other the last."""
    for value in ("a", "", "*.bin", "data:tmp"):
        repo.git("config", "--add", "runs.snapshot.exclude", value)
    for value in ("HOME SHELL", "EDITOR"):
        repo.git("config", "--add", "runs.env", value)
    for value in ("ada", "bob"):
        repo.git("config", "--add", "runs.user", value)
    settings = Settings.parse(git.config, {})
    assert settings.snapshot_exclude[-3:] == ("*.bin", "data", "tmp")
    assert "a" not in settings.snapshot_exclude
    assert (settings.env, settings.user) == (("HOME", "SHELL", "EDITOR"), "bob")


def test_a_text_without_a_value_is_not_set(repo: GitRepo, git: Git) -> None:
    """`user` without `=` is nobody called `true`; a switch is on."""
    with (repo.path / ".git" / "config").open("a") as file:
        file.write('[runs]\n\tuser\n\tnamespace\n\tenv\n\tautoPush\n[remote "x"]\n\turl\n')
    settings = Settings.parse(git.config, {})
    assert (settings.user, settings.namespace, settings.env) == (None, None, ())
    assert settings.auto_push
    assert "remote.x.url" not in git.config
