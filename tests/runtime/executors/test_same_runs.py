"""Runs are the same wherever tasks are executed: values, statuses, exit codes, attempts, output, cards, course."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.flows import eventually
from tests.helpers.same_runs import OWN, THEIRS, differences, execute, flow_repo, told

FAST = ("segfault", "crash_and_retry", "cards_many")
_POOL = {"GITFLOWRUN_EXECUTOR": "pools:pool"}
WAYS: dict[str, Mapping[str, str]] = {
    "fresh": {"GITFLOWRUN_ISOLATION": "fresh"},
    "batch": {"GITFLOWRUN_ISOLATION": "batch"},
    "pool": _POOL,
    "pool, one disk": _POOL,
    "pool, batch": {**_POOL, "GITFLOWRUN_ISOLATION": "batch"},
    "dask": {"GITFLOWRUN_EXECUTOR": "dask:{address}"},
    "ray": {"GITFLOWRUN_EXECUTOR": "ray:{address}"},
}
"""How tasks are executed, besides by forks of this machine: by environment variables."""


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Dask scheduler with two workers."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("Dask is not installed")
    place = tmp_path_factory.mktemp("dask")
    program = [sys.executable, "-m", "dask"]
    found = place / "scheduler.json"
    words = ["--scheduler-file", str(found), "--no-dashboard"]
    with (place / "log").open("ab") as log:
        started = [
            subprocess.Popen([*program, *more, *words], cwd=place, stdout=log, stderr=log)
            for more in (["scheduler", "--port", "0"], ["worker", "--nworkers", "2"])
        ]
    try:
        yield eventually(lambda: _address_in(found))
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def _address_in(file: Path) -> str:
    import json

    try:
        return str(json.loads(file.read_text())["address"])
    except (OSError, ValueError):
        return ""


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of its own on this machine."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    place = tmp_path_factory.mktemp("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--head", "--num-cpus=2", f"--port={port}", "--include-dashboard=false", "--block"]
    words += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    with (place / "log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *words],
            cwd=place, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: b"Ray runtime started" in (place / "log").read_bytes(), 180)
        yield f"127.0.0.1:{port}"
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(30)


def _same(place: Path, flow: str, way: str, env: Mapping[str, str]) -> None:
    """Run a flow by forks and by another way; nothing that is told of the runs differs."""
    repo = flow_repo(place / "repo", flow)
    repo.git("config", "runs.executorSharedDisk", str(way == "pool, one disk").lower())
    own = {"XDG_CACHE_HOME": str(place / "cache")}
    forked = execute(repo, own)
    other = execute(repo, {**own, **env})
    assert other.run.id != forked.run.id, other.words
    named = env.get("GITFLOWRUN_EXECUTOR", "local").partition(":")[0]
    assert ("Tasks are executed by" in other.words) == (named != "local"), other.words
    assert [*differences(told(forked), told(other))] == [], other.words
    repo.fsck()


@pytest.mark.parametrize("flow", FAST)
@pytest.mark.sample("crash_and_retry")
def test_a_pool_of_processes(tmp_path: Path, flow: str) -> None:
    """Tasks of a segfault, of lost processes and retries, and with cards, through agents that share no disk."""
    _same(tmp_path, flow, "pool", WAYS["pool"])


@pytest.mark.slow
@pytest.mark.parametrize("flow", [*OWN, *THEIRS])
@pytest.mark.parametrize("way", WAYS)
def test_each_flow_each_way(
    tmp_path: Path, flow: str, way: str, request: pytest.FixtureRequest
) -> None:
    """Forty flows, by each isolation and each engine."""
    address = request.getfixturevalue(way) if way in {"dask", "ray"} else ""
    env = {name: value.format(address=address) for name, value in WAYS[way].items()}
    _same(tmp_path, flow, way, {**env, "PATH": os.environ["PATH"]})
