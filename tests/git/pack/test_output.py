"""Files written with and without the page cache."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from gitflowrun.git.pack import output as output_module
from gitflowrun.git.pack.output import Output
from tests.helpers.packs import noise


def _page_aligned(data: bytes) -> memoryview:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memoryview(memory)


@pytest.mark.parametrize("expected", [0, 1 << 30])
def test_placed_bytes_arrive(tmp_path: Path, expected: int) -> None:
    """Bytes may be placed in any order, directly or not; the file is cut to its size."""
    data = noise(64 << 10)
    output = Output(tmp_path / "f", sync=True, expected=expected, readable_as=tmp_path)
    half = 32 << 10
    output.place(_page_aligned(data[half:]), half)
    output.place(_page_aligned(data[:half]), 0)
    output.close(60_000)
    assert (tmp_path / "f").read_bytes() == data[:60_000]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("when", ["open", "write"])
def test_without_direct_io_the_page_cache_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, when: str
) -> None:
    """A file system that refuses direct I/O, at opening or only at the first write, gets ordinary writes."""
    real_open, real_pwrite = os.open, os.pwrite
    refused = []

    def open_(path: Path, flags: int, mode: int) -> int:
        if flags & os.O_DIRECT and when == "open":
            refused.append(path)
            raise OSError(code, os.strerror(code))
        return real_open(path, flags & ~os.O_DIRECT, mode)

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        if not refused:
            refused.append(Path("write"))
            raise OSError(code, os.strerror(code))
        return real_pwrite(fd, data, offset)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "pwrite", pwrite)
    output = Output(tmp_path / "f", sync=True, expected=1 << 30, readable_as=tmp_path)
    output.place(_page_aligned(noise(8192)), 0)
    output.close(5000)
    assert (tmp_path / "f").read_bytes() == noise(8192)[:5000]
    assert len(refused) == 1
    assert not output.is_direct


def test_tmpfs_takes_large_files() -> None:
    """On a memory file system, with whatever support it has, the bytes arrive."""
    directory = Path("/dev/shm")
    if not directory.is_dir():
        pytest.skip("no /dev/shm")
    path = directory / f"gitflowrun-test-{os.getpid()}"
    try:
        output = Output(path, sync=True, expected=output_module.DIRECT_FROM, readable_as=directory)
        output.place(_page_aligned(noise(8192)), 0)
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
    for expected in (0, 1 << 30):
        with pytest.raises(FileExistsError):
            Output(tmp_path / "f", sync=True, expected=expected, readable_as=tmp_path)
    assert (tmp_path / "f").read_bytes() == b"mine"
