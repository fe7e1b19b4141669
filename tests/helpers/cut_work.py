"""What is done to a repository while its system calls are recorded, and how to tell that a cut has broken nothing.

`python -m tests.helpers.cut_work WORK` does one of `WORK` in the repository that it stands in. After each step it
acknowledges every ref and every file of ours that is to survive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.maintenance import fold
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.push import push
from gitflowrun.runs.maintenance import tidy
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.tags import Tags
from tests.helpers.packs import blob
from tests.helpers.power_cut import ACKNOWLEDGED, Call, State, record, states, tree
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import finished_task, make_run, start_run, with_packs

__all__ = ["WORK", "Explorer", "problems"]

_KEPT = ("gitflowrun-key-*", "gitflowrun-trusted")


class _Acknowledged:
    """Says, for the trace, what is there now."""

    def __init__(self, repo: GitRepo) -> None:
        self._repo = repo
        self._known: set[str] = set()
        options = ("--unreachable", "--no-reflogs", "--no-progress")
        self._lost = [row.split(" ")[2] for row in repo.git("fsck", *options).splitlines()]

    def all(self) -> None:
        rows = self._repo.git("for-each-ref", "--format=ref %(refname) %(objectname)").splitlines()
        for pattern in _KEPT:
            for path in (self._repo.path / ".git").glob(pattern):
                rows.append(f"file {path.name} {_sum(path)}")
        for row in rows:
            _say(row)
        # What no ref leads to, and was there before anything was done, is the user's own.
        rows += [f"object {oid} {oid}" for oid in self._lost]
        names = {row.rpartition(" ")[0] for row in rows}
        for name in self._known - names:
            _say(f"{name} -")
        self._known = names


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        open(f"{ACKNOWLEDGED}{text}").close()  # noqa: PTH123  (nothing is there: the call is what counts)


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "-"


def _two_runs(repo: GitRepo, said: _Acknowledged) -> None:
    """A run with a pack of a task's own, and one that shares its payload."""
    big = random.Random(1).randbytes(9000)
    for number in range(2):
        with start_run(repo, "F", tags=["fresh"]) as run:
            said.all()
            store = Repository.discover(repo.path).packs
            pack = store.write([blob(big)])
            task = finished_task(run.identity, "start/1", {"x": big})
            run.commit([with_packs(task, pack.name)])
            said.all()
            run.commit([finished_task(run.identity, f"end/{number + 2}")], status=Status.DONE)
        said.all()


def _tags(repo: GitRepo, said: _Acknowledged) -> None:
    repository = Repository.discover(repo.path)
    run = RunStore(repository).find("MyFlow/1")
    Tags(repository).change(run, add=["best", "old"])
    said.all()
    Tags(repository).change(run, remove=["old", "packed"])
    said.all()


def _fetch(repo: GitRepo, said: _Acknowledged) -> None:
    fetch(Repository.discover(repo.path), "origin")
    said.all()


def _push(repo: GitRepo, said: _Acknowledged) -> None:
    push(Repository.discover(repo.path), "origin", None)
    said.all()


def _trust(repo: GitRepo, said: _Acknowledged) -> None:
    for args in (["trust", "origin"], ["fetch", "origin"], ["trust", "MyFlow/2"]):
        repo.call(*args)
        said.all()


def _fold(repo: GitRepo, said: _Acknowledged) -> None:
    said.all()
    fold(Repository.discover(repo.path))
    said.all()
    make_run(repo, "G")
    said.all()
    fold(Repository.discover(repo.path))
    said.all()


def _deleted(repo: GitRepo, said: _Acknowledged) -> None:
    """The state directory is deleted between runs."""
    for _ in range(2):
        shutil.rmtree(repo.path / ".git" / "gitflowrun", ignore_errors=True)
        make_run(repo, "F")
        said.all()


def _remove(repo: GitRepo, said: _Acknowledged) -> None:
    said.all()
    for args in (["rm", "--force", "1"], ["rm", "--force", "2"], ["restore", "1"]):
        assert repo.call(*args).code == 0
        said.all()


def _purge(repo: GitRepo, said: _Acknowledged) -> None:
    said.all()
    for args in (["purge", "--force", "1"], ["rm", "--force", "2"], ["gc", "--prune=now"]):
        assert repo.call(*args).code == 0
        said.all()


def _note(repo: GitRepo, said: _Acknowledged) -> None:
    said.all()
    for args in (["1", "-m", "one"], ["2", "-m", "two"], ["1", "-m", "again"], ["2", "-d"]):
        assert repo.call("note", *args).code == 0
        said.all()


def _nothing(_repo: GitRepo) -> None:
    pass


def _with_runs(repo: GitRepo) -> None:
    for _ in range(2):
        make_run(repo, tags=["packed"])
    repo.git("pack-refs", "--all", "--prune")  # before: git itself does not sync what it packs


def _with_lost(repo: GitRepo) -> None:
    """In one pack with the runs lie a commit that a reset has lost, a loose blob, and all that git makes for speed."""
    run = make_run(repo, tags=["packed"], result=random.Random(1).randbytes(9000))
    make_run(repo, result=random.Random(2).randbytes(9000))
    repo.git("notes", "--ref=runs", "add", "-m", "remember", str(run.uid))
    tree = repo.git("rev-parse", f"{run.uid}^{{tree}}")
    repo.git("update-ref", "refs/heads/lost", repo.git("commit-tree", "-m", "lost", tree))
    repo.git("gc", "-q")
    repo.git("update-ref", "-d", "refs/heads/lost")
    repo.git("hash-object", "-w", "--stdin", stdin=b"somebody's")
    make_run(repo)
    repo.git("pack-refs", "--all", "--prune")
    repo.git("multi-pack-index", "write")
    repo.git("commit-graph", "write", "--reachable", "--split=replace")


def _behind(repo: GitRepo) -> None:
    """A remote has two runs, with tags, that are not here; run 1 is here."""
    _with_remote(repo)
    other = GitRepo(repo.path.parent / "other")
    subprocess.run(["git", "clone", "-q", str(_server(repo)), str(other.path)], check=True)
    for _ in range(2):
        make_run(other, tags=["theirs"])
    push(Repository.discover(other.path), "origin", None)
    make_run(repo, "F")


def _ahead(repo: GitRepo) -> None:
    _with_remote(repo)
    make_run(repo, tags=["mine"])


def _with_remote(repo: GitRepo) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", str(repo.path), str(_server(repo))], check=True)
    repo.git("remote", "add", "origin", str(_server(repo)))


def _server(repo: GitRepo) -> Path:
    return repo.path.parent / "server.git"


WORK: dict[str, tuple[Callable[[GitRepo], None], Callable[[GitRepo, _Acknowledged], None]]] = {
    "publish": (_nothing, _two_runs),
    "tags": (_with_runs, _tags),
    "fetch": (_behind, _fetch),
    "push": (_ahead, _push),
    "trust": (_behind, _trust),
    "fold": (_with_runs, _fold),
    "deleted": (_nothing, _deleted),
    "remove": (_with_runs, _remove),
    "note": (_with_runs, _note),
    "purge": (_with_runs, _purge),
    "purge packed": (_with_lost, _purge),
}
"""What is done, by name: the preparation, which is on the disk, and what is recorded."""


class Explorer:
    """One recorded work, and the states that cuts of the power may leave of it.

    Args:
        place: A directory for all of it.
        work: One of `WORK`.
        durability: The setting.
    """

    def __init__(self, place: Path, work: str, durability: str = "safe") -> None:
        self._place = place
        self._promised = durability == "safe"
        repo = make_repo(place / "repo")
        shutil.rmtree(repo.path / ".git" / "hooks")
        repo.git("config", "runs.durability", durability)
        WORK[work][0](repo)
        self._start = repo.path
        self._before = place / "before"
        shutil.copytree(repo.path, self._before)
        self.calls = self._record(work)
        self._acknowledged = [call.path for call in self.calls if call.name == "acknowledge"]

    def _record(self, work: str) -> list[Call]:
        command = [sys.executable, "-m", "tests.helpers.cut_work", work]
        return record(command, self._start, {**os.environ, "PYTHONPATH": str(ROOT)})

    def end(self) -> State:
        """What the calls lead to if nothing is cut."""
        disk = tree(self._before)
        for call in self.calls:
            disk.do(call)
        return disk.now()

    def files(self) -> dict[str, bytes]:
        """What the work has left in truth."""
        return tree(self._start).start

    def states(self, seed: int, samples: int = 4) -> Iterator[State]:
        """The states after each cut."""
        return states(tree(self._before), self.calls, seed, samples)

    def problems(self, state: State, *, dear: bool) -> list[str]:
        """Make a state and look at it; `dear`: as in `problems`."""
        place = self._place / "cut"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        state.write(place / "repo")
        return problems(
            GitRepo(place / "repo"),
            state.acknowledged,
            self._acknowledged,
            promised=self._promised,
            dear=dear,
        )


def problems(
    repo: GitRepo, acknowledged: Sequence[str], later: Sequence[str], *, promised: bool, dear: bool
) -> list[str]:
    """What is broken in a repository after a cut.

    Args:
        repo: The repository.
        acknowledged: What had been acknowledged.
        later: All that was going to be, in order, beginning with that: a change under way may have happened.
        promised: Whether what was acknowledged has to be there.
        dear: Whether the next run and the user's clone and gc are tried, too.
    """
    refs = _git(repo, "for-each-ref", "--format=ref %(refname) %(objectname)")
    found = [] if refs is not None else ["for-each-ref"]
    if _git(repo, "fsck", "--strict", "--no-dangling", "--no-progress") is None:
        found.append("fsck")
    if promised and refs is not None:
        found += _lost(repo, refs, acknowledged, later)
    return found or (_next(repo, acknowledged) if dear else [])


def _git(repo: GitRepo, *args: str) -> str | None:
    """What git says; None where it fails or complains."""
    done = subprocess.run(
        ["git", *args], cwd=repo.path, capture_output=True, text=True, check=False
    )
    complains = any(word in done.stderr for word in ("broken", "error", "fatal"))
    return None if done.returncode or complains else done.stdout


def _lost(repo: GitRepo, refs: str, acknowledged: Sequence[str], later: Sequence[str]) -> list[str]:
    """What had been acknowledged and is not there, nor what it was about to become."""
    there = {row.rpartition(" ")[0]: row.rpartition(" ")[2] for row in refs.splitlines()}
    last = {row.rpartition(" ")[0]: row.rpartition(" ")[2] for row in acknowledged}
    coming = {
        (row.rpartition(" ")[0], row.rpartition(" ")[2]) for row in later[len(acknowledged) :]
    }
    lost = []
    for name, value in last.items():
        kind, _, place = name.partition(" ")
        if kind == "object":
            lost += [] if _git(repo, "cat-file", "-e", place) is not None else [f"lost {name}"]
            continue
        now = there.get(name, "-") if kind == "ref" else _sum(repo.path / ".git" / place)
        if now == value or (name, now) in coming:
            continue
        # A run goes on, and what is trusted is replaced as a whole: both may be further than was said.
        is_further = now != "-" and (
            place == "gitflowrun-trusted"
            or _git(repo, "merge-base", "--is-ancestor", value, now) is not None
        )
        if not is_further:
            lost.append(f"lost {name}")
    return lost


def _next(repo: GitRepo, acknowledged: Sequence[str]) -> list[str]:
    """The next commands: a run, and then the user's own gc."""
    numbers = [
        name.split(" ")[1].rpartition("/")[2] for name in acknowledged if "refs/runs/" in name
    ]
    taken = max((int(it) for it in numbers if it.isdigit()), default=0)
    try:
        run = make_run(repo, "Next")
        tidy(Repository.discover(repo.path))
        RunStore(Repository.discover(repo.path)).find(str(run.id))
    except GitflowrunError as error:
        return [f"next run: {error}"]
    found = [] if run.id.number > taken else ["an id comes twice"]
    for args in (["clone", "-q", "--mirror", ".", "../mirror"], ["gc", "-q"]):
        found += [] if _git(repo, *args) is not None else [args[0]]
    return found


if __name__ == "__main__":
    here = GitRepo(Path.cwd())
    WORK[sys.argv[1]][1](here, _Acknowledged(here))
