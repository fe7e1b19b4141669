"""Refs are created, moved and deleted by one writer that never overwrites what it did not expect."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import MissingObject, RefConflict, RepositoryError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.names import RefName
from tests.helpers.repos import ROOT, GitRepo

NAME = "refs/runs/F/1"


def _create(refs: Refs, name: str, oid: Oid) -> None:
    refs.transaction([RefUpdate(name, oid, None)])


def _update(refs: Refs, name: str, new: Oid, old: Oid) -> None:
    refs.transaction([RefUpdate(name, new, old)])


def _delete(refs: Refs, name: str, old: Oid) -> None:
    refs.transaction([RefUpdate(name, None, old)])


def opened(repository: Repository, *, patience: float = 30, stale_after: float = 10) -> Refs:
    """The refs of a repository, with other times of waiting."""
    stale_locks = repository.state_dir / "stale-locks"
    return Refs(
        repository.git,
        repository.common_dir,
        stale_locks,
        patience=patience,
        stale_after=stale_after,
    )


def git_children() -> list[int]:
    """The numbers of the git processes that this process has started and that are there."""
    lists = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for children in lists for pid in children.read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() == "git\n"]


@pytest.fixture
def repository(repo: GitRepo) -> Repository:
    """The repository, opened."""
    return Repository.discover(repo.path)


@pytest.fixture
def commits(repo: GitRepo) -> list[Oid]:
    """Three commits."""
    return [Oid.from_hex(repo.commit(f"commit {number}")) for number in range(3)]


def test_create_and_get(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """A created ref is there, for us and for git."""
    _create(repository.refs, NAME, commits[0])
    assert repository.refs.get(NAME) == commits[0]
    assert repo.git("rev-parse", "runs/F/1") == str(commits[0])
    assert repository.refs.get("refs/runs/F/2") is None


@pytest.mark.parametrize("packed", [False, True])
def test_create_never_overwrites(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """Creating a ref that exists, loose or packed, is a conflict that names it and changes nothing."""
    _create(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict, match=NAME):
        _create(repository.refs, NAME, commits[1])
    assert repository.refs.get(NAME) == commits[0]


@pytest.mark.parametrize("packed", [False, True])
def test_update_compares(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """A ref moves only from the value its mover has seen."""
    _create(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    _update(repository.refs, NAME, commits[1], commits[0])
    assert repository.refs.get(NAME) == commits[1]
    with pytest.raises(RefConflict, match="somebody else"):
        _update(repository.refs, NAME, commits[2], commits[0])
    with pytest.raises(RefConflict, match="does not exist"):
        _update(repository.refs, "refs/runs/F/2", commits[2], commits[0])
    assert repository.refs.get(NAME) == commits[1]


@pytest.mark.parametrize("packed", [False, True])
def test_delete_compares(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """A ref is deleted only at the value its deleter has seen; others stay."""
    _create(repository.refs, NAME, commits[0])
    _create(repository.refs, "refs/runs/F/2", commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict):
        _delete(repository.refs, NAME, commits[1])
    _delete(repository.refs, NAME, commits[0])
    assert [row[0] for row in repository.refs.rows("refs/runs/")] == ["refs/runs/F/2"]
    with pytest.raises(RefConflict, match="does not exist"):
        _delete(repository.refs, NAME, commits[0])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["refs/runs/F", "refs/runs/F/1/x", "refs/runs/F/1/x/y"])
def test_directories_and_files_do_not_meet(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool, name: str
) -> None:
    """A ref can't be created above or below another one, loose or packed."""
    _create(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict, match=name):
        _create(repository.refs, name, commits[0])
    assert [row[0] for row in repository.refs.rows("refs/runs/")] == [NAME]


def test_target_must_exist(repository: Repository) -> None:
    """No ref is published that points to nothing."""
    with pytest.raises(MissingObject):
        _create(repository.refs, NAME, Oid(b"\1" * 20))
    assert repository.refs.get(NAME) is None


@pytest.mark.parametrize(
    "name",
    [
        "refs/runs/a..b",
        "refs/runs/x.lock",
        "refs/runs/a\nb",
        "runs/F/1",
        "refs/runs/F/",
        "refs/@{x",
    ],
)
def test_bad_names_are_refused(repository: Repository, commits: list[Oid], name: str) -> None:
    """Names that git would refuse, or read as several words, are refused before it sees them."""
    with pytest.raises(UsageError):
        _create(repository.refs, name, commits[0])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12))
def test_names_are_refused_as_git_refuses_them(text: str) -> None:
    """What `RefName` lets pass, git does too."""
    try:
        name = RefName(f"refs/runs/{text}")
    except UsageError:
        return
    subprocess.run(["git", "check-ref-format", name], check=True)


def test_transaction_is_all_or_nothing(repository: Repository, commits: list[Oid]) -> None:
    """One conflict keeps every ref of a transaction from changing, with and without deletions."""
    refs = repository.refs
    _create(refs, "refs/runs/F/2", commits[0])
    creates = [RefUpdate(f"refs/runs/F/{number}", commits[1], None) for number in (1, 2, 3)]
    with pytest.raises(RefConflict, match="refs/runs/F/2"):
        refs.transaction(creates)
    mixed = [creates[0], RefUpdate("refs/runs/F/2", None, commits[1])]
    with pytest.raises(RefConflict, match="refs/runs/F/2"):
        refs.transaction(mixed)
    assert refs.rows("refs/runs/") == [("refs/runs/F/2", str(commits[0]))]


def test_mixed_transaction(repository: Repository, commits: list[Oid]) -> None:
    """Creating, moving and deleting go together."""
    refs = repository.refs
    refs.transaction([RefUpdate(f"refs/runs/F/{n}", commits[0], None) for n in (1, 2)])
    refs.transaction(
        [
            RefUpdate("refs/runs/F/1", None, commits[0]),
            RefUpdate("refs/runs/F/2", commits[1], commits[0]),
            RefUpdate("refs/runs/F/3", commits[2], None),
        ]
    )
    assert refs.rows("refs/runs/") == [
        ("refs/runs/F/2", str(commits[1])), ("refs/runs/F/3", str(commits[2]))
    ]  # fmt: skip
    refs.transaction([])


def test_many_refs_at_once(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Hundreds of refs in one transaction do not run out of file descriptors."""
    updates = [RefUpdate(f"refs/runs/F/{number}", commits[0], None) for number in range(1, 301)]
    repository.refs.transaction(updates)
    assert len(repository.refs.rows("refs/runs/")) == 300
    with pytest.raises(RefConflict):
        repository.refs.transaction([*updates, RefUpdate("refs/runs/F/301", commits[0], None)])
    assert repository.refs.get("refs/runs/F/301") is None
    repo.fsck()


def test_rows_keep_newlines_and_odd_bytes(repo: GitRepo, repository: Repository) -> None:
    """Fields may hold anything but NUL; sort and count are git's."""
    message = "subject é\n\nbody\n\n  more\nStatus: done\n"
    for name in ("9", "10", "caf\udce9"):
        repo.git("commit", "-q", "--allow-empty", "-F", "-", stdin=message.encode())
        repo.git("update-ref", f"refs/runs/F/{name}", "HEAD")
    rows = repository.refs.rows(
        "refs/runs/", fields=("refname", "contents", "objecttype"), sort="-version:refname", count=2
    )
    assert rows == [
        ("refs/runs/F/caf\udce9", message, "commit"), ("refs/runs/F/10", message, "commit")
    ]  # fmt: skip
    assert repository.refs.rows("refs/nothing/") == []


def test_symbolic_and_damaged_refs(repo: GitRepo, repository: Repository) -> None:
    """Symbolic refs are followed, circles and empty files are errors that name the ref."""
    head = repo.git("rev-parse", "HEAD")
    assert str(repository.refs.get("HEAD")) == head
    repo.git("symbolic-ref", "refs/runs/a", "refs/runs/b")
    repo.git("symbolic-ref", "refs/runs/b", "refs/runs/a")
    with pytest.raises(RepositoryError, match="leads nowhere"):
        repository.refs.get("refs/runs/a")
    repo.write(".git/refs/runs/c", "")
    with pytest.raises(RepositoryError, match="refs/runs/c is damaged"):
        repository.refs.get("refs/runs/c")


def test_linked_worktrees_share_refs(
    repo: GitRepo, repository: Repository, commits: list[Oid], tmp_path: Path
) -> None:
    """A linked worktree sees, and does not overwrite, a loose ref of the main one."""
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = Repository.discover(tmp_path / "linked")
    _create(repository.refs, NAME, commits[0])
    assert linked.refs.get(NAME) == commits[0]
    with pytest.raises(RefConflict):
        _create(linked.refs, NAME, commits[1])
    _create(linked.refs, "refs/runs/F/2", commits[1])
    assert repository.refs.get("refs/runs/F/2") == commits[1]


def test_a_lock_left_behind_is_removed(repository: Repository, commits: list[Oid]) -> None:
    """A lock that does not change for a while has no owner any more."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    began = time.monotonic()
    _create(opened(repository, stale_after=0.3), NAME, commits[0])
    assert 0.3 <= time.monotonic() - began < 5
    assert not lock.exists()
    assert not list((repository.state_dir / "stale-locks").iterdir())
    lock.touch()
    _delete(opened(repository, stale_after=0.3), NAME, commits[0])
    assert repository.refs.rows("refs/runs/") == []


def test_a_live_lock_is_respected(repository: Repository, commits: list[Oid]) -> None:
    """A lock that changes has an owner: wait for it, and at last say which file it is."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            os.utime(lock)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        with pytest.raises(RepositoryError, match=r"F/1\.lock is held") as caught:
            _create(opened(repository, patience=0.8, stale_after=0.3), NAME, commits[0])
    finally:
        done.set()
        worker.join()
    assert caught.value.hint
    assert lock.exists()


def test_waits_for_a_lock(repository: Repository, commits: list[Oid]) -> None:
    """A lock that is released in time goes unnoticed."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    _create(repository.refs, NAME, commits[0])
    timer.join()
    assert repository.refs.get(NAME) == commits[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until there is no place left."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(file, b"x" * 512):
            pass
    except OSError:
        os.close(file)


def test_full_and_read_only_disks(small_disk: Path, repo: GitRepo) -> None:
    """Errors name the repository and the cause; nothing is published; the next try succeeds."""
    subprocess.run(["git", "init", "-q", "--bare", "--template=", str(small_disk)], check=True)
    alternates = small_disk / "objects" / "info" / "alternates"
    alternates.write_text(str(repo.path / ".git" / "objects"))
    repository = Repository.discover(small_disk)
    oid = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    fill(small_disk / "filler")
    with pytest.raises(RepositoryError, match=r"small.*No space left on device"):
        _create(repository.refs, NAME, oid)
    assert repository.refs.rows("refs/") == []
    (small_disk / "filler").unlink()
    _create(repository.refs, NAME, oid)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RepositoryError, match=r"small.*Read-only file system"):
        _create(repository.refs, "refs/runs/F/2", oid)
    with pytest.raises(RepositoryError, match=r"small.*Read-only file system"):
        _delete(repository.refs, NAME, oid)
    assert repository.refs.get(NAME) == oid


RACER = """
import sys
from gitflowrun.errors import RefConflict
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
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
    """32 processes create the same refs at once: each ref has exactly one winner, and keeps its value."""
    repo.git("config", "runs.durability", "fast")
    oids = [Oid.from_hex(repo.commit(f"racer {number}")) for number in range(32)]
    racers = race(repo, oids, 40, ["refs/runs/F/"] * 32)
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
            _delete(repository.refs, doomed.pop().name, head)
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
        _create(refs, f"refs/runs/K/{number}", head)
    repo.fsck()
    assert not list(Path(repo.path, ".git", "refs", "runs").rglob("*.lock"))


def test_old_locks_are_swept(repo: GitRepo, repository: Repository) -> None:
    """Locks that nobody has touched for long go, fresh ones and other people's stay."""
    root = repo.path / ".git" / "refs"
    locks = [root / name for name in ("runs/F/1.lock", "runs/F/2.lock", "heads/main.lock")]
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    for lock in (locks[0], locks[2]):
        os.utime(lock, (1, 1))
    assert repository.refs.sweep_locks("refs/runs/", "refs/tags/runs/") == 1
    assert [lock.exists() for lock in locks] == [False, True, True]


def test_a_missing_object_hides_only_its_own_ref(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """A ref whose object is gone is left out of a listing that needs it; the others keep their order."""
    for number, oid in enumerate(commits, 1):
        _create(repository.refs, f"refs/runs/F/{number}", oid)
    repo.write(".git/refs/runs/F/10", "1" * 40 + "\n")
    rows = repository.refs.rows("refs/runs/", fields=("subject",), sort="-version:refname")
    assert rows == [("commit 2",), ("commit 1",), ("commit 0",)]
    assert len(repository.refs.rows("refs/runs/")) == 4


def test_an_empty_loose_ref_does_not_show_an_older_value(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """What a power cut leaves of a ref is damage, not a reason to go back to its packed value."""
    _create(repository.refs, NAME, commits[0])
    repo.git("pack-refs", "--all", "--prune")
    repo.write(f".git/{NAME}", "")
    with pytest.raises(RepositoryError, match="damaged"):
        repository.refs.get(NAME)


def test_one_process_moves_all_refs(repository: Repository, commits: list[Oid]) -> None:
    """Git is started by the first change, stays for the next ones, and is gone when the refs are closed."""
    refs = repository.refs
    assert git_children() == []
    _create(refs, NAME, commits[0])
    (first,) = git_children()
    _update(refs, NAME, commits[1], commits[0])
    _delete(refs, NAME, commits[1])
    assert git_children() == [first]
    refs.close()
    assert git_children() == []
    _create(refs, NAME, commits[2])
    assert repository.refs.get(NAME) == commits[2]
    refs.close()


def test_a_conflict_that_is_seen_costs_no_process(
    repository: Repository, commits: list[Oid]
) -> None:
    """A ref that is not at its old value is a conflict before git is asked."""
    _create(repository.refs, NAME, commits[0])
    before = git_children()
    with pytest.raises(RefConflict):
        _create(repository.refs, NAME, commits[1])
    assert git_children() == before


def test_after_a_refused_transaction_the_next_one_works(
    repository: Repository, commits: list[Oid]
) -> None:
    """Git ends at what it refuses, whatever the cause, and leaves nothing behind that is in the way."""
    refs = repository.refs
    _create(refs, NAME, commits[0])
    for name, oid, error in (
        (f"{NAME}/x", commits[0], RefConflict), ("refs/runs/F/2", Oid(b"\1" * 20), MissingObject)
    ):  # fmt: skip
        with pytest.raises(error):
            _create(refs, name, oid)
        assert git_children() == []
        _update(refs, NAME, commits[1], commits[0])
        _update(refs, NAME, commits[0], commits[1])
    assert not list((repository.common_dir / "refs" / "runs").rglob("*.lock"))


def test_a_git_that_was_killed_is_replaced(repository: Repository, commits: list[Oid]) -> None:
    """A process that somebody killed between two changes is not missed."""
    refs = repository.refs
    _create(refs, NAME, commits[0])
    (pid,) = git_children()
    os.kill(pid, signal.SIGKILL)
    _update(refs, NAME, commits[1], commits[0])
    assert refs.get(NAME) == commits[1]
    assert git_children() != [pid]


def test_a_git_that_is_killed_at_work_is_replaced(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """A change during which git is killed, with a lock in its hands, is made by the next process."""
    repo.git("config", "core.filesRefLockTimeout", "-1")  # git waits for a lock for ever
    first, second = "refs/runs/F/1", "refs/runs/F/2"
    lock = repository.common_dir / f"{second}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()

    def kill() -> None:
        while not (repository.common_dir / f"{first}.lock").exists():
            time.sleep(0.01)
        os.kill(git_children()[0], signal.SIGKILL)
        lock.unlink()

    killer = threading.Thread(target=kill)
    killer.start()
    refs = opened(repository, stale_after=0.2)
    repo.git("config", "core.filesRefLockTimeout", "100")
    refs.transaction([RefUpdate(name, commits[0], None) for name in (first, second)])
    killer.join()
    assert [refs.get(first), refs.get(second)] == [commits[0], commits[0]]
    assert not list(lock.parent.glob("*.lock"))


KILLER = """#!/bin/sh
case "$*" in *update-ref*)
    if mkdir '{once}' 2>/dev/null; then
        {git} "$@" | while read -r line; do
            case $line in commit*) kill -9 $$; exit;; esac
            echo "$line"
        done
    fi
esac
exec {git} "$@"
"""


def test_a_git_that_is_killed_after_its_last_step_has_done_it(
    repository: Repository, commits: list[Oid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refs that git has moved before it was killed, and could not say so, are no conflict with ourselves."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(KILLER.format(once=tmp_path / "once", git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    repository.refs.transaction([RefUpdate(f"refs/runs/F/{n}", commits[n], None) for n in (1, 2)])
    assert (tmp_path / "once").exists()
    assert [repository.refs.get(f"refs/runs/F/{n}") for n in (1, 2)] == commits[1:]


LEAVER = """
import os, signal
from pathlib import Path
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
repository = Repository.discover()
head = repository.head().commit
repository.refs.transaction([RefUpdate("refs/runs/F/1", head, None)])
for children in Path("/proc/self/task").glob("*/children"):
    print(children.read_text(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_git_ends_with_whoever_started_it(repo: GitRepo) -> None:
    """The process of a writer that was killed goes away by itself."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVER], cwd=repo.path, stdout=subprocess.PIPE, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    (pid,) = map(int, done.stdout.split())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


def test_git_is_out_of_reach_of_the_terminal(repository: Repository, commits: list[Oid]) -> None:
    """Ctrl-C at the terminal, which kills what belongs to its session, does not kill git at work."""
    _create(repository.refs, NAME, commits[0])
    (pid,) = git_children()
    assert os.getsid(pid) == pid


@pytest.mark.parametrize("verdict", [0, 1])
def test_the_users_hook_is_not_asked(
    repo: GitRepo, repository: Repository, commits: list[Oid], verdict: int
) -> None:
    """A reference-transaction hook neither runs nor can veto."""
    hook = repo.path / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repo.path}/ran\nexit {verdict}\n")
    hook.chmod(0o755)
    _create(repository.refs, NAME, commits[0])
    _delete(repository.refs, NAME, commits[0])
    assert not (repo.path / "ran").exists()


def test_there_are_no_reflogs(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Refs of ours get no reflog, whatever the config says: it would keep what they pointed to for months."""
    repo.git("config", "core.logAllRefUpdates", "always")
    _create(repository.refs, NAME, commits[0])
    _update(repository.refs, NAME, commits[1], commits[0])
    assert not (repo.path / ".git/logs/refs/runs").exists()


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is fsynced from now on, by the last part of its path."""
    paths: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{fd}").readlink()).rpartition(".git/")[2])
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_what_is_synced(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref before it is published, its directory afterwards, and the directory of a directory that is new."""
    paths = synced(monkeypatch)
    _create(repository.refs, NAME, commits[0])
    assert paths[0] == f"{NAME}.lock"
    assert sorted(paths[1:]) == ["refs", "refs/runs", "refs/runs/F"]
    paths.clear()
    _update(repository.refs, NAME, commits[1], commits[0])
    assert paths == [f"{NAME}.lock", "refs/runs/F"]
    repo.git("pack-refs", "--all", "--prune")
    paths.clear()
    _delete(repository.refs, NAME, commits[1])
    assert paths[0] == "packed-refs.new"
    assert {path.rpartition("/")[2] for path in paths[1:]} >= {".git"}


def test_fast_syncs_nothing(
    repo: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runs.durability = fast` leaves the time of writing to the system."""
    repo.git("config", "runs.durability", "fast")
    paths = synced(monkeypatch)
    _create(Repository.discover(repo.path).refs, NAME, commits[0])
    assert paths == []


def test_threads_share_a_writer(repository: Repository, commits: list[Oid]) -> None:
    """Threads that create, move and read refs at once do so one after another."""
    refs = repository.refs

    def work(number: int) -> None:
        for count in range(10):
            name = f"refs/runs/T{number}/{count + 1}"
            _create(refs, name, commits[0])
            _update(refs, name, commits[1], commits[0])

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [oid for _, oid in refs.rows("refs/runs/")] == [str(commits[1])] * 80
    assert len(git_children()) == 1


def test_a_forked_child_starts_its_own_git(repository: Repository, commits: list[Oid]) -> None:
    """A child neither takes the answers of its parent's process nor ends it."""
    refs = repository.refs
    _create(refs, NAME, commits[0])
    parents = git_children()
    pid = os.fork()
    if not pid:
        _update(refs, NAME, commits[1], commits[0])
        refs.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    _update(refs, NAME, commits[2], commits[1])
    assert git_children() == parents


def test_an_interrupted_change_leaves_no_lock(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between prepare and commit changes nothing, and git lets go of its locks."""

    def interrupt(_fd: int) -> None:
        raise KeyboardInterrupt

    refs = repository.refs
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _create(refs, NAME, commits[0])
    assert refs.get(NAME) is None
    assert git_children() == []
    _create(refs, NAME, commits[0])
    assert refs.get(NAME) == commits[0]


def test_a_disk_that_fails_is_told(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref that can't be synced is not published; the error names the repository and the cause."""

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(RepositoryError, match=rf"can't write {NAME}.*Input/output error"):
            _create(repository.refs, NAME, commits[0])
    assert repository.refs.get(NAME) is None


def test_many_are_read_at_once(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Loose, packed, repacked, symbolic and absent refs are read together as they are one by one."""
    names = [f"refs/runs/F/{number}" for number in range(1, 5)]
    for name in names[:3]:
        repo.git("update-ref", name, str(commits[0]))
    repo.git("pack-refs", "--all")
    repo.git("update-ref", names[1], str(commits[1]))
    repo.git("symbolic-ref", "refs/runs/F/link", names[1])
    asked = [*names, "refs/runs/F/link", "refs/runs"]
    found = repository.refs.many(asked)
    assert found == {name: repository.refs.get(name) for name in asked}
    assert [found[name] for name in asked] == [
        commits[0],
        commits[1],
        commits[0],
        None,
        commits[1],
        None,
    ]
    (repo.path / ".git" / names[3]).write_bytes(b"")
    with pytest.raises(RepositoryError, match="is damaged"):
        repository.refs.many(asked)
