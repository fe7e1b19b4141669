"""Packs of every shape, checked by git, and the files they are written into."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import random
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack import format as pack_format
from gitflowrun.git.pack import writer
from gitflowrun.git.pack.format import crc32
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import Output, PackObject
from gitflowrun.limits import DIRECT_FROM
from gitflowrun.utilities import threads
from tests.helpers.packs import EDGES, blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo

LARGE = 1 << 30


def _text(size: int, seed: int = 1) -> bytes:
    words = [b"%d,%d\n" % (seed, i % 977) for i in range(size // 5 + 1)]
    return b"".join(words)[:size]


def _check(repo: GitRepo, datas: list[bytes]) -> None:
    """Write `datas` as one pack; git and our reader must agree with them in every byte."""
    store = pack_store(repo)
    pack = store.write([blob(data) for data in datas])
    assert list(pack.oids) == [hash_object(ObjectType.BLOB, data) for data in datas]
    files = sorted(store.pack_dir.glob(f"{pack.name}.*"))
    assert [path.suffix for path in files] == [".idx", ".keep", ".pack"]
    assert files[2].stat().st_size == pack.size
    repo.git("verify-pack", str(files[0]))
    repo.fsck()
    reader = PackReader(objects_dir(repo))
    for oid, data in zip(pack.oids, datas, strict=True):
        assert reader.read(oid, len(data)) == (ObjectType.BLOB, data)
        target = bytearray(len(data))
        reader.read_into(oid, memoryview(target))
        assert target == data
        assert reader.size(oid) == len(data)
    wanted = "\n".join(map(str, pack.oids)).encode()
    sizes = repo.git(
        "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", stdin=wanted
    )
    assert sizes.splitlines() == [
        f"{oid} blob {len(data)}" for oid, data in zip(pack.oids, datas, strict=True)
    ]


def test_blobs_at_the_edges_of_blocks(repo: GitRepo) -> None:
    """Sizes around multiples of 65,535 are read back by git, as noise and as text."""
    _check(repo, [noise(size) for size in EDGES] + [_text(size) for size in EDGES[1:]])


def test_small_objects_make_a_small_pack(repo: GitRepo) -> None:
    """Ten thousand small objects become one pack and one index."""
    _check(repo, [b"artifact %d" % number for number in range(10_000)])


def test_small_objects_that_fill_a_buffer(repo: GitRepo) -> None:
    """Without threads, too, a pack may be larger than one."""
    _check(repo, [noise(30_000, number) for number in range(80)])


@pytest.mark.slow
def test_large_packs_are_written_by_threads(repo: GitRepo) -> None:
    """Noise, text, tiny and large objects, mixed, far beyond one buffer."""
    sizes = random.Random(5)
    datas = [noise(sizes.randrange(60_000, 2 << 20), seed) for seed in range(8)]
    datas += [_text(sizes.randrange(60_000, 2 << 20), seed) for seed in range(4)]
    datas += [noise(sizes.randrange(50_000), 100 + seed) for seed in range(20)]
    datas += [noise(9 << 20, 7), _text(9 << 20, 7), noise(64 * 65_535 * 2, 8), bytes(5 << 20)]
    sizes.shuffle(datas)
    _check(repo, datas)


def test_large_packs_past_the_page_cache(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Direct I/O writes the same bytes."""
    monkeypatch.setattr(writer, "DIRECT_FROM", 0)
    _check(repo, [noise(1 << 20, seed) for seed in range(20)] + [b"tail"])


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 70_000), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30
    ),
    st.sampled_from([64 << 10, 96 << 10, 200 << 10]),
    st.sampled_from([1 << 10, 100 << 10, 1 << 20]),
)
def test_buffers_of_any_size_make_the_same_pack(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[int, bool, int]],
    buffer: int,
    ahead: int,
) -> None:
    """Where buffers end leaves no trace: with threads or without, the same bytes are written.

    Deflated by zlib, whose streams are promised to be the same each time; those of isal need only hold the same.
    """
    tmp = tmp_path_factory.mktemp("packs")
    datas = [noise(size, seed) if hard else _text(size, seed) for size, hard, seed in shapes]
    objects = [blob(data) for data in datas]
    deflate = pack_format._deflate
    with pytest.MonkeyPatch.context() as patch:
        small_by_isal = _write(tmp / "small-by-isal", objects)
        patch.setattr(pack_format, "_deflate", lambda data, level=1: zlib.compress(data, level))
        small = _write(tmp / "small", objects)
        patch.setattr(writer, "PACK_BY_THREADS", 0)
        patch.setattr(writer, "OBJECTS_BY_THREADS", 0)
        patch.setattr(writer, "LARGE_PACK_BUFFER", buffer)
        patch.setattr(writer, "PACK_AHEAD", ahead)
        large = _write(tmp / "large", objects)
        patch.setattr(pack_format, "_deflate", deflate)
        large_by_isal = _write(tmp / "large-by-isal", objects)
    contents = {hash_object(ObjectType.BLOB, data): data for data in datas}
    for path, pack in {
        "small": small, "large": large, "small-by-isal": small_by_isal, "large-by-isal": large_by_isal
    }.items():  # fmt: skip
        _check_contents((tmp / path).read_bytes(), pack, contents)
    assert small == large
    assert (tmp / "small").read_bytes() == (tmp / "large").read_bytes()


def _check_contents(raw: bytes, pack: writer.PackContents, contents: dict[Oid, bytes]) -> None:
    """What a pack's bytes hold is what was given, and what is said of them is so."""
    assert len(raw) == pack.size
    assert raw.endswith(pack.trailer)
    assert hashlib.sha1(raw[:-20], usedforsecurity=False).digest() == pack.trailer
    ends = [entry.offset for entry in pack.entries[1:]] + [pack.size - 20]
    for entry, end in zip(pack.entries, ends, strict=True):
        assert crc32(raw[entry.offset : end]) == entry.crc
    assert _inflated(raw, pack) == [contents[entry.oid] for entry in pack.entries]


def _inflated(raw: bytes, pack: writer.PackContents) -> list[bytes]:
    """What the entries of a pack hold, as Python's zlib reads them."""
    found = []
    for entry in pack.entries:
        header = next(at for at in range(entry.offset, len(raw)) if raw[at] < 0x80)
        found.append(zlib.decompressobj().decompress(raw[header + 1 :]))
    return found


def _write(path: Path, objects: list[PackObject]) -> writer.PackContents:
    output = Output(path, sync=False, expected=0, readable_as=path.parent)
    return writer.write_pack(objects, output)


@pytest.mark.parametrize("which", range(6))
def test_a_buffer_that_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Whichever it is, the error of the thread that has met it ends the writing."""
    monkeypatch.setattr(writer, "PACK_BY_THREADS", 0)
    monkeypatch.setattr(writer, "OBJECTS_BY_THREADS", 0)
    monkeypatch.setattr(writer, "LARGE_PACK_BUFFER", 64 << 10)
    append = Output.append
    seen: list[int] = []

    def full(output: Output, data: memoryview) -> None:
        seen.append(len(data))
        if len(seen) == which + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(output, data)

    monkeypatch.setattr(Output, "append", full)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "pack", [blob(noise(60_000, number)) for number in range(6)])


@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_equal_objects_are_written_once(repo: GitRepo, size: int) -> None:
    """Duplicates in one write take one entry, whether their ids were given or not."""
    one, other = noise(size, 1), noise(size, 2)
    oid = hash_object(ObjectType.BLOB, one)
    objects = [
        blob(one),
        blob(other),
        PackObject(ObjectType.BLOB, one, oid),
        blob(bytes(one)),
        blob(other),
    ]
    store = pack_store(repo)
    pack = store.write(objects)
    assert pack.oids == (oid, pack.oids[1], oid, oid, pack.oids[1])
    assert pack.size < 2 * size + 500
    repo.fsck()


def test_given_ids_are_trusted(repo: GitRepo) -> None:
    """An id that the caller has computed is not computed again."""
    data = noise(1000)
    wrong = Oid(bytes(20))
    assert pack_store(repo).write([PackObject(ObjectType.BLOB, data, wrong)]).oids == (wrong,)


def test_views_of_any_shape_are_taken(repo: GitRepo) -> None:
    """Buffers of other element types are written as their bytes, and need not be writable."""
    np = pytest.importorskip("numpy")
    matrix = np.random.default_rng(0).random((600, 600))
    matrix.flags.writeable = False
    pack = pack_store(repo).write([blob(memoryview(matrix)), blob(memoryview(matrix[:10]))])
    reader = PackReader(objects_dir(repo))
    assert reader.blob(pack.oids[0], matrix.nbytes) == matrix.tobytes()
    plain = matrix.view(np.uint8)[:40]
    pack = pack_store(repo).write([blob(memoryview(plain))])
    assert reader.blob(pack.oids[0], plain.nbytes) == plain.tobytes()
    for out in (np.empty_like(plain), np.empty(plain.nbytes // 8)):
        reader.read_into(pack.oids[0], memoryview(out))
        assert out.tobytes() == plain.tobytes()
    repo.fsck()


def test_all_kinds_of_objects(repo: GitRepo) -> None:
    """Trees, commits and tags are written as such."""
    store = pack_store(repo)
    head = repo.git("rev-parse", "HEAD")
    tag = f"object {head}\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nhello\n".encode()
    pack = store.write([PackObject(ObjectType.TREE, b""), PackObject(ObjectType.TAG, tag)])
    assert repo.git("cat-file", "-t", str(pack.oids[0])) == "tree"
    assert repo.git("cat-file", "tag", str(pack.oids[1])).endswith("hello")


def test_memory_does_not_grow_with_the_pack(repo: GitRepo) -> None:
    """Writing far more than the buffers hold takes no more memory than they and some."""
    script = """if True:
        import random, sys
        from pathlib import Path
        from gitflowrun.git.pack.publish import PackStore
        from gitflowrun.git.pack.writer import PackObject
        from gitflowrun.git.objects import ObjectType
        from gitflowrun.settings import Durability
        data = random.Random(1).randbytes(1 << 20)
        view = memoryview(data)
        store = PackStore(Path(".git/objects"), Path(".git/in"), durability=Durability.FAST)
        def peak():
            return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10
        before = peak()
        store.write([PackObject(ObjectType.BLOB, view[i:]) for i in range(300)])
        print(peak() - before)
    """
    done = repo.python("-c", script)
    assert done.code == 0, done.err
    assert int(done.out) <= 64


def _page_aligned(data: bytes) -> memoryview:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memoryview(memory)


@pytest.mark.parametrize("expected", [0, LARGE])
def test_appended_bytes_arrive(tmp_path: Path, expected: int) -> None:
    """Bytes are written one after the other, directly or not; the file is cut to its size."""
    data = noise(64 << 10)
    output = Output(tmp_path / "f", sync=True, expected=expected, readable_as=tmp_path)
    half = 32 << 10
    output.append(_page_aligned(data[:half]))
    output.append(_page_aligned(data[half:]))
    output.finish(60_000)
    assert (tmp_path / "f").read_bytes() == data[:60_000]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("when", ["set", "write"])
def test_without_direct_io_the_page_cache_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, when: str
) -> None:
    """A file system that refuses direct I/O, at once or only at the first write, gets ordinary writes."""
    real_fcntl, real_write = fcntl.fcntl, os.write
    refused = []

    def set_flags(fd: int, command: int, flags: int = 0) -> int:
        if flags & os.O_DIRECT and when == "set":
            refused.append("set")
            raise OSError(code, os.strerror(code))
        return real_fcntl(fd, command, flags)

    def write(fd: int, data: memoryview) -> int:
        if not refused:
            refused.append("write")
            raise OSError(code, os.strerror(code))
        return real_write(fd, data)

    monkeypatch.setattr(fcntl, "fcntl", set_flags)
    monkeypatch.setattr(os, "write", write)
    output = Output(tmp_path / "f", sync=True, expected=LARGE, readable_as=tmp_path)
    output.append(_page_aligned(noise(8192)))
    output.finish(5000)
    assert (tmp_path / "f").read_bytes() == noise(8192)[:5000]
    assert len(refused) == 1
    assert not output.is_direct


def test_a_disk_that_takes_less_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write is gone on with where it ended."""
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:700]))
    output = Output(tmp_path / "f", sync=False, expected=0, readable_as=tmp_path)
    output.append(noise(5000))
    output.finish()
    assert (tmp_path / "f").read_bytes() == noise(5000)


def test_tmpfs_takes_large_files() -> None:
    """On a memory file system, with whatever support it has, the bytes arrive."""
    directory = Path("/dev/shm")
    if not directory.is_dir():
        pytest.skip("no /dev/shm")
    path = directory / f"gitflowrun-test-{os.getpid()}"
    try:
        output = Output(path, sync=True, expected=DIRECT_FROM, readable_as=directory)
        output.append(_page_aligned(noise(8192)))
        output.finish(8192)
        assert path.read_bytes() == noise(8192)
    finally:
        path.unlink(missing_ok=True)


def test_early_write_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appended bytes are written back early and arrive."""
    monkeypatch.setattr(writer, "WRITE_BACK", 10_000)
    output = Output(tmp_path / "f", sync=True, expected=0, readable_as=tmp_path)
    for start in range(0, 50_000, 1000):
        output.append(noise(50_000)[start : start + 1000])
    output.finish()
    assert (tmp_path / "f").read_bytes() == noise(50_000)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """Names are random; should one be taken, nothing is lost."""
    (tmp_path / "f").write_bytes(b"mine")
    for expected in (0, LARGE):
        with pytest.raises(FileExistsError):
            Output(tmp_path / "f", sync=True, expected=expected, readable_as=tmp_path)
    assert (tmp_path / "f").read_bytes() == b"mine"


def test_a_file_system_is_synced_or_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel can tell failures; one that it tells is an error, and nothing stays open."""
    import ctypes

    before = len([*Path("/proc/self/fd").iterdir()])
    assert writer.sync_file_system(tmp_path)
    for release, able in (("5.7.0", False), ("5.8.0-1-generic", True), ("6.1.2", True)):
        names = SimpleNamespace(release=release)
        monkeypatch.setattr(os, "uname", lambda names=names: names)
        assert writer.sync_file_system(tmp_path) is able
    seen: list[int] = []

    def fails(fd: int) -> int:
        seen.append(fd)
        return -1

    monkeypatch.setattr(ctypes, "get_errno", lambda: 5)
    libraries: list[dict[str, bool]] = []

    def library(_: object, **options: bool) -> SimpleNamespace:
        libraries.append(options)
        return SimpleNamespace(syncfs=fails)

    monkeypatch.setattr(ctypes, "CDLL", library)
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path}'"):
        writer.sync_file_system(tmp_path)
    assert len(seen) == 1
    assert libraries == [{"use_errno": True}]
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    assert not writer.sync_file_system(tmp_path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_memory_of_a_mapped_file_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever so many bytes have been used since the last time."""
    monkeypatch.setattr(writer, "SNAPSHOT_RELEASED", 100)
    (tmp_path / "x").write_bytes(bytes(4096))
    with (tmp_path / "x").open("rb") as file:
        mapped = writer.MappedFile(file)
    assert bytes(mapped.view) == bytes(4096)
    given: list[int] = []
    mapped._mapping = SimpleNamespace(madvise=given.append)  # type: ignore[assignment]
    counts = []
    for count in (99, 1, 100, 99, 1, 60, 60, 30):
        mapped.release(count)
        counts.append(len(given))
    assert counts == [0, 1, 2, 2, 3, 3, 4, 4]
    assert {*given} == {mmap.MADV_DONTNEED}
    asked: list[int] = []
    item = PackObject(ObjectType.BLOB, b"abc", release=asked.append)
    packed = writer.PackedObject.of(item)
    assert b"".join(packed.pieces)
    assert asked[-1] == 3


def test_one_thread_hashes_and_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would take buffers in another order at times, which no test could count on to see."""
    counts: list[int] = []

    class Counted(threads.Workers):
        def __init__(self, count: int) -> None:
            counts.append(count)
            super().__init__(count)

    monkeypatch.setattr(threads, "Workers", Counted)
    monkeypatch.setattr(writer, "PACK_BY_THREADS", 0)
    monkeypatch.setattr(writer, "OBJECTS_BY_THREADS", 0)
    monkeypatch.setattr(writer, "usable_cpus", lambda: 3)
    _write(tmp_path / "pack", [blob(noise(1000, number)) for number in range(5)])
    assert counts == [3, 1, 1]
    monkeypatch.setattr(writer, "PACK_BY_THREADS", 2000)
    monkeypatch.setattr(writer, "OBJECTS_BY_THREADS", 1000)
    for name, sizes, threaded in (
        ("small", [1999], 0), ("many", [999, 1000, 999], 0), ("large", [1000, 1000], 1),
    ):  # fmt: skip
        counts.clear()
        _write(tmp_path / name, [blob(noise(size, seed)) for seed, size in enumerate(sizes)])
        assert (name, len(counts)) == (name, 3 * threaded)
