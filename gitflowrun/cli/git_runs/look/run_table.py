"""The table of runs that `git runs` prints, or its JSON, newest first.

One `git for-each-ref`, and for parameters and metrics two small blobs a run, remembered. `git runs` alone is typed more
often than everything else together, so nothing here imports click.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.output.tables import Column, FilledColumn, show, table, table_of_columns
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import ago_short, printable, stamps
from gitflowrun.git.repository import Repository
from gitflowrun.runs.commit_message import Status, duration
from gitflowrun.runs.lookup.run_summary import RunSummary
from gitflowrun.runs.query.columns import cell, changed_parameters, differing, text_of
from gitflowrun.runs.query.select import RunQuery, select_table
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Screen, Style
    from gitflowrun.runs.lookup.run_columns import RunTable
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunFacts

_COLUMNS = (
    Column("RUN"),
    Column("STATUS", shrinks=True),
    Column("WHEN", shrinks=True),
    Column("TOOK", right=True, leaves=3),
    Column("TASKS", right=True, leaves=5),
    Column("AUTHOR", shrinks=True, leaves=4),
    Column("TAGS", shrinks=True),
)
_MADE_HERE = (2, 3, 4)
"""The columns that hold nothing of what anybody else wrote."""
_NAME = "%(run)"
_kept: list[RunTable | list[FilledColumn]] = []
"""What is listed, until the program ends at once: to free two million texts takes a tenth of the time."""
_DIGITS = 7
"""Of the hash of a commit, as lists show it."""


@frozen
class ListView:
    """How runs are listed.

    Attributes:
        params: Whether to show the parameters in which runs differ, and what tells equal texts apart.
        metrics: Whether to show all metrics. With neither, parameters that differ and metrics are shown.
        only_changed: Whether to leave out columns in which all runs are equal.
        columns: The columns to show instead of these.
        sort: By what runs are sorted, the first name first; the newest run first without.
        group_by: Show groups of runs that have the same value under this name.
        template: Write each run so, see `run_format`.
        nul: Whether an entry ends with NUL instead of a line feed.
        json: Whether to print JSON.
    """

    params: bool = False
    metrics: bool = False
    only_changed: bool = False
    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    group_by: str | None = None
    template: str | None = None
    nul: bool = False
    json: bool = False

    @property
    def needs_facts(self) -> bool:
        """Whether more is read of runs than their messages."""
        if self.template is None and not self.nul:
            return True
        from gitflowrun.cli.git_runs.look import run_format
        from gitflowrun.runs.query.named import needs_facts

        by_facts = [name for name in self.sort if needs_facts(name.removeprefix("-"))]
        return bool(by_facts) or run_format.needs_facts(self.template or _NAME)


def list_first(count: int) -> None:
    """Print the first runs of all."""
    list_runs(RunQuery(limit=None if count == sys.maxsize else count))


def list_runs(query: RunQuery | None = None, view: ListView | None = None) -> None:
    """Print the runs that `query` asks for, or all, as `view` says.

    Raises:
        UsageError: a column, an order or a format names what none of the runs has.
    """
    repo = Repository.discover()
    query, view = query or RunQuery(), view or ListView()
    is_sorted = view.sort and view.group_by is None
    asked = replace(query, limit=None) if is_sorted else query
    table = whole = select_table(repo, asked, facts=view.needs_facts)
    _kept[:] = [table]
    if is_sorted and len(table):
        from gitflowrun.runs.query.order import ordered  # `git runs` alone does without

        table = ordered(table, view.sort).head(query.limit)
    if view.group_by is not None:
        _print_groups(repo, table, view)
    elif view.template is not None or view.nul:
        print_formatted(repo, table, view.template, nul=view.nul)
    else:
        _print_table(repo, table, view, whole)
    _warn(table)


def print_formatted(repo: Repository, runs: RunTable, template: str | None, *, nul: bool) -> None:
    """Write runs as a template says, see `run_format`; their names without one.

    Args:
        repo: The repository.
        runs: The runs.
        template: The template.
        nul: Whether an entry ends with NUL instead of a line feed.

    Raises:
        UsageError: it names what none of the runs has, or can't be understood.
    """
    from gitflowrun.cli.git_runs.look.run_format import formatted

    with open_screen(repo, page=not nul) as screen:
        for text in formatted(template or _NAME, runs, screen.now):
            # For a person nothing that was recorded commands the terminal; a program gets what it asked for.
            shown = printable(text) if screen.person and not nul else text
            screen.out.write(shown + ("\0" if nul else "\n"))


def format_runs(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun], template: str | None, *, nul: bool
) -> None:
    """As `print_formatted`, of runs that were chosen otherwise."""
    from gitflowrun.runs.lookup.run_index import facts_of, table_of

    table = table_of(runs, facts_of(repo, [run.commit for run in runs]))
    print_formatted(repo, table, template, nul=nul)


def _print_groups(repo: Repository, runs: RunTable, view: ListView) -> None:
    from gitflowrun.runs.query.fields import is_commit
    from gitflowrun.runs.query.order import grouped

    assert view.group_by is not None
    groups = grouped(runs, view.group_by, view.sort) if len(runs) else []
    names = list(dict.fromkeys(name for group in groups for name in group.metrics))

    are_commits = is_commit(view.group_by)

    def lines(screen: Screen) -> Iterator[str]:
        if not groups:
            return _none(repo)
        columns = [
            Column(view.group_by or ""),
            Column("SUBJECT", shrinks=True),
            Column("RUNS", right=True),
            Column("DONE", right=True),
        ]
        columns += [Column(f"{name} (mean, least … most)", shrinks=True) for name in names]
        cells = [
            [
                *(_of_commit(repo, group.value) if are_commits else (group.value or "-", "")),
                str(group.runs),
                str(group.done),
                *(_span(group.metrics.get(it)) for it in names),
            ]
            for group in groups
        ]
        return table(columns, cells, screen)

    show(repo, groups, lines, json=view.json, page=True)


def _of_commit(repo: Repository, text: str) -> tuple[str, str]:
    """A commit as git's short log shows it: the first digits, and the subject where the commit is here."""
    from gitflowrun.errors import GitflowrunError
    from gitflowrun.git.objects import Oid

    if not text:
        return "-", ""
    oid = Oid.from_hex(text)
    try:
        message = repo.objects.commit(oid).message
    except GitflowrunError:
        return oid.short, ""
    return oid.short, message.decode(errors="replace").partition("\n")[0]


def _span(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return ""
    least, mean, most = map(cell, map(float, found))
    return mean if least == most else f"{mean} ({least} … {most})"


def _print_table(repo: Repository, runs: RunTable, view: ListView, whole: RunTable) -> None:
    parameters = _parameters(repo, runs.runs()) if view.params else None

    def lines(screen: Screen) -> Iterator[str]:
        if not len(runs):
            return _none(repo)
        return _lines(runs, parameters, view, screen, whole)

    maps = _maps(repo, runs, parameters) if view.json else []
    show(repo, maps, lines, json=view.json, page=True)


def json_rows(repo: Repository, runs: Sequence[RunSummary | DamagedRun]) -> list[dict[str, Any]]:
    """Runs as `--json` shows them, with their parameters."""
    from gitflowrun.runs.lookup.run_index import facts_of, table_of

    table = table_of(runs, facts_of(repo, [run.commit for run in runs]))
    return _maps(repo, table, _parameters(repo, runs))


def _warn(runs: RunTable) -> None:
    damaged = Status.DAMAGED.value
    if damaged in (words := runs.status()):
        _say_damaged(
            [it for it, word in zip(runs.column("name"), words, strict=True) if word == damaged]
        )


def warn_of_damage(runs: Sequence[RunSummary | DamagedRun]) -> None:
    """Say on standard error which runs of a list are damaged, and what to do."""
    if damaged := [run.pathspec for run in runs if run.status is Status.DAMAGED]:
        _say_damaged(damaged)


def _say_damaged(names: Sequence[str]) -> None:
    from gitflowrun.runs.lookup.listing import told_damaged

    sys.stderr.write(f"warning: {printable(told_damaged(names))}\n")


def _parameters(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun]
) -> list[Mapping[str, str]]:
    from gitflowrun.porcelain.parameters import parameters_of_all

    return parameters_of_all(repo, runs)


def _lines(
    runs: RunTable,
    parameters: Sequence[Mapping[str, str]] | None,
    view: ListView,
    screen: Screen,
    whole: RunTable,
) -> Iterator[str]:
    """The lines of a list; `whole` are the runs that it shows some of, by which columns are chosen."""
    columns = _chosen(runs, view.columns, screen) if view.columns else None
    if columns is None:
        columns = _usual(runs, parameters, view, screen, whole)
    _kept[1:] = [columns]
    if view.only_changed:
        first, *others = columns
        columns = [first, *(it for it in others if len({*it.texts}) > 1)]
    return table_of_columns(columns, screen)


def _usual(
    runs: RunTable,
    parameters: Sequence[Mapping[str, str]] | None,
    view: ListView,
    screen: Screen,
    whole: RunTable,
) -> list[FilledColumn]:
    """The columns of every list, then parameters and metrics."""
    columns = _every(runs, screen)
    if parameters is not None:
        flows = runs.flows()
        for name in differing([*zip(flows, parameters, strict=True)]):
            texts = [it.get(name, "") for it in parameters]
            columns.append(FilledColumn(Column(name, shrinks=True, leaves=1), texts))
    elif not view.metrics:
        for name in changed_parameters(whole):
            texts = [it or "" for it in runs.parameter(name)]
            columns.append(FilledColumn(Column(name, shrinks=True, leaves=1), texts))
    for name in runs.metric_names if view.metrics or not view.params else ():
        column = Column(name, right=runs.is_numeric(name), shrinks=True, leaves=2)
        plain = column.right
        columns.append(FilledColumn(column, runs.metric_texts(name), is_plain=plain))
    return columns


def _chosen(runs: RunTable, names: Sequence[str], screen: Screen) -> list[FilledColumn]:
    """The columns that somebody wants, with the run in front."""
    from gitflowrun.runs.query.fields import is_commit
    from gitflowrun.runs.query.named import values_of

    usual = {column.title.lower(): n for n, column in enumerate(_COLUMNS)}
    usual |= {"started": usual["when"], "duration": usual["took"], "tag": usual["tags"]}
    known = _every(runs, screen)
    columns = [known[0]]
    for name in names:
        if name.lower() == "run":
            continue
        place = usual.get(name.lower())
        if place is not None:
            columns.append(known[place])
            continue
        values = values_of(name, runs)
        texts = [text_of(values.at(it)) for it in range(len(runs))]
        if is_commit(name):
            texts = [it[:_DIGITS] for it in texts]
        columns.append(FilledColumn(Column(name, shrinks=True), texts))
    return columns


def _every(runs: RunTable, screen: Screen) -> list[FilledColumn]:
    """The columns of `_COLUMNS`."""
    style = screen.style
    words, steps = runs.status(), runs.column("failed_step")
    shown = words
    if any(steps):
        shown = [
            f"{word} in {step}" if step else word for word, step in zip(words, steps, strict=True)
        ]
    started = runs.known_only(runs.column("started"))
    authors = runs.column("author")
    if not all(authors):
        pairs = zip(authors, runs.column("user"), strict=True)
        authors = [author or user for author, user in pairs]
    tasks = runs.known_only(runs.column("tasks"))
    texts = (
        runs.column("name"),
        shown,
        [ago_short(it, screen.now) if it is not None else "" for it in started]
        if screen.person
        else stamps(started),
        _took(started, runs.column("finished"), words, screen.now),
        _each_once(tasks, str),
        authors,
        [", ".join(it) if it else "" for it in runs.column("tags")],
    )
    paints = {0: style.yellow, 6: style.cyan}
    columns = [
        FilledColumn(column, it, paints.get(n))
        for n, (column, it) in enumerate(zip(_COLUMNS, texts, strict=True))
    ]
    paint = _status_paint(style, words) if style.colour else None
    columns[1] = FilledColumn(_COLUMNS[1], shown, paint)
    for place in _MADE_HERE:
        columns[place] = replace(columns[place], is_plain=True)
    return columns


def _status_paint(style: Style, words: Sequence[str]) -> Sequence[Callable[[str], str]]:
    paints = {word: lambda text, word=word: style.status(word, text) for word in {*words}}
    return [paints[word] for word in words]


def _took(
    started: Sequence[float | None],
    finished: Sequence[float | None],
    words: Sequence[str],
    now: float,
) -> list[str]:
    """How long each run took, or has run until now."""
    running = Status.RUNNING.value
    spans = [
        None
        if start is None or (end is None and word != running)
        else (now if end is None else end) - start
        for start, end, word in zip(started, finished, words, strict=True)
    ]
    return _each_once(spans, duration)


def _each_once(values: Sequence[Any], text: Callable[[Any], str]) -> list[str]:
    """Values as texts, of which each is made once; nothing of what nobody knows."""
    texts = {value: "" if value is None else text(value) for value in {*values}}
    return [texts[value] for value in values]


def _none(repo: Repository) -> Iterator[str]:
    from gitflowrun.runs.lookup.listing import run_names

    names = run_names(repo)
    if names:
        yield "No run matches."
    else:
        yield "There are no runs in this repository yet."
        yield "`python FLOW.py run` makes one; `git runs fetch` gets those of a remote."


def _maps(
    repo: Repository, runs: RunTable, parameters: Sequence[Mapping[str, str]] | None
) -> list[dict[str, Any]]:
    from gitflowrun.porcelain.notes import Notes

    notes = Notes(repo)
    maps = []
    for place in range(len(runs)):
        facts = runs.facts(place)
        shown = facts.parameters if parameters is None else parameters[place]
        found = _as_map(runs.run(place), facts, shown)
        found["note"] = notes.shown(found["uid"]) if found["uid"] else None
        maps.append(found)
    return maps


def _as_map(
    run: RunSummary | DamagedRun, facts: RunFacts, parameters: Mapping[str, str]
) -> dict[str, Any]:
    """The run as `--json` shows it; what can't be read is null."""
    from gitflowrun.runs.metrics import json_scalar

    state = run.state if isinstance(run, RunSummary) else None
    found = {name: getattr(run, name, None) for name in ("flow", "id", "uid", "commit", "status")}
    found |= {name: getattr(state, name, None) for name in ("started", "finished", "tasks", "user")}
    found |= {name: getattr(run, name, None) for name in ("author", "email", "tags")}
    found |= {name: getattr(state, name, None) for name in ("code_commit", "dirty")}
    found |= {name: getattr(state, name, None) or None for name in ("origin", "failed_step")}
    metrics = {name: json_scalar(value) for name, value in facts.metrics.items()}
    return found | {
        "parameters": parameters,
        "metrics": metrics,
        "branch": facts.branch or None,
    }
