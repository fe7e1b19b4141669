"""Clocks that jump: set back, set ahead, before 1970 and after 2038, between runs and during one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.faults.check import git_is_well
from tests.helpers.flows import linear_flow
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import store_of

DAY = 86_400
YEAR = 366 * DAY
FLOW = linear_flow(
    "print('begun', flush=True)\ntime.sleep(0.01)\nset_clock()\nprint('set')\nself.x = 1",
    "if os.environ.get('FAILS'): raise ValueError('asked for')",
    head="def set_clock():\n"
    "    if 'JUMP' in os.environ:\n"
    "        with open(os.environ['CLOCK'], 'w') as file: file.write(os.environ['JUMP'])\n",
)
# Python imports it at the start of each process, so all of ours look at the same clock, which a file sets.
CLOCK = """
import os, time
def _shift(real, unit):
    def now():
        with open(os.environ["CLOCK"]) as file:
            return real() + int(file.read() or 0) * unit
    return now
time.time, time.time_ns = _shift(time.time, 1), _shift(time.time_ns, 10**9)
"""


@pytest.fixture
def clock(repo: GitRepo, tmp_path: Path) -> dict[str, str]:
    """The environment in which a file sets the clock."""
    repo.write("f.py", FLOW)
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    (folder / "now").write_text("0")
    return {"CLOCK": str(folder / "now"), "PYTHONPATH": f"{folder}:{ROOT}"}


def test_ids_and_order_do_not_depend_on_the_clock(repo: GitRepo, clock: dict[str, str]) -> None:
    """Whatever the time is said to be, runs are numbered and listed as they were started, and end."""
    shifts = [0, -3 * DAY, -60 * YEAR, 20 * YEAR, 0]
    for number, shift in enumerate(shifts, 1):
        Path(clock["CLOCK"]).write_text(str(shift))
        # It jumps within each run, too: ahead or back, by hours or years.
        jump = str(shift + (-1) ** number * (DAY if number % 3 else 5 * YEAR))
        fails = {"FAILS": "1"} if number == len(shifts) - 1 else {}
        verb = "resume" if number == len(shifts) else "run"
        done = repo.flow("f.py", verb, env={**clock, "JUMP": jump, **fails})
        assert (done.code, "Traceback" in done.err) == (len(fails), False), done.err
    listed = json.loads(repo.call("list", "--json").out)
    assert [run["id"] for run in listed] == ["5", "4", "3", "2", "1"]
    assert [run["status"] for run in listed] == ["done", "failed", *3 * ["done"]]
    latest = store_of(repo).latest("F")
    assert latest is not None
    assert (str(latest.identity.id), latest.status) == ("5", Status.DONE)
    for words in (
        ["list"],
        ["log"],
        *(["show", run["id"]] for run in listed),
        ["logs", "3"],
        ["fsck"],
        ["doctor"],
    ):
        told = repo.call(*words)
        assert (told.code, told.err) == (0, ""), (words, told)
        assert " -" not in told.out.replace(" - ", ""), "a duration is negative"
    git_is_well(repo)
