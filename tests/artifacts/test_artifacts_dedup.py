"""Saving what is stored already: artifacts, the index and packs together."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter, Saved
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.digest import digest
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.names import TaskName
from tests.helpers.packs import objects_dir, pack_store, publish
from tests.helpers.repos import GitRepo

TASK = TaskName("start", "1")
MIB = 1 << 20


class _Storage:
    """A repository's artifacts, saved and published."""

    def __init__(self, repo: GitRepo) -> None:
        self.objects = PackReader(objects_dir(repo))
        self.index = DedupIndex(repo.path / ".git/gitflowrun", self.objects)
        self.packs = pack_store(repo)

    def save(self, **values: object) -> Saved:
        """Save in a task of its own, as a process of its own would."""
        writer = ArtifactWriter(self.packs, self.index)
        saved = writer.save({name: codecs.encode(value) for name, value in values.items()}, TASK)
        self.index.add(saved.refs.values(), "refs/runs/F/1")
        return saved

    def load(self, saved: Saved, name: str) -> object:
        """The value again."""
        return ArtifactReader(self.objects).load(saved.refs[name], trusted=True)

    @property
    def stored(self) -> int:
        """Bytes of all packs."""
        return sum(path.stat().st_size for path in Path(self.packs.pack_dir).glob("*.pack"))


@pytest.mark.parametrize("size", [100_000, MIB, 12 * MIB])
def test_the_same_value_again_writes_nothing(repo: GitRepo, size: int) -> None:
    """A value that any run has stored costs no pack, and loads."""
    storage = _Storage(repo)
    value = random.Random(1).randbytes(size)
    first = storage.save(a=value)
    before = storage.stored
    again = storage.save(other_name=value)
    assert first.packs
    assert again.packs == ()
    assert storage.stored == before
    assert again.refs["other_name"].chunks == first.refs["a"].chunks
    assert storage.load(again, "other_name") == value


def test_a_changed_value_writes_its_change(repo: GitRepo) -> None:
    """Rows inserted into a large value cost a few chunks."""
    storage = _Storage(repo)
    value = random.Random(1).randbytes(24 * MIB)
    storage.save(a=value)
    before = storage.stored
    changed = value[: 10 * MIB] + b"rows" * 1000 + value[10 * MIB :]
    saved = storage.save(a=changed)
    assert 0 < storage.stored - before < 6 * MIB
    assert storage.load(saved, "a") == changed


def test_a_changed_column_writes_that_column(repo: GitRepo) -> None:
    """Arrays in one value are cut apart: only the changed one is new."""
    np = pytest.importorskip("numpy")
    storage = _Storage(repo)
    columns = [np.random.default_rng(seed).random(400_000) for seed in range(6)]
    storage.save(table=columns)
    before = storage.stored
    columns[2] = columns[2] + 1
    saved = storage.save(table=columns)
    assert storage.stored - before < 3.5 * MIB
    assert all((a == b).all() for a, b in zip(columns, storage.load(saved, "table"), strict=True))  # type: ignore[call-overload]


def test_a_piece_that_is_stored_in_several_chunks_is_not_written_again(repo: GitRepo) -> None:
    """A chunk of one value may be another value as a whole, which was cut otherwise."""
    storage = _Storage(repo)
    whole = random.Random(1).randbytes(MIB)
    halves = (memoryview(whole[: MIB // 2]), memoryview(whole[MIB // 2 :]))
    oids = publish(repo, "refs/runs/F/1", [bytes(half) for half in halves])
    chunks = tuple(
        Chunk(digest(half), oid, half.nbytes) for half, oid in zip(halves, oids, strict=True)
    )
    storage.index.add(
        [ArtifactRef(digest(whole), MIB, "bytes/1", "bytes", chunks, TASK)], "refs/runs/F/1"
    )
    value = whole + random.Random(2).randbytes(MIB)
    parts = (memoryview(whole), memoryview(value[MIB:]))
    made = codecs.Encoded("bytes/1", "builtins.bytes", parts)
    saved = ArtifactWriter(storage.packs, storage.index).save({"a": made}, TASK)
    assert saved.refs["a"].chunks[:2] == chunks
    assert storage.load(saved, "a") == value


def test_what_gc_took_is_written_again(repo: GitRepo) -> None:
    """The index never stands in for an object that is gone."""
    storage = _Storage(repo)
    value = random.Random(1).randbytes(3 * MIB)
    first = storage.save(a=value)
    storage.packs.release(first.packs)
    repo.git("gc", "-q", "--prune=now")
    again = storage.save(a=value)
    assert again.packs
    assert storage.load(again, "a") == value
