"""What a killed writer of ours has left is moved away by whoever reads refs next, and nothing that others have."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitflowrun.git import ref_update
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_locks import LockJournal, recover_locks
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.limits import LOCK_OURS, TRANSACTION_GRACE
from tests.helpers.flows import at_most
from tests.helpers.refs import NAME, create_ref, delete_ref, waiting_git
from tests.helpers.repos import ROOT, GitRepo

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


@pytest.mark.parametrize("is_noted", [False, True])
def test_what_another_writer_of_ours_has_is_not_a_killed_ones(
    repository: Repository, commits: list[Oid], is_noted: bool
) -> None:
    """Both were about to take one lock, and the living one has it, whether it has written down which file it is."""
    places = (repository.common_dir, repository.state_dir / "stale-locks")
    update = RefUpdate(NAME, None, commits[0])
    create_ref(repository.refs, NAME, commits[0])
    repository.refs._update_ref._journal.begin([update])
    _die(repository.refs)
    living = LockJournal(*places)
    living.begin([update])
    locks = [living.lock_of(NAME), living.lock_of("packed-refs")]
    for lock in locks:
        lock.touch()
    if is_noted:
        living.prepared([update])
    half = repository.common_dir / "packed-refs.new"
    half.touch()
    assert recover_locks(*places) == []
    assert [it.exists() for it in (*locks, half)] == [True] * 3
    living.close()
    assert sorted(recover_locks(*places)) == sorted(locks)


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
