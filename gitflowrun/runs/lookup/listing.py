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
import heapq
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.permissions import read_file, replace_file
from gitflowrun.limits import (
    CLOCK_AHEAD,
    INFO_LOOKS,
    INFO_ROUNDS,
    LISTED_INFO,
    MAX_START_TIMES,
    NAMES_IN_A_HINT,
    NUMBERS_AHEAD,
)
from gitflowrun.names import did_you_mean
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status, parse_message, parse_time
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.locks import current_status
from gitflowrun.runs.lookup.summary import DamagedRun, RunSummary
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId

    _TagRef = tuple[str, str]

_SPECIAL = f"{layout.RUNS}@"
_FIELDS = ("refname", "objectname", "tree", "authorname", "authoremail:trim", "contents")
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
    tags_below = layout.below(layout.TAGS, flow)
    prefixes = {layout.below(layout.RUNS, flow), tags_below}
    by_time = None
    if limit is not None and limit <= _FEW:
        names, by_time = _names_in_order(repo, flow, limit)
        prefixes = {tags_below, *(layout.run_ref(*name) for name in names)}
    rows = repo.refs.rows(*sorted(prefixes), fields=_FIELDS)
    tags = tag_refs_by_run((row[0], row[1]) for row in rows)
    found = [run for row in rows if (run := _listed(repo, row, tags))]
    found += (
        DamagedRun(*name, _commit_of(repo, name), tags_of_run(tags.get(name, ())))
        for name in _damaged_names(repo)
        if flow in {None, name[0]}
    )
    if by_time is None:
        by_time = _come_from_several_clones(repo, (it.id.number for it in found))
    found.sort(key=lambda it: _place(it.flow, it.id, _started_in(it), by_time), reverse=True)
    return found[:limit]


def _started_in(run: RunSummary | DamagedRun) -> float:
    return run.state.started if isinstance(run, RunSummary) else 0.0


def looked_at(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun]
) -> list[RunSummary | DamagedRun]:
    """The same runs; of the first thousand those as damaged whose commit is here, and their tree or INFO is not.

    That is what a lost pack or a power cut may leave, and costs one process of git. `porcelain.checks.fsck` finds
    the rest.
    """
    looks = [it for it in runs[:INFO_LOOKS] if isinstance(it, RunSummary)]
    if repo.is_partial:  # git would fetch what it looks for
        return [*runs]
    lost: set[Oid] = set()
    for _ in range(INFO_ROUNDS):
        if not looks:
            break
        lines = "".join(f"{run.commit}:{layout.INFO.decode()}\n" for run in looks).encode("ascii")
        batch = ("cat-file", "--batch-check=%(objectname)")
        answers = repo.git.read(*batch, most=LISTED_INFO * len(looks), stdin=lines).out.splitlines()
        found = zip(looks, answers, strict=False)
        lost |= {run.commit for run, answer in found if answer.endswith(b" missing")}
        # At a tree that is garbled, or larger than what is read of any, git has ended without an answer.
        lost |= {run.commit for run in looks[len(answers) :][:1]}
        looks = looks[len(answers) + 1 :]
    return [
        replace(it, status=Status.DAMAGED)
        if it.commit in lost and isinstance(it, RunSummary)
        else it
        for it in runs
    ]


def run_names(
    repo: Repository, flow: str | None = None, limit: int | None = None
) -> list[tuple[str, RunId]]:
    """Flow and id of the runs of a flow, or of all, newest first, damaged ones included; no commit is read."""
    return _names_in_order(repo, flow, limit)[0]


def _names_in_order(
    repo: Repository, flow: str | None, limit: int | None
) -> tuple[list[tuple[str, RunId]], bool]:
    """As `run_names`, and whether the order is that of their times."""
    below = layout.below(layout.RUNS, flow)
    rows = repo.refs.rows(below, fields=("refname",))
    refs = [row[0] for row in rows if not row[0].startswith(_SPECIAL)]
    refs += {it for it in repo.refs.damaged if it.startswith(below)}.difference(refs)
    numbers = [layout.run_number(ref) for ref in refs]
    by_time = _come_from_several_clones(repo, numbers)
    if limit is not None and not by_time:
        refs = _newest(refs, numbers, limit)
    names = [name for ref in refs if (name := layout.parse_run_ref(ref))]
    return _in_order(repo, names, by_time=by_time)[:limit], by_time


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
    highest = heapq.nlargest(limit, numbers)
    if not highest:
        return []
    return [ref for ref, number in zip(refs, numbers, strict=True) if number >= highest[-1]]


def newest_first(repo: Repository, names: Iterable[tuple[str, RunId]]) -> list[tuple[str, RunId]]:
    """Runs in the order of lists. When they started is read only where the order depends on it."""
    found = list(names)
    by_time = _come_from_several_clones(repo, (run.number for _, run in found))
    return _in_order(repo, found, by_time=by_time)


def _in_order(
    repo: Repository, found: Sequence[tuple[str, RunId]], *, by_time: bool
) -> list[tuple[str, RunId]]:
    numbers = Counter(run.number for _, run in found)
    by_time = by_time and len(found) > 1
    unclear = [name for name in found if by_time or numbers[name[1].number] > 1]
    started = _started(repo, unclear) if unclear else {}
    return sorted(
        found,
        key=lambda name: _place(name[0], name[1], started.get(name, 0.0), by_time),
        reverse=True,
    )


def _place(flow: str, run: RunId, started: float, by_time: bool) -> tuple[object, ...]:
    """What runs are sorted by."""
    if started > time.time() + CLOCK_AHEAD:
        started = 0.0  # or one from the year 2099 would be everybody's newest run until then
    return (started if by_time else 0, run.number, started, run, flow)


def _come_from_several_clones(repo: Repository, numbers: Iterable[int]) -> bool:
    """Whether runs were exchanged with a remote: there are tracking copies then, or numbers that do not count here."""
    if repo.refs.may_exist(layout.REMOTES):
        return True
    # git itself may have fetched it: somebody's run is not the newest for ever by calling itself 999999999999.
    highest = max(numbers, default=0)
    return highest > NUMBERS_AHEAD and highest > RunIds(repo).last_given() + NUMBERS_AHEAD


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


def _listed(
    repo: Repository, row: tuple[str, ...], tags: Mapping[tuple[str, RunId], Sequence[_TagRef]]
) -> RunSummary | DamagedRun | None:
    """The run of a row; None for a tag's row, and for a ref that is no run's."""
    ref, oid, tree, author, email, message = row
    name = layout.parse_run_ref(ref)
    if name is None:
        return None
    commit = Oid.from_hex(oid)
    state = parse_message(message)
    if state is None:
        return DamagedRun(*name, commit, tags_of_run(tags.get(name, ())))
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
        tags=tags_of_run(tags.get(name, ()), uid),
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
