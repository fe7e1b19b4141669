"""The index of runs: what a list shows of all of them, kept with a stamp of the refs that it was read from.

Looking for runs:

1. Take the stamp of the refs. An index that has the same one, and was read when that was certain, holds: nothing else
   is asked, but of runs that say that they run, whether they do.
2. Otherwise begin a new index, whose time is that of the look, and take the stamp again. Read what all refs hold.
3. What the old index has under the same name and id is so: a commit never changes. Read what is new from git.
4. Publish the new index, with the stamp of step 2. Whoever is killed before has changed nothing; of two at once the
   last one's stays, and both are right.

Of very many runs the first ones are wanted most often. When the index does not hold, they are found by their names, and
kept in a second file, which speaks of so many runs alone.

What can't be read is not kept, nor what does not fit: it is read anew each time, and such an index has no stamp. Where
refs are unusual (symbolic ones, names that git may refuse, damaged ones) there is none.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from bisect import bisect_left
from itertools import chain, repeat
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError, UnserializableArtifact
from gitflowrun.git.objects import Oid
from gitflowrun.limits import CLOCK_AHEAD, NUMBERS_AHEAD, REFS_A_COMMAND
from gitflowrun.names import RunId
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.index_file import (
    IndexHeader,
    OpenIndex,
    PackedBlock,
    pack_block,
    publish_index,
)
from gitflowrun.runs.lookup.own_file import NewFile
from gitflowrun.runs.lookup.run_columns import Block, ListedRun, RunTable, block_of
from gitflowrun.runs.lookup.run_summary import NO_FACTS, RunSummary
from gitflowrun.runs.lookup.stamps import NEVER, STAMPED, Stamp, refs_stamp
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.index_file import Key
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunFacts

_WHOLE, _NEWEST = "runs", "newest"
_LARGEST = 2**63
RUNS_IN_A_BLOCK = 512
"""Runs in a block: what is written again where one of them has changed."""
CELLS_IN_A_BLOCK = 400_000
"""Parameters and metrics in a block, times its runs: whose run has a thousand that no other has fills no memory."""
FEW = 200
"""Up to so many runs are found by their names where the index does not hold."""


def table_of_runs(
    repo: Repository, flow: str | None = None, limit: int | None = None, *, facts: bool = True
) -> RunTable:
    """The runs of a flow, or of all, newest first, as `listing.list_all` has them.

    Args:
        repo: The repository.
        flow: Only this flow's runs.
        limit: Only so many.
        facts: Whether parameters, metrics and branch are wanted.
    """
    index = _Index(repo)
    is_few = limit is not None and limit <= FEW
    table = index.current(_NEWEST, limit, facts=facts) if is_few and flow is None else None
    if table is None:
        table = index.current(_WHOLE, limit, flow, facts=facts)
    if table is None and limit is not None and is_few:
        table = index.newest(flow, limit, facts=facts)
    if table is None:
        table = index.refreshed(facts=facts)
        table = table if flow is None else index.of_flow(table, flow, facts=facts)
    table = table.head(limit)
    _note_what_runs(repo, table)
    return table


def table_of(runs: Sequence[RunSummary | DamagedRun], facts: Sequence[RunFacts] = ()) -> RunTable:
    """A table of runs that were read otherwise, in their order."""
    known = facts or repeat(None)
    entries = [ListedRun(run, it) for run, it in zip(runs, known, strict=False)]
    table = RunTable([*map(block_of, _of_size(entries, RUNS_IN_A_BLOCK))])
    for place, run in enumerate(runs):
        table.note(place, run.status)
    return table


def facts_of(repo: Repository, commits: Sequence[Oid | None]) -> list[RunFacts]:
    """What is known of the runs whose newest commits these are; nothing of those that can't be read.

    Args:
        repo: The repository.
        commits: Their newest commits; None for a run that has none.
    """
    from gitflowrun.runs.lookup.facts import read_facts

    wanted = [commit for commit in dict.fromkeys(commits) if commit is not None]
    known = _indexed_facts(repo, wanted)
    unknown = [commit for commit in wanted if commit not in known]
    known |= read_facts(repo, unknown) if unknown else {}
    return [known.get(commit, NO_FACTS) if commit else NO_FACTS for commit in commits]


def _indexed_facts(repo: Repository, commits: Sequence[Oid]) -> dict[Oid, RunFacts]:
    """What the index has of runs with these commits, whether or not it holds: a commit never changes."""
    found: dict[Oid, RunFacts] = {}
    wanted = {str(commit) for commit in commits}
    for name in (_NEWEST, _WHOLE):
        with contextlib.suppress(RepositoryError), OpenIndex(_path(repo, name)) as index:
            for packed in index.blocks():
                if not wanted:
                    break
                block = packed.open()
                for place, commit in enumerate(block.column("commit")):
                    if commit in wanted and block.column("known")[place]:
                        found[Oid.from_hex(commit)] = RunTable([block]).facts(place)
                        wanted.discard(commit)
    return found


def _path(repo: Repository, name: str) -> Path:
    return repo.state_dir / f"{name}-{os.geteuid()}.index"


def _note_what_runs(repo: Repository, table: RunTable) -> None:
    """Of runs whose commits say that they run, look whether they do."""
    running = Status.RUNNING.value
    recorded = table.column("status")
    if running not in recorded:
        return
    from gitflowrun.runs.locks import current_status

    names, commits = table.column("name"), table.column("commit")
    for place, word in enumerate(recorded):
        if word == running:
            run = RunId(names[place].partition("/")[2])
            commit = Oid.from_hex(commits[place])
            table.note(place, current_status(repo, run, commit, Status.RUNNING))


@frozen
class _Lot:
    """A block, between two keys; and as it lies in the file, if it does.

    Attributes:
        block: The block.
        first: The key of its first run.
        last: That of the last.
        packed: What is in the file.
    """

    block: Block
    first: Key
    last: Key
    packed: PackedBlock | None = None

    def pack(self) -> PackedBlock:
        """What goes into a file. Raises UnserializableArtifact: it can't be kept."""
        return self.packed or pack_block(self.block, self.first, self.last)


@frozen
class _News:
    """What has changed since an index was written.

    Attributes:
        gone: Names of runs that are not as they were there.
        entries: Those that are new, or not as they were.
        odd: Those that can't be kept.
    """

    gone: set[str]
    entries: list[ListedRun]
    odd: list[ListedRun]


class _Index:
    """The index of a repository, at one look."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._now = time.time()
        self._stamp: Stamp | None = None

    def _refs_stamp(self) -> Stamp:
        if self._stamp is None:
            self._stamp = refs_stamp(self._repo.common_dir, layout.RUNS)
        return self._stamp

    def current(
        self, name: str, limit: int | None, flow: str | None = None, *, facts: bool
    ) -> RunTable | None:
        """The runs that an index holds; None where it does not hold, or not enough."""
        stamp = self._refs_stamp()
        try:
            with OpenIndex(_path(self._repo, name)) as index:
                header = index.header
                if not (header.stamp == stamp.text and stamp.is_certain(header.looked)):
                    return None
                if (
                    not self._is_in_order(header)
                    or (sys.maxsize if limit is None else limit) > header.count
                ):
                    return None
                if flow is not None and header.highest > NUMBERS_AHEAD:
                    return None  # the order of a flow's runs may be another one
                table = RunTable([*_first_blocks(index.blocks(), flow, limit)])
                if flow is not None:
                    table = _only(table, flow)
                is_enough = not facts or all(table.head(limit).column("known"))
                return table if is_enough else None
        except RepositoryError:
            return None

    def _is_in_order(self, header: IndexHeader) -> bool:
        """Whether runs are sorted today as they were."""
        if not header.latest <= self._now + CLOCK_AHEAD < header.soonest:
            return False
        remotes = header.remotes or (self._repo.common_dir / layout.REMOTES).exists()
        return header.by_time == (remotes or self._is_ahead(header.highest))

    def _is_ahead(self, highest: int) -> bool:
        if highest <= NUMBERS_AHEAD:
            return False
        from gitflowrun.runs.lookup.listing import is_ahead

        return is_ahead(self._repo, highest)

    def newest(self, flow: str | None, limit: int, *, facts: bool) -> RunTable:
        """The first runs, found by their names."""
        from gitflowrun.runs.lookup.listing import newest_runs

        with self._begun(_NEWEST) as new:
            found = newest_runs(self._repo, flow, limit)
            commits = [run.commit for run in found.runs]
            table = table_of(found.runs, facts_of(self._repo, commits) if facts else ())
            entries = [ListedRun(run, None) for run in found.runs]
            is_kept = flow is None and not self._repo.refs.damaged and all(map(_fits, entries))
            if new is not None and is_kept and found.runs:
                order = _Order(found.by_time, found.highest).with_runs(found.runs, self._now)
                lots = [_lot([*block.entries()], order, self._now) for block in table.blocks]
                self._publish(new, lots, order, limit)
        return table

    @contextlib.contextmanager
    def _begun(self, name: str) -> Iterator[NewFile | None]:
        """A new index, begun before the refs are read; None where none can be written."""
        with contextlib.ExitStack() as stack:
            new = None
            with contextlib.suppress(OSError, RepositoryError):
                self._repo.state()  # with the modes of a shared repository
                new = stack.enter_context(NewFile(_path(self._repo, name)))
            self._stamp = None
            is_comparable = new is not None and new.device == self._repo.common_dir.stat().st_dev
            if not is_comparable:
                self._stamp = NEVER
            self._refs_stamp()
            yield new

    def _publish(
        self, new: NewFile, lots: Sequence[_Lot], order: _Order, count: int = sys.maxsize
    ) -> None:
        stamp = self._refs_stamp()
        header = IndexHeader(
            stamp=stamp.text,
            newest=stamp.newest,
            looked=new.begun,
            by_time=order.by_time,
            remotes=self._repo.refs.is_packed(layout.REMOTES),
            highest=order.highest,
            latest=order.latest,
            soonest=order.soonest,
            count=count,
        )
        with contextlib.suppress(OSError, UnserializableArtifact):
            publish_index(new, header, [lot.pack() for lot in lots])

    def of_flow(self, table: RunTable, flow: str, *, facts: bool) -> RunTable:
        """The runs of one flow."""
        numbers = (int(name.partition("/")[2].partition("-")[0]) for name in table.column("name"))
        if max(numbers, default=0) > NUMBERS_AHEAD:
            return self._listed(flow, facts=facts)
        return _only(table, flow)

    def _listed(self, flow: str | None, *, facts: bool) -> RunTable:
        """The runs, without an index."""
        from gitflowrun.runs.lookup.listing import list_all

        runs = list_all(self._repo, flow)
        commits = [run.commit for run in runs]
        return table_of(runs, facts_of(self._repo, commits) if facts else ())

    def refreshed(self, *, facts: bool) -> RunTable:
        """All runs, of which what the index knows is not read again."""
        with self._begun(_WHOLE) as new:
            refs = self._repo.refs.plain_below(layout.RUNS, STAMPED)
            if refs is None:
                return self._listed(None, facts=facts)
            order, lots = self._old(refs)
            news = _Changes(self._repo, lots, refs).read(facts=facts)
            lots = _merged(lots, news.gone, news.entries, order, self._now)
            order = order.with_runs((entry.run for entry in news.entries), self._now)
            if new is not None:
                if news.odd:
                    self._stamp = NEVER
                self._publish(new, lots, order)
            if news.odd:
                lots = _merged(lots, set(), news.odd, order, self._now)
            return RunTable([lot.block for lot in lots])

    def _old(self, refs: Mapping[str, str]) -> tuple[_Order, list[_Lot]]:
        """The order of runs today, and what the index has, in that order."""
        runs = [ref for ref in refs if not layout.is_reserved(ref)]
        highest = max(layout.run_numbers(runs), default=0)
        remotes = self._repo.refs.may_exist(layout.REMOTES)
        order = _Order(remotes or self._is_ahead(highest), highest)
        try:
            with OpenIndex(_path(self._repo, _WHOLE)) as index:
                lots = [_Lot(it.open(), it.first, it.last, it) for it in index.blocks()]
                header = index.header
            is_same = header.by_time == order.by_time and self._is_in_order(header)
            entries = sum(lot.block.count for lot in lots)
            if is_same and len(lots) <= 8 + 2 * entries // RUNS_IN_A_BLOCK:
                return order.beside(header.latest, header.soonest), lots
            found = [entry for lot in lots for entry in lot.block.entries()]
        except RepositoryError:
            return order, []
        order = order.with_runs((entry.run for entry in found), self._now)
        return order, _merged([], set(), found, order, self._now)


def _first_blocks(
    blocks: Iterable[PackedBlock], flow: str | None, limit: int | None
) -> Iterator[Block]:
    """The blocks that have the first runs of a flow, or of all."""
    found = 0
    for packed in blocks:
        block = packed.open()
        yield block
        if limit is None:
            continue
        if flow is None:
            found += block.count
        else:
            found += sum(name.startswith(f"{flow}/") for name in block.column("name"))
        if found >= limit:
            return


def _only(table: RunTable, flow: str) -> RunTable:
    start = f"{flow}/"
    names = table.column("name")
    return table.take([place for place, name in enumerate(names) if name.startswith(start)])


@frozen
class _Order:
    """How runs are sorted, and what that depends on: as in `IndexHeader`."""

    by_time: bool
    highest: int
    latest: float = 0.0
    soonest: float = math.inf

    def beside(self, latest: float, soonest: float) -> _Order:
        """The same with the runs of an index."""
        latest, soonest = max(self.latest, latest), min(self.soonest, soonest)
        return _Order(self.by_time, self.highest, latest, soonest)

    def with_runs(self, runs: Iterable[RunSummary | DamagedRun], now: float) -> _Order:
        """The same with more runs."""
        from gitflowrun.runs.lookup.listing import started_in

        times = [*map(started_in, runs)]
        come = [it for it in times if it <= now + CLOCK_AHEAD]
        coming = [it for it in times if it > now + CLOCK_AHEAD]
        return self.beside(max(come, default=0.0), min(coming, default=math.inf))

    def key(self, entry: ListedRun, now: float) -> Key:
        """What a run is sorted by."""
        from gitflowrun.runs.lookup.listing import order_key, started_in

        run = entry.run
        return [*order_key(run.flow, run.id, started_in(run), self.by_time, now)]


def _lot(entries: Sequence[ListedRun], order: _Order, now: float) -> _Lot:
    return _Lot(block_of(entries), order.key(entries[0], now), order.key(entries[-1], now))


def _merged(
    lots: Sequence[_Lot], gone: set[str], new: Sequence[ListedRun], order: _Order, now: float
) -> list[_Lot]:
    """The blocks without the runs that are gone, and with new ones in their places."""
    if not (gone or new):
        return [*lots]
    # From the last to the first, as `bisect` wants them.
    ends = [lot.first for lot in reversed(lots)]
    coming: dict[int, list[ListedRun]] = {}
    for entry in new:
        place = bisect_left(ends, order.key(entry, now))
        coming.setdefault(max(len(lots) - 1 - place, 0), []).append(entry)
    found: list[_Lot] = []
    for number, lot in enumerate(lots):
        more = coming.pop(number, [])
        if more or (gone and not gone.isdisjoint(lot.block.column("name"))):
            kept = [it for it in lot.block.entries() if it.run.pathspec not in gone]
            found += _cut([*kept, *more], order, now)
        else:
            found.append(lot)
    found += _cut([*chain.from_iterable(coming.values())], order, now)
    return found


def _cut(entries: Sequence[ListedRun], order: _Order, now: float) -> Iterator[_Lot]:
    """Some runs in order, in blocks."""
    ordered = sorted(entries, key=lambda it: order.key(it, now), reverse=True)
    size = RUNS_IN_A_BLOCK if len(ordered) > 2 * RUNS_IN_A_BLOCK else len(ordered)
    for some in _of_size(ordered, size):
        yield _lot(some, order, now)


def _of_size(entries: Sequence[ListedRun], size: int) -> Iterator[Sequence[ListedRun]]:
    """Runs by at most so many, and by fewer where they have so many names that most cells would be empty."""
    start, names = 0, set[str]()
    for place, entry in enumerate(entries):
        known = entry.facts or NO_FACTS
        more = names.union(known.parameters, known.metrics)
        count = place - start
        if count == size or (count and len(more) * (count + 1) > CELLS_IN_A_BLOCK):
            yield entries[start:place]
            start, more = place, {*known.parameters, *known.metrics}
        names = more
    if start < len(entries):
        yield entries[start:]


def _fits(entry: ListedRun) -> bool:
    """Whether a run can be kept: what is damaged may be mended, and the number in a message may be anything."""
    run = entry.run
    return isinstance(run, RunSummary) and run.state.tasks < _LARGEST


class _Changes:
    """What refs say that an index does not.

    Args:
        repo: The repository.
        lots: The index.
        refs: The refs and the ids that they hold.
    """

    def __init__(self, repo: Repository, lots: Sequence[_Lot], refs: Mapping[str, str]) -> None:
        from gitflowrun.runs.lookup.listing import tag_refs_by_run

        start, special = len(layout.RUNS), f"{layout.RUNS}@"
        self._repo = repo
        self._table = RunTable([lot.block for lot in lots])
        self._runs = {ref[start:]: oid for ref, oid in refs.items() if not ref.startswith(special)}
        tags = ((ref, oid) for ref, oid in refs.items() if ref.startswith(layout.TAGS))
        self._tags = tag_refs_by_run(tags)

    def read(self, *, facts: bool) -> _News:
        """What has changed, read from git; with facts, also what is not known of runs that have not changed."""
        from gitflowrun.runs.lookup.facts import read_facts

        table = self._table
        old = dict(zip(table.column("name"), table.column("commit"), strict=True))
        changed = {name for name, _ in self._runs.items() - old.items()}
        gone = (old.keys() - self._runs.keys()) | (old.keys() & changed)
        entries = [ListedRun(run, None) for run in self._read(changed)]
        for place, tags in self._altered(facts=facts):
            run = table.run(place)
            if run.pathspec in gone:
                continue
            gone.add(run.pathspec)
            known = table.facts(place) if table.column("known")[place] else None
            entries.append(ListedRun(replace(run, tags=tags), known))
        if facts:
            unknown = [it.run.commit for it in entries if it.facts is None and it.run.commit]
            found = read_facts(self._repo, unknown)
            entries = [
                ListedRun(it.run, found.get(it.run.commit))
                if it.facts is None and it.run.commit
                else it
                for it in entries
            ]
        kept = [it for it in entries if _fits(it)]
        return _News(gone, kept, [it for it in entries if not _fits(it)])

    def _altered(self, *, facts: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The runs whose tags are others, or of which more is wanted than is known; and their tags."""
        table = self._table
        tagged = {f"{flow}/{run}": refs for (flow, run), refs in self._tags.items()}
        columns = (table.column(name) for name in ("name", "tags", "first", "commit", "known"))
        for place, (name, tags, first, commit, known) in enumerate(zip(*columns, strict=True)):
            if not tags and known and name not in tagged:
                continue
            now = tuple(
                sorted(tag for tag, oid in tagged.get(name, ()) if oid == (first or commit))
            )
            if [*now] != tags or (facts and not known):
                yield place, now

    def _read(self, names: set[str]) -> list[RunSummary | DamagedRun]:
        """Runs as git has them now, without those that have just been removed."""
        from gitflowrun.runs.lookup.listing import FIELDS, damaged_run, listed

        refs = self._repo.refs
        wanted = [ref for name in names if layout.is_run_ref(ref := f"{layout.RUNS}{name}")]
        chunks = [wanted[at : at + REFS_A_COMMAND] for at in range(0, len(wanted), REFS_A_COMMAND)]
        if len(wanted) > len(self._runs) // 2:
            chunks = [[layout.RUNS]] if wanted else []
        found: dict[str, RunSummary | DamagedRun] = {}
        for chunk in chunks:
            for row in refs.rows(*chunk, fields=FIELDS):
                if row[0].removeprefix(layout.RUNS) in names:
                    run = listed(self._repo, row, self._tags)
                    if run is not None:
                        found[row[0]] = run
        for ref in refs.damaged.intersection(wanted).difference(found):
            if run := damaged_run(self._repo, ref, self._tags):
                found[ref] = run
        return [*found.values()]
