"""Damaged runs make way only for themselves, keep their names, and are put back where nothing came."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.errors import NotFound, RepositoryError
from gitflowrun.names import SpinId
from gitflowrun.porcelain.transfer.damaged import DamagedRuns
from gitflowrun.porcelain.transfer.fetch import _Fetch, fetch
from gitflowrun.porcelain.transfer.sync import Outcome
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.runs import Status
from gitflowrun.runs.spins.numbers import SpinIds
from tests.helpers.clones import add_tag, get, ids, outcomes, refs, send, tags
from tests.helpers.packs import objects_dir
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.repos import GitRepo

RUN = "refs/runs/MyFlow/1"
TAG = "refs/runs/@tags/MyFlow/own/1"


class Loss:
    """Objects that are gone from a repository, and may come back as from a backup."""

    def __init__(self, repo: GitRepo, *commits: str) -> None:
        self._moved: list[tuple[Path, Path]] = []
        backup = repo.path / ".git/backup"
        backup.mkdir(exist_ok=True)
        for index in objects_dir(repo).glob("pack/*.idx"):
            listed = repo.git("show-index", stdin=index.read_bytes())
            if any(oid in listed for oid in commits):
                for path in [*index.parent.glob(f"{index.stem}.*")]:
                    self._moved.append((path.rename(backup / path.name), path))
        assert self._moved

    def end(self) -> None:
        """Put them back."""
        for backup, path in self._moved:
            backup.rename(path)


def lose(repo: GitRepo, ref: str = RUN, count: int = 1) -> Loss:
    """Lose the newest commits of a run."""
    return Loss(repo, *repo.git("rev-list", f"-{count}", ref).split())


def loose(repo: GitRepo, prefix: str = "refs/runs/") -> dict[str, str]:
    """What the files of refs hold, whatever that is; mirrors of tags included."""
    top = repo.path / ".git"
    places = [top / prefix, top / "refs/tags/runs"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(top)): path.read_text() for path in files}


@pytest.fixture
def uids(ada: GitRepo, bob: GitRepo) -> tuple[str, str]:
    """Two runs with one number: Bob's has it on the server, Ada's is not there yet."""
    theirs = make_run(bob)
    send(bob)
    return make_run(ada).uid.short, theirs.uid.short


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("has_theirs", [False, True])
def test_a_damaged_run_keeps_its_name_and_tags(
    ada: GitRepo, uids: tuple[str, str], has_theirs: bool, count: int
) -> None:
    """The remote has it under another name, and another run under its own: nobody else gets its number here."""
    ours, theirs = uids
    add_tag(ada, "1", "own", "sent")
    send(ada)
    add_tag(ada, "1", "later")
    if has_theirs:
        get(ada)
    lose(ada, count=count)
    report = get(ada)
    (notice,) = report.notices
    assert notice.startswith("MyFlow/1 was damaged here")
    assert notice.endswith(" and was fetched anew")
    assert ids(ada) == {"MyFlow/1": ours, f"MyFlow/1-{theirs}": theirs}
    assert tags(ada) == {"MyFlow/1": ("later", "own", "sent")}
    assert ada.call("doctor").code == 0
    assert ada.call("push").code == 0
    ada.fsck()


@pytest.mark.parametrize("held", ["lost", "emptied"])
@pytest.mark.parametrize("is_tagged", [True, False])
def test_no_damaged_run_gives_way_to_another(
    ada: GitRepo, uids: tuple[str, str], is_tagged: bool, held: str
) -> None:
    """What the remote has under its name is another run, as its copy here shows: it stays, and a backup mends it."""
    get(ada)
    if is_tagged:
        add_tag(ada, "1", "own")
    whole = loose(ada)
    if held == "lost":
        loss = lose(ada)
    else:
        (ada.path / f".git/{RUN}").write_text("")
    before = loose(ada)
    (notice,) = get(ada).notices
    assert loose(ada) == before
    assert "a backup of .git may have what is lost" in notice
    assert "anew" not in notice
    if held == "lost":
        loss.end()
    else:
        (ada.path / f".git/{RUN}").write_text(whole[RUN])
    assert ids(ada) == {"MyFlow/1": uids[0], f"MyFlow/1-{uids[1]}": uids[1]}
    assert loose(ada) == whole
    ada.fsck()


def test_a_ref_that_holds_nothing_of_a_run_made_here(ada: GitRepo) -> None:
    """No tag tells its uid: a commit made in this clone, under a number that this clone gave, is of that run."""
    run = make_run(ada)
    send(ada)
    (ada.path / f".git/{RUN}").write_text("")
    assert outcomes(get(ada)) == [Outcome.NEW]
    assert ids(ada) == {"MyFlow/1": run.uid.short}


def _fail(repo: GitRepo, patch: pytest.MonkeyPatch, *, kill: bool = False) -> None:
    """Fetch without a network, after damaged runs have made way."""

    def refuse(*_args: object) -> None:
        raise RepositoryError("the network is down")

    repository = open_repo(repo)
    with patch.context() as patched:
        patched.setattr("gitflowrun.porcelain.transfer.fetch._Fetch.fetch_copies", refuse)
        if kill:
            patched.setattr(DamagedRuns, "_settle", lambda *_: None)
        with pytest.raises(RepositoryError, match="the network"):
            fetch(repository, "origin")
    repository.refs.close()  # a git at work may hold any lock


@pytest.mark.parametrize("held", ["lost", "lost, packed", "emptied", "emptied, packed"])
def test_a_fetch_that_fails_puts_damaged_runs_back(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    """As they were, with all tags: the next fetch may bring them, or a backup."""
    make_run(ada, tags=["own"])
    send(ada)
    whole = refs(ada)
    if "packed" in held:
        ada.git("pack-refs", "--all")
    if "lost" in held:
        loss = lose(ada, count=9)
    else:
        file = ada.path / f".git/{RUN}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    _fail(ada, monkeypatch)
    assert {RUN, TAG} <= loose(ada).keys()
    assert not (ada.path / ".git/gitflowrun-aside").exists()
    if "lost" in held:
        assert "damaged" in ada.call("list").out
        loss.end()
    else:
        get(ada)
    assert refs(ada) == whole
    assert tags(ada) == {"MyFlow/1": ("own",)}
    ada.fsck()


@pytest.mark.parametrize("has_it", [True, False])
def test_a_fetch_that_is_killed(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    """The next one brings the run, or puts it back where the remote has it no more."""
    run = make_run(ada, tags=["own"])
    send(ada)
    loss = lose(ada, count=9)
    _fail(ada, monkeypatch, kill=True)
    assert loose(ada).keys().isdisjoint([RUN, TAG])
    if not has_it:
        server.git("update-ref", "-d", RUN)
    get(ada)
    assert {RUN, TAG} <= loose(ada).keys()
    assert not (ada.path / ".git/gitflowrun-aside").exists()
    if not has_it:
        loss.end()
    assert ids(ada) == {"MyFlow/1": run.uid.short}
    assert tags(ada) == {"MyFlow/1": ("own",)}


def test_the_doctor_knows_of_a_fetch_that_was_killed(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the run that is away, and puts it back."""
    make_run(ada, tags=["own"])
    send(ada)
    before = loose(ada)
    loss = lose(ada, count=9)
    _fail(ada, monkeypatch, kill=True)
    said = ada.call("doctor")
    assert said.code == 1
    assert "MyFlow/1" in said.out
    assert "its ref is away" in said.out
    ada.call("doctor", "--fix")
    assert loose(ada) == before
    loss.end()
    assert ada.call("doctor").code == 0


def test_a_power_cut_that_leaves_a_lock_as_well(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is older than the boot keeps nothing from being put back."""
    make_run(ada, tags=["own"])
    send(ada)
    lose(ada, count=9)
    _fail(ada, monkeypatch, kill=True)
    server.git("update-ref", "-d", RUN)
    lock = ada.path / ".git" / f"{RUN}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    os.utime(lock, (0, 0))
    (ada.path / ".git/gitflowrun/swept-locks").unlink(missing_ok=True)  # as after a boot
    get(ada)
    assert {RUN, TAG} <= loose(ada).keys()
    assert not lock.exists()


def test_a_run_that_comes_in_an_earlier_state(ada: GitRepo) -> None:
    """Its later one was not sent: that is said, and how to go there when a backup has brought it."""
    with start_run(ada) as writer:
        send(ada)
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.DONE)
    tip = refs(ada)[RUN]
    loss = lose(ada)
    (notice,) = get(ada).notices
    assert refs(ada)[RUN] != tip
    assert "fetched anew as the remote has it, at " in notice
    loss.end()
    (command,) = re.findall("`git ([^`]*)`", notice)
    ada.git(*shlex.split(command))
    assert refs(ada)[RUN] == tip
    assert get(ada).notices == ()


@pytest.mark.usefixtures("uids")
def test_a_damaged_run_that_is_asked_for_by_name(ada: GitRepo, server: GitRepo) -> None:
    """By the name that it has here, also where the remote has it under another one alone."""
    send(ada)
    server.git("update-ref", "-d", RUN)
    whole = refs(ada)
    lose(ada)
    report = fetch(open_repo(ada), "origin", ["MyFlow/1"])
    assert outcomes(report) == [Outcome.NEW]
    assert refs(ada) == whole
    with pytest.raises(NotFound):
        fetch(open_repo(ada), "origin", ["MyFlow/1"])


def test_a_damaged_run_whose_uid_is_that_of_another_ref(ada: GitRepo) -> None:
    """The run is here under another name: the ref of that name that leads nowhere is not taken for it."""
    run = make_run(ada, tags=["own"])
    send(ada)
    ada.git("update-ref", f"{RUN}-{run.uid.short}", RUN)
    (ada.path / f".git/{RUN}").write_text("1" * 40 + "\n")
    before = loose(ada)
    (notice,) = get(ada).notices
    assert loose(ada) == before
    assert notice.startswith("MyFlow/1 is damaged here")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_damaged_run_in_the_trash(ada: GitRepo, server: GitRepo, is_there: bool) -> None:
    """It does not come back by itself; what the remote has of it mends the trash, and nothing else gives it up."""
    run = make_run(ada, tags=["own"])
    send(ada)
    assert ada.call("rm", "--force", "1").code == 0
    (trashed,) = (it for it in loose(ada, "refs/runs-trash") if "@" not in it)
    before = loose(ada, "refs/runs-trash")
    loss = lose(ada, trashed, 9)
    if not is_there:
        server.git("update-ref", "-d", RUN)
    report = get(ada)
    assert ids(ada) == {}
    assert loose(ada, "refs/runs-trash") == before
    if not is_there:
        (notice,) = report.notices
        assert notice.startswith("MyFlow/1 in the trash is damaged here")
        assert "a backup of .git may have what is lost" in notice
        found = ada.call("doctor").out
        assert "a backup of .git may" in found
        loss.end()
    assert ada.call("restore", "1").code == 0
    assert ids(ada) == {"MyFlow/1": run.uid.short}
    assert tags(ada) == {"MyFlow/1": ("own",)}
    ada.fsck()


def test_nobody_advises_to_remove_what_a_damaged_run_has(ada: GitRepo) -> None:
    """Its ref and its tags come back with it, from a remote or a backup."""
    make_run(ada, tags=["own"])
    whole = loose(ada)
    loss = lose(ada, count=9)
    for command in ("doctor", "fsck", "list"):
        said = ada.call(command)
        assert "update-ref" not in said.out + said.err
    assert "a backup of .git" in ada.call("doctor").out
    loss.end()
    assert loose(ada) == whole
    assert ada.call("doctor").code == 0


def test_a_tag_under_a_name_that_its_run_no_longer_has(server: GitRepo, ada: GitRepo) -> None:
    """The doctor names the run and what gives it the tag: without it, a push would take it for removed."""
    run = make_run(ada, tags=["own"])
    send(ada)
    ada.git("update-ref", f"{RUN}-{run.uid.short}", RUN)
    ada.git("update-ref", "-d", RUN)
    found = ada.call("doctor").out
    commands = re.findall("`([^`]*)`", found)[1:]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "runs":
            assert ada.call(*words[1:]).code == 0
        else:
            ada.git(*words)
    assert tags(ada) == {f"MyFlow/1-{run.uid.short}": ("own",)}
    assert ada.call("doctor").code == 0
    assert ada.call("push").code == 0
    assert tags(server) == {"MyFlow/1": ("own",)}


@pytest.mark.parametrize("held", ["lost", "lost, packed", "unreadable", "emptied"])
def test_a_damaged_spun_task_keeps_no_run_out(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    """Its ref is there again afterwards, and its number nobody's meanwhile: a backup may bring it back."""
    spun = f"{layout.SPINS}MyFlow/3"
    make_run(ada)
    ada.git("update-ref", spun, RUN)
    ada.git("update-ref", "-d", RUN)
    whole = refs(ada, layout.SPINS)
    if held == "lost, packed":
        ada.git("pack-refs", "--all")
    loss = lose(ada, spun, 9)
    loose_file = objects_dir(ada) / whole[spun][:2] / whole[spun][2:]
    if held == "unreadable":
        loose_file.parent.mkdir(exist_ok=True)
        loose_file.write_bytes(b"")
    elif held == "emptied":
        loss.end()
        (ada.path / ".git" / spun).write_text("")
    theirs = make_run(bob)
    send(bob)
    _fail(ada, monkeypatch, kill=True)
    numbers = []
    fetch_copies = _Fetch.fetch_copies

    def choose(*args: Any) -> Any:
        assert loose(ada, layout.SPINS) == {}
        reserved = SpinIds(open_repo(ada)).reserve()
        numbers.append(reserved.id)
        reserved.lock.release(remove=True)
        return fetch_copies(*args)

    with monkeypatch.context() as patched:
        patched.setattr(_Fetch, "fetch_copies", choose)
        report = get(ada)
    assert outcomes(report) == [Outcome.NEW]
    assert ids(ada) == {"MyFlow/1": theirs.uid.short}
    notice = "".join(report.notices)
    assert (held == "unreadable") or notice.startswith("MyFlow/spin-3 is damaged here")
    assert "spin-3" not in numbers != []
    assert not (ada.path / ".git/gitflowrun-aside").exists()
    assert Locks(open_repo(ada).state_dir).runs() == set()
    if held != "emptied":
        assert loose(ada, layout.SPINS) == {spun: f"{whole[spun]}\n"}
        loose_file.unlink(missing_ok=True)
        loss.end()
    else:
        assert f"rm {ada.path}/.git/{spun}" in notice
        (ada.path / ".git" / spun).write_text(f"{whole[spun]}\n")
    assert refs(ada, layout.SPINS) == whole
    assert get(ada).notices == ()
    ada.fsck()


def test_a_spun_task_that_is_being_executed_makes_no_way(ada: GitRepo, bob: GitRepo) -> None:
    """What looks lost may be about to come."""
    make_run(bob)
    send(bob)
    (ada.path / ".git/refs/runs-spin/MyFlow").mkdir(parents=True)
    (ada.path / ".git/refs/runs-spin/MyFlow/3").write_text("")
    lock = Locks(open_repo(ada).state_dir).run(SpinId.of(3))
    assert lock.try_acquire()
    get(ada)
    assert loose(ada, layout.SPINS) == {"refs/runs-spin/MyFlow/3": ""}
    lock.release()
    get(ada)
    assert len(ids(ada)) == 1


def lose_first(repo: GitRepo, ref: str = RUN) -> tuple[str, Path]:
    """Lose the first commit of a run, and nothing else; its id, and where it is kept."""
    kept = repo.path / ".git/kept"
    kept.mkdir()
    for pack in [*objects_dir(repo).glob("pack/*.pack")]:
        for path in [*pack.parent.glob(f"{pack.stem}.*")]:
            path.rename(kept / path.name)
        repo.git("unpack-objects", "-q", stdin=(kept / pack.name).read_bytes())
    oid = repo.git("rev-list", ref).split()[-1]
    return oid, (objects_dir(repo) / oid[:2] / oid[2:]).rename(kept / oid)


@pytest.mark.parametrize("is_anothers", [True, False])
def test_a_run_that_has_lost_its_first_commit_stays(
    ada: GitRepo, bob: GitRepo, server: GitRepo, is_anothers: bool
) -> None:
    """Its ref keeps all else of it, which can be read: whatever the remote has, a gc meanwhile takes nothing."""
    make_run(ada, tags=["own"])
    send(ada)
    get(bob)
    if is_anothers:
        server.git("update-ref", RUN, server.git("commit-tree", "-m", "x", f"{RUN}^{{tree}}"))
    make_run(ada)
    send(ada)
    oid, kept = lose_first(bob)
    before = refs(bob, "refs/runs/")
    said = bob.call("fetch", "origin")
    assert said.code == 1
    assert f"MyFlow/1 has lost its first commit here, {oid}, and can be read otherwise" in said.err
    advice = said.err.partition("its tags lead there, which `")[2].partition("`")[0]
    assert advice.startswith(f"git update-ref -d {TAG} && git update-ref -d refs/tags/runs/")
    assert before.items() <= refs(bob, "refs/runs/").items()
    assert not (bob.path / ".git/gitflowrun-aside").exists()
    subprocess.run(advice, shell=True, cwd=bob.path, check=True)
    assert bob.call("fetch", "origin").code == 1
    assert "refs/runs/MyFlow/2" in refs(bob)
    kept.rename(objects_dir(bob) / oid[:2] / oid[2:])
    assert bob.call("fetch", "origin").code == 0
    bob.fsck()


def test_a_run_without_a_first_commit_that_the_remote_has_otherwise(ada: GitRepo) -> None:
    """It stays as it is here, for what it has more is nowhere else; nothing fails for it, and a backup mends it."""
    with start_run(ada) as writer:
        send(ada)
        run = writer.identity
        writer.commit([finished_task(run, "start/1")], status=Status.DONE)
    oid, kept = lose_first(ada)
    tip = refs(ada)[RUN]
    make_run(ada)
    add_tag(ada, "2", "other")
    said = ada.call("push", "origin")
    assert said.code == 1
    assert "MyFlow/1" in said.err
    said = ada.call("fetch", "origin")
    assert said.code == 1
    assert f"MyFlow/1 has lost its first commit here, {oid}," in said.err
    assert refs(ada)[RUN] == tip
    kept.rename(objects_dir(ada) / oid[:2] / oid[2:])
    for command in ("push", "fetch", "doctor"):
        assert ada.call(command).code == 0
    assert refs(ada)[RUN] == tip


def test_tags_of_a_run_without_a_first_commit(ada: GitRepo, bob: GitRepo, server: GitRepo) -> None:
    """Where the run can't come anew, no ref can point to it: they are left out, with a word, and all else comes."""
    make_run(ada, tags=["own"])
    send(ada)
    get(bob)
    server.git("update-ref", "-d", RUN)
    add_tag(bob, "1", "own", remove=True)
    for copy in refs(bob, "refs/runs-remotes"):
        bob.git("update-ref", "-d", copy)
    lose_first(bob)
    make_run(ada, "Other", tags=["mine"])
    send(ada, "2")
    said = bob.call("fetch", "origin")
    assert said.code == 1
    assert "tag own of MyFlow/1 was not taken over: it points to the first commit" in said.err
    assert said.out.endswith("1 run new, 1 tag added, 1 not taken over\n")
    assert tags(bob) == {"Other/2": ("mine",)}


def test_a_push_of_tags_of_a_run_without_a_first_commit(ada: GitRepo, server: GitRepo) -> None:
    """They are not sent, with a word; other tags and runs are."""
    make_run(ada)
    send(ada)
    add_tag(ada, "1", "own")
    make_run(ada, tags=["other"])
    lose_first(ada)
    said = ada.call("push", "origin")
    assert said.code == 1
    assert "tag own of MyFlow/1 was not sent: it points to the first commit" in said.err
    assert tags(server) == {"MyFlow/2": ("other",)}


def test_a_run_in_the_trash_without_a_first_commit(ada: GitRepo) -> None:
    """It stays there, with a word."""
    make_run(ada)
    send(ada)
    assert ada.call("rm", "--force", "1").code == 0
    (trashed,) = refs(ada, "refs/runs-trash")
    oid, _ = lose_first(ada, trashed)
    said = ada.call("fetch", "origin")
    assert f"MyFlow/1 in the trash has lost its first commit here, {oid}," in said.err
    assert list(refs(ada, "refs/runs-trash")) == [trashed]


def test_a_run_that_the_user_fetched_without_its_first_commits(ada: GitRepo, bob: GitRepo) -> None:
    """It has lost nothing, and stays as it is."""
    make_run(ada)
    send(ada)
    bob.git("remote", "set-url", "origin", f"file://{bob.git('remote', 'get-url', 'origin')}")
    bob.git("fetch", "-q", "--depth=1", "origin", f"{RUN}:{RUN}")
    before = refs(bob)
    done = bob.call("fetch", "origin")
    assert done.code == 0, done.err
    assert "that can be had" not in done.err
    assert "damaged" not in done.err
    assert refs(bob) == before
