"""Folding packs, and payloads without deltas."""

from __future__ import annotations

import fcntl
import random
import shutil

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import (
    _choose,
    _SmallPack,
    exempt_from_deltas,
    fold,
    start_fold,
)
from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.limits import FOLD_BEYOND, LARGE_INDEX, LARGE_PACK
from gitflowrun.runs.layout import PAYLOAD_PATTERNS
from gitflowrun.runs.trees import make_object
from tests.git.maintenance.small_packs import folded, many, pack_files
from tests.helpers.packs import blob, noise, objects_dir, pack_store, publish
from tests.helpers.repacks import ids_of_packs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


def test_few_packs_are_left_alone(repo: GitRepo) -> None:
    """Up to the limit nothing is folded."""
    many(repo, FOLD_BEYOND)
    before = pack_files(repo)
    assert not fold(open_repo(repo), beyond=FOLD_BEYOND)
    assert pack_files(repo) == before


def test_many_packs_become_few_and_nothing_is_dropped(repo: GitRepo) -> None:
    """Every object stays, referenced or not; readers that were open before find all of them."""
    referenced = [publish(repo, f"refs/runs/F/{run}", [b"%d" % run])[0] for run in range(10)]
    oids = many(repo, 40)
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[0]) == noise(300, 0)
    assert len(pack_files(repo)) == 70
    assert fold(open_repo(repo), beyond=FOLD_BEYOND)
    assert len(pack_files(repo)) <= 3
    assert not (objects_dir(repo) / "pack" / "multi-pack-index").exists()
    assert [reader.blob(oid) for oid in oids] == [noise(300, number) for number in range(40)]
    assert all(oid in reader for oid in referenced)
    repo.fsck()


def test_a_directory_that_grows_by_a_row_at_a_time_takes_no_more_than_its_rows(
    repo: GitRepo,
) -> None:
    """Each commit of a long run has the same tree with one row more: folded, they are deltas of one another."""
    exempt_from_deltas(open_repo(repo), *PAYLOAD_PATTERNS)
    store = pack_store(repo)
    rows = [TreeEntry(Mode.BLOB, b"%04d" % row, Oid(noise(20, row))) for row in range(400)]
    trees = []
    for count in range(300, 340):
        oid, tree = make_object(ObjectType.TREE, tree_bytes(rows[:count]))
        pack = store.write([tree, blob(noise(2_000, count)), blob(noise(2_000, count) + b"more")])
        store.release([pack.name])
        trees.append((oid, tree.data))
    before = sum(path.stat().st_size for path in pack_files(repo))
    assert fold(open_repo(repo), beyond=FOLD_BEYOND)
    after = sum(path.stat().st_size for path in pack_files(repo))
    assert before - after > 39 * 300 * 20 > after - 80 * 2_000
    reader = PackReader(objects_dir(repo))
    assert [reader.read(oid, 1 << 20)[1] for oid, _ in trees] == [data for _, data in trees]
    indexes = [str(path) for path in (objects_dir(repo) / "pack").glob("*.idx")]
    rows_of = repo.git("verify-pack", "-v", *indexes)
    assert {row.split()[1] for row in rows_of.splitlines() if len(row.split()) == 7} == {"tree"}


def test_kept_packs_are_left_alone(repo: GitRepo) -> None:
    """A pack whose run is not published yet is not folded, and does not count."""
    store = pack_store(repo)
    kept = [store.write([blob(noise(100, 1000 + number))]) for number in range(40)]
    assert not fold(open_repo(repo), beyond=FOLD_BEYOND)
    many(repo, 40)
    assert fold(open_repo(repo), beyond=FOLD_BEYOND)
    names = {path.stem for path in pack_files(repo)}
    assert {pack.name for pack in kept} <= names
    repo.fsck()


def test_large_packs_are_left_alone(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes are not copied to save a lookup."""
    monkeypatch.setattr(maintenance, "LARGE_PACK", 50_000)
    store = pack_store(repo)
    large = store.write([blob(noise(60_000, 7))])
    store.release([large.name])
    many(repo, 40)
    assert fold(open_repo(repo), beyond=FOLD_BEYOND)
    assert len(pack_files(repo)) == 2
    assert large.name in {path.stem for path in pack_files(repo)}
    assert PackReader(objects_dir(repo)).blob(large.oids[0]) == noise(60_000, 7)
    repo.fsck()


def test_only_one_process_folds(repo: GitRepo) -> None:
    """Whoever comes second leaves it to the first; so does one who finds a gc running."""
    many(repo, 3)
    opened = open_repo(repo)
    with (opened.state() / "fold.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not fold(opened)
    pid = repo.write(".git/gc.pid", "1 host")
    assert not fold(opened)
    pid.unlink()
    assert folded(opened) == (3, 1)
    assert not fold(opened)


def test_partial_clones_are_not_folded(repo: GitRepo) -> None:
    """Packs of promised objects must stay marked as such; and none is deleted where objects are precious."""
    many(repo, 3)
    repo.git("config", "extensions.preciousObjects", "true")
    assert not fold(open_repo(repo))
    repo.git("config", "--unset", "extensions.preciousObjects")
    pack_files(repo)[0].with_suffix(".promisor").write_text("")
    assert not fold(open_repo(repo))


def test_a_fold_in_the_background_keeps_others_away(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a fold is finished nobody else begins one; then anybody may. It is over when git is, and not before."""
    many(repo, 40)
    opened = open_repo(repo)
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
    assert len(pack_files(repo)) == 1
    many(repo, 2)
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
        fold(open_repo(repo))
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
    return [path.read_bytes()[-20:].hex() for path in pack_files(repo)]


def test_deltas_and_packs_of_the_users_are_folded_too(repo: GitRepo) -> None:
    """Small packs that git has made, with deltas and a reverse index, come along as they are."""
    for number in range(3):
        repo.write("text", "line\n" * 3000 + f"{number}\n")
        repo.commit()
    repo.git("-c", "pack.writeReverseIndex=true", "repack", "-adq")
    many(repo, 3, size=3000)
    assert folded(open_repo(repo)) == (4, 1)
    assert {path.suffix for path in (objects_dir(repo) / "pack").iterdir()} <= {
        ".pack", ".idx", ".rev",
    }  # fmt: skip
    listing = repo.git("verify-pack", "-v", str(pack_files(repo)[0].with_suffix(".idx")))
    assert [line for line in listing.splitlines() if len(line.split()) == 7]
    repo.fsck()


def test_what_the_users_config_says_of_packs_does_not_matter(repo: GitRepo) -> None:
    """One pack is made, with an index that is read here."""
    many(repo, 3, size=600_000)
    repo.git("config", "pack.packSizeLimit", "1m")
    repo.git("config", "pack.indexVersion", "1")
    assert folded(open_repo(repo)) == (3, 1)


def test_one_pack_that_holds_all_of_the_others_is_left_alone(repo: GitRepo) -> None:
    """A copy of it would be no better, and the others could be what somebody relies on."""
    store = pack_store(repo)
    objects = [blob(noise(300, number)) for number in range(3)]
    store.release([store.write(chosen).name for chosen in (objects, objects[:2], objects[2:])])
    before = pack_files(repo)
    assert not fold(open_repo(repo))
    assert pack_files(repo) == before
    many(repo, 1, size=400)
    assert not fold(open_repo(repo)) or len(pack_files(repo)) < 4


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
    indexed = many(repo, 3)
    repo.git("multi-pack-index", "write")
    before = pack_files(repo)
    assert not fold(open_repo(repo))
    others = many(repo, 3, size=400)
    assert folded(open_repo(repo)) == (3, 1)
    assert set(before) < set(pack_files(repo))
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
    gone = many(repo, 1, size=50)
    repo.git("multi-pack-index", "write")
    path = PackReader(objects_dir(repo)).home(gone[0])
    assert path
    path.with_suffix(".idx").unlink()
    path.unlink()
    many(repo, 3)
    assert fold(open_repo(repo))
    assert len(pack_files(repo)) == 1
    assert not list(multi.parent.glob("multi-pack-index*"))
    repo.fsck()


@pytest.mark.parametrize("mark", [".keep", ".promisor", ".mtimes", ".bitmap"])
def test_packs_that_are_marked_meanwhile_stay(repo: GitRepo, mark: str) -> None:
    """An input that somebody has begun to keep while git copied it is not deleted."""
    many(repo, 5)
    marked = pack_files(repo)[0]
    folding = start_fold(open_repo(repo))
    assert folding
    marked.with_suffix(mark).write_bytes(b"")
    folding.finish()
    assert len(pack_files(repo)) == 2
    assert marked.exists()
    assert marked.with_suffix(".idx").exists()


def test_packs_that_come_into_a_multi_pack_index_meanwhile_stay(repo: GitRepo) -> None:
    """Deleting them would leave an index that points nowhere."""
    many(repo, 5)
    before = pack_files(repo)
    folding = start_fold(open_repo(repo))
    assert folding
    repo.git("multi-pack-index", "write")
    folding.finish()
    assert set(before) < set(pack_files(repo))
    repo.git("multi-pack-index", "verify")


def test_a_multi_pack_index_that_comes_while_packs_go(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names packs that go next, and goes as well."""
    many(repo, 5)
    repository = open_repo(repo)
    multi = repository.packs.pack_dir / "multi-pack-index"
    written: list[bool] = []

    def write(place: str) -> None:
        if place == "fold.deleting" and not written:
            repo.git("multi-pack-index", "write")
            written.append(multi.exists())

    monkeypatch.setattr(maintenance, "reached", write)
    assert fold(repository)
    assert (written, multi.exists()) == ([True], False)
    repo.fsck()


def test_payloads_are_not_searched_for_deltas(repo: GitRepo) -> None:
    """With the lines in info/attributes, a repack makes no deltas of payloads; other files get theirs."""
    places = ("steps/train/1/blake3", "steps/train/1/attempts/0/blake3", "other")
    for place in places:
        base = noise(20_000, len(place))
        for number in range(4):
            repo.write(f"{place}/{number}", base + b"%d" % number + noise(200, number))
    repo.commit()
    exempt_from_deltas(open_repo(repo), *PAYLOAD_PATTERNS)
    repo.git("repack", "-adfq")
    listing = repo.git("verify-pack", "-v", str(pack_files(repo)[0].with_suffix(".idx")))
    deltas = {line.split()[0] for line in listing.splitlines() if len(line.split()) == 7}
    payloads, earlier, others = (
        {repo.git("rev-parse", f"HEAD:{place}/{number}") for number in range(4)} for place in places
    )
    assert not deltas & (payloads | earlier)
    assert deltas & others


@pytest.mark.parametrize("text", [None, "", "*.png binary\n", "*.png binary"])
def test_the_users_attributes_stay(repo: GitRepo, text: str | None) -> None:
    """Lines are added once, behind what is there."""
    path = repo.path / ".git" / "info" / "attributes"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    for _ in range(2):
        exempt_from_deltas(open_repo(repo), *PAYLOAD_PATTERNS)
    kept = (text or "").splitlines()
    added = ["steps/*/*/blake3/* -delta", "steps/*/*/attempts/*/blake3/* -delta"]
    assert path.read_text() == "".join(f"{line}\n" for line in [*kept, *added])


def test_attributes_that_can_not_be_written(repo: GitRepo) -> None:
    """Their place is named; and without packs nothing is folded."""
    (repo.path / ".git/info/attributes").mkdir()
    with pytest.raises(RepositoryError, match=r"cannot write .*info/attributes: Is a directory"):
        exempt_from_deltas(open_repo(repo), *PAYLOAD_PATTERNS)
    shutil.rmtree(objects_dir(repo) / "pack")
    assert not fold(open_repo(repo), beyond=0)


def test_a_fold_has_limits() -> None:
    """Of bytes and of objects: what is beyond waits for the next one."""
    for size, index in ((LARGE_PACK - 1, 1), (1, LARGE_INDEX - 1)):
        packs = [_SmallPack(f"p{number}", size, index, 0.0) for number in range(5)]
        assert len(_choose(packs)) == 2
    half = [_SmallPack(f"p{number}", LARGE_PACK // 2, LARGE_INDEX // 2, 0.0) for number in range(9)]
    assert len(_choose(half)) == 4
