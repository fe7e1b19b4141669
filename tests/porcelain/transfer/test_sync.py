"""Runs and tags travel between clones through a remote; numbers may meet, and nothing is lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.transport.remote import Remote, label_of
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.push import push
from gitflowrun.porcelain.transfer.sync import Outcome
from gitflowrun.runs.runs import Status
from tests.helpers.clones import add_tag, clone, get, ids, outcomes, refs, send, tags
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run, store_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_travels(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """What one clone pushes, another fetches: same ref, same commit, readable there."""
    run = make_run(ada, tags=["best"], result=b"1234")
    assert outcomes(send(ada)) == [Outcome.NEW]
    assert refs(server)["refs/runs/MyFlow/1"] == refs(ada)["refs/runs/MyFlow/1"]
    report = get(bob)
    assert outcomes(report) == [Outcome.NEW]
    assert (report.tags_added, report.notices) == (1, ())
    assert refs(bob) == refs(ada)
    stored = store_of(bob).find("1")
    assert stored.identity == run
    assert stored.status is Status.DONE
    assert stored.info.user == "ada"
    tracking = f"refs/runs-remotes/{label_of(str(server.path))}/"
    assert refs(bob, "refs/runs-remotes/") == {
        name.replace("refs/runs/", tracking): oid for name, oid in refs(ada).items()
    }
    assert bob.git("tag", "-l", "runs/*") == f"runs/MyFlow/best/1-{run.uid.short}"
    for repo in (server, ada, bob):
        repo.fsck()


def test_again_changes_nothing(ada: GitRepo, bob: GitRepo) -> None:
    """A second push or fetch finds everything in place."""
    make_run(ada, tags=["a"])
    make_run(ada)
    send(ada)
    get(bob)
    before = refs(ada, "refs/"), refs(bob, "refs/")
    assert outcomes(send(ada)) == [Outcome.CURRENT] * 2
    assert outcomes(get(bob)) == [Outcome.CURRENT] * 2
    assert outcomes(send(bob)) == [Outcome.CURRENT] * 2
    assert (refs(ada, "refs/"), refs(bob, "refs/")) == before


def test_runs_that_both_sides_have_are_named_and_no_more(ada: GitRepo, bob: GitRepo) -> None:
    """A report lists what was looked at, and by address what is the same on both sides."""
    for _ in range(10):
        make_run(ada)
    send(ada)
    get(bob)
    make_run(ada)
    all_ = frozenset(f"MyFlow/{number}" for number in range(1, 12))
    others = all_ - {"MyFlow/11"}
    report = send(ada)
    assert ([run.source for run in report.runs], report.up_to_date) == (["11"], others)
    report = get(bob)
    assert ([run.source for run in report.runs], report.up_to_date) == (["11"], others)
    assert (get(bob).runs, get(bob).up_to_date) == ((), all_)
    ada.git("update-ref", "refs/runs/MyFlow/99", "main")
    ada.git("push", "-q", "origin", "refs/runs/MyFlow/99")
    assert (send(ada).runs, get(ada).up_to_date) == ((), all_)


def test_fetched_runs_leave_no_loose_objects(ada: GitRepo, bob: GitRepo) -> None:
    """A fetched run is a pack, as our own are."""
    make_run(ada)
    send(ada)
    loose = sorted((bob.path / ".git" / "objects").glob("??/*"))
    get(bob)
    assert sorted((bob.path / ".git" / "objects").glob("??/*")) == loose


def test_chosen_runs_only(server: GitRepo, ada: GitRepo) -> None:
    """Named runs travel with their tags; the others stay at home."""
    for number in range(3):
        make_run(ada, tags=[f"t{number}"])
    report = send(ada, "2")
    assert [(run.source, run.target) for run in report.runs] == [("2", "2")]
    assert set(refs(server)) == {"refs/runs/MyFlow/2", "refs/runs/@tags/MyFlow/t1/2"}


def test_a_running_run_moves_forward(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A run may be pushed while it runs; its later states follow under the same name."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        send(ada)
        get(bob)
        assert store_of(bob).find("1").status is Status.RUNNING
        writer.commit([finished_task(writer.identity, "end/2")], status=Status.DONE)
    assert outcomes(send(ada)) == [Outcome.UPDATED]
    assert outcomes(get(bob)) == [Outcome.UPDATED]
    assert store_of(bob).find("1").status is Status.DONE
    assert refs(bob) == refs(ada) == refs(server)


def test_an_old_copy_does_not_rewind(ada: GitRepo, bob: GitRepo) -> None:
    """Who has only an older state of a run neither overwrites the newer one nor fails."""
    with start_run(ada) as writer:
        send(ada)
        get(bob)
        writer.commit([], status=Status.DONE)
        assert outcomes(get(ada)) == [Outcome.AHEAD]
    send(ada)
    assert outcomes(send(bob)) == [Outcome.AHEAD]
    assert outcomes(get(bob)) == [Outcome.UPDATED]


def test_numbers_meet_on_the_remote(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """Whoever pushes second keeps the number at home and is published with its uid."""
    ours, theirs = make_run(ada, result=b"ada"), make_run(bob, result=b"bob")
    send(ada)
    report = send(bob)
    name = f"1-{theirs.uid.short}"
    assert [(run.source, run.target, run.outcome) for run in report.runs] == [
        ("1", name, Outcome.NEW)
    ]
    assert report.runs[0].renamed
    assert set(refs(server)) == {"refs/runs/MyFlow/1", f"refs/runs/MyFlow/{name}"}
    assert ids(bob) == {"MyFlow/1": theirs.uid.short}
    # Ada receives Bob's run under its published name, Bob receives Ada's with hers.
    get(ada)
    get(bob)
    assert ids(ada) == {
        "MyFlow/1": ours.uid.short,
        f"MyFlow/1-{theirs.uid.short}": theirs.uid.short,
    }
    assert ids(bob) == {"MyFlow/1": theirs.uid.short, f"MyFlow/1-{ours.uid.short}": ours.uid.short}
    # From here on everybody recognises every run.
    for repo in (ada, bob):
        assert outcomes(send(repo)) == [Outcome.CURRENT] * 2
        assert outcomes(get(repo)) == [Outcome.CURRENT] * 2
    assert len(refs(server)) == 2
    assert make_run(ada).id == make_run(bob).id == "2"


def test_numbers_are_one_sequence_for_all_flows(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """Run 1 of another flow takes the number as well, here and there."""
    make_run(ada, "Train")
    theirs = make_run(bob, "Score")
    send(ada)
    assert send(bob).runs[0].target == f"1-{theirs.uid.short}"
    assert sorted(refs(server)) == [f"refs/runs/Score/1-{theirs.uid.short}", "refs/runs/Train/1"]
    get(bob)
    (fetched,) = [name for name in ids(bob) if name.startswith("Train/")]
    assert fetched.startswith("Train/1-")


def test_a_published_run_moves_forward_under_its_published_name(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """A run that was published as `1-<uid7>` is updated there, not published again."""
    make_run(ada)
    send(ada)
    with start_run(bob, tags=["mine"]) as writer:
        send(bob)
        writer.commit([], status=Status.DONE)
    report = send(bob)
    assert outcomes(report) == [Outcome.UPDATED]
    name = f"1-{writer.identity.uid.short}"
    assert sorted(refs(server)) == [
        f"refs/runs/@tags/MyFlow/mine/{name}", "refs/runs/MyFlow/1", f"refs/runs/MyFlow/{name}"
    ]  # fmt: skip
    get(ada)
    assert tags(ada) == {f"MyFlow/{name}": ("mine",)}


@pytest.mark.slow
def test_fifty_collisions(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """Two clones with many runs each: all of them arrive everywhere."""
    for repo in (ada, bob):
        for _ in range(12):
            start_run(repo).close()
    for repo in (ada, bob, ada):
        send(repo)
        get(repo)
    everywhere = [set(ids(repo).values()) for repo in (server, ada, bob)]
    assert everywhere[0] == everywhere[1] == everywhere[2]
    assert len(everywhere[0]) == 24


def test_second_remote(ada: GitRepo, bob: GitRepo, tmp_path: Path) -> None:
    """Without being named a run of others goes to no other remote; then under the name it has, and is known there."""
    other = tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    make_run(ada)
    theirs = make_run(bob)
    send(ada)
    send(bob)
    get(ada)
    name = f"MyFlow/1-{theirs.uid.short}"
    (report,) = push(open_repo(ada), str(other))
    assert set(refs(GitRepo(other))) == {"refs/runs/MyFlow/1"}
    assert outcomes(report) == [Outcome.NEW]
    command = f"git runs push {other} {name}"
    assert report.notices == (
        f"{name}, which was not made here, was not sent; `{command}` sends it",
    )
    done = ada.call(*command.split()[2:])
    assert (done.code, done.err) == (0, "")
    assert set(refs(GitRepo(other))) == {"refs/runs/MyFlow/1", f"refs/runs/{name}"}
    report = fetch(open_repo(bob), str(other))
    assert outcomes(report) == [Outcome.NEW, Outcome.CURRENT]


def test_whose_runs_are_sent(ada: GitRepo, bob: GitRepo, tmp_path: Path) -> None:
    """One's own, and what is trusted; --all is for a mirror. What the remote has already is no matter of trust."""
    other = tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    for _ in range(3):
        make_run(ada)
    send(ada)
    get(bob)
    assert bob.call("trust", "2").code == 0
    make_run(bob)
    done = bob.call("push", str(other))
    assert sorted(refs(GitRepo(other))) == ["refs/runs/MyFlow/2", "refs/runs/MyFlow/4"]
    assert (done.code, "warning: 2 runs that were not made here" in done.err) == (0, True)
    assert bob.call("push", "origin").err == ""
    assert bob.call("push", str(other), "2", "--all").code == 129
    done = bob.call("push", str(other), "--all")
    assert (done.code, done.err, len(refs(GitRepo(other)))) == (0, "", 4)


@pytest.mark.slow
def test_racing_pushes_have_one_winner(server: GitRepo) -> None:
    """Six clones push their run 1 at the same moment: one keeps the name, all runs are there."""
    clones = [clone(server, f"racer{number}") for number in range(6)]
    uids = {start_close(repo) for repo in clones}
    script = (
        "from gitflowrun.git.repository import Repository\n"
        "from gitflowrun.porcelain.transfer.push import push\n"
        "(report,) = push(Repository.discover())\n"
        "assert [run.outcome.value for run in report.runs] == ['new'], report"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [
        subprocess.Popen([sys.executable, "-c", script], cwd=repo.path, env=environment)
        for repo in clones
    ]  # fmt: skip
    assert [racer.wait() for racer in racers] == [0] * 6
    assert set(ids(server).values()) == uids
    assert "MyFlow/1" in ids(server)


def start_close(repo: GitRepo) -> str:
    """The uid of a new run."""
    writer = start_run(repo)
    writer.close()
    return writer.identity.uid.short


CONFIGS = [
    ("fetch.prune", "true"), ("fetch.pruneTags", "true"), ("push.default", "matching"),
    ("remote.origin.mirror", "true"), ("push.followTags", "true"), ("remote.origin.prune", "true"),
]  # fmt: skip


@pytest.mark.parametrize(
    "chosen",
    [
        (),
        *itertools.combinations(CONFIGS, 1),
        *(
            pytest.param(it, marks=pytest.mark.slow)
            for it in itertools.combinations(CONFIGS[:4], 2)
        ),
        tuple(CONFIGS),
    ],
    ids=lambda chosen: "+".join(name for name, _ in chosen) or "none",
)
@pytest.mark.sample(2)
def test_no_config_loses_runs(
    server: GitRepo, ada: GitRepo, bob: GitRepo, chosen: tuple[tuple[str, str], ...]
) -> None:
    """Whatever is configured for branches, pushes and fetches of runs, and plain `git fetch`, lose nothing."""
    make_run(ada, tags=["a"])
    theirs = make_run(bob, tags=["b"])
    for name, value in chosen:
        bob.git("config", name, value)
    send(ada)
    send(bob)
    heads = server.git("for-each-ref", "refs/heads")
    for _ in range(2):
        get(bob)
        bob.git("fetch", "-q")
    make_run(bob)
    get(bob)
    assert f"runs/MyFlow/b/1-{theirs.uid.short}" in bob.git("tag", "-l", "runs/*").split()
    expected = {"MyFlow/1", f"MyFlow/1-{theirs.uid.short}", "MyFlow/2"}
    assert set(ids(bob).values()) >= set(ids(server).values())
    assert {name for name in ids(bob) if "-" not in name} == {"MyFlow/1", "MyFlow/2"}
    assert set(ids(server)) == expected - {"MyFlow/2"}
    assert tags(bob)["MyFlow/1"] == ("b",)
    assert server.git("for-each-ref", "refs/heads") == heads
    assert (
        bob.git("config", "--get-all", "remote.origin.fetch")
        == "+refs/heads/*:refs/remotes/origin/*"
    )


def test_branches_do_not_travel(server: GitRepo, ada: GitRepo) -> None:
    """Pushing runs sends neither the user's unpushed commits nor their tags."""
    secret = ada.commit("unpushed")
    ada.git("tag", "-a", "-m", "x", "v1")
    make_run(ada)
    send(ada)
    assert set(refs(server, "refs/")) == {"refs/heads/main", "refs/runs/MyFlow/1"}
    assert server.git("cat-file", "-t", secret, check=False) == ""


def test_without_a_remote(repo: GitRepo) -> None:
    """What is missing is said, with what to do."""
    with pytest.raises(RepositoryError, match="no remote") as caught:
        push(open_repo(repo))
    assert "git remote add" in (caught.value.hint or "")
    with pytest.raises(RepositoryError, match="can't read from"):
        fetch(open_repo(repo), "/nonexistent/repository")


def test_bare_and_shallow_repositories(server: GitRepo, ada: GitRepo, tmp_path: Path) -> None:
    """Runs arrive in bare and shallow clones, and leave them again."""
    make_run(ada)
    send(ada)
    url = f"file://{server.path}"
    for name, options in (("bare", ["--bare"]), ("shallow", ["--depth=1"])):
        path = tmp_path / name
        subprocess.run(["git", "clone", "-q", *options, url, str(path)], check=True)
        copy = GitRepo(path)
        assert outcomes(get(copy)) == [Outcome.NEW]
        assert ids(copy) == ids(ada)
        assert outcomes(send(copy)) == [Outcome.CURRENT]


def test_tags_merge_from_both_sides(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """Tags that different people add and remove meanwhile come together."""
    make_run(ada, tags=["old", "kept"])
    send(ada)
    get(bob)
    add_tag(ada, "1", "from ada", "both")
    add_tag(bob, "1", "from/bob", "both")
    add_tag(bob, "1", "old", remove=True)
    report = send(bob)
    assert (report.tags_added, report.tags_removed) == (2, 1)
    report = get(ada)
    assert (report.tags_added, report.tags_removed) == (1, 1)
    send(ada)
    get(bob)
    expected = {"MyFlow/1": ("both", "from ada", "from/bob", "kept")}
    assert tags(ada) == tags(bob) == tags(server) == expected
    assert ada.git("tag", "-l", "runs/*old*") == ""
    assert outcomes(send(ada)) == outcomes(get(bob)) == [Outcome.CURRENT]


def test_removed_tags_do_not_come_back(ada: GitRepo, bob: GitRepo) -> None:
    """A tag removed here, not yet pushed, is not fetched again; one removed there is not pushed again."""
    make_run(ada, tags=["a", "b"])
    send(ada)
    get(bob)
    add_tag(bob, "1", "a", remove=True)
    get(bob)
    assert tags(bob) == {"MyFlow/1": ("b",)}
    add_tag(ada, "1", "b", remove=True)
    send(ada)
    send(bob)
    get(bob)
    get(ada)
    assert tags(ada) == tags(bob) == {}


@pytest.mark.parametrize("is_removed", [True, False])
@pytest.mark.sample(1)
def test_a_tag_changes_beside_a_fetch(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch, is_removed: bool
) -> None:
    """One that is sent and removed while it works does not come back; one that is removed and made again stays."""
    make_run(ada)
    send(ada)
    add_tag(ada, "1", "a")
    if not is_removed:
        send(ada)
    listed = Remote.refs

    def slow(self: Remote, *patterns: str) -> dict[str, str]:
        monkeypatch.setattr(Remote, "refs", listed)
        if not is_removed:
            add_tag(ada, "1", "a", remove=True)
        send(ada)
        found = self.refs(*patterns)
        add_tag(ada, "1", "a", remove=is_removed)
        return found

    monkeypatch.setattr(Remote, "refs", slow)
    get(ada)
    assert tags(ada) == ({} if is_removed else {"MyFlow/1": ("a",)})
    send(ada)
    assert tags(ada) == ({} if is_removed else {"MyFlow/1": ("a",)})


@pytest.mark.parametrize("verb", ["fetch", "push"])
@pytest.mark.sample(1)
def test_a_run_is_removed_beside_the_tags_of_it(
    server: GitRepo, ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It takes its tags along, and no others come; the remote keeps those that it has."""
    make_run(ada, tags=["a"])
    send(ada)
    get(bob)
    add_tag(ada, "1", "b")
    send(ada)

    def meanwhile(name: str) -> None:
        if name in {"fetch.moved", "push.noted"}:
            assert bob.call("rm", "--force", "1").code == 0

    with monkeypatch.context() as patched:
        patched.setattr(f"gitflowrun.porcelain.transfer.{verb}.reached", meanwhile)
        get(bob) if verb == "fetch" else send(bob, "1")
    assert (refs(bob), tags(server)) == ({}, {"MyFlow/1": ("a", "b")})
    assert bob.call("restore", "1").code == 0
    get(bob)
    send(bob, "1")
    assert tags(bob) == tags(server) == {"MyFlow/1": ("a", "b")}


def test_a_tag_that_cannot_be_read_is_not_removed_there(server: GitRepo, ada: GitRepo) -> None:
    """Its ref is empty, as a power cut may leave it: that is no removal, and the push says so."""
    make_run(ada, tags=["good"])
    send(ada)
    before = refs(server)
    (ada.path / ".git/refs/runs/@tags/MyFlow/good/1").write_bytes(b"")
    (notice,) = send(ada).notices
    assert "@tags/MyFlow/good/1 can't be read" in notice
    assert refs(server) == before
    assert ada.call("doctor", "--fix").code == 0
    assert ada.call("tag", "1", "good").code == 0
    assert send(ada).notices == ()
    assert refs(server) == before


def test_tags_carry_the_id_of_their_side(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A tag's ref names the id under which the run is known where the ref is."""
    make_run(ada)
    theirs = make_run(bob, tags=["mine"])
    send(ada)
    send(bob)
    name = f"1-{theirs.uid.short}"
    assert f"refs/runs/@tags/MyFlow/mine/{name}" in refs(server)
    assert tags(bob) == {"MyFlow/1": ("mine",)}
    get(ada)
    add_tag(ada, name, "liked")
    send(ada)
    get(bob)
    assert tags(bob) == {"MyFlow/1": ("liked", "mine")}
    shown = bob.git("tag", "-l", "runs/*").split()
    assert shown == [f"runs/MyFlow/liked/{name}", f"runs/MyFlow/mine/{name}"]


def test_tags_of_runs_that_were_not_sent_stay(server: GitRepo, ada: GitRepo) -> None:
    """A tag whose run is not on the remote does not go there."""
    make_run(ada, tags=["a"])
    make_run(ada, tags=["b"])
    send(ada, "1")
    assert tags(server) == {"MyFlow/1": ("a",)}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("a",), "MyFlow/2": ("b",)}


def test_another_run_in_the_place_of_a_purged_one(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """It is fetched, under a number of its own: that of a removed run is never given again."""
    make_run(ada)
    send(ada)
    make_run(bob, result=b"bob's")
    assert ada.call("purge", "--force", "1").code == 0
    ada.git("push", "-q", "origin", "--delete", "refs/runs/MyFlow/1")
    send(bob)
    assert [*ids(server)] == ["MyFlow/1"]
    get(ada)
    (name,) = ids(ada)
    assert name == f"MyFlow/1-{ids(bob)['MyFlow/1']}"
    assert ids(ada)[name] == ids(bob)["MyFlow/1"]


def test_a_purged_run_that_goes_on_elsewhere(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """It stays away in each state that it comes to, and nothing of it is kept."""
    with start_run(ada) as writer:
        writer.begin([])
        send(ada, "1")
        get(bob)
        tip = ada.git("rev-parse", "refs/runs/MyFlow/1")
        assert bob.call("purge", "--force", "1").code == 0
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"secret"})])
        send(ada, "1")
    assert server.git("rev-parse", "refs/runs/MyFlow/1") != tip
    for _ in range(2):
        assert outcomes(get(bob)) == [Outcome.AWAY]
        assert ids(bob) == {}
        assert refs(bob, "refs/runs-remotes") == {}
    assert bob.call("fetch", "origin", "MyFlow/1").code == 0
    assert [*ids(bob)] == ["MyFlow/1"]


def test_a_name_that_was_taken_meanwhile(ada: GitRepo, bob: GitRepo) -> None:
    """A run whose id another run has by now comes back with its uid; a fetch of ours gives it to none."""
    mine, other = make_run(ada), make_run(bob)
    send(bob)
    assert ada.call("rm", "--force", "1").code == 0
    get(ada)
    assert [*ids(ada)] == [f"MyFlow/1-{str(other.uid)[:7]}"]
    ada.git("fetch", "-q", "origin", "refs/runs/MyFlow/1:refs/runs/MyFlow/1")
    assert f"restored MyFlow/1-{str(mine.uid)[:7]}, for" in ada.call("restore", "1").out
    assert ids(ada)[f"MyFlow/1-{str(mine.uid)[:7]}"] == str(mine.uid)[:7]
