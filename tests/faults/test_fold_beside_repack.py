"""Folds beside the user's own repacks: whatever the order of events, no object is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.maintenance import fold
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.owner import Owner
from gitflowrun.git.pack import publish as packs_module
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import sync_directory
from gitflowrun.git.repository import Repository
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repacks import add_bulk, ids_of_packs, kept_run, missing, stopped_while_writing
from tests.helpers.repos import GitRepo

SHARED = [noise(500, number) for number in range(3)]
"""Payloads that one run after another has."""
REPACK = "repack -a -d -q"
PRUNE = "gc -q --prune=now"
GEOMETRIC = "repack --geometric=2 -d --write-midx -q"
INCREMENTAL = "maintenance run --quiet --task=incremental-repack"


def _open(repo: GitRepo) -> Repository:
    return Repository.discover(repo.path)


def _add_many(repo: GitRepo) -> None:
    for number in range(100):
        repo.write(f"small/{number}", f"{number}\n")
    repo.commit()


def _make_old_pack(repo: GitRepo) -> None:
    """Run 1 in a pack of git's, with so many objects that a geometric repack of three runs leaves it alone."""
    _add_many(repo)
    pack_store(repo).release([kept_run(repo, "refs/runs/F/1", SHARED)])
    repo.git(*REPACK.split())
    add_bulk(repo)


def _prepare(repo: GitRepo) -> list[str]:
    """An old pack holds the payloads of run 1; the kept packs of runs 2 to 4, whose names are returned, too."""
    _make_old_pack(repo)
    return [kept_run(repo, f"refs/runs/F/{run}", [*SHARED, noise(300, run)]) for run in range(2, 5)]


def _assert_whole(repo: GitRepo) -> None:
    """Nothing is missing, and the payloads are read from where they are now."""
    assert missing(repo) == []
    repo.fsck()
    reader = PackReader(objects_dir(repo))
    for payload in SHARED:
        assert reader.blob(hash_object(ObjectType.BLOB, payload)) == payload


@pytest.mark.parametrize(
    ("user", "then"),
    [
        (REPACK, ()),
        (REPACK, (REPACK,)),
        (REPACK, (PRUNE,)),
        (REPACK, (INCREMENTAL, INCREMENTAL)),
        (f"{REPACK} -l --write-midx", ()),
    ],
)
@pytest.mark.sample(3)
def test_a_fold_during_the_users_repack(repo: GitRepo, user: str, then: tuple[str, ...]) -> None:
    """The repack began while packs were kept; they are released and folded, and others repack, before it ends."""
    kept = _prepare(repo)
    with stopped_while_writing(repo, *user.split()):
        pack_store(repo).release(kept)
        assert fold(_open(repo))
        assert not set(kept) & set(ids_of_packs(objects_dir(repo) / "pack"))
        for command in then:
            repo.git(*command.split(), check=False)
    _assert_whole(repo)


@pytest.mark.parametrize("user", [PRUNE, GEOMETRIC])
@pytest.mark.sample(1)
def test_a_fold_during_other_housekeeping_of_the_users(repo: GitRepo, user: str) -> None:
    """Beside a gc nothing is folded; beside a geometric repack a fold loses nothing."""
    kept = _prepare(repo)
    with stopped_while_writing(repo, *user.split()):
        pack_store(repo).release(kept)
        assert fold(_open(repo)) is (user != PRUNE)
    _assert_whole(repo)


def test_released_before_the_repack_and_folded_during_it(repo: GitRepo) -> None:
    """Then the repack takes the packs itself, and finds them gone when it wants to delete them."""
    pack_store(repo).release(_prepare(repo))
    with stopped_while_writing(repo, *REPACK.split()):
        assert fold(_open(repo))
    _assert_whole(repo)


def test_a_write_that_fails_late_during_a_repack(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that git has seen is not taken back: the repack relied on it and deletes what held its objects."""
    _make_old_pack(repo)
    store = pack_store(repo)
    stopped = stopped_while_writing(repo, *REPACK.split())

    def repack_and_fail(path: Path) -> None:
        sync_directory(path)
        stopped.__enter__()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(packs_module, "sync_directory", repack_and_fail)
    with pytest.raises(RepositoryError, match="Input/output error"):
        store.write([blob(payload) for payload in SHARED])
    stopped.__exit__(None, None, None)
    assert not list(store.pack_dir.glob("*.keep"))
    assert list(store.incoming.iterdir()) == []
    monkeypatch.undo()
    _assert_whole(repo)


CRASHING = """
import os, sys
from pathlib import Path
from gitflowrun.git.maintenance import fold
from gitflowrun.git.repository import Repository
repo = Repository.discover(Path.cwd())
left = int(sys.argv[1])
def crash(event, args):
    global left
    if event in {"os.rename", "os.remove", "os.rmdir", "os.utime", "os.mkdir", "subprocess.Popen"}:
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(crash)
fold(repo)
"""
"""Begun by fork, since it is killed at each of some thirty places."""


def test_a_crash_at_any_step(repo: GitRepo) -> None:
    """Killed before any change of a file, a fold leaves all objects readable, and nothing that stays behind."""
    store = pack_store(repo)
    repo.write("crashing.py", CRASHING)
    rng = random.Random(1)
    oids: list[Oid] = []
    codes: list[int] = []
    for moment in range(40):
        for _ in range(3):
            pack = store.write([blob(rng.randbytes(200)) for _ in range(2)])
            store.release([pack.name])
            oids += pack.oids
        done = repo.flow("crashing.py", str(moment))
        codes.append(done.code)
        reader = PackReader(objects_dir(repo))
        assert all(reader.blob(oid) for oid in oids)
        store.sweep()
        assert list(store.incoming.iterdir()) == []
        names = {path.name for path in store.pack_dir.iterdir()}
        assert {path.rpartition(".")[0] for path in names if path.endswith(".pack")} == {
            path.removesuffix(".idx") for path in names if path.endswith(".idx")
        }
        if done.code == 0:
            break
    assert codes == [9] * (len(codes) - 1) + [0]
    assert len(codes) > 8
    repo.fsck()
    assert repo.git("count-objects", "-v").splitlines()[-2:] == ["garbage: 0", "size-garbage: 0"]


def test_a_fold_whose_beginner_was_killed_is_swept(repo: GitRepo) -> None:
    """The directory of a dead process goes, and the pack that it had begun to put in place."""
    store = pack_store(repo)
    name = f"pack-{'3' * 40}"
    living = store.temporary_directory(name)
    dead = living.with_name(
        f"{Owner(Owner.process().host, '00000000', ((1, '1'),)).encode()}~{name}"
    )
    (dead / "pack").mkdir(parents=True)
    (dead / "pack" / "tmp_pack_x").write_bytes(b"half")
    (store.pack_dir / f"{name}.pack").write_bytes(b"PACK")
    store.sweep()
    assert list(store.incoming.iterdir()) == [living]
    assert list(store.pack_dir.iterdir()) == []


class _Storm:
    """Runs that share payloads and folds, beside a git command of the user's in a loop.

    It lasts for so many seconds, on a busy machine for a minute more until enough has happened.
    """

    def __init__(self, repo: GitRepo, seconds: float, *user: str) -> None:
        self.repo = repo
        self.user = user
        self.end = time.monotonic() + seconds
        self.rounds = self.runs = self.folds = 0
        self.errors: list[BaseException] = []

    def go(self) -> None:
        loops: list[Callable[[], None]] = [self._repack, self._fold]
        loops += [lambda number=number: self._write(number) for number in range(2)]  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded, args=(loop,)) for loop in loops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.errors == []
        print(f"{self.user}: {self.rounds} rounds, {self.runs} runs, {self.folds} folds")  # noqa: T201

    def _goes_on(self) -> bool:
        is_enough = self.rounds > 3 and self.runs > 10 and self.folds > 3
        return not self.errors and time.monotonic() < self.end + 60 * (not is_enough)

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            while self._goes_on():
                loop()
        except BaseException as error:  # noqa: BLE001  (for the test to see)
            self.errors.append(error)

    def _repack(self) -> None:
        self.repo.git(*self.user, check=False)
        self.rounds += 1

    def _fold(self) -> None:
        # A repack may take an input away, which a fold says and survives.
        with contextlib.suppress(RepositoryError):
            self.folds += fold(_open(self.repo), beyond=3)
        time.sleep(0.02)

    def _write(self, writer: int) -> None:
        store, rng = pack_store(self.repo), random.Random(writer)
        while self._goes_on():
            self.runs += 1
            payloads = [noise(rng.randrange(200, 3000), self.runs) for _ in range(2)] + SHARED
            name = kept_run(self.repo, f"refs/runs/F/{writer}{self.runs:05}", payloads)
            time.sleep(rng.choice([0, 0.01, 0.05]))
            store.release([name])


def _assert_survived(storm: _Storm) -> None:
    assert storm.rounds > 3
    assert storm.runs > 10
    assert missing(storm.repo) == []
    storm.repo.fsck()


@pytest.mark.slow
def test_a_storm_of_runs_and_folds_beside_repacks(repo: GitRepo) -> None:
    """Seconds of runs and folds beside `git repack -a -d` in a loop: nothing is missing."""
    _add_many(repo)
    add_bulk(repo, 4 << 20)
    storm = _Storm(repo, 4, *REPACK.split())
    storm.go()
    assert storm.folds > 3
    _assert_survived(storm)


@pytest.mark.slow
@pytest.mark.parametrize("user", [REPACK, "gc -q", PRUNE, GEOMETRIC, "prune", INCREMENTAL])
def test_a_long_storm(repo: GitRepo, user: str) -> None:
    """A minute of it, beside each command that deletes objects or packs."""
    _add_many(repo)
    add_bulk(repo)
    storm = _Storm(repo, 60, *user.split())
    storm.go()
    _assert_survived(storm)
