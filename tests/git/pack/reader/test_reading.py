"""Reading objects wherever git may have put them."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import CorruptRecord, MissingObject, TooLarge
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack import places
from gitflowrun.git.pack.reader import PackReader, object_directories, quarantine
from gitflowrun.git.pack.stream import TooManyOpenFiles, open_source
from gitflowrun.git.repository import Repository
from gitflowrun.limits import ALTERNATES_DEPTH, OPEN_PACKS
from gitflowrun.settings import Durability
from tests.git.pack.reader.made_packs import ABSENT, entry, planted, ref_delta, varint
from tests.helpers.packs import blob, loose_objects, noise, objects_dir, pack_store, publish
from tests.helpers.repos import GitRepo, make_repo, run_program


def _all(repo: GitRepo) -> dict[Oid, tuple[ObjectType, int]]:
    rows = repo.git("cat-file", "--batch-all-objects", "--batch-check").splitlines()
    found = {}
    for row in rows:
        oid, kind, size = row.split()
        found[Oid.from_hex(oid)] = (ObjectType.from_word(kind.encode()), int(size))
    return found


def _check_all(repo: GitRepo, reader: PackReader) -> None:
    for oid, (kind, size) in _all(repo).items():
        found, data = reader.read(oid)
        assert (found, len(data)) == (kind, size)
        assert reader.size(oid) == size
        target = bytearray(size)
        reader.read_into(oid, memoryview(target))
        assert target == data
        assert oid in reader
    for row in reader.small_ones([*_all(repo), ABSENT]):
        assert row[1:] == reader.read(Oid(row[0]))


def _history(repo: GitRepo) -> None:
    """Commits whose files and trees git stores as deltas of one another, and an annotated tag."""
    lines = [f"line {number} of a long file\n" for number in range(2000)]
    for number in range(12):
        lines[number * 7] = f"changed in {number}\n"
        repo.write("long.txt", "".join(lines))
        repo.write(f"dir/file{number}", "x" * number)
        repo.commit(f"change {number}")
    repo.git("tag", "-a", "-m", "the last one", "v1")


def test_loose_objects(repo: GitRepo) -> None:
    """What git writes one by one is read."""
    _history(repo)
    repo.write("large", noise(300_000))
    repo.commit()
    assert loose_objects(repo)
    _check_all(repo, PackReader(objects_dir(repo)))
    target = bytearray(300_000)
    loose = places.Loose(max(loose_objects(repo), key=lambda path: path.stat().st_size))
    assert loose.read_into(memoryview(target)) == 300_000
    assert target == noise(300_000)


def test_what_git_writes_apart(tmp_path: Path) -> None:
    """It sees the repository's objects wherever they lie, and adds none to them."""
    repo = make_repo(tmp_path / 'a:b "c"\n\\d')
    head = repo.git("rev-parse", "HEAD")
    before = loose_objects(repo)
    place = tmp_path / "apart"
    place.mkdir()
    apart = {**os.environ, **quarantine(place, objects_dir(repo))}
    done = run_program(["git", "commit-tree", "-m", "x", f"{head}^{{tree}}"], repo.path, env=apart)
    assert done.code == 0, done.err
    assert loose_objects(repo) == before
    assert (place / done.out[:2] / done.out.strip()[2:]).exists()


@pytest.mark.parametrize("options", [["--delta-base-offset"], ["--no-delta-base-offset"]])
def test_deltas(repo: GitRepo, options: list[str]) -> None:
    """Chains of both kinds of deltas are resolved."""
    _history(repo)
    repo.git("config", "repack.useDeltaBaseOffset", "true" if "no" not in options[0] else "false")
    repo.git("repack", "-adfq", "--depth=50", "--window=50")
    assert "chain length" in repo.git(
        "verify-pack", "-v", *map(str, objects_dir(repo).glob("pack/*.idx"))
    )
    repo.git("prune-packed")
    assert not loose_objects(repo)
    _check_all(repo, PackReader(objects_dir(repo)))


def test_small_objects_share_their_bases(repo: GitRepo) -> None:
    """Many small deltas: all are right in any order, and where the base of a chain is damaged none is claimed."""
    for number in range(400):
        repo.write(f"many/{number}", f"{number} " + "same " * 200)
    repo.commit("many")
    repo.git("repack", "-adfq", "--depth=50", "--window=50")
    repo.git("prune-packed")
    reader = PackReader(objects_dir(repo))
    _check_all(repo, reader)
    small = {oid for oid, (_, size) in _all(repo).items() if size < 4096}
    assert {oid for oid, _, _ in reader.small_ones(small)} == small
    for number in reversed(range(400)):
        content = b"%d " % number + b"same " * 200
        assert reader.blob(hash_object(ObjectType.BLOB, content)) == content
    (pack,) = objects_dir(repo).glob("pack/*.pack")
    rows = repo.git("verify-pack", "-v", str(pack.with_suffix(".idx"))).splitlines()
    chains = [row.split() for row in rows if " blob " in row]
    base = next(row[6] for row in chains if len(row) > 6)
    offset = next(int(row[4]) for row in chains if row[0] == base)
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[offset + 6] ^= 0xFF
    pack.write_bytes(data)
    broken = PackReader(objects_dir(repo))
    below = [Oid.from_hex(row[0]) for row in chains if row[6:] == [base] or row[0] == base]
    assert list(broken.small_ones(below)) == []
    for oid in below:
        with pytest.raises(CorruptRecord):
            broken.read(oid)


def test_alternates(repo: GitRepo, tmp_path: Path) -> None:
    """Packed and loose objects of other object directories are read, through any number of steps."""
    _history(repo)
    repo.git("repack", "-adq")
    repo.write("loose", "loose in the first")
    repo.commit()
    repo.git("clone", "-q", "--shared", str(repo.path), str(tmp_path / "second"))
    repo.git("clone", "-q", "--shared", str(tmp_path / "second"), str(tmp_path / "third"))
    third = GitRepo(tmp_path / "third")
    assert len(object_directories(objects_dir(third))) == 3
    _check_all(third, PackReader(objects_dir(third)))


def test_alternates_may_be_relative_quoted_commented_and_circular(tmp_path: Path) -> None:
    """The forms that git accepts in info/alternates."""
    one, two, three = (tmp_path / name / "objects" for name in ("one", "two", "t\nhree"))
    for path in (one, two, three):
        (path / "info").mkdir(parents=True)
    (one / "info" / "alternates").write_text('# c\n../../two/objects\n\n"../../t\\nhree/objects"\n')
    (two / "info" / "alternates").write_text(f"{one}\n")
    found = [path.resolve() for path in object_directories(one)]
    assert sorted(set(found)) == sorted([one, two, three])


def test_alternates_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps as git goes, and so many of them; what comes back to where it was is no step."""
    chain = [tmp_path / str(number) / "objects" for number in range(ALTERNATES_DEPTH + 3)]
    for path, after in pairwise([*chain, chain[0]]):
        (path / "info").mkdir(parents=True)
        (path / "info" / "alternates").write_text(f"{after}\n{path}\n")
    assert object_directories(chain[0]) == chain[: ALTERNATES_DEPTH + 1]
    assert object_directories(chain[-1]) == [chain[-1], *chain[:ALTERNATES_DEPTH]]
    monkeypatch.setattr("gitflowrun.git.pack.reader.MAX_ALTERNATES", 2)
    assert object_directories(chain[0]) == chain[:3]


@pytest.mark.parametrize(
    "line",
    [b'"../\\x"', b'"\\400/x"', b'"\\u1234"', b"/a\0b", b'"abc', b"/" + b"a" * 5000, b"/etc/passwd", b"\xff"],
)  # fmt: skip
def test_what_is_no_alternate_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """As git does: whatever is written there, and however often; the next line counts."""
    one, two = (tmp_path / name / "objects" for name in ("one", "two"))
    for path in (one, two):
        (path / "info").mkdir(parents=True)
    (one / "info" / "alternates").write_bytes((line + b"\n") * 10 + os.fsencode(two) + b"\n")
    assert object_directories(one) == [one, two]
    assert ABSENT not in PackReader(one)


def test_a_pack_that_appears_later_is_seen(repo: GitRepo) -> None:
    """A reader opened before a pack was published finds its objects."""
    reader = PackReader(objects_dir(repo))
    assert ABSENT not in reader
    store = pack_store(repo)
    for number in range(30):
        pack = store.write([blob(b"later %d" % number)])
        assert reader.blob(pack.oids[0]) == b"later %d" % number
    loose = repo.git("hash-object", "-w", "--stdin", stdin=b"loose later")
    assert reader.blob(Oid.from_hex(loose)) == b"loose later"


def test_a_repack_while_we_read_changes_nothing(repo: GitRepo) -> None:
    """Packs removed by somebody's repack, opened before or not, are replaced by the new ones."""
    oids = [
        publish(repo, f"refs/runs/F/{number}", [noise(70_000, number)])[0] for number in range(6)
    ]
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[0]) == noise(70_000, 0)
    repo.git("repack", "-adq")
    assert [reader.blob(oid) for oid in oids] == [noise(70_000, number) for number in range(6)]
    repo.git("repack", "-adfq")
    assert all(oid in reader for oid in oids)


@pytest.mark.slow
def test_reading_through_a_storm_of_repacks(repo: GitRepo) -> None:
    """Readers in threads never miss an object while packs come and go."""
    oids = [publish(repo, f"refs/runs/F/{number}", [noise(2000, number)])[0] for number in range(8)]
    reader = PackReader(objects_dir(repo))
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            for number, oid in enumerate(oids):
                try:
                    assert reader.blob(oid) == noise(2000, number)
                except BaseException as error:  # noqa: BLE001  (reported below)
                    failures.append(error)
                    return

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(6):
        repo.git("repack", "-adfq")
        publish(repo, f"refs/runs/G/{round_}", [b"more %d" % round_])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_objects_that_gc_took_are_not_claimed(repo: GitRepo) -> None:
    """`in` and `home` tell of this moment, also when a mapping of the old pack is still open."""
    store = pack_store(repo)
    pack = store.write([blob(noise(100_000))])
    reader = PackReader(objects_dir(repo))
    assert reader.home(pack.oids[0]) == store.pack_dir / f"{pack.name}.pack"
    assert reader.blob(pack.oids[0])
    store.release([pack.name])
    repo.git("repack", "-adq")
    repo.git("prune", "--expire=now")
    assert pack.oids[0] not in reader
    assert reader.home(pack.oids[0]) is None
    with pytest.raises(KeyError):
        reader.read(pack.oids[0])


def test_the_fallback_is_asked_last(repo: GitRepo) -> None:
    """Only objects found nowhere go to the fallback, whose KeyError passes through; what it reads is checked."""
    promised, asked = hash_object(ObjectType.BLOB, b"promised"), []

    def fallback(oid: Oid, _limit: int) -> tuple[ObjectType, bytes]:
        asked.append(oid)
        if oid not in (ABSENT, promised):
            raise KeyError(oid)
        return ObjectType.BLOB, b"promised"

    reader = PackReader(objects_dir(repo), fallback)
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    assert reader.read(head)[0] is ObjectType.COMMIT
    assert asked == []
    assert reader.blob(promised) == b"promised"
    assert reader.size(promised) == 8
    target = bytearray(8)
    reader.read_into(promised, memoryview(target))
    assert target == b"promised"
    with pytest.raises(CorruptRecord):
        reader.read_into(promised, memoryview(bytearray(7)))
    with pytest.raises(CorruptRecord, match="another id"):
        reader.read(ABSENT)
    with pytest.raises(KeyError):
        reader.read(Oid(bytes(20)))
    assert ABSENT not in reader


def test_typed_targets_are_filled(repo: GitRepo) -> None:
    """A buffer of doubles is filled as its bytes."""
    np = pytest.importorskip("numpy")
    array = np.random.default_rng(1).random((400, 500))
    pack = pack_store(repo).write([blob(memoryview(array).cast("B"))])
    out = np.empty_like(array)
    PackReader(objects_dir(repo)).read_into(pack.oids[0], memoryview(out))
    assert (out == array).all()


def test_small_objects_of_one_pack_are_read_the_short_way(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once one of them was read no other place is looked at, whoever reads them."""
    oids = pack_store(repo).write([blob(noise(200, number)) for number in range(3)]).oids
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[0]) == noise(200, 0)
    monkeypatch.setattr(reader, "_first", lambda *_: pytest.fail("not the short way"))
    assert reader.blob(oids[1]) == noise(200, 1)
    target = bytearray(200)
    reader.read_into(oids[2], memoryview(target))
    assert target == noise(200, 2)


def test_a_directory_that_changed_a_moment_ago_is_not_relied_on(repo: GitRepo) -> None:
    """Directory times are coarse: a pack that came within the same tick as a listing is found."""
    store = pack_store(repo)
    store.write([blob(b"first")])
    now = time.time_ns()
    os.utime(store.pack_dir, ns=(now, now))
    reader = PackReader(objects_dir(repo))
    reader.refresh()
    pack = store.write([blob(b"same tick")])
    os.utime(store.pack_dir, ns=(now, now))
    assert reader.blob(pack.oids[0]) == b"same tick"


def test_a_directory_that_did_not_change_is_listed_once(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Misses cost no listing while nothing changes."""
    store = pack_store(repo)
    store.write([blob(b"x")])
    os.utime(store.pack_dir, (1e9, 1e9))
    reader = PackReader(objects_dir(repo))
    calls = []
    real = os.scandir

    def scandir(path: Path) -> object:
        calls.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for _ in range(10):
        assert ABSENT not in reader
    assert not reader.refresh()
    assert len(calls) == 1
    os.utime(store.pack_dir, (2e9, 2e9))
    assert reader.refresh()


def test_a_forked_child_reads_on(repo: GitRepo) -> None:
    """Open packs serve the child, and new ones are found there."""
    store = pack_store(repo)
    old = store.write([blob(noise(100_000))]).oids[0]
    reader = PackReader(objects_dir(repo))
    assert reader.blob(old)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            new = store.write([blob(b"child")]).oids[0]
            code = 0 if (reader.blob(old), reader.blob(new)) == (noise(100_000), b"child") else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert reader.blob(old) == noise(100_000)


def test_no_heavy_imports(repo: GitRepo) -> None:
    """Reading and writing packs in a task imports neither pygit2 nor numpy nor a child process."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from gitflowrun.git.pack.publish import PackStore\n"
        "from gitflowrun.git.pack.writer import PackObject\n"
        "from gitflowrun.git.pack.reader import PackReader\n"
        "from gitflowrun.git.objects import ObjectType\n"
        "from gitflowrun.settings import Durability\n"
        "objects = Path('.git/objects')\n"
        "store = PackStore(objects, Path('.git/in'), durability=Durability.SAFE)\n"
        "data = bytes(range(256)) * 8192\n"
        "pack = store.write([PackObject(ObjectType.BLOB, data)])\n"
        "assert PackReader(objects).blob(pack.oids[0]) == data\n"
        "heavy = {'pygit2', 'numpy', 'subprocess', 'click', 'asyncio', 'ssl'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    done = repo.python("-c", script)
    assert done.code == 0, done.err


@pytest.mark.parametrize("is_index_of_ours", [False, True])
def test_an_index_that_only_git_reads(repo: GitRepo, is_index_of_ours: bool) -> None:
    """Indexes of version 1 are git's business, and what is in such packs can be read, and checked for."""
    _history(repo)
    version = "2" if is_index_of_ours else "1"
    repo.git("-c", f"pack.indexVersion={version}", "repack", "-adq")
    store = Repository.discover(repo.path).objects
    for oid, (kind, size) in _all(repo).items():
        assert store.exists(oid)
        assert store.read(oid)[0] is kind
        target = bytearray(size)
        store.read_into(oid, memoryview(target))
        assert bytes(target) == store.read(oid)[1]
        assert store.size(oid) == size
        assert (oid in store) is is_index_of_ours
    with pytest.raises((MissingObject, CorruptRecord)):
        store.read(ABSENT)
    store.close()


def test_many_packs_and_few_file_descriptors(repo: GitRepo) -> None:
    """Packs are opened as they are needed, and those that were opened first make room."""
    oids = publish(repo, "refs/runs/F/1", [noise(70_000, seed) for seed in range(2)])
    store = pack_store(repo, Durability.FAST)
    for seed in range(2, 160):
        oids += store.write([blob(noise(70_000, seed))]).oids
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)\n"
        "from pathlib import Path\nfrom gitflowrun.git.objects import Oid\n"
        "from gitflowrun.git.pack.reader import PackReader\n"
        "reader = PackReader(Path(sys.argv[1]))\n"
        "for oid in sys.argv[3:] * 2: assert len(reader.read(Oid.from_hex(oid))[1]) == 70_000\n"
        "print(len(list(Path('/proc/self/fd').iterdir())) if Path('/proc/self/fd').exists() else 0)"
    )
    for limit in (40, 120, 1000):
        done = run_program(
            [sys.executable, "-c", code, str(objects_dir(repo)), str(limit), *map(str, oids)],
            repo.path,
        )
        assert done.code == 0, done.err
        assert int(done.out) < min(limit // 4 + 20, 120)


def test_a_hundred_packs(tmp_path: Path) -> None:
    """Every object is found in any of a hundred packs, with few file descriptors."""
    repo = make_repo(tmp_path / "many")
    store = pack_store(repo)
    oids = [store.write([blob(b"pack %d" % number)]).oids[0] for number in range(100)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    reader = PackReader(objects_dir(repo))
    assert [reader.blob(oid) for oid in oids] == [b"pack %d" % number for number in range(100)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_memory_does_not_grow_with_what_is_read(repo: GitRepo) -> None:
    """Mapped pages of packs do not pile up in the reading process, however much it reads."""
    store = pack_store(repo)
    packs = [store.write([blob(noise(1 << 20, seed)) for seed in range(40)]) for _ in range(4)]
    oids = ",".join(str(oid) for pack in packs for oid in pack.oids)
    script = f"""if True:
        from pathlib import Path
        from gitflowrun.git.objects import Oid
        from gitflowrun.git.pack.reader import PackReader
        reader, target = PackReader(Path(".git/objects")), memoryview(bytearray(1 << 20))
        def peak():
            return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10
        before = peak()
        for _ in range(2):
            for oid in "{oids}".split(","):
                reader.read_into(Oid.from_hex(oid), target)
        print(peak() - before)
    """
    done = repo.python("-c", script)
    assert done.code == 0, done.err
    assert int(done.out) <= 48


def test_a_blob_in_pieces(repo: GitRepo) -> None:
    """Of deltas, or by the fallback, as whole ones are: up to a limit; what is no blob has no pieces."""
    lines = [b"line %d of a long file\n" % number for number in range(3000)]
    for number in range(3):
        lines[number] = b"changed\n"
        repo.write("long.txt", b"".join(lines))
        repo.commit()
    repo.git("repack", "-adfq", "--depth=50", "--window=50")
    reader = PackReader(objects_dir(repo))
    for back in range(3):
        oid = Oid.from_hex(repo.git("rev-parse", f"HEAD~{back}:long.txt"))
        assert b"".join(reader.pieces(oid)) == reader.blob(oid)
    delta = next(
        Oid.from_hex(row.split()[0])
        for row in repo.git("verify-pack", "-v", *map(str, objects_dir(repo).glob("pack/*.idx"))).splitlines()
        if len(row.split()) > 5 and row.split()[1] == "blob"
    )  # fmt: skip
    size = reader.size(delta)
    assert sum(map(len, reader.pieces(delta, size))) == size
    with pytest.raises(TooLarge):
        list(reader.pieces(delta, size - 1))
    for wrong in (size - 1, size + 1):
        with pytest.raises(CorruptRecord, match=rf"bytes where {wrong} were expected"):
            reader.read_into(delta, memoryview(bytearray(wrong)))
    for name in ("HEAD", "HEAD^{tree}"):
        with pytest.raises(CorruptRecord, match=r"is a (commit|tree), not a blob"):
            list(reader.pieces(Oid.from_hex(repo.git("rev-parse", name))))
    promised = hash_object(ObjectType.BLOB, b"promised")
    asking = PackReader(objects_dir(repo), lambda *_: (ObjectType.BLOB, b"promised"))
    assert list(asking.pieces(promised)) == [b"promised"]


def test_a_delta_by_the_id_of_its_base(repo: GitRepo) -> None:
    """Read as one by its place, in a pack whose index is mapped and not read, with few bases kept."""
    grow = varint(0x10000) + varint(0x20000) + b"\x80\x80"
    base = hash_object(ObjectType.BLOB, bytes(0x10000))
    oids = planted(
        repo, [entry(ObjectType.BLOB, bytes(0x10000)), ref_delta(base, grow)], [0x10000, 0x20000]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gitflowrun.git.pack.places.READ_INDEX_UP_TO", 0)
        reader = PackReader(objects_dir(repo))
        for oid, size in zip(oids, (0x10000, 0x20000), strict=True):
            assert reader.size(oid) == size
            assert reader.blob(oid, size) == bytes(size)
            with pytest.raises(TooLarge):
                reader.blob(oid, size - 1)


def test_how_many_packs_may_be_open(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the files that the process may have, up to some; where there are no more all are closed first."""
    for limit, most in (
        (40, 10),
        (4 * OPEN_PACKS + 40, OPEN_PACKS),
        (resource.RLIM_INFINITY, OPEN_PACKS),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert places._max_open() == most
    store = pack_store(repo)
    written = [store.write([blob(noise(100, number))]) for number in range(3)]
    reader = PackReader(objects_dir(repo))
    assert reader.blob(written[0].oids[0])
    refused: list[int] = []

    def few(path: Path) -> object:
        if path.suffix == ".pack" and not refused:
            refused.append(len(places._open_packs))
            raise TooManyOpenFiles("no more")
        return open_source(path)

    monkeypatch.setattr(places, "open_source", few)
    assert reader.blob(written[1].oids[0])
    assert refused[0] > 0
    assert len(places._open_packs) == 1
    others = deque(list[Any]())

    class Emptied(deque[Any]):
        def __len__(self) -> int:
            return 1 - len(others)

        def popleft(self) -> None:
            others.append(0)
            raise IndexError  # another thread has taken it

    monkeypatch.setattr(places, "_open_packs", Emptied())
    places._close_packs(0)
    assert len(others) == 1
