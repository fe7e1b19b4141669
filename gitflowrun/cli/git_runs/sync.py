"""How `git runs push` and `git runs fetch` tell what they did: as git tells it of branches, or as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gitflowrun.cli.output.tables import as_json
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.porcelain.push import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain.push import SyncedRun, SyncReport

__all__ = ["report_lines", "show_report", "summary"]

_SIGNS = {Outcome.NEW: ("*", "[new run]"), Outcome.UPDATED: (" ", "[updated]")}


def show_report(repo: Repository, report: SyncReport, verb: str, *, as_json_: bool) -> int:
    """Print what was done; returns 1 if a run was refused, as `git push` does."""
    with open_screen(repo) as screen:
        if as_json_:
            screen.line(as_json(report))
        else:
            for line in report_lines(report, verb, screen):
                screen.line(line)
    for notice in report.notices:
        sys.stderr.write(f"warning: {printable(notice)}\n")
    return 1 if report.with_outcome(Outcome.REFUSED) else 0


def report_lines(report: SyncReport, verb: str, screen: Screen) -> Iterator[str]:
    """A line for each run that moved or was refused, and a summary."""
    yield f"{verb} {printable(report.remote)}"
    for run in report.runs:
        if run.outcome in _SIGNS:
            yield _moved(run, "there" if verb == "To" else "here", screen)
        elif run.outcome is Outcome.REFUSED:
            what = f"{run.flow}/{run.source} ({run.reason})"
            yield screen.style.red(f" ! [refused]   {printable(what)}")
    yield summary(report)


def _moved(run: SyncedRun, where: str, screen: Screen) -> str:
    sign, word = _SIGNS[run.outcome]
    name = screen.style.yellow(f"{run.flow}/{run.source}")
    arrow = f" -> {screen.style.yellow(f'{run.flow}/{run.target}')}" if run.renamed else ""
    note = (
        f"  ({run.source} is another run {where})" if run.renamed and "-" not in run.source else ""
    )
    return f" {sign} {word:<11} {name}{arrow}{note}"


def summary(report: SyncReport) -> str:
    """What was done, in one line."""
    counts = {outcome: len(report.with_outcome(outcome)) for outcome in Outcome}
    parts = [f"{counted(counts[Outcome.NEW], 'run')} new"] if counts[Outcome.NEW] else []
    words = (
        (Outcome.UPDATED, "updated"),
        (Outcome.REFUSED, "refused"),
        (Outcome.AHEAD, "newer there"),
    )
    parts += [f"{counts[outcome]} {word}" for outcome, word in words if counts[outcome]]
    if counts[Outcome.CURRENT]:
        parts.append(f"{counts[Outcome.CURRENT]:,} up to date")
    if report.tags_added:
        parts.append(f"{counted(report.tags_added, 'tag')} added")
    if report.tags_removed:
        parts.append(f"{counted(report.tags_removed, 'tag')} removed")
    return ", ".join(parts) if parts else "No runs."
