"""Many runs by column, in the order of a list: what takes microseconds a run as objects takes a tenth of that.

A list of 100,000 runs shows two million cells. As lists of texts and numbers they are read, compared and printed at the
speed of Python's own loops in C; a `RunSummary` is made of the few runs that somebody looks at one by one.

Runs lie in blocks of some hundred, which are also what the index of runs keeps (`index_file`): a run that is new or has
changed costs the writing of its block. A block's parameters and metrics are columns by name; which names a run has,
and in which order, its shape says.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.names import RunId
from gitflowrun.runs.commit_message import RunState, Status
from gitflowrun.runs.lookup.run_summary import NO_FACTS, DamagedRun, RunFacts, RunSummary
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

ABSENT: Any = type("_Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""Stands in a column of metrics for a run that has none of that name."""

Shape = tuple[tuple[str, ...], tuple[str, ...]]
"""The names of the parameters of a run, and of its metrics."""

_DAMAGED = Status.DAMAGED.value
_RUNNING = Status.RUNNING.value
_TEXT: frozenset[type] = frozenset({str})
_OID: frozenset[type] = frozenset({str, type(None)})
KINDS: Mapping[str, frozenset[Any]] = {
    "name": _TEXT,
    "commit": _OID,
    "first": _OID,
    "tree": _TEXT,
    "subject": _TEXT,
    "author": _TEXT,
    "email": _TEXT,
    "tags": frozenset({list}),
    "run": _TEXT,
    "status": _TEXT,
    "started": frozenset({float}),
    "finished": frozenset({float, type(None)}),
    "tasks": frozenset({int}),
    "user": _TEXT,
    "code_commit": _OID,
    "dirty": frozenset({bool}),
    "origin": _TEXT,
    "failed_step": _TEXT,
    "mac": _TEXT,
    "known": frozenset({bool}),
    "branch": _TEXT,
    "shape": frozenset({int}),
}
"""The columns that every block has, and the types of what is in them. Ids are hexadecimal, a name is `Flow/id`."""
_PARAMETER, _METRIC, _SHOWN = "p:", "m:", "t:"
_NUMBERS = {float, int, type(ABSENT)}
_PARAMETER_TYPES: frozenset[type] = frozenset({str, type(None)})
_METRIC_TYPES: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_OTHERS = {_PARAMETER: _PARAMETER_TYPES, _METRIC: _METRIC_TYPES, _SHOWN: _TEXT}


def cell(value: Any) -> str:
    """A metric as a cell of a table: numbers with six digits, which tell runs apart and fit side by side."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@frozen
class ListedRun:
    """A run that goes into a block.

    Attributes:
        run: The run.
        facts: What was read of it besides; None where that is not known.
    """

    run: RunSummary | DamagedRun
    facts: RunFacts | None


class Block:
    """Some runs by column.

    Args:
        count: How many.
        shapes: The shapes that they have.
        columns: Lists of as many values, or of one that all have.
    """

    __slots__ = ("_columns", "count", "names", "shapes")

    def __init__(self, count: int, shapes: Sequence[Shape], columns: dict[str, list[Any]]) -> None:
        self.count = count
        self.shapes = shapes
        self._columns = columns
        self.names: Collection[str] = columns.keys()

    def short(self, name: str) -> list[Any]:
        """A column as it is kept: of one value where all runs have the same."""
        return self._columns[name]

    def column(self, name: str) -> list[Any]:
        """A column."""
        found = self.short(name)
        return found if len(found) == self.count else found * self.count

    def parameter(self, name: str) -> list[str | None]:
        """What the runs have as a parameter; None where they have none of that name."""
        key = _PARAMETER + name
        return self.column(key) if key in self.names else [None] * self.count

    def metric(self, name: str) -> list[Any]:
        """What the runs have as a metric, or `ABSENT`."""
        key = _METRIC + name
        if key not in self.names:
            return [ABSENT] * self.count
        values, have = self.column(key), [name in metrics for _, metrics in self.shapes]
        if all(have):
            return values
        shapes = self.column("shape")
        return [value if have[it] else ABSENT for value, it in zip(values, shapes, strict=True)]

    def metric_texts(self, name: str) -> list[str]:
        """What the runs have as a metric, as lists show it; nothing of those without."""
        key = _SHOWN + name
        if key in self.names:
            return self.column(key)
        return ["" if it is ABSENT else cell(it) for it in self.metric(name)]

    def is_numeric(self, name: str) -> bool:
        """Whether the runs have nothing but numbers as a metric."""
        if _SHOWN + name in self.names or _METRIC + name not in self.names:
            return True
        return all(it is ABSENT or isinstance(it, int | float) for it in self.metric(name))

    def shape(self) -> list[Shape]:
        """The shapes of the runs."""
        numbers = self.short("shape")
        found = [self.shapes[number] for number in numbers]
        return found if len(found) == self.count else found * self.count

    def entries(self) -> Iterator[ListedRun]:
        """The runs, one by one."""
        table = RunTable([self])
        known = self.column("known")
        for place in range(self.count):
            yield ListedRun(table.run(place), table.facts(place) if known[place] else None)


def block_of(entries: Sequence[ListedRun]) -> Block:
    """The block of some runs."""
    shapes: dict[Shape, int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in KINDS}
    facts = [entry.facts or NO_FACTS for entry in entries]
    for entry, known in zip(entries, facts, strict=True):
        shape = (tuple(known.parameters), tuple(known.metrics))
        row = _state_of(entry.run)
        row |= {"known": entry.facts is not None, "branch": known.branch}
        row["shape"] = shapes.setdefault(shape, len(shapes))
        for name, column in columns.items():
            column.append(row[name])
    for name in dict.fromkeys(name for parameters, _ in shapes for name in parameters):
        columns[_PARAMETER + name] = [it.parameters.get(name) for it in facts]
    for name in dict.fromkeys(name for _, metrics in shapes for name in metrics):
        values = [it.metrics.get(name, ABSENT) for it in facts]
        columns[_METRIC + name] = [None if it is ABSENT else it for it in values]
        if {*map(type, values)} <= _NUMBERS:
            columns[_SHOWN + name] = ["" if it is ABSENT else cell(it) for it in values]
    shortened = {name: _shortened(column) for name, column in columns.items()}
    return Block(len(entries), list(shapes), shortened)


def _state_of(run: RunSummary | DamagedRun) -> dict[str, Any]:
    """What the columns have of a run, facts aside."""
    if isinstance(run, DamagedRun):
        values = dict.fromkeys(KINDS, "") | {"first": None, "started": 0.0, "finished": None}
        values |= {"tasks": 0, "code_commit": None, "dirty": False, "status": _DAMAGED}
        commit = None if run.commit is None else str(run.commit)
        return values | {"name": run.pathspec, "commit": commit, "tags": list(run.tags)}
    state = run.state
    return {
        "name": run.pathspec,
        "commit": str(run.commit),
        "first": None if state.uid is None else str(state.uid),
        "tree": run.tree,
        "subject": run.subject,
        "author": run.author,
        "email": run.email,
        "tags": list(run.tags),
        "run": state.run,
        "status": state.status.value,
        "started": state.started,
        "finished": state.finished,
        "tasks": state.tasks,
        "user": state.user,
        "code_commit": None if state.code_commit is None else str(state.code_commit),
        "dirty": state.dirty,
        "origin": state.origin,
        "failed_step": state.failed_step,
        "mac": state.mac,
    }


def _shortened(column: list[Any]) -> list[Any]:
    """A column of one value, where all are the same."""
    first = column[0]
    # Numbers that are equal may be of several types, and zero has two signs.
    is_plain = type(first) in {str, list, bool, int, type(None)}
    if is_plain and column.count(first) == len(column) and len({*map(type, column)}) == 1:
        return [first]
    return column


class RunTable:
    """Runs in the order of a list, by column.

    Args:
        blocks: Where they lie.
        picks: Which of all the runs there are in the table, by place; all when None.
        now: What is known of the status of some of them, by place: of those that run, and those that are damaged.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        picks: Sequence[int] | None = None,
        now: dict[int, str] | None = None,
    ) -> None:
        self._blocks = blocks
        self._whole = sum(block.count for block in blocks)
        self._picks = range(self._whole) if picks is None else picks
        self._now = {} if now is None else now
        self._known: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._picks)

    @property
    def blocks(self) -> Sequence[Block]:
        """Where the runs lie, and perhaps others."""
        return self._blocks

    def take(self, places: Sequence[int]) -> RunTable:
        """The table of the runs at some places of this one."""
        picks = self._picks
        return RunTable(self._blocks, [picks[place] for place in places], self._now)

    def head(self, count: int | None) -> RunTable:
        """The table of the first ones."""
        if count is None or count >= len(self):
            return self
        return RunTable(self._blocks, self._picks[:count], self._now)

    def column(self, name: str) -> list[Any]:
        """What all runs have in one of the columns of `KINDS`."""
        return self._kept(name, lambda block: block.column(name))

    def parameter(self, name: str) -> list[str | None]:
        """What the runs have as a parameter; None where they have none of that name."""
        return self._kept(_PARAMETER + name, lambda block: block.parameter(name))

    def metric(self, name: str) -> list[Any]:
        """What the runs have as a metric, or `ABSENT`."""
        return self._kept(_METRIC + name, lambda block: block.metric(name))

    def metric_texts(self, name: str) -> list[str]:
        """What the runs have as a metric, as lists show it; nothing of those without."""
        return self._kept(_SHOWN + name, lambda block: block.metric_texts(name))

    def is_numeric(self, name: str) -> bool:
        """Whether the runs have nothing but numbers as a metric."""
        if all(block.is_numeric(name) for block in self._blocks):
            return True
        return all(it is ABSENT or isinstance(it, int | float) for it in self.metric(name))

    def flows(self) -> list[str]:
        """The flows of the runs."""
        return [name.partition("/")[0] for name in self.column("name")]

    def uids(self) -> list[str]:
        """The uids of the runs; nothing of those that can't be read."""
        damaged = _DAMAGED
        columns = (self.column(name) for name in ("first", "commit", "status"))
        return [
            "" if word == damaged else first or commit
            for first, commit, word in zip(*columns, strict=True)
        ]

    def numbers(self) -> list[int]:
        """The numbers of the runs."""
        return [int(name.partition("/")[2].partition("-")[0]) for name in self.column("name")]

    def known_only(self, values: list[Any]) -> list[Any]:
        """The values of a column; None in the place of runs of which no message can be read."""
        recorded = self.column("status")
        if _DAMAGED not in recorded:
            return values
        pairs = zip(values, recorded, strict=True)
        return [None if word == _DAMAGED else value for value, word in pairs]

    def status(self) -> list[str]:
        """How far the runs are: of those that run, and those that are damaged, what was found out of them."""
        found = self.column("status")
        if self._now:
            now = self._now
            found = [now.get(pick, word) for pick, word in zip(self._picks, found, strict=True)]
        return found

    def note(self, place: int, status: Status) -> None:
        """Keep what was found out of a run."""
        self._now[self._picks[place]] = status.value

    @property
    def parameter_names(self) -> list[str]:
        """The parameters that runs have, in the order in which they come first."""
        return [*dict.fromkeys(chain.from_iterable(it[0] for it in self.shapes()))]

    @property
    def metric_names(self) -> list[str]:
        """The metrics that runs have, likewise."""
        return [*dict.fromkeys(chain.from_iterable(it[1] for it in self.shapes()))]

    def shapes(self) -> Sequence[Shape]:
        """The shapes that the runs have, in the order in which they come first."""
        found = self._known.get("first shapes")
        if found is None:
            found = self._known["first shapes"] = self._first_shapes()
        return found

    def _first_shapes(self) -> list[Shape]:
        if len(self) < self._whole or not isinstance(self._picks, range):
            of_each = self._kept("shapes", lambda block: block.shape())
            return [*dict.fromkeys({id(shape): shape for shape in of_each}.values())]
        numbers = ((block, dict.fromkeys(block.short("shape"))) for block in self._blocks)
        shapes = (block.shapes[number] for block, found in numbers for number in found)
        return [*dict.fromkeys(shapes)]

    def run(self, place: int) -> RunSummary | DamagedRun:
        """One of the runs."""
        get = self._getter(place)
        flow, _, number = get("name").partition("/")
        tags = tuple(get("tags"))
        recorded, commit = get("status"), get("commit")
        if recorded == _DAMAGED:
            known = None if commit is None else Oid.from_hex(commit)
            return DamagedRun(flow, RunId(number), known, tags)
        state = RunState(
            run=get("run"),
            status=Status(recorded),
            started=get("started"),
            finished=get("finished"),
            tasks=get("tasks"),
            user=get("user"),
            uid=_optional_oid(get("first")),
            code_commit=_optional_oid(get("code_commit")),
            dirty=get("dirty"),
            origin=get("origin"),
            failed_step=get("failed_step"),
            mac=get("mac"),
        )
        tip = Oid.from_hex(commit)
        return RunSummary(
            flow=flow,
            id=RunId(number),
            commit=tip,
            uid=state.uid or tip,
            state=state,
            status=Status(self._now.get(self._picks[place], recorded)),
            subject=get("subject"),
            author=get("author"),
            email=get("email"),
            tree=get("tree"),
            tags=tags,
        )

    def runs(self) -> list[RunSummary | DamagedRun]:
        """All of them."""
        return [self.run(place) for place in range(len(self))]

    def facts(self, place: int) -> RunFacts:
        """What is known of one of the runs besides."""
        get = self._getter(place)
        parameters, metrics = self._kept("shapes", lambda block: block.shape())[place]
        return RunFacts(
            {name: self.parameter(name)[place] or "" for name in parameters},
            {name: self.metric(name)[place] for name in metrics},
            get("branch"),
        )

    def _getter(self, place: int) -> Any:
        return lambda name: self.column(name)[place]

    def _kept(self, key: str, of: Any) -> list[Any]:
        """A column, made once."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._picked(of)
        return found

    def _picked(self, of: Any) -> list[Any]:
        picks = self._picks
        if isinstance(picks, range):
            last = picks.stop
            found: list[Any] = []
            for block in self._blocks:
                found += of(block)
                if len(found) >= last:
                    break
            return found if len(found) == len(picks) else found[picks.start : last]
        whole = [*chain.from_iterable(map(of, self._blocks))]
        return [whole[pick] for pick in picks]


def _optional_oid(text: str | None) -> Oid | None:
    return None if text is None else Oid.from_hex(text)


def check_column(name: str, column: Any, count: int) -> list[Any]:
    """A column that was read, which has one value or as many as there are runs, all of its types.

    Raises:
        RepositoryError: it is none: somebody else than this program wrote it.
    """
    types = KINDS.get(name) or _OTHERS[name[:2]]
    if type(column) is list and len(column) in {1, count} and types.issuperset(map(type, column)):
        is_fit = name != "tags" or {*map(type, chain.from_iterable(column))} <= _TEXT
        if is_fit and (name != "name" or all("/" in it for it in column)):
            return column
    raise RepositoryError("the index of runs holds what this program did not write")
