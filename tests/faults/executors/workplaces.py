"""Where tasks can be executed, each way with means to let something go wrong on the side of workers alone.

Agents and their flow programs read two files of the way first, by a `sitecustomize`: failpoints of their own, and
Python that they begin with. Neither the driver nor the engine does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.dask_cluster import DaskCluster
from tests.helpers.flows import at_most, eventually, family
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.same_runs import POOL

__all__ = ["ENGINES", "LOCAL", "Workplace", "workplace"]

LOCAL = ("fork", "fresh", "batch")
"""By which isolation tasks of this machine are executed."""
ENGINES = ("pool", "one disk", "dask", "ray")
"""By which engine; `one disk` is a pool whose agents work in the driver's repository."""

_BEGIN = """
import os, sys
_here = os.path.dirname(os.path.abspath(__file__))
def _text(name):
    try:
        with open(os.path.join(_here, name)) as file:
            return file.read()
    except OSError:
        return ""
if {"f.py", "gitflowrun.runtime.remote.agent_main"} & {*map(os.path.basename, sys.orig_argv)}:
    if _text("points"):
        os.environ["GITFLOWRUN_FAILPOINTS"] = _text("points")
    exec(compile(_text("begin.py"), "begin.py", "exec"), {})
"""
_POOL = (
    POOL.replace("(2,", "(2, initializer=_begin,")
    + """
def _begin():
    import os
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [{site!r}, os.environ.get("PYTHONPATH", "")])
    )
"""
)


class Workplace:
    """One way in which tasks are executed.

    Args:
        name: One of `LOCAL` or `ENGINES`.
        place: A directory for it.

    Attributes:
        name: The same.
        env: What makes a run be executed so.
        cache: Where agents have their caches.
    """

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.cache = place / "cache"
        self.env: Mapping[str, str] = {"XDG_CACHE_HOME": str(self.cache)}
        self._site = place / "site"
        self._site.mkdir(parents=True)
        (self._site / "sitecustomize.py").write_text(_BEGIN)
        if name in {"fresh", "batch"}:
            self.env = {**self.env, "GITFLOWRUN_ISOLATION": name}
        elif name in {"pool", "one disk"}:
            self.env = {**self.env, "GITFLOWRUN_EXECUTOR": "pools:pool"}

    @property
    def is_engine(self) -> bool:
        """Whether agents execute tasks."""
        return self.name in ENGINES

    def prepare(self, repo: GitRepo) -> None:
        """Let a repository's flows be executed so: `env` says the rest."""
        repo.write("pools.py", _POOL.format(site=str(self._site)))
        repo.git("config", "runs.env", "MARKER")
        repo.git("config", "runs.executorSharedDisk", str(self.name == "one disk").lower())

    def let_workers(self, points: str = "", begin: str = "") -> None:
        """Give what workers start from now on these failpoints, and this Python to begin with."""
        for name, text in (("points", points), ("begin.py", begin)):
            path = self._site / name
            path.unlink(missing_ok=True)
            if text:
                path.write_text(text)

    def is_free(self) -> bool:
        """Whether nothing of a run is left on workers soon."""
        return eventually(lambda: not self._of_runs(), at_most(5))

    def _of_runs(self) -> list[int]:
        return []

    def processes(self, role: str) -> list[int]:
        """What there is of a run on workers: `agent`, `task`, or `engine`, the engine's own process with an agent."""
        parents = _parents()
        agents = [pid for pid in parents if _is_agent(pid) and str(self.cache) in _cache_of(pid)]
        if role == "agent":
            return agents
        if role == "engine":
            return [parents[pid] for pid in agents]
        zygotes = {pid for pid, parent in parents.items() if parent in agents}
        return [pid for pid, parent in parents.items() if parent in zygotes]

    def left(self) -> list[Path]:
        """Directories of agents in their caches."""
        return [*self.cache.glob("gitflowrun/agents/*/agents/*")]

    def close(self) -> None:
        """End what was started for it."""


class _Dask(Workplace):
    """A scheduler of Dask and two workers, as programs of their own."""

    def __init__(self, place: Path) -> None:
        super().__init__("dask", place)
        self._cluster = DaskCluster(
            place / "cluster", make_repo(place / "any"), paths=[str(self._site)]
        )
        self.cache = place / "cluster"
        self.env = self._cluster.env()

    def _of_runs(self) -> list[int]:
        return _runs(self._cluster.marker)

    def left(self) -> list[Path]:
        return [*self.cache.glob("*/cache/gitflowrun/agents/*/agents/*")]

    def close(self) -> None:
        self._cluster.close()


class _Ray(Workplace):
    """A cluster of Ray on this machine, which no other one is mixed up with."""

    def __init__(self, place: Path) -> None:
        super().__init__("ray", place)
        self._marker = str(place / "workers")
        for _ in range(3):  # it gives itself half a minute, which is not enough on a busy machine
            address = self._start(place / "log")
            if address:
                self.env = {**self.env, "GITFLOWRUN_EXECUTOR": f"ray:{address}"}
                return
            self.close()
        raise AssertionError((place / "log").read_text())

    def _start(self, log: Path) -> str:
        """Start it; its address, if it has started."""
        self._sockets = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        words = ["--head", "--block", "--num-cpus=2", "--port=0", "--include-dashboard=false"]
        words += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        words += ["--temp-dir", self._sockets, "--object-store-memory=80000000"]
        env = {
            **os.environ, "PYTHONPATH": os.pathsep.join([str(self._site), str(ROOT)]), "WORKERS": self._marker,
            "XDG_CACHE_HOME": str(self.cache),
        }  # fmt: skip
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *words],
                cwd=log.parent, stdout=file, stderr=file, env=env, start_new_session=True,
            )  # fmt: skip
        told = eventually(lambda: self._address_in(log) or self._process.poll() is not None, 120)
        return told if isinstance(told, str) else ""

    def _address_in(self, log: Path) -> str:
        found = re.search(r"--address='([^']+)'", log.read_text())
        return found[1] if found else ""

    def _of_runs(self) -> list[int]:
        return _runs(self._marker)

    def close(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for pid in family(self._marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)


def _runs(marker: str) -> list[int]:
    """Agents and the processes of tasks, of those that have `marker`."""
    found = []
    for pid in family(marker):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"agent_main" in words or b"f.py" in words:
                found.append(pid)
    return found


def _parents() -> dict[int, int]:
    """Each process and its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            status = (path / "status").read_text()
            found[int(path.name)] = int(status.split("\nPPid:\t")[1].split("\n")[0])
    return found


def _is_agent(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"agent_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _cache_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"XDG_CACHE_HOME="):
                return os.fsdecode(entry)
    return ""


def workplace(name: str, place: Path) -> Workplace:
    """A way by its name; skips the test where its engine is not installed."""
    module = {"dask": "distributed", "ray": "ray"}.get(name)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{name} is not installed")
    if name == "dask":
        return _Dask(place)
    return _Ray(place) if name == "ray" else Workplace(name, place)
