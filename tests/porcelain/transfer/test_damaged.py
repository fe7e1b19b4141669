"""Damaged runs keep their refs in a fetch, and are mended by what comes of themselves."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitflowrun.errors import NotFound
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.sync import Outcome
from gitflowrun.runs import layout
from gitflowrun.runs.runs import Status
from tests.helpers.clones import add_tag, get, ids, outcomes, refs, send, tags
from tests.helpers.packs import objects_dir
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

if TYPE_CHECKING:
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
@pytest.mark.sample(1)
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
    before = loose(ada, RUN)
    lose(ada, count=count)
    report = get(ada)
    (notice,) = report.notices
    assert notice.startswith("MyFlow/1 was damaged here")
    assert notice.endswith(" and was fetched anew")
    assert loose(ada, RUN) == before
    assert ids(ada) == {"MyFlow/1": ours, f"MyFlow/1-{theirs}": theirs}
    assert tags(ada) == {"MyFlow/1": ("later", "own", "sent")}
    assert ada.call("doctor").code == 0
    assert ada.call("push").code == 0
    ada.fsck()


@pytest.mark.parametrize("held", ["lost", "emptied"])
@pytest.mark.parametrize("is_tagged", [True, False])
@pytest.mark.sample(1)
def test_no_damaged_run_gives_way_to_another(
    ada: GitRepo, uids: tuple[str, str], is_tagged: bool, held: str
) -> None:
    """What the remote has under its name is another run, as its copy here shows: nothing mends it but what is here."""
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
    if held == "lost":
        assert loose(ada) == before
        assert "a backup of .git may have what is lost" in notice
        assert "anew" not in notice
        loss.end()
    assert ids(ada) == {"MyFlow/1": uids[0], f"MyFlow/1-{uids[1]}": uids[1]}
    assert loose(ada) == whole
    ada.fsck()


def test_a_ref_that_holds_nothing_of_a_run_made_here(ada: GitRepo) -> None:
    """No tag tells its uid: a commit made in this clone, under a number that this clone gave, is of that run."""
    run = make_run(ada)
    send(ada)
    (ada.path / f".git/{RUN}").write_text("")
    report = get(ada)
    assert outcomes(report) == [Outcome.CURRENT]
    (notice,) = report.notices
    assert notice == "MyFlow/1 was damaged here (its ref held nothing), and was fetched anew"
    assert ids(ada) == {"MyFlow/1": run.uid.short}


def _packed(repo: GitRepo) -> list[str]:
    path = repo.path / ".git/packed-refs"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if " refs/runs/" in line]


@pytest.mark.parametrize("held", ["lost", "lost, packed", "emptied", "emptied, packed"])
@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.sample("True-lost", "False-emptied")
def test_no_fetch_takes_the_ref_of_a_damaged_run_away(
    ada: GitRepo, bob: GitRepo, held: str, is_killed: bool
) -> None:
    """Not even for as long as it takes: the user's gc finds all that it leads to, whatever becomes of the fetch."""
    make_run(ada, tags=["own"])
    send(ada)
    get(bob)
    make_run(bob)
    send(bob)
    whole = refs(ada)
    if "packed" in held:
        ada.git("pack-refs", "--all")
    if "lost" in held:
        loss = lose(ada, count=9)
    else:
        file = ada.path / f".git/{RUN}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    before = loose(ada), _packed(ada)
    if is_killed:
        env = {"GITFLOWRUN_FAILPOINTS": "fetch.received=kill"}
        assert ada.runs("fetch", env=env).code < 0
    else:
        hub = ada.git("remote", "get-url", "origin")
        Path(hub).rename(f"{hub}.away")
        assert ada.call("fetch").code == 128
        Path(f"{hub}.away").rename(hub)
    if held == "lost":
        assert before[0].items() <= loose(ada).items()
    if held == "emptied" and not is_killed:
        assert loose(ada) == before[0]
    assert before[1] == _packed(ada)
    if "lost" in held and not is_killed:
        assert "damaged" in ada.call("list").out
    get(ada)
    assert whole.items() <= refs(ada).items()
    assert tags(ada) == {"MyFlow/1": ("own",)}
    if "lost" in held:
        loss.end()
    ada.fsck()


def test_values_of_a_run_whose_newest_commit_is_lost_outlive_a_fetch_and_gc(
    ada: GitRepo, bob: GitRepo
) -> None:
    """Where no remote has the run, its ref keeps the rest for the backup that brings the commit."""
    make_run(ada, tags=["own"])
    make_run(bob)
    send(bob)
    objects = set(ada.git("rev-list", "--objects", RUN).split("\n"))
    loss = lose(ada)
    assert ada.runs("fetch", env={"GITFLOWRUN_FAILPOINTS": "fetch.received=kill"}).code < 0
    assert subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=ada.path, check=False).returncode
    get(ada)
    loss.end()
    assert set(ada.git("rev-list", "--objects", RUN).split("\n")) == objects
    ada.fsck()


@pytest.mark.parametrize("is_tagged", [True, False])
@pytest.mark.sample(1)
def test_a_run_that_the_remote_has_in_an_earlier_state(ada: GitRepo, is_tagged: bool) -> None:
    """Its later one was not sent: it stays, for a backup may bring it, with the command that takes the earlier one."""
    with start_run(ada) as writer:
        if is_tagged:
            add_tag(ada, "1", "own")
        send(ada)
        earlier = refs(ada)[RUN]
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.DONE)
    tip = refs(ada)[RUN]
    loss = lose(ada)
    before = loose(ada)
    report = get(ada)
    (notice,) = report.notices
    assert outcomes(report) == [Outcome.KEPT]
    assert loose(ada) == before
    assert "the remote has another state of it" in notice
    commands = re.findall("`(git update-ref [^`]*)`", notice)
    assert commands == [f"git update-ref {RUN} {earlier}"]
    loss.end()
    assert get(ada).notices == ()
    assert refs(ada)[RUN] == tip
    lose(ada)
    ada.git(*shlex.split(commands[0])[1:])
    assert ids(ada) == {"MyFlow/1": writer.identity.uid.short}
    assert tags(ada) == ({"MyFlow/1": ("own",)} if is_tagged else {})
    assert get(ada).notices == ()
    ada.fsck()


@pytest.mark.usefixtures("uids")
def test_a_damaged_run_that_is_asked_for_by_name(ada: GitRepo, server: GitRepo) -> None:
    """By the name that it has here, also where the remote has it under another one alone."""
    send(ada)
    server.git("update-ref", "-d", RUN)
    whole = refs(ada)
    lose(ada)
    report = fetch(open_repo(ada), "origin", ["MyFlow/1"])
    assert outcomes(report) == [Outcome.CURRENT]
    assert refs(ada) == whole
    with pytest.raises(NotFound):
        fetch(open_repo(ada), "origin", ["MyFlow/1"])


def test_a_damaged_run_that_the_remote_has_not_stays(ada: GitRepo, bob: GitRepo) -> None:
    """No ref is given up that nothing takes the place of: it and the command that gives it up are named."""
    make_run(ada)
    make_run(bob)
    send(bob)
    (ada.path / ".git/refs/runs/MyFlow/1").write_text("1" * 40 + "\n")
    report = get(ada)
    assert (ada.path / ".git/refs/runs/MyFlow/1").read_text() == "1" * 40 + "\n"
    (notice,) = report.notices
    command = re.findall("`([^`]*)`", notice)[-1]
    assert command == "git update-ref -d refs/runs/MyFlow/1"
    assert outcomes(report) == [Outcome.NEW]
    ada.git(*command.split()[1:])
    report = get(ada)
    assert (report.notices, outcomes(report)) == ((), [Outcome.CURRENT])


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
@pytest.mark.sample(1)
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
@pytest.mark.sample(1)
def test_a_damaged_spun_task_keeps_no_run_out(ada: GitRepo, bob: GitRepo, held: str) -> None:
    """Its ref stays where it is: a backup may bring it back."""
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
    report = get(ada)
    assert outcomes(report) == [Outcome.NEW]
    assert ids(ada) == {"MyFlow/1": theirs.uid.short}
    notice = "".join(report.notices)
    assert (held == "unreadable") or notice.startswith("MyFlow/spin-3 is damaged here")
    if held != "emptied":
        packed = held == "lost, packed"
        assert loose(ada, layout.SPINS) == ({} if packed else {spun: f"{whole[spun]}\n"})
        loose_file.unlink(missing_ok=True)
        loss.end()
    else:
        assert f"rm {ada.path}/.git/{spun}" in notice
        (ada.path / ".git" / spun).write_text(f"{whole[spun]}\n")
    assert refs(ada, layout.SPINS) == whole
    assert get(ada).notices == ()
    ada.fsck()


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
@pytest.mark.sample(1)
def test_a_run_that_has_lost_its_first_commit_stays(
    ada: GitRepo, bob: GitRepo, server: GitRepo, is_anothers: bool
) -> None:
    """Its ref keeps all else of it, which can be read, whatever the remote has; and all new runs come."""
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
    told = f"MyFlow/1 has lost its first commit here, {oid}, and can be read otherwise"
    assert (told in said.err) is not is_anothers  # then it was asked for under its other name
    assert said.code == 0
    assert before.items() <= refs(bob, "refs/runs/").items()
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
    ada.call("fetch", "origin")
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
    """It stays there."""
    make_run(ada)
    send(ada)
    assert ada.call("rm", "--force", "1").code == 0
    (trashed,) = refs(ada, "refs/runs-trash")
    lose_first(ada, trashed)
    said = ada.call("fetch", "origin")
    assert said.code == 0
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


def test_tag_changes_outlast_a_fetch_while_objects_are_away(ada: GitRepo) -> None:
    """What was removed or moved here, and is not sent yet, stays so when all is back."""
    for _ in range(2):
        make_run(ada)
    add_tag(ada, "1", "old", "production")
    send(ada)
    get(ada)
    add_tag(ada, "1", "old", "production", remove=True)
    add_tag(ada, "2", "production")
    backup = ada.path / ".git/away"
    (objects_dir(ada) / "pack").rename(backup)
    (objects_dir(ada) / "pack").mkdir()
    report = get(ada)
    assert report.tags_added == 0
    for path in backup.iterdir():
        if not (objects_dir(ada) / "pack" / path.name).exists():
            path.rename(objects_dir(ada) / "pack" / path.name)
    assert tags(ada) == {"MyFlow/2": ("production",)}
    assert get(ada).tags_added == 0
    assert ada.call("push").code == 0
    assert tags(ada) == {"MyFlow/2": ("production",)}
    ada.fsck()


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.sample(1)
def test_a_git_tag_that_a_power_cut_has_emptied(ada: GitRepo, bob: GitRepo, both: bool) -> None:
    """It shows a tag of a run, and is made again; nothing is kept out for it."""
    make_run(ada, tags=["own"])
    send(ada)
    whole = refs(ada, "refs/tags/")
    (name,) = whole
    (ada.path / ".git" / name).write_text("")
    if both:
        (ada.path / f".git/{TAG}").write_text("")
    theirs = make_run(bob)
    send(bob)
    report = get(ada)
    assert Outcome.NEW in outcomes(report)
    assert f"MyFlow/1-{theirs.uid.short}" in ids(ada)
    assert refs(ada, "refs/tags/") == whole
    assert tags(ada) == {"MyFlow/1": ("own",)}
    ada.fsck()
