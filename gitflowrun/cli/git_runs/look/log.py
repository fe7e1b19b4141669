"""`git runs log`: runs one after the other, as `git log` shows commits."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.errors import GIT, Damage
from gitflowrun.cli.git_runs.look.code_text import code_text
from gitflowrun.cli.git_runs.look.run_table import format_runs, json_rows, warn_of_damage
from gitflowrun.cli.git_runs.run_words import is_query
from gitflowrun.cli.output.tables import apart, as_json, facts
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import counted, printable, stamp
from gitflowrun.cli.typed_paths import from_top, path_hint
from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison.code_history import CodeHistory
from gitflowrun.porcelain.notes import Notes
from gitflowrun.runs.commit_message import duration
from gitflowrun.runs.lookup.ranges import parse_range
from gitflowrun.runs.lookup.run_index import facts_of
from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
from gitflowrun.runs.query.columns import cell
from gitflowrun.runs.query.select import RunQuery, parameters_of, select
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitflowrun.cli.output.terminal import Screen

    _Told = tuple[RunSummary | DamagedRun, str, str]


_METRICS = 8
"""How many metrics a run's line has."""


def print_log(
    *,
    oneline: bool,
    form: str | None,
    paths: tuple[str, ...],
    as_json_: bool,
    flow: str | None,
    template: str | None = None,
    nul: bool = False,
    **filters: Any,
) -> int:
    """Show runs one after the other, newest first, with what changed in their code.

    Args:
        oneline: A line for each.
        form: How to show what changed in the code, as of `code_diff`; not at all when None.
        paths: Only the runs whose code changed there, and of changes only these.
        as_json_: Print JSON.
        flow: A flow, a range, or the run to begin at; all runs when None.
        template: Write each run so, see `run_format`.
        nul: Whether an entry ends with NUL instead of a line feed.
        filters: The other fields of a `RunQuery`.
    """
    repo, damage = Repository.discover(), Damage(GIT)
    places = [from_top(repo, path) for path in paths]
    runs = _chosen(repo, flow, RunQuery(**filters), places)
    if template is not None or nul:
        format_runs(repo, runs, template, nul=nul)
        warn_of_damage(runs)
        return 0
    history = CodeHistory(repo) if form else None

    def change(run: RunSummary | DamagedRun, screen: Screen) -> str:
        """What changed in the code of a run."""
        try:
            trees = history.trees(run) if history else None
            if trees is None or form is None:
                return ""
            text = code_text(repo, trees, screen, form=form, paths=places, raw=as_json_)
            return text + "\n" * (as_json_ and bool(text))  # whole, as `git apply` takes it
        except (CorruptRecord, RepositoryError) as error:
            damage.tell(error)
            return ""

    with open_screen(repo, page=True) as screen:
        if as_json_:
            rows = json_rows(repo, runs)
            if form:
                rows = [
                    {**row, "code": change(run, screen)}
                    for row, run in zip(rows, runs, strict=True)
                ]
            screen.line(as_json(rows))
        else:
            told = ((run, it, change(run, screen)) for run, it in _with_metrics(repo, runs))
            screen.lines(_short(told, screen) if oneline else _long(repo, told, screen))
    warn_of_damage(runs)
    return damage.exit_code


def _short(told: Iterable[_Told], screen: Screen) -> Iterator[str]:
    """A line for each run, and what changed in its code below."""
    for run, metrics, text in told:
        yield _line(run, metrics, screen)
        if text:
            yield text


def _long(repo: Repository, told: Iterable[_Told], screen: Screen) -> Iterator[str]:
    """A block for each run."""
    notes = Notes(repo)
    return apart(
        chain(_entry(repo, run, metrics, notes, screen), _below(text))
        for run, metrics, text in told
    )


def _chosen(
    repo: Repository, word: str | None, query: RunQuery, places: Sequence[str]
) -> list[RunSummary | DamagedRun]:
    """The runs that a word and filters choose, and that changed something at some places, if any are named."""
    first, names = None, None
    if word is not None:
        query, first, names = _begins(repo, word, query)
    limit = query.limit
    if first or names or places:
        query = replace(query, limit=None)
    runs = select(repo, query)
    if first:
        runs = _since(repo, runs, first, query.flow)
    if names:
        runs = [run for run in runs if run.pathspec in names]
    if places:
        runs = CodeHistory(repo).changing(runs, places)
    return runs[:limit]


def _begins(
    repo: Repository, word: str, query: RunQuery
) -> tuple[RunQuery, str | None, set[str] | None]:
    """What a word asks for: the runs of a flow, those from a run on, or those of a range, by their pathspecs."""
    store = RunStore(repo)
    if is_query(repo, word):
        where = word if query.where is None else f"({query.where}) and ({word})"
        return replace(query, where=where), None, None
    if wanted := parse_range(word):
        return replace(query, flow=wanted.flow), None, set(store.expand([word]))
    if store.has_flow(word):
        return replace(query, flow=word), None, None
    try:
        run = store.find(word)
    except NotFound as error:
        hint = path_hint("git runs log", word) or error.hint
        raise NotFound(f"there is neither a flow nor a run {word!r}", hint=hint) from error
    is_of_flow = word.removeprefix("refs/").removeprefix("runs/").startswith(f"{run.flow}/")
    return replace(query, flow=run.flow if is_of_flow else None), run.pathspec, None


def _since(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun], first: str, flow: str | None
) -> list[RunSummary | DamagedRun]:
    """Of some runs those that are not newer than a run, which need not be one of them."""
    order = [f"{name}/{run}" for name, run in RunStore(repo).names(flow)]
    older = set(order[order.index(first) :])
    return [run for run in runs if run.pathspec in older]


def _with_metrics(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun]
) -> Iterator[tuple[RunSummary | DamagedRun, str]]:
    """Runs, and the first metrics of each in a line."""
    known = facts_of(repo, [run.commit for run in runs])
    for run, facts_ in zip(runs, known, strict=True):
        first = [f"{name} {cell(it)}" for name, it in islice(facts_.metrics.items(), _METRICS)]
        yield run, ", ".join([*first, *(["…"] if len(facts_.metrics) > _METRICS else [])])


def _line(run: RunSummary | DamagedRun, metrics: str, screen: Screen) -> str:
    """A run in one line, as `git log --oneline` has it."""
    style = screen.style
    tags = f" ({style.cyan(', '.join(map(printable, run.tags)))})" if run.tags else ""
    if isinstance(run, DamagedRun):
        return f"{style.yellow(printable(run.pathspec))}{tags} {style.status(run.status.value)}"
    words = f"{printable(run.pathspec)}: {_status_words(run)}"
    words += f", {printable(metrics)}" if metrics else ""
    return f"{style.yellow(run.uid.short)}{tags} {words}"


def _below(text: str) -> Iterator[str]:
    """The lines of a text below an empty one; none where there is no text."""
    return iter(("", *text.split("\n")) if text else ())


def _entry(
    repo: Repository, run: RunSummary | DamagedRun, metrics: str, notes: Notes, screen: Screen
) -> Iterator[str]:
    style = screen.style
    tags = f" ({style.cyan(', '.join(map(printable, run.tags)))})" if run.tags else ""
    uid = f" {run.uid.short}" if isinstance(run, RunSummary) else ""
    yield f"{style.yellow(f'run {printable(run.pathspec)}{uid}')}{tags}"
    if isinstance(run, DamagedRun):
        yield from facts(("Status", style.status(run.status.value)))
    else:
        yield from _facts(run, metrics, screen)
        if parameters := parameters_of(repo, run):
            yield ""
            for name, text in parameters.items():
                yield f"    {printable(name)} = {printable(text)}"
        if note := notes.shown(run.uid):
            yield from ("", "Note:", *(f"    {printable(line)}" for line in note.split("\n")))


def _facts(run: RunSummary, metrics: str, screen: Screen) -> Iterator[str]:
    style = screen.style
    kind, _, origin = run.state.origin.partition(" ")
    commit = f"{run.state.code_commit}{'+dirty' if run.state.dirty else ''}"
    return facts(
        ("Status", style.status(run.status.value, _status_words(run))),
        ("Author", printable(f"{run.author} <{run.email}>")),
        ("Date", stamp(run.state.started)),
        ("Code", commit if run.state.code_commit else ""),
        ("Metrics", printable(metrics)),
        ("Origin", printable(f"{kind} of {origin.partition(' ')[0]}") if kind else ""),
    )


def _status_words(run: RunSummary) -> str:
    words = run.status.value
    if run.state.failed_step:
        words += f" in {printable(run.state.failed_step)}"
    if run.state.finished is not None:
        words += f" after {duration(run.state.finished - run.state.started)}"
    return f"{words}, {counted(run.state.tasks, 'task')}"
