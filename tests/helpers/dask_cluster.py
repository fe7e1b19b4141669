"""A Dask scheduler and workers as people start them: programs in directories of their own, which share no disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.flows import eventually, family
from tests.helpers.repos import ROOT, GitRepo

__all__ = ["DaskCluster", "kill"]


class DaskCluster:
    """The processes of a cluster.

    Args:
        place: A directory for it.
        repo: Of which each worker's directory has a clone, as machines of colleagues may.
        count: How many workers.
        paths: Directories with modules for its processes.

    Attributes:
        marker: What is in the environment of all processes of workers, agents' and tasks' included.
    """

    def __init__(
        self, place: Path, repo: GitRepo, count: int = 2, paths: Sequence[str] = ()
    ) -> None:
        self.place = place
        self._paths = [*paths, str(ROOT)]
        self.repo = repo
        self.marker = str(place / "workers")
        self._facts = place / "scheduler.json"
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        place.mkdir()
        self.scheduler = self._start(place, "scheduler", "--port", "0", "--host", "127.0.0.1")
        self.address = eventually(self._address)
        assert self.address, (place / "log").read_text()
        self.numbers = range(1, count + 1)
        self.ensure()

    def _start(self, place: Path, *words: str) -> subprocess.Popen[bytes]:
        env = {
            **os.environ, "PYTHONPATH": os.pathsep.join(self._paths), "XDG_CACHE_HOME": str(place / "cache"),
            "WORKERS": self.marker, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100",
        }  # fmt: skip
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        command += ["--scheduler-file", str(self._facts)]
        with (place / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=place, stdout=log, stderr=log, env=env, start_new_session=True
            )

    def _address(self) -> str:
        try:
            return str(json.loads(self._facts.read_text())["address"])
        except (OSError, ValueError):
            return ""

    def directory(self, number: int) -> Path:
        """Where a worker was started, and has its clone and its cache."""
        return self.place / f"worker-{number}"

    def clone(self, number: int) -> GitRepo:
        """A worker's clone."""
        return GitRepo(self.directory(number) / "clone")

    def ensure(self) -> None:
        """Start workers that are not there."""
        for number in self.numbers:
            process = self._workers.get(number)
            if process is None or process.poll() is not None:
                place = self.directory(number)
                if not place.exists():
                    place.mkdir()
                    self.repo.git("clone", "-q", str(self.repo.path), str(place / "clone"))
                words = ["worker", "--nthreads", "1", "--name", f"w{number}"]
                self._workers[number] = self._start(place, *words)

    def env(self) -> dict[str, str]:
        """What a driver needs to use it."""
        return {"GITFLOWRUN_EXECUTOR": f"dask:{self.address}"}

    def processes(self) -> dict[str, list[int]]:
        """The living processes of workers by what they are: `nanny`, `worker`, `agent`, `zygote`, `task`."""
        found: dict[str, list[int]] = {}
        pids = family(self.marker)
        parents = {pid: _parent(pid) for pid in pids}
        flows = {pid for pid in pids if "flow.py" in _words(pid)}
        for pid in pids:
            words = _words(pid)
            if pid in flows:
                role = "task" if parents[pid] in flows else "zygote"
            elif "agent_main" in words:
                role = "agent"
            elif "spawn_main" in words:
                role = "worker"
            elif "dask worker" in words or "-m dask" in words:
                role = "nanny" if pid != self.scheduler.pid else "scheduler"
            else:
                continue
            found.setdefault(role, []).append(pid)
        return found

    def of_runs(self) -> list[int]:
        """The processes of agents and of their tasks."""
        now = self.processes()
        return [pid for role in ("agent", "zygote", "task") for pid in now.get(role, [])]

    def close(self) -> None:
        """End all of it."""
        for process in (*self._workers.values(), self.scheduler):
            process.terminate()
        for process in (*self._workers.values(), self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in family(self.marker):
            kill(pid)


def kill(pid: int) -> bool:
    """`kill -9`; whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _parent(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("\nPPid:\t")[2].partition("\n")[0] or 0)


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
