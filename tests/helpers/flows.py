"""Flow files for tests: written as a few step bodies, run as programs, looked at through the store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.names import TaskName
from gitflowrun.runs.read import StoredRun, StoredTask
from tests.helpers.repos import GitRepo, program_environment
from tests.helpers.runs import store_of
from tests.helpers.warm_popen import WarmPopen

__all__ = [
    "Background",
    "at_most",
    "background",
    "eventually",
    "family",
    "foreach_flow",
    "latest",
    "linear_flow",
    "one_task",
    "started",
    "value_of",
]

T = TypeVar("T")
_HEAD = "import os, signal, sys, time\nfrom gitflowrun import FlowSpec, Parameter, current, step\n"
_FOOT = '\nif __name__ == "__main__":\n    {name}()\n'


def _indented(code: str) -> str:
    lines = code.strip("\n").split("\n")
    return "\n".join("        " + line for line in lines)


def linear_flow(start: str = "pass", end: str = "pass", *, head: str = "", name: str = "F") -> str:
    """A flow of two steps with these bodies; `head` is code of the module."""
    return (
        f"{_HEAD}{head}\nclass {name}(FlowSpec):\n"
        f"    @step\n    def start(self):\n{_indented(start)}\n        self.next(self.end)\n"
        f"    @step\n    def end(self):\n{_indented(end)}\n" + _FOOT.format(name=name)
    )


def foreach_flow(
    work: str, *, items: str = "range(self.n)", head: str = "", name: str = "F"
) -> str:
    """A flow whose `work` runs once per item, with a parameter `n`; the join sums up `x`."""
    return (
        f"{_HEAD}{head}\nclass {name}(FlowSpec):\n    n = Parameter('n', default=4)\n"
        f"    @step\n    def start(self):\n        self.items = list({items})\n"
        f"        self.next(self.work, foreach='items')\n"
        f"    @step\n    def work(self):\n        self.x = self.input\n{_indented(work)}\n"
        f"        self.next(self.join)\n"
        f"    @step\n    def join(self, inputs):\n        self.total = sum(i.x for i in inputs)\n"
        f"        self.next(self.end)\n"
        f"    @step\n    def end(self):\n        print('total', self.total)\n"
        + _FOOT.format(name=name)
    )


def latest(repo: GitRepo, flow: str | None = None) -> StoredRun:
    """The newest run."""
    run = store_of(repo).latest(flow)
    assert run is not None
    return run


def one_task(run: StoredRun, step: str) -> StoredTask:
    """The only task of a step."""
    (task,) = run.tasks(step)
    return run.task(TaskName(step, task))


def value_of(task: StoredTask, name: str) -> object:
    """The value of an artifact."""
    return ArtifactReader(task.run.objects).load(task.record.artifacts[name], trusted=True)


@dataclass
class Background:
    """A flow that runs beside the test, in a session of its own as a terminal would have it."""

    process: subprocess.Popen[str]
    output: Path

    def text(self) -> str:
        """What it has written so far, to both streams."""
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 120) -> re.Match[str]:
        """Wait until it has written something."""
        found = eventually(lambda: re.search(pattern, self.text()), seconds)
        assert found is not None, f"{pattern!r} was not written:\n{self.text()}"
        return found

    def ctrl_c(self) -> None:
        """What a terminal does: SIGINT for the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds: float = 300) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def children(self) -> dict[str, int]:
        """The processes of the run by their part: `launcher`, `scheduler`, `zygote`."""
        parts = {"launcher": self.process.pid}
        for pid in _children(self.process.pid):
            parts["scheduler" if b"scheduler_main.py" in _command(pid) else "zygote"] = pid
        return parts


def background(repo: GitRepo, *args: str, env: dict[str, str] | None = None) -> Background:
    """Start `python ARGS` in a repository, begun by fork as `GitRepo.flow`."""
    return started(repo, [sys.executable, *args], env)


def started(
    repo: GitRepo, command: list[str], env: dict[str, str] | None = None, *, is_fresh: bool = False
) -> Background:
    """Start a program in a repository; one of Python by fork, or, where that is asked for, by an interpreter."""
    output = repo.path.parent / f"output-{time.monotonic_ns()}"
    with output.open("w") as file:
        process = (subprocess.Popen if is_fresh else WarmPopen)(
            command, cwd=repo.path, stdout=file, stderr=file, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True,
            env=program_environment(env),
        )  # fmt: skip
    return Background(process, output)


def eventually(look: Callable[[], T], seconds: float = 60) -> T:
    """What `look` says as soon as that is something, or in the end: a busy machine may take long."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def at_most(seconds: float) -> float:
    """How long what is promised to take so long may take now: processes of others take their share."""
    return seconds * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def family(marker: str) -> list[int]:
    """The living processes in whose environment or command line `marker` occurs."""
    word = marker.encode()
    return [pid for pid in _all() if word in _command(pid) or word in _read(pid, "environ")]


def _children(parent: int) -> list[int]:
    return [pid for pid in _all() if f"\nPPid:\t{parent}\n".encode() in _read(pid, "status")]


def _all() -> list[int]:
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in found if b"\nState:\tZ" not in _read(pid, "status")]


def _command(pid: int) -> bytes:
    return _read(pid, "cmdline")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
