"""Artifacts between task and repository: saved once, read back whole or in part, never damaged."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitflowrun
from gitflowrun.artifacts import payloads
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter, Saved
from gitflowrun.artifacts.codecs import Encoded, encode
from gitflowrun.artifacts.codecs.bytes import FileArtifact, from_chunks, from_file
from gitflowrun.artifacts.digest import digest, digest_parts
from gitflowrun.artifacts.picture import PNG_SIGN, Drawing
from gitflowrun.artifacts.reference import ArtifactRef, Chunk, Picture
from gitflowrun.errors import (
    CorruptRecord,
    MissingObject,
    RepositoryError,
    UnserializableArtifact,
    UntrustedArtifact,
    UsageError,
)
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import TaskName
from gitflowrun.values import replace
from tests.helpers.packs import noise, objects_dir, pack_store
from tests.helpers.repos import ROOT, GitRepo

TASK = TaskName("start", "1")
MIB = 1 << 20


def save(repo: GitRepo, **values: Any) -> Saved:
    """Save values in packs."""
    writer = ArtifactWriter(pack_store(repo), inline_limit=0)
    return writer.save({name: encode(value) for name, value in values.items()}, TASK)


def reader(repo: GitRepo) -> ArtifactReader:
    """Reads what `save` saved."""
    return ArtifactReader(PackReader(objects_dir(repo)))


class _Blobs:
    """Blobs in memory, that count what is read of them."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = {hash_object(ObjectType.BLOB, piece): piece for piece in pieces}
        self.sizes: list[int] = []

    def read_into(self, oid: Any, target: memoryview, /) -> None:
        """Fill the target."""
        self.sizes.append(len(target))
        target[:] = self.pieces[oid]

    def read(self, oid: Any, _limit: int, /) -> tuple[ObjectType, bytes]:
        """A blob, whose id is right."""
        if hash_object(ObjectType.BLOB, self.pieces[oid]) != oid:
            raise CorruptRecord("its content has another id")
        return ObjectType.BLOB, self.pieces[oid]

    def ref(self, *pieces: bytes, codec: str = "bytes/1") -> ArtifactRef:
        """An artifact of these chunks."""
        chunks = tuple(
            Chunk(digest(it), hash_object(ObjectType.BLOB, it), len(it)) for it in pieces
        )
        whole = b"".join(pieces)
        return ArtifactRef(digest(whole), len(whole), codec, "builtins.bytes", chunks, TASK)


def test_small_payloads_travel_inline(repo: GitRepo) -> None:
    """A task's few bytes are handed back with their blobs' ids; nothing is written."""
    writer = ArtifactWriter(pack_store(repo))
    saved = writer.save({"a": encode(1), "b": encode("x"), "empty": encode(b"")}, TASK)
    assert saved.packs == ()
    assert sorted(saved.inline.values()) == [b"", b"\x01", b"x"]
    for ref in saved.refs.values():
        (chunk,) = ref.chunks
        data = saved.inline[chunk.digest]
        assert chunk.digest == ref.digest == digest(data)
        assert chunk.oid == hash_object(ObjectType.BLOB, data)
        assert chunk.size == ref.size == len(data)
        assert ref.producer == TASK


def test_the_inline_limit_is_for_all_together(repo: GitRepo) -> None:
    """Together beyond the limit, they become one kept pack."""
    store = pack_store(repo)
    writer = ArtifactWriter(store, inline_limit=10)
    assert writer.save({"a": encode(b"12345"), "b": encode(b"67890")}, TASK).inline
    saved = writer.save({"a": encode(b"12345"), "b": encode(b"67890!")}, TASK)
    assert not saved.inline
    (name,) = saved.packs
    assert (store.pack_dir / f"{name}.keep").exists()


def test_equal_payloads_are_stored_once(repo: GitRepo) -> None:
    """Two names of one content share their chunks, inline and in packs."""
    data = noise(3 * MIB)
    saved = save(repo, a=data, b=bytes(data), c=bytearray(data))
    assert saved.refs["a"].chunks == saved.refs["b"].chunks
    (name,) = saved.packs
    pack = pack_store(repo).pack_dir / f"{name}.pack"
    assert pack.stat().st_size < 3.1 * MIB
    inline = ArtifactWriter(pack_store(repo)).save({"a": encode(1), "b": encode(1)}, TASK)
    assert list(inline.inline.values()) == [b"\x01"]


@pytest.mark.parametrize("size", [0, 1, 100_000, MIB, MIB + 1, 20 * MIB])
def test_payloads_come_back(repo: GitRepo, size: int) -> None:
    """Text, bytes and byte arrays of any size, each as its type."""
    data = noise(size)
    text = "é" * (size // 2)
    saved = save(repo, data=data, text=text, array=bytearray(data))
    load = reader(repo).load
    assert load(saved.refs["data"], trusted=False) == data
    assert load(saved.refs["text"], trusted=False) == text
    found = load(saved.refs["array"], trusted=False)
    assert type(found) is bytearray
    assert found == data
    assert reader(repo).open(saved.refs["data"]).read() == data
    stored = reader(repo).encoded(saved.refs["data"])
    assert (stored.codec, stored.type, stored.payload()) == ("bytes/1", "builtins.bytes", data)


def test_blobs_are_small_and_git_finds_them_whole(repo: GitRepo) -> None:
    """No blob is larger than 4 MiB, and git agrees with every id."""
    saved = save(repo, a=noise(20 * MIB))
    for chunk in saved.refs["a"].chunks:
        assert chunk.size <= 4 * MIB
        assert repo.git("cat-file", "-s", str(chunk.oid)) == str(chunk.size)
    repo.fsck()


def test_arrays_are_loaded_into_one_buffer(repo: GitRepo) -> None:
    """A loaded array views the buffer its payload was read into, and may be written to."""
    np = pytest.importorskip("numpy")
    array = np.arange(2_000_000.0)
    saved = save(repo, a=array, values={"x": array[:1000]})
    found = reader(repo).load(saved.refs["a"], trusted=False)
    assert not found.flags.owndata
    found += 1
    assert np.array_equal(found, array + 1)
    frozen = reader(repo).load(saved.refs["a"], trusted=False, writable=False)
    with pytest.raises(ValueError, match="read-only"):
        frozen[0] = 1


def test_a_changed_buffer_leaves_the_others_alone(repo: GitRepo) -> None:
    """Buffers are cut domains: the second version of a value shares the chunks of what is the same."""
    np = pytest.importorskip("numpy")
    one = {"a": np.random.default_rng(1).random(400_000), "b": np.zeros(400_000)}
    two = {"a": one["a"], "b": np.ones(400_000)}
    saved = save(repo, one=one, two=two)
    first, second = ({it.digest for it in saved.refs[name].chunks} for name in ("one", "two"))
    assert sum(it.size for it in saved.refs["one"].chunks if it.digest in second) >= 3_200_000
    assert first != second


@pytest.mark.parametrize("size", [10, 2 * MIB, 10 * MIB])
def test_damage_is_never_returned(size: int) -> None:
    """A flipped bit anywhere is CorruptRecord that names the payload, however it is read."""
    pieces = [noise(min(size, MIB), seed) for seed in range(max(1, size // MIB))]
    blobs = _Blobs(*pieces)
    ref = blobs.ref(*pieces)
    bad = random.Random(size).randrange(len(pieces))
    oid = ref.chunks[bad].oid
    flipped = bytearray(pieces[bad])
    flipped[len(flipped) // 2] ^= 1
    blobs.pieces[oid] = bytes(flipped)
    name = f"blake3/{ref.digest.hex()[:12]}"
    for read in (
        lambda: ArtifactReader(blobs).load(ref, trusted=False),
        lambda: ArtifactReader(blobs).open(ref).read(),
    ):
        with pytest.raises(CorruptRecord, match=name) as refused:
            read()
        assert refused.value.hint


@pytest.mark.parametrize(
    ("size", "pieces"), [(10, 1), (10, 3), (0, 0), (0, 1), (0, 2), (9 * MIB, 9), (10, 2)]
)
def test_whole_chunks_of_another_payload_are_refused(size: int, pieces: int) -> None:
    """A manifest whose chunks are as it says is refused if together they are not the payload that it names."""
    parts = [noise(size // max(pieces, 1), seed) for seed in range(pieces)]
    blobs = _Blobs(*parts)
    for codec in ("bytes/1", "plain/1"):
        ref = replace(blobs.ref(*parts, codec=codec), digest=digest(b"my own"))
        with pytest.raises(CorruptRecord, match=f"blake3/{ref.digest.hex()[:12]} is damaged"):
            ArtifactReader(blobs).load(ref, trusted=False)
    with pytest.raises(CorruptRecord, match="is damaged"):
        ArtifactReader(blobs).load(replace(ref, codec="file/1"), trusted=False).read()


@pytest.mark.parametrize("limit", [0, 99 * MIB])
def test_pictures_are_stored_beside_their_values(repo: GitRepo, limit: int) -> None:
    """As payloads of their own; none where an artifact of the same bytes was cut."""
    writer = ArtifactWriter(pack_store(repo), inline_limit=limit)
    content = PNG_SIGN + noise(1000)
    large = PNG_SIGN + noise(3 * MIB)
    drawings = {
        "a": Drawing(".png", is_exact=True, data=content),
        "b": Drawing(".png", is_exact=False, data=large),
    }
    values = {"a": encode(1), "b": encode(2), "same": encode(large)}
    saved = writer.save(values, TASK, drawings)
    assert saved.refs["same"].picture is None
    first, second = saved.refs["a"].picture, saved.refs["b"].picture
    assert first is not None
    assert (first.suffix, first.is_exact, first.chunk.digest) == (".png", True, digest(content))
    if limit:
        assert second is not None
        assert saved.inline.keys() == {
            *(ref.digest for ref in saved.refs.values()),
            digest(content),
        }
    else:
        assert second is None
        assert reader(repo).picture(saved.refs["a"]) == content


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", b"\x89PNG", b""])
def test_a_picture_that_is_none_is_refused(content: bytes) -> None:
    """What a record names as a PNG is looked at before a file or a page is made of it."""
    for content_ in (content, b"\x89PNG\r\n\x1a\n" + content):
        blobs = _Blobs(content_)
        ref = blobs.ref(content_)
        assert ArtifactReader(blobs).picture(ref) is None
        figure = replace(ref, picture=Picture(".png", is_exact=True, chunk=ref.chunks[0]))
        if content_ == content:
            with pytest.raises(CorruptRecord, match="is no PNG"):
                ArtifactReader(blobs).picture(figure)
        else:
            assert ArtifactReader(blobs).picture(figure) == content_


@pytest.mark.parametrize("count", [1, 3])
def test_what_was_refused_leaves_nothing_open(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error may live on, in a cycle too, without a complaint when it goes."""
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    pieces = [noise(1000, seed) for seed in range(count)]
    blobs = _Blobs(*pieces)
    ref = blobs.ref(*pieces)
    blobs.pieces[ref.chunks[-1].oid] = bytes(1000)
    with pytest.raises(CorruptRecord) as refused:
        payloads.read_bytes(blobs, ref)
    cycle: list[Any] = [refused.value]
    cycle.append(cycle)
    del refused, cycle
    gc.collect()
    assert not complaints


@pytest.mark.parametrize("size", [200_000, 3 * MIB])
def test_a_damaged_chunk_is_read_from_another_pack(repo: GitRepo, size: int) -> None:
    """Where a chunk lies in two packs, damage to the one that is read first costs nothing, however it is read."""
    value = noise(size)
    ref = save(repo, value=value).refs["value"]
    store = pack_store(repo)
    chunk = ref.chunks[-1]
    data = value[size - chunk.size :]
    copy = store.write([PackObject(ObjectType.BLOB, data)])
    homes = [store.pack_dir / f"{copy.name}.pack", PackReader(objects_dir(repo)).home(chunk.oid)]
    packs = [it for it in store.pack_dir.glob("*.pack") if data[-9_000:-8_000] in it.read_bytes()]
    assert len(packs) == 2
    assert {*homes} <= {*packs}
    for pack in packs:
        content = pack.read_bytes()
        pack.chmod(0o600)
        place = content.index(data[-9_000:-8_000])
        pack.write_bytes(content[:place] + bytes(1_000) + content[place + 1_000 :])
        assert reader(repo).load(ref, trusted=False) == value
        assert reader(repo).open(ref).read() == value
        pack.write_bytes(content)


@pytest.mark.parametrize("copies", [1, 2])
def test_damage_leaves_no_buffer_to_the_garbage_collector(repo: GitRepo, copies: int) -> None:
    """What was read into is nobody's once a read is over: else memory waits, and some Pythons crash on it."""
    ref = save(repo, value=noise(3 * MIB)).refs["value"]
    data = noise(3 * MIB)[-ref.chunks[-1].size :]
    if copies > 1:
        pack_store(repo).write([PackObject(ObjectType.BLOB, data)])
    packs = [
        it
        for it in pack_store(repo).pack_dir.glob("*.pack")
        if data[-9_000:-8_000] in it.read_bytes()
    ]
    gc.collect()
    for pack in packs:
        content = pack.read_bytes()
        pack.chmod(0o600)
        pack.write_bytes(content.replace(data[-9_000:-8_000], bytes(1_000)))
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            with contextlib.nullcontext() if copies > 1 else pytest.raises(CorruptRecord):
                reader(repo).load(ref, trusted=False)
            gc.collect()
            assert not [it for it in gc.garbage if isinstance(it, memoryview | io.BytesIO)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        pack.write_bytes(content)
    assert len(packs) == copies


def test_a_missing_chunk_is_named(repo: GitRepo) -> None:
    """A pack that somebody removed is MissingObject, not a KeyError out of nowhere."""
    saved = save(repo, a=noise(2 * MIB))
    found = reader(repo)
    for path in pack_store(repo).pack_dir.iterdir():
        path.unlink()
    with pytest.raises(MissingObject, match=str(saved.refs["a"].chunks[0].oid)):
        found.load(saved.refs["a"], trusted=False)


def test_undecodable_payloads_are_named() -> None:
    """Bytes that are whole, but no value of their codec, name the payload and the codec."""
    blobs = _Blobs(b"\xc1")
    ref = blobs.ref(b"\xc1", codec="plain/1")
    with pytest.raises(CorruptRecord, match=rf"blake3/{ref.digest.hex()[:12]} \(plain/1\)"):
        ArtifactReader(blobs).load(ref, trusted=False)


def test_manifests_cannot_reserve_memory() -> None:
    """A chunk that claims gigabytes is refused before anything is set aside."""
    ref = _Blobs().ref(b"x")
    huge = replace(ref, size=1 << 40, chunks=(replace(ref.chunks[0], size=1 << 40),))
    with pytest.raises(CorruptRecord, match="larger than chunks are"):
        ArtifactReader(_Blobs()).load(huge, trusted=False)
    with pytest.raises(CorruptRecord, match="larger than chunks are"):
        ArtifactReader(_Blobs()).open(huge)


def test_untrusted_pickles_are_not_even_read() -> None:
    """Trust is asked before gigabytes are read for nothing."""
    blobs = _Blobs(b"x")
    with pytest.raises(UntrustedArtifact):
        ArtifactReader(blobs).load(blobs.ref(b"x", codec="pickle/5"), trusted=False)
    assert blobs.sizes == []


def test_ranges_read_only_their_chunks() -> None:
    """A seek and a read touch the chunks they need, each once, and give the file's bytes."""
    pieces = [noise(1000 + 100 * seed, seed) for seed in range(10)]
    whole = b"".join(pieces)
    blobs = _Blobs(*pieces)
    file = ArtifactReader(blobs).open(blobs.ref(*pieces))
    file.seek(2500)
    assert file.read(10) == whole[2500:2510]
    assert len(blobs.sizes) <= 10
    rng = random.Random(3)
    for _ in range(100):
        start, size = rng.randrange(len(whole) + 10), rng.randrange(5000)
        assert file.seek(start) == start
        assert file.read(size) == whole[start : start + size]
    assert file.seek(-5, io.SEEK_END) == len(whole) - 5
    assert file.read() == whole[-5:]
    assert file.read(1) == b""
    with pytest.raises((ValueError, OSError)):
        file.seek(-1)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_one_range_reads_one_chunk() -> None:
    """Of a large payload, a small range costs one chunk."""
    pieces = [noise(MIB, seed) for seed in range(8)]
    blobs = _Blobs(*pieces)
    file = ArtifactReader(blobs).open(blobs.ref(*pieces))
    file.seek(3 * MIB + 1000)
    assert file.read(1000) == pieces[3][1000:2000]
    assert blobs.sizes == [MIB]
    assert file.seek(3 * MIB + 500_000)
    assert file.read(10) == pieces[3][500_000:500_010]
    assert blobs.sizes == [MIB]


def test_text_files_are_read_by_lines(repo: GitRepo) -> None:
    """The opened payload is a file like any other."""
    text = "".join(f"line {number}\n" for number in range(300_000))
    saved = save(repo, a=text)
    with io.TextIOWrapper(reader(repo).open(saved.refs["a"])) as lines:
        assert sum(1 for _ in lines) == 300_000


def test_rows_of_an_array_are_read_alone(repo: GitRepo) -> None:
    """Some rows of a large array cost the chunks they lie in."""
    np = pytest.importorskip("numpy")
    array = np.arange(3_000_000).reshape(-1, 3)
    saved = save(repo, a=array, no_array=[1])
    found = reader(repo)
    for rows in (5, -1, slice(10, 20), slice(None, None, -300_000), slice(7, 7)):
        assert np.array_equal(found.read_array(saved.refs["a"], rows), array[rows])
    with pytest.raises(UsageError, match="has no rows"):
        found.read_array(saved.refs["no_array"], 0)


def test_files_are_stored_without_being_read(repo: GitRepo, tmp_path: Path) -> None:
    """A file's artifact is its bytes; what is loaded reads them piece by piece."""
    data = noise(5 * MIB)
    (tmp_path / "f.bin").write_bytes(data)
    saved = save(repo, a=from_file(tmp_path / "f.bin"), b=data)
    assert saved.refs["a"].codec == "file/1"
    assert saved.refs["a"].chunks == saved.refs["b"].chunks
    found = reader(repo).load(saved.refs["a"], trusted=False)
    assert isinstance(found, FileArtifact)
    assert found.size == 5 * MIB
    assert found.read() == data
    with found.open() as file:
        file.seek(4 * MIB)
        assert file.read(100) == data[4 * MIB : 4 * MIB + 100]
    assert found.save(tmp_path / "copy.bin").read_bytes() == data
    again = save(repo, c=found)
    assert again.refs["c"].digest == saved.refs["a"].digest


def test_the_type_of_files_is_recorded_by_its_public_name(repo: GitRepo) -> None:
    """What manifests say does not depend on where the class is defined, and names the class."""
    saved = save(repo, a=from_chunks([b"x"]))
    assert saved.refs["a"].type == "gitflowrun.FileArtifact"
    assert gitflowrun.FileArtifact is FileArtifact
    assert pickle.loads(pickle.dumps(FileArtifact)) is FileArtifact


def test_streams_are_spooled(repo: GitRepo, tmp_path: Path) -> None:
    """An iterator of bytes larger than memory is stored like a file."""
    value = from_chunks((b"%d\n" % number for number in range(400_000)), directory=tmp_path)
    saved = save(repo, a=value, empty=from_chunks([]))
    found = reader(repo).load(saved.refs["a"], trusted=False)
    assert found.open().readline() == b"0\n"
    assert found.read() == value.read()
    assert reader(repo).load(saved.refs["empty"], trusted=False).read() == b""


def test_files_that_cannot_be_stored(tmp_path: Path) -> None:
    """No such file, and a file hidden in another value, are said at once."""
    with pytest.raises(UnserializableArtifact, match="No such file"):
        from_file(tmp_path / "none")
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(UnserializableArtifact, match="artifact of its own"):
        encode([from_file(tmp_path / "f")])


@pytest.mark.parametrize("size", [1000, 2 * MIB])
def test_files_that_are_gone_or_shorter_when_the_step_ends(tmp_path: Path, size: int) -> None:
    """The error is about the file, not about what else could not be done with it."""
    path = tmp_path / "f"
    path.write_bytes(noise(size))
    value = from_file(path)
    for left in (size - 1, 0):
        os.truncate(path, left)
        with pytest.raises(UnserializableArtifact, match=r"/f' was written anew .*\nhint: "):
            encode(value)
    path.unlink()
    with pytest.raises(UnserializableArtifact, match="No such file"):
        encode(value)


@pytest.mark.parametrize("size", [1000, 2 * MIB])
@pytest.mark.parametrize("how", ["replaced", "written to"])
def test_files_that_are_others_when_the_step_ends(tmp_path: Path, size: int, how: str) -> None:
    """Of the same size: what was there when the step named the file is not stored, nor is something else in silence."""
    path = tmp_path / "f"
    path.write_bytes(noise(size))
    value = from_file(path)
    path.chmod(0o400)
    os.link(path, tmp_path / "other name")
    assert encode(value) is not None
    if how == "replaced":
        path.unlink()
    else:
        path.chmod(0o600)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(1, 1))
    with pytest.raises(UnserializableArtifact, match="was written anew after from_file"):
        encode(value)


class _Failing(io.BytesIO):
    """A stream that ends with an error."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("size", [1000, 2 * MIB])
def test_files_whose_disk_fails(size: int) -> None:
    """The error is the disk's; nothing else is tried with the file."""
    with pytest.raises(UnserializableArtifact, match="can't be read any more: Input/output error"):
        encode(FileArtifact(_Failing, size, "broken"))


def _ref_of(value: Any) -> ArtifactRef:
    made = encode(value)
    found = digest_parts(made.parts)
    return ArtifactRef(found, made.size, made.codec, made.type, (), TASK)


def test_a_full_disk_is_said_and_leaves_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC while packing is a RepositoryError; no pack and no keep stay behind."""
    store = pack_store(repo)

    def fail(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", fail)
    monkeypatch.setattr(os, "pwrite", fail)
    monkeypatch.setattr(os, "writev", fail)
    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(RepositoryError, match="No space left"):
        ArtifactWriter(store, inline_limit=0).save({"a": encode(noise(2 * MIB))}, TASK)
    monkeypatch.undo()
    assert not list(store.pack_dir.glob("pack-*"))


def test_a_child_forked_after_hashing_does_not_hang() -> None:
    """BLAKE3's threads do not survive a fork; a child hashes without them."""
    script = (
        "import os, gitflowrun.artifacts.digest as h\n"
        "data = [memoryview(bytes(8 << 20))]\n"
        "first = h.digest_parts(data)\n"
        "child = os.fork()\n"
        "if not child: os._exit(h.digest_parts(data) != first)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0


def test_parts_are_hashed_as_one_payload() -> None:
    """The digest of parts is that of their concatenation, in one thread or several."""
    parts = [memoryview(noise(size, size)) for size in (0, 10, 5 * MIB, 3)]
    assert digest_parts(parts) == digest(b"".join(parts))
    assert Encoded("x/1", "x", tuple(parts)).size == 5 * MIB + 13


def test_a_position_in_a_payload() -> None:
    """From the beginning, here or the end, and never before the beginning; beyond the end there is nothing."""
    blobs = _Blobs(b"abc", b"defg")
    file = payloads.PayloadFile(blobs, blobs.ref(b"abc", b"defg"))
    assert (file.readable(), file.seekable()) == (True, True)
    for offset, whence, place, rest in (
        (2, io.SEEK_SET, 2, b"cdefg"), (-3, io.SEEK_END, 4, b"efg"), (-7, io.SEEK_CUR, 0, b"abcdefg"),
        (9, io.SEEK_SET, 9, b""),
        (0, io.SEEK_END, 7, b""),
    ):  # fmt: skip
        assert file.seek(offset, whence) == place
        assert file.read() == rest
    with pytest.raises(ValueError, match="negative seek position: -1"):
        file.seek(-1)
    with pytest.raises(ValueError, match="invalid whence: 7"):
        file.seek(0, 7)


def test_a_payload_that_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is told, and how it can be read all the same."""
    blobs = _Blobs(b"abc")
    ref = replace(blobs.ref(b"abc"), size=1 << 62, chunks=blobs.ref(b"abc", b"abc").chunks)
    for read in (payloads.read_payload, payloads.read_bytes):
        with pytest.raises(CorruptRecord, match=f"a payload of {1 << 62} bytes") as caught:
            read(blobs, ref)
        assert "`open()` reads it piece by piece" in str(caught.value.hint)
    monkeypatch.setattr(payloads, "READ_BY_THREADS", 0)
    with pytest.raises(CorruptRecord, match="does not fit"):
        payloads.read_payload(blobs, ref)


def test_chunks_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than chunks are, or, of a payload of one, another than the payload; as large as they are they are read."""
    blobs = _Blobs(b"abc", b"x")
    ref = blobs.ref(b"abc", b"x")
    monkeypatch.setattr(payloads, "CREDIBLE_CHUNK", 3)
    assert bytes(payloads.read_payload(blobs, ref)) == b"abcx"
    monkeypatch.setattr(payloads, "CREDIBLE_CHUNK", 2)
    with pytest.raises(CorruptRecord, match="lists a chunk larger than chunks are"):
        payloads.read_payload(blobs, ref)
    monkeypatch.undo()
    other = replace(blobs.ref(b"abc"), digest=digest(b"other"))
    for read in (payloads.read_payload, payloads.read_bytes, payloads.PayloadFile):
        with pytest.raises(CorruptRecord, match=r"is damaged: its content has BLAKE3 .*, not"):
            read(blobs, other)
    empty = replace(blobs.ref(), digest=digest(b"other"))
    with pytest.raises(CorruptRecord, match="is damaged"):
        payloads.read_payload(blobs, empty)
    assert payloads.read_bytes(blobs, blobs.ref()) == b""


@pytest.mark.parametrize("size", [3, 9])
def test_a_damaged_chunk_is_taken_from_another_copy(size: int) -> None:
    """Of the same size; without one the payload is damaged, though git may know the object."""

    class Damaged(_Blobs):
        def read_into(self, oid: Any, target: memoryview, /) -> None:
            super().read_into(oid, target)
            target[0] ^= 1

        def read(self, oid: Any, limit: int, /) -> tuple[ObjectType, bytes]:
            assert limit == len(self.pieces[oid])
            return ObjectType.BLOB, (self.pieces[oid] + bytes(9))[:size]

    pieces = (b"abc", b"xyz")
    blobs = Damaged(*pieces)
    for ref in (blobs.ref(*pieces), blobs.ref(b"abc")):
        if size == 3:
            assert payloads.read_payload(blobs, ref) == b"".join(pieces)[: ref.size]
            assert payloads.PayloadFile(blobs, ref).read() == b"".join(pieces)[: ref.size]
        else:
            with pytest.raises(CorruptRecord, match="is damaged"):
                payloads.read_payload(blobs, ref)


def test_a_file_whose_chunks_are_another_payload() -> None:
    """Each is whole; that all together are not what the reference says is known once they are read in order."""
    blobs = _Blobs(b"abc", b"xyz")
    ref = replace(blobs.ref(b"abc", b"xyz"), digest=digest(b"other!"))
    file = payloads.PayloadFile(blobs, ref)
    file.seek(3)
    assert file.read(3) == b"xyz"
    file.seek(0)
    assert file.read(2) == b"ab"
    assert file.read(1) == b"c"
    with pytest.raises(CorruptRecord, match="is damaged"):
        file.read(3)
    assert payloads.PayloadFile(blobs, ref, trusted=True).read() == b"abcxyz"


def test_a_chunk_that_is_read_in_pieces_is_read_once() -> None:
    """What is wanted whole goes straight to whoever wants it; of a part the chunk is kept."""
    blobs = _Blobs(b"abc", b"defg")
    file = payloads.PayloadFile(blobs, blobs.ref(b"abc", b"defg"))
    for _ in range(3):
        file.seek(1)
        assert file.read(1) == b"b"
    assert blobs.sizes == [3]
    file.seek(0)
    assert file.read(3) == b"abc"
    assert blobs.sizes == [3]
    assert file.read(4) == b"defg"
    file.seek(3)
    assert file.read(4) == b"defg"
    assert blobs.sizes == [3, 4, 4]
