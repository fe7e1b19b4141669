"""Who owns a file, and whether that process lives."""

from __future__ import annotations

import os
import re
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
    maintenance_is_running,
    usable_cpus,
)
from gitflowrun.limits import GC_PID_VALID, MAINTENANCE_LOCK_VALID, USABLE_CPUS
from gitflowrun.values import replace


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
