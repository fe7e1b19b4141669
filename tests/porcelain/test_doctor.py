"""What crashes and power cuts leave is found, named, and mended; whatever else is there stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from gitflowrun.git.maintenance import fold_lock
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import Owner
from gitflowrun.git.ref_update import Refs
from gitflowrun.porcelain.checkout import temporary_work_tree
from gitflowrun.porcelain.checks import doctor
from gitflowrun.porcelain.checks.doctor import AilmentKind, examine, mend
from gitflowrun.porcelain.deletion.free import Freed
from gitflowrun.runs.commit_message import Status
from gitflowrun.values import replace
from tests.helpers.packs import objects_dir
from tests.helpers.refs import waiting_git
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo, start_run, store_of

LONG_AGO = time.time() - 100_000
GIT = tuple(map(int, subprocess.check_output(["git", "version"]).split()[2].split(b".")[:2]))


def found(repo: GitRepo) -> list[tuple[AilmentKind, str]]:
    """The findings: kind and place."""
    return [(it.kind, it.where) for it in examine(open_repo(repo))]


def check_mended(repo: GitRepo, kind: AilmentKind, where: str | Path) -> None:
    """One thing is wrong; it is told, mended, and then nothing is wrong, for git neither."""
    assert found(repo) == [(kind, str(where))]
    told = repo.call("doctor")
    assert told.code == 1
    assert f"{kind.value}: {where}: " in told.out
    (mended,) = json.loads(repo.call("doctor", "--fix", "--json").out)
    assert (mended["where"], mended["mended"]) == (str(where), True)
    assert found(repo) == []
    repo.git("gc", "-q")
    repo.fsck()


def dead_owner() -> Owner:
    """An owner whose process is not there."""
    me = Owner.process()
    return replace(me, processes=((me.processes[0][0], "1"),))


def old(path: Path, content: bytes = b"") -> Path:
    """A file that nobody has touched for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def run(repo: GitRepo) -> GitRepo:
    """A repository with a run that has a tag."""
    make_run(repo, tags=["good"])
    return repo


def test_nothing_is_wrong(run: GitRepo) -> None:
    """Neither with a run that goes on, nor with one that is over; and nothing is an exit code of 0."""
    with start_run(run):
        assert found(run) == []
    done = run.call("doctor")
    assert (done.code, done.out) == (0, "Nothing is wrong.\n")
    assert run.call("doctor", "--json").out == "[]\n"


@pytest.mark.parametrize(
    "name", ["refs/runs/MyFlow/1.lock", "refs/tags/runs/x.lock", "packed-refs.lock", "packed-refs.new"]
)  # fmt: skip
@pytest.mark.sample(1)
def test_locks(run: GitRepo, name: str) -> None:
    """A lock that nobody has touched for long is moved away, as is what a killed `git pack-refs` has left."""
    path = old(run.path.resolve() / ".git" / name)
    check_mended(run, AilmentKind.LOCK, path)
    run.git("pack-refs", "--all")


def test_locks_that_are_held_or_not_ours_stay(run: GitRepo) -> None:
    """A fresh lock has an owner, and locks of branches are the user's."""
    top = run.path / ".git"
    (top / "refs/runs/MyFlow/1.lock").touch()
    (top / "packed-refs.lock").touch()
    old(top / "refs/heads/main.lock")
    old(top / "index.lock")
    assert found(run) == []
    mend(open_repo(run))
    assert len([*top.rglob("*.lock")]) == 4


def test_locks_of_processes_of_ours_that_were_killed(
    run: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are moved away by looking, and told as mended, which nothing else need do."""
    path = run.path / ".git/refs/runs/MyFlow/1.lock"
    monkeypatch.setattr(doctor, "recover_locks", lambda *_: [path])
    for look in (examine, mend):
        (it,) = look(open_repo(run))
        assert (it.kind, it.where, it.fix, it.mended) == (
            AilmentKind.LOCK, str(path), "was moved away", True,
        )  # fmt: skip
    assert run.call("doctor").code == 0


def test_a_lock_of_packed_refs_is_named_before_it_goes(run: GitRepo) -> None:
    """A git on another machine may have it, which people know; for an hour nothing takes it away."""
    path = run.path.resolve() / ".git/packed-refs.lock"
    path.touch()
    os.utime(path, times=(time.time() - 60,) * 2)
    (finding,) = mend(open_repo(run))
    assert (finding.where, finding.can_be_mended, finding.mended) == (str(path), False, False)
    assert "delete it" in finding.fix
    assert path.exists()
    assert run.call("doctor", "--fix").code == 1


def test_locks_of_a_git_that_is_at_work_stay(run: GitRepo) -> None:
    """While a gc goes on, or git holds the lock beside it, nobody else has to do with what git writes."""
    top = run.path.resolve() / ".git"
    packed = old(top / "packed-refs.lock")
    (top / "gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    assert found(run) == []
    packed.touch()
    half = old(top / "packed-refs.new")
    assert found(run) == []
    packed.unlink()
    assert found(run) == [(AilmentKind.LOCK, str(half))]


def test_what_a_suspended_git_may_hold_stays(run: GitRepo, tmp_path: Path) -> None:
    """Locks however old they are, and a work tree that is half made."""
    top = run.path.resolve() / ".git"
    locks = [old(top / name) for name in ("refs/runs/MyFlow/1.lock", "packed-refs.lock")]
    entry = half_made(run, tmp_path / "code")
    with waiting_git(run.path):
        assert found(run) == []
        mend(open_repo(run))
        assert all(path.exists() for path in (*locks, entry))
    assert len(found(run)) == 3


@pytest.mark.parametrize(
    "name", ["gitflowrun-key-0.0123abcd", "gitflowrun/freed.0123abcd", "gitflowrun-mark.new"]
)
@pytest.mark.sample(1)
def test_half_written_files_of_ours(run: GitRepo, name: str) -> None:
    """What a killed process was about to put in the place of a file goes after a while; other files stay."""
    top = run.path.resolve() / ".git"
    others = [old(top / it) for it in ("gitflowrun-key-0.0123abc", "other.0123abcd", "x.new")]
    path = old(top / name)
    others.append(top / f"gitflowrun-{'0' * 8}.12345678")
    others[-1].mkdir()
    os.utime(others[-1], (LONG_AGO, LONG_AGO))
    check_mended(run, AilmentKind.INCOMING, path)
    assert all(it.exists() for it in others)
    path.touch()
    assert found(run) == []


def test_a_work_tree_of_a_rerun_that_was_killed(run: GitRepo) -> None:
    """It is named and removed, for git too; one that somebody uses stays."""
    stored = store_of(run).latest()
    assert stored is not None
    with temporary_work_tree(stored) as place:
        assert (place / "README").exists()
        assert found(run) == []
        lock = place.with_suffix(".lock")
        lock.rename(lock.with_name("kept"))  # whoever had it is not there any more
        lock.write_text("")
        check_mended(run, AilmentKind.WORK_TREE, place)
        assert not place.exists()
        assert len(run.git("worktree", "list").split("\n")) == 1


@pytest.mark.parametrize("left", [["gitdir"], ["gitdir", "HEAD"], ["gitdir", "HEAD", "commondir"]])
@pytest.mark.sample(1)
def test_a_work_tree_whose_making_was_killed(run: GitRepo, left: list[str]) -> None:
    """Git's half-made entry of it, at which the user's own gc and fsck fail, goes with it."""
    place = run.path / ".git/gitflowrun/rerun/1-0123abcd"
    place.mkdir(parents=True)
    place.with_suffix(".lock").write_text("")
    for name in left:
        run.write(
            f".git/worktrees/{place.name}/{name}", f"{place}/.git\n" if name == "gitdir" else ""
        )
    check_mended(run, AilmentKind.WORK_TREE, place)
    assert not (run.path / ".git/worktrees" / place.name).exists()
    run.fsck()


def half_made(repo: GitRepo, place: Path, head: str = "0" * 40 + "\n") -> Path:
    """The entry of a work tree as `git worktree add` leaves it where it is killed; long ago."""
    entry = repo.path.resolve() / ".git/worktrees" / place.name
    old(entry / "gitdir", f"{place}/.git\n".encode())
    old(entry / "HEAD", head.encode())
    old(entry / "locked", b"initializing")
    old(entry / "commondir")
    place.mkdir()
    (place / ".git").write_text(f"gitdir: {entry}\n")
    os.utime(entry, (LONG_AGO, LONG_AGO))
    return entry


@pytest.mark.parametrize("head", ["", "0" * 40 + "\n"])
@pytest.mark.sample(1)
def test_a_half_made_work_tree_of_the_user_is_removed(
    run: GitRepo, tmp_path: Path, head: str
) -> None:
    """`git worktree prune` leaves it, and git's gc fails at it; a directory with files in it stays."""
    place = tmp_path / "code"
    entry = half_made(run, place, head)
    check_mended(run, AilmentKind.WORK_TREE, entry)
    assert not entry.exists()
    assert not place.exists()
    half_made(run, place, head)
    (place / "notes").write_text("mine")
    check_mended(run, AilmentKind.WORK_TREE, entry)
    assert sorted(it.name for it in place.iterdir()) == [".git", "notes"]


def test_a_work_tree_that_is_just_being_made_stays(run: GitRepo, tmp_path: Path) -> None:
    """So does one with an index, and one that is whole."""
    entry = half_made(run, tmp_path / "code")
    (entry / "HEAD").touch()
    assert found(run) == []
    old(entry / "HEAD")
    old(entry / "index", b"DIRC")
    assert found(run) == []
    shutil.rmtree(entry)
    run.git("worktree", "add", "--no-checkout", str(tmp_path / "whole"))
    assert found(run) == []


def test_a_checkout_goes_where_one_was_killed(run: GitRepo, tmp_path: Path) -> None:
    """The next one removes what the killed one has left, and takes its place."""
    entry = half_made(run, tmp_path / "code")
    assert run.call("checkout", "1", str(tmp_path / "code")).code == 0
    assert (entry / "index").exists()
    assert run.git("-C", str(tmp_path / "code"), "status", "--porcelain") == ""
    run.git("gc", "-q")


def test_a_half_written_hook(run: GitRepo) -> None:
    """A script that an installation of hooks was about to put in place goes; others stay."""
    hooks = run.path.resolve() / ".git/hooks"
    stays = old(hooks / ".post-commit.swp", b"x")
    check_mended(run, AilmentKind.INCOMING, old(hooks / ".post-commit.0123abcd", b"#!/bin/sh\n"))
    assert stays.exists()


def test_space_that_is_yet_to_be_freed(run: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gc that was interrupted is finished, unless somebody is at it, or it has to wait: for what is said then."""
    opened = open_repo(run)
    tip = run.git("rev-parse", "refs/runs/MyFlow/1")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("gitflowrun.porcelain.deletion.free.rewrite_commit_graph", fail)
        assert run.call("purge", "--force", "1").code == 128
    expected = [(AilmentKind.SPACE, str(opened.state_dir))]
    assert found(run) == expected
    lock = fold_lock(opened)
    assert lock is not None
    assert found(run) == []
    os.close(lock)
    with start_run(run):
        (it,) = mend(open_repo(run))
        assert (it.mended, "could not be mended: run 2 is running" in it.fix) == (False, True)
        with monkeypatch.context() as patched:
            patched.setattr(doctor, "free", lambda *_: Freed(waits="a gc has begun"))
            (it,) = mend(open_repo(run))
            assert (it.mended, it.fix) == (False, "it could not be mended: a gc has begun")
    check_mended(run, *expected[0])
    assert run.git("cat-file", "-t", tip, check=False) == ""


@pytest.mark.parametrize("damage", ["object", "ref"])
@pytest.mark.sample(1)
def test_a_copy_of_a_remotes_run_that_is_damaged(run: GitRepo, damage: str) -> None:
    """It goes, for git's gc fails at it, and a fetch brings it again; our own run stays."""
    copy = "refs/runs-remotes/0123456789abcdef/MyFlow/9"
    tree = run.git("mktree", "--missing", stdin=b"100644 blob %s\tTASK\n" % (b"1" * 40))
    message = run.git("log", "-1", "--format=%B", "refs/runs/MyFlow/1")
    if damage == "object":
        run.git("update-ref", copy, run.git("commit-tree", tree, "-m", message))
    else:
        run.write(f".git/{copy}", "x" * 41)
    check_mended(run, AilmentKind.COPY, copy)
    assert run.git("for-each-ref", "refs/runs-remotes") == ""
    assert [row.pathspec for row in store_of(run).summaries()] == ["MyFlow/1"]


def test_an_empty_ref_of_which_nobody_knows_what_it_was(run: GitRepo) -> None:
    """Where several commits say to be the newest of a run that was not made here, none is taken for it."""
    tip = run.git("rev-parse", "refs/runs/MyFlow/1")
    text = run.git("log", "-1", "--format=%B", tip)
    for status in ("failed", "interrupted"):
        run.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", text.replace("done", status))
    (run.path / f".git/gitflowrun-key-{os.geteuid()}").unlink()
    empty = run.path / ".git/refs/runs/MyFlow/1"
    empty.write_bytes(b"")
    first = next(it for it in examine(open_repo(run)) if it.kind is AilmentKind.REF)
    assert (first.where, first.fix) == ("refs/runs/MyFlow/1", "is removed")
    mend(open_repo(run))
    assert not empty.exists()


def test_a_damaged_run_is_told_once(run: GitRepo) -> None:
    """However much of it is lost."""
    for _ in range(2):
        make_run(run)
    objects = objects_dir(run)
    for pack in [*(objects / "pack").glob("*.pack")]:
        data = pack.read_bytes()
        pack.unlink()
        pack.with_suffix(".idx").unlink()
        run.git("unpack-objects", "-q", stdin=data)
    for number in (2, 3):
        for task in ("start/1", "train/2", "end/4"):
            oid = run.git("rev-parse", f"refs/runs/MyFlow/{number}:steps/{task}/TASK")
            (objects / oid[:2] / oid[2:]).unlink()
    places = [where for kind, where in found(run) if kind is AilmentKind.RUN]
    assert places == ["MyFlow/2", "MyFlow/3"]


def test_what_dead_processes_left_of_packs(run: GitRepo) -> None:
    """Temporary files go, and the `.keep` of a pack, which stays."""
    top = run.path.resolve() / ".git"
    owner, name = dead_owner().encode(), f"pack-{'2' * 40}"
    check_mended(run, AilmentKind.INCOMING, old(top / f"gitflowrun/incoming/{owner}~{name}.pack"))
    index = next((top / "objects/pack").glob("*.idx"))
    keep = old(index.with_suffix(".keep"), f"gitflowrun {owner} 2026-11-28T00:00:00Z\n".encode())
    check_mended(run, AilmentKind.KEEP, keep)


def test_a_kept_pack_that_a_power_cut_left(run: GitRepo) -> None:
    """An empty `.keep` of a pack whose name is ours is told; one of a pack of the user's is theirs."""
    packs = run.path.resolve() / ".git/objects/pack"
    keep = old(next(packs.glob("*.idx")).with_suffix(".keep"))
    check_mended(run, AilmentKind.KEEP, keep)
    theirs = old(next(packs.glob("*.idx")).with_suffix(".keep"))  # gc has made a pack of git's own
    assert found(run) == []
    assert theirs.exists()


def test_an_empty_ref_of_a_run_gets_its_newest_commit_again(run: GitRepo) -> None:
    """The run is whole again, though no other ref leads to its last commit."""
    before = run.git("rev-parse", "refs/runs/MyFlow/1")
    (run.path / ".git/refs/runs/MyFlow/1").write_bytes(b"")
    findings = examine(open_repo(run))
    assert [it.kind for it in findings][:2] == [AilmentKind.REF, AilmentKind.RUN]
    assert before in findings[0].fix
    assert run.call("doctor", "--fix").code == 0
    assert run.git("rev-parse", "refs/runs/MyFlow/1") == before
    assert found(run) == []


def test_an_empty_ref_of_a_tag_names_its_run_again(run: GitRepo) -> None:
    """With its git tag, empty or not; a tag of a run that is gone goes, too."""
    assert run.call("tag", "1", "best").code == 0
    names = run.git(
        "for-each-ref", "--format=%(refname)", "refs/runs/@tags", "refs/tags/runs"
    ).split()
    before = run.git("rev-parse", *names)
    for empty in (names[:1], names):
        for name in empty:
            (run.path / ".git" / name).write_bytes(b"")
        done = run.call("doctor", "--fix")
        assert (done.code, "the run it is of" in done.out) == (0, True)
        assert run.git("rev-parse", *names) == before
        assert found(run) == []
    gone = run.write(".git/refs/runs/@tags/MyFlow/best/7", "")
    assert run.call("doctor", "--fix").code == 0
    assert not gone.exists()


@pytest.mark.parametrize("step", ["replace", "unlink"])
@pytest.mark.sample(1)
def test_an_empty_ref_that_can_not_be_written_now_is_mended_later(
    run: GitRepo, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A run, a tag and a branch are not removed before they are made again: nothing would tell of them then."""
    assert run.call("tag", "1", "best").code == 0
    names = ("refs/runs/MyFlow/1", "refs/runs/@tags/MyFlow/best/1", "refs/heads/main")
    before = run.git("rev-parse", *names)
    for name in names:
        (run.path / ".git" / name).write_bytes(b"")
    empty = [where for kind, where in found(run) if kind is AilmentKind.REF]
    assert (sorted(empty), empty[-1]) == (sorted(names), names[1])

    def fails(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, fails)
        patch.setattr(Refs, "transaction", fails)
        with contextlib.suppress(OSError):
            mend(open_repo(run))
    mend(open_repo(run))
    assert run.git("rev-parse", *names) == before
    assert found(run) == []


def test_what_others_say_to_be_that_run_is_not_taken_for_it(run: GitRepo) -> None:
    """Neither a run of the same number that was fetched, nor a commit that somebody forged upon it."""
    before = run.git("rev-parse", "refs/runs/MyFlow/1")
    message = run.git("log", "-1", "--format=%B", before).replace("Status: done", "Status: failed")
    forged = run.git("commit-tree", f"{before}^{{tree}}", "-p", before, "-m", message)
    first = run.git("rev-list", "--max-parents=0", before)
    other = run.git(
        "commit-tree", f"{before}^{{tree}}", "-m", run.git("log", "-1", "--format=%B", first)
    )
    run.git("update-ref", f"refs/runs/MyFlow/1-{other[:7]}", other)
    for name, oid in (("1", before), (f"1-{other[:7]}", other)):
        (run.path / ".git/refs/runs/MyFlow" / name).write_bytes(b"")
        run.call("doctor", "--fix")
        assert run.git("rev-parse", f"refs/runs/MyFlow/{name}") == oid != forged


def test_an_empty_ref_that_git_had_packed_gets_its_newest_commit(repo: GitRepo) -> None:
    """Also where the packed one is an older state, of a run and of a branch; where it is the newest, that stays."""
    make_run(repo)
    repo.git("branch", "same")
    with start_run(repo) as writer:
        writer.commit([])
        repo.git("pack-refs", "--all")
        writer.commit([], status=Status.DONE)
    repo.commit()
    names = ("refs/runs/MyFlow/1", "refs/runs/MyFlow/2", "refs/heads/main", "refs/heads/same")
    before = repo.git("rev-parse", *names)
    for name in names:
        repo.write(f".git/{name}", "")
    assert {it.where for it in mend(open_repo(repo)) if it.mended} == {*names}
    assert repo.git("rev-parse", *names) == before
    assert found(repo) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 41])
@pytest.mark.sample(1)
def test_other_empty_refs(run: GitRepo, content: bytes) -> None:
    """A branch is what its reflog says; what nobody knows any more goes, with words."""
    head = run.git("rev-parse", "HEAD")
    for name in ("refs/heads/main", "refs/runs-remotes/0123456789abcdef/MyFlow/9"):
        path = run.path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert {where for kind, where in found(run) if kind is AilmentKind.REF} == {
        "refs/heads/main", "refs/runs-remotes/0123456789abcdef/MyFlow/9"
    }  # fmt: skip
    mend(open_repo(run))
    assert run.git("rev-parse", "refs/heads/main") == head
    assert found(run) == []
    run.git("gc", "-q")


def test_empty_objects(run: GitRepo) -> None:
    """One that stands in the way of its content goes, and git can write it again."""
    oid = run.git("hash-object", "--stdin", stdin=b"lost")
    path = old(run.path.resolve() / f".git/objects/{oid[:2]}/{oid[2:]}")
    check_mended(run, AilmentKind.OBJECT, path)
    assert run.git("hash-object", "-w", "--stdin", stdin=b"lost") == oid
    assert run.git("cat-file", "-p", oid) == "lost"


def test_git_tags(run: GitRepo) -> None:
    """The git tag that a run's tag lacks is made again."""
    (name,) = run.git("for-each-ref", "--format=%(refname)", "refs/tags/runs").splitlines()
    run.git("update-ref", "-d", name)
    check_mended(run, AilmentKind.TAG, name)
    run.git("rev-parse", "--verify", name)


def test_a_git_tag_that_can_not_be_made_is_not_called_mended(run: GitRepo) -> None:
    """Where a tag stands in the place of the directory of another, that is said."""
    (name,) = run.git("for-each-ref", "--format=%(refname)", "refs/tags/runs/").splitlines()
    run.git("update-ref", "-d", name)
    run.git("tag", name.rpartition("/")[0].removeprefix("refs/tags/"))
    (told,) = json.loads(run.call("doctor", "--fix", "--json").out)
    assert (told["where"], told["mended"]) == (name, False)
    assert "it could not be mended: another tag has the name" in told["fix"]


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"0 x\n"])
@pytest.mark.sample(1)
def test_the_last_number(run: GitRepo, content: bytes | None) -> None:
    """A mark that is gone, empty, damaged or too low is made again."""
    mark = run.path.resolve() / ".git/gitflowrun-mark"
    mark.unlink()
    if content is not None:
        mark.write_bytes(content)
    check_mended(run, AilmentKind.NUMBER, mark)
    assert mark.read_text().startswith("1 ")


def test_numbers_of_others_are_no_trouble(run: GitRepo, tmp_path: Path) -> None:
    """A fetched run may have a higher number than any that was given here."""
    other = GitRepo(tmp_path / "other")
    run.git("clone", "-q", ".", str(other.path))
    for _ in range(3):
        make_run(other)
    run.git("fetch", "-q", str(other.path), "refs/runs/MyFlow/3:refs/runs/MyFlow/3")
    assert found(run) == []


def test_hooks_of_another_release(run: GitRepo) -> None:
    """They are replaced."""
    run.call("hooks", "install")
    script = run.path.resolve() / ".git/hooks/post-commit"
    now = script.read_text()
    body = "git runs hook post-commit\n"
    first, begin, *_, end = now.splitlines()
    begin = f"{begin.rpartition(' ')[0]} {hashlib.sha256(body.encode()).hexdigest()[:12]}"
    script.write_text(f"{first}\n{begin}\n{body}{end}\n")
    check_mended(run, AilmentKind.HOOK, script)
    assert script.read_text() == now


def test_damaged_runs_are_listed(run: GitRepo) -> None:
    """Nobody can mend them from here, so the exit code stays 1; what could be tried is said."""
    make_run(run)
    run.git("update-ref", "-d", "refs/runs/MyFlow/1")
    (run.path / ".git/refs/runs/MyFlow/7").write_text("1" * 40 + "\n")
    done = run.call("doctor", "--fix")
    assert done.code == 1
    assert "damaged run: MyFlow/7: " in done.out
    assert "`git runs fetch` brings a lost ref or commit" in done.out


def test_what_can_not_be_mended_says_why(run: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is mended all the same."""
    top = run.path.resolve() / ".git"
    lock = old(top / "refs/runs/MyFlow/1.lock")
    (top / "gitflowrun-mark").unlink()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gitflowrun.porcelain.checks.doctor.remove_old_lock", refuse)
    findings = mend(open_repo(run))
    assert [(it.where, it.mended) for it in findings] == [
        (str(lock), False), (str(top / "gitflowrun-mark"), True)
    ]  # fmt: skip
    assert "Permission denied" in findings[0].fix


def test_the_restored_run_is_the_newest_state(repo: GitRepo) -> None:
    """Of a run with several commits, the last one."""
    with start_run(repo) as writer:
        writer.commit([])
        writer.commit([])
    tip = repo.git("rev-parse", "refs/runs/MyFlow/1")
    (repo.path / ".git/refs/runs/MyFlow/1").write_bytes(b"")
    mend(open_repo(repo))
    assert store_of(repo).get("MyFlow", "1").commit == Oid.from_hex(tip)


@pytest.mark.skipif(GIT < (2, 36), reason="git has no --refetch")
@pytest.mark.parametrize("path", ["INFO", "steps", "steps/start/1/TASK", "^{tree}", ""])
@pytest.mark.sample(2)
def test_what_is_said_about_damaged_runs_works(tmp_path: Path, path: str) -> None:
    """One of the commands that are named brings the run back from a remote, whatever of it is lost."""
    repo = make_repo(tmp_path / "repo")
    make_run(repo)
    repo.git("clone", "-q", "--mirror", ".", "../hub")
    repo.git("remote", "add", "origin", "../hub")
    assert repo.call("fetch").code == 0
    packs = objects_dir(repo) / "pack"
    packs.rename(tmp_path / "packs")
    for pack in (tmp_path / "packs").glob("*.pack"):
        repo.git("unpack-objects", "-q", stdin=pack.read_bytes())
    oid = repo.git("rev-parse", f"refs/runs/MyFlow/1{'' if path in {'', '^{tree}'} else ':'}{path}")
    (objects_dir(repo) / oid[:2] / oid[2:]).unlink()
    (it,) = (it for it in examine(open_repo(repo)) if it.kind is AilmentKind.RUN)
    commands = re.findall("`git ([^`]*)`", it.fix)
    assert [words.split()[0] for words in commands] == ["runs", "runs", "fetch"]
    assert repo.call(*commands[0].split()[1:]).code == 1
    repo.call(*commands[1].split()[1:])
    repo.git(*commands[2].replace("REMOTE", "origin").split())
    assert repo.call("fsck").code == 0
    repo.fsck()


def test_nothing_is_removed_where_a_link_among_refs_leads(repo: GitRepo, tmp_path: Path) -> None:
    """Who prepared the repository may have made the user's files refs that hold no id; they stay."""
    text, lock = old(tmp_path / "home/thesis/text", b"mine"), old(tmp_path / "home/poetry.lock")
    link = repo.path / ".git/refs/runs-remotes"
    link.symlink_to(tmp_path / "home")
    done = repo.call("doctor", "--fix")
    assert done.code == 1
    assert f"{link}/thesis/text is in {tmp_path}" in done.out + done.err
    assert text.read_bytes() == b"mine"
    assert lock.exists()


def test_links_in_a_circle_are_looked_at(repo: GitRepo) -> None:
    """Among refs they lead nowhere, and nothing is mended there."""
    (repo.path / ".git/refs/runs").symlink_to("runs")
    done = repo.call("doctor", "--fix")
    assert (done.code, done.out) == (0, "Nothing is wrong.\n"), done.err


def test_what_is_said_about_other_refs_works(run: GitRepo) -> None:
    """A tag of no run, a garbled one, and a run in the trash that has lost an object are given up by a command."""
    run.git("update-ref", "refs/runs/@tags/MyFlow/a/9", "refs/runs/MyFlow/1")
    garbled = run.path / ".git/refs/runs/@tags/MyFlow/b/9"
    garbled.parent.mkdir(parents=True, exist_ok=True)
    garbled.write_text("x" * 41)
    trash = "refs/runs-trash/1700000000/MyFlow/8"
    tree = run.git("mktree", "--missing", stdin=b"100644 blob %s\tTASK\n" % (b"1" * 40))
    run.git("update-ref", trash, run.git("commit-tree", tree, "-m", "x"))
    found = [it for it in examine(open_repo(run)) if it.kind is AilmentKind.RUN]
    assert len(found) == 3
    for it in found:
        command = re.findall("`([^`]*)`", it.fix)[-1]
        subprocess.run(command, shell=True, cwd=run.path, check=True)
    assert run.call("fsck").code == 0


def test_what_is_told_of_a_file(tmp_path: Path) -> None:
    """How old it is, and whether it holds nothing, as a power cut leaves it; of one that is not there, neither."""
    file = tmp_path / "file"
    assert doctor._age(file) < 0
    assert not doctor._holds_nothing(file)
    for content, is_nothing in ((b"", True), (bytes(99), True), (bytes(38) + b"x", False)):
        file.write_bytes(content)
        assert doctor._holds_nothing(file) is is_nothing
    os.utime(file, (1000, time.time() - 50))
    assert 49 < doctor._age(file) < 999
    file.unlink()
    file.symlink_to("nowhere")
    assert 0 <= doctor._age(file) < 999
    assert not doctor._holds_nothing(file)
