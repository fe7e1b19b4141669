"""Files written with and without the page cache."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

import pytest

from gitflowrun.git.pack import writer as output_module
from gitflowrun.git.pack.writer import Output
from tests.helpers.packs import noise

LARGE = 1 << 30


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
    output.close(60_000)
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
    output.close(5000)
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
    output.close()
    assert (tmp_path / "f").read_bytes() == noise(5000)


def test_tmpfs_takes_large_files() -> None:
    """On a memory file system, with whatever support it has, the bytes arrive."""
    directory = Path("/dev/shm")
    if not directory.is_dir():
        pytest.skip("no /dev/shm")
    path = directory / f"gitflowrun-test-{os.getpid()}"
    try:
        output = Output(path, sync=True, expected=output_module.DIRECT_FROM, readable_as=directory)
        output.append(_page_aligned(noise(8192)))
        output.close(8192)
        assert path.read_bytes() == noise(8192)
    finally:
        path.unlink(missing_ok=True)


def test_early_write_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appended bytes are written back early and arrive."""
    monkeypatch.setattr(output_module, "_WRITE_BACK", 10_000)
    output = Output(tmp_path / "f", sync=True, expected=0, readable_as=tmp_path)
    for start in range(0, 50_000, 1000):
        output.append(noise(50_000)[start : start + 1000])
    output.close()
    assert (tmp_path / "f").read_bytes() == noise(50_000)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """Names are random; should one be taken, nothing is lost."""
    (tmp_path / "f").write_bytes(b"mine")
    for expected in (0, LARGE):
        with pytest.raises(FileExistsError):
            Output(tmp_path / "f", sync=True, expected=expected, readable_as=tmp_path)
    assert (tmp_path / "f").read_bytes() == b"mine"
