"""An engine that has no worker for a run, ever or for a while."""

from __future__ import annotations

import signal

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.flows import background, latest
from tests.helpers.repos import GitRepo

FLOW = """
from gitflowrun import FlowSpec, step
class Waits(FlowSpec):
    @step
    def start(self):
        self.next(self.end)
    @step
    def end(self): pass
if __name__ == "__main__":
    Waits()
"""
ENGINES = """
import concurrent.futures, time
class Never(concurrent.futures.Executor):
    def submit(self, *args): return concurrent.futures.Future()
class Blocks(concurrent.futures.Executor):
    def submit(self, *args): time.sleep(600)
"""


@pytest.mark.parametrize("engine", ["Never", "Blocks"])
def test_a_run_that_waits_is_interrupted(repo: GitRepo, engine: str) -> None:
    """Nothing but its tasks is signalled: it ends by itself, and says how to go on."""
    repo.write("engines.py", ENGINES)
    repo.write("f.py", FLOW)
    flow = background(repo, "f.py", "run", "--executor", f"engines:{engine}")
    flow.wait_for("Tasks are executed by")
    flow.process.send_signal(signal.SIGTERM)
    assert flow.wait(60) == 128 + signal.SIGTERM
    assert "f.py resume" in flow.text()
    assert latest(repo).status is Status.INTERRUPTED
