"""Large artifacts of a run: stock git checks, copies and keeps them, and what it hands out is what was stored."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from blake3 import blake3

from tests.helpers.repos import GitRepo, make_repo

FLOW = """
import numpy as np
from gitflowrun import FlowSpec, IncludeFile, step

class Large(FlowSpec):
    notes = IncludeFile("notes", default="notes.txt", is_text=False)

    @step
    def start(self):
        rng = np.random.default_rng(7)
        self.noise = rng.random(2_000_000)
        self.labels = rng.integers(0, 9, 2_000_000)
        self.records = [{"id": n, "name": f"row {n}"} for n in range(250_000)]
        self.text = "zeros and ones " * 1_000_000
        self.things = {"noise": self.noise[:1_000_000] + 1, "raw": bytes(6_000_000)}
        for n in range(60_000):
            print(n, "x" * 100)
        self.next(self.end)

    @step
    def end(self):
        self.noise[7] = 7
        print(len(self.notes))

if __name__ == "__main__":
    Large()
"""

CHECK = """
import numpy as np
from gitflowrun import Run

run = Run("Large/1")
start, rng = run["start"].task.data, np.random.default_rng(7)
noise = rng.random(2_000_000)
assert (start.noise == noise).all()
assert (start.labels == rng.integers(0, 9, 2_000_000)).all()
assert start.records == [{"id": n, "name": f"row {n}"} for n in range(250_000)]
assert start.text == "zeros and ones " * 1_000_000
assert (start.things["noise"] == noise[:1_000_000] + 1).all()
assert start.things["raw"] == bytes(6_000_000)
noise[7] = 7
assert (run.data.noise == noise).all()
assert bytes(run.data.notes) == b"0123456789\\n" * 600_000
assert run["start"].task.stdout == "".join(f"{n} {'x' * 100}\\n" for n in range(60_000))
print("whole")
"""

LARGEST = 5 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run whose artifacts, and output, are large."""
    repo = make_repo(tmp_path_factory.mktemp("large") / "a repo", files={"large.py": FLOW})
    repo.write("notes.txt", "0123456789\n" * 600_000)
    repo.write(".gitignore", "notes.txt\n")
    repo.commit()
    done = repo.flow("large.py", "run")
    assert done.code == 0, done.err
    return repo


def _copy(repo: GitRepo, how: str, path: Path) -> GitRepo:
    """The repository after something that stock git does, or what that made."""
    if how in {"gc --prune=now", "repack -ad", "gc --aggressive --prune=now"}:
        repo.git("clone", "-q", "--mirror", str(repo.path), str(path))
        GitRepo(path).git(*how.split())
    elif how == "bundle":
        repo.git("bundle", "create", "-q", str(path.with_suffix(".bundle")), "--all")
        repo.git("clone", "-q", "--mirror", str(path.with_suffix(".bundle")), str(path))
    elif how == "push":
        repo.git("init", "-q", "--bare", str(path))
        repo.git("push", "-q", "--mirror", str(path))
    return GitRepo(path)


def test_every_blob_is_small(large: GitRepo) -> None:
    """Hosts refuse files of 100 MB, and git holds every blob in memory: none of ours reaches 5 MiB."""
    large.fsck()
    lines = large.git("cat-file", "--batch-all-objects", "--batch-check").splitlines()
    sizes = [int(line.split()[2]) for line in lines if line.split()[1] == "blob"]
    assert sum(sizes) > 40_000_000
    assert max(sizes) < LARGEST
    output = large.git("ls-tree", "--name-only", "runs/Large/1:steps/start/1").splitlines()
    assert {"stdout", "stdout.2"} <= set(output)


@pytest.mark.parametrize(
    "how",
    ["gc --prune=now", *(pytest.param(it, marks=pytest.mark.slow) for it in ("push", "repack -ad", "bundle"))],
)  # fmt: skip
@pytest.mark.slow
def test_copies_are_whole(large: GitRepo, tmp_path: Path, how: str) -> None:
    """Whatever stock git makes of the objects, deltas included, is read back and checked.

    A quarter of a million records take many times their size in memory, which somebody else's must not without trust.
    """
    copy = _copy(large, how, tmp_path / "copy.git")
    copy.fsck()
    assert copy.call("trust", "Large/1").code == 0
    found = copy.python("-c", CHECK)
    assert (found.code, found.out) == (0, "whole\n"), found.err


def test_stock_git_hands_out_the_payload(large: GitRepo) -> None:
    """The chunks that `data/` lists are the payload, one after the other, named by its BLAKE3."""
    names = large.git("ls-tree", "-r", "--name-only", "runs/Large/1", "data").splitlines()
    assert len(names) == 6
    for name in names:
        words = [
            line.split(" ", 1) for line in large.git("show", f"runs/Large/1:{name}").splitlines()
        ]
        task = next(word for key, word in words if key == "task")
        payload = blake3()
        for key, chunk in words:
            if key == "chunk":
                path = f"runs/Large/1:steps/{task}/blake3/{chunk}"
                found = subprocess.run(
                    ["git", "cat-file", "blob", path],
                    cwd=large.path,
                    capture_output=True,
                    check=True,
                )
                payload.update(found.stdout)
        assert ["blake3", payload.hexdigest()] in words
