"""Writers of the same refs wait for one another, and for nobody who was killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import ref_locks, ref_update
from gitflowrun.git.maintenance import sweep_locks
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_locks import LockJournal, LockWatch, recover_locks, remove_old_lock
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from tests.helpers.flows import at_most
from tests.helpers.refs import NAME, create_ref, delete_ref, opened, update_ref, waiting_git
from tests.helpers.repos import GitRepo, program_environment
from tests.helpers.warm_popen import WarmPopen


def test_a_lock_left_behind_is_removed(repository: Repository, commits: list[Oid]) -> None:
    """A lock that does not change for a while has no owner any more."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    began = time.monotonic()
    create_ref(opened(repository, stale_after=0.3), NAME, commits[0])
    assert 0.3 <= time.monotonic() - began < at_most(5)
    assert not lock.exists()
    assert not list((repository.state_dir / "stale-locks").iterdir())
    lock.touch()
    delete_ref(opened(repository, stale_after=0.3), NAME, commits[0])
    assert repository.refs.rows("refs/runs/") == []


def test_a_live_lock_is_respected(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that changes has an owner: wait for it, and at last say which file it is."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    look = LockWatch.remove_if_stale

    def at_work(watch: LockWatch) -> bool:
        os.utime(lock)
        return look(watch)

    monkeypatch.setattr(LockWatch, "remove_if_stale", at_work)
    with pytest.raises(RepositoryError, match=r"F/1\.lock is held") as caught:
        create_ref(opened(repository, patience=0.8, stale_after=0.3), NAME, commits[0])
    assert caught.value.hint
    assert lock.exists()


def test_a_damaged_ref_is_dropped_under_its_lock(
    repository: Repository, commits: list[Oid]
) -> None:
    """Not while somebody writes it, and not when it has been mended."""
    path = repository.common_dir / NAME
    lock = path.with_name(f"{path.name}.lock")
    path.parent.mkdir(parents=True)
    path.write_text("rubbish\n")
    lock.touch()
    with pytest.raises(RepositoryError, match=f"can't lock {NAME}: File exists"):
        repository.refs.drop_damaged(NAME)
    assert (path.read_text(), lock.exists()) == ("rubbish\n", True)
    lock.unlink()
    repository.refs.drop_damaged(NAME)
    assert not path.exists()
    path.write_text(f"{commits[0]}\n")
    repository.refs.drop_damaged(NAME)
    assert repository.refs.get(NAME) == commits[0]
    path.write_text("ref: refs/heads/main\n")
    repository.refs.damaged.add(NAME)
    repository.refs.drop_damaged(NAME)
    assert (path.exists(), repository.refs.damaged) == (True, set())
    path.unlink()
    repository.refs.drop_damaged(NAME)
    assert not lock.exists()
    assert not list((repository.state_dir / "stale-locks").iterdir())


@pytest.mark.parametrize("moves", [True, False])
def test_a_disk_that_does_not_remove_our_lock(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    """The change is done, and the lock is moved away: at once, or by whoever comes next."""
    path = repository.common_dir / NAME
    lock = path.with_name(f"{path.name}.lock")
    path.parent.mkdir(parents=True)
    path.write_text("rubbish\n")
    unlink = Path.unlink
    refused: list[Path] = []

    def fails(path: Path, *, missing_ok: bool = False) -> None:
        if path == lock:
            refused.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        if not moves:
            patch.setattr(ref_locks, "_remove", lambda *_: fails(lock))
        repository.refs.drop_damaged(NAME)
    assert (path.exists(), lock.exists()) == (False, not moves)
    assert {*refused} == {lock}
    left = recover_locks(repository.common_dir, repository.state_dir / "stale-locks")
    assert (left, lock.exists()) == ([] if moves else [lock], False)


def test_a_ref_whose_lock_can_not_be_made(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the disk's, and the ref stays as it is."""
    path = repository.common_dir / NAME
    path.parent.mkdir(parents=True)
    path.write_text("rubbish\n")

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ref_update, "make_directory", full)
    with pytest.raises(RepositoryError, match=f"can't lock {NAME}: No space left"):
        repository.refs.drop_damaged(NAME)
    assert path.read_text() == "rubbish\n"


def test_a_lock_that_can_not_be_given_back(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third has made it since we looked, and one more by now, or there are no links: it is not called gone."""
    lock = tmp_path / "x.lock"
    lock.touch()

    def refuse(*_: object) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", refuse)
    assert not ref_locks._remove(lock, (0, 0, 0), repository.state("stale-locks"))
    assert [*repository.state("stale-locks").iterdir()] == []


def test_a_damaged_ref_where_a_link_leads_stays(repository: Repository, tmp_path: Path) -> None:
    """It is not ours, and the error says where it is."""
    (tmp_path / "F").mkdir()
    (tmp_path / "F" / "1").write_text("rubbish\n")
    (repository.common_dir / "refs/runs").symlink_to(tmp_path)
    with pytest.raises(RepositoryError, match=f"is in {tmp_path}/F, where a link leads"):
        repository.refs.drop_damaged("refs/runs/F/1")
    assert (tmp_path / "F" / "1").read_text() == "rubbish\n"


@pytest.mark.parametrize("change", ["create", "drop"])
def test_threads_change_refs_one_after_the_other(
    repository: Repository, commits: list[Oid], change: str
) -> None:
    """They share git and the journal, which knows the locks of one change."""
    refs = repository.refs
    path = repository.common_dir / NAME
    if change == "drop":
        path.parent.mkdir(parents=True)
        path.write_text("rubbish\n")
    work = {
        "create": lambda: create_ref(refs, NAME, commits[0]),
        "drop": lambda: refs.drop_damaged(NAME),
    }
    other = threading.Thread(target=work[change])
    with refs._update_ref._lock:
        other.start()
        other.join(0.2)
        assert (other.is_alive(), path.exists()) == (True, change == "drop")
    other.join()
    assert path.exists() == (change == "create")


def test_a_lock_is_not_judged_by_a_clock(repository: Repository) -> None:
    """One that seems to be hours old must not change for a while either: another machine's clock may differ."""
    lock, graves = repository.common_dir / "refs" / "x.lock", repository.state_dir / "stale-locks"
    lock.touch()
    os.utime(lock, (time.time() - 7200, time.time() - 7200))
    watch = LockWatch(lock, graves, 0.05)
    assert [watch.remove_if_stale() for _ in range(2)] == [False] * 2
    time.sleep(0.06)
    assert watch.remove_if_stale()
    assert not lock.exists()


def test_a_lock_of_a_suspended_writer_stays(repository: Repository) -> None:
    """Its journal says which file it has, and is held: the writer would go on with whatever lock is there then."""
    graves = repository.state_dir / "stale-locks"
    journal = LockJournal(repository.common_dir, graves)
    update = RefUpdate("refs/notes/runs", repository.head().commit, None)
    lock = journal.lock_of(update.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    for hours in (0, 3):  # by the clock of another machine it may be old
        os.utime(lock, (time.time() - 3600 * hours, time.time() - 3600 * hours))
        journal.begin([update])
        journal.prepared([update])
        watch = LockWatch(lock, graves, 0.0)
        assert [watch.remove_if_stale() for _ in range(3)] == [False] * 3
        assert not remove_old_lock(lock, graves, -1.0)
    journal.begin([update])  # which it is about to take, and another one has
    assert remove_old_lock(lock, graves, -1.0)
    lock.touch()
    journal.prepared([update])
    journal.close()
    watch = LockWatch(lock, graves, 0.0)
    assert [watch.remove_if_stale() for _ in range(2)] == [False, True]


def test_a_lock_of_a_writer_that_was_suspended_as_it_took_it_stays(repository: Repository) -> None:
    """Its journal says only that it was about to take it; a lock from before that is another one's."""
    graves = repository.state_dir / "stale-locks"
    journal = LockJournal(repository.common_dir, graves)
    update = RefUpdate("refs/notes/runs", repository.head().commit, None)
    lock = journal.lock_of(update.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    journal.begin([update])
    lock.touch()
    watch = LockWatch(lock, graves, 0.0)
    assert [watch.remove_if_stale() for _ in range(2)] == [False] * 2
    assert watch.holder == f"process {os.getpid()}"
    assert not remove_old_lock(lock, graves, -1.0)
    os.utime(lock, (1, 1))
    assert remove_old_lock(lock, graves, -1.0)


def test_a_lock_of_a_suspended_git_stays(repository: Repository, commits: list[Oid]) -> None:
    """It would go on, and delete what is newer by then; the error names it, and once it has ended its lock goes."""
    create_ref(repository.refs, NAME, commits[0])
    lock, graves = repository.common_dir / f"{NAME}.lock", repository.state_dir / "stale-locks"
    with waiting_git(repository.common_dir, deletes=NAME) as git:
        with pytest.raises(RepositoryError, match=r"F/1\.lock is held") as caught:
            update_ref(opened(repository, patience=0.3, stale_after=0.1), NAME, *commits[1::-1])
        assert f"git update-ref (process {git.pid})" in str(caught.value.hint)
        os.utime(lock, (1, 1))
        watch = LockWatch(lock, graves, 0.0)
        assert [watch.remove_if_stale() for _ in range(2)] == [False] * 2
        assert not remove_old_lock(lock, graves, 10.0)
        assert sweep_locks(repository.common_dir, graves, "refs/runs", age=10) == 0
        git.kill()
    assert lock.exists()
    update_ref(opened(repository, stale_after=0.1), NAME, *commits[1::-1])
    assert not lock.exists()


def test_a_git_that_came_after_a_lock_does_not_hold_it(repository: Repository) -> None:
    """However many of the user's follow one another, a lock that was left behind goes."""
    lock, graves = repository.common_dir / "refs" / "x.lock", repository.state_dir / "stale-locks"
    lock.touch()
    watch = LockWatch(lock, graves, 0.0)
    assert not watch.remove_if_stale()
    time.sleep(0.02)  # the kernel counts in hundredths
    with waiting_git(repository.common_dir):
        assert not remove_old_lock(lock, graves, -1.0)  # whoever looks only once can't tell
        assert watch.remove_if_stale()
    assert not lock.exists()


def test_our_resident_git_keeps_no_lock_of_others(
    repository: Repository, commits: list[Oid]
) -> None:
    """A run may last for days, and its journal tells what its git holds."""
    create_ref(repository.refs, NAME, commits[0])
    lock, graves = repository.common_dir / "refs" / "x.lock", repository.state_dir / "stale-locks"
    lock.touch()
    assert remove_old_lock(lock, graves, -1.0)


@pytest.mark.parametrize("successor", [False, True])
def test_a_lock_made_since_the_look_is_given_back(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, successor: bool
) -> None:
    """Who judged a lock, and moves another that took its place, gives it back; or leaves the next one's alone."""
    lock, graves = repository.common_dir / "refs" / "x.lock", repository.state_dir / "stale-locks"
    lock.write_text("stale")
    watch = LockWatch(lock, graves, 0.0)
    assert not watch.remove_if_stale()
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == lock:
            lock.unlink()  # somebody else is faster, and a third has made its own
            lock.write_text("third")
        moved = real(self, target)
        if successor:
            lock.write_text("fourth")
        return moved

    monkeypatch.setattr(Path, "rename", rename)
    assert not watch.remove_if_stale()
    assert lock.read_text() == ("fourth" if successor else "third")
    assert list(graves.iterdir()) == []


def test_a_lock_that_is_gone_when_it_is_moved_is_gone(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that judge at once the second finds nothing to move, which is no error."""
    lock, graves = repository.common_dir / "refs" / "x.lock", repository.state_dir / "stale-locks"
    lock.touch()
    watch = LockWatch(lock, graves, 0.0)
    assert not watch.remove_if_stale()
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        self.unlink()
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert watch.remove_if_stale()
    assert list(graves.iterdir()) == []


def test_waits_for_a_lock(repository: Repository, commits: list[Oid]) -> None:
    """A lock that is released in time goes unnoticed."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    create_ref(repository.refs, NAME, commits[0])
    timer.join()
    assert repository.refs.get(NAME) == commits[0]


RACER = """
import sys
from gitflowrun.errors import RefConflict
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.ref_locks import recover_locks
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
oid, rounds, prefix = Oid.from_hex(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
it = Repository.discover()
refs = Refs(
    it.git, it.common_dir, it.state_dir / "stale-locks", stale_after=0.2
)
for number in range(1, rounds + 1):
    try:
        refs.transaction([RefUpdate(f"{prefix}{number}", oid, None)])
        print(number)
    except RefConflict:
        pass
"""


def race(
    repo: GitRepo, oids: list[Oid], rounds: int, prefixes: list[str]
) -> list[subprocess.Popen[str]]:
    """Start one process per oid; each creates refs `prefix1`, `prefix2`… and prints those it made."""
    return [
        WarmPopen(
            [sys.executable, "-c", RACER, str(oid), str(rounds), prefix],
            cwd=repo.path, stdout=subprocess.PIPE, text=True, env=program_environment(),
        )
        for oid, prefix in zip(oids, prefixes, strict=True)
    ]  # fmt: skip


def test_one_of_many_wins(repo: GitRepo, repository: Repository) -> None:
    """Eight processes create the same refs at once: each ref has exactly one winner, and keeps its value."""
    repo.git("config", "runs.durability", "fast")
    oids = [Oid.from_hex(repo.commit(f"racer {number}")) for number in range(8)]
    racers = race(repo, oids, 40, ["refs/runs/F/"] * 8)
    won = {oid: racer.communicate()[0].split() for oid, racer in zip(oids, racers, strict=True)}
    winners = {number: oid for oid, numbers in won.items() for number in numbers}
    assert sum(len(numbers) for numbers in won.values()) == 40
    assert {name.rpartition("/")[2]: oid for name, oid in repository.refs.rows("refs/runs/")} == {
        number: str(oid) for number, oid in winners.items()
    }


def test_nothing_is_lost_while_refs_are_packed(repo: GitRepo, repository: Repository) -> None:
    """Refs created and deleted while git packs and prunes refs all the time are there, and gone."""
    repo.git("config", "runs.durability", "fast")
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    doomed = [RefUpdate(f"refs/runs/D/{number}", head, None) for number in range(20)]
    repository.refs.transaction(doomed)
    racers = race(repo, [head, head], 60, ["refs/runs/A/", "refs/runs/B/"])
    while any(racer.poll() is None for racer in racers):
        repo.git("pack-refs", "--all", "--prune", check=False)
        if doomed:
            delete_ref(repository.refs, doomed.pop().name, head)
    assert [len((racer.communicate()[0]).split()) for racer in racers] == [60, 60]
    rows = repository.refs.rows("refs/runs/A/", "refs/runs/B/", "refs/runs/D/")
    assert len(rows) == 120 + len(doomed)


def test_a_killed_writer_does_not_block_the_next(repo: GitRepo, repository: Repository) -> None:
    """Whatever instant a writer is killed at, its successor creates and moves the same refs."""
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    for _ in range(3):
        (racer,) = race(repo, [head], 100_000, ["refs/runs/K/"])
        assert racer.stdout is not None
        racer.stdout.readline()
        racer.kill()
        racer.communicate()
    refs = opened(repository, stale_after=0.2)
    count = len(refs.rows("refs/runs/K/"))
    for number in range(count + 1, count + 4):
        create_ref(refs, f"refs/runs/K/{number}", head)
    repo.fsck()
    assert not list(Path(repo.path, ".git", "refs", "runs").rglob("*.lock"))


def test_old_locks_are_swept(repo: GitRepo, repository: Repository) -> None:
    """Locks that nobody has touched for long go, fresh ones and other people's stay."""
    root = repo.path / ".git" / "refs"
    names = (
        "runs/F/1.lock",
        "runs/F/2.lock",
        "heads/main.lock",
        "../packed-refs.lock",
        "../packed-refs.new",
    )
    locks = [root / name for name in names]
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    for lock in (locks[0], locks[2], locks[4]):
        os.utime(lock, (1, 1))
    places = (repository.common_dir, repository.state_dir / "stale-locks")
    assert sweep_locks(*places, "refs/runs/", "refs/tags/runs/", age=60) == 1
    assert [lock.exists() for lock in locks] == [False, True, True, True, True]
    os.utime(locks[3], (1, 1))
    swept = 0
    deadline = (
        time.monotonic() + 10
    )  # a git of this machine that is just ending may be anybody's: in doubt one waits
    while swept < 2 and time.monotonic() < deadline:
        swept += sweep_locks(*places, "refs/runs/", "refs/tags/runs/", age=60)
    assert swept == 2
    assert [lock.exists() for lock in locks] == [False, True, True, False, False]


def test_no_lock_elsewhere_is_swept(repository: Repository, tmp_path: Path) -> None:
    """A link among refs, or in the place of a directory of ours, leads to files that are not ours."""
    lock = tmp_path / "home/poetry.lock"
    lock.parent.mkdir()
    lock.touch()
    os.utime(lock, (1, 1))
    stale = repository.state("stale-locks")
    stale.rmdir()
    for link in (stale, repository.common_dir / "refs/runs"):
        link.symlink_to(lock.parent)
    assert sweep_locks(repository.common_dir, stale, "refs/runs", age=10) == 0
    assert lock.exists()


def test_a_git_that_answers_at_its_end_is_named(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those before 2.33.1 do; one that is slow to answer is waited for."""
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    version = "if [ $1 = version ]; then echo git version 2.30.2; exit; fi"
    git.write_text(f"#!/bin/sh\n{version}\ncat > /dev/null\n")
    git.chmod(0o755)
    monkeypatch.setattr(ref_update, "FIRST_ANSWER", 0.01)
    create_ref(opened(repository), NAME, commits[0])
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    refs = opened(repository)
    with pytest.raises(RepositoryError, match="does not answer") as caught:
        update_ref(refs, NAME, commits[1], commits[0])
    assert caught.value.hint == "this is git 2.30; gitflowrun needs 2.34 or newer"
