"""`git runs fsck`: whether runs are whole, and what is wrong with those that are not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import DAMAGED
from gitflowrun.cli.git_runs.run_words import expand_queries
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.git.repository import Repository
from gitflowrun.limits import NAMES_IN_A_HINT
from gitflowrun.porcelain.checks.fsck import RunsCheck
from gitflowrun.runs import layout
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.porcelain.checks.fsck import Fault


def check_runs(*, read_data: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Tell what is wrong with all runs, or with those at `addresses`; 1 if something is."""
    repo = Repository.discover()
    check = RunsCheck(repo, read_data=read_data)
    faults = _faults(check, RunStore(repo), addresses)
    count, copies = 0, 0
    if as_json_:
        found = [*faults]
        count = len(found)
        what = {
            "runs": check.runs,
            "damaged": check.damaged,
            "left_out": check.left_out,
            "faults": found,
        }
        show(repo, what, lambda _: (), json=True)
    else:
        with open_screen(repo) as screen:
            for fault in faults:  # as they are found: there may be very many runs
                count += 1
                copies += fault.where.startswith(layout.REMOTES)
                where = screen.style.yellow(printable(fault.where))
                screen.line(f"{where}: {printable(fault.why)}")
            screen.lines(_summary(check, count))
        if count:
            _hint(check, copies)
    return DAMAGED if count else 0


def _faults(check: RunsCheck, store: RunStore, addresses: tuple[str, ...]) -> Iterator[Fault]:
    if not addresses:
        yield from check.all()
    for run in store.find_all(expand_queries(store.repo, addresses)):
        yield from check.one(run.flow, run.id, run.commit)


def _summary(check: RunsCheck, faults: int) -> Iterator[str]:
    runs = f"{check.runs:,} run{'' if check.runs == 1 else 's'} checked"
    if not faults:
        yield f"{runs}, nothing is damaged."
    else:
        damaged = check.damaged
        few = ", ".join(map(printable, damaged[:NAMES_IN_A_HINT]))
        more = f" and {len(damaged) - NAMES_IN_A_HINT:,} more" * (len(damaged) > NAMES_IN_A_HINT)
        yield f"{runs}, {len(damaged):,} damaged{': ' if damaged else ''}{few}{more}."
    if check.left_out:
        yield f"{check.left_out:,} objects that this clone was made without were not looked at."


def _hint(check: RunsCheck, copies: int) -> None:
    lines = ["`git fsck --full` says whether objects of your own branches are damaged, too"]
    if copies:
        lines.append(
            "`git runs doctor --fix` removes copies of a remote's refs that lead nowhere; "
            "the next `git runs fetch` brings what the remote has"
        )
    if check.damaged:
        lines += [
            "a flow's `resume RUN` takes over what is whole of a run, and runs the rest again"
        ]
    sys.stderr.writelines(f"hint: {line}\n" for line in lines)
