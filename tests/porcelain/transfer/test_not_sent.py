"""A push that could not send all says what and why, and ends with 1: never is success said of what was not done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.helpers.clones import add_tag, tags
from tests.helpers.credentials import CREDENTIALS
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run

if TYPE_CHECKING:
    from pathlib import Path

GOOD, NEW = (f"refs/runs/@tags/MyFlow/{tag}/1" for tag in ("good", "new"))
Cause = Callable[[GitRepo], Callable[[], object]]


def _file(path: str, text: str = "") -> Cause:
    def make(hub: GitRepo) -> Callable[[], object]:
        file = hub.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file.unlink

    return make


def _hook(name: str, text: str) -> Cause:
    return _file(f"hooks/{name}", f"#!/bin/sh\n{text}\n")


def _config(key: str, value: str) -> Cause:
    def make(hub: GitRepo) -> Callable[[], object]:
        hub.git("config", key, value)
        return lambda: hub.git("config", "--unset", key)

    return make


def _squat(hub: GitRepo) -> Callable[[], object]:
    hub.git("update-ref", f"{NEW}/x", hub.git("rev-parse", "refs/runs/MyFlow/1"))
    return lambda: hub.git("update-ref", "-d", f"{NEW}/x")


REFUSALS: dict[str, tuple[Cause, str]] = {
    "lock": (_file(f"{NEW}.lock"), f"{NEW}.lock': File exists; if no git is at work there, remove"),
    "hook": (_hook("pre-receive", "exit 1"), "pre-receive hook declined"),
    "one by a hook": (_hook("update", "case $1 in */new/*) exit 1; esac"), "hook declined"),
    "transaction": (_hook("reference-transaction", "! grep -q @tags"), "aborted by hook"),
    "hidden": (_config("receive.hideRefs", "refs/runs/@tags"), "hidden"),
    "in the way": (_squat, f"the remote has {NEW}/x in its place"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.sample(3)
def test_tags_that_a_remote_does_not_take(ada: GitRepo, server: GitRepo, name: str) -> None:
    """The exit code says it, the words why; once the cause is gone, the next push sends them."""
    make_run(ada)
    assert ada.call("push").code == 0
    cause, why = REFUSALS[name]
    undo = cause(server)
    add_tag(ada, "MyFlow/1", "new")
    done = ada.call("push")
    assert done.code != 0
    assert why in done.err
    assert "push again" not in done.err
    if name != "transaction":  # which ends the whole push
        assert (done.code, "1 not sent" in done.out) == (1, True)
        assert f"tag ref {NEW} was not sent: " in done.err
        assert "`git runs push origin` sends what was not sent" in done.err
        assert json.loads(ada.call("push", "--json").out)[0]["failed"] == 1
    assert tags(server) == {}
    undo()
    done = ada.call("push")
    assert (done.code, done.err) == (0, "")
    assert tags(server) == {"MyFlow/1": ("new",)}


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (_file(f"{GOOD}.lock"), f"{GOOD}.lock': File exists; if no git is at work there, remove"),
        (_file("packed-refs.lock"), "packed-refs.lock': File exists; if no git is at work there"),
        (_hook("update", "exit 1"), "hook declined"),
        (_config("receive.hideRefs", "refs/runs/@tags"), "the remote does not take it"),
    ],
)
@pytest.mark.sample(2)
def test_removals_that_a_remote_does_not_take(
    ada: GitRepo, server: GitRepo, cause: Cause, why: str
) -> None:
    """As tags that are new; the tag is there until the next push."""
    make_run(ada, tags=["good"])
    assert ada.call("push").code == 0
    undo = cause(server)
    server.git("config", "core.packedRefsTimeout", "10")  # milliseconds; else a second a try
    add_tag(ada, "MyFlow/1", "good", remove=True)
    done = ada.call("push")
    assert (done.code, "1 not sent" in done.out) == (1, True)
    assert f"tag ref {GOOD} was not sent: " in done.err
    assert why in done.err
    assert tags(server) == {"MyFlow/1": ("good",)}
    undo()
    assert ada.call("push").code == 0
    assert tags(server) == {}


def test_what_goes_beside_it_is_counted(ada: GitRepo, server: GitRepo) -> None:
    """Of several tags those that went, whichever of the tries of a push took them."""
    make_run(ada)
    assert ada.call("push").code == 0
    _file(f"{NEW}.lock")(server)
    add_tag(ada, "MyFlow/1", "a", "b", "new")
    done = ada.call("push")
    assert (done.code, done.out.splitlines()[-1]) == (1, "1 up to date, 2 tags added, 1 not sent")


def test_a_run_whose_name_is_locked_there(ada: GitRepo, server: GitRepo) -> None:
    """It goes under another name, or is refused with what git says of the lock."""
    run = make_run(ada)
    for name in ("1", *(f"1-{str(run.uid)[:digits]}" for digits in range(7, 41))):
        _file(f"refs/runs/MyFlow/{name}.lock")(server)
    done = ada.call("push")
    assert done.code == 1
    assert ".lock': File exists" in done.out


def test_a_tag_that_may_be_a_secret(ada: GitRepo, server: GitRepo) -> None:
    """It stays here, as a run does that may hold one; what sends it is said."""
    make_run(ada)
    add_tag(ada, "MyFlow/1", CREDENTIALS["github"])
    done = ada.call("push")
    assert (done.code, tags(server)) == (1, {})
    assert "`git runs push --allow-secrets` sends it" in done.err
    assert ada.call("push", "--allow-secrets").code == 0
    assert [len(it) for it in tags(server).values()] == [1]


def test_removals_beside_a_tag_that_can_not_be_read(ada: GitRepo, server: GitRepo) -> None:
    """Nobody knows which tag that is: no removal is sent, and the exit code says so where there is one."""
    make_run(ada, tags=["good", "new"])
    assert ada.call("push").code == 0
    (ada.path / f".git/{NEW}").write_text("")
    assert ada.call("push").code == 0
    ada.git("update-ref", "-d", GOOD)
    done = ada.call("push")
    assert done.code == 1
    assert f"no tag was removed there, for {NEW} can't be read" in done.err
    assert tags(server) == {"MyFlow/1": ("good", "new")}


@pytest.mark.parametrize("held", ["", "1" * 40])
@pytest.mark.sample(1)
def test_damaged_runs(ada: GitRepo, held: str) -> None:
    """One that was to be sent; not one beside those that were asked for, nor one that the remote has."""
    make_run(ada)
    make_run(ada)
    assert ada.call("push", "origin", "2").code == 0
    file = ada.path / ".git/refs/runs/MyFlow/1"
    whole = file.read_text()
    file.write_text(f"{held}\n")
    done = ada.call("push")
    assert (done.code, "MyFlow/1 is damaged and not sent" in done.err) == (1, True)
    assert ada.call("push", "origin", "2").code == 0
    file.write_text(whole)
    assert ada.call("push").code == 0


def test_a_damaged_run_that_the_remote_has(ada: GitRepo) -> None:
    """Nothing of it was to be sent."""
    make_run(ada)
    assert ada.call("push").code == 0
    commit = ada.git("rev-parse", "refs/runs/MyFlow/1")
    _lose(ada.path / ".git", commit)
    assert ada.call("push").code == 0


def _lose(git_dir: Path, commit: str) -> None:
    for pack in (git_dir / "objects/pack").glob("pack-*"):
        pack.unlink()
    (git_dir / "objects" / commit[:2] / commit[2:]).unlink(missing_ok=True)
