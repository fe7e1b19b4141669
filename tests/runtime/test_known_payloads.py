"""A payload is stored once, whichever run makes it, and nothing a stranger wrote says what is known."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.helpers.repos import GitRepo, make_repo

FLOW = """
from gitflowrun import FlowSpec, Parameter, step

class Big(FlowSpec):
    seed = Parameter("seed", default=0)

    @step
    def start(self):
        import random
        self.x = random.Random(self.seed).randbytes(3_000_000)
        self.next(self.end)

    @step
    def end(self):
        self.n = len(self.x)

if __name__ == "__main__":
    Big()
"""


def packed(repo: GitRepo) -> int:
    """Bytes of all packs."""
    folder = repo.path / ".git" / "objects" / "pack"
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".pack"))


def run(repo: GitRepo, seed: int) -> int:
    """Run the flow; how much the packs grew."""
    before = packed(repo)
    done = repo.flow("big.py", "run", "--seed", str(seed))
    assert done.code == 0, done.out + done.err
    return packed(repo) - before


def test_the_same_payload_is_stored_once(tmp_path: Path) -> None:
    """A second run with the same artifact adds no payload, also after the index or all local state was lost."""
    repo = make_repo(tmp_path / "r", files={"big.py": FLOW})
    assert run(repo, 1) > 3_000_000
    state = repo.path / ".git" / "gitflowrun"
    for seed, loss in enumerate(("nothing", "index", "state"), 2):
        if loss == "index":
            (state / f"dedup-{os.geteuid()}.sqlite").write_bytes(b"no database")
        if loss == "state":
            shutil.rmtree(state)
        assert run(repo, seed) > 3_000_000
        assert run(repo, 1) < 100_000, loss
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()
    read = (
        "from gitflowrun import Flow; print({len(run['start'].task.data.x) for run in Flow('Big')})"
    )
    assert repo.python("-c", read).out == "{3000000}\n"
