"""Ray as an engine, where it is installed."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from gitflowrun.errors import ExecutorError
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.engine_choice import engine_of
from gitflowrun.runtime.executors.engines.ray_engine import RayEngine
from tests.helpers.engines import PROGRAM, Ends, is_alive, pids_in, start, wait_for

pytest.importorskip("ray")
# Ray's own, of what it closes in its own time or asks Python for in old ways.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def ends() -> Ends:
    """What is told of agents."""
    return Ends()


@pytest.mark.slow
def test_a_cluster_of_this_machine_is_started_and_stopped(ends: Ends, tmp_path: Path) -> None:
    """Its processors are the run's slots; a worker that is killed takes its agent along, and nothing is tried again."""
    engine = RayEngine(None, 2, ends, PROGRAM)
    try:
        assert engine.host == "127.0.0.1"
        assert engine.where().endswith(", 1 node")
        start(engine, 1, f"stay {tmp_path / '1'}", Resources(cpu=0.5))
        start(engine, 2, f"stay {tmp_path / '2'}", Resources(cpu=1.5, memory=10))
        first, worker = pids_in(tmp_path / "1")
        second, _ = pids_in(tmp_path / "2")
        start(engine, 3, f"say {tmp_path / '3'}")
        engine.cancel(3)
        assert ends.next() == (3, "it was given up before it began")
        os.kill(worker, signal.SIGKILL)
        number, reason = ends.next()
        assert number == 1
        assert (reason or "").startswith("WorkerCrashedError: ")
        wait_for(lambda: not is_alive(first))
        start(engine, 4, "fail because", Resources(cpu=0.5))
        number, reason = ends.next()
        assert (number, (reason or "")[-8:]) == (4, "xbecause")
        start(engine, 5, f"say {tmp_path / '5'}", Resources(cpu=0.5))
        assert ends.next() == (5, None)
        assert not (tmp_path / "3").exists()
    finally:
        engine.close()
    wait_for(lambda: not is_alive(second))


def test_where_nobody_schedules(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said within seconds; so is what is no cluster of Ray's."""
    monkeypatch.setattr(engine_limits, "ENGINE_START", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(
        ExecutorError,
        match=f"no Ray cluster can be used at 127.0.0.1:{port}: ConnectionRefusedError",
    ) as caught:
        engine_of(f"ray:127.0.0.1:{port}", ends, slots=1)
    assert "ray start" in (caught.value.hint or "")
