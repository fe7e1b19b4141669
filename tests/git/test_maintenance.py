"""Folding packs, and payloads without deltas."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import FOLD_BEYOND, exempt_from_deltas, fold, start_fold
from gitflowrun.git.objects import Oid
from gitflowrun.git.packfile import PackReader
from gitflowrun.git.repository import Repository
from gitflowrun.store.layout import PAYLOAD_PATTERN
from tests.helpers.packs import blob, noise, objects_dir, pack_store, publish
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


def test_few_packs_are_left_alone(repo: GitRepo) -> None:
    """Up to the limit nothing is folded."""
    _many(repo, FOLD_BEYOND)
    before = _pack_files(repo)
    assert fold(_open(repo), beyond=FOLD_BEYOND) is None
    assert _pack_files(repo) == before


def test_many_packs_become_few_and_nothing_is_dropped(repo: GitRepo) -> None:
    """Every object stays, referenced or not; readers that were open before find all of them."""
    referenced = [publish(repo, f"refs/runs/F/{run}", [b"%d" % run])[0] for run in range(10)]
    oids = _many(repo, 40)
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[0]) == noise(300, 0)
    folded = fold(_open(repo), beyond=FOLD_BEYOND)
    assert folded
    assert folded.before == 70
    assert folded.after == len(_pack_files(repo)) <= 3
    assert (objects_dir(repo) / "pack" / "multi-pack-index").exists()
    assert [reader.blob(oid) for oid in oids] == [noise(300, number) for number in range(40)]
    assert all(oid in reader for oid in referenced)
    repo.fsck()


def test_kept_packs_are_left_alone(repo: GitRepo) -> None:
    """A pack whose run is not published yet is not folded, and does not count."""
    store = pack_store(repo)
    kept = [store.write([blob(noise(100, 1000 + number))]) for number in range(40)]
    assert fold(_open(repo), beyond=FOLD_BEYOND) is None
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
    folded = fold(_open(repo), beyond=FOLD_BEYOND)
    assert folded
    assert folded.after == 1
    assert large.name in {path.stem for path in _pack_files(repo)}
    assert PackReader(objects_dir(repo)).blob(large.oids[0]) == noise(60_000, 7)
    repo.fsck()


def test_only_one_process_folds(repo: GitRepo) -> None:
    """Whoever comes second leaves it to the first; so does one who finds a gc running."""
    _many(repo, 3)
    opened = _open(repo)
    with (opened.state() / "fold.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert fold(opened) is None
    pid = repo.write(".git/gc.pid", "1 host")
    assert fold(opened) is None
    pid.unlink()
    assert fold(opened) == maintenance.Folded(3, 1)
    assert fold(opened) is None


def test_partial_clones_are_not_folded(repo: GitRepo) -> None:
    """Packs of promised objects must stay marked as such."""
    _many(repo, 3)
    _pack_files(repo)[0].with_suffix(".promisor").write_text("")
    assert fold(_open(repo)) is None


def test_a_fold_in_the_background_keeps_others_away(repo: GitRepo) -> None:
    """While git folds nobody else begins to, whatever became of who began it; then anybody may."""
    _many(repo, 40)
    opened = _open(repo)
    folding = start_fold(opened)
    assert folding
    while not folding.is_over:
        assert start_fold(opened) is None or folding.is_over
    folded = folding.finish()
    assert folded.before == 40
    assert folded.after == 1
    _many(repo, 2)
    assert fold(opened)
    repo.fsck()


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
