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
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.limits import LOCK_OURS, TRANSACTION_GRACE
from tests.helpers.flows import at_most
from tests.helpers.refs import NAME, create_ref, delete_ref, opened, update_ref, waiting_git
from tests.helpers.repos import ROOT, GitRepo


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
    update_ref(repository.refs, NAME, *commits[1::-1])
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
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(oid), str(rounds), prefix],
            cwd=repo.path, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for oid, prefix in zip(oids, prefixes, strict=True)
    ]  # fmt: skip


def test_one_of_many_wins(repo: GitRepo, repository: Repository) -> None:
    """16 processes create the same refs at once: each ref has exactly one winner, and keeps its value."""
    repo.git("config", "runs.durability", "fast")
    oids = [Oid.from_hex(repo.commit(f"racer {number}")) for number in range(16)]
    racers = race(repo, oids, 40, ["refs/runs/F/"] * 16)
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
    assert sweep_locks(*places, "refs/runs/", "refs/tags/runs/", age=60) == 2
    assert [lock.exists() for lock in locks] == [False, True, True, False, False]


KILLED = """
import os, signal, sys
from pathlib import Path
from gitflowrun.git import ref_update
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_locks import recover_locks
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
it = Repository.discover()
oid, step, count = Oid.from_hex(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if sys.argv[4] == "delete":
    it.refs.transaction([RefUpdate("refs/runs/F/1", oid, None)])
    it.git.run("pack-refs", "--all")
def kill(*_):
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
            os.waitid(os.P_PID, int(pid), os.WEXITED)  # a process that is about to die still holds its locks
    os.kill(os.getpid(), signal.SIGKILL)
if step == "prepared":  # in time for the journal to say which files they are
    ref_update.Refs._sync_locks = kill
elif step == "unnoted":  # before that
    ref_update.LockJournal.prepared = kill
names = [f"refs/runs/F/{number}" for number in range(1, count + 1)]
if sys.argv[4] == "delete":
    it.refs.transaction([RefUpdate(name, None, oid) for name in names])
else:
    it.refs.transaction([RefUpdate(name, oid, None) for name in names])
"""


def _die(refs: Refs) -> None:
    """As if this process had been killed, and its git: nobody holds the journal any more."""
    refs._update_ref._end(TRANSACTION_GRACE)
    refs._update_ref._journal._let_go()


@pytest.mark.parametrize(
    ("step", "count", "verb"),
    [("prepared", 2, "create"), ("unnoted", 1, "create"), ("prepared", 1, "delete"), ("unnoted", 1, "delete")],
)  # fmt: skip
def test_what_a_killed_writer_leaves_is_gone_when_refs_are_read_next(
    repo: GitRepo, commits: list[Oid], step: str, count: int, verb: str
) -> None:
    """Whoever comes next moves its locks away, without waiting for them to grow old, and git packs refs again."""
    subprocess.run(
        [sys.executable, "-c", KILLED, str(commits[0]), step, str(count), verb],
        cwd=repo.path, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    top = repo.path / ".git"
    assert [*top.rglob("*.lock")]
    began = time.monotonic()
    assert repo.call("list").code == 0
    assert time.monotonic() - began < at_most(3)
    assert not [*top.rglob("*.lock")]
    assert not [*(top / "gitflowrun/ref-locks").iterdir()]
    repo.git("pack-refs", "--all")


def test_our_own_lock_of_the_packed_refs_is_known(repo: GitRepo, repository: Repository) -> None:
    """It is another name of a file of ours, whose number the journal of a killed writer has."""
    refs = repository.refs
    scratch = repo.write(".git/scratch", "x")
    lock = repository.common_dir / "packed-refs.lock"
    with refs._locked("packed-refs", scratch):
        assert recover_locks(repository.common_dir, repository.state_dir / "stale-locks") == []
        _die(refs)
        assert recover_locks(repository.common_dir, repository.state_dir / "stale-locks") == [lock]
        lock.touch()  # which we are about to remove


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_lock_that_a_disk_does_not_unlink_is_moved_away(
    repo: GitRepo,
    repository: Repository,
    commits: list[Oid],
    monkeypatch: pytest.MonkeyPatch,
    is_packed: bool,
) -> None:
    """Git ends well all the same; the user's own git must find no lock after that, nor lose one of somebody else's."""
    top = repository.common_dir
    create_ref(repository.refs, NAME, commits[0])
    if is_packed:
        repo.git("pack-refs", "--all")
    locks = [top / "packed-refs.lock", top / f"{NAME}.lock"]

    def step(name: str) -> None:
        """As if no unlink of git's had any effect."""
        for number, lock in enumerate(locks):
            kept = top / f"kept-{number}"
            if name == "ref.locked":
                os.link(lock, kept)
            elif name == "ref.moved":
                lock.parent.mkdir(parents=True, exist_ok=True)  # which it would have kept
                kept.rename(lock)

    monkeypatch.setattr(ref_update, "reached", step)
    delete_ref(repository.refs, NAME, commits[0])
    assert [lock for lock in locks if lock.exists()] == []
    monkeypatch.undo()
    repo.git("pack-refs", "--all")
    create_ref(repository.refs, NAME, commits[0])

    def rival(name: str) -> None:
        """As if somebody took the lock right after git."""
        if name == "ref.moved":
            locks[0].touch()

    monkeypatch.setattr(ref_update, "reached", rival)
    delete_ref(repository.refs, NAME, commits[0])
    assert locks[0].exists()


def test_a_lock_of_somebody_else_is_not_taken_for_a_killed_writers(
    repository: Repository, commits: list[Oid]
) -> None:
    """One of another file than the journal says, or with another content, stays."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    journal = refs._update_ref._journal
    lock = repository.common_dir / f"{NAME}.lock"
    for text, content in (
        (f"{NAME} {commits[1]} 1\n", ""),
        (f"{NAME} {commits[1]}\n", f"{commits[2]}\n"),
    ):
        journal.claim(text)
        lock.write_text(content)
        _die(refs)
        assert recover_locks(repository.common_dir, repository.state_dir / "stale-locks") == []
        assert lock.exists()
        lock.unlink()


@pytest.mark.parametrize("case", ["sure", "unsure", "older", "later", "another"])
def test_what_is_not_surely_ours_is_given_time(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """A lock by its number and time is ours; one that only has our content may be another's, and one from before is.

    So is one that came long after the claim, which git's taking the lock follows at once.

    So is one of another time: a file system gives the number of a file that is gone to the next one.
    """
    places = (repository.common_dir, repository.state_dir / "stale-locks")
    assert recover_locks(*places) == []
    refs, lock = repository.refs, repository.common_dir / f"{NAME}.lock"
    create_ref(refs, NAME, commits[0])
    lock.write_text(f"{commits[1]}\n")
    if case == "older":
        os.utime(lock, (1, 1))
    journal = refs._update_ref._journal
    file, known = lock.stat(), case in ("sure", "another")
    number = f" {file.st_ino} {file.st_mtime_ns}" if known else ""
    journal.claim(f"{NAME} {commits[1]}{number}\n")
    if case in ("unsure", "another"):
        os.utime(lock)
    if case == "later":
        os.utime(lock, (time.time() + 60,) * 2)
    _die(refs)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert recover_locks(*places) == ([lock] if case in ("sure", "unsure") else [])
    assert pauses == ([LOCK_OURS] if case == "unsure" else [])
    assert not [*(repository.state_dir / "ref-locks").iterdir()]


def test_what_may_be_a_suspended_gits_is_left_by_who_looks_after_killed_writers(
    repository: Repository, commits: list[Oid]
) -> None:
    """It has only our content, or none yet; as soon as that git has ended, it goes."""
    places = (repository.common_dir, repository.state_dir / "stale-locks")
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    refs._update_ref._journal.claim(f"{NAME} -\n")
    _die(refs)
    with waiting_git(repository.common_dir, deletes=NAME) as git:
        assert recover_locks(*places) == []
        git.kill()
    lock = repository.common_dir / f"{NAME}.lock"
    assert lock.exists()
    assert recover_locks(*places) == [lock]
    assert not [*(repository.state_dir / "ref-locks").iterdir()]


def test_a_journal_that_can_not_be_removed_ends_nothing(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All refs are moved by then: a command that has done its work does not fail for it."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    create_ref(repository.refs, NAME, commits[0])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        repository.refs.close()
    journals = repository.state_dir / "ref-locks"
    assert len([*journals.iterdir()]) == 1
    recover_locks(repository.common_dir, repository.state_dir / "stale-locks")
    assert not [*journals.iterdir()]


def test_a_journal_that_nobody_of_us_wrote_moves_nothing(repo: GitRepo) -> None:
    """Whatever a power cut, or who prepared the repository, put there: refs are read, and no file elsewhere goes."""
    top, outside = repo.path / ".git", repo.path / "out.lock"
    texts = [
        "\n",
        "\0" * 99,
        "refs/x\n",
        "HEAD x y\n",
        "refs/x - " + "9" * 5_000 + "\n",
        "refs/x\0y -\n",
    ]
    texts += [f"{repo.path}/out -\n", "refs/../../out -\n", "refs/aside/out -\n", "refs/null -\n"]
    texts += ["refs/pipe -\n"]
    journals = [repo.write(f".git/gitflowrun/ref-locks/{at}-1", it) for at, it in enumerate(texts)]
    for path in (outside, *journals):
        path.touch()
        os.utime(path, (1, 1))
    (top / "refs/aside").symlink_to(repo.path)
    (top / "refs/null.lock").symlink_to("/dev/zero")
    os.mkfifo(top / "refs/pipe.lock")
    # Of what is no file nothing is read either.
    os.mkfifo(journals[0].with_name("pipe"))
    journals[0].with_name("link").symlink_to("/dev/zero")
    done = repo.runs("list", timeout=300)
    assert (done.code, done.err, outside.exists()) == (0, "", True)
    assert not any(path.exists() for path in journals[:-2])


def test_a_link_in_the_place_of_a_journal_is_not_written_through(
    repository: Repository, commits: list[Oid], tmp_path: Path
) -> None:
    """Who shares the repository may replace the file while we run: nothing of ours elsewhere is overwritten."""
    mine = tmp_path / "thesis"
    mine.write_text("mine")
    create_ref(repository.refs, NAME, commits[0])
    (journal,) = (repository.state_dir / "ref-locks").iterdir()
    journal.unlink()
    journal.symlink_to(mine)
    delete_ref(repository.refs, NAME, commits[0])
    assert mine.read_text() == "mine"


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
