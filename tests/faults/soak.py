"""Hours of faults: kills, full disks, power cuts, storms and exchanges between clones, at random until time is over.

    python -m tests.faults.soak --minutes 60 [--seed S] [--workers 1] [--keep DIRECTORY]

Prints totals every ten minutes, and in the end. What is lost, broken or a lie is printed with the seed of its round
as soon as it is seen, and the code is 1 then; the round alone is `--seed S --rounds 1`. Each worker has one processor.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path

import tests.conftest  # noqa: F401  (keeps the machine's git config, HOME and identity apart)
from tests.faults.check import git_is_well
from tests.helpers.cut_work import WORK, Explorer
from tests.helpers.exchange import CONFIGS, Exchange
from tests.helpers.repacks import add_bulk
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.storm import Storm
from tests.helpers.world import World

Found = tuple[Counter[str], list[str]]
KINDS = ("lost", "broken", "lie", "failed", "hang", "orphan")
"""What a round finds wrong, by its first word."""
_EVERY = 600.0
_LONGEST, _MOST = 2000, 30
_BASE = "SOAK_DIRECTORY"


def _world(place: Path, chance: random.Random) -> Found:
    """Flows and all commands, with faults, beside the user's own."""
    world = World(place, chance)
    world.go(15)
    story = [f"    {line}" for line in world.story] if world.wrong else []
    return world.counts, [*world.wrong, *story]


def _cuts(place: Path, chance: random.Random) -> Found:
    """States after power cuts in one kind of work."""
    work = chance.choice([*WORK])
    explorer = Explorer(place / "work", work)
    states = list(explorer.states(chance.randrange(1 << 30), samples=8))
    chosen = chance.sample(states, min(150, len(states)))
    wrong = [
        f"broken: {work}, {state.model}: {problem}"
        for number, state in enumerate(chosen)
        for problem in explorer.problems(state, dear=number % 10 == 0)
    ]
    return Counter({"power cut states": len(chosen)}), wrong


def _storm(place: Path, chance: random.Random) -> Found:
    """A storm of the user's own housekeeping."""
    repo = make_repo(place / "repo")
    add_bulk(repo, 2 << 20)
    storm = Storm(repo, rounds=25, runs=15, seed=chance.randrange(1 << 30), seconds=120)
    storm.go()
    wrong = [f"failed: {type(error).__name__}: {error}" for error in storm.errors]
    wrong += [f"lost: {it}" for it in storm.losses()]
    wrong += [f"broken: {it}" for it in storm.failures if storm.counts["twice"]]
    repo.git("gc", "-q")  # removes a multi-pack-index that was written while packs of it went
    wrong += _broken(repo)
    return Counter({f"storm {name}": it for name, it in storm.counts.items()}), wrong


def _exchange(place: Path, chance: random.Random) -> Found:
    """Clones with colliding numbers exchange runs, tags and removals: all have all but what they have removed."""
    configs = [chance.choice(CONFIGS) for _ in range(chance.choice([2, 3]))]
    clones = Exchange(place, configs)
    for _ in range(12):
        repo = chance.choice(clones.clones)
        here = sorted(clones.uids(repo))
        removed = sorted(clones.removed(repo))
        match chance.choice(["make", "make", "fetch", "push", "rm", "purge", "restore"]):
            case "make":
                clones.make(repo, *chance.choice([(), (), ("best",), ("best", "old")]))
            case "fetch":
                clones.fetch(repo)
            case "push":
                clones.push(repo)
            case "rm" if here:
                clones.remove(repo, chance.choice(here), for_good=False)
            case "purge" if here:
                clones.remove(repo, chance.choice(here), for_good=True)
            case "restore" if removed and not clones.restorable(repo).isdisjoint(removed):
                clones.restore(repo, chance.choice(sorted(clones.restorable(repo))))
    clones.end()
    wrong = [*clones.wrong]
    for repo in [*clones.clones, clones.server]:
        wrong += _broken(repo)
    return Counter({"exchanges": 1, "runs exchanged": len(clones.made)}), wrong


def _broken(repo: GitRepo) -> list[str]:
    try:
        git_is_well(repo)
    except AssertionError as error:
        return [f"broken: {repo.path.name}: {error}"]
    return []


ROUNDS: list[Callable[[Path, random.Random], Found]] = [_world, _world, _cuts, _world, _storm, _exchange]  # fmt: skip


def _round(seed: int, base: str, keep: str | None) -> Found:
    """A round in a directory of its own, which is gone afterwards; what is wrong is kept if that is wanted."""
    kind = ROUNDS[seed % len(ROUNDS)]
    place = Path(tempfile.mkdtemp(prefix=f"{seed}-", dir=base))
    try:
        counts, wrong = kind(place, random.Random(seed))
    except BaseException:  # noqa: BLE001  (a round that breaks off has found something)
        counts, wrong = Counter[str](), [f"failed: {kind.__name__}:\n{traceback.format_exc()}"]
    if wrong and keep:
        shutil.copytree(place, Path(keep, place.name), symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    return counts + Counter({f"rounds of {kind.__name__[1:]}": 1}), wrong


def _alone(numbers: multiprocessing.queues.Queue[int]) -> None:
    """Give a worker a processor, which its children share."""
    os.sched_setaffinity(0, {numbers.get()})


def _table(totals: Counter[str], wrong: Counter[str], minutes: float) -> str:
    rows = [*sorted(totals.items()), *[(kind, wrong[kind]) for kind in KINDS]]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}} {number:>8}" for name, number in rows]
    return "\n".join([f"after {minutes:.1f} minutes:", *lines])


def main() -> None:
    """Go on as a copy of the code, which may change meanwhile, in the directory that all is written to."""
    base = tempfile.mkdtemp(prefix="gitflowrun-soak-")
    shutil.rmtree(
        os.environ["HOME"]
    )  # as `tests.conftest` has made it; the next one is in that directory
    code = Path(base, "code")
    for name in ("gitflowrun", "tests"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, _BASE: base, "TMPDIR": base, "PYTHONPATH": str(code)}
    script = str(code / "tests/faults/soak.py")
    os.execve(sys.executable, [sys.executable, script, *sys.argv[1:]], env)


def soak(base: str) -> int:
    """Run rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rounds", type=int, default=sys.maxsize)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", help="a directory for repositories in which something is wrong")
    given = parser.parse_args()
    begun, shown = time.monotonic(), 0.0
    totals: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    processors = sorted(os.sched_getaffinity(0))
    numbers = context.Queue()
    for number in range(given.workers):
        numbers.put(processors[-1 - number % len(processors)])
    print(f"seed {given.seed}", flush=True)  # noqa: T201
    with ProcessPoolExecutor(given.workers, context, _alone, (numbers,)) as workers:
        seeds = iter(count(given.seed))
        under_way: dict[Future[Found], int] = {}
        left = given.rounds
        while True:
            passed = time.monotonic() - begun
            while left and len(under_way) < given.workers and passed < 60 * given.minutes:
                seed, left = next(seeds), left - 1
                under_way[workers.submit(_round, seed, base, given.keep)] = seed
            if not under_way:
                break
            for future in wait(under_way, 60, FIRST_COMPLETED).done:
                seed = under_way.pop(future)
                counts, lines = future.result()
                totals += counts
                wrong.update(line.partition(":")[0] for line in lines if line.startswith(KINDS))
                if lines:
                    shown_lines = [line[:_LONGEST] for line in lines[:_MOST]]
                    print(f"seed {seed}:", *shown_lines, sep="\n", flush=True)  # noqa: T201
            if passed - shown >= _EVERY:
                shown = passed
                print(_table(totals, wrong, passed / 60), flush=True)  # noqa: T201
    print(_table(totals, wrong, (time.monotonic() - begun) / 60), flush=True)  # noqa: T201
    return 1 if wrong else 0


def _ended(_number: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    if _BASE not in os.environ:
        main()
    signal.signal(signal.SIGTERM, _ended)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            sys.exit(soak(os.environ[_BASE]))
        finally:  # nothing is left
            shutil.rmtree(os.environ[_BASE], ignore_errors=True)
