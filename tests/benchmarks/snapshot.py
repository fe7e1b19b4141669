"""What a snapshot of a work tree costs: against `git status`, and in memory when much is new.

    python -m tests.benchmarks.snapshot [--files 20000] [--new 1000] [--rounds 12]

CPU of this process and of git's, medians, contenders in turn; then the peak of both for so many MB of new files.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot

_STATUS = ("git", "--no-optional-locks", "status", "--porcelain")
_PIECE = 40_000_000


def _git(place: Path, *args: str) -> None:
    command = ("git", "-c", "user.name=x", "-c", "user.email=x", *args)
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)


def _cpu(action: Callable[[], object]) -> float:
    """Milliseconds of the processor, children included."""

    def used() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)

    before = used()
    action()
    return (used() - before) * 1000


def _against_status(place: Path, rounds: int) -> str:
    repository = Repository.discover(place)
    repository.settings  # noqa: B018  (a run has read them already)
    pairs = [
        (
            _cpu(lambda: subprocess.run(_STATUS, cwd=place, check=True, stdout=subprocess.DEVNULL)),
            _cpu(lambda: take_snapshot(repository)),
        )
        for _ in range(rounds)
    ]
    status, snapshot = map(statistics.median, zip(*pairs, strict=True))
    return f"git status {status:.0f} ms, snapshot {snapshot:.0f} ms: {snapshot / status:.2f} x"


def _peaks() -> str:
    """The peaks of this process and of the largest that it has started, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    git = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return f"ours {own >> 10} MB, git's {git >> 10} MB"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--new", type=int, default=1_000, metavar="MB")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _git(place, "init", "-q")
        for number in range(options.files):
            path = place / f"d{number // 100}" / f"f{number}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{number}\n", encoding="ascii")
        _git(place, "add", "-A")
        _git(place, "commit", "-q", "-m", "files")
        print(f"{options.files} files, clean: {_against_status(place, options.rounds)}")
        path.write_text("dirty\n", encoding="ascii")
        print(f"{options.files} files, one dirty: {_against_status(place, options.rounds)}")
        for number in range(-(-options.new * 1_000_000 // _PIECE)):
            (place / f"new{number}").write_bytes(os.urandom(_PIECE))
        repository = Repository.discover(place)
        repository.packs.write(take_snapshot(repository).objects)
        print(f"{options.new} MB of new files, peaks: {_peaks()}")


if __name__ == "__main__":
    main()
