"""Hours of faults: kills, power cuts, storms and exchanges between clones, at random until the time is over.

    python -m tests.faults.soak --minutes 60 [--seed S]

Prints totals. At the first thing that is lost or broken it prints the seed of that round and ends with 1; the round
alone is `--seed S --rounds 1`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import tests.conftest  # noqa: F401  (keeps the machine's git config, HOME and identity apart)
from gitflowrun.porcelain.fetch import fetch
from gitflowrun.porcelain.push import push
from tests.helpers.clones import clone, refs
from tests.helpers.cut_work import WORK, Explorer
from tests.helpers.repacks import add_bulk, missing
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo
from tests.helpers.storm import Storm

CONFIGS = [
    (prune, default)
    for prune in ("true", "false")
    for default in ("matching", "current", "simple", "nothing")
]
"""fetch.prune and push.default: a pair for each clone of an exchange."""
KILLED = """
import sys
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run
from pathlib import Path
while True:
    with start_run(GitRepo(Path.cwd()), "K") as run:
        print(run.identity.id, run.commit_oid, flush=True)
        for number in range(4):
            run.commit([finished_task(run.identity, f"start/{number}", {"x": b"%d" % number})])
            print(run.identity.id, run.commit_oid, flush=True)
"""


def _kills(place: Path, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """Writers of runs, killed at any moment: what they had printed is there, and git finds all whole."""
    repo, wrong = make_repo(place / "repo"), []
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said: dict[str, str] = {}
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED],
            cwd=repo.path,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.4))
        writer.kill()
        out, _ = writer.communicate()
        said |= dict(line.split(" ") for line in (first + out).splitlines() if line.count(" ") == 1)
    for run, oid in said.items():
        if len(oid) == 40 and not _is_in(repo, oid, f"refs/runs/K/{run}"):
            wrong.append(f"lost K/{run} at {oid}")
    make_run(repo, "Next")
    return Counter(kills=6, runs=len(said)), [*wrong, *_broken(repo)]


def _is_in(repo: GitRepo, oid: str, ref: str) -> bool:
    done = subprocess.run(
        ["git", "merge-base", "--is-ancestor", oid, ref],
        cwd=repo.path,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _broken(repo: GitRepo) -> list[str]:
    """What of the user's own commands fails, and objects that are missing."""
    found = [f"missing {it}" for it in missing(repo)]
    mirror = ["clone", "-q", "--mirror", ".", str(repo.path.parent / f"mirror-{repo.path.name}")]
    for args in (
        ["status"],
        ["fsck", "--strict"],
        ["gc", "-q"],
        ["repack", "-a", "-d", "-q"],
        mirror,
    ):
        try:
            repo.git(*args)
        except AssertionError as error:
            found.append(str(error))
    return found


def _cuts(place: Path, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """States after power cuts in one kind of work."""
    work = chance.choice([*WORK])
    explorer = Explorer(place / "work", work)
    states = list(explorer.states(chance.randrange(1 << 30)))
    chosen = chance.sample(states, min(200, len(states)))
    wrong = [
        f"{work}, {state.model}: {problem}"
        for number, state in enumerate(chosen)
        for problem in explorer.problems(state, dear=number % 10 == 0)
    ]
    return Counter(states=len(chosen)), wrong


def _storm(place: Path, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """A storm of the user's own housekeeping."""
    repo = make_repo(place / "repo")
    add_bulk(repo, 2 << 20)
    storm = Storm(repo, rounds=25, runs=15, seed=chance.randrange(1 << 30), seconds=120)
    storm.go()
    wrong = [f"{type(error).__name__}: {error}" for error in storm.errors]
    refused = storm.failures if storm.counts["twice"] else []
    return Counter({f"storm {name}": it for name, it in storm.counts.items()}), [
        *wrong, *storm.losses(), *refused, *_broken(repo),
    ]  # fmt: skip


def _exchange(place: Path, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """Two or three clones with colliding numbers exchange runs, whatever they have configured: all have all."""
    first = make_repo(place / "repo")
    server = GitRepo(place / "server.git")
    subprocess.run(["git", "clone", "-q", "--bare", str(first.path), str(server.path)], check=True)
    clones = [clone(server, f"clone-{number}") for number in range(chance.choice([2, 3]))]
    made: set[str] = set()
    for repo in clones:
        prune, default = chance.choice(CONFIGS)
        repo.git("config", "fetch.prune", prune)
        repo.git("config", "push.default", default)
        for _ in range(chance.randrange(1, 4)):
            made.add(str(make_run(repo, "X").uid))
    for _ in range(2):
        for repo in chance.sample(clones, len(clones)):
            fetch(open_repo(repo), "origin")
            push(open_repo(repo), "origin", None)
    wrong = []
    for repo in clones:
        fetch(open_repo(repo), "origin")
        roots = set(
            repo.git("rev-list", "--max-parents=0", *refs(repo, "refs/runs/X/").values()).split()
        )
        wrong += [f"{repo.path.name} lacks {uid}" for uid in made - roots]
        wrong += _broken(repo)
    return Counter(exchanges=1, exchanged=len(made)), wrong


ROUNDS: list[Callable[[Path, random.Random], tuple[Counter[str], list[str]]]] = [
    _kills,
    _cuts,
    _storm,
    _exchange,
]


def main() -> int:
    """Run rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rounds", type=int, default=sys.maxsize)
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    totals: Counter[str] = Counter()
    for seed in count(given.seed):
        if time.monotonic() >= end or totals["rounds"] >= given.rounds:
            break
        kind = ROUNDS[seed % len(ROUNDS)]
        place = Path(tempfile.mkdtemp(prefix="gitflowrun-soak-"))
        try:
            counts, wrong = kind(place, random.Random(seed))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        totals.update(counts)
        totals["rounds"] += 1
        if wrong:
            print(f"seed {seed}, {kind.__name__}:", *wrong, f"so far: {dict(totals)}", sep="\n")  # noqa: T201
            return 1
    print(f"seed {given.seed}: {dict(sorted(totals.items()))}; 0 lost, 0 broken")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
