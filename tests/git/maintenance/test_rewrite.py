"""Packs written anew without some objects."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import (
    PACK_FILES,
    Rewrite,
    fold_lock,
)
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.repository import Repository
from tests.git.maintenance.small_packs import refuse_times, watch_git
from tests.helpers.packs import blob, noise, pack_store
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


@pytest.fixture
def three(repo: GitRepo) -> tuple[Repository, list[list[Oid]], list[str]]:
    """Three packs of two blobs each, which are nobody's; their ids and names."""
    store = pack_store(repo)
    packs = [store.write([blob(noise(500, 2 * n)), blob(noise(500, 2 * n + 1))]) for n in range(3)]
    store.release(pack.name for pack in packs)
    for pack in packs:
        os.utime(store.pack_dir / f"{pack.name}.pack", (1e9, 1e9))
    return open_repo(repo), [list(pack.oids) for pack in packs], [pack.name for pack in packs]


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
        if case == "chain":  # git has removed it meanwhile
            (packs / "multi-pack-index-12.bitmap").unlink(missing_ok=True)

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


def test_a_rewrite_is_on_the_disk_before_it_has_a_name(
    three: tuple[Repository, list[list[Oid]], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are synced while nobody waits for them; git is apart and holds the lock of folds."""
    repository, oids, _ = three
    order: list[str] = []
    inherited, apart = watch_git(repository, monkeypatch)
    refuse_times(monkeypatch)
    monkeypatch.setattr(maintenance, "sync_file", lambda path: order.append(path.suffix))
    monkeypatch.setattr(maintenance, "reached", order.append)
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, oids[0][:1])
    assert order == [".pack", ".idx", "free.written"]
    assert inherited == [(lock,)]
    assert apart == [str(rewrite._place)]
    rewrite.delete(lambda _: True)
    rewrite.close()
    reader = PackReader(repository.objects_dir)
    assert [oid in reader for oid in oids[0]] == [False, True]
    os.close(lock)


def test_packs_that_can_not_be_read_are_no_inputs(
    three: tuple[Repository, list[list[Oid]], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with an index that only git reads; one that goes meanwhile has no time to be counted."""
    repository, oids, names = three
    index = repository.packs.pack_dir / f"{names[0]}.idx"
    index.chmod(0o600)
    index.write_bytes(b"junk" * 300)
    choose = Rewrite._choose
    gone = repository.packs.pack_dir / f"{names[1]}.pack"
    stat = Path.stat

    def vanished(path: Path, **options: bool) -> os.stat_result:
        if path == gone:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return stat(path, **options)

    def chosen(rewrite: Rewrite, *args: Any) -> Any:
        yield from choose(rewrite, *args)
        monkeypatch.setattr(Path, "stat", vanished)

    monkeypatch.setattr(Rewrite, "_choose", chosen)
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, [oids[0][0], oids[1][0]])
    assert (rewrite.inputs, rewrite.without) == ([names[1]], {oids[1][0]})
    rewrite.close()
    os.close(lock)


def test_packs_that_change_beside_a_rewrite(
    repo: GitRepo, three: tuple[Repository, list[list[Oid]], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It says so; and where somebody has taken the new pack already, the old ones stay."""
    repository, oids, names = three
    packs = repository.packs
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, oids[0][:1])
    assert rewrite.is_current
    pack_store(repo).write([blob(b"x")])
    assert not rewrite.is_current
    publish = PackStore.publish

    def taken(store: PackStore, written: Path, name: str) -> None:
        publish(store, written, name)
        (packs.pack_dir / f"{name}.idx").unlink()

    monkeypatch.setattr(PackStore, "publish", taken)
    rewrite.delete(lambda _: True)
    rewrite.close()
    os.close(lock)
    assert all((packs.pack_dir / f"{name}.idx").exists() for name in names)


def test_a_multi_pack_index_that_comes_while_packs_go(
    repo: GitRepo, three: tuple[Repository, list[list[Oid]], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It names a pack that goes next, and goes as well."""
    repository, oids, _ = three
    written: list[bool] = []

    def write(place: str) -> None:
        if place == "free.deleting" and not written:
            repo.git("multi-pack-index", "write")
            written.append((repository.packs.pack_dir / "multi-pack-index").exists())

    monkeypatch.setattr(maintenance, "reached", write)
    lock = fold_lock(repository)
    assert lock is not None
    rewrite = Rewrite(repository, lock, [oids[0][0], oids[1][0]])
    rewrite.delete(lambda _: True)
    rewrite.close()
    os.close(lock)
    assert written == [True]
    assert not (repository.packs.pack_dir / "multi-pack-index").exists()


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
