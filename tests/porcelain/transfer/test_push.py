"""Pushes go wherever git's go, say what the other side says, and end well beside others of the same runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import PushResult, Remote
from gitflowrun.limits import MAX_NOTICES, PUSH_ROUNDS
from gitflowrun.porcelain.transfer.push import _Push, push
from gitflowrun.porcelain.transfer.sync import Outcome, some
from gitflowrun.runs.runs import Status
from tests.helpers.clones import add_tag, break_line, ids, outcomes, refs, send, tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def bare(path: Path) -> GitRepo:
    """An empty bare repository."""
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return GitRepo(path)


def hook(repo: GitRepo, name: str, text: str) -> None:
    """Give a repository a hook."""
    folder = repo.path / "hooks" if (repo.path / "hooks").is_dir() else repo.path / ".git" / "hooks"
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("key", ["pushurl", "url"])
@pytest.mark.sample(1)
def test_every_url_gets_the_runs(ada: GitRepo, tmp_path: Path, key: str) -> None:
    """A remote's push URLs, or its several URLs, are repositories that each get all runs, tags and later states."""
    places = [bare(tmp_path / name) for name in ("one.git", "two.git")]
    make_run(ada, tags=["a"])
    if key == "url":
        ada.git("config", "--unset", "remote.origin.url")
    for place in places:
        ada.git("config", "--add", f"remote.origin.{key}", str(place.path))
    reports = push(open_repo(ada))
    assert [(it.remote, *outcomes(it)) for it in reports] == [
        (str(place.path), Outcome.NEW) for place in places
    ]
    third = bare(tmp_path / "three.git")
    ada.git("config", "--add", f"remote.origin.{key}", str(third.path))
    make_run(ada)
    assert [outcomes(it)[-1] for it in push(open_repo(ada))] == [
        Outcome.CURRENT,
        Outcome.CURRENT,
        Outcome.NEW,
    ]
    for place in (*places, third):
        assert refs(place) == refs(ada)


def test_a_place_that_is_down_does_not_keep_the_others_from_runs(
    ada: GitRepo, tmp_path: Path
) -> None:
    """The push fails, naming who is missing and who got the runs."""
    up = bare(tmp_path / "up.git")
    for path in (tmp_path / "down.git", up.path):
        ada.git("config", "--add", "remote.origin.pushurl", str(path))
    make_run(ada)
    with pytest.raises(RepositoryError, match=r"down\.git.* got the runs") as caught:
        push(open_repo(ada))
    assert str(up.path) in caught.value.message
    assert refs(up) == refs(ada)


def test_a_renamed_remote_is_the_same_one(ada: GitRepo) -> None:
    """What was last seen of a remote belongs to where it is: no tag comes back under its new name."""
    make_run(ada, tags=["a", "b"])
    send(ada)
    add_tag(ada, "1", "a", remove=True)
    ada.git("remote", "rename", "origin", "upstream")
    (report,) = push(open_repo(ada), "upstream")
    assert (report.tags_added, report.tags_removed) == (0, 1)


def test_another_repository_under_the_same_name_starts_anew(ada: GitRepo, tmp_path: Path) -> None:
    """A tag that the old place had and the new one never saw is sent, not taken for removed there."""
    make_run(ada, tags=["a"])
    send(ada)
    moved = bare(tmp_path / "moved.git")
    ada.git("remote", "set-url", "origin", str(moved.path))
    assert send(ada).tags_added == 1
    assert tags(moved) == {"MyFlow/1": ("a",)}


@pytest.mark.parametrize("stream", [1, 2])
def test_a_refusing_pre_push_hook_is_quoted(ada: GitRepo, stream: int) -> None:
    """Why the user's own hook refused stands in the error, whichever stream it wrote to."""
    make_run(ada)
    hook(ada, "pre-push", f"echo 'freeze until monday' >&{stream}; exit 1")
    with pytest.raises(RepositoryError, match="freeze until monday"):
        send(ada)


@pytest.mark.parametrize("name", ["pre-receive", "update"])
@pytest.mark.sample(1)
def test_a_refusing_hook_of_the_remote_is_quoted(ada: GitRepo, server: GitRepo, name: str) -> None:
    """Each run is refused, and the report has the hook's lines."""
    make_run(ada)
    hook(server, name, "echo 'quota used up'; echo 'ask ops' >&2; exit 1")
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert report.words == ("quota used up", "ask ops")
    done = ada.call("push")
    assert (done.code, done.err) == (1, "remote: quota used up\nremote: ask ops\n")


def test_what_the_remote_says_of_a_push_that_succeeds_is_shown(
    ada: GitRepo, server: GitRepo
) -> None:
    """A message of the day reaches the user once, however many pushes git made."""
    make_run(ada, tags=["a"])
    hook(server, "post-receive", "echo 'moving on friday'")
    assert send(ada).words == ("moving on friday",)


def test_an_error_says_what_the_server_said(ada: GitRepo, tmp_path: Path) -> None:
    """Words before git's own error, as of ssh, are part of the message; a password is not."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2; exit 255\n")
    ssh.chmod(0o755)
    ada.git("config", "core.sshCommand", str(ssh))
    make_run(ada)
    with pytest.raises(RepositoryError, match="Permission denied") as caught:
        push(open_repo(ada), "ssh://ada:secret@example.org/x")
    assert "secret" not in caught.value.message


def test_pushes_of_the_same_runs_beside_one_another(ada: GitRepo, server: GitRepo) -> None:
    """Several processes of one clone push the same runs and tags at once: all end well, nothing is there twice."""
    for number in range(3):
        make_run(ada, tags=[f"t{number}", "all"])
    with ThreadPoolExecutor(4) as pool:
        pushes = list(pool.map(lambda _: ada.runs("push"), range(4)))
    assert [(it.code, it.err) for it in pushes] == [(0, "")] * 4
    assert refs(server) == refs(ada)
    assert len(ids(server)) == 3


def test_a_push_that_the_server_completes_late(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refs of ours that appear between the look at the remote and the push are found by the next look."""
    make_run(ada, tags=["a"])
    look = Remote.refs
    late = iter([refs(ada)])

    def slow(self: Remote, *patterns: str) -> object:
        seen = look(self, *patterns)
        if names := next(late, None):
            server.git("fetch", "-q", str(ada.path), *(f"{name}:{name}" for name in names))
        return seen

    monkeypatch.setattr(Remote, "refs", slow)
    report = send(ada)
    assert outcomes(report) == [Outcome.NEW]
    assert report.notices == report.words == ()
    assert refs(server) == refs(ada)


@pytest.mark.parametrize("times", [1, PUSH_ROUNDS - 1, PUSH_ROUNDS])
@pytest.mark.sample(1)
def test_others_that_are_faster(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A name that somebody takes between look and push is tried again; each run is told once, done or refused."""
    uids = {str(make_run(ada).uid)[:7] for _ in range(2)}
    ada.git("push", "-q", "origin", "HEAD:refs/heads/main")
    real = Remote.push
    left = [times]

    def taken(self: Remote, changes: Sequence[RefUpdate], **options: Any) -> list[PushResult]:
        names = [change.name for change in changes if left[0] and "@tags" not in change.name]
        left[0] -= bool(names)
        for name in names:
            server.git("update-ref", name, "refs/heads/main")
        results = real(self, changes, **options)
        for name in names:
            server.git("update-ref", "-d", name)
        return results

    monkeypatch.setattr(Remote, "push", taken)
    report = send(ada)
    fails = times == PUSH_ROUNDS
    assert outcomes(report) == [Outcome.REFUSED if fails else Outcome.NEW] * 2
    assert {*ids(server).values()} == (set() if fails else uids)
    assert len(ids(server)) == (0 if fails else 2)


@pytest.mark.parametrize(
    ("count", "told"), [(MAX_NOTICES, []), (MAX_NOTICES + 1, ["1 more x"]), (MAX_NOTICES + 2, ["2 more x"])]
)  # fmt: skip
def test_the_first_of_many_notices(count: int, told: list[str]) -> None:
    """And how many more there are, also where the others are not here."""
    notices = [str(number) for number in range(count)]
    assert some(notices, "x") == [*notices[:MAX_NOTICES], *told]
    assert some(notices[:MAX_NOTICES], "x", count) == [*notices[:MAX_NOTICES], *told]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.sample(1)
def test_what_a_dying_remote_has_taken_is_there(ada: GitRepo, server: GitRepo, count: int) -> None:
    """The connection breaks after refs have moved: these are told as sent, and the others as not."""
    for _ in range(2):
        make_run(ada)
    dies = 'test "$1" = committed || exit 0; echo >> "$0.count"; test $(wc -l < "$0.count") -lt {} || kill -9 $PPID'
    hook(server, "reference-transaction", dies.format(count))
    done = ada.call("push")
    assert len(ids(server)) == count
    assert (done.code, done.out.count("[new run]")) == (2 - count, count)
    assert ("hung up" in done.out + done.err) is (count == 1)
    (server.path / "hooks/reference-transaction").unlink()
    assert ada.call("tag", "1", "good").code == 0
    assert ada.call("push").code == 0
    assert ids(server) == ids(ada)
    assert tags(server) == {"MyFlow/1": ("good",)}
    hook(server, "reference-transaction", dies.format(1))
    assert ada.call("tag", "--delete", "1", "good").code == 0
    assert ada.call("push").code == 0
    assert tags(server) == {}


def test_a_remote_that_dies_before_has_nothing(ada: GitRepo, server: GitRepo) -> None:
    """The connection breaks before any ref has moved: the push has failed."""
    make_run(ada)
    hook(server, "pre-receive", "kill -9 $PPID")
    done = ada.call("push")
    assert (done.code, done.out, ids(server)) == (128, "", {})
    assert "can't push to 'origin'" in done.err


def test_whose_run_it_is() -> None:
    """One that began here, whoever went on with it, and one that somebody else began and that has ended here."""
    uid, tip = Oid(b"\1" * 20), Oid(b"\2" * 20)
    for made in ({uid}, {tip}, {uid, tip}, set[Oid]()):
        pushing: Any = SimpleNamespace(trust=SimpleNamespace(made=made.__contains__))
        run: Any = SimpleNamespace(tip=tip)
        assert _Push._is_mine(pushing, run, uid) is bool(made)


def test_a_line_that_breaks_makes_no_other_run_of_a_namesake(
    ada: GitRepo, server: GitRepo, tmp_path: Path
) -> None:
    """It may be our run in a later state: ours is refused, the others go, and once the line holds it is known."""
    with start_run(ada) as writer:
        run = writer.identity
        writer.commit([finished_task(run, "start/1")])
        send(ada)
        shutil.copytree(ada.path, tmp_path / "old")
        writer.commit([], status=Status.DONE)
    send(ada)
    old = GitRepo(tmp_path / "old")
    make_run(old)
    break_line(old, server, 2)
    before = refs(server)
    done = old.call("push", "origin")
    assert done.code == 1
    assert "whether MyFlow/1 there is this run can't be told: " in done.out + done.err
    assert refs(server) == before | {"refs/runs/MyFlow/2": refs(old)["refs/runs/MyFlow/2"]}
    done = old.call("push", "origin")
    assert done.code == 0
    assert {*refs(server)} == {*before, "refs/runs/MyFlow/2"}


def test_a_run_without_its_beginning_is_not_sent(
    ada: GitRepo, bob: GitRepo, server: GitRepo
) -> None:
    """By `git fetch --depth` into its own ref while it went on: it is no other run than the one that is there."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.RUNNING)
        send(ada)
        bob.git("remote", "set-url", "origin", f"file://{bob.git('remote', 'get-url', 'origin')}")
        bob.git("fetch", "-q", "--depth=1", "origin", "refs/runs/MyFlow/1:refs/runs/MyFlow/1")
        writer.commit([finished_task(writer.identity, "end/2")], status=Status.DONE)
    send(ada)
    bob.git("fetch", "-q", "--depth=1", "origin", "refs/runs/MyFlow/1")
    there = refs(server)
    said = bob.call("push", "origin", "MyFlow/1")
    assert said.code == 1
    assert "has left out its first commits here" in said.out
    assert refs(server) == there


def test_a_later_state_there_that_the_user_fetched_without_its_beginning(
    ada: GitRepo, server: GitRepo, tmp_path: Path
) -> None:
    """By `git fetch --depth`: whose state it is can't be told here, so ours goes under no other name."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.RUNNING)
        send(ada)
        shutil.copytree(ada.path, tmp_path / "old")
        writer.commit([], status=Status.DONE)
    send(ada)
    old = GitRepo(tmp_path / "old")
    old.git("fetch", "-q", "--depth=1", f"file://{server.path}", "refs/runs/MyFlow/1")
    there = refs(server)
    said = old.call("push", "origin")
    assert (said.code, refs(server)) == (1, there)
    *_, command = re.findall("`(git fetch [^`]*)`", said.out + said.err)
    old.git("remote", "set-url", "origin", f"file://{server.path}")
    old.git(*shlex.split(command)[1:])
    assert old.call("push", "origin").code == 0
    assert refs(server) == there


def test_a_remote_that_is_shallow(ada: GitRepo, server: GitRepo, tmp_path: Path) -> None:
    """It has the newest commit of a run and none before it: what came of that leaves git's own commands whole."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.RUNNING)
        send(ada)
        shutil.copytree(ada.path, tmp_path / "old")
        writer.commit([finished_task(writer.identity, "end/2")])
        writer.commit([], status=Status.DONE)
    send(ada)
    mirror = ["clone", "-q", "--mirror", "--depth=1", "--no-single-branch", f"file://{server.path}"]
    GitRepo(tmp_path).git(*mirror, "mirror")
    old = GitRepo(tmp_path / "old")
    old.git("remote", "set-url", "origin", f"file://{tmp_path / 'mirror'}")
    said = old.call("push", "origin")
    assert said.code == 1
    assert "is shallow" in said.out + said.err
    old.git("gc", "-q")
    old.fsck()
