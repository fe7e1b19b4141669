"""What engines call on their workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitflowrun.runtime.executors.engines.run_agent import run_agent
from gitflowrun.runtime.ipc.link import PROTOCOL, Call
from tests.helpers.engines import PROGRAM, is_alive, pids_in, wait_for


def test_an_agent_is_a_program_of_its_own(tmp_path: Path) -> None:
    """It leads a session, and has nothing of the worker's but its environment."""
    assert run_agent(b"say %s" % os.fsencode(tmp_path / "pids"), PROGRAM) is None
    pid, parent = pids_in(tmp_path / "pids")
    assert parent == os.getpid()
    assert pid != parent
    assert not is_alive(pid)


def test_its_last_words_are_told() -> None:
    """The end of them, however much it has said; and the signal that has killed it."""
    words = run_agent(b"fail no driver there", PROGRAM)
    assert words is not None
    assert words.endswith("xxxno driver there")
    assert len(words) == 600
    assert run_agent(b"die", PROGRAM) == "the agent was killed by SIGKILL"
    assert (
        run_agent(b"", (sys.executable, "-c", "raise SystemExit(7)"))
        == "the agent has ended with status 7"
    )
    assert run_agent(b"x" * 1_000_000, ("/bin/true",)) is None


def test_what_it_leaves_behind_is_not_waited_for() -> None:
    """A process of a task that holds its output."""
    program = "import subprocess; subprocess.Popen(['sleep', '100']); print('left', flush=True); raise SystemExit(1)"
    assert run_agent(b"", (sys.executable, "-c", program)) == "left"


def test_a_worker_without_that_python_says_so() -> None:
    """Instead of raising what engines could not send."""
    words = run_agent(b"", ("/no/such/python",))
    assert words is not None
    assert words.endswith("No such file or directory")


def test_it_ends_with_the_worker(tmp_path: Path) -> None:
    """By a pipe that the worker has and nobody else, whatever kills the worker."""
    program = (
        "import sys; from tests.helpers.engines import PROGRAM; "
        "from gitflowrun.runtime.executors.engines.run_agent import run_agent; "
        "run_agent(sys.argv[1].encode(), PROGRAM)"
    )
    file = tmp_path / "pids"
    with subprocess.Popen([sys.executable, "-c", program, f"stay {file}"]) as worker:
        pid, parent = pids_in(file)
        assert parent == worker.pid
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        wait_for(lambda: not file.exists())
        wait_for(lambda: not is_alive(pid))


def test_an_engine_that_interrupts_the_call_ends_the_agent(tmp_path: Path) -> None:
    """As Ray does to cancel one, by an exception in its thread."""
    file = tmp_path / "pids"
    pids: list[int] = []

    def interrupt() -> None:
        pids.extend(pids_in(file))
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_agent(f"stay {file}".encode(), PROGRAM)
    timer.join()
    assert not is_alive(pids[0])  # it may have seen the end of its worker first


def test_the_agent_of_this_package_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the worker is, with modules of whatever names."""
    (tmp_path / "socket.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    words = run_agent(Call(PROTOCOL, ("127.0.0.1",), port, 1, bytes(32)).pack())
    assert words is not None
    assert f"at port {port} (127.0.0.1: Connection refused)" in words
    assert (run_agent(b"noise") or "").startswith("this is no call of an agent")
