from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.locks import FileLock, Locks, LockState, current_status, made_here
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.tags import Tags
from gitflowrun.runs.trust import Trust
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import make_run, open_repo, store_of

HOLD = """
import sys, time
from pathlib import Path
from gitflowrun.runs.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock at `path`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The error names the file and says what to do; who looks takes the lock for held, as nobody knows."""

    def refuse(*_args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock, before = FileLock(tmp_path / "ids"), _open_files()
    with pytest.raises(RepositoryError, match=r"cannot lock .*/ids: ") as raised:
        lock.acquire()
    assert "flock" in (raised.value.hint or "")
    assert lock.state() is LockState.HELD
    assert _open_files() == before


def test_a_lock_needs_no_space(tmp_path: Path) -> None:
    """Where the disk takes no more bytes the lock is held all the same; only its holder has no name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lock = FileLock(tmp_path / "ids")
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert lock.try_acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not FileLock(lock.path).try_acquire()
    lock.release()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock file that is not there yet, nor its directories."""
    return tmp_path / "state" / "locks" / "one"


def test_one_process_at_a_time(path: Path) -> None:
    """While another process holds the lock it can't be taken, and looks held."""
    with other_process(path):
        assert FileLock(path).state() is LockState.HELD
        assert not FileLock(path).try_acquire()
    assert FileLock(path).try_acquire()


def test_a_killed_holder_holds_nothing(path: Path) -> None:
    """The kernel frees the lock of a killed process; its file stays, free."""
    with other_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert FileLock(path).state() is LockState.FREE
        assert FileLock(path).try_acquire()


def test_waiting_ends_when_the_holder_lets_go(path: Path) -> None:
    """`acquire` waits for the holder."""
    with other_process(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        FileLock(path).acquire(patience=300)


def test_impatience_names_the_holder(path: Path) -> None:
    """Whoever waits in vain learns which process to look at."""
    with (
        other_process(path) as process,
        pytest.raises(RepositoryError, match=f"process {process.pid}"),
    ):
        FileLock(path).acquire(patience=0.05)


def test_a_removed_file_is_not_a_lock(path: Path) -> None:
    """Two holders of one name are impossible, also when the first removes the file as it goes."""
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    waiting = os.open(path, os.O_RDWR)  # as a process that opened the file before it was removed
    first.release(remove=True)
    assert second.state() is LockState.ABSENT
    second.acquire()
    assert os.fstat(waiting).st_ino != path.stat().st_ino
    assert not FileLock(path).try_acquire()
    os.close(waiting)
    second.release()
    assert second.state() is LockState.FREE


def _open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_file_that_goes_while_it_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last holder removes it between our open and our lock: the next one is taken, and nothing stays open."""
    flock, removals = fcntl.flock, iter([path.unlink, path.unlink])

    def removed(fd: int, flags: int) -> None:
        next(removals, lambda: None)()
        flock(fd, flags)

    monkeypatch.setattr(fcntl, "flock", removed)
    before = _open_files()
    lock = FileLock(path)
    assert lock.try_acquire()
    assert lock.is_current
    assert _open_files() == before + 1
    lock.release()
    assert _open_files() == before


def test_locks_are_private(path: Path) -> None:
    """Lock files and their directories are the user's alone."""
    with FileLock(path):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.parent.stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A lock that can't be made is a clear error, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="cannot lock"):
        FileLock(tmp_path / "file" / "locks" / "x").acquire()


def test_every_lock_has_its_name(tmp_path: Path) -> None:
    """Ids, tags and each run have locks of their own."""
    locks = Locks(tmp_path)
    with locks.ids(), locks.tags(), locks.run(RunId("1")), locks.run(RunId("2")):
        assert locks.run(RunId("1")).state() is LockState.HELD
        assert locks.run(RunId("3")).state() is LockState.ABSENT


def test_an_uncontended_lock_is_quick(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking a free lock does not sleep."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it sleeps"))
    for _ in range(100):
        with FileLock(path):
            pass


def test_a_lock_whose_file_was_deleted_can_be_renewed(path: Path) -> None:
    """The holder makes the file again, and then looks held again; others can't take what is renewed."""
    lock = FileLock(path)
    lock.acquire()
    lock.renew()
    path.unlink()
    path.parent.rmdir()
    assert lock.state() is LockState.ABSENT
    lock.renew()
    assert lock.state() is LockState.HELD
    assert not FileLock(path).try_acquire()
    lock.release(remove=True)
    lock.renew()
    assert lock.state() is LockState.ABSENT


@pytest.mark.parametrize(
    ("number", "is_ours"), [(errno.EAGAIN, False), (errno.EACCES, False), (errno.ENOLCK, True)]
)
def test_a_second_opinion_that_can_not_be_had_keeps_nobody_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_ours: bool
) -> None:
    """Where no byte can be locked the file's lock is enough; where somebody has it, nothing is ours."""
    lock = Locks(tmp_path / "gitflowrun").run(RunId("7"))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    before = _open_files()
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "fcntl", refuse)
        assert lock.try_acquire() is is_ours
    assert _open_files() == before + is_ours
    assert lock.state() is (LockState.HELD if is_ours else LockState.ABSENT)
    lock.release(remove=True)
    assert lock.try_acquire()
    lock.release(remove=True)
    register = tmp_path / "gitflowrun-running"
    register.unlink()
    register.mkdir()
    assert lock.try_acquire()
    lock.release(remove=True)


def test_a_link_or_a_pipe_in_the_place_of_a_lock(tmp_path: Path) -> None:
    """Who shares a repository can't have a file of yours elsewhere emptied, nor keep you waiting."""
    mine = tmp_path / "mine"
    mine.write_text("precious")
    link, pipe = tmp_path / "locks/tags", tmp_path / "gitflowrun-running"
    link.parent.mkdir()
    link.symlink_to(mine)
    os.mkfifo(pipe)
    with pytest.raises(RepositoryError, match="cannot lock"):
        FileLock(link).acquire()
    assert FileLock(link).state() is LockState.ABSENT
    assert mine.read_text() == "precious"
    assert not Locks(tmp_path / "gitflowrun").any_run()
    assert Locks(tmp_path / "gitflowrun").held() == []


def test_where_no_run_has_ever_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds anything; nor where the system can't tell, and nothing stays open."""
    locks = Locks(tmp_path / "gitflowrun")
    assert (locks.held(), locks.runs(), locks.any_run()) == ([], set(), False)
    with locks.run(RunId("7")):
        pass
    assert (locks.held(), locks.runs(), locks.any_run()) == ([], {"7"}, False)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    before = _open_files()
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert (locks.held(), locks.any_run()) == ([], False)
    assert _open_files() == before


def test_what_runs_is_known_by_either_lock(tmp_path: Path) -> None:
    """By the files of locks, or by the register where these were deleted; in the order of numbers."""
    locks, before = Locks(tmp_path / "gitflowrun"), _open_files()
    register = tmp_path / "gitflowrun-running"
    runs = [RunId(run) for run in ("9", "10", "10-3fa29c1")]
    held = [locks.run(run) for run in reversed(runs)]
    for lock in held:
        lock.acquire()
    assert (locks.held(), locks.any_run()) == (runs, True)
    register.rename(tmp_path / "aside")
    assert (locks.held(), locks.any_run()) == (runs, True)
    (tmp_path / "aside").rename(register)
    shutil.rmtree(tmp_path / "gitflowrun")
    assert (locks.held(), locks.any_run()) == (runs[:2], True)
    for lock, left in zip(held[1:], ([runs[0]], []), strict=True):
        lock.release()
        assert (locks.held(), locks.any_run()) == (left, bool(left))
    held[0].release()
    assert _open_files() == before


def test_locks_that_are_nobodys_runs(tmp_path: Path) -> None:
    """Somebody has locked more of the register than a byte, or all that follows: it is no run's, and ends no look."""
    locks, register = Locks(tmp_path / "gitflowrun"), tmp_path / "gitflowrun-running"
    with locks.run(RunId("5")), register.open("r+b") as file:
        for start, count in ((0, 2), (7, 2), (20, 0)):
            byte_lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, count, 0)
            fcntl.fcntl(file.fileno(), fcntl.F_OFD_SETLK, byte_lock)
        assert {"5"} <= {*locks.held()} <= {"5", "7", "20"}
    assert locks.held() == []


def test_a_lock_that_can_not_be_renewed_is_held_as_before(path: Path) -> None:
    """Whoever runs goes on: that its file can't be made again, or is somebody's by now, ends nothing."""
    lock, before = FileLock(path), _open_files()
    lock.acquire()
    path.unlink()
    with other_process(path):
        lock.renew()
        assert not lock.is_current
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")
    lock.renew()
    assert _open_files() == before + 1
    path.parent.unlink()
    lock.renew()
    assert lock.is_current
    lock.release()
    assert _open_files() == before


def test_a_run_whose_commit_is_lost_goes_on_as_far_as_anybody_knows(repo: GitRepo) -> None:
    """Nobody holds its lock, and whether it was made here can't be told: it is not called interrupted."""
    opened, lost, run = open_repo(repo), Oid(b"\1" * 20), RunId("7")
    assert not made_here(opened, lost)
    assert current_status(opened, run, lost, Status.RUNNING) is Status.RUNNING
    with Locks(opened.state_dir).run(run):
        pass
    assert current_status(opened, run, lost, Status.RUNNING) is Status.INTERRUPTED
    assert current_status(opened, run, lost, Status.FAILED) is Status.FAILED


def _at_once(lock: FileLock) -> FileLock:
    if not lock.try_acquire():
        raise RepositoryError(f"{lock.path.name} is locked")
    return lock


CHANGES: dict[str, tuple[str, Callable[[Repository, StoredRun], object]]] = {
    "change tags": ("tags", lambda repo, run: Tags(repo).change(run, add=["b"])),
    "mirror tags": ("tags", lambda repo, _: Tags(repo).mirror()),
    "vouch": ("trust", lambda repo, _: Trust(repo).vouch_for_url("https://h/b")),
    "withdraw": ("trust", lambda repo, _: Trust(repo).withdraw_url("https://h/a")),
    "reserve": ("ids", lambda repo, _: RunIds(repo).reserve().lock.release()),
    "mend": ("ids", lambda repo, _: RunIds(repo).mend()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_under_a_lock_waits_for_it(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Two that read, check and write would undo what the other one did; afterwards others may."""
    identity = make_run(repo, tags=["a"])
    opened = open_repo(repo)
    Trust(opened).vouch_for_url("https://h/a")
    run = store_of(repo).get(identity.flow, str(identity.id))
    name, do = CHANGES[change]
    monkeypatch.setattr(FileLock, "__enter__", _at_once)
    before = Tags(opened).of(run), Trust(opened).vouched, RunIds(opened).last_given()
    with (
        FileLock(opened.state_dir / "locks" / name),
        pytest.raises(RepositoryError, match=f"^{name} is locked$"),
    ):
        do(opened, run)
    assert (Tags(opened).of(run), Trust(opened).vouched, RunIds(opened).last_given()) == before
    for _ in range(2):
        do(opened, run)
    assert FileLock(opened.state_dir / "locks" / name).state() is LockState.FREE
