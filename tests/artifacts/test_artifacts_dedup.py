"""Saving what is stored already: artifacts, the index and packs together."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter, Saved
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.names import TaskName
from tests.helpers.packs import objects_dir, pack_store
from tests.helpers.repos import GitRepo

TASK = TaskName("start", "1")
MIB = 1 << 20


class _Room:
    """A repository's artifacts, saved and published."""

    def __init__(self, repo: GitRepo) -> None:
        self.objects = PackReader(objects_dir(repo))
        self.index = DedupIndex.of(repo.path / ".git/gitflowrun", self.objects)
        self.packs = pack_store(repo)

    def save(self, **values: object) -> Saved:
        """Save in a task of its own, as a process of its own would."""
        writer = ArtifactWriter(self.packs, self.index)
        saved = writer.save({name: codecs.encode(value) for name, value in values.items()}, TASK)
        self.index.add(saved.refs.values())
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
    room = _Room(repo)
    value = random.Random(1).randbytes(size)
    first = room.save(a=value)
    before = room.stored
    again = room.save(other_name=value)
    assert first.packs
    assert again.packs == ()
    assert room.stored == before
    assert again.refs["other_name"].chunks == first.refs["a"].chunks
    assert room.load(again, "other_name") == value


def test_a_changed_value_writes_its_change(repo: GitRepo) -> None:
    """Rows inserted into a large value cost a few chunks."""
    room = _Room(repo)
    value = random.Random(1).randbytes(24 * MIB)
    room.save(a=value)
    before = room.stored
    changed = value[: 10 * MIB] + b"rows" * 1000 + value[10 * MIB :]
    saved = room.save(a=changed)
    assert 0 < room.stored - before < 6 * MIB
    assert room.load(saved, "a") == changed


def test_a_changed_column_writes_that_column(repo: GitRepo) -> None:
    """Arrays in one value are cut apart: only the changed one is new."""
    np = pytest.importorskip("numpy")
    room = _Room(repo)
    columns = [np.random.default_rng(seed).random(400_000) for seed in range(6)]
    room.save(table=columns)
    before = room.stored
    columns[2] = columns[2] + 1
    saved = room.save(table=columns)
    assert room.stored - before < 3.5 * MIB
    assert all((a == b).all() for a, b in zip(columns, room.load(saved, "table"), strict=True))  # type: ignore[call-overload]


def test_what_gc_took_is_written_again(repo: GitRepo) -> None:
    """The index never stands in for an object that is gone."""
    room = _Room(repo)
    value = random.Random(1).randbytes(3 * MIB)
    first = room.save(a=value)
    room.packs.release(first.packs)
    repo.git("gc", "-q", "--prune=now")
    again = room.save(a=value)
    assert again.packs
    assert room.load(again, "a") == value
