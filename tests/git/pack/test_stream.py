"""Zlib streams in files and in memory, and bytes at positions of both."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.pack import stream as stream_module
from gitflowrun.git.pack.format import stored_stream
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.stream import File, Memory, Source, open_source
from tests.helpers.packs import EDGES, blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo


def _file(path: Path, data: bytes) -> File:
    path.write_bytes(data)
    return File(os.open(path, os.O_RDONLY), path)


@given(
    data=st.binary(max_size=300),
    start=st.integers(0, 320),
    lengths=st.lists(st.integers(0, 50), max_size=12),
)
def test_files_and_memory_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    start: int,
    lengths: list[int],
) -> None:
    """Reads end where the bytes end; scattering more than there is fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "VIEWS_A_CALL", 5)
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


def _stored(data: bytes) -> bytes:
    return b"".join(stored_stream(memoryview(data)))


def _into(stream: bytes, size: int) -> bytes:
    out = bytearray(size)
    stream_module.inflate_into(Memory(b"??" + stream + b"the next entry"), 2, memoryview(out))
    return bytes(out)


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("level", [0, 1, 9, "ours"])
def test_every_framing_is_read(size: int, level: int | str) -> None:
    """Streams of git's and of ours come out alike, small or large, compressed or not."""
    for data in (noise(size), (b"0123456789abcdef" * (size // 16 + 1))[:size]):
        stream = _stored(data) if level == "ours" else zlib.compress(data, int(level))
        assert _into(stream, size) == data
        assert stream_module.inflate(Memory(stream + b"more"), 0, size) == data


def test_what_we_store_is_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is inflated; what is framed otherwise is."""
    monkeypatch.setattr(stream_module, "_decompressor", lambda *_: pytest.fail("it inflates"))
    for size in EDGES:
        data = noise(size)
        assert _into(_stored(data), size) == data
    with pytest.raises(pytest.fail.Exception, match="it inflates"):
        _into(zlib.compress(noise(9)), 9)


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=20), st.integers(0, 9))
def test_streams_with_odd_flushes_are_read(data: bytes, cuts: list[int], level: int) -> None:
    """Empty and partial blocks within a stream make no difference."""
    compressor = zlib.compressobj(level)
    stream, start = b"", 0
    for cut in sorted(cuts):
        stream += compressor.compress(data[start:cut]) + compressor.flush(zlib.Z_FULL_FLUSH)
        start = max(start, cut)
    stream += compressor.compress(data[start:]) + compressor.flush()
    assert _into(stream, len(data)) == data
    assert stream_module.inflate(Memory(stream), 0, len(data)) == data


@pytest.mark.parametrize("kind", ["stored", "deflated"])
@pytest.mark.parametrize("size", [100, 200_000])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_wrong_size_is_corruption(kind: str, size: int, off: int) -> None:
    """A stream must hold exactly what was announced."""
    data = noise(size)
    stream = _stored(data) if kind == "stored" else zlib.compress(data)
    with pytest.raises(CorruptRecord):
        _into(stream, size + off)
    with pytest.raises(CorruptRecord):
        stream_module.inflate(Memory(stream), 0, size + off)


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_cut_stream_is_corruption(size: int) -> None:
    """A stream that ends early is never taken for its beginning."""
    for stream in (zlib.compress(noise(size)), _stored(noise(size))):
        for length in (0, 1, 2, 7, len(stream) // 2, len(stream) - 5, len(stream) - 1):
            with pytest.raises(CorruptRecord):
                stream_module.inflate(Memory(stream[:length]), 0, size)


def test_a_bomb_stays_within_its_announced_size() -> None:
    """No more than announced is inflated from a stream that holds 200 MB of zeros."""
    compressor = zlib.compressobj(1)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(200)) + compressor.flush()
    import tracemalloc

    tracemalloc.start()
    for size in (10, 5 << 20):
        with pytest.raises(CorruptRecord):
            stream_module.inflate(Memory(bomb), 0, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@given(st.binary(max_size=400), st.integers(0, 400))
def test_damage_yields_the_data_or_corruption(junk: bytes, size: int) -> None:
    """Arbitrary bytes are either a stream of that size or CorruptRecord; nothing else happens."""
    with contextlib.suppress(CorruptRecord):
        assert len(stream_module.inflate(Memory(junk), 0, size)) == size


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 40), st.data())
def test_a_beginning_may_be_skipped(data: bytes, repeat: int, draw: st.DataObject) -> None:
    """The header of a loose object is left out without a second copy of the object."""
    whole = data * repeat
    skip = draw.draw(st.integers(0, min(40, len(whole))))
    stream = zlib.compress(whole, draw.draw(st.integers(0, 9)))
    out = bytearray(len(whole) - skip)
    stream_module.inflate_into(Memory(stream), 0, memoryview(out), skip=skip)
    assert out == whole[skip:]
    assert stream_module.inflate(Memory(stream), 0, len(out), skip=skip) == out
