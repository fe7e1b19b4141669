"""Who owns a file, and whether that process lives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitflowrun.git import owner as owner_module
from gitflowrun.git.owner import (
    Owner,
    State,
    gc_is_running,
    gits_at_work,
    maintenance_is_running,
    usable_cpus,
)
from gitflowrun.limits import GC_PID_VALID, MAINTENANCE_LOCK_VALID, USABLE_CPUS
from gitflowrun.values import replace
from tests.helpers.refs import waiting_git
from tests.helpers.repos import ROOT, GitRepo, make_repo


def test_this_process_lives() -> None:
    """An owner survives the way through a file name."""
    owner = Owner.process()
    assert owner.state() is State.ALIVE
    assert Owner.decode(owner.encode()) == owner
    assert "/" not in owner.encode()
    assert " " not in owner.encode()


def test_the_family_lives_while_the_parent_does() -> None:
    """A dead child's family is alive; the child alone is dead."""
    code = "from gitflowrun.git.owner import Owner as O; print(O.process().encode(), O.family().encode())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=__file__.rpartition("/tests/")[0],
    )  # fmt: skip
    process, family = map(Owner.decode, done.stdout.split())
    assert process
    assert family
    assert process.state() is State.DEAD
    assert family.state() is State.ALIVE


def test_a_reused_pid_is_another_process() -> None:
    """The start time tells processes with the same pid apart."""
    me = Owner.process()
    assert Owner(me.host, me.boot, ((os.getpid(), "1"),)).state() is State.DEAD


def test_a_zombie_is_dead() -> None:
    """A child that nobody has waited for yet does no more work."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner._of(child.pid)
    assert owner.state() is State.ALIVE
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.state() is State.DEAD
    child.communicate()


def test_processes_of_another_container_are_not_judged() -> None:
    """They have numbers of their own, though host and boot are the same."""
    code = "from gitflowrun.git.owner import Owner as O; print(O.process().encode(), flush=True); input()"
    child = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=__file__.rpartition("/tests/")[0],
    )  # fmt: skip
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    try:
        if not line:
            pytest.skip("no namespaces can be made here")
        owner = Owner.decode(line)
        assert owner is not None
        assert owner.state() is State.UNKNOWN
    finally:
        child.communicate("\n")


def test_what_is_no_owner() -> None:
    """Foreign text is None, never an error."""
    for text in ("", "a", "a~b", "a~b~c", "a~b~1", "a~b~1.2.3", "a~b~x.1", "~~~~"):
        assert Owner.decode(text) is None


def test_where_an_owner_is_from_decides_what_is_known() -> None:
    """Of another host nothing is, of an earlier boot all, and one living process is enough."""
    me = Owner.process()
    assert Owner("elsewhere", me.boot, me.processes).state() is State.UNKNOWN
    assert Owner(me.host, "earlier", me.processes).state() is State.GONE
    assert Owner(me.host, me.boot, ((os.getpid(), "1"), *me.processes)).state() is State.ALIVE


def test_a_family_of_init_is_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was left by its parent has none that could publish for it."""
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert Owner.family() == Owner.process()
    monkeypatch.undo()
    assert [pid for pid, _ in Owner.family().processes] == [os.getpid(), os.getppid()]


def test_a_gc_is_at_work_as_long_as_git_believes_it(tmp_path: Path) -> None:
    """Its process must live, where that is known here, and its mark be young; what is no file is no mark."""
    mark, host = tmp_path / "gc.pid", os.uname().nodename
    assert not gc_is_running(tmp_path)
    child = subprocess.Popen(["true"])
    child.wait()
    for text, is_running in (
        (f"{os.getpid()} {host}", True), (f"{child.pid} {host}", False), (f"{child.pid} elsewhere", True),
        (f"x {host}", True), ("", True), (f"1 {host}\n", True),
    ):  # fmt: skip
        mark.write_text(text)
        assert gc_is_running(tmp_path) is is_running, text
    for age, is_running in ((GC_PID_VALID - 60, True), (GC_PID_VALID + 60, False)):
        os.utime(mark, (time.time() - age,) * 2)
        assert gc_is_running(tmp_path) is is_running
    mark.unlink()
    before = len([*Path("/proc/self/fd").iterdir()])
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        make(mark)
        assert not gc_is_running(tmp_path) or mark.is_fifo()
        (mark.rmdir if mark.is_dir() else mark.unlink)()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_process_of_somebody_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it may not be signalled says that it is there."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert owner_module._answers(1)


def test_maintenance_is_at_work_while_its_lock_is_young(tmp_path: Path) -> None:
    """A lock is left behind by one that was killed."""
    assert not maintenance_is_running(tmp_path)
    lock = tmp_path / "maintenance.lock"
    for age, is_running in (
        (0, True),
        (MAINTENANCE_LOCK_VALID - 60, True),
        (MAINTENANCE_LOCK_VALID + 60, False),
    ):
        lock.touch()
        os.utime(lock, (time.time() - age,) * 2)
        assert maintenance_is_running(tmp_path) is is_running


def test_without_proc_a_process_is_known_by_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc is not mounted, one that answers lives; nobody knows since when, nor in which boot."""
    monkeypatch.setattr(owner_module, "_PROC", tmp_path)
    monkeypatch.setattr(owner_module, "_BOOT_ID", tmp_path / "boot")
    me = Owner.process()
    assert (me.boot, me.processes) == ("unknown", ((os.getpid(), "0"),))
    assert me.state() is State.ALIVE
    assert me.host == re.sub(r"[^A-Za-z0-9-]", "_", os.uname().nodename)[:64]
    child = subprocess.Popen(["true"])
    child.wait()
    assert owner_module._start_time(child.pid) is None
    (tmp_path / "boot").write_text("0123456789")
    assert owner_module._boot() == "01234567"
    assert me.state() is State.UNKNOWN  # it was written down where nobody knew the boot


def test_a_process_that_proc_does_not_show_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted with `hidepid`, /proc has one's own processes only; those of others are still at work."""
    me = Owner.process()
    child = subprocess.Popen(["true"])
    child.wait()
    monkeypatch.setattr(owner_module, "_PROC", tmp_path)
    assert replace(me, host=owner_module._host()).state() is State.ALIVE
    assert Owner(owner_module._host(), me.boot, ((child.pid, "1"),)).state() is State.DEAD
    monkeypatch.setattr(owner_module, "_BOOT_ID", tmp_path / "none")
    assert replace(me, host=owner_module._host()).state() is State.UNKNOWN


def test_few_threads_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as processors may be used, up to a few."""
    for count in (1, USABLE_CPUS, USABLE_CPUS + 1):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=count: {*range(n)})
        assert usable_cpus() == min(count, USABLE_CPUS)


def at_work(repo: GitRepo, *, user: int | None = None, since: float = float("inf")) -> list[str]:
    """The gits that may hold locks of a repository."""
    user = os.getuid() if user is None else user
    return [it.command for it in gits_at_work(repo.path / ".git", user=user, since=since)]


@pytest.mark.parametrize(
    "place",
    [".", "sub/dir", ".git", ".git/refs", "../linked", "../linked/sub", ".git/worktrees/linked", "../elsewhere"],
)  # fmt: skip
def test_a_git_may_hold_locks_wherever_it_works_in_the_repository(
    repo: GitRepo, place: str, tmp_path: Path
) -> None:
    """In a work tree, a linked one or the git directory; or by what its command line or its environment names."""
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    top = (repo.path / place) if not place.startswith("..") else tmp_path / place[3:]
    top.mkdir(parents=True, exist_ok=True)
    if place != "../elsewhere":
        with waiting_git(top):
            assert at_work(repo) == ["update-ref"]
        assert at_work(repo) == []
        return
    git_dir = str(repo.path / ".git")
    for option in (("--git-dir", git_dir), (f"--git-dir={git_dir}",), ("-C", str(repo.path))):
        with waiting_git(top, "-c", "a.b=runs", *option):
            assert at_work(repo) == ["update-ref"]
    for found in (git_dir, os.path.relpath(git_dir, top), f"{git_dir}/worktrees/linked"):
        with waiting_git(top, env={"GIT_DIR": found}):
            assert at_work(repo) == ["update-ref"]


def test_a_git_elsewhere_holds_no_lock_here(repo: GitRepo, tmp_path: Path) -> None:
    """Neither that of another repository, nor that of one within the work tree, whatever kind that is."""
    make_repo(tmp_path / "other")
    make_repo(repo.path / "inner")
    repo.git("init", "-q", "--bare", "bare")
    (repo.path / ".git/modules").mkdir()
    repo.git("init", "-q", "--separate-git-dir", ".git/modules/part", "part")
    for place in (tmp_path / "other", *(repo.path / it for it in ("inner", "bare", "part"))):
        with waiting_git(place):
            assert at_work(repo) == []
    with waiting_git(repo.path, f"--git-dir={tmp_path}/other/.git"):
        assert at_work(repo) == []
        shutil.rmtree(tmp_path / "other")
        assert at_work(repo) == []


def test_a_git_that_locks_no_ref_does_not_count(repo: GitRepo) -> None:
    """It may live for as long as the machine does; an alias may be anything."""
    for options, expected in (
        (("--no-pager", "cat-file", "--batch"), []),
        (("-c", "alias.runs=!cat", "runs"), []),
        (("-c", "alias.wait=!echo up && cat", "wait"), ["wait"]),
    ):
        with subprocess.Popen(
            ["git", *options], cwd=repo.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as git:
            assert git.stdout is not None
            if expected:
                git.stdout.readline()
            assert at_work(repo) == expected
            git.communicate()


def test_a_git_that_began_later_does_not_count(repo: GitRepo) -> None:
    """By the clock of the boot, which nobody sets."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    time.sleep(0.02)  # the kernel counts in hundredths
    with waiting_git(repo.path):
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert (at_work(repo, since=before), at_work(repo, since=after)) == ([], ["update-ref"])


@pytest.mark.parametrize("hook", ["post-commit", "reference-transaction"])
def test_a_git_that_waits_for_us_holds_no_lock(repo: GitRepo, hook: str) -> None:
    """Unless it is in the one hook that is called while it does."""
    code = (
        "import os; from pathlib import Path; from gitflowrun.git.owner import gits_at_work as at\n"
        "print(*[it.command for it in at(Path('.git').resolve(), user=os.getuid())], file=open('found', 'a'))"
    )
    path = repo.write(
        f".git/hooks/{hook}", f'#!/bin/sh\nPYTHONPATH={ROOT} {sys.executable} -c "{code}"\n'
    )
    path.chmod(0o755)
    repo.git("-c", "core.hooksPath=.git/hooks", "commit", "-q", "--allow-empty", "-m", "x")
    found = {*(repo.path / "found").read_text().splitlines()}
    assert found == ({"commit"} if hook == "reference-transaction" else {""})


def test_a_git_of_somebody_else_counts_for_their_locks(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it works can't be seen, so it may hold what is theirs, and nothing else."""
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "environ":
            raise PermissionError(13, "Permission denied")
        return read(path)

    with waiting_git(repo.path) as git:
        monkeypatch.setattr(Path, "read_bytes", refuse)
        mine = [it.pid for it in gits_at_work(repo.path / ".git", user=os.getuid())]
        theirs = [it.pid for it in gits_at_work(repo.path / ".git", user=os.getuid() + 1)]
        assert (git.pid in mine, git.pid in theirs) == (True, False)


def test_where_no_processes_are_shown_none_is_found(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then a lock's age alone decides."""
    with waiting_git(repo.path):
        monkeypatch.setattr(owner_module, "_PROC", tmp_path / "none")
        assert at_work(repo) == []
