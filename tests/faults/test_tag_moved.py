"""A tag that is moved, by several at once or killed at any step: some run has it at every moment."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.helpers.clones import refs, tags
from tests.helpers.repos import GitRepo, program_environment
from tests.helpers.runs import make_run, start_run
from tests.helpers.warm_popen import WarmPopen

_MOVE = ("tag", "--move", "prod")


@pytest.mark.parametrize(
    "point",
    ["tags.locked", "tags.planned", "ref.claimed", "ref.locked", "ref.moved", "ref.durable"],
)
@pytest.mark.sample(2)
def test_a_move_that_is_killed(repo: GitRepo, point: str) -> None:
    """The tag is where it was or where it goes, its git tags with it; moved again, it names one run."""
    for given in (["prod"], ["prod"], []):
        make_run(repo, tags=given)
    done = repo.runs(*_MOVE, "3", env={"GITFLOWRUN_FAILPOINTS": f"{point}=kill"})
    assert done.code != 0
    assert "Traceback" not in done.err
    names = sorted(name for name, found in tags(repo).items() if "prod" in found)
    assert names in (["MyFlow/1", "MyFlow/2"], ["MyFlow/3"])
    mirrors = [re.sub("-.*", "", ref) for ref in refs(repo, "refs/tags/runs")]
    assert mirrors == [f"refs/tags/runs/MyFlow/prod/{name[-1]}" for name in names]
    assert repo.runs(*_MOVE, "3").code == 0
    assert tags(repo) == {"MyFlow/3": ("prod",)}
    repo.fsck()


def test_two_who_move_a_tag(repo: GitRepo) -> None:
    """One after the other: in the end one run has it."""
    for _ in range(4):
        start_run(repo, tags=["prod"]).close()
    command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *_MOVE]
    started = [
        WarmPopen(
            [*command, str(n)], cwd=repo.path, stdout=subprocess.PIPE, env=program_environment()
        )
        for n in (1, 2, 3, 4)
    ]
    for process in started:
        process.communicate()
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    assert list(tags(repo).values()) == [("prod",)]
    assert len(refs(repo, "refs/tags/runs")) == 1
