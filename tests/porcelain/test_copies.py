"""Removing runs from remotes: what goes, what stays and why, and what a server's rule refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.porcelain.deletion import removal
from gitflowrun.porcelain.deletion.copies import Copies, remove_there
from tests.helpers.clones import add_tag, clone, get, refs, send, tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, store_of


@pytest.fixture
def shared(ada: GitRepo) -> GitRepo:
    """Ada's clone, with two runs that the server has, of which the first has a tag."""
    make_run(ada, tags=["best"])
    make_run(ada, result=b"another")
    send(ada)
    return ada


def test_a_run_goes_from_its_remote_with_its_tags(server: GitRepo, shared: GitRepo) -> None:
    """And so do git tags of it that somebody pushed; the others stay, and no fetch or push brings it back."""
    shared.git("push", "-q", "origin", "--tags")
    other = [ref for ref in refs(server, "refs") if "/2" in ref or "heads" in ref]
    done = shared.call("rm", "--remote", "--force", "1")
    assert done.code == 0
    assert "removed from origin: MyFlow/1\n" in done.out
    assert "moved to the trash: MyFlow/1\n" in done.out
    assert "still has" not in done.out
    assert sorted(refs(server, "refs")) == sorted(other)
    assert not [ref for ref in refs(shared, "refs/runs-remotes") if ref.endswith("/1")]
    get(shared)
    send(shared)
    assert sorted(refs(server, "refs")) == sorted(other)
    assert shared.call("restore", "1").code == 0


def test_tags_that_others_gave_it_there(server: GitRepo, shared: GitRepo, bob: GitRepo) -> None:
    """A run with such tags stays there: nobody could bring them back. Once they are here, they go and come with it."""
    get(bob)
    add_tag(bob, "1", "mine")
    send(bob, "1")
    before = refs(server)
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, "origin keeps MyFlow/1: it has tags there" in done.out) == (1, True)
    assert refs(server) == before
    assert shared.call("restore", "1").code == 0
    get(shared)
    assert shared.call("rm", "--remote", "--force", "1").code == 0
    assert not [ref for ref in refs(server) if ref.endswith("/1")]
    assert shared.call("restore", "1").code == 0
    send(shared)
    get(bob)
    send(bob)
    for repo in (server, shared, bob):
        assert tags(repo)["MyFlow/1"] == ("best", "mine")


def test_a_remote_that_is_pushed_to_elsewhere(server: GitRepo, shared: GitRepo) -> None:
    """Each place is asked by itself, where runs are fetched from and where they are pushed to."""
    fork = GitRepo(shared.path.parent / "fork")
    shared.git("init", "-q", "--bare", "../fork")
    shared.git("remote", "set-url", "--push", "origin", "../fork")
    send(shared)
    assert "refs/runs/MyFlow/1" in refs(fork)
    done = shared.call("rm", "--remote", "--force", "1")
    assert done.code == 0, done.out
    assert done.out.count("removed from ") == 4
    for there in (server, fork):
        assert not [ref for ref in refs(there) if ref.endswith("/1")]


def test_a_place_that_no_push_goes_to(server: GitRepo, shared: GitRepo) -> None:
    """`pushInsteadOf` takes it elsewhere, whatever is named: what is still there is told, and not forgotten."""
    fork = shared.path.parent / "fork"
    shared.git("init", "-q", "--bare", str(fork))
    shared.git("config", f"url.{fork}.pushInsteadOf", str(server.path))
    send(shared)
    before = refs(server)
    done = shared.call("rm", "--remote", "--force", "1")
    assert done.code == 1
    assert "keeps MyFlow/1: it is still there after git push" in done.out
    assert refs(server) == before
    assert not [ref for ref in refs(GitRepo(fork)) if ref.endswith("/1")]
    again = shared.call("rm", "--remote", "--force", "1")
    assert (again.code, "keeps MyFlow/1: " in again.out) == (1, True)


@pytest.mark.parametrize("url", ["no_push", "-x"])
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.sample(1)
def test_a_remote_that_nobody_is_to_push_to(
    server: GitRepo, shared: GitRepo, url: str, is_known: bool
) -> None:
    """Its push URL can't be one: what it has is told and stays, whether this clone has seen it there or not."""
    if is_known:
        get(shared)
    else:
        shared.git("update-ref", "--stdin", stdin=b"".join(
            b"delete %s\n" % ref.encode() for ref in refs(shared, "refs/runs-remotes/")
        ))  # fmt: skip
    shared.git("config", "remote.origin.pushurl", url)
    before = refs(server)
    for times in range(2):
        done = shared.call("rm", "--remote", "--force", "1")
        assert (done.code, "No remote has them" in done.err) == (1, False), times
        assert f"origin has the URL {url}, which can't be one" in done.out
    assert refs(server) == before


def test_a_remote_without_the_run_that_nobody_is_to_push_to(shared: GitRepo) -> None:
    """It is asked, has none, and is no reason to say more."""
    shared.git("clone", "-q", "--bare", str(shared.path), "../upstream")
    upstream = GitRepo(shared.path.parent / "upstream")
    for ref in refs(upstream, "refs/"):
        upstream.git("update-ref", "-d", ref)
    shared.git("remote", "add", "upstream", "../upstream")
    shared.git("remote", "set-url", "--push", "upstream", "no_push")
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, "upstream" in done.out + done.err) == (0, False)


def test_a_server_that_hides_its_runs(server: GitRepo, shared: GitRepo) -> None:
    """What is not listed is not said to be removed."""
    server.git("config", "uploadpack.hideRefs", "refs/runs")
    done = shared.call("rm", "--remote", "--force", "1")
    assert "origin lists no MyFlow/1\n" in done.out
    assert "removed from" not in done.out


def test_runs_in_the_trash(server: GitRepo, shared: GitRepo) -> None:
    """They go from remotes alone; where no remote has them, that is said."""
    shared.call("rm", "--force", "1")
    asked = shared.call("rm", "--remote", "1")
    assert (asked.code, "would go from remotes" in asked.err) == (128, True)
    assert "refs/runs/MyFlow/1" in refs(server)
    done = shared.call("rm", "--remote", "--force", "1", "--json")
    found = json.loads(done.out)
    assert (done.code, found["runs"], found["copies"]) == (0, [], [])
    assert {it["copy"]["ref"] for it in found["removed_there"]} == {
        "refs/runs/MyFlow/1", "refs/runs/@tags/MyFlow/best/1",
    }  # fmt: skip
    assert "refs/runs/MyFlow/1" not in refs(server)
    again = shared.call("rm", "--remote", "--force", "1")
    assert (again.code, again.out, again.err) == (0, "", "No remote has them.\n")


def test_a_set(server: GitRepo, shared: GitRepo) -> None:
    """Only --force removes it anywhere."""
    assert shared.call("rm", "--remote", "id = 2").code == 0
    assert "refs/runs/MyFlow/2" in refs(server)
    assert "removed from origin: MyFlow/2" in shared.call("rm", "--remote", "id = 2", "--force").out
    assert "refs/runs/MyFlow/2" not in refs(server)


def test_a_run_that_went_on_there_stays(server: GitRepo, shared: GitRepo) -> None:
    """With its tags; the exit code is 1, and here it is in the trash all the same."""
    tip = server.git("rev-parse", "refs/runs/MyFlow/1")
    tree = server.git("rev-parse", f"{tip}^{{tree}}")
    message = server.git("log", "-1", "--format=%B", tip)
    newer = server.git("commit-tree", tree, "-p", tip, "-m", message)
    server.git("update-ref", "refs/runs/MyFlow/1", newer)
    before = refs(server)
    done = shared.call("rm", "--remote", "--force", "1")
    assert done.code == 1
    assert "origin keeps MyFlow/1: it has changed there" in done.out
    assert "origin keeps @tags/MyFlow/best/1: it goes with its run" in done.out
    assert refs(server) == before


def test_a_server_that_refuses_it(server: GitRepo, shared: GitRepo) -> None:
    """Its rule counts: nothing goes there, tags neither, and the reason is the server's."""
    hook = server.path / "hooks/update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/runs/My*) exit 1;; esac\n")
    hook.chmod(0o755)
    server.git("config", "core.hooksPath", "hooks")
    before = refs(server)
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, "origin keeps MyFlow/1: " in done.out) == (1, True)
    assert "hook declined" in done.out
    assert refs(server) == before


def test_a_git_tag_that_a_server_keeps(server: GitRepo, shared: GitRepo) -> None:
    """It leads to the run's first commit, so it is told."""
    shared.git("push", "-q", "origin", "--tags")
    hook = server.path / "hooks/update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/tags/*) exit 1;; esac\n")
    hook.chmod(0o755)
    server.git("config", "core.hooksPath", "hooks")
    done = shared.call("rm", "--remote", "--force", "1")
    assert done.code == 1
    assert "origin keeps refs/tags/runs/MyFlow/best/1-" in done.out
    assert "removed from origin: MyFlow/1\n" in done.out


def test_a_server_with_our_hook(server: GitRepo, shared: GitRepo) -> None:
    """Its runs are append-only."""
    server.git("config", "core.hooksPath", "hooks")
    server.call("hooks", "install")
    before = refs(server)
    done = shared.call("rm", "--remote", "--force", "1..2")
    assert (done.code, done.out.count("runs are not deleted here")) == (1, 2)
    assert refs(server) == before


def test_a_remote_that_is_gone(shared: GitRepo) -> None:
    """Nothing is done about its copies, which are told: it may be an old URL of another one."""
    shared.git("remote", "set-url", "origin", str(shared.path / "nowhere"))
    shared.git("config", "remote.origin.pushurl", str(shared.path / "nowhere"))
    repo = open_repo(shared)
    run = store_of(shared).find("2")
    copies = Copies(repo).of({run.identity.uid})
    assert [it.command for it in copies] == [""]
    assert remove_there(repo, copies, {}) == ([], ["origin"])
    done = shared.call("rm", "--force", "--remote", "2")
    assert done.code == 1
    assert "a remote that is not configured any more still has MyFlow/2" in done.out
    assert done.err == ""


def test_a_remote_that_can_not_be_reached(server: GitRepo, shared: GitRepo) -> None:
    """The run is in the trash, and the exit code 1."""
    server.path.rename(server.path.with_name("away"))
    done = shared.call("rm", "--remote", "--force", "2")
    assert done.code == 1
    assert "origin keeps MyFlow/2: " in done.out
    assert "moved to the trash: MyFlow/2" in done.out


def test_names_that_a_hostile_remote_says(shared: GitRepo, server: GitRepo) -> None:
    """Only refs that are tags of the run are removed, whatever others hold its commit."""
    uid = Oid.from_hex(server.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/1"))
    for ref in ("refs/runs/@tags/odd", "refs/tags/runs/odd", "refs/heads/odd", "refs/runs/Other/1"):
        server.git("update-ref", ref, str(uid))
    assert shared.call("rm", "--remote", "--force", "1").code == 0
    left = refs(server, "refs")
    assert {
        "refs/runs/@tags/odd",
        "refs/tags/runs/odd",
        "refs/heads/odd",
        "refs/runs/Other/1",
    } <= set(left)


def test_another_clone_keeps_what_it_has(shared: GitRepo, server: GitRepo) -> None:
    """Its run stays, and goes there again when it is pushed."""
    carol = clone(server, "carol")
    get(carol)
    shared.call("rm", "--remote", "--force", "1")
    get(carol)
    assert "refs/runs/MyFlow/1" in refs(carol)


def test_a_run_that_somebody_sent_again(server: GitRepo, shared: GitRepo, bob: GitRepo) -> None:
    """It is found there, though a fetch makes no copy of what stays away from here."""
    get(bob)
    assert shared.call("rm", "--remote", "--force", "2").code == 0
    assert bob.call("push", "origin", "MyFlow/2").code == 0
    get(shared)
    done = shared.call("rm", "--remote", "--force", "2")
    assert (done.code, done.out) == (0, "removed from origin: MyFlow/2\n")
    assert "refs/runs/MyFlow/2" not in refs(server)


def test_an_earlier_state_that_another_remote_has(shared: GitRepo) -> None:
    """A colleague has sent it there while the run went on: it is found by any commit of the run."""
    two = GitRepo(shared.path.parent / "two")
    shared.git("init", "-q", "--bare", str(two.path))
    shared.git("remote", "add", "two", str(two.path))
    states = shared.git("rev-list", "--first-parent", "refs/runs/MyFlow/1").split()
    assert len(states) > 2
    shared.git("push", "-q", "two", f"{states[1]}:refs/runs/MyFlow/1")
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, "removed from two: MyFlow/1\n" in done.out) == (0, True)
    assert refs(two) == {}


def went_on(repo: GitRepo, ref: str) -> str:
    """A later state of a run, in a repository alone."""
    message = repo.git("log", "-1", "--format=%B", ref)
    newer = repo.git("commit-tree", f"{ref}^{{tree}}", "-p", ref, "-m", message)
    repo.git("update-ref", ref, newer)
    return newer


def test_a_later_state_that_another_remote_has(shared: GitRepo) -> None:
    """Nothing of it is known here: it is told each time, until a fetch tells that it is the run, which goes then."""
    two = GitRepo(shared.path.parent / "two")
    shared.git("init", "-q", "--bare", str(two.path))
    shared.git("remote", "add", "two", str(two.path))
    shared.git("push", "-q", "two", "refs/runs/MyFlow/1:refs/runs/MyFlow/1")
    newer = went_on(two, "refs/runs/MyFlow/1")
    for _ in range(2):
        done = shared.call("rm", "--remote", "--force", "1")
        told = "two keeps MyFlow/1: it may be that run in a state that this clone has not seen"
        assert (done.code, told in done.out, done.err) == (1, True, "")
        assert refs(two) == {"refs/runs/MyFlow/1": newer}
    assert shared.call("fetch", "two").code == 0
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, done.out) == (0, "removed from two: MyFlow/1\n")
    assert refs(two) == {}


def test_a_later_state_of_which_there_is_no_copy(server: GitRepo, shared: GitRepo) -> None:
    """It is here, from elsewhere, so it is the run: it stays there as one that went on."""
    uid = shared.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/1")
    newer = went_on(server, "refs/runs/MyFlow/1")
    server.git("update-ref", f"refs/runs/MyFlow/1-{uid[:7]}", newer)
    shared.git("fetch", "-q", str(server.path), newer)
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, done.out.count("it has changed there since")) == (1, 2)


@pytest.mark.parametrize("is_fetched", [False, True])
@pytest.mark.sample(1)
def test_another_run_of_that_number(
    server: GitRepo, shared: GitRepo, bob: GitRepo, is_fetched: bool
) -> None:
    """Once it has been fetched it is known to be another one; it stays in any case."""
    make_run(bob, result=b"Bob's")
    make_run(bob, result=b"Bob's, too")
    server.git("update-ref", "-d", "refs/runs/MyFlow/2")
    send(bob, "2")
    if is_fetched:
        get(shared)
    before = refs(server)["refs/runs/MyFlow/2"]
    done = shared.call("rm", "--remote", "--force", "2")
    assert done.code == (0 if is_fetched else 1), done.out
    assert refs(server)["refs/runs/MyFlow/2"] == before


def test_what_is_damaged_keeps_no_other_run_on_a_remote(
    shared: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run whose history can't be read its first and its last state are known, and of another one all."""
    two = GitRepo(shared.path.parent / "two")
    shared.git("init", "-q", "--bare", str(two.path))
    shared.git("remote", "add", "two", str(two.path))
    for number in (1, 2):
        states = shared.git("rev-list", "--first-parent", f"refs/runs/MyFlow/{number}").split()
        shared.git("push", "-q", "two", f"{states[1]}:refs/runs/MyFlow/{number}")
    damaged = Oid.from_hex(shared.git("rev-parse", "refs/runs/MyFlow/1"))

    def history(git: Git, tips: Iterable[Oid]) -> History:
        if damaged in (tips := [*tips]):
            raise RepositoryError("git rev-list: it is damaged")
        return History(git, tips)

    monkeypatch.setattr(removal, "History", history)
    shared.call("rm", "--remote", "--force", "1", "2")
    assert [*refs(two)] == ["refs/runs/MyFlow/1"]


def test_git_tags_that_anybody_sent(server: GitRepo, shared: GitRepo) -> None:
    """`git push --tags` has, of a tag that is gone by now or was never sent: they go, and are told."""
    uid = shared.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/1")
    git_tag = f"refs/tags/runs/MyFlow/best/1-{uid[:7]}"
    shared.git("push", "-q", "--tags", "origin")
    shared.call("tag", "-d", "1", "best")
    send(shared)
    assert refs(server, git_tag)
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, f"removed from origin: {git_tag}\n" in done.out) == (0, True)
    assert refs(server, git_tag) == {}
    server.git("update-ref", git_tag, uid)
    assert shared.call("rm", "--remote", "--force", "1").out == f"removed from origin: {git_tag}\n"
    assert shared.call("rm", "--remote", "--force", "1").err == "No remote has them.\n"


def at_the_deletion(server: GitRepo, *commands: str) -> None:
    """Have the server do something as it deletes the ref of a run."""
    for name, run in (("update", "$1"), ("post-update", "$1")):
        lines = "\n".join(it for it in commands if (name == "update") == ("@tags" in it))
        hook = server.path / f"hooks/{name}"
        hook.write_text(f"#!/bin/sh\ncase {run} in refs/runs/MyFlow/1)\n{lines}\n;; esac\n")
        hook.chmod(0o755)
    server.git("config", "core.hooksPath", "hooks")


def test_a_tag_that_somebody_sends_while_its_run_is_removed(
    server: GitRepo, shared: GitRepo
) -> None:
    """It is there without its run then, which is told each time, and how both are put back and go."""
    uid = shared.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/1")
    tag = "refs/runs/@tags/MyFlow/late/1"
    at_the_deletion(server, f"git update-ref {tag} {uid}")
    for _ in range(2):
        done = shared.call("rm", "--remote", "--force", "1")
        told = "origin keeps @tags/MyFlow/late/1: this clone has not seen it, and its run is gone"
        assert (done.code, told in done.out) == (1, True)
        assert [ref for ref in refs(server) if ref.endswith("/1")] == [tag]
    server.git("config", "--unset", "core.hooksPath")
    assert shared.call("restore", "1").code == 0
    get(shared)
    assert shared.call("rm", "--remote", "--force", "1").code == 0
    assert not [ref for ref in refs(server) if ref.endswith("/1")]


@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.sample(1)
def test_a_run_that_somebody_sends_while_it_is_removed(
    server: GitRepo, shared: GitRepo, state: int
) -> None:
    """In whatever state and by whatever name, it is not said to be removed."""
    uid, *states = shared.git("rev-list", "--reverse", "refs/runs/MyFlow/1").split()
    name = ("MyFlow/1", f"MyFlow/1-{uid[:7]}")[state]
    at_the_deletion(server, f"git update-ref refs/runs/{name} {states[state]}")
    done = shared.call("rm", "--remote", "--force", "1")
    assert (done.code, f"origin keeps {name}: it was sent there meanwhile" in done.out) == (1, True)
    assert f"refs/runs/{name}" in refs(server)
