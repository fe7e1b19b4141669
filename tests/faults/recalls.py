"""A flow whose run takes a launch back from one of two agents, or processes: its task is long, others have ended."""

from __future__ import annotations

from gitflowrun.failpoints import NAMES
from tests.helpers.flows import foreach_flow

__all__ = ["BATCH_POINT", "ITEMS", "LONG", "POINTS", "RECALLING", "WORKERS"]

POINTS = ("agent.recalled", "remote.recalled", "remote.returned")
"""The failpoints that only such a run passes."""
BATCH_POINT = "batch.recalled"
"""The same with processes of batch isolation."""
assert {*POINTS, BATCH_POINT} <= NAMES
WORKERS = "2"
"""How many tasks run at once, by `--max-workers`."""
ITEMS = 25
LONG = 18
"""The item that takes long: those before it are so many that tasks count as short, those behind it enough to wait."""
RECALLING = foreach_flow(
    "note(f'work{self.x}.{current.retry_count}')\n"
    "if self.x < 2: wait_for(0, 1)\n"  # so both agents are there before the others begin
    f"if self.x == {LONG}: wait_for(*range({ITEMS}))\n"
    "self.own = random.Random(self.x).randbytes(1000)",
    items=f"range({ITEMS})",
    head="import random\n"
    "def note(what):\n    with open(os.environ['MARKER'], 'a') as log: log.write(what + ' ')\n"
    "def wait_for(*items):\n"
    "    until, names = time.monotonic() + 60, {f'work{it}.0' for it in items}\n"
    "    while time.monotonic() < until:\n"
    "        with open(os.environ['MARKER']) as log:\n"
    "            if names <= {*log.read().split()}: return\n"
    "        time.sleep(0.02)\n",
)
"""Its tasks note themselves in the file that MARKER names."""
