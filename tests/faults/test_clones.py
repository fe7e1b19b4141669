"""Clones that exchange runs through a server lose none, whatever git is configured to do and whoever pushes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.exchange import CONFIGS, Exchange
from tests.helpers.repos import ROOT
from tests.helpers.warm_popen import WarmPopen

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("configs", "runs"),
    [
        (CONFIGS[::3], 1),
        *(pytest.param([it] * 2, 50, marks=pytest.mark.slow) for it in CONFIGS),
        *(pytest.param([it] * 3, 10, marks=pytest.mark.slow) for it in CONFIGS),
    ],
    ids=lambda it: "-".join(it[0]) + f"-{len(it)}" if isinstance(it, list) else str(it),
)
def test_all_have_all(tmp_path: Path, configs: list[tuple[str, ...]], runs: int) -> None:
    """Runs with equal numbers and tags, made offline, get everywhere; nothing is overwritten or removed elsewhere."""
    clones = Exchange(tmp_path, configs)
    for repo in clones.clones:
        for number in range(runs):
            clones.make(repo, *(["best"] if number == 0 else []))
    first, second = clones.clones[:2]
    clones.push(first)
    clones.fetch(second)
    clones.remove(second, min(clones.uids(second)), for_good=True)
    clones.end()
    assert clones.wrong == []
    assert len(clones.made) == runs * len(configs)
    assert set(clones.uids(clones.server)) | clones.removed(second) == clones.made


@pytest.mark.slow
@pytest.mark.parametrize("each", [2, 10])
def test_who_pushes_at_once(tmp_path: Path, each: int) -> None:
    """Each run gets a name of its own on the server, however many processes of four clones push theirs at once."""
    clones = Exchange(tmp_path, [("true", "matching", "false")] * 4)
    pushes = []
    for repo in clones.clones:
        for _ in range(each):
            clones.make(repo)
    for repo in clones.clones:
        for number in range(1, each + 1):
            words = ["-m", "gitflowrun.cli.git_runs.main", "push", "origin", f"X/{number}"]
            pushes.append(
                WarmPopen(
                    [sys.executable, *words], cwd=repo.path, env=ENVIRONMENT, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True,
                )
            )  # fmt: skip
    told = [push.communicate(timeout=300)[0] for push in pushes]
    assert [push.returncode for push in pushes] == [0] * 4 * each, told
    assert set(clones.uids(clones.server)) == clones.made
    clones.server.fsck()
