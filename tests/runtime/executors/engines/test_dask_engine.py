"""Dask as an engine, where it is installed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import ExecutorError
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.dask_engine import (
    DaskEngine,
    _all_workers,
    _host_towards,
)
from gitflowrun.runtime.executors.engines.engine_choice import engine_of
from tests.helpers.engines import PROGRAM, Ends, is_alive, pids_in, start, wait_for

pytest.importorskip("distributed")
# Dask's own, of sockets and loops that it closes in its own time.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def ends() -> Ends:
    """What is told of agents."""
    return Ends()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a Dask scheduler of its own, without workers."""
    with _program(
        "scheduler", tmp_path, "--port", "0", "--scheduler-file", str(tmp_path / "s.json")
    ):
        wait_for((tmp_path / "s.json").exists)
        yield str(tmp_path / "s.json")


class _program:  # noqa: N801  (a context manager)
    """A process of `dask scheduler` or `dask worker`."""

    def __init__(self, verb: str, directory: Path, *args: str) -> None:
        self.words = [sys.executable, "-m", "dask", verb, *args, "--no-dashboard"]
        self.directory = directory

    def __enter__(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(self.words, cwd=self.directory, stdout=log, stderr=log)
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def test_a_cluster_of_this_machine_is_started_and_stopped(ends: Ends, tmp_path: Path) -> None:
    """It runs as many agents at once as it has slots; who is given up never begins."""
    engine = DaskEngine(None, 2, ends, PROGRAM)
    try:
        assert engine.host == "127.0.0.1"
        assert engine.where().startswith("tcp://127.0.0.1:")
        assert engine.where().endswith(", 1 worker")
        for number in (1, 2, 3):
            start(engine, number, f"stay {tmp_path / str(number)}", Resources(4, 0.5, 1_000))
        first, worker = pids_in(tmp_path / "1")
        second, _ = pids_in(tmp_path / "2")
        engine.cancel(3)
        assert ends.next() == (3, "it was given up before it began")
        wait_for(lambda: len(engine._client.processing()[worker_address(engine)]) == 2)
        os.kill(first, signal.SIGKILL)
        assert ends.next() == (1, "the agent was killed by SIGKILL")
        start(engine, 4, "fail because")
        number, reason = ends.next()
        assert (number, (reason or "")[-8:]) == (4, "xbecause")
        start(engine, 5, f"say {tmp_path / '5'}")
        assert ends.next() == (5, None)
    finally:
        engine.close()
    wait_for(lambda: not is_alive(worker))
    wait_for(lambda: not is_alive(second))


def worker_address(engine: DaskEngine) -> str:
    """The address of its only worker."""
    (address,) = engine._client.scheduler_info()["workers"]
    return str(address)


def test_a_cluster_that_is_there(scheduler: str, ends: Ends, tmp_path: Path) -> None:
    """Resources that a worker announces are asked for; a worker that is killed takes its agents along."""
    address = json.loads(Path(scheduler).read_text())["address"]
    engine = DaskEngine(address, 1, ends, PROGRAM)
    try:
        assert engine.where() == f"{address}, 0 workers"
        with _program(
            "worker", tmp_path, address, "--nthreads", "2", "--no-nanny", "--resources", "GPU=1"
        ):
            wait_for(lambda: engine.where() == f"{address}, 1 worker")
            for number in (1, 2):
                start(engine, number, f"stay {tmp_path / str(number)}", Resources(gpu=1))
            pid, worker = pids_in(tmp_path / "1")
            start(engine, 3, f"say {tmp_path / '3'}")
            assert ends.next() == (3, None)
            assert not (tmp_path / "2").exists()
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: not is_alive(pid))
            engine.cancel(1)
            assert ends.next() == (1, "it was given up before it began")
    finally:
        engine.close()


def test_all_workers_are_known() -> None:
    """Also by the versions of Dask that tell of five unless all are asked for."""
    workers = {f"tcp://10.0.0.{it}": {"nthreads": it} for it in range(9)}

    class Older:
        def scheduler_info(self) -> dict[str, Any]:
            return {"workers": workers}

    class Newer:
        def scheduler_info(self, n_workers: int = 5) -> dict[str, Any]:
            most = None if n_workers == -1 else n_workers
            return {"workers": dict([*workers.items()][:most])}

    for client in (Older(), Newer()):
        assert _all_workers(client) == [*workers.values()]


def test_where_nobody_schedules(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said within seconds; so is what is no scheduler of Dask's."""
    monkeypatch.setattr(engine_limits, "ENGINE_PATIENCE", 1.0)
    monkeypatch.setattr(engine_limits, "ENGINE_START", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(
            ExecutorError, match=f"no Dask scheduler can be used at tcp://127.0.0.1:{port}"
        ):
            engine_of(f"dask:tcp://127.0.0.1:{port}", ends, slots=1)
    with pytest.raises(ExecutorError, match="no Dask scheduler can be used at") as caught:
        engine_of(f"dask:127.0.0.1:{port}", ends, slots=1)
    assert "dask scheduler" in (caught.value.hint or "")


def test_the_way_to_a_cluster() -> None:
    """The address that its workers reach this machine by, where the scheduler's tells."""
    assert _host_towards("inproc://x/1/2") is None
    assert _host_towards("tls://no-such-host.invalid:8786") is None
    assert _host_towards("tcp://127.0.0.1:8786") == "127.0.0.1"


def test_what_is_loopback_here_tells_workers_nothing(scheduler: str, ends: Ends) -> None:
    """As the name of a machine often is on itself; only a cluster of this machine is reached so."""
    address = json.loads(Path(scheduler).read_text())["address"]
    engine = DaskEngine(f"tcp://127.0.0.1:{address.rpartition(':')[2]}", 1, ends, PROGRAM)
    engine.close()
    assert engine.host is None
