"""A storm: runs that share artifacts, and folds, beside the user's own git commands, one or two at a time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.maintenance import fold
from gitflowrun.git.repository import Repository
from gitflowrun.limits import INLINE_LIMIT
from gitflowrun.runs.maintenance import ensure_dedup_index
from gitflowrun.runs.runs import Status
from gitflowrun.runs.write import RunWriter
from tests.helpers.packs import blob, noise
from tests.helpers.repacks import missing
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact, finished_task, start_run, with_packs

__all__ = ["COMMANDS", "GEOMETRIC", "RIVALS", "Storm"]

COMMANDS = (
    "repack -a -d -q",
    "gc -q",
    "gc -q --prune=now",
    "prune --expire=now",
    "maintenance run --quiet",
    "multi-pack-index repack",
    "multi-pack-index expire",
    "pack-refs --all --prune",
    "commit-graph write --reachable",
)
GEOMETRIC = "repack --geometric=2 -d --write-midx -q"
"""Alone: beside `repack -a -d` it loses objects in git itself."""
RIVALS = ("already running", "unable to", "cannot lock", "file exists")
"""What git says of a lock that the other of two commands holds."""
_SHARED = [noise(2 * INLINE_LIMIT, number) for number in range(3)]


class Storm:
    """Goes on until the user's commands have been run so many rounds and runs have ended, so many.

    Args:
        repo: The repository.
        rounds: Rounds of the user's commands.
        runs: Runs.
        seed: Which commands, when, and what is shared.
        seconds: After so many it ends whatever is left.

    Attributes:
        counts: rounds, runs, folds, hits (payloads found stored), failed (commands), twice (that failed again too).
        errors: What runs have raised, which nothing may.
    """

    def __init__(
        self, repo: GitRepo, *, rounds: int, runs: int, seed: int, seconds: float = 1e6
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self.failures: list[str] = []
        self._repo = repo
        self._wanted = {"rounds": rounds, "runs": runs}
        self._chance = random.Random(seed)
        self._end = time.monotonic() + seconds
        self._acknowledged: dict[str, str] = {}

    def go(self) -> None:
        """Let it blow."""
        ensure_dedup_index(Repository.discover(self._repo.path))
        loops: list[Callable[[], None]] = [self._commands, self._fold, self._run, self._run]
        threads = [threading.Thread(target=self._guarded, args=(loop,)) for loop in loops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def losses(self) -> list[str]:
        """The objects and the acknowledged states of runs that are gone."""
        rows = self._repo.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        there = dict(row.split(" ") for row in rows)
        gone = [ref for ref, oid in self._acknowledged.items() if there.get(ref) != oid]
        return [*missing(self._repo), *gone]

    def _is_on(self) -> bool:
        lacks = any(self.counts[name] < count for name, count in self._wanted.items())
        return lacks and not self.errors and time.monotonic() < self._end

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            while self._is_on():
                loop()
        except BaseException as error:  # noqa: BLE001  (for the test to see)
            self.errors.append(error)

    def _commands(self) -> None:
        alone = self.counts["rounds"] % 2 == 0
        chosen = self._chance.sample(
            [*COMMANDS, *([GEOMETRIC] if alone else [])], 1 if alone else 2
        )
        threads = [threading.Thread(target=self._command, args=(it, not alone)) for it in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.counts["rounds"] += 1

    def _command(self, command: str, has_rival: bool) -> None:
        for attempt in ("failed", "twice"):
            try:
                self._repo.git(*command.split())
            except AssertionError as error:
                if has_rival and any(sign in str(error).lower() for sign in RIVALS):
                    self.counts["rivals"] += 1
                    return
                self.counts[attempt] += 1
                self.failures.append(str(error))
            else:
                return

    def _fold(self) -> None:
        # A repack may take an input away, which a fold says and survives.
        with contextlib.suppress(RepositoryError):
            self.counts["folds"] += fold(Repository.discover(self._repo.path), beyond=3)
        time.sleep(0.02)

    def _run(self) -> None:
        repository = Repository.discover(self._repo.path)
        with start_run(repository, "F") as run:
            for step in ("start", "train", "end"):
                self._commit(repository, run, step)
            run.commit([], status=Status.DONE)
            self._acknowledged[f"refs/runs/F/{run.identity.id}"] = str(run.commit_oid)
        self.counts["runs"] += 1

    def _commit(self, repository: Repository, run: RunWriter, step: str) -> None:
        """One task, whose payload others may have stored: then it is named, as a task's process does."""
        payload = random.choice(_SHARED)
        task = finished_task(run.identity, f"{step}/1", {"x": payload})
        ref = artifact(payload, task.record.name)
        index = DedupIndex(repository.state_dir, repository.objects)
        found = index.lookup([ref.digest])
        self.counts["hits"] += bool(found)
        packs = [] if found else [repository.packs.write([blob(payload)]).name]
        try:
            run.commit([with_packs(task, *packs)])
        except GitflowrunError:
            if packs:
                raise
            # A gc took what was found: the group is refused, and the task stores it again.
            self.counts["taken"] += 1
            packs = [repository.packs.write([blob(payload)]).name]
            run.commit([with_packs(task, *packs)])
