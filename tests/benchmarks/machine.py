"""What the benchmarks share: a sealed repository to measure in, CPU time of child processes, and the machine's name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_CHILD_SUBREAPER = 36
_SYNCS = "fsync,fdatasync,syncfs,sync_file_range,sync"


@dataclass(frozen=True)
class Cost:
    """What a finished program cost: seconds of wall clock, and of CPU, all its children included."""

    wall: float
    cpu: float


def measure(
    command: list[str], cwd: Path, env: dict[str, str] | None = None, *, check: bool = True
) -> Cost:
    """Run a program to its end and say what it cost.

    Raises:
        RuntimeError: it failed.
    """
    adopt_orphans()
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, check=False
    )
    wall = time.perf_counter() - start
    reap_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and done.returncode:
        msg = f"{command} failed:\n{done.stdout.decode()}\n{done.stderr.decode()}"
        raise RuntimeError(msg)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def adopt_orphans() -> None:
    """Become the parent of processes whose own has ended, so that what they cost is counted, too (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans() -> None:
    """Wait for all processes that a program has left behind."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def best(command: list[str], cwd: Path, rounds: int, env: dict[str, str] | None = None) -> Cost:
    """The least of several rounds, wall and CPU each, after one round that warms the caches."""
    measure(command, cwd, env)
    costs = [measure(command, cwd, env) for _ in range(rounds)]
    return Cost(min(cost.wall for cost in costs), min(cost.cpu for cost in costs))


def repository(path: Path, files: dict[str, str]) -> Path:
    """A git repository with one commit of `files`."""
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    for args in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "Ada"],
        ["config", "user.email", "ada@example.org"],
        ["add", "-A"],
        ["commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *args], cwd=path, check=True)
    return path


@contextlib.contextmanager
def in_memory(files: dict[str, str]) -> Iterator[Path]:
    """Such a repository in a temporary directory, in memory where that can be: it is not the disk that is measured."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield repository(Path(directory) / "repo", files)


def environment() -> dict[str, str]:
    """The environment in which programs find this checkout's gitflowrun, and may keep what they compile."""
    return {
        "PYTHONPATH": str(ROOT),
        "USER": os.environ.get("USER", "ada"),
        "PYTHONDONTWRITEBYTECODE": "",
    }


def describe() -> str:
    """The machine, in a line."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


def has(module: str) -> bool:
    """Whether a peer is installed beside this interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, check=False
    )
    return done.returncode == 0


def count_syncs(command: list[str], repo: Path, env: dict[str, str]) -> int | None:
    """How often a program and all its children waited for the disk, O_SYNC files included; None without strace."""
    if shutil.which("strace") is None:
        return None
    log = repo.parent / "strace.log"
    traced = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={_SYNCS},openat", *command]
    measure(traced, repo, env)
    lines = log.read_text(errors="replace").splitlines()
    calls = [line for line in lines if re.search(rf"\b({_SYNCS.replace(',', '|')})\(", line)]
    return len(calls) + sum("O_SYNC" in line or "O_DSYNC" in line for line in lines)
