"""The door to the git executable keeps other people's environment out and speaks git's words."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError, TooLarge
from gitflowrun.git.command import (
    BOUNDED,
    FOR_FILES,
    CatFile,
    Completed,
    Git,
    Process,
    Resident,
    git_message,
)
from gitflowrun.git.environment import clean_environment, leave_the_hook
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.limits import LISTED, MAX_MESSAGES
from gitflowrun.settings import Settings
from gitflowrun.utilities import threads
from tests.helpers.flows import eventually
from tests.helpers.refs import git_children
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


def test_a_task_does_not_inherit_the_hook_that_started_its_flow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What git exports goes, with its `-c`, and an identity that it has set with a date; the user's own stays."""
    kept = {
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@x", "GIT_CONFIG_COUNT": "0", "GIT_SSH_COMMAND": "ssh",
        "HOME": "/", "A_DATE": "today",
    }  # fmt: skip
    gone = {
        "GIT_AUTHOR_NAME": "Bob", "GIT_AUTHOR_EMAIL": "bob@x", "GIT_AUTHOR_DATE": "@1 +0000", "GIT_DIR": "x",
        "GIT_CONFIG_PARAMETERS": "'a.b=c'", "GIT_PUSH_OPTION_0": "x", "GIT_INDEX_FILE": "x",
    }  # fmt: skip
    environment = kept | gone
    monkeypatch.setattr(os, "environ", environment)
    leave_the_hook()
    assert environment == kept


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
    assert git_message("fatal: first\nfatal: second\n") == "first"
    assert git_message("x\ny\n") == "y"


def test_an_end_without_words_is_told_by_its_code() -> None:
    """A signal by its name, unless git has said something; any other end by its status."""
    for code, err, message in (
        (-9, "", "git was ended by signal 9 (Killed)"), (-15, " \n", "git was ended by signal 15 (Terminated)"),
        (-9, "fatal: x\n", "x"), (-9, "warning: x\n", "git was ended by signal 9 (Killed)"),
        (1, "", "git exited with status 1"), (0, "", "git exited with status 0"),
    ):  # fmt: skip
        assert Completed(code, b"", err).message == message


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
    assert caught.value.hint == "install git 2.34 or newer"
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
    assert caught.value.hint == "this is git 2.17; gitflowrun needs 2.34 or newer"


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


def test_every_way_to_run_git_runs_it_in_the_work_tree(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path means what the index means, wherever we are; variables and input arrive, messages come back."""
    monkeypatch.chdir(tmp_path)
    oid = git.run("hash-object", "README")
    assert git.run_within(60, "hash-object", "README") == oid
    assert git.converse("hash-object", "README", env={}).out == oid
    assert git.converse("hash-object", "--stdin-paths", env={}, stdin=b"README\n").out == oid
    assert git.read("hash-object", "--stdin-paths", stdin=b"README\n", most=len(oid)).out == oid
    assert git.start("hash-object", "README").communicate()[0] == oid
    said = {"GIT_EDITOR": "ours"}
    for out in (
        git.run_within(60, "var", "GIT_EDITOR", env=said),
        git.converse("var", "GIT_EDITOR", env=said).out,
        git.start("var", "GIT_EDITOR", env=said).communicate()[0],
    ):
        assert out == b"ours\n"
    for done in (
        git.converse("cat-file", "-p", "nonsense", env={}),
        git.read("cat-file", "-p", "nonsense", most=9),
    ):
        assert (done.code, done.message) == (128, "Not a valid object name nonsense")
    with pytest.raises(RepositoryError, match=r"^git cat-file: Not a valid object name nonsense"):
        git.run_within(60, "cat-file", "-p", "nonsense")
    with (tmp_path / "out").open("w+b") as file:
        assert git.converse("hash-object", "README", env={}, stdout=file).out == b""
        assert git.attempt("hash-object", "README", stdout=file).out == b""
        file.seek(0)
        assert file.read() == oid * 2
        file.seek(0)
        assert git.start("hash-object", "--stdin-paths", stdin=file).communicate()[0] == b""
        file.seek(0)
        assert git.attempt("hash-object", "--stdin", stdin=file).out != git.run(
            "hash-object", "--stdin"
        )


def test_messages_of_a_start_go_nowhere(git: Git, capfd: pytest.CaptureFixture[str]) -> None:
    """What git says to nobody does not come out at the terminal."""
    process = git.start("cat-file", "-p", "nonsense")
    assert (process.communicate()[0], process.returncode) == (b"", 128)
    assert capfd.readouterr() == ("", "")


def test_of_endless_messages_both_ends_are_kept(git: Git) -> None:
    """A server may say as much as it likes: the first of it and the last are enough."""
    done = git.converse("-c", "alias.x=!seq 400000 >&2", "x", env={})
    said = "".join(f"{number}\n" for number in range(1, 400_001))
    assert len(said) > 2 * MAX_MESSAGES >= 2 * len(done.err)
    assert done.err.startswith(said[: MAX_MESSAGES // 4])
    assert done.err.endswith(said[-MAX_MESSAGES // 8 :])


def test_what_git_has_said_at_last_is_heard(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though whoever listens is late."""
    start = threads.start

    def late(work: Callable[[], object]) -> object:
        def begin() -> None:
            time.sleep(0.2)
            work()

        return start(begin)

    monkeypatch.setattr(threads, "start", late)
    done = git.converse("cat-file", "-p", "nonsense", env={})
    assert done.message == "Not a valid object name nonsense"


def test_git_that_nobody_can_listen_to(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread for its messages it is not started."""
    monkeypatch.setattr(threads, "start", lambda _: None)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(RepositoryError, match="the system gives no more threads"):
        git.converse("version", env={})
    assert len([*Path("/proc/self/fd").iterdir()]) == before


_TELLS_LIMITS = """!f() { for n in $(seq 100); do
    grep -q "$1  *unlimited" /proc/$PPID/limits || break; sleep 0.05
done; grep -E "$2" /proc/$PPID/limits; }; f"""


def test_what_reads_anybodys_objects_is_limited(git: Git) -> None:
    """By the time that it may take, without a core file, or by the memory for what it lists, and each allocation."""
    out = git.run_within(
        50, "-c", f"alias.x={_TELLS_LIMITS}", "x", "Max cpu time", "cpu time|core file"
    )
    rows = [line.split()[-4:] for line in out.decode().splitlines() if "unlimited" not in line]
    assert [row[-3:] for row in rows] == [["50", "51", "seconds"], ["0", "0", "bytes"]]
    tells = git.read("-c", f"alias.x={_TELLS_LIMITS}", "x", "Max data size", "data size", most=2000)
    assert tells.out.split()[-3:-1] == [str(LISTED + 2000).encode()] * 2
    limited = ("-c", f"alias.x={_TELLS_LIMITS}", "x", "Max data size", "data size")
    tells = git.converse(*limited, env={}, memory=5_000_000_000)
    assert tells.out.split()[-3:-1] == [b"5000000000"] * 2
    shows = git.read("-c", "alias.x=!echo $GIT_ALLOC_LIMIT", "x", most=2000)
    assert shows.out.decode().strip() == BOUNDED["GIT_ALLOC_LIMIT"]


def test_a_limit_that_can_not_be_set_stops_nothing(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git has ended by then, or we may allow it less anyway."""

    def refuse(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(resource, "prlimit", refuse)
    assert git.run_within(9, "rev-parse", "--git-dir")
    assert git.read("rev-parse", "--git-dir", most=4000).code == 0


@pytest.mark.parametrize("number", ["XCPU", "KILL"])
def test_git_that_takes_too_long_is_told(git: Git, number: str) -> None:
    """The system ends it, by either signal, and the error says for what."""
    with pytest.raises(TooLarge, match="more than 7 s of processor time"):
        git.run_within(7, "-c", f"alias.x=!kill -{number} $PPID; sleep 1", "x")


def test_a_list_may_be_as_long_as_is_said(git: Git) -> None:
    """Not a byte longer."""
    out = git.run("ls-files")
    assert git.read("ls-files", most=len(out)).out == out
    with pytest.raises(TooLarge, match="more than 6 bytes"):
        git.read("ls-files", most=len(out) - 1)


def test_an_interrupted_wait_ends_git(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches whoever waits; git does not go on alone."""
    seen: list[Process] = []
    assert git.config  # asked for once

    def interrupt(self: Process, *_: object) -> None:
        seen.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Process, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        git.attempt("cat-file", "--batch", stdin=b"x")
    assert seen[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_process_tells_its_own_end(
    git: Git, monkeypatch: pytest.MonkeyPatch, handler: signal.Handlers
) -> None:
    """However it is asked; where SIGCHLD is ignored another interpreter, which sees nothing of ours, stands between."""
    monkeypatch.setattr(signal, "getsignal", lambda _: handler)
    process: Any = git.start("cat-file", "--batch")
    assert process.args[:4] == (
        [sys.executable, "-I", "-S", "-c"] if handler is signal.SIG_IGN else git.command(["cat-file"])[:4]
    )  # fmt: skip
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.stdin.close()
    assert process.wait(30) == process.poll() == process.wait() == 0
    process.stdout.close()
    for ends in (process.__class__.wait, process.__class__.poll):
        failed: Any = git.start("rev-parse", "--verify", "-q", "nonsense")
        while (code := ends(failed)) is None:
            time.sleep(0.01)
        assert code == failed.returncode == 1
        failed.stdin.close()
        failed.stdout.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(failed.pid, os.WNOHANG)
    killed = git.start("cat-file", "--batch")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_start_that_fails_leaves_nothing_open(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, handler: signal.Handlers
) -> None:
    """The pipes that were made for it are closed."""
    monkeypatch.setattr(signal, "getsignal", lambda _: handler)
    git = Git(repo.path / ".git", repo.path / "gone")
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(RepositoryError, match="gone' does not exist"):
        git.start("version")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_git_that_may_not_be_started(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's word, and what to look at."""
    (tmp_path / "git").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (git.run, git.start, lambda *words: git.read(*words, most=9)):
        with pytest.raises(
            RepositoryError, match="git can't be started: Permission denied"
        ) as caught:
            call("version")
        assert "the git on PATH must be yours to use" in str(caught.value.hint)


def test_a_version_that_is_no_cause_is_no_hint(
    repo: GitRepo, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a command line that no git understands, or of one that the oldest we take refuses."""
    with pytest.raises(RepositoryError, match="git update-ref: ") as caught:
        git.run("update-ref", "--nonsense")
    assert caught.value.hint is None
    fake = repo.write(
        "bin/git",
        "#!/bin/sh\nfor w; do [ $w = version ] && echo git version 2.34.1 && exit; done; exit 129\n",
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    assert git.version() == (2, 34)
    assert git.failure(["x"], Completed(129, b"", "")).hint is None


def test_what_the_config_names_is_told_apart(repo: GitRepo, git: Git) -> None:
    """The user's own from the repository's, which starts no program, unless people type the command themselves."""
    repo.git("config", "core.pager", "ours")
    repo.git("config", "user.name", "Bob")
    assert (git.config["user.name"], git.own_config["user.name"]) == ("Bob", "Ada Lovelace")
    assert git.run("var", "GIT_PAGER") == b"less\n"
    assert "core.commitGraph=false" in git.command([])
    as_typed = Git(git.git_dir, git.work_tree, programs=True)
    assert as_typed.run("var", "GIT_PAGER") == b"ours\n"
    assert "core.commitGraph=false" not in as_typed.command([])


def test_a_config_that_can_not_be_read(repo: GitRepo, git: Git) -> None:
    """It is no empty one."""
    repo.write(".git/config", "[nonsense\n")
    with pytest.raises(RepositoryError, match="git config: bad config line 1 in file"):
        _ = git.config


def test_protocols_that_name_programs_are_never_allowed(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor by the user's own variable, whose other protocols stay."""
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:ext:https:fd")
    assert git.environment()["GIT_ALLOW_PROTOCOL"] == "file:https"


def test_a_resident_is_apart_and_ends(repo: GitRepo, git: Git) -> None:
    """It has a session and a bound of its own, all of it is closed, and it is gone with whoever forgets it."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    cat = CatFile(git)
    cat.read(head)
    process: Any = cat._process
    assert os.getsid(process.pid) == process.pid
    limit = f"GIT_ALLOC_LIMIT={FOR_FILES['GIT_ALLOC_LIMIT']}"
    assert limit.encode() in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    cat.close()
    assert (process.stdin.closed, process.stdout.closed) == (True, True)
    assert process.returncode is not None
    cat.read(head)
    assert len(git_children()) == 1
    del cat
    gc.collect()
    assert git_children() == []


def test_a_resident_that_does_not_end_is_ended(git: Git) -> None:
    """It is terminated when its input has ended and it has not."""
    resident = Resident(git, "-c", "alias.x=!sleep 30", "x")
    resident._pipes()
    began = time.monotonic()
    resident.close()
    assert time.monotonic() - began < 20
    assert git_children() == []


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may have waited for it yet."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_resident_has_started_ends_with_it(git: Git, tmp_path: Path) -> None:
    """A fetch of git's, which a server may keep going for ever, does not outlive who reads."""
    started = tmp_path / "started"
    alias = f"alias.x=!sleep 77 & echo $! >{started}.new && mv {started}.new {started}; sleep 77"
    resident = Resident(git, "-c", alias, "x")
    resident._pipes()
    assert eventually(started.exists)
    child = int(started.read_text())
    assert os.getsid(child) != os.getsid(0)
    resident.close()
    assert eventually(lambda: not is_running(child))


def test_cat_file_refuses_what_is_too_large_and_goes_on(repo: GitRepo, git: Git) -> None:
    """As much as is allowed is read, a byte more is not, and the next answer is the next object's."""
    oids = [
        Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"%d" % n * 9)) for n in (1, 2)
    ]
    with closing(CatFile(git)) as cat:
        assert cat.read(oids[0], 9)[1] == b"1" * 9
        with pytest.raises(TooLarge, match="has 9 bytes, and no more than 8"):
            cat.read(oids[0], 8)
        assert cat.read(oids[1], 9)[1] == b"2" * 9


@pytest.mark.parametrize(
    ("says", "message"),
    [('printf "%s blob 10\\nabc" "$oid"', "in the middle of an object"), (":", "git can't read object")],
)  # fmt: skip
def test_cat_file_that_ends_in_an_object(
    repo: GitRepo, git: Git, monkeypatch: pytest.MonkeyPatch, says: str, message: str
) -> None:
    """Half of an object is none, and another process reads on."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    fake = repo.write("bin/git", f"#!/bin/sh\nread -r oid\n{says}\n")
    fake.chmod(0o755)
    with closing(CatFile(git)) as cat:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
            patch.setattr(git, "_guard", {}, raising=False)
            with pytest.raises(RepositoryError, match=message):
                cat.read(head)
        assert cat.read(head)[0] is ObjectType.COMMIT
