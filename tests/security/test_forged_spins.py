"""Forged runs that stand where spun tasks do: whoever has fetched such refs reads them as carefully as any run."""

from __future__ import annotations

import itertools
import sys

import pytest

from gitflowrun.runs.layout import is_run_ref
from tests.security.exerciser import Command
from tests.security.world import World

EVERY = 6400
"""One of so many variants is looked at."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A victim, and a colleague who forges."""
    return World(tmp_path_factory.mktemp("world") / "w")


def test_forged_spins(world: World) -> None:
    """Every reader of spun tasks takes them for data, and so does what lists, checks and removes them."""
    made = world.forge(world.variants[::EVERY])
    victim, forge = world.victim, world.path / "forge.git"
    refs = [ref for ref in made if is_run_ref(ref)]
    assert len(refs) > 2
    specs = [f"+{ref}:refs/runs-spin/MyFlow/{number}" for number, ref in enumerate(refs, start=1)]
    victim.git("fetch", "-q", "--no-tags", str(forge), *specs)
    commands = []
    for number, ref in enumerate(refs, start=1):
        spun = f"spin-{number}"
        found = [
            Command("runs", ["show", spun], "show", tty=True),
            Command("runs", ["show", f"{spun}/start/1"], "show task", tty=True),
            Command("runs", ["logs", spun], "logs", tty=True),
            Command("runs", ["cat", f"{spun}/start/1/x"], "cat", tty=True),
            Command("runs", ["tag", spun, "mine"], "tag", tty=True),
            Command("flow", ["dump", f"{spun}/start"], "dump", tty=True),
            Command("client", [f"MyFlow/{spun}"], "client"),
        ]
        for command in found:
            command.label = made[ref].label
        commands += found
    commands += [
        Command("runs", words, words[0])
        for words in (["list"], ["fsck"], ["doctor"], ["gc", "--prune=now"])
    ]
    results = world.exercise(victim, commands)
    bad = [(done.command.label, done.command.words, done.bad) for done in results if done.bad]
    assert bad == []
    assert victim.git("for-each-ref", "--format=%(refname)", "refs/runs") == "refs/runs/MyFlow/1"
    assert not list(world.canaries.iterdir())


def test_tasks_of_forged_runs_are_spun(world: World) -> None:
    """With --persist, so that what their records say would get into a run of ours: each ends in order."""
    made = world.forge(world.variants[7::EVERY])
    victim, forge = world.victim, world.path / "forge.git"
    refs = [ref for ref in made if is_run_ref(ref)]
    victim.git("fetch", "-q", "--no-tags", str(forge), *(f"+{ref}:{ref}" for ref in refs))
    for ref, step in zip(refs[:5], itertools.cycle(["start", "work", "join", "loop", "end"])):
        words = ("flow.py", "spin", "--persist", f"{ref.removeprefix('refs/runs/')}/{step}")
        done = world.program(victim, sys.executable, *words)
        assert done.returncode in {0, 1, 2}, (made[ref].label, done.stdout, done.stderr)
        assert b"Traceback" not in done.stderr, (made[ref].label, done.stderr)
        assert b"/gitflowrun/" not in done.stdout, (made[ref].label, done.stdout)
    assert not list(world.canaries.iterdir())
    victim.git("rev-list", "--objects", "--quiet", "--glob=refs/runs-spin")
