"""Bytes that change while they are stored: what is recorded is what was hashed, or nothing is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts import artifacts
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter
from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.codecs.bytes import from_file
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.digest import digest_parts
from gitflowrun.artifacts.reference import Chunk
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.pack.publish import PackStore, WrittenPack
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import Digest, TaskName
from gitflowrun.settings import Durability
from tests.helpers.packs import noise, objects_dir
from tests.helpers.repos import GitRepo

np = pytest.importorskip("numpy")

TASK = TaskName("start", "1")
MIB = 1 << 20
SIZE = 9 * MIB


class _Packs(PackStore):
    """Packs, with something that happens just before one is written and just after."""

    before: Callable[[], object]
    after: Callable[[], object]

    def __init__(self, repo: GitRepo) -> None:
        super().__init__(objects_dir(repo), repo.path / ".git/in", durability=Durability.FAST)
        self.before = self.after = lambda: None

    def write(self, objects: Any) -> WrittenPack:
        """As ever."""
        self.before()
        try:
            return super().write(objects)
        finally:
            self.after()

    def files(self) -> list[Path]:
        """Whatever lies where packs lie."""
        return [*self.pack_dir.glob("*"), *self.incoming.glob("*")]


class _Index(DedupIndex):
    """An empty index that does something when it is asked: between the first hash and the others."""

    def __init__(self, repo: GitRepo, asked: Callable[[], object]) -> None:
        super().__init__(repo.path / "no index", PackReader(objects_dir(repo)))
        self.asked: Callable[[], object] | None = asked

    def lookup(self, digests: Iterable[Digest]) -> dict[Digest, tuple[Chunk, ...]]:
        """None."""
        if self.asked is not None:
            self.asked()
            self.asked = None
        return super().lookup(digests)


def _overwrite(path: Path, data: bytes, offset: int = 5 * MIB) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of several chunks."""
    path = tmp_path / "a log"
    path.write_bytes(noise(SIZE))
    return path


@contextmanager
def _thread() -> Iterator[None]:
    """Another thread runs."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("compressible", [False, True])
def test_a_file_that_changes_before_it_is_packed(
    repo: GitRepo, file: Path, restored: bool, compressible: bool
) -> None:
    """It is refused by name, even when nobody could see it afterwards; nothing is written."""
    if compressible:
        file.write_bytes(bytes(SIZE // 2) + random.Random(1).randbytes(99) * (SIZE // 198))
    packs = _Packs(repo)
    there = packs.files()
    original = file.read_bytes()[5 * MIB : 5 * MIB + 7]
    packs.before = lambda: _overwrite(file, b"changed")
    packs.after = lambda: _overwrite(file, original) if restored else None
    with pytest.raises(UnserializableArtifact, match="'log' changed while it was being stored"):
        ArtifactWriter(packs).save({"log": encode(from_file(file))}, TASK)
    assert packs.files() == there
    repo.git("fsck", "--strict")


def test_a_file_that_changes_between_its_hash_and_its_chunks(repo: GitRepo, file: Path) -> None:
    """Chunks that are not together what was hashed are refused, too."""
    packs = _Packs(repo)
    index = _Index(repo, lambda: _overwrite(file, b"changed"))
    with pytest.raises(UnserializableArtifact, match="'log' changed"):
        ArtifactWriter(packs, index).save({"log": encode(from_file(file))}, TASK)
    assert not packs.files()


def test_a_file_that_stays_comes_back(repo: GitRepo, file: Path) -> None:
    """Looking that closely changes nothing."""
    packs = _Packs(repo)
    saved = ArtifactWriter(packs).save({"log": encode(from_file(file))}, TASK)
    reader = ArtifactReader(PackReader(packs.pack_dir.parent))
    assert reader.open(saved.refs["log"]).read() == file.read_bytes()
    with _thread():
        other = ArtifactWriter(packs).save({"log": encode(file.read_bytes())}, TASK)
        small = ArtifactWriter(None).save({"log": encode(b"small")}, TASK)
    assert other.refs["log"].chunks == saved.refs["log"].chunks
    assert [*small.inline.values()] == [b"small"]


@pytest.mark.parametrize(("size", "packing"), [(1000, False), (SIZE, False), (SIZE, True)])
def test_an_array_that_another_thread_writes_to(repo: GitRepo, size: int, packing: bool) -> None:
    """Where threads run, memory is looked at as closely as a file."""
    packs = _Packs(repo)
    array: Any = np.frombuffer(bytearray(noise(size)), np.uint8)

    def flip() -> None:
        array[size // 2] ^= 255

    if packing:
        packs.before = flip
    index = _Index(repo, lambda: None if packing else flip())
    values = {"other": encode(noise(2 * MIB)), "array": encode(array)}
    with _thread(), pytest.raises(UnserializableArtifact, match="'array' changed"):
        ArtifactWriter(packs, index).save(values, TASK)
    assert not packs.files()


def test_a_few_bytes_that_change_before_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels inline is what was hashed, too."""
    array: Any = np.frombuffer(bytearray(noise(100)), np.uint8)

    def flips(parts: Iterable[memoryview]) -> Digest:
        found = digest_parts(parts)
        array[50] ^= 255
        return found

    monkeypatch.setattr(artifacts, "digest_parts", flips)
    with _thread(), pytest.raises(UnserializableArtifact, match="'array' changed"):
        ArtifactWriter(None).save({"array": encode(array)}, TASK)


def test_a_pack_holds_what_was_settled(repo: GitRepo) -> None:
    """Whatever becomes of the original: ids, checksums and content are those of the copy."""
    packs = _Packs(repo)
    originals = [bytearray(noise(size)) for size in (9, 70_000, 3 * MIB)]
    wanted = [bytes(data) for data in originals]

    def settle(view: memoryview) -> memoryview:
        copy = memoryview(bytes(view))
        view[:] = bytes(len(view))
        return copy

    pack = packs.write(
        [PackObject(ObjectType.BLOB, memoryview(data), stable_copy=settle) for data in originals]
    )
    assert originals == [bytearray(len(data)) for data in originals]
    assert list(pack.oids) == [hash_object(ObjectType.BLOB, data) for data in wanted]
    repo.git("fsck", "--strict", "--full")
