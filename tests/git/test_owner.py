"""Who owns a file, and whether that process lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gitflowrun.git.owner import Owner, State


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
