"""What sharing runs costs against git's own push and fetch: `python -m tests.benchmarks.transfer [--runs N]`.

Each round takes git's command and ours in turn; the least of all rounds is told, which other programs on the machine
disturb least.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gitflowrun import msgpack
from gitflowrun.git.objects import ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import RunId
from gitflowrun.runs import layout
from gitflowrun.runs.records import INFO, RunIdentity
from gitflowrun.values import replace
from tests.helpers.packs import pack_store
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo

RUNS = [sys.executable, "-c", "from gitflowrun.cli.git_runs.main import program; program()"]
FLOOR = [
    sys.executable,
    "-c",
    "import gitflowrun.cli.git_runs.main, gitflowrun.cli.git_runs.share.sync, gitflowrun.porcelain.transfer.VERB",
]


class Cost(NamedTuple):
    """Seconds of a command and all that it starts."""

    wall: float
    cpu: float


def cost(command: list[str], repo: GitRepo) -> Cost:
    """Run a command once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # An installed package is compiled.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    begin = time.perf_counter()
    subprocess.run(command, cwd=repo.path, env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def least(costs: Iterable[Cost]) -> Cost:
    """The least of each."""
    return Cost(*map(min, zip(*costs, strict=True)))


def tell(what: str, costs: dict[str, list[Cost]]) -> None:
    """Print what each contender took, against the first."""
    first = least(next(iter(costs.values())))
    print(what)
    for name, all_ in costs.items():
        one = least(all_)
        print(
            f"  {name:<28} {one.wall:6.3f} s ({one.wall / first.wall:4.1f} x), "
            f"CPU {one.cpu:6.3f} s ({one.cpu / first.cpu:4.1f} x)"
        )


def stored(repo: GitRepo) -> int:
    """Bytes of the object directory."""
    top = Path(repo.git("rev-parse", "--absolute-git-dir")) / "objects"
    return sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


def copy_run(repo: GitRepo, run: RunIdentity, numbers: range) -> None:
    """Make runs that are as `run` but for numbers, INFO and uids (and whose seals are not theirs), in one pack."""
    objects = open_repo(repo).objects
    ref = layout.run_ref(run.flow, run.id)
    line = repo.git("rev-list", "--reverse", ref).split()
    commits = [objects.commit(Oid.from_hex(oid)) for oid in line]
    trees = [objects.tree(commit.tree) for commit in commits]
    blob = next(row.oid for row in trees[0] if row.name == layout.INFO)
    info = INFO.load(msgpack.unpack(objects.blob(blob)))
    made: list[PackObject] = []

    def add(kind: ObjectType, data: bytes) -> Oid:
        oid = PackObject(kind, data).identify()
        made.append(PackObject(kind, data, oid))
        return oid

    updates = []
    for number in numbers:
        new = replace(info, id=RunId(str(number)), nonce=f"{number:032x}")
        new_blob = add(ObjectType.BLOB, msgpack.pack(INFO.dump(new)))
        uid = tip = None
        for commit, rows in zip(commits, trees, strict=True):
            now = [
                TreeEntry(row.mode, row.name, new_blob if row.name == layout.INFO else row.oid)
                for row in rows
            ]
            message = commit.message.replace(f"/{run.id}".encode(), f"/{number}".encode()).replace(
                str(run.uid).encode(), str(uid).encode()
            )
            tree = add(ObjectType.TREE, tree_bytes(now))
            parents = (tip,) if tip else ()
            # A second later each: git takes quadratic time for thousands of commits of one time.
            who = replace(commit.committer, seconds=commit.committer.seconds - 1_000_000 + number)
            changed = replace(
                commit, tree=tree, parents=parents, message=message, author=who, committer=who
            )
            tip = add(ObjectType.COMMIT, changed.encode())
            uid = uid or tip
        updates.append(f"create {layout.run_ref(run.flow, RunId(str(number)))} {tip}\n")
    store = pack_store(repo)
    store.release([store.write(made).name])
    repo.git("update-ref", "--stdin", stdin="".join(updates).encode())


def serve(repo: GitRepo, place: Path) -> GitRepo:
    """A bare repository with the branches and runs of `repo`, which calls it `origin`."""
    repo.git("clone", "-q", "--bare", "--no-local", str(repo.path), str(place))
    repo.git("remote", "add", "origin", str(place))
    server = GitRepo(place)
    server.git("config", "receive.unpackLimit", "1")
    repo.git("push", "-q", "origin", "refs/runs/*:refs/runs/*")
    server.git("pack-refs", "--all")
    return server


def code(repo: GitRepo, files: int, size: int) -> None:
    """Commit files."""
    for number in range(files):
        repo.write(f"d{number % 20}/f{number}", os.urandom(size))
    repo.commit("code")


def of_code(top: Path) -> None:
    """Tell what a run adds to a remote that has its code."""
    repo = make_repo(top / "code")
    code(repo, 200, 40_000)
    server = serve(repo, top / "code-server") if make_run(repo) else None
    assert server is not None
    make_run(repo)
    before = stored(server)
    took = cost([*RUNS, "push"], repo)
    sent = stored(server) - before
    print(f"push of one run whose 8 MB of code are there: {sent:,} bytes, {took.cpu:.2f} s of CPU")


def of_fetch(top: Path, runs: int, rounds: int) -> None:
    """Tell what it costs to fetch runs that are new."""
    repo = make_repo(top / "many")
    code(repo, 50, 200)
    copy_run(repo, make_run(repo), range(2, runs + 1))
    server = serve(repo, top / "many-server")
    plain = top / "plain"
    repo.git("clone", "-q", "--no-local", str(server.path), str(plain))
    own = ["git", "fetch", "-q", "origin", "refs/runs/*:refs/others/*"]
    fast = ["env", "GITFLOWRUN_DURABILITY=fast", *RUNS, "fetch"]
    contenders = {
        "git's own": own,
        "ours": [*RUNS, "fetch"],
        "ours, durability=fast": fast,
        "Python and our modules alone": [word.replace("VERB", "fetch") for word in FLOOR],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _, (name, command) in itertools.product(range(rounds), contenders.items()):
        clone = GitRepo(top / "clone")
        shutil.copytree(plain, clone.path)
        costs[name].append(cost(command, clone))
        shutil.rmtree(clone.path)
    tell(f"fetch of {runs:,} new runs", costs)


def of_push(top: Path, beside: int, rounds: int, *, packed: bool) -> None:
    """Tell what it costs to push a run beside many that both sides have.

    Args:
        top: Where to make repositories.
        beside: How many runs.
        rounds: How often.
        packed: Whether our refs are, as a fetch and `git gc` leave them, or files, as one flow after another does.
    """
    repo = make_repo(top / f"beside-{packed}")
    code(repo, 50, 200)
    run = make_run(repo)
    copy_run(repo, run, range(2, beside + 1))
    serve(repo, top / f"beside-server-{packed}")
    if packed:
        repo.git("pack-refs", "--all")
    contenders = {
        "git's own": ["git", "push", "-q", "origin", "refs/runs/MyFlow/RUN"],
        "ours": [*RUNS, "push"],
        "ours, the run named": [*RUNS, "push", "origin", "RUN"],
        "Python and our modules alone": [word.replace("VERB", "push") for word in FLOOR],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _, (name, command) in itertools.product(range(rounds), contenders.items()):
        number = make_run(repo).id
        costs[name].append(cost([word.replace("RUN", number) for word in command], repo))
    tell(f"push of one run among {beside:,}, refs {'packed' if packed else 'loose'}", costs)


def main() -> None:
    """Make servers, clones and runs; print what travelled and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--beside", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        of_code(top)
        of_fetch(top, words.runs, words.rounds)
        for packed in (True, False):
            of_push(top, words.beside, words.rounds, packed=packed)


if __name__ == "__main__":
    main()
