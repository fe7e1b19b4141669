"""The index of what is stored already."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest
from blake3 import blake3

from gitflowrun.artifacts import cache_file, dedup
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.names import Digest, TaskName
from tests.helpers.packs import objects_dir, publish
from tests.helpers.repos import GitRepo

ABSENT = Digest(bytes(32))
RUN = "refs/runs/F/1"


def _index(repo: GitRepo) -> DedupIndex:
    return DedupIndex(repo.path / ".git" / "gitflowrun", PackReader(objects_dir(repo)))


def _file(repo: GitRepo) -> Path:
    """Where the index of this user is."""
    return repo.path / ".git" / "gitflowrun" / f"dedup-{os.geteuid()}.sqlite"


def _digest(data: bytes) -> Digest:
    return Digest(blake3(data).digest())


def _published(repo: GitRepo, run: int, pieces: list[bytes]) -> ArtifactRef:
    """An artifact of those chunks in a published run."""
    oids = publish(repo, f"refs/runs/F/{run}", pieces)
    chunks = tuple(
        Chunk(_digest(piece), oid, len(piece)) for piece, oid in zip(pieces, oids, strict=True)
    )
    whole = b"".join(pieces)
    return ArtifactRef(_digest(whole), len(whole), "raw/1", "bytes", chunks, TaskName("start", "1"))


def _pieces(run: int, count: int = 3) -> list[bytes]:
    return [random.Random(run * 100 + number).randbytes(1000) for number in range(count)]


def test_what_was_added_is_found(repo: GitRepo) -> None:
    """Chunks and payloads are found by digest, also by another process; nothing else is."""
    many, single = _published(repo, 1, _pieces(1)), _published(repo, 2, _pieces(2, 1))
    _index(repo).add([many, single], RUN)
    index = _index(repo)
    wanted = [chunk.digest for ref in (many, single) for chunk in ref.chunks]
    expected = {chunk.digest: (chunk,) for ref in (many, single) for chunk in ref.chunks}
    assert index.lookup([*wanted, ABSENT]) == expected
    stored = {many.digest: many.chunks, single.digest: single.chunks}
    assert index.lookup([many.digest, single.digest, ABSENT]) == stored


def test_without_sqlite_nothing_is_found(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library may not be loaded where a task has little memory left, and some Pythons lack the module."""
    ref = _published(repo, 1, _pieces(1))
    _index(repo).add([ref], RUN)
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    index = _index(repo)
    assert index.lookup([ref.digest]) == {}
    index.add([ref], RUN)
    monkeypatch.undo()
    assert _index(repo).lookup([ref.digest]) == {ref.digest: ref.chunks}


def test_without_an_index_nothing_is_found_and_nothing_is_made(repo: GitRepo) -> None:
    """Looking up creates no file."""
    index = _index(repo)
    assert not index.exists
    assert index.lookup([ABSENT]) == {}
    assert not (_file(repo)).exists()


def test_thousands_of_digests_at_once(repo: GitRepo) -> None:
    """No limit of SQLite's on the number of parameters is met."""
    ref = _published(repo, 1, [b"%d" % number for number in range(3000)])
    index = _index(repo)
    index.add([ref], RUN)
    assert len(index.lookup([chunk.digest for chunk in ref.chunks])) == 3000
    assert index.lookup([ref.digest])[ref.digest] == ref.chunks


def test_objects_that_gc_took_are_not_found_and_forgotten(repo: GitRepo) -> None:
    """Deleting a run and collecting garbage takes its chunks out; other runs' stay."""
    gone, kept = _published(repo, 1, _pieces(1)), _published(repo, 2, _pieces(2))
    index = _index(repo)
    index.add([gone, kept], RUN)
    repo.git("update-ref", "-d", "refs/runs/F/1")
    repo.git("repack", "-adq")
    repo.git("prune", "--expire=now")
    assert index.lookup([gone.digest, kept.digest]) == {kept.digest: kept.chunks}
    assert index.lookup(chunk.digest for chunk in gone.chunks) == {}
    with contextlib.closing(sqlite3.connect(_file(repo))) as database:
        rows = database.execute("SELECT digest FROM stored").fetchall()
    assert {row[0] for row in rows} == {kept.digest, *(chunk.digest for chunk in kept.chunks)}


def test_a_payload_with_a_missing_chunk_is_not_found(repo: GitRepo) -> None:
    """All of a payload's chunks must be there."""
    ref = _published(repo, 1, _pieces(1))
    lost = Chunk(ABSENT, type(ref.chunks[0].oid)(b"\1" * 20), 0)
    broken = ArtifactRef(
        _digest(b"x"), ref.size, ref.codec, ref.type, (*ref.chunks, lost), ref.producer
    )
    index = _index(repo)
    index.add([broken], RUN)
    assert index.lookup([broken.digest]) == {}
    assert len(index.lookup(chunk.digest for chunk in broken.chunks)) == 3


def test_a_hit_freshens_its_pack(repo: GitRepo) -> None:
    """Git keeps what was used recently."""
    ref = _published(repo, 1, _pieces(1))
    index = _index(repo)
    index.add([ref], RUN)
    home = PackReader(objects_dir(repo)).home(ref.chunks[0].oid)
    assert home
    os.utime(home, (1e9, 1e9))
    assert index.lookup([ref.chunks[0].digest])
    assert home.stat().st_mtime > time.time() - 60


def test_objects_in_a_cruft_pack_are_gone(repo: GitRepo) -> None:
    """Git does not heed the time of a cruft pack: what is only there must be written again."""
    ref = _published(repo, 1, _pieces(1))
    index = _index(repo)
    index.add([ref], RUN)
    home = PackReader(objects_dir(repo)).home(ref.chunks[0].oid)
    assert home
    home.with_suffix(".mtimes").write_bytes(b"")
    assert index.lookup([ref.chunks[0].digest]) == {}


def test_while_gc_runs_nothing_is_found(repo: GitRepo) -> None:
    """A gc that began before may take what it found unreachable then; one that died long ago does not count."""
    ref = _published(repo, 1, _pieces(1))
    index = _index(repo)
    index.add([ref], RUN)
    pid = repo.write(".git/gc.pid", "1 host")
    assert index.lookup([ref.chunks[0].digest]) == {}
    assert index.lookup([ref.digest]) == {}
    os.utime(pid, (1e9, 1e9))
    assert index.lookup([ref.digest])


@pytest.mark.parametrize("damage", ["junk", "empty", "cut", "rows", "numbers", "text", "directory"])
def test_a_damaged_file_is_replaced(repo: GitRepo, damage: str) -> None:
    """Whatever is in the file: no error, no wrong answer, and the next index works."""
    ref = _published(repo, 1, _pieces(1))
    index = _index(repo)
    index.add([ref], RUN)
    path = _file(repo)
    if damage == "junk":
        path.write_bytes(random.Random(1).randbytes(20_000))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        database = sqlite3.connect(path)
        values = {"rows": "zeroblob(64)", "numbers": "5", "text": "'twenty-four characters..'"}
        database.execute(f"UPDATE stored SET row = {values[damage]}")
        database.commit()
        database.close()
    assert index.lookup([ref.chunks[0].digest]) == {}
    if damage == "directory":
        index.rebuild([(ref, RUN)])
        assert path.is_dir()
        path.rmdir()
    index.add([ref], RUN)
    assert index.lookup([ref.chunks[0].digest]) == {ref.chunks[0].digest: ref.chunks[:1]}


def test_every_flipped_byte_is_harmless(repo: GitRepo) -> None:
    """A torn page gives the right answer or none, never a wrong one."""
    ref = _published(repo, 1, _pieces(1, 40))
    index = _index(repo)
    expected = {chunk.digest: (chunk,) for chunk in ref.chunks}
    index.add([ref], RUN)
    path = _file(repo)
    whole = path.read_bytes()
    chance = random.Random(3)
    for _ in range(150):
        torn = bytearray(whole)
        for _ in range(chance.choice([1, 1, 30])):
            torn[chance.randrange(len(torn))] ^= 1 << chance.randrange(8)
        path.write_bytes(torn)
        found = index.lookup(expected)
        assert found.items() <= expected.items()
        assert set(index.lookup([ref.digest]).values()) <= {ref.chunks}


def test_a_busy_index_is_no_obstacle(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the file, nothing is found, nothing is added, nothing waits long."""
    monkeypatch.setattr("gitflowrun.artifacts.cache_file.PATIENCE", 0.01)
    ref = _published(repo, 1, _pieces(1))
    index = _index(repo)
    index.add([ref], RUN)
    other = sqlite3.connect(_file(repo), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert index.lookup([ref.chunks[0].digest]) == {}
    index.add([ref], RUN)
    other.execute("ROLLBACK")
    other.close()
    assert index.lookup([ref.chunks[0].digest])


def test_where_nothing_can_be_written_there_is_no_index(repo: GitRepo, tmp_path: Path) -> None:
    """A state directory that can't be made is no error."""
    (tmp_path / "file").write_text("")
    index = DedupIndex(tmp_path / "file", PackReader(objects_dir(repo)))
    index.add([_published(repo, 1, _pieces(1))], RUN)
    assert index.lookup([ABSENT]) == {}


def test_rebuilding_begins_anew(repo: GitRepo) -> None:
    """After a rebuild the index holds the given artifacts and no others."""
    old, new = _published(repo, 1, _pieces(1)), _published(repo, 2, _pieces(2))
    index = _index(repo)
    index.add([old], RUN)
    index.rebuild(iter([(new, RUN)]))
    assert index.lookup([old.digest, new.digest]) == {new.digest: new.chunks}


@pytest.mark.parametrize("part", ["", "-journal", "-wal"])
def test_what_another_user_has_written_is_not_used(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Each user of a shared repository has an index that is theirs alone; nothing is found in one put in its place."""
    (repo.path / ".git" / "gitflowrun").mkdir()
    (repo.path / ".git" / "gitflowrun").chmod(0o2770)
    ref = _published(repo, 1, _pieces(1))
    _index(repo).add([ref], RUN)
    mine = _file(repo)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    planted = _file(repo).with_name(_file(repo).name + part)
    shutil.copy(mine, planted)
    index = _index(repo)
    assert not (index.exists and index.lookup([ref.digest]))
    index.add([ref], RUN)
    assert planted.read_bytes() == mine.read_bytes()
    index.remove()  # which the directory allows
    assert not planted.exists()


def test_many_processes_add_at_once(repo: GitRepo) -> None:
    """Forked children that add and look up at the same time lose nothing but patience."""
    refs = [_published(repo, run, _pieces(run)) for run in range(1, 9)]
    index = _index(repo)
    children = []
    for ref in refs:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for _ in range(5):
                    index.add([ref], RUN)
                    index.lookup(chunk.digest for chunk in ref.chunks)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
    index.add(refs, RUN)
    assert len(index.lookup([ref.digest for ref in refs])) == len(refs)


def test_the_places_of_the_index(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test may let a process die: each is passed; a lookup writes nothing."""
    passed: list[str] = []
    for module in (cache_file, dedup):
        monkeypatch.setattr(module, "reached", passed.append)
    index, ref = _index(repo), _published(repo, 1, _pieces(1))
    index.add([ref], RUN)
    assert passed == ["cache.opened", "dedup.written"]
    assert index.lookup([ref.digest])
    assert passed[2:] == ["cache.opened"]


def test_what_can_not_be_read_is_forgotten(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its pieces; a pack that can't be marked as in use is none to rely on."""
    one, two = (_published(repo, run, _pieces(run)) for run in (1, 2))
    index = _index(repo)
    index.add([one, two], RUN)
    index.forget(one)
    wanted = [ref.digest for ref in (one, two)] + [chunk.digest for chunk in one.chunks]
    assert index.lookup(wanted).keys() == {two.digest}

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        assert index.lookup([two.digest]) == {}
    assert index.lookup([two.digest]) == {}  # it was forgotten
