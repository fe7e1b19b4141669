"""Folding packs, and payloads without deltas."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import (
    PACK_FILES,
    Rewrite,
    _choose,
    _SmallPack,
    exempt_from_deltas,
    fold,
    fold_lock,
    start_fold,
)
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.repository import Repository
from gitflowrun.limits import FOLD_BEYOND, LARGE_INDEX, LARGE_PACK
from gitflowrun.runs.layout import PAYLOAD_PATTERN
from tests.helpers.packs import blob, noise, objects_dir, pack_store, publish
from tests.helpers.repacks import ids_of_packs
from tests.helpers.repos import GitRepo


def _open(repo: GitRepo) -> Repository:
    return Repository.discover(repo.path)


def _pack_files(repo: GitRepo) -> list[Path]:
    return sorted(objects_dir(repo).glob("pack/*.pack"))


def _many(repo: GitRepo, count: int, size: int = 300) -> list[Oid]:
    store = pack_store(repo)
    packs = [store.write([blob(noise(size, number))]) for number in range(count)]
    store.release(pack.name for pack in packs)
    return [pack.oids[0] for pack in packs]


def _foldable(repository: Repository) -> list[str]:
    listing = maintenance._Listing.read(repository.packs.pack_dir)
    return [pack.name for pack in listing.small()]


def _folded(repository: Repository) -> tuple[int, int] | None:
    """Fold; how many small packs there were, and are now. None where nothing was folded."""
    before = len(_foldable(repository))
    return (before, len(_foldable(repository))) if fold(repository) else None


def test_few_packs_are_left_alone(repo: GitRepo) -> None:
    """Up to the limit nothing is folded."""
    _many(repo, FOLD_BEYOND)
    before = _pack_files(repo)
    assert not fold(_open(repo), beyond=FOLD_BEYOND)
    assert _pack_files(repo) == before


def test_many_packs_become_few_and_nothing_is_dropped(repo: GitRepo) -> None:
    """Every object stays, referenced or not; readers that were open before find all of them."""
    referenced = [publish(repo, f"refs/runs/F/{run}", [b"%d" % run])[0] for run in range(10)]
    oids = _many(repo, 40)
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[0]) == noise(300, 0)
    assert len(_pack_files(repo)) == 70
    assert fold(_open(repo), beyond=FOLD_BEYOND)
    assert len(_pack_files(repo)) <= 3
    assert not (objects_dir(repo) / "pack" / "multi-pack-index").exists()
    assert [reader.blob(oid) for oid in oids] == [noise(300, number) for number in range(40)]
    assert all(oid in reader for oid in referenced)
    repo.fsck()


def test_kept_packs_are_left_alone(repo: GitRepo) -> None:
    """A pack whose run is not published yet is not folded, and does not count."""
    store = pack_store(repo)
    kept = [store.write([blob(noise(100, 1000 + number))]) for number in range(40)]
    assert not fold(_open(repo), beyond=FOLD_BEYOND)
    _many(repo, 40)
    assert fold(_open(repo), beyond=FOLD_BEYOND)
    names = {path.stem for path in _pack_files(repo)}
    assert {pack.name for pack in kept} <= names
    repo.fsck()


def test_large_packs_are_left_alone(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes are not copied to save a lookup."""
    monkeypatch.setattr(maintenance, "LARGE_PACK", 50_000)
    store = pack_store(repo)
    large = store.write([blob(noise(60_000, 7))])
    store.release([large.name])
    _many(repo, 40)
    assert fold(_open(repo), beyond=FOLD_BEYOND)
    assert len(_pack_files(repo)) == 2
    assert large.name in {path.stem for path in _pack_files(repo)}
    assert PackReader(objects_dir(repo)).blob(large.oids[0]) == noise(60_000, 7)
    repo.fsck()


def test_only_one_process_folds(repo: GitRepo) -> None:
    """Whoever comes second leaves it to the first; so does one who finds a gc running."""
    _many(repo, 3)
    opened = _open(repo)
    with (opened.state() / "fold.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not fold(opened)
    pid = repo.write(".git/gc.pid", "1 host")
    assert not fold(opened)
    pid.unlink()
    assert _folded(opened) == (3, 1)
    assert not fold(opened)


def test_partial_clones_are_not_folded(repo: GitRepo) -> None:
    """Packs of promised objects must stay marked as such."""
    _many(repo, 3)
    _pack_files(repo)[0].with_suffix(".promisor").write_text("")
    assert not fold(_open(repo))


def test_a_fold_in_the_background_keeps_others_away(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a fold is finished nobody else begins one; then anybody may. It is over when git is, and not before."""
    _many(repo, 40)
    opened = _open(repo)
    assert opened.settings  # which git is asked for only once
    with monkeypatch.context() as patch:
        patch.setattr(type(opened.git), "command", lambda _git, _args: ["sleep", "60"])
        slow = start_fold(opened)
    assert slow
    assert not slow.is_over
    assert start_fold(opened) is None
    slow.stop()
    folding = start_fold(opened)
    assert folding
    folding._process.wait(300)
    assert folding.is_over
    assert start_fold(opened) is None
    folding.finish()
    assert len(_pack_files(repo)) == 1
    _many(repo, 2)
    assert fold(opened)
    repo.fsck()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_deleted_is_in_one_younger_pack(repo: GitRepo, seed: int) -> None:
    """Whatever packs share, among each other and with old ones: each deleted one is within one new pack."""
    rng = random.Random(seed)
    payloads = [rng.randbytes(rng.choice([10, 300, 5000])) for _ in range(60)]
    store = pack_store(repo)
    for _ in range(4):
        for _ in range(rng.randrange(2, 12)):
            chosen = rng.sample(payloads, rng.randrange(1, 20))
            store.release([store.write([blob(data) for data in chosen]).name])
        before = ids_of_packs(store.pack_dir)
        times = {name: (store.pack_dir / f"{name}.pack").stat().st_mtime for name in before}
        fold(_open(repo))
        after = ids_of_packs(store.pack_dir)
        new = after.keys() - before.keys()
        for name in before.keys() - after.keys():
            (heir,) = new
            assert before[name] < after[heir]
            assert (store.pack_dir / f"{heir}.pack").stat().st_mtime > times[name]
            assert not any(heir.endswith(trailer) for trailer in _trailers(repo))
        assert set().union(*after.values()) == set().union(*before.values())
    repo.fsck()


def _trailers(repo: GitRepo) -> list[str]:
    return [path.read_bytes()[-20:].hex() for path in _pack_files(repo)]


def test_deltas_and_packs_of_the_users_are_folded_too(repo: GitRepo) -> None:
    """Small packs that git has made, with deltas and a reverse index, come along as they are."""
    for number in range(3):
        repo.write("text", "line\n" * 3000 + f"{number}\n")
        repo.commit()
    repo.git("-c", "pack.writeReverseIndex=true", "repack", "-adq")
    _many(repo, 3, size=3000)
    assert _folded(_open(repo)) == (4, 1)
    assert {path.suffix for path in (objects_dir(repo) / "pack").iterdir()} <= {
        ".pack", ".idx", ".rev",
    }  # fmt: skip
    listing = repo.git("verify-pack", "-v", str(_pack_files(repo)[0].with_suffix(".idx")))
    assert [line for line in listing.splitlines() if len(line.split()) == 7]
    repo.fsck()


def test_one_pack_that_holds_all_of_the_others_is_left_alone(repo: GitRepo) -> None:
    """A copy of it would be no better, and the others could be what somebody relies on."""
    store = pack_store(repo)
    objects = [blob(noise(300, number)) for number in range(3)]
    store.release([store.write(chosen).name for chosen in (objects, objects[:2], objects[2:])])
    before = _pack_files(repo)
    assert not fold(_open(repo))
    assert _pack_files(repo) == before
    _many(repo, 1, size=400)
    assert not fold(_open(repo)) or len(_pack_files(repo)) < 4


def _small(*sizes: int, index_size: int = 1100) -> list[_SmallPack]:
    return [_SmallPack(f"pack-{n:05}", size, index_size, 0.0) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([], 0),
        ([5], 0),
        ([5, 5], 2),
        ([1, 5], 0),
        ([1, 3, 9, 30], 0),
        ([1, 1, 3, 9, 30], 2),
        ([1, 5, 100, 100, 300], 4),
        ([100 << 20] * 9, 2),
        ([1] * 10_000, 500),
    ],
)
def test_which_packs_are_folded(sizes: list[int], chosen: int) -> None:
    """The smallest up to the last that is no larger than all before it; what one fold copies is bounded."""
    assert _choose(_small(*sizes)) == _small(*sizes)[:chosen]
    assert len(_choose(_small(*[5] * 9, index_size=1 << 20))) == 4


def test_an_object_is_copied_a_few_times_only(repo: GitRepo) -> None:
    """Folding after each few packs copies each byte a number of times that grows like a logarithm."""
    copied, sizes = 0, list[int]()
    for _ in range(2000):
        sizes = [*sizes, 1]
        if len(sizes) > FOLD_BEYOND and (chosen := _choose(_small(*sorted(sizes)))):
            total = sum(pack.size for pack in chosen)
            copied += total
            sizes = [*sorted(sizes)[len(chosen) :], total]
    assert len(sizes) <= FOLD_BEYOND
    assert copied < 2000 * 11
    assert repo.path.exists()


def test_packs_of_the_users_multi_pack_index_are_left_alone(repo: GitRepo) -> None:
    """They are the user's maintenance's; ours are folded beside them, and the index stays right."""
    indexed = _many(repo, 3)
    repo.git("multi-pack-index", "write")
    before = _pack_files(repo)
    assert not fold(_open(repo))
    others = _many(repo, 3, size=400)
    assert _folded(_open(repo)) == (3, 1)
    assert set(before) < set(_pack_files(repo))
    repo.git("multi-pack-index", "verify")
    assert all(oid in PackReader(objects_dir(repo)) for oid in [*indexed, *others])
    repo.fsck()


def test_a_multi_pack_index_that_names_gone_packs_is_removed(repo: GitRepo) -> None:
    """It would make `git fsck` complain; its bitmap and reverse index go with it."""
    for run in range(3):
        publish(repo, f"refs/runs/F/{run}", [b"%d" % run])
    repo.git("multi-pack-index", "write")
    multi = objects_dir(repo) / "pack" / "multi-pack-index"
    for suffix in (".bitmap", ".rev"):
        multi.with_name(f"multi-pack-index-{'1' * 40}{suffix}").write_bytes(b"")
    gone = _many(repo, 1, size=50)
    repo.git("multi-pack-index", "write")
    path = PackReader(objects_dir(repo)).home(gone[0])
    assert path
    path.with_suffix(".idx").unlink()
    path.unlink()
    _many(repo, 3)
    assert fold(_open(repo))
    assert len(_pack_files(repo)) == 1
    assert not list(multi.parent.glob("multi-pack-index*"))
    repo.fsck()


@pytest.mark.parametrize("damage", ["chain", "kind", "cut", "table"])
def test_beside_a_multi_pack_index_that_cannot_be_read_nothing_is_folded(
    repo: GitRepo, damage: str
) -> None:
    """A chain of them, a newer version, a damaged one: which packs it names is not known."""
    _many(repo, 3)
    repo.git("multi-pack-index", "write")
    _many(repo, 3, size=400)
    multi = objects_dir(repo) / "pack" / "multi-pack-index"
    data = multi.read_bytes()
    multi.unlink()
    if damage == "chain":
        (multi.parent / "multi-pack-index.d").mkdir()
    else:
        broken = {"kind": b"MIDX\x02" + data[5:], "cut": data[:100], "table": data[:20]}
        multi.write_bytes(broken[damage])
    before = _pack_files(repo)
    assert not fold(_open(repo))
    assert _pack_files(repo) == before


@pytest.mark.parametrize("mark", [".keep", ".promisor", ".mtimes", ".bitmap"])
def test_packs_that_are_marked_meanwhile_stay(repo: GitRepo, mark: str) -> None:
    """An input that somebody has begun to keep while git copied it is not deleted."""
    _many(repo, 5)
    marked = _pack_files(repo)[0]
    folding = start_fold(_open(repo))
    assert folding
    marked.with_suffix(mark).write_bytes(b"")
    folding.finish()
    assert len(_pack_files(repo)) == 2
    assert marked.exists()
    assert marked.with_suffix(".idx").exists()


def test_packs_that_come_into_a_multi_pack_index_meanwhile_stay(repo: GitRepo) -> None:
    """Deleting them would leave an index that points nowhere."""
    _many(repo, 5)
    before = _pack_files(repo)
    folding = start_fold(_open(repo))
    assert folding
    repo.git("multi-pack-index", "write")
    folding.finish()
    assert set(before) < set(_pack_files(repo))
    repo.git("multi-pack-index", "verify")


def _gc(repo: GitRepo, pid: int) -> Path:
    return repo.write(".git/gc.pid", f"{pid} {os.uname().nodename}")


def _maintenance(repo: GitRepo, _pid: int) -> Path:
    return repo.write(".git/objects/maintenance.lock", "")


@pytest.mark.parametrize("begin", [_gc, _maintenance])
def test_beside_gits_own_housekeeping(repo: GitRepo, begin: Callable[[GitRepo, int], Path]) -> None:
    """No fold begins, and one that began before deletes nothing; the next one takes what was left."""
    _many(repo, 5)
    opened = _open(repo)
    begun = begin(repo, os.getpid())
    assert not fold(opened)
    begun.unlink()
    folding = start_fold(opened)
    assert folding
    begin(repo, os.getpid())
    folding.finish()
    assert len(_foldable(opened)) == 6
    begun.unlink()
    _many(repo, 3, size=600)
    assert _folded(opened) == (9, 1)
    repo.fsck()


def test_housekeeping_that_was_killed_does_not_stop_us(repo: GitRepo) -> None:
    """A dead process's gc.pid, and a lock that is hours old, are believed by nobody."""
    _many(repo, 5)
    child = subprocess.Popen(["true"])
    child.wait()
    _gc(repo, child.pid)
    os.utime(_maintenance(repo, 0), (time.time() - 7 * 3600,) * 2)
    assert _folded(_open(repo)) == (5, 1)


def _instead(monkeypatch: pytest.MonkeyPatch, repo: Repository, *command: str) -> None:
    assert repo.settings  # which git is asked for only once
    monkeypatch.setattr(type(repo.git), "command", lambda _git, _args: list(command))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("false",), "status 1"),
        (("sh", "-c", "echo fatal: no room >&2; exit 128"), "no room"),
        (("sh", "-c", "echo a; echo b"), "status 0"),
        (("no-such-program",), "not installed"),
    ],
)
def test_a_git_that_fails_costs_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    """All packs stay, no temporary file does, and the next fold may begin."""
    _many(repo, 5)
    before = _pack_files(repo)
    opened = _open(repo)
    with monkeypatch.context() as patch:
        _instead(patch, opened, *command)
        with pytest.raises(RepositoryError, match=words):
            fold(opened)
    assert _pack_files(repo) == before
    assert list(opened.packs.incoming.iterdir()) == []
    assert _folded(opened) == (5, 1)


def test_a_fold_that_takes_too_long_is_given_up(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then git is killed, and nothing is changed."""
    _many(repo, 5)
    opened = _open(repo)
    monkeypatch.setattr(maintenance, "FOLD_SECONDS", 0.1)
    _instead(monkeypatch, opened, "sleep", "600")
    begun = time.monotonic()
    with pytest.raises(RepositoryError, match="not done after"):
        fold(opened)
    assert time.monotonic() - begun < 300
    assert len(_pack_files(repo)) == 5


def test_a_pack_that_lacks_an_object_replaces_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever git says: an index that lacks an id is not published."""
    _many(repo, 5)
    before = _pack_files(repo)
    opened = _open(repo)
    command = opened.git.command
    monkeypatch.setattr(
        type(opened.git),
        "command",
        lambda _git, args: ["sh", "-c", 'head -n -1 | "$@"', "sh", *command(args)],
    )
    with pytest.raises(RepositoryError, match="left out objects"):
        fold(opened)
    assert _pack_files(repo) == before
    assert list(opened.packs.incoming.iterdir()) == []


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_an_input_that_vanishes(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, is_elsewhere: bool
) -> None:
    """Somebody took it after it was chosen: git finds its objects in another pack, or the fold fails."""
    _many(repo, 5)
    victim = _pack_files(repo)[2]
    if is_elsewhere:
        copy = victim.with_name(f"pack-{'1' * 40}.pack")
        for suffix in (".pack", ".idx", ".keep"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(victim.with_suffix(suffix), copy.with_suffix(suffix))
        copy.with_suffix(".keep").write_bytes(b"")
    opened = _open(repo)
    start = opened.git.start

    def vanish(_git: object, *args: str, **options: Any) -> Any:
        victim.with_suffix(".idx").unlink()
        victim.unlink()
        return start(*args, **options)

    monkeypatch.setattr(type(opened.git), "start", vanish)
    if is_elsewhere:
        assert _folded(opened) == (5, 1)
        assert len(_pack_files(repo)) == 2
    else:
        with pytest.raises(RepositoryError, match="pack-objects"):
            fold(opened)
        assert len(_pack_files(repo)) == 4
    assert list(opened.packs.incoming.iterdir()) == []


def test_everything_is_durable_before_an_input_goes(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are fsynced, then named, the index last; then the directory; then inputs go, the index first."""
    repo.git("config", "runs.durability", "fast")
    _many(repo, 2)
    order: list[str] = []
    real_fsync, real_rename, real_unlink = os.fsync, Path.rename, Path.unlink

    def fsync(fd: int) -> None:
        order.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().suffix)
        real_fsync(fd)

    def rename(path: Path, target: Path) -> Path:
        order.append("rename " + path.suffix)
        return real_rename(path, target)

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        order.append("unlink " + path.suffix)
        real_unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert fold(_open(repo))
    assert [step for step in order if not step.endswith(".rev")] == [
        "fsync .pack", "fsync .idx", "rename .pack", "rename .idx", "fsync ",
        "unlink .idx", "unlink .pack", "unlink .idx", "unlink .pack",
    ]  # fmt: skip


def test_payloads_are_not_searched_for_deltas(repo: GitRepo) -> None:
    """With the line in info/attributes, a repack makes no deltas of payloads; other files get theirs."""
    for place in ("steps/train/1/blake3", "other"):
        base = noise(20_000, len(place))
        for number in range(4):
            repo.write(f"{place}/{number}", base + b"%d" % number + noise(200, number))
    repo.commit()
    exempt_from_deltas(_open(repo), PAYLOAD_PATTERN)
    repo.git("repack", "-adfq")
    listing = repo.git("verify-pack", "-v", str(_pack_files(repo)[0].with_suffix(".idx")))
    deltas = {line.split()[0] for line in listing.splitlines() if len(line.split()) == 7}
    payloads, others = (
        {repo.git("rev-parse", f"HEAD:{place}/{number}") for number in range(4)}
        for place in ("steps/train/1/blake3", "other")
    )
    assert not deltas & payloads
    assert deltas & others


@pytest.mark.parametrize("text", [None, "", "*.png binary\n", "*.png binary"])
def test_the_users_attributes_stay(repo: GitRepo, text: str | None) -> None:
    """Lines are added once, behind what is there."""
    path = repo.path / ".git" / "info" / "attributes"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    for _ in range(2):
        exempt_from_deltas(_open(repo), PAYLOAD_PATTERN)
    kept = (text or "").splitlines()
    assert path.read_text() == "".join(f"{line}\n" for line in [*kept, "steps/*/*/blake3/* -delta"])


def _open_files(place: Path) -> list[str]:
    links = [it for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]
    return [text for it in links if (text := str(it.readlink())).startswith(str(place))]


def test_the_places_of_a_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test may let a process die: each is passed, in the order of the protocol; nothing is left open."""
    passed: list[str] = []
    monkeypatch.setattr(maintenance, "reached", passed.append)
    _many(repo, 3)
    repository = _open(repo)
    assert fold(repository)
    names = ("written", "checked", "visible", "durable")
    assert passed[:4] == [f"fold.{name}" for name in names]
    assert {*passed[4:]} == {"fold.deleting"}
    assert _open_files(repository.state_dir) == []
    assert [*repository.packs.incoming.iterdir()] == []


def test_a_disk_that_fails_a_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where; the lock is free and all packs are there."""
    _many(repo, 3)
    repository = _open(repo)
    before = _pack_files(repo)

    def fails(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "sync_file", fails)
        with pytest.raises(
            RepositoryError, match=r"cannot fold packs: .*/objects/pack: Input/output error"
        ):
            fold(repository)
    assert _pack_files(repo) == before
    assert _open_files(repository.state_dir) == []
    assert fold(repository)


def test_a_fold_that_can_not_begin(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its place nor its lock stays."""
    _many(repo, 3)
    repository = _open(repo)

    def fails(*_: object, **__: object) -> None:
        raise RepositoryError("git can't be started")

    monkeypatch.setattr(maintenance.Folding, "_start", fails)
    with pytest.raises(RepositoryError, match="can't be started"):
        start_fold(repository)
    assert [*repository.packs.incoming.iterdir()] == []
    assert _open_files(repository.state_dir) == []


def test_the_lock_of_folds(repo: GitRepo) -> None:
    """One process holds it; who does not get it keeps nothing open, and where it can't be made that is told."""
    repository = _open(repo)
    first = fold_lock(repository)
    assert first is not None
    assert fold_lock(repository) is None
    path = repository.state_dir / "fold.lock"
    assert len(_open_files(path)) == 1
    os.close(first)
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryError, match=r"cannot lock .*fold\.lock: "):
        fold_lock(repository)


@pytest.mark.parametrize(
    ("code", "out", "err", "message"),
    [
        (1, b"12\n", b"fatal: no\n", "no"), (0, b"", b"", "status 0"), (0, b"12\n34\n", b"", "status 0"),
        (128, b"", b"", "status 128"), (0, b"12\n", b"warning\n", None),
    ],
)  # fmt: skip
def test_what_git_says_of_a_pack_it_has_written(
    code: int, out: bytes, err: bytes, message: str | None
) -> None:
    """One digest, and success; anything else is an error."""
    if message is None:
        assert maintenance._digest(code, out, err) == "12"
        return
    with pytest.raises(RepositoryError, match=f"^git pack-objects: {message}$"):
        maintenance._digest(code, out, err)


def test_a_fold_has_limits() -> None:
    """Of bytes and of objects: what is beyond waits for the next one."""
    for size, index in ((LARGE_PACK - 1, 1), (1, LARGE_INDEX - 1)):
        packs = [_SmallPack(f"p{number}", size, index, 0.0) for number in range(5)]
        assert len(_choose(packs)) == 2
    half = [_SmallPack(f"p{number}", LARGE_PACK // 2, LARGE_INDEX // 2, 0.0) for number in range(9)]
    assert len(_choose(half)) == 4


@pytest.fixture
def three(repo: GitRepo) -> tuple[Repository, list[list[Oid]], list[str]]:
    """Three packs of two blobs each, which are nobody's; their ids and names."""
    store = pack_store(repo)
    packs = [store.write([blob(noise(500, 2 * n)), blob(noise(500, 2 * n + 1))]) for n in range(3)]
    store.release(pack.name for pack in packs)
    for pack in packs:
        os.utime(store.pack_dir / f"{pack.name}.pack", (1e9, 1e9))
    return _open(repo), [list(pack.oids) for pack in packs], [pack.name for pack in packs]


def test_a_rewrite_leaves_out_some_objects(
    three: tuple[Repository, list[list[Oid]], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packs that hold them go, once the new one is on the disk and kept; others stay as they are."""
    repository, oids, names = three
    passed: list[str] = []
    synced: list[str] = []
    monkeypatch.setattr(maintenance, "reached", passed.append)
    monkeypatch.setattr(maintenance, "sync_directory", lambda path: synced.append(path.name))
    packs = repository.packs.pack_dir
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, [oids[0][0], oids[1][1], Oid(bytes(20))])
    assert (rewrite.inputs, rewrite.without) == (sorted(names[:2]), {oids[0][0], oids[1][1]})
    assert passed == ["free.written"]
    assert {it.stem for it in packs.iterdir()} == {*names}
    (packs / f"{names[0]}.rev").touch()
    rewrite.delete(lambda path: path.stem == names[0])
    (keep,) = packs.glob("*.keep")
    assert keep.with_suffix(".pack").stat().st_mtime == 1e9 + 1
    assert passed[1:] == ["free.durable", *["free.deleting"] * len(PACK_FILES)]
    assert synced == ["pack"]
    assert {it.stem for it in packs.iterdir()} == {*names[1:], keep.stem}
    rewrite.delete(lambda _: True)
    rewrite.close()
    assert {it.stem for it in packs.iterdir()} == {names[2], keep.stem}
    assert not keep.exists()
    assert [*repository.packs.incoming.iterdir()] == []
    reader = PackReader(repository.objects_dir)
    kept = [oids[0][1], oids[1][0], *oids[2]]
    assert [oid in reader for oid in kept] == [True] * 4
    assert oids[0][0] not in reader
    assert oids[1][1] not in reader
    os.fstat(lock)
    os.close(lock)


@pytest.mark.parametrize("case", ["kept", "closed", "all", "none"])
def test_what_a_rewrite_does_not_delete(
    three: tuple[Repository, list[list[Oid]], list[str]], case: str
) -> None:
    """A pack that somebody keeps by now; of nothing nothing is written, and where nothing goes nothing new comes."""
    repository, oids, names = three
    packs = repository.packs.pack_dir
    lock = fold_lock(repository)
    assert lock is not None
    without = {"all": oids[0], "none": [Oid(bytes(20))]}.get(case, oids[0][:1])
    rewrite = Rewrite(repository, lock, without)
    if case == "kept":
        (packs / f"{names[0]}.keep").touch()
    if case != "closed":
        rewrite.delete(lambda _: True)
    rewrite.close()
    assert {it.stem for it in packs.iterdir()} == {*names[case == "all" :]}
    assert [*repository.packs.incoming.iterdir()] == []
    os.close(lock)


@pytest.mark.parametrize("case", ["plain", "chain", "unrelated"])
def test_a_multi_pack_index_goes_before_its_packs(
    repo: GitRepo, three: tuple[Repository, list[list[Oid]], list[str]],
    monkeypatch: pytest.MonkeyPatch, case: str,
) -> None:  # fmt: skip
    """With all that belongs to it, and on the disk; one that speaks of others stays."""
    repository, oids, names = three
    packs = repository.packs.pack_dir
    if case == "unrelated":
        for path in packs.glob(f"{names[0]}.*"):
            path.rename(repo.path / path.name)
    repo.git("multi-pack-index", "write")
    if case == "unrelated":
        for path in repo.path.glob(f"{names[0]}.*"):
            path.rename(packs / path.name)
    (packs / "multi-pack-index-12.bitmap").touch()
    chain = packs / "multi-pack-index.d"
    if case == "chain":
        (packs / "multi-pack-index").unlink()
        chain.mkdir()
        (chain / "multi-pack-index-chain").touch()
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, oids[0][:1])
    synced: list[tuple[str, bool]] = []

    def note(path: Path) -> None:
        synced.append((path.name, (packs / f"{names[0]}.idx").exists()))

    monkeypatch.setattr(maintenance, "sync_directory", note)
    rewrite.delete(lambda _: True)
    rewrite.close()
    os.close(lock)
    left = {it.name for it in packs.glob("multi-pack-index*")}
    assert left == (
        {"multi-pack-index", "multi-pack-index-12.bitmap"} if case == "unrelated" else set()
    )
    early = [("multi-pack-index.d", True)] * (case == "chain") + [("pack", True)] * (
        case != "unrelated"
    )
    assert synced == [*early, ("pack", False)]


def test_a_disk_that_fails_a_rewrite(
    three: tuple[Repository, list[list[Oid]], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has changed, and the error says where and what to do."""
    repository, oids, names = three
    lock = fold_lock(repository)
    assert lock is not None

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", fails)
    with pytest.raises(
        RepositoryError, match=r"cannot rewrite packs: .*/pack: No space left"
    ) as caught:
        Rewrite(repository, lock, oids[0][:1])
    assert "free some space" in str(caught.value.hint)
    assert {it.stem for it in repository.packs.pack_dir.iterdir()} == {*names}
    assert [*repository.packs.incoming.iterdir()] == []
    os.close(lock)
