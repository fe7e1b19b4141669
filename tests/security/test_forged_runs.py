"""Forged runs by the thousand, through every command: whatever a run holds, it is data.

Each batch of runs is taken by a shared repository with our hook and by one without, fetched by `git runs fetch` and by
stock git, and looked at by every verb, by the commands of a flow file, by the client and by whole programs.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from gitflowrun.runs.layout import is_run_ref
from tests.helpers.repos import GitRepo
from tests.security.exerciser import Command, Done
from tests.security.parts import Variant
from tests.security.world import World, honest, placed, reading_commands

A_BATCH = 50
BATCHES = 26
SAMPLE = 5
MOST_CPU = 20.0
"""Seconds that a command may work: to find what has no end or takes a square; the longest honest one takes 2 s."""
MOST_MEMORY = 64 << 20
OWN = "MyFlow/1"
COLLEAGUES = "MyFlow/2"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A victim, a shared repository, and a colleague who forges."""
    return World(tmp_path_factory.mktemp("world") / "w")


class Batch:
    """Forged runs on their way: `bad` is what they did that data does not."""

    def __init__(self, world: World, variants: Sequence[Variant]) -> None:
        self.world, self.variants = world, variants
        self.made = world.forge(variants)
        self.bad: dict[str, list[str]] = defaultdict(list)

    def look(self, repo: GitRepo, turns: int, part: slice = slice(None)) -> None:
        """Do with each run what is done always, and `turns` other commands."""
        runs = placed(self.made, repo)[part]
        commands = [reading_commands(run, index, turns) for index, run in enumerate(runs)]
        wanted = {
            it.verb: honest(it, OWN, run.address)
            for run, found in zip(runs, commands, strict=True)
            for it in found
        }
        costs = {it.command.verb: it.rss for it in self.world.exercise(repo, wanted.values())}
        results = self.world.exercise(repo, itertools.chain(*commands))
        self.judge(results, costs)
        most = max((it.rss - costs[it.command.verb] for it in results), default=0)
        print(  # noqa: T201  (the figures of a slow test, with -rP)
            f"{len(runs)} runs, {len(results)} commands, {sum(it.cpu for it in results):.0f} s, "
            f"the longest {max((it.cpu for it in results), default=0):.1f} s, {most >> 20} MiB beyond honest runs"
        )

    def judge(self, results: Sequence[Done], costs: Mapping[str, int]) -> None:
        """Note what was wrong."""
        for done in results:
            found = list(done.bad)
            if done.cpu > MOST_CPU:
                found.append(f"took {done.cpu:.1f} s")
            usual = costs[done.command.verb]
            if done.rss - usual > MOST_MEMORY:
                found.append(f"took {(done.rss - usual) >> 20} MiB more than for an honest run")
            for what in found:
                self.note(
                    done.command.label, f"{done.command.kind} {' '.join(done.command.words)}", what
                )

    def note(self, label: str, command: str, what: str) -> None:
        """Note a fault; those that end alike are one."""
        self.bad[re.sub(r"\d+", "#", what[-200:])].append(f"[{label}] {command}: {what}")

    def after(self, repo: GitRepo, own: str) -> None:
        """What holds in the end: no canary, nothing of the victim's changed, honest runs listed, a whole repository."""
        for canary in self.world.canaries.iterdir():
            self.note("", "somewhere", f"canary {canary.name}")
            canary.unlink()
        listed = self.world.program(repo, *GIT_RUNS, "list", "--json", "-n", "1000000")
        out, err = listed.stdout.decode(), listed.stderr.decode(errors="replace")
        for honest_run in (OWN, COLLEAGUES):
            if f'"{honest_run}"' not in out and honest_run.rpartition("/")[2] not in out:
                self.note("", "list --json", f"{honest_run} is not listed: {err[-300:]}")
        if own_refs(repo) != own:
            self.note("", "refs", f"the victim's refs changed: {own_refs(repo)}")

    def report(self) -> None:
        """Fail if anything was wrong."""
        lines = [f"{len(rows)} x {rows[0]}" for rows in self.bad.values()]
        assert not lines, f"{len(lines)} kinds of faults:\n" + "\n\n".join(lines)


def own_refs(repo: GitRepo) -> str:
    """The refs of the victim's own run."""
    return repo.git("for-each-ref", f"refs/runs/{OWN}")


def test_a_sample_of_forged_runs_is_data(world: World) -> None:
    """Runs forged in five ways: nothing of them is executed, and every command says what it has to say."""
    everything = world.variants
    batch = Batch(world, everything[:: len(everything) // SAMPLE][:SAMPLE])
    repo = world.mirror("mirror")
    own = own_refs(repo)
    world.plant([ref for ref in batch.made if "@" not in ref], repo)
    commands = []
    for index, run in enumerate(placed(batch.made, repo)):
        found = reading_commands(run, index, 5)
        commands += [found[index % len(found)], found[(index * 3 + 1) % len(found)]]
    (usual,) = world.exercise(repo, [Command("client", [OWN], "")])
    batch.judge(world.exercise(repo, commands), defaultdict(lambda: usual.rss))
    batch.after(repo, own)
    batch.report()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(BATCHES))
def test_forged_runs_are_data(world: World, number: int) -> None:
    """Fifty forged runs, the next fifty, and so on, on every way to the victim and through every command."""
    batch = Batch(world, world.variants[number * A_BATCH : (number + 1) * A_BATCH])
    shared = world.path / "shared.git"
    shutil.rmtree(shared, ignore_errors=True)
    shutil.copytree(world.hub.path, shared)
    refused = world.transfer(list(batch.made), GitRepo(shared))
    guard(world, batch, number)
    victim, mirror = world.mirror("fetching"), world.mirror("mirror")
    own = own_refs(victim)
    fetch(world, batch, victim)
    world.plant(world.transfer(list(batch.made), mirror), mirror)
    batch.look(victim, 4, slice(number % 2, None, 2))
    batch.look(mirror, 6, slice((number + 1) % 2, None, 2))
    programs(world, batch, mirror, number)
    for repo in (victim, mirror):
        batch.after(repo, own)
    if not refused:
        victim.git("fsck", "--connectivity-only", "--no-dangling")
    batch.report()


def guard(world: World, batch: Batch, number: int) -> None:
    """Push some of the runs to a repository with our hook: it takes runs under names of runs, or refuses."""
    guarded = world.path / "guarding.git"
    shutil.rmtree(guarded, ignore_errors=True)
    shutil.copytree(world.guarded.path, guarded)
    forge = GitRepo(world.path / "forge.git")
    for ref in itertools.islice(batch.made, number % 3, None, 3):
        done = world.program(forge, "git", "push", "-q", str(guarded), f"{ref}:{ref}")
        if done.returncode not in {0, 1, 128}:
            batch.note(
                batch.made[ref].label,
                "push to a repository with our hook",
                f"exit code {done.returncode}",
            )
    for ref in GitRepo(guarded).git("for-each-ref", "--format=%(refname)", "refs/runs").split():
        if not is_run_ref(ref) and not ref.startswith("refs/runs/@"):
            batch.note(batch.made[ref].label, "hooks/pre-receive", f"took {ref}")


def fetch(world: World, batch: Batch, victim: GitRepo) -> None:
    """`git runs fetch`, as a whole program."""
    done = world.program(victim, *GIT_RUNS, "fetch")
    text = (done.stdout + done.stderr).decode(errors="replace")
    if "Traceback" in text or done.returncode not in {0, 1}:
        batch.note("all", "fetch", f"exit code {done.returncode}: {text[-1500:]}")


GIT_RUNS = (str(Path(sys.executable).parent / "git-runs"),)
PYTHON = (str(Path(sys.executable)),)


def programs(world: World, batch: Batch, repo: GitRepo, number: int) -> None:
    """Whole programs: what executes, what hooks do, and some of the others, each with some of the runs."""
    runs = placed(batch.made, repo)
    for index, run in enumerate(runs[number % 4 :: 4]):
        name = run.address.partition("/")[2]
        command: tuple[str, ...]
        for command in _executing(name, run.address, index):
            done = world.program(repo, *command)
            text = (done.stdout + done.stderr).decode(errors="replace")
            if "internal error" in text or done.returncode not in {0, 1, 2, 128, 129}:
                batch.note(
                    run.variant.label,
                    " ".join(command[1:]),
                    f"exit code {done.returncode}: {text[-1200:]}",
                )
    for command in (
        (*GIT_RUNS, "hooks", "install"), ("git", "commit", "--allow-empty", "-qm", "x"), ("git", "commit",
        "--amend", "-qm", "y"),
        ("git", "-c", "runs.autoPush=true", "push", "-q", "origin", "HEAD"), (*GIT_RUNS, "push"),
        (*GIT_RUNS, "hooks", "uninstall"),
        (*GIT_RUNS, "list"), (*GIT_RUNS, "tag"), (*GIT_RUNS, "trust"), ("git", "log", "--oneline", "--all", "-5"),
    ):  # fmt: skip
        done = world.program(repo, *command)
        text = (done.stdout + done.stderr).decode(errors="replace")
        if "Traceback" in text or done.returncode not in {0, 1, 128}:
            batch.note(
                "all", " ".join(command[-3:]), f"exit code {done.returncode}: {text[-1200:]}"
            )


def _executing(name: str, address: str, index: int) -> Iterator[tuple[str, ...]]:
    ways = (
        ("--quiet", "resume", "--origin-run-id", name), ("--quiet", "run", "--clone", name),
        ("--quiet", "resume", "end", "--origin-run-id", name),
    )  # fmt: skip
    yield (*PYTHON, "flow.py", *ways[index % len(ways)])
    others = (
        ("show", address), ("trust", address), ("cat", f"{address}/start/1/pickled"), ("trust", "-d",
        address), ("tag", address, "t"),
        ("cat", "-o", "/dev/null", f"{address}/plain"), ("diff", address), ("rerun", "--same-code", address),
        ("resume", address), ("rerun", address), ("note", address, "-m", "seen"),
    )  # fmt: skip
    if others[index % len(others)][0] != "trust":
        yield (*GIT_RUNS, *others[index % len(others)])
