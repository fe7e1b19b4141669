"""The list of runs, from one `git for-each-ref`: commit messages and tags, no trees, no pygit2.

The order, by which the newest run is known everywhere: where all runs were created here it is that of their numbers, so
a clock that was set back reorders nothing. Where runs were exchanged with a remote, the numbers of several clones meet
and say nothing of one another, nor does one say anything that is too high to be ours: there it is the order in which
runs started. A time is what the run's message says, so one that is yet to come counts for nothing. Reading 10,000
messages for the three newest costs 0.4 s, so what is known is kept, by commit, in the disposable state: a commit never
changes, and no entry is ever wrong. One that nothing needs any more is dropped when the file is written again.

A run that can't be read has its place in the list all the same, as a `DamagedRun`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.permissions import read_file, replace_file
from gitflowrun.limits import (
    CLOCK_AHEAD,
    MAX_START_TIMES,
    NAMES_IN_A_HINT,
    NUMBERS_AHEAD,
)
from gitflowrun.names import did_you_mean
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message, parse_time
from gitflowrun.runs.locks import current_status
from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId

    _TagRef = tuple[str, str]

_SPECIAL = f"{layout.RUNS}@"
FIELDS = ("refname", "objectname", "tree", "authorname", "authoremail:trim", "contents")
_STARTED = re.compile(r"^Started: ([0-9TZ:.+-]{1,40})$", re.MULTILINE)
_START_TIMES = "started"
_FEW = 200
"""Up to so many runs are asked for by name, instead of reading the messages of all."""


def list_runs(
    repo: Repository, flow: str | None = None, limit: int | None = None
) -> list[RunSummary]:
    """The runs of a flow, or of all, newest first, without those that can't be read. Arguments as of `list_all`."""
    return [run for run in list_all(repo, flow, limit) if isinstance(run, RunSummary)]


def list_all(
    repo: Repository, flow: str | None = None, limit: int | None = None
) -> list[RunSummary | DamagedRun]:
    """The runs of a flow, or of all, newest first.

    Args:
        repo: The repository.
        flow: Only this flow's runs.
        limit: Only so many. A few of very many runs are found by their names first.
    """
    if limit is not None and limit <= _FEW:
        return newest_runs(repo, flow, limit).runs
    found = _read(repo, {layout.below(layout.RUNS, flow), layout.below(layout.TAGS, flow)}, flow)
    by_time = come_from_several_clones(repo, (it.id.number for it in found))
    return _sorted(found, by_time)[:limit]


@frozen
class NewestRuns:
    """The first runs of a list.

    Attributes:
        runs: The runs.
        by_time: Whether all runs are in the order of their times.
        highest: The highest number of any.
    """

    runs: list[RunSummary | DamagedRun]
    by_time: bool
    highest: int


def newest_runs(repo: Repository, flow: str | None, limit: int) -> NewestRuns:
    """The first runs of `list_all`, found by their names among very many; arguments as there."""
    found = _names_in_order(repo, flow, limit)
    refs = {layout.run_ref(*name) for name in found.names}
    runs = _read(repo, {layout.below(layout.TAGS, flow), *refs}, flow)
    return NewestRuns(_sorted(runs, found.by_time)[:limit], found.by_time, found.highest)


def _read(
    repo: Repository, prefixes: Iterable[str], flow: str | None
) -> list[RunSummary | DamagedRun]:
    """The runs below some prefixes, and those that are damaged, in no order."""
    rows = repo.refs.rows(*sorted(prefixes), fields=FIELDS)
    tags = tag_refs_by_run((row[0], row[1]) for row in rows)
    found = [run for row in rows if (run := listed(repo, row, tags))]
    lost = (damaged_run(repo, ref, tags) for ref in repo.refs.damaged)
    return found + [run for run in lost if run and flow in {None, run.flow}]


def damaged_run(
    repo: Repository, ref: str, tags: Mapping[tuple[str, RunId], Sequence[_TagRef]]
) -> DamagedRun | None:
    """The run of a ref that has turned out to be damaged; None for a ref that is no run's."""
    name = layout.parse_run_ref(ref)
    if name is None:
        return None
    return DamagedRun(*name, _commit_of(repo, name), tags_of_run(tags.get(name, ())))


def _sorted(
    runs: Iterable[RunSummary | DamagedRun], by_time: bool
) -> list[RunSummary | DamagedRun]:
    now = time.time()
    return sorted(
        runs, key=lambda it: order_key(it.flow, it.id, started_in(it), by_time, now), reverse=True
    )


def started_in(run: RunSummary | DamagedRun) -> float:
    """When a run started; 1970 where nobody knows."""
    return run.state.started if isinstance(run, RunSummary) else 0.0


def run_names(
    repo: Repository, flow: str | None = None, limit: int | None = None
) -> list[tuple[str, RunId]]:
    """Flow and id of the runs of a flow, or of all, newest first, damaged ones included; no commit is read."""
    return _names_in_order(repo, flow, limit).names


@frozen
class _Names:
    """Flow and id of runs in order, whether that is the order of their times, and the highest number of all."""

    names: list[tuple[str, RunId]]
    by_time: bool
    highest: int


def _names_in_order(repo: Repository, flow: str | None, limit: int | None) -> _Names:
    """As `run_names`."""
    below = layout.below(layout.RUNS, flow)
    refs = [ref for ref in repo.refs.below(below) if not ref.startswith(_SPECIAL)]
    refs += {it for it in repo.refs.damaged if it.startswith(below)}.difference(refs)
    numbers = layout.run_numbers(refs)
    by_time = come_from_several_clones(repo, numbers)
    if limit is not None and not by_time:
        refs = _newest(refs, numbers, limit)
    names = [name for ref in refs if (name := layout.parse_run_ref(ref))]
    ordered = _in_order(repo, names, by_time=by_time)[:limit]
    return _Names(ordered, by_time, max(numbers, default=0))


def damaged_runs(repo: Repository) -> list[str]:
    """`Flow/id` of the runs whose refs have turned out to be damaged, or to lead to what is missing or damaged."""
    names = sorted(_damaged_names(repo), key=lambda it: (*it[1].sort_key, it[0]))
    return [f"{flow}/{run}" for flow, run in names]


def _damaged_names(repo: Repository) -> list[tuple[str, RunId]]:
    return [name for ref in repo.refs.damaged if (name := layout.parse_run_ref(ref))]


def _commit_of(repo: Repository, name: tuple[str, RunId]) -> Oid | None:
    try:
        return repo.refs.get(layout.run_ref(*name))
    except RepositoryError:
        return None


def told_damaged(runs: Sequence[str], what: str = "damaged") -> str:
    """What to say of damaged runs, of which a verb makes `what`, and what to do."""
    few = ", ".join(runs[:NAMES_IN_A_HINT])
    more = f" and {len(runs) - NAMES_IN_A_HINT} more" if len(runs) > NAMES_IN_A_HINT else ""
    verb = "is" if len(runs) == 1 else "are"
    return f"{few}{more} {verb} {what}; `git runs show {runs[0]}` says how, {cure_of(runs[0])}"


def cure_of(run: str) -> str:
    """What to do about a damaged run that a remote has. git says itself to have what its commits should reach."""
    return (
        "`git runs fetch` brings a lost ref or commit from a remote that has it, "
        f"`git fetch --refetch REMOTE {layout.RUNS}{run}` what else is missing, "
        "and a backup of .git what no remote has"
    )


def _newest(refs: list[str], numbers: list[int], limit: int) -> list[str]:
    """The refs with the `limit` highest numbers, and whatever shares the last of these."""
    highest = sorted(numbers, reverse=True)[:limit]
    if not highest:
        return []
    return [ref for ref, number in zip(refs, numbers, strict=True) if number >= highest[-1]]


def newest_first(repo: Repository, names: Iterable[tuple[str, RunId]]) -> list[tuple[str, RunId]]:
    """Runs in the order of lists. When they started is read only where the order depends on it."""
    found = list(names)
    by_time = come_from_several_clones(repo, (run.number for _, run in found))
    return _in_order(repo, found, by_time=by_time)


def _in_order(
    repo: Repository, found: Sequence[tuple[str, RunId]], *, by_time: bool
) -> list[tuple[str, RunId]]:
    numbers = Counter(run.number for _, run in found)
    by_time = by_time and len(found) > 1
    unclear = [name for name in found if by_time or numbers[name[1].number] > 1]
    started = _started(repo, unclear) if unclear else {}
    now = time.time()
    return sorted(
        found,
        key=lambda name: order_key(name[0], name[1], started.get(name, 0.0), by_time, now),
        reverse=True,
    )


def order_key(
    flow: str, run: RunId, started: float, by_time: bool, now: float
) -> tuple[float, int, float, str, str]:
    """What runs are sorted by, now; the largest is the newest."""
    if started > now + CLOCK_AHEAD:
        started = 0.0  # or one from the year 2099 would be everybody's newest run until then
    return (started if by_time else 0.0, run.number, started, run, flow)


def come_from_several_clones(repo: Repository, numbers: Iterable[int]) -> bool:
    """Whether runs were exchanged with a remote: there are tracking copies then, or numbers that do not count here."""
    if repo.refs.may_exist(layout.REMOTES):
        return True
    return is_ahead(repo, max(numbers, default=0))


def is_ahead(repo: Repository, highest: int) -> bool:
    """Whether a number does not count here."""
    # git itself may have fetched it: somebody's run is not the newest for ever by calling itself 999999999999.
    if highest <= NUMBERS_AHEAD:
        return False
    from gitflowrun.runs.ids import RunIds  # which lists need for nothing else

    return highest > RunIds(repo).last_given() + NUMBERS_AHEAD


def _started(
    repo: Repository, names: Sequence[tuple[str, RunId]]
) -> dict[tuple[str, RunId], float]:
    """When runs started, as their messages say."""
    if len(names) > _FEW:
        times = _all_started(repo)
    else:
        refs = [layout.run_ref(*name) for name in names]
        rows = repo.refs.rows(*refs, fields=("refname", "contents")) if refs else []
        times = {ref: _started_at(text) for ref, text in rows}
    started = {}
    for name in names:
        with contextlib.suppress(ValueError, KeyError):
            started[name] = parse_time(times[layout.run_ref(*name)])
    return started


def _all_started(repo: Repository) -> dict[str, str]:
    """When all runs started, by ref; of those that were asked for before, no message is read."""
    commits = {row[0]: row[1] for row in repo.refs.rows(layout.RUNS)}
    known = _read_start_times(repo)
    new = [ref for ref, commit in commits.items() if commit not in known and layout.is_run_ref(ref)]
    if new:
        prefixes = new if len(new) <= _FEW else [layout.RUNS]
        rows = repo.refs.rows(*prefixes, fields=("objectname", "contents"))
        known |= {commit: _started_at(text) for commit, text in rows}
        _write_start_times(repo, {it: known[it] for it in commits.values() if it in known})
    return {ref: known[commit] for ref, commit in commits.items() if commit in known}


def _started_at(message: str) -> str:
    """When a run started, as its message has it; empty where it says nothing of the kind."""
    found = _STARTED.search(message)
    return found[1] if found else ""


def no_runs_of(flow: str, flows: Iterable[str]) -> NotFound:
    """The error that no run is of `flow`, where there are runs of `flows`."""
    some = sorted(flows)[:NAMES_IN_A_HINT]
    otherwise = f"flows with runs: {', '.join(some)}" if some else "`git runs` lists all runs"
    return NotFound(
        f"there are no runs of flow {flow!r} in this repository",
        hint=did_you_mean(flow, flows, otherwise),
    )


def tag_refs_by_run(rows: Iterable[tuple[str, str]]) -> dict[tuple[str, RunId], list[_TagRef]]:
    """The tags that refs say of runs, by the runs' flow and id, each with the commit that its ref holds.

    `tags_of_run` says which of them are tags of the run. Other refs may be among `rows` of names and commits.
    """
    tags: dict[tuple[str, RunId], list[_TagRef]] = {}
    for name, oid in rows:
        if parsed := layout.parse_tag_ref(name):
            flow, tag, run = parsed
            tags.setdefault((flow, run), []).append((tag, oid))
    return tags


def tags_of_run(refs: Iterable[_TagRef], uid: Oid | None = None) -> tuple[str, ...]:
    """Those of some tags, sorted, that are tags of the run with this uid: a tag's ref holds its run's first commit.

    Another one is of a run that has the number elsewhere. A plain `git fetch` of `refs/runs/*` brings its tag, and our
    run stays. Of a run that can't be read all are, as far as anybody knows.
    """
    first = str(uid)
    return tuple(sorted(tag for tag, oid in refs if uid is None or oid == first))


def uids_of(repo: Repository, names: Collection[tuple[str, RunId]]) -> dict[tuple[str, RunId], Oid]:
    """The uids of runs, as their messages say; without those that can't be read."""
    refs: dict[str, tuple[str, RunId]] = {layout.run_ref(*name): name for name in names}
    prefixes = [*refs] if len(refs) <= _FEW else [layout.RUNS]
    rows = repo.refs.rows(*prefixes, fields=("refname", "objectname", "contents")) if refs else []
    states = ((refs[ref], oid, parse_message(text)) for ref, oid, text in rows if ref in refs)
    return {name: state.uid or Oid.from_hex(oid) for name, oid, state in states if state}


def listed(
    repo: Repository, row: tuple[str, ...], tags: Mapping[tuple[str, RunId], Sequence[_TagRef]]
) -> RunSummary | DamagedRun | None:
    """The run of a row; None for a tag's row, and for a ref that is no run's."""
    name = layout.parse_run_ref(row[0])
    return None if name is None else summary_of(repo, name, row, tags.get(name, ()))


def summary_of(
    repo: Repository, name: tuple[str, RunId], row: tuple[str, ...], tags: Sequence[_TagRef] = ()
) -> RunSummary | DamagedRun:
    """The run of a row, of whatever kind it is.

    Args:
        repo: The repository.
        name: Its flow and id.
        row: What `FIELDS` says of its ref.
        tags: What refs say of its tags.
    """
    _, oid, tree, author, email, message = row
    commit = Oid.from_hex(oid)
    state = parse_message(message)
    if state is None:
        return DamagedRun(*name, commit, tags_of_run(tags))
    uid = state.uid or commit
    return RunSummary(
        flow=name[0],
        id=name[1],
        commit=commit,
        uid=uid,
        state=state,
        status=current_status(repo, name[1], commit, state.status),
        subject=message.partition("\n")[0],
        author=author,
        email=email,
        tree=tree,
        tags=tags_of_run(tags, uid),
    )


def _read_start_times(repo: Repository) -> dict[str, str]:
    """What is known: the times, as messages write them, by commit. Nothing where the file can't be used."""
    path = repo.state_dir / _START_TIMES
    try:
        data = read_file(path, "the start times of runs", limit=MAX_START_TIMES) or b""
        return dict(line.split(" ") for line in data.decode("ascii").splitlines())
    except (GitflowrunError, ValueError):
        return {}


def _write_start_times(repo: Repository, times: Mapping[str, str]) -> None:
    """Keep what is known, as far as this repository can be written to."""
    text = "".join(f"{commit} {time}\n" for commit, time in times.items())
    if len(text) > MAX_START_TIMES:
        return
    with contextlib.suppress(GitflowrunError, OSError):
        replace_file(repo.state() / _START_TIMES, text.encode("ascii"), repo.shared_mode)
