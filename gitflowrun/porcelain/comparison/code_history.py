"""The code of runs, each against that of the run before it of the same flow: what `git log` is for commits.

The first run of a flow has nothing before it, so nothing of its code has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, MissingObject, TooLarge
from gitflowrun.git.diff import extent_of_change
from gitflowrun.limits import CODE_LOG_SECONDS, INFO_ROUNDS
from gitflowrun.runs.lookup.listing import list_runs
from gitflowrun.runs.lookup.run_summary import RunSummary
from gitflowrun.runs.read import StoredRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_summary import DamagedRun

    _Pair = tuple[Oid, Oid]

_NAMES = 16 << 20
"""Bytes of the names of files that differ, of all runs together."""


class CodeHistory:
    """The code of all runs of a repository, in the order of lists."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._before: dict[str, RunSummary] = {}
        newer: dict[str, RunSummary] = {}
        for run in list_runs(repo):
            if run.flow in newer:
                self._before[newer[run.flow].pathspec] = run
            newer[run.flow] = run

    def trees(self, run: RunSummary | DamagedRun) -> _Pair | None:
        """The code of the run before, and of a run; None where there is no such run, or nobody can tell.

        Raises:
            CorruptRecord: one of the runs can't be read.
        """
        before = self._before.get(run.pathspec)
        if before is None or not isinstance(run, RunSummary):
            return None
        return self._code(before), self._code(run)

    def _code(self, run: RunSummary) -> Oid:
        return StoredRun(self._repo, run.flow, run.id, run.commit).code_tree

    def changing(
        self, runs: Sequence[RunSummary | DamagedRun], paths: Sequence[str]
    ) -> list[RunSummary | DamagedRun]:
        """Those of some runs whose code differs from that of the run before in what git takes `paths` for.

        A run is not among them whose code, or that of the one before it, can't be read, or where too much differs
        to be compared.

        Raises:
            TooLarge: more differs in all than is compared.
            RepositoryError: git can't read the paths, or the code of many runs.
        """
        found: dict[str, _Pair] = {}
        for run in runs:
            try:
                pair = self.trees(run)
            except (CorruptRecord, MissingObject):
                continue
            if pair is not None and pair[0] != pair[1]:
                found[run.pathspec] = pair
        differ = _differing(self._repo, list(dict.fromkeys(found.values())), paths)
        return [run for run in runs if found.get(run.pathspec) in differ]


def _differing(repo: Repository, pairs: list[_Pair], paths: Sequence[str]) -> set[_Pair]:
    """The pairs of trees that differ at paths; without those that git can't read, or where very much differs.

    One process says it of all pairs. Where it ends early, those are left out in which more differs than people change,
    and it goes on behind the pair at which it ended.
    """
    args = ("diff-tree", "--stdin", "-r", "--name-status", "--no-renames", "--", *paths)
    found: set[_Pair] = set()
    for attempt in range(INFO_ROUNDS):
        if not pairs:
            return found
        lines = "".join(f"{old} {new}\n" for old, new in pairs).encode()
        most = _NAMES + 2 * len(lines)
        try:
            done = repo.git.read(*args, most=most, stdin=lines, seconds=CODE_LOG_SECONDS)
            is_too_large = done.code < 0
        except TooLarge:
            if attempt:
                raise
            is_too_large = True
        if is_too_large and not attempt:
            pairs = [pair for pair in pairs if _is_moderate(repo, pair)]
            continue
        asked, differ = _parse(done.out, pairs)
        found |= differ
        if not done.code:
            return found
        if not asked:
            break
        pairs = pairs[asked:]
        if not attempt:
            pairs = [pair for pair in pairs if _is_moderate(repo, pair)]
    raise repo.git.failure(args, done)


def _parse(out: bytes, pairs: Sequence[_Pair]) -> tuple[int, set[_Pair]]:
    """How many pairs git has begun to compare, and which of them differ."""
    asked, differ = 0, set()
    for row in out.splitlines():
        # Both trees come first, and then a line for each file, whose name is quoted where it has a tab.
        if b"\t" in row:
            differ.add(pairs[asked - 1])
        else:
            asked += 1
    return asked, differ


def _is_moderate(repo: Repository, pair: _Pair) -> bool:
    """Whether no more differs between two trees than the code of people has."""
    try:
        extent_of_change(repo, *pair)
    except (CorruptRecord, MissingObject):
        return False
    return True
