"""Whatever the bytes, readers of strangers' bytes give a value or one of our errors: soon, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.repos import ROOT
from tests.security import fuzz_git, fuzz_values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.repos import GitRepo

QUICK, QUICK_OF_GIT = 1_000, 200
SHARDS, A_SHARD = 40, 5_200  # 208,000 payloads
SHARDS_OF_GIT, A_SHARD_OF_GIT = 8, 3_500  # 28,000 files and objects


def _fuzz(module: str, seed: int, count: int, place: Path) -> dict[str, Any]:
    """Run a fuzzer in a process of its own; what it says at its end, or how it ended."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.security.{module}", str(seed), str(count), str(place)],
        capture_output=True, check=False, cwd=ROOT, timeout=1_200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode:
        return {"ended": done.returncode, "why": done.stderr[-2000:].decode()}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check_values(seed: int, count: int, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.touch()
    found = _fuzz("fuzz_values", seed, count, number)
    if "ended" in found:
        codec, raw = fuzz_values.payload(seed, int(number.read_text() or -1))
        (tmp_path / "payload").write_bytes(raw)
        pytest.fail(f"{found}: seed {seed}, {codec}, {raw[:4000].hex()}, kept in {tmp_path}")
    assert found["found"] == []
    assert sum(found["outcomes"].values()) == count
    assert found["outcomes"]["value"] > count // 20
    assert found["outcomes"]["CorruptRecord"] > count // 20


def test_some_changed_values(tmp_path: Path) -> None:
    """A thousand payloads, the same at each run."""
    _check_values(0, QUICK, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_changed_values(shard: int, tmp_path: Path) -> None:
    """Two hundred thousand payloads; `pytest -m slow -n` shares them among processes."""
    _check_values(1 + shard, A_SHARD, tmp_path)


def _check_git(seed: int, count: int, repo: GitRepo, tmp_path: Path) -> None:
    place = tmp_path / "files"
    place.mkdir()
    fuzz_git.prepare(repo, place)
    found = _fuzz("fuzz_git", seed, count, place)
    assert "ended" not in found, f"{found}: the bytes are in {tmp_path / f'current {seed}'}"
    assert found["found"] == []
    assert sum(found["outcomes"].values()) == count


def test_some_changed_files_of_git(repo: GitRepo, tmp_path: Path) -> None:
    """Packs, indexes, loose objects, trees, commits, refs, records and previews, some hundred."""
    _check_git(0, QUICK_OF_GIT, repo, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS_OF_GIT))
def test_many_changed_files_of_git(shard: int, repo: GitRepo, tmp_path: Path) -> None:
    """Twenty-eight thousand of them."""
    _check_git(1 + shard, A_SHARD_OF_GIT, repo, tmp_path)
