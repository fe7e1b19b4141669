"""Several runs side by side: how far they got, what they were given, what came out, which code it was.

Two runs are compared in depth by `compare`; here a value counts that fits into a cell. Of each run its message and two
small blobs are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.artifacts.scalar import is_number
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.porcelain.parameters import parameters_of_all
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.listing import list_all
from gitflowrun.runs.lookup.run_index import facts_of
from gitflowrun.runs.lookup.run_summary import RunSummary
from gitflowrun.runs.read import StoredRun
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_summary import DamagedRun

    _Run = RunSummary | DamagedRun

RUN, PARAMETERS, METRICS = "run", "parameters", "metrics"
_DURATION = "duration"
_SHORT = 7


@frozen
class ComparedValue:
    """Something that runs have in common, with the value of each.

    Attributes:
        kind: `run` for what every run has (`status`, `duration` in seconds, `code`), `parameters` or `metrics`.
        name: Its name.
        values: The values by the runs' pathspecs; a run that has no such thing is not among them.
        differs: Whether they differ. Two runs that take equally long do so by chance: a duration never does.
    """

    kind: str
    name: str
    values: Mapping[str, Scalar]
    differs: bool

    def change(self, baseline: str, run: str) -> float | int | None:
        """By how much the number of a run differs from that of another one; None where it does not, or is none."""
        old, new = self.values.get(baseline), self.values.get(run)
        if not (is_number(old) and is_number(new)) or old == new:
            return None
        return new - old


@frozen
class RunsComparison:
    """Runs, and what there is to compare of them.

    Attributes:
        runs: Their pathspecs, the baseline first.
        baseline: The run that the others are measured by; None where there is none.
        rows: What they have, in order: of parameters and metrics that only some have, too.
    """

    runs: tuple[str, ...]
    baseline: str | None
    rows: tuple[ComparedValue, ...]

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return any(row.differs for row in self.rows)


def compare_runs(
    repo: Repository, runs: Sequence[StoredRun], baseline: StoredRun | None = None
) -> RunsComparison:
    """Compare runs, each named once.

    Args:
        repo: The repository.
        runs: The runs, in the order in which they are shown.
        baseline: One that the others are measured by, which comes first whether or not it is among them.
    """
    names = [run.pathspec for run in runs]
    if baseline is not None:
        names = [baseline.pathspec, *names]
    names = list(dict.fromkeys(names))
    known = {run.pathspec: run for run in list_all(repo) if run.pathspec in set(names)}
    found = [known[name] for name in names if name in known]  # else it was just removed
    rows = [
        _row(RUN, "status", {run.pathspec: run.status.value for run in found}),
        _row(RUN, _DURATION, dict(_durations(found))),
        _row(RUN, "code", _codes(repo, found)),
        *_rows_of(PARAMETERS, found, parameters_of_all(repo, found)),
        *_rows_of(
            METRICS, found, [it.metrics for it in facts_of(repo, [run.commit for run in found])]
        ),
    ]
    pathspec = baseline.pathspec if baseline is not None else None
    return RunsComparison(tuple(run.pathspec for run in found), pathspec, _for_all(rows, found))


def _for_all(rows: Sequence[ComparedValue], runs: Sequence[_Run]) -> tuple[ComparedValue, ...]:
    """The rows that say something; a value that only some of the runs have differs.

    Where others have a metric in common, a run that has not ended well need not have it: its status says why.
    """
    names = {run.pathspec for run in runs}
    unfinished = {run.pathspec for run in runs if run.status is not Status.DONE}

    def is_missed(row: ComparedValue) -> bool:
        missing = names - row.values.keys()
        if row.kind == METRICS and len(row.values) > 1:
            missing -= unfinished
        return bool(missing) and (row.kind, row.name) != (RUN, _DURATION)

    return tuple(
        ComparedValue(row.kind, row.name, row.values, differs=True) if is_missed(row) else row
        for row in rows
        if row.values
    )


def _row(kind: str, name: str, values: Mapping[str, Scalar]) -> ComparedValue:
    # By type, too: True is no 1, and of a text that reads like a number nobody knows which was meant.
    different = {(type(value), repr(value)) for value in values.values()}
    is_timing = (kind, name) == (RUN, _DURATION)
    return ComparedValue(kind, name, values, differs=len(different) > 1 and not is_timing)


def _rows_of(
    kind: str, runs: Sequence[_Run], tables: Sequence[Mapping[str, Scalar] | Mapping[str, str]]
) -> Iterator[ComparedValue]:
    for name in dict.fromkeys(name for table in tables for name in table):
        pairs = zip(runs, tables, strict=True)
        yield _row(kind, name, {run.pathspec: table[name] for run, table in pairs if name in table})


def _durations(runs: Sequence[_Run]) -> Iterator[tuple[str, float]]:
    for run in runs:
        if isinstance(run, RunSummary) and run.state.finished is not None:
            yield run.pathspec, run.state.finished - run.state.started


def _codes(repo: Repository, runs: Sequence[_Run]) -> dict[str, str]:
    """The commit that the code of each run is, and the snapshot where one commit stands for several."""
    trees: dict[str, Oid] = {}
    texts: dict[str, str] = {}
    for run in runs:
        if not isinstance(run, RunSummary):
            continue
        commit = str(run.state.code_commit or "no commit")
        texts[run.pathspec] = commit[:_SHORT] if run.state.code_commit else commit
        texts[run.pathspec] += "+dirty" if run.state.dirty else ""
        try:
            trees[run.pathspec] = StoredRun(repo, run.flow, run.id, run.commit).code_tree
        except (CorruptRecord, RepositoryError):
            del texts[run.pathspec]
    of_text: dict[str, set[Oid]] = {}
    for name, text in texts.items():
        of_text.setdefault(text, set()).add(trees[name])
    return {
        name: f"{text} (tree {trees[name].short})" if len(of_text[text]) > 1 else text
        for name, text in texts.items()
    }
