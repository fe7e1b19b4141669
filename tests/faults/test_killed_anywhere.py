"""Kills at moments that nobody has chosen, of any process of a run and of the commands that write."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.helpers.world import World

ROLES = ("zygote", "task", "all", "any", "group")
COMMANDS = ("fold", "fetch", "push", "trust", "tag", "gc", "purge", "rm", "restore")


@pytest.mark.parametrize("rounds", [0, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_any_process_of_a_run(tmp_path: Path, rounds: int) -> None:
    """What was said to be finished is there and is not executed again, no process lives on, a resume ends equally."""
    world = World(tmp_path, random.Random(3))
    world.kill_runs(*(ROLES * rounds or ("zygote", "task")))
    print(dict(world.counts))  # noqa: T201
    assert world.wrong == []


@pytest.mark.parametrize("rounds", [0, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_any_command(tmp_path: Path, rounds: int) -> None:
    """What was there before is there afterwards, where it was or where it was to go, and git finds all whole."""
    world = World(tmp_path, random.Random(4))
    world.kill_commands(*(COMMANDS * rounds or ("fold", "fetch", "push")))
    print(dict(world.counts))  # noqa: T201
    assert world.wrong == []
