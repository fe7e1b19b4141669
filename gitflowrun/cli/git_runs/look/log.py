"""`git runs list` and `git runs log`: runs as a table, or one after the other as `git log` shows commits.

The table is in `run_table`, which needs no click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.cli.git_runs.look.run_table import list_runs, warn_of_damage
from gitflowrun.cli.output.tables import apart, facts
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import counted, printable, stamp
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.notes import Notes
from gitflowrun.porcelain.query.select import RunQuery, parameters_of, select
from gitflowrun.runs.commit_message import duration
from gitflowrun.runs.lookup.listing import DamagedRun, RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.output.terminal import Screen


def print_list(*, params: bool, as_json_: bool, **filters: Any) -> None:
    """List runs, newest first; only those of FLOW when it is given."""
    list_runs(RunQuery(**filters), params=params, json=as_json_)


def print_log(*, as_json_: bool, **filters: Any) -> None:
    """Show runs one after the other, newest first; only those of FLOW when it is given."""
    query = RunQuery(**filters)
    if as_json_:
        list_runs(query, params=True, json=True)
        return
    repo = Repository.discover()
    runs = select(repo, query)
    with open_screen(repo, page=True) as screen:
        notes = Notes(repo)
        screen.lines(apart(_entry(repo, run, notes, screen) for run in runs))
    warn_of_damage(runs)


def _entry(
    repo: Repository, run: RunSummary | DamagedRun, notes: Notes, screen: Screen
) -> Iterator[str]:
    style = screen.style
    tags = f" ({style.cyan(', '.join(map(printable, run.tags)))})" if run.tags else ""
    uid = f" {run.uid.short}" if isinstance(run, RunSummary) else ""
    yield f"{style.yellow(f'run {printable(run.pathspec)}{uid}')}{tags}"
    if isinstance(run, DamagedRun):
        yield from facts(("Status", style.status(run.status.value)))
    else:
        yield from _facts(run, screen)
        if parameters := parameters_of(repo, run):
            yield ""
            for name, text in parameters.items():
                yield f"    {printable(name)} = {printable(text)}"
        if note := notes.shown(run.uid):
            yield from ("", "Note:", *(f"    {printable(line)}" for line in note.split("\n")))


def _facts(run: RunSummary, screen: Screen) -> Iterator[str]:
    style = screen.style
    kind, _, origin = run.state.origin.partition(" ")
    commit = f"{run.state.code_commit}{'+dirty' if run.state.dirty else ''}"
    return facts(
        ("Status", style.status(run.status.value, _status_words(run))),
        ("Author", printable(f"{run.author} <{run.email}>")),
        ("Date", stamp(run.state.started)),
        ("Code", commit if run.state.code_commit else ""),
        ("Origin", printable(f"{kind} of {origin.partition(' ')[0]}") if kind else ""),
    )


def _status_words(run: RunSummary) -> str:
    words = run.status.value
    if run.state.failed_step:
        words += f" in {printable(run.state.failed_step)}"
    if run.state.finished is not None:
        words += f" after {duration(run.state.finished - run.state.started)}"
    return f"{words}, {counted(run.state.tasks, 'task')}"
