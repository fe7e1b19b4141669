"""`git runs push` and `git runs fetch`, and their reports: as git reports branches, or as JSON."""

from __future__ import annotations

import shlex
import sys
from itertools import chain
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import REFUSED, warn_of_settings
from gitflowrun.cli.git_runs.run_words import expand_queries, is_query
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport.remote import default_remote
from gitflowrun.limits import MAX_NOTICES
from gitflowrun.names import RunId
from gitflowrun.porcelain.transfer.sync import Outcome, SyncedRun, SyncReport
from gitflowrun.runs import layout
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import field_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.read import StoredRun

_SIGNS = {Outcome.NEW: ("*", "[new run]"), Outcome.UPDATED: (" ", "[updated]")}


def _tell(report: SyncReport) -> int:
    """Pass on what went not as asked; returns 1 if a run was refused, as `git push` does, or anything not sent."""
    for word in report.words:
        sys.stderr.write(f"remote: {printable(word)}\n")
    for notice in report.notices:
        sys.stderr.write(f"warning: {printable(notice)}\n")
    return REFUSED if report.failed or report.with_outcome(Outcome.REFUSED) else 0


def _tell_wait(words: str) -> None:
    sys.stderr.write(f"{printable(words)}\n")


def report_lines(report: SyncReport, verb: str, screen: Screen) -> Iterator[str]:
    """A line for each run that moved or was refused, and a summary."""
    yield f"{verb} {printable(report.remote)}"
    for run in report.with_outcome(*_SIGNS):
        yield _moved(run, "there" if verb == "To" else "here", screen)
    for outcome in (Outcome.KEPT, Outcome.REFUSED):
        # There may be as many as somebody wants there to be.
        runs = report.with_outcome(outcome)
        for run in runs[:MAX_NOTICES]:
            what = f"{run.flow}/{run.source} ({run.reason})"
            yield screen.style.red(f" ! {f'[{outcome.value}]':<11} {printable(what)}")
        if more := runs[MAX_NOTICES:]:
            yield screen.style.red(f" ! {f'[{outcome.value}]':<11} {len(more):,} more")
    yield summary(report, verb)


def _moved(run: SyncedRun, where: str, screen: Screen) -> str:
    sign, word = _SIGNS[run.outcome]
    name = screen.style.yellow(f"{run.flow}/{run.source}")
    arrow = f" -> {screen.style.yellow(f'{run.flow}/{run.target}')}" if run.renamed else ""
    why = run.reason or f"another run {where}"
    note = f"  ({run.source} is {why})" if run.renamed and "-" not in run.source else ""
    return f" {sign} {word:<11} {name}{arrow}{note}"


def summary(report: SyncReport, verb: str = "To") -> str:
    """What was done, in one line."""
    done = "sent" if verb == "To" else "taken over"
    counts = {outcome: len(report.with_outcome(outcome)) for outcome in Outcome}
    counts[Outcome.CURRENT] += len(report.up_to_date)
    parts = (
        (counts[Outcome.NEW], f"{counted(counts[Outcome.NEW], 'run')} new"),
        (counts[Outcome.UPDATED], f"{counts[Outcome.UPDATED]} updated"),
        (counts[Outcome.KEPT], f"{counts[Outcome.KEPT]} kept"),
        (counts[Outcome.AWAY], f"{counts[Outcome.AWAY]} removed here"),
        (counts[Outcome.LEFT_OUT], f"{counts[Outcome.LEFT_OUT]:,} left out"),
        (counts[Outcome.REFUSED], f"{counts[Outcome.REFUSED]} refused"),
        (counts[Outcome.AHEAD], f"{counts[Outcome.AHEAD]} newer there"),
        (counts[Outcome.CURRENT], f"{counts[Outcome.CURRENT]:,} up to date"),
        (report.trusted, f"{report.trusted:,} trusted"),
        (report.tags_added, f"{counted(report.tags_added, 'tag')} added"),
        (report.tags_removed, f"{counted(report.tags_removed, 'tag')} removed"),
        (report.failed, f"{report.failed:,} not {done}"),
    )
    return ", ".join(words for count, words in parts if count) or "No runs."


def _for_json(report: SyncReport) -> dict[str, object]:
    """A report with the runs that are the same on both sides in the order of their numbers."""
    same = sorted(report.up_to_date, key=lambda name: (layout.run_number(name), name))
    return {name: getattr(report, name) for name in field_names(report)} | {"up_to_date": same}


def push_runs(
    remote: str | None,
    runs: tuple[str, ...],
    *,
    of_all: bool = False,
    allow_secrets: bool = False,
    as_json_: bool = False,
) -> int:
    """Send runs and their tags to REMOTE: RUNs and all runs of FLOWs, or what was made here or is trusted."""
    from gitflowrun.porcelain.transfer.push import (
        push,  # one of the two is enough, and help needs neither
    )

    if of_all and runs:
        raise UsageError(
            f"--all sends all runs, and {runs[0]!r} names some",
            hint="`git runs push REMOTE --all`, or `git runs push REMOTE RUN...`",
        )
    repo = Repository.discover()
    warn_of_settings(repo)
    if remote is not None:
        _check_remote(repo, remote)
    chosen = _chosen(repo, runs) if runs else None
    reports = push(
        repo, remote, chosen, of_all=of_all, allow_secrets=allow_secrets, on_wait=_tell_wait
    )

    def lines(screen: Screen) -> Iterator[str]:
        return chain.from_iterable(report_lines(report, "To", screen) for report in reports)

    show(repo, [*map(_for_json, reports)] if as_json_ else None, lines, json=as_json_)
    return max(map(_tell, reports))


def _chosen(repo: Repository, words: tuple[str, ...]) -> list[StoredRun]:
    store = RunStore(repo)
    found = {}
    for word in expand_queries(repo, words):
        runs = [store.get(*name) for name in store.names(word)] or store.find_all([word])
        found.update({run.pathspec: run for run in runs})
    return list(found.values())


def _check_remote(repo: Repository, word: str) -> None:
    """Answer `git runs push 12`, where the remote was forgotten."""
    if RunId.matches(word) and word not in repo.remotes():
        raise UsageError(
            f"{word!r} is a run, not a remote",
            hint=f"git runs push {default_remote(repo, push=True)} {word}",
        )
    if is_query(repo, word):
        raise UsageError(
            f"{word!r} is a query, not a remote",
            hint=f"git runs push {default_remote(repo, push=True)} {shlex.quote(word)}",
        )


def fetch_runs(remote: str | None, runs: tuple[str, ...] = (), *, as_json_: bool = False) -> int:
    """Get the runs and tags of REMOTE, and RUNs also if they were removed here."""
    from gitflowrun.porcelain.transfer.fetch import fetch

    repo = Repository.discover()
    warn_of_settings(repo)
    report = fetch(repo, remote, runs, on_wait=_tell_wait)
    value = _for_json(report) if as_json_ else None
    show(repo, value, lambda screen: report_lines(report, "From", screen), json=as_json_)
    return _tell(report)
