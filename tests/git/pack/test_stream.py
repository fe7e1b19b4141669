"""Bytes at positions of files and of memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.pack import stream
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.stream import File, Memory, Source, open_source
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo


def _file(path: Path, data: bytes) -> File:
    path.write_bytes(data)
    return File(os.open(path, os.O_RDONLY), path)


@pytest.mark.parametrize("has_preadv", [True, False])
@given(
    data=st.binary(max_size=300),
    start=st.integers(0, 320),
    lengths=st.lists(st.integers(0, 50), max_size=12),
)
def test_files_and_memory_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    has_preadv: bool,
    data: bytes,
    start: int,
    lengths: list[int],
) -> None:
    """Reads end where the bytes end; scattering more than there is fails."""
    with pytest.MonkeyPatch.context() as patch:
        if not has_preadv:
            patch.delattr(os, "preadv")
        patch.setattr(stream, "_MAX_VIEWS", 5)
        sources: list[Source] = [Memory(data), _file(tmp_path_factory.mktemp("f") / "f", data)]
        for source in sources:
            assert source.size == len(data)
            assert source.read(start, 40) == data[start : start + 40]
            target = bytearray(sum(lengths))
            views, end = [], 0
            for length in lengths:
                views.append(memoryview(target)[end : end + length])
                end += length
            fits = start + end <= len(data) or not end
            assert source.scatter(start, views) is fits
            assert not fits or target == data[start : start + end]


def test_small_files_take_no_descriptor(tmp_path: Path) -> None:
    """A hundred small packs are a hundred small files that are closed again."""
    (tmp_path / "small").write_bytes(b"x" * 1000)
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    assert isinstance(open_source(tmp_path / "small"), Memory)
    assert isinstance(open_source(tmp_path / "large"), File)
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none")


def test_a_failing_disk_is_an_error_of_the_object(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a signal nor garbage: which object, in which file, and what the system says."""
    pack = pack_store(repo).write([blob(noise(300_000))])
    reader = PackReader(objects_dir(repo))
    assert reader.size(pack.oids[0]) == 300_000

    def fail(*_args: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(CorruptRecord, match=rf"{pack.oids[0]}.*{pack.name}.*Input/output error"):
        reader.read_into(pack.oids[0], memoryview(bytearray(300_000)))
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(CorruptRecord, match="Input/output error"):
        reader.read(pack.oids[0])


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named."""

    def refuse(*_args: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CorruptRecord, match="can't be opened: Permission denied"):
        open_source(tmp_path / "f")
